"""The prepare phase: what all trials share, made once as Ray tasks (or in this process), and the FID budget it fixes."""

from __future__ import annotations

import datetime as dt
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sweep.errors import UsageError
from sweep.plan.place import Place
from sweep.plan.plan import Plan
from sweep.plan.run import SEEDS_A_SWEEP
from sweep.procedures import Execute, Tell
from sweep.procedures.making import make_all
from sweep.relearning.attacks import attack_plan
from sweep.relearning.flag_values import AUTO
from sweep.relearning.question import asks_of_fid, uses_budget
from sweep.relearning.setup import CALIBRATION_SEEDS, Setup
from sweep.relearning.unseen import experiment_of_unseen, products_beside
from sweep.space import Arm, Attack, Choice, SearchSpace
from trainables.attacks import ATTACKS
from trainables.auxiliary import HOLD_FORGOTTEN
from trainables.data import Dataset
from trainables.denoisers.digests import hashed
from trainables.denoisers.pipelines import fitted, located, read_pipeline
from trainables.denoisers.recipes import Pretrained, classifier_recipe
from trainables.features.efficientnet import read_weights, weights_file
from trainables.features.inception import PINNED_SHA256, checked_weights
from trainables.forgetting import Forget, parse_forget
from trainables.judges import check_trained, judge_of, reader_of
from trainables.judges import digest_of as digest_of_files
from trainables.relearning import products
from trainables.relearning.experiment import Experiment, Samples
from trainables.relearning.origins import LATENTS, parts_of
from trainables.relearning.products import check_beside_base
from trainables.relearning.shared_products import CLASSIFIER, JUDGE, SYNTHETIC, models_of, products_of, score_of
from trainables.relearning.stages.trajectory import check_images
from trainables.running.products import by_name
from trainables.store import Artifact, Store
from trainables.unlearning import METHODS, MethodSettings

SYNTHETIC_OF_PROMPTS = 500  # images of an attacker's synthetic set at least, in equal numbers of each retained prompt
NOISE = "fid_delta_noise"  # the noise in words, where no rule of a budget says them


def experiment_of(setup: Setup, artifacts: str, place: Place, checkpointing: bool | None = None) -> Experiment:
    """What trials of this setup share. UsageError where a pipeline it names cannot be had, or has changed since.

    `checkpointing`, where nobody has asked what fits: as the place says, and of ``auto`` without.
    """
    data = setup.dataset()
    forgetting = parse_forget(setup.forget, data)
    experiment = Experiment(
        store=artifacts,
        data=setup.data,
        data_folder=setup.data_folder,
        image_size=setup.image_size,
        data_limit=setup.data_limit,
        data_skipped=setup.data_skipped,
        data_fingerprint=setup.data_fingerprint or data.fingerprint(),
        forget=forgetting.text,  # one spelling: it is part of every key
        classifier=classifier_recipe(data.judge),
        base=setup.base_recipe(),
        image_sampler=setup.image_sampler,
        sampling_steps=setup.sampling_steps,
        guidance=setup.guidance,
        features=setup.fid_features,
        judge=setup.judge,
        judge_digest=_judge_digest(setup, data),
        weights_file=setup.inception_weights,
        weights_sha256=setup.inception_sha256,
        shadow_models=setup.shadow_models,
        device_name="cuda" if place.gpus_per_trial else "cpu",
        precision="" if setup.precision == AUTO else setup.precision,
        checkpointing=place.checkpointing == "on" if checkpointing is None else checkpointing,
    )
    if data.prompts:
        experiment = replace(
            experiment, synthetic_per_condition=math.ceil(SYNTHETIC_OF_PROMPTS / len(forgetting.retained))
        )
    if not setup.base:
        return experiment
    base = pipeline("--base", setup.base, setup.base_revision, setup, experiment)
    if setup.guidance != 1 and not base.null:
        raise UsageError(f"--guidance {setup.guidance:g}: {setup.base} knows no null condition to guide away from")
    control = (
        pipeline("--retrain-control", setup.retrain_control, "", setup, experiment) if setup.retrain_control else None
    )
    experiment = replace(experiment, base=base, control=control)
    if control:
        with mistake_in("--retrain-control"):
            check_beside_base(experiment, control)
    if setup.base_digest and setup.base_digest != digest_of(experiment):
        raise UsageError(
            f"--base {setup.base}: its files, or the control's, have changed since this run began; start a new run"
        )
    return experiment


