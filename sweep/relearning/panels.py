"""Recovery curves as they are drawn: of every attack, the best trial of each arm beside the base model and the retrain control."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.procedures import START
from sweep.procedures.panels import Axes, Curve, Curves, Panel, Series
from sweep.reading.arm_against_arm import FEW_ARMS, standings
from sweep.reading.best import leader
from sweep.reading.sweep import Sweep
from sweep.records.names import BASE, RETRAIN, UNSEEN
from sweep.relearning.columns import RELEARNED
from sweep.relearning.curves import relearning, rungs_of
from sweep.space import CONTROL
from sweep.statistics.estimates import Estimate
from sweep.statistics.shares import share_estimate


def axes(rungs: Sequence[int]) -> Axes:
    """What recovery curves are drawn against."""
    return Axes(
        "attack step k, spaced by log2(k + 1)", "relearning accuracy", tuple(rungs), "k", doubling=True, share=True
    )


def attack_series(name: str, counts: bool, weights_stay: bool = False) -> Series:
    """An attack as it is named over its curves: with what is apart about it, that it does not count or moves no weight."""
    if weights_stay:
        note = "weights stay" if counts else "does not count, weights stay"
        return Series(name, note, "it changes what the model is told, and not the model")
    return Series(name) if counts else Series(name, "does not count", "its data hold what was forgotten")


def weights_stay(sweep: Sweep, attack: str) -> bool:
    """Whether an attack of this run moves no weight; of runs from before there were such, none does."""
    return attack in sweep.plan.get("weights_stay", ())


def curves(sweep: Sweep) -> Curves:
    """Every attack with curves, in the order of the plan."""
    counts = {p["attack"]: bool(p["counts"]) for p in sweep.places if p["attack"] != START}
    planned = [*sweep.plan["attacks"]["confirm"], *sweep.plan["attacks"]["search"]]
    order = {name: i for i, name in reversed(list(enumerate(planned)))}
    attacks = sorted(counts, key=lambda a: (order.get(a, len(order)), a))
    return Curves(
        RELEARNED,
        axes(sweep.plan["rungs"]),
        tuple(attack_series(name, counts[name], weights_stay(sweep, name)) for name in attacks),
        title="Relearning after k attack steps",
        nothing="No attack recorded yet",
        heading="under attack",
        note="Relearning accuracy after k attack steps, spaced by log2(k + 1): lower is better. Bands are 95 %.",
        label="Relearning accuracy of {trial}, base model and retrain control under {series}",
    )


def recovery_panels(sweep: Sweep) -> tuple[Panel, ...]:
    """Recovery curves of every attack, of the confirm phase where anything was confirmed, else of the search.

    The main arm's comes first, or, where more than two arms are compared, that of the arm that stands first.
    """
    main_arm = sweep.plan["main_arm"]
    order = (
        sorted(sweep.arms, key=lambda a: a != main_arm)
        if len(sweep.arms) <= FEW_ARMS
        else [s.arm for s in standings(sweep)]
    )
    label = "{} (best of {})" if len(sweep.arms) <= FEW_ARMS else "{}"
    chosen = []
    for arm in order:
        best = leader(sweep, arm)
        if best is not None:
            chosen.append((label.format(best.trial_id, arm), arm, best.trial_id))
    chosen += [(control, CONTROL, control) for control in (BASE, RETRAIN, UNSEEN)]
    confirm = any(sweep.arms[a].confirmed for a in sweep.arms)
    estimates = {trial_id: _estimates(sweep, trial_id, confirm) for *_, trial_id in chosen}
    attacks = {a: counts for a, _, counts in rungs_of(sweep)}
    panels = []
    for attack, counts in attacks.items():
        drawn = []
        for label, arm, trial_id in chosen:
            estimates_at = {step: e for (name, step), e in estimates[trial_id].items() if name == attack}
            if estimates_at:
                estimates_at = {
                    step: e for (name, step), e in estimates[trial_id].items() if name == START
                } | estimates_at
                steps = tuple(sorted(estimates_at))
                drawn.append(Curve(label, arm, trial_id, steps, tuple(estimates_at[s] for s in steps)))
        if drawn:
            series = attack_series(attack, counts, weights_stay(sweep, attack))
            panels.append(Panel(series, confirm, tuple(drawn)))
    return tuple(panels)


def _estimates(sweep: Sweep, trial_id: str, confirm: bool) -> dict[tuple[str, int], Estimate]:
    """Intervals over seeds where confirmed; of the search's one seed, the recorded intervals over its samples."""
    if confirm:
        if trial_id in sweep.controls:
            curve = relearning(sweep, trial_id)
            every = {at: share_estimate(list(by_seed.values())) for at, by_seed in curve.items()}
        else:
            every = {at: m.estimate(trial_id) for at, m in sweep.moderated_curve(RELEARNED).items()}
        return {at: estimate for at, estimate in every.items() if estimate is not None}
    seeds = sweep.seeds(trial_id, confirm=False)
    return {
        (r["attack"], r["attack_step"]): Estimate(r["value"], r["lower"], r["upper"], 1)
        for r in sweep.curves_of(trial_id)
        if (r["trial_id"], r["replicate"]) in seeds and r["metric"] == RELEARNED and r["value"] is not None
    }
