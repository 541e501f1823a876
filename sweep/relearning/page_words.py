"""Sentences of the page and of the plot's caption that are of relearning alone."""

from __future__ import annotations

from sweep.procedures.panels import Caption, Wording
from sweep.reading.comparable import conditions
from sweep.reading.sweep import Sweep
from sweep.reading.words import brief, definitions
from sweep.relearning.columns import FID_BUDGET
from sweep.relearning.definitions import attacks_of


def wording(sweep: Sweep) -> Wording:
    """What the page says of a run of relearning."""
    plan, lacking = sweep.plan, sweep.prepared.get("without_control")
    attacks = attacks_of(sweep, "confirm")
    return Wording(
        subject=(("data", plan["data"]), ("forget", plan["forget"])),
        title=f"{plan['data']}, forget {plan['forget']}",
        planned=f"data {plan['data']}, forgotten: {plan['forget']}",
        course=_course(sweep),
        confirmed_by=f"attacked {attacks}" if plan.get("attacked") else f"against {attacks}",
        prepared=_classifier(sweep),
        stopped="a robustness",
        quality="Quality of what was to stay",
        compared="Unlearning accuracy = 1 − relearning accuracy. * does not count in robustness: its data hold what was forgotten.",
        controls=_controls(lacking, sweep.prepared.get("unseen")) if lacking else "",
    )


def _controls(lacking: str, unseen: str | None) -> str:
    """What stands where there is no retrain control."""
    said = f"No retrain control: {lacking}. Attacks that hold forgotten data have no excess here."
    if not unseen:
        return said
    return (
        f"{said} In its place stand the same attacks on the base model, which forgot nothing, and on it again with {unseen}, which "
        "it never saw (unseen concept, learned anew): how fast they teach what is new, not what was forgotten."
    )


def _course(sweep: Sweep) -> str:
    """What a trial of the search goes through."""
    margin = sweep.plan.get("gate_margin")
    far = f" by more than {margin:.0%} of its bound" if margin else ""
    better = (
        "the front of their arm surely dominates them"
        if len(sweep.objectives) > 1
        else "one of their arm is surely better"
    )
    searched = attacks_of(sweep, "search")
    if not searched:
        return (
            "Every trial unlearns and is scored, and nothing more: what is confirmed is attacked too, and scored at "
            f"k = {', '.join(map(str, sweep.plan['rungs']))}."
        )
    until = f", or until {better}." if sweep.plan.get("stopping") else "."
    return (
        f"Every trial unlearns and is scored; one that surely breaks a constraint{far} stops there. "
        f"The others are attacked ({searched}) and scored at "
        f"k = {', '.join(map(str, sweep.plan['rungs']))}{until}"
    )


def _classifier(sweep: Sweep) -> str:
    """How good the data set's classifier is, once that is known."""
    if sweep.prepared.get("classifier_accuracy") is None:
        return ""
    held_out = sweep.prepared.get("classifier_held_out")
    over = f" of {held_out} held-out images" if held_out else ""
    facets = sweep.prepared.get("facet_accuracy", {})
    over += "".join(f", {name} {100 * share:.1f} %" for name, share in facets.items())
    right = f"{100 * sweep.prepared['classifier_accuracy']:.1f} %{over}"
    wrongly, floor = sweep.prepared.get("judge_false_positives"), ""
    if wrongly is not None:
        floor = f" Of the base model's samples of what stands for the forgotten it finds that in {100 * wrongly:.1f} %."
    floor += _doubt(sweep)
    tried = sweep.prepared.get("judge_facet_accuracy", {})
    if tried:
        shares = ", ".join(f"{100 * share:.1f} % ({name})" for name, share in tried.items())
        return f"The judge {sweep.plan['judge']} that every sample is shown to is right on {shares} of held-out images.{floor}"
    return f"The classifier that every sample is shown to is right on {right}.{floor}"


def _doubt(sweep: Sweep) -> str:
    """That who judges does not know the base model's own images; empty where it does, or the run is older than that is asked."""
    doubt = sweep.prepared.get("judge_doubt", "")
    return f" {doubt[0].upper()}{doubt[1:]}." if doubt else ""


def caption(sweep: Sweep) -> Caption:
    """What a caption for a paper says: data, budget, N, sampler, features, reference and base model."""
    plan, facts = sweep.plan, conditions(sweep)
    budget, drawn = sweep.bounds.get(FID_BUDGET), "fid_delta" in (o.metric for o in sweep.objectives)
    references = " or ".join(h[:12] for h in facts["reference"]) or "not recorded"
    return Caption(
        subject=f"after forgetting {plan['forget']} of {plan['data']}",
        lines=f"The dashed line is the FID budget, {brief(budget)}." if budget is not None and drawn else "",
        facts=(
            f"N: {definitions(sweep)['N']}.{_doubt(sweep)}",
            f"Feature network: {_networks(facts)}; reference statistics {references}.",
        ),
        origin=f"Base model {' or '.join(h[:12] for h in facts['base_model']) or 'not recorded'}",
    )


def _networks(facts: dict[str, list[str]]) -> str:
    hashes = " or ".join(h[:12] for h in facts["feature_network_hash"])
    return (" or ".join(facts["feature_network"]) or "not recorded") + (f", SHA-256 {hashes}" if hashes else "")
