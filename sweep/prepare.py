"""The prepare phase: what all trials share, made once as Ray tasks (or in this process), and the FID budget it fixes."""

from __future__ import annotations

import datetime as dt
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sweep.errors import UsageError, near
from sweep.plan import AUTO, CALIBRATION_SEEDS, Plan, dataset_of
from sweep.progress import Progress
from sweep.space import Choice, SearchSpace
from trainables.attacks import ATTACKS
from trainables.auxiliary import AUXILIARY, HOLD_FORGOTTEN
from trainables.classifier import recipe_for
from trainables.experiment import Experiment, Samples
from trainables.features.inception import PINNED_SHA256, check_weights
from trainables.forgetting import Forget, parse_forget
from trainables.models import BaseModel
from trainables.stages import prepare
from trainables.stages.score import make_score, score_key
from trainables.store import Artifact, Store
from trainables.unlearning import METHODS

Task = Callable[..., Artifact]
Execute = Callable[[dict[str, tuple[Task, tuple[Any, ...]]]], dict[str, Artifact]]
"""Runs independent tasks by name and gives their artifacts: on Ray, or one after the other here."""


def experiment_of(plan: Plan) -> Experiment:
    """What the plan's trials share."""
    data = dataset_of(plan)
    return Experiment(
        store=plan.artifacts,
        data=plan.data,
        data_folder=plan.data_folder,
        image_size=plan.image_size,
        data_limit=plan.data_limit,
        data_fingerprint=plan.data_fingerprint or data.fingerprint(),
        forget=parse_forget(plan.forget, data).text,  # one spelling: it is part of every key
        classifier=recipe_for(data.judge.shape),
        base=replace(BaseModel(), train_steps=plan.base_steps),
        features=plan.fid_features,
        weights_file=plan.inception_weights,
        weights_sha256=plan.inception_sha256,
        shadow_models=plan.shadow_models,
        device_name="cuda" if plan.gpus_per_trial else "cpu",
    )


def check_members(plan: Plan, space: SearchSpace) -> None:
    """UsageError where a method or an attack does not have a setting that the space gives it, or refuses a value."""
    if plan.fid_features == "inception":
        with _mistake_in("--inception-weights"):
            check_weights(plan.inception_weights, plan.inception_sha256 or PINNED_SHA256)
    data = dataset_of(plan)
    with _mistake_in(f"--data {plan.data}"):
        train = data.load().train
    forgetting = parse_forget(plan.forget, data)
    with _mistake_in("--forget"):
        forgetting.split(train)
    _check_forgets(plan, space, forgetting)
    for arm in space.arms:
        for parameter in arm.walk():
            values = list(parameter.branches) if isinstance(parameter, Choice) else [parameter.low, parameter.high]
            for value in values:
                with _mistake_in(f"space {space.name!r}, arm {arm.name!r}, {parameter.name}={value}"):
                    METHODS[arm.method].configure({parameter.name: value})
        for i, point in enumerate(arm.start_points):
            with _mistake_in(f"space {space.name!r}, arm {arm.name!r}, start point {i}"):
                METHODS[arm.method].configure(point)
    for attack in (*space.search_attacks, *space.confirm_attacks):
        where = f"space {space.name!r}, attack {attack.name!r}"
        with _mistake_in(where):
            auxiliary = ATTACKS[attack.method].configure(attack.settings).auxiliary
        if auxiliary not in AUXILIARY:
            raise UsageError(f"{where}: unknown auxiliary set {auxiliary!r}; {near(auxiliary, AUXILIARY)}")
        if attack.counts and auxiliary in HOLD_FORGOTTEN:
            raise UsageError(f"{where}: {auxiliary} holds the forgotten condition; declare it with counts=False")


def _check_forgets(plan: Plan, space: SearchSpace, forgetting: Forget) -> None:
    """UsageError naming the arms whose method cannot forget this kind of thing, and those whose can."""
    able: list[str] = []
    unable: list[str] = []
    for arm in space.arms:
        with _mistake_in(f"space {space.name!r}, arm {arm.name!r}"):
            (able if forgetting.kind in METHODS[arm.method].forgets else unable).append(arm.name)
    if unable:
        some = f"--fix method={','.join(able)} keeps those that can" if able else "none of its arms can"
        raise UsageError(f"--forget {plan.forget}: space {space.name!r}: {', '.join(unable)} cannot forget it; {some}")


def needed(space: SearchSpace) -> list[str]:
    """The shared artifacts that the space's methods need."""
    return sorted({name for arm in space.arms for name in METHODS[arm.method].needs})