def resolved(setup: Setup, experiment: Experiment) -> Setup:
    """The setup with what its judge and its pipelines are fixed for good: the hub's commit, and the digests of all files."""
    setup = replace(setup, judge_digest=experiment.judge_digest)
    if not isinstance(experiment.base, Pretrained):
        return setup
    return replace(setup, base_revision=experiment.base.commit, base_digest=digest_of(experiment))


def digest_of(experiment: Experiment) -> str:
    """The digests of the pretrained base model and of its control."""
    return " ".join(p.digest for p in (experiment.base, experiment.control) if isinstance(p, Pretrained))


def pipeline(flag: str, source: str, revision: str, setup: Setup, experiment: Experiment) -> Pretrained:
    """A pipeline by folder or hub id, known by the hash of its files; UsageError where it does not fit the data."""
    with mistake_in(flag):
        folder, commit = located(source, revision)
        return hashed(fitted(read_pipeline(folder, source, commit, setup.base_classes), experiment.dataset))


def check_members(plan: Plan[Setup], space: SearchSpace) -> None:
    """UsageError where a method or an attack does not have a setting that the space gives it, or refuses a value."""
    setup = plan.setup
    if setup.fid_features == "inception":
        with mistake_in("--inception-weights"):
            checked_weights(setup.inception_weights, setup.inception_sha256 or PINNED_SHA256)
    if setup.fid_features == "efficientnet":
        with mistake_in("--fid-features efficientnet"):
            read_weights(weights_file())
    data = setup.dataset()
    with mistake_in(f"--data {setup.data}"):
        train = data.load(setup.data_fingerprint).train
    forgetting = parse_forget(setup.forget, data)
    with mistake_in("--forget"):
        forget_set, retain_set = forgetting.split(train)
    for images, which in ((forget_set, "forgotten"), (retain_set, "retained")):
        if data.prompts and not len(images):  # features, audits and attack sets are made of both
            raise UsageError(
                f"--data {setup.data}: no image in train/ has a {which} prompt, and {forgetting.text} is judged, audited and "
                "attacked by such; add some to train/metadata.csv"
            )
    with mistake_in(f"--judge {setup.judge}" if setup.judge else f"--data {setup.data}"):
        check_judge(setup.judge, data, forgetting)
    _check_forgets(setup, space, forgetting)
    for arm in space.arms:
        _check_arm(arm, forgetting, f"space {space.name!r}, arm {arm.name!r}")
    bench = products.Workbench(experiment_of(setup, plan.artifacts, plan.place))
    for attack in (*space.search_attacks, *space.confirm_attacks):
        check_attack(bench, attack, f"space {space.name!r}, attack {attack.name!r}")


def check_judge(judge: str, data: Dataset, forgetting: Forget) -> None:
    """ValueError where a judge cannot tell this kind of forgetting, or not the labels that it is about."""
    judge_of(forgetting.kind, judge)
    if reader_of(judge, data, forgetting.facet) is None:
        check_trained(data, forgetting.facet)


def _judge_digest(setup: Setup, data: Dataset) -> str:
    """The digest of the judge's files; empty where it has none. UsageError where they are not there, or no longer the same."""
    with mistake_in(f"--judge {setup.judge}"):
        forgetting = parse_forget(setup.forget, data)
        judge_of(forgetting.kind, setup.judge)
        reader = reader_of(setup.judge, data, forgetting.facet)
        digest = digest_of_files(reader) if reader else ""
    if setup.judge_digest and digest != setup.judge_digest:
        raise UsageError(f"--judge {setup.judge}: its files have changed since this run began; start a new run")
    return digest


