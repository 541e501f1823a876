"""The prepare phase: what all trials share, made once as Ray tasks (or in this process), and the FID budget it fixes."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from typing import Any

from sweep.errors import UsageError, mistake_in
from sweep.plan.plan import Plan
from sweep.plan.run import SEEDS_A_SWEEP
from sweep.procedures import Execute, Tell
from sweep.procedures.making import make_all
from sweep.relearning.attacks import trains_on
from sweep.relearning.columns import COUNTED_BY
from sweep.relearning.fid_budget import NOISE, fid_budget, fid_noise
from sweep.relearning.question import asks_of_fid, uses_budget
from sweep.relearning.setup import CALIBRATION_SEEDS, Setup
from sweep.relearning.unseen import experiment_of_unseen, products_beside
from sweep.space import SearchSpace
from trainables.denoisers.recipes import Pretrained
from trainables.forgetting import CONDITIONS
from trainables.relearning import products
from trainables.relearning.experiment import Experiment, Samples
from trainables.relearning.origins import LATENTS, parts_of
from trainables.relearning.products.judge import judge_for
from trainables.relearning.shared_products import CLASSIFIER, JUDGE, SYNTHETIC, models_of, products_of, score_of
from trainables.running.products import Product, by_name
from trainables.store import Artifact, Store
from trainables.unlearning import METHODS

_KNOWS = 0.5  # share of θ₀'s own samples below which a judge is not taken to know what it is asked for
_UNLEARNED = "unlearning_accuracy"


def calibration_seeds(plan: Plan[Setup]) -> list[int]:
    """Sampling seeds that the noise of fid_delta is measured over: the search's own, and some that nothing else uses."""
    first = plan.replicate_seeds[0]
    return [first, *(first + SEEDS_A_SWEEP - i for i in range(1, CALIBRATION_SEEDS))]


def needed(space: SearchSpace) -> list[str]:
    """The shared artifacts that the space's methods need."""
    return sorted({name for arm in space.arms for name in METHODS[arm.method].needs})


def shared_by(space: SearchSpace, experiment: Experiment) -> dict[str, Product]:
    """The products that trials of the question share, by name; the synthetic set only where an attack may train on it."""
    shared = products_of(experiment, needed(space))
    if not trains_on(space, "synthetic"):
        del shared[SYNTHETIC]  # of a large model hundreds of images that nobody would look at
    return shared


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
    shared, unseen = shared_by(space, experiment), experiment_of_unseen(experiment)
    graph = by_name([*shared.values(), *products_beside(experiment, shared), *scores])
    made = make_all(graph, execute, Store(experiment.store))
    judge = made[CLASSIFIER].facts
    later = [score_of(experiment, f"base on seed {s}, confirm", "base", confirm, s) for s in plan.replicate_seeds[1:]]
    fids = {w: [made[f"{w} on seed {s}"].facts["figures"]["fid"] for s in seeds] for w in whiches}
    first = made[f"base on seed {seeds[0]}"]
    figures, counts = first.facts["figures"], first.facts["counts"]
    _tell_of_judges(setup.judge, made, figures, tell)
    doubt = judge_doubt(experiment, figures)
    if doubt:
        tell(f"prepare: {doubt}")
        check_base_breaks_bounds(space, figures, samples.forgotten, doubt)
    prepared: dict[str, Any] = {"fid_base": fids["base"][0]}
    if uses_budget(space):
        prepared = fid_budget(setup.fid_budget, fids["base"], fids.get("retrain"))
        tell(f"prepare: {prepared['fid_budget_rule']}")
    elif asks_of_fid(space):
        prepared = fid_noise(fids["base"], fids.get("retrain"))
        tell(f"prepare: {prepared[NOISE]}")
    prepared |= {
        "without_control": experiment.without_control,
        **({"unseen": unseen.forget} if unseen else {}),
        "classifier_accuracy": judge["held_out_accuracy"],
        "classifier_held_out": judge["held_out_images"],
        **of_facets(experiment, judge),
        **({"judge_doubt": doubt} if doubt else {}),
        **({"judge_false_positives": figures["anchors_as_forgotten"]} if "anchors_as_forgotten" in figures else {}),
        **({"judge_facet_accuracy": made[JUDGE].facts["facet_accuracy"]} if JUDGE in made else {}),
        "base_accuracy": figures.get("retain_accuracy"),  # an unconditional model is asked for nothing in particular
        "base_forgotten_accuracy": figures["relearning_accuracy"],
        "samples_retained": counts.get(COUNTED_BY, counts["fid"]),  # of a trial of the search, of all conditions
        "calibration_seeds": seeds,
        "finished_at": dt.datetime.now(dt.UTC).isoformat(),
        "keys": keys
        | {"base score": first.key}
        | {n: graph[n].key() for n in (SYNTHETIC, *(f"shared {need}" for need in needed(space))) if n in graph},
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


def judge_doubt(experiment: Experiment, figures: Mapping[str, float]) -> str:
    """A sentence where who judges finds what is forgotten in less than half of θ₀'s own samples of it; else empty.

    Of single images there is none: an unconditional model draws each of them now and then.
    """
    found = figures["relearning_accuracy"]
    if experiment.forgetting.kind != CONDITIONS or found >= _KNOWS:
        return ""
    return (
        f"the judge, {judge_for(experiment).name}, finds what is to be forgotten in {found:.1%} of the base model's own samples of "
        "it: what it does not find may have been forgotten by nobody"
    )


def check_base_breaks_bounds(space: SearchSpace, figures: Mapping[str, float], n: int, doubt: str) -> None:
    """UsageError where θ₀, of which nothing was unlearned, meets a bound on unlearning accuracy, as any trial may by doing nothing.

    Of so few samples (n) that one alone breaks the bound, that is left to `doubt`: a smoke run is of such. So is a bound that
    asks for less than half: it says that something was lost, not that it is forgotten.
    """
    for constraint in space.constraints:
        bound = constraint.bound
        if constraint.metric != _UNLEARNED or constraint.side != "at_least" or bound is None:
            continue
        if constraint.violation(figures[_UNLEARNED]) <= 0 and bound >= 1 - _KNOWS and n * (1 - bound) >= 1:
            raise UsageError(
                f"--judge: {doubt}. It has {_UNLEARNED} {figures[_UNLEARNED]:.3f}, and the question asks for {bound:g} at least; "
                "give another --judge, one that knows it in the base model's samples"
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