def prepare_all(
    plan: Plan, space: SearchSpace, experiment: Experiment, execute: Execute, progress: Progress
) -> dict[str, Any]:
    """Find or make every shared artifact; returns what ``prepared.json`` holds, the FID budget among it."""
    start, store = time.monotonic(), Store(experiment.store)
    keys = {
        "base model": prepare.model_key(experiment, "base"),
        "retrain control": prepare.model_key(experiment, "retrain"),
        "classifier": prepare.classifier_key(experiment),
    }
    cached = [name for name, key in keys.items() if store.find(key)]
    todo = [name for name in keys if name not in cached]
    said = ["found " + ", ".join(cached)] * bool(cached) + ["training " + ", ".join(todo)] * bool(todo)
    progress.line(f"prepare: {'; '.join(said)}")
    shadows = [f"{prepare.SHADOW}{i}" for i in range(experiment.shadow_models)]
    made = execute(
        {
            "classifier": (prepare.make_classifier, (experiment,)),
            "base model": (prepare.make_model, (experiment, "base")),
            "retrain control": (prepare.make_model, (experiment, "retrain")),
            **{f"{name} model": (prepare.make_model, (experiment, name)) for name in shadows},
        }
    )
    accuracy = made["classifier"].facts["held_out_accuracy"]
    progress.line(
        f"prepare: classifier is right on {accuracy:.1%} of {made['classifier'].facts['held_out_images']} held-out images"
    )
    once: dict[str, tuple[Task, tuple[Any, ...]]] = {"reference statistics": (prepare.make_reference, (experiment,))}
    if shadows:
        once["shadow losses"] = (prepare.make_shadows, (experiment,))
    once |= {name: (prepare.make_shared, (experiment, name)) for name in needed(space)}
    execute(once)
    seeds = plan.calibration_seeds
    samples, confirm = Samples(plan.samples_forgotten, plan.samples_per_retained), Samples(*plan.confirm_samples)
    tasks: dict[str, tuple[Task, tuple[Any, ...]]] = {"synthetic set": (prepare.make_synthetic, (experiment,))}
    for which in ("base", "retrain"):
        model = prepare.model_key(experiment, which)
        tasks |= {f"{which} on seed {s}": (make_score, (experiment, model, samples, s)) for s in seeds}
    base = keys["base model"]
    confirm_seeds = plan.replicate_seeds[1:]
    tasks |= {f"base on confirm seed {s}": (make_score, (experiment, base, confirm, s)) for s in confirm_seeds}
    progress.line(f"prepare: synthetic set; noise of fid_delta over {CALIBRATION_SEEDS} sampling seeds")
    scores = execute(tasks)
    fids = {w: [scores[f"{w} on seed {s}"].facts["figures"]["fid"] for s in seeds] for w in ("base", "retrain")}
    prepared = _budget(plan, fids["base"], fids["retrain"])
    figures = scores[f"base on seed {seeds[0]}"].facts["figures"]
    prepared |= {
        "classifier_accuracy": accuracy,
        "classifier_held_out": made["classifier"].facts["held_out_images"],
        "base_accuracy": figures.get("retain_accuracy"),  # an unconditional model is asked for nothing in particular
        "base_forgotten_accuracy": figures["relearning_accuracy"],
        "calibration_seeds": seeds,
        "finished_at": dt.datetime.now(dt.UTC).isoformat(),
        "keys": keys
        | {"base score": score_key(experiment, base, samples, seeds[0])}
        | {"synthetic set": prepare.synthetic_key(experiment)}
        | {f"shared {name}": prepare.shared_key(experiment, name) for name in needed(space)},
        "seconds": {"prepare": time.monotonic() - start}
        | {f"{n} core": a.facts.get("core_s", 0.0) for n, a in made.items()},
    }
    progress.line(f"prepare: {prepared['fid_budget_rule']}")
    return prepared


def _budget(plan: Plan, base: list[float], retrain: list[float]) -> dict[str, Any]:
    """The FID budget and the noise it is measured in.

    SD of fid_delta is taken on θ*, the model an ideal unlearning would give, over sampling seeds.
    """
    deltas = [r - b for r, b in zip(retrain, base, strict=True)]
    noise = statistics.stdev(deltas)
    auto = max(0.25 * base[0], 2 * noise)
    budget = auto if plan.fid_budget == AUTO else float(plan.fid_budget)
    by = f"max(.25 × {base[0]:.2f}, 2 × {noise:.2f})" if plan.fid_budget == AUTO else f"given; auto would be {auto:.2f}"
    rule = (
        f"FID(θ₀) {base[0]:.2f} (SD {statistics.stdev(base):.2f}); fid_delta of θ* {statistics.fmean(deltas):+.2f} "
        f"(SD {noise:.2f}, {len(deltas)} sampling seeds); FID budget {budget:.2f} = {by}"
    )
    return {
        "fid_budget": budget,
        "fid_budget_rule": rule,
        "fid_base": base[0],
        "fid_base_sd": statistics.stdev(base),
        "fid_delta_sd": noise,
        "fid_delta_retrain": statistics.fmean(deltas),
    }


@contextmanager
def _mistake_in(where: str) -> Iterator[None]:
    """What a settings class refuses is the user's mistake: one line that says where."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise UsageError(f"{where}: {error}") from error