def _check_arm(arm: Arm, forgetting: Forget, where: str) -> None:
    """UsageError where the arm's method, or the attack that it searches, refuses an end of a range or a start point."""
    method = METHODS[arm.method]

    def configured(values: Mapping[str, Any]) -> MethodSettings:
        settings = method.configure(values)
        method.check_forgets(forgetting, settings)
        return settings

    with mistake_in(f"{where}, held"):
        configured(arm.held)
    configure: Callable[[Mapping[str, Any]], Any] = ATTACKS[arm.attack].configure if arm.attack else configured
    for parameter in arm.walk():
        values = list(parameter.branches) if isinstance(parameter, Choice) else [parameter.low, parameter.high]
        for value in values:
            with mistake_in(f"{where}, {parameter.name}={value}"):
                auxiliaries = getattr(configure({parameter.name: value}), "auxiliaries", ())
            for auxiliary in HOLD_FORGOTTEN.intersection(auxiliaries):
                raise UsageError(
                    f"{where}, {parameter.name}={value}: {auxiliary} holds what was forgotten; leave it out"
                )
    for i, point in enumerate(arm.start_points):
        with mistake_in(f"{where}, start point {i}"):
            configure(point)


def check_attack(bench: products.Workbench, attack: Attack, where: str) -> None:
    """UsageError where an attack refuses its settings, its sets are too small, or it counts and holds what was forgotten."""
    with mistake_in(where):
        auxiliaries = ATTACKS[attack.method].configure(attack.settings).auxiliaries
    for auxiliary in HOLD_FORGOTTEN.intersection(auxiliaries):
        if attack.counts:
            raise UsageError(f"{where}: {auxiliary} holds the forgotten condition; declare it with counts=False")
    with mistake_in(where):
        check_images(bench, attack_plan(attack))


def _check_forgets(setup: Setup, space: SearchSpace, forgetting: Forget) -> None:
    """UsageError naming the arms whose method cannot forget this kind of thing, the first one's reason, and those whose can."""
    able: list[str] = []
    unable: list[str] = []
    reason = ""
    for arm in space.arms:
        with mistake_in(f"space {space.name!r}, arm {arm.name!r}"):
            method = METHODS[arm.method]
        try:
            method.check_forgets(forgetting)
            able.append(arm.name)
        except ValueError as error:
            unable.append(arm.name)
            reason = reason or str(error)
    if unable:
        some = f"--fix method={','.join(able)} keeps those that can" if able else "none of its arms can"
        arms = ", ".join(unable)
        raise UsageError(f"--forget {setup.forget}: space {space.name!r}: {arms} cannot forget it; {some} ({reason})")


def calibration_seeds(plan: Plan[Setup]) -> list[int]:
    """Sampling seeds that the noise of fid_delta is measured over: the search's own, and some that nothing else uses."""
    first = plan.replicate_seeds[0]
    return [first, *(first + SEEDS_A_SWEEP - i for i in range(1, CALIBRATION_SEEDS))]


def needed(space: SearchSpace) -> list[str]:
    """The shared artifacts that the space's methods need."""
    return sorted({name for arm in space.arms for name in METHODS[arm.method].needs})


def keys_of(experiment: Experiment) -> dict[str, str]:
    """The artifact keys of the models and of the classifier that every sweep prepares, as this code makes them; makes nothing."""
    graph = products_of(experiment)
    return {name: graph[name].key() for name in (*models_of(experiment), CLASSIFIER)}


def code_differs(prepared: Mapping[str, Any], experiment: Experiment) -> str:
    """Which of a run's prepared artifacts other code or libraries made, so that its figures would mix with ours; else empty."""
    recorded = prepared.get("keys", {})
    return ", ".join(name for name, key in keys_of(experiment).items() if recorded.get(name, key) != key)


def prepare_all(
    plan: Plan[Setup], space: SearchSpace, experiment: Experiment, execute: Execute, tell: Tell
) -> dict[str, Any]:
    """Find or make every shared artifact; returns what ``prepared.json`` holds.

    The noise of fid_delta is measured, and the FID budget fixed, where the question asks of them.
    """
    start, setup = time.monotonic(), plan.setup
    keys = keys_of(experiment)
    _tell_of_models(experiment, keys, tell)
    _import_pretrained(experiment)
    seeds, whiches = [plan.replicate_seeds[0]], ["base"]
    if asks_of_fid(space):
        tell(f"prepare: noise of fid_delta over {CALIBRATION_SEEDS} sampling seeds")
        seeds, whiches = calibration_seeds(plan), list(models_of(experiment).values())
    samples, confirm = Samples(setup.samples_forgotten, setup.samples_per_retained), Samples(*setup.confirm_samples)
    scores = [score_of(experiment, f"{w} on seed {s}", w, samples, s) for w in whiches for s in seeds]
    shared, unseen = products_of(experiment, needed(space)), experiment_of_unseen(experiment)
    graph = by_name([*shared.values(), *products_beside(experiment, shared), *scores])
    made = make_all(graph, execute, Store(experiment.store))
    judge = made[CLASSIFIER].facts
    later = [score_of(experiment, f"base on seed {s}, confirm", "base", confirm, s) for s in plan.replicate_seeds[1:]]
    fids = {w: [made[f"{w} on seed {s}"].facts["figures"]["fid"] for s in seeds] for w in whiches}
    first = made[f"base on seed {seeds[0]}"]
    figures = first.facts["figures"]
    _tell_of_judges(setup.judge, made, figures, tell)
    prepared: dict[str, Any] = {"fid_base": fids["base"][0]}
    if uses_budget(space):
        prepared = _budget(setup.fid_budget, fids["base"], fids.get("retrain"))
        tell(f"prepare: {prepared['fid_budget_rule']}")
    elif asks_of_fid(space):
        prepared = _noise(fids["base"], fids.get("retrain"))
        tell(f"prepare: {prepared[NOISE]}")
    prepared |= {
        "without_control": experiment.without_control,
        **({"unseen": unseen.forget} if unseen else {}),
        "classifier_accuracy": judge["held_out_accuracy"],
        "classifier_held_out": judge["held_out_images"],
        **of_facets(experiment, judge),
        **({"judge_false_positives": figures["anchors_as_forgotten"]} if "anchors_as_forgotten" in figures else {}),
        **({"judge_facet_accuracy": made[JUDGE].facts["facet_accuracy"]} if JUDGE in made else {}),
        "base_accuracy": figures.get("retain_accuracy"),  # an unconditional model is asked for nothing in particular
        "base_forgotten_accuracy": figures["relearning_accuracy"],
        "calibration_seeds": seeds,
        "finished_at": dt.datetime.now(dt.UTC).isoformat(),
        "keys": keys
        | {"base score": first.key}
        | {name: graph[name].key() for name in (SYNTHETIC, *(f"shared {need}" for need in needed(space)))},
        "shared": sorted({product.key() for product in (*graph.values(), *later)}),
        "seconds": {"prepare": time.monotonic() - start} | _training_times(made),
    }
    return prepared


def _tell_of_judges(name: str, made: Mapping[str, Any], figures: Mapping[str, float], tell: Tell) -> None:
    """How often who judges is right on held-out images, and mistaken where θ₀ is asked for what stands for the forgotten."""
    judge = made[CLASSIFIER].facts
    tell(
        f"prepare: classifier is right on {judge['held_out_accuracy']:.1%} of {judge['held_out_images']} held-out images"
        + _by_facet(judge)
    )
    if JUDGE in made:
        tried = made[JUDGE].facts
        tell(f"prepare: judge {name} is tried on {tried['held_out_images']} held-out images{_by_facet(tried)}")
    if "anchors_as_forgotten" in figures:
        tell(
            f"prepare: θ₀'s samples for what stands for the forgotten show it in {figures['anchors_as_forgotten']:.1%}"
        )


def _by_facet(judge: Mapping[str, Any]) -> str:
    """`` (concept 96.1%, style 99.9%)``; nothing where conditions are no prompts."""
    shares = ", ".join(f"{name} {share:.1%}" for name, share in judge.get("facet_accuracy", {}).items())
    return f" ({shares})" if shares else ""


def of_facets(experiment: Experiment, judge: Mapping[str, Any]) -> dict[str, Any]:
    """Of prompts, how often the classifier is right in each facet, and the labels of the one that is forgotten."""
    named = {facet.name: facet.labels for facet in experiment.dataset.facets}
    if not named:
        return {}
    return {"facet_accuracy": judge["facet_accuracy"], "labels": list(named[experiment.forgetting.facet])}


def _training_times(made: Mapping[str, Artifact]) -> dict[str, float]:
    """Core-seconds of what was trained, by ``NAME core``; a score's stands in its own sidecar."""
    trained = {name: a for name, a in made.items() if a.kind != "score" and "core_s" in a.facts}
    return {f"{name} core": artifact.facts["core_s"] for name, artifact in trained.items()}


def _tell_of_models(experiment: Experiment, keys: Mapping[str, str], tell: Tell) -> None:
    """Which of the models are there, and which are trained now."""
    store = Store(experiment.store)
    cached = [name for name, key in keys.items() if store.find(key)]
    todo = [name for name in keys if name not in cached]
    parts = [f"{verb} {', '.join(names)}" for verb, names in (("found", cached), ("training", todo)) if names]
    tell(f"prepare: {'; '.join(parts)}")
    if experiment.without_control:
        tell(f"prepare: no retrain control: {experiment.without_control}")


def _import_pretrained(experiment: Experiment) -> None:
    """Take pretrained models into the store, from here: no other machine need see their folders.

    Of a text-to-image pipeline the VAE and the prompts too, by its text encoders; latents are made of what is in the store.
    """
    if not isinstance(experiment.base, Pretrained):
        return
    for name, part in parts_of(experiment).items():
        if name != LATENTS:
            with mistake_in("--base"):
                part.make()
    for which in models_of(experiment).values():
        with mistake_in("--base" if which == "base" else "--retrain-control"):
            products.make_model(experiment, which)


def _noise(base: list[float], retrain: list[float] | None) -> dict[str, Any]:
    """The noise of fid_delta over sampling seeds.

    SD of fid_delta is taken on θ*, the model an ideal unlearning would give, over sampling seeds. Without a θ* it is √2
    times FID(θ₀)'s, as if θᵤ's were as noisy and independent of it.
    """
    spread = statistics.stdev(base)
    deltas = [r - b for r, b in zip(retrain, base, strict=True)] if retrain else []
    noise = statistics.stdev(deltas) if deltas else math.sqrt(2) * spread
    mean_and_sd = (
        f"fid_delta of θ* {statistics.fmean(deltas):+.2f} (SD {noise:.2f}"
        if deltas
        else f"no θ* (SD taken for {noise:.2f}"
    )
    return {
        NOISE: f"FID(θ₀) {base[0]:.2f} (SD {spread:.2f}); {mean_and_sd}, {len(base)} sampling seeds)",
        "fid_base": base[0],
        "fid_base_sd": spread,
        "fid_delta_sd": noise,
        "fid_delta_retrain": statistics.fmean(deltas) if deltas else None,
    }


def _budget(asked: float | str, base: list[float], retrain: list[float] | None) -> dict[str, Any]:
    """The FID budget and the noise it is measured in."""
    facts = _noise(base, retrain)
    noise, measured = facts["fid_delta_sd"], facts.pop(NOISE)
    auto = max(0.25 * base[0], 2 * noise)
    budget = auto if asked == AUTO else float(asked)
    by = f"max(.25 × {base[0]:.2f}, 2 × {noise:.2f})" if asked == AUTO else f"given; auto would be {auto:.2f}"
    return {"fid_budget": budget, "fid_budget_rule": f"{measured}; FID budget {budget:.2f} = {by}"} | facts


@contextmanager
def mistake_in(where: str) -> Iterator[None]:
    """What a settings class refuses is the user's mistake: one line that says where."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise UsageError(f"{where}: {error}") from error
