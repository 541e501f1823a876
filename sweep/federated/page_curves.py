"""Fréchet distances along a training as they are drawn: of whole rows and each party, the best of each arm and controls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sweep.federated.columns import ALL
from sweep.federated.sections import CENTRAL, INDEPENDENT
from sweep.procedures.panels import Axes, Curve, Curves, Panel, Series
from sweep.reading.arm_against_arm import FEW_ARMS, standings
from sweep.reading.best import leader
from sweep.reading.samples import curve_point, has_value, over_seeds
from sweep.reading.sweep import Sweep
from sweep.space import CONTROL
from sweep.statistics.estimates import Estimate
from sweep.statistics.shares import Point

METRIC = "fd"
_DRAWN_CONTROLS = (CENTRAL, INDEPENDENT)


def curves(sweep: Sweep) -> Curves:
    """Whole rows first, then the parties in their order."""
    return Curves(
        METRIC,
        Axes("rounds of training", "fd", _marked(sweep), "round"),
        tuple(map(_series, _parties(sweep))),
        title="Fréchet distance by round",
        nothing="No round recorded yet",
        heading="by round",
        note="Fréchet distance after so many rounds, of whole rows and of each party's part: lower is better.",
        label="Fréchet distance of {trial} and controls, {series}",
    )


def panels(sweep: Sweep) -> tuple[Panel, ...]:
    """Of whole rows and each party: of the confirm phase where anything was confirmed, else of the search."""
    confirm = any(arm.confirmed for arm in sweep.arms.values())
    chosen = list(_chosen(sweep))
    points = {trial_id: _estimates(sweep, trial_id, confirm) for _, _, trial_id in chosen}
    party_panels = []
    for party in _parties(sweep):
        drawn = []
        for label, arm, trial_id in chosen:
            at = {step: estimate for (series, step), estimate in points[trial_id].items() if series == party}
            if at:
                steps = tuple(sorted(at))
                drawn.append(Curve(label, arm, trial_id, steps, tuple(at[step] for step in steps)))
        if drawn:
            party_panels.append(Panel(_series(party), confirm, tuple(drawn)))
    return tuple(party_panels)


def _chosen(sweep: Sweep) -> Iterator[tuple[str, str, str]]:
    """(label, arm, trial) of what is drawn."""
    main = sweep.plan["main_arm"]
    few = len(sweep.arms) <= FEW_ARMS
    order = sorted(sweep.arms, key=lambda arm: arm != main) if few else [one.arm for one in standings(sweep)]
    for arm in order:
        best = leader(sweep, arm)
        if best:
            yield (f"{best.trial_id} (best of {arm})" if few else best.trial_id), arm, best.trial_id
    for control in _DRAWN_CONTROLS:
        if control in sweep.controls:
            yield control, CONTROL, control


def _parties(sweep: Sweep) -> Sequence[str]:
    """Every party with curves, whole rows first."""
    return sorted({place["party"] for place in sweep.places}, key=lambda party: (party != ALL, party))


def _marked(sweep: Sweep) -> tuple[int, ...]:
    """Round numbers, in both senses, up to the longest training's end: five at most."""
    last = max((place["round"] for place in sweep.places), default=0)
    sizes = (base * 10**power for power in range(7) for base in (1, 2, 5))
    apart = next(size for size in sizes if last <= 5 * size)
    return tuple(range(0, last + 1, apart))


def _series(party: str) -> Series:
    return Series(party, "whole rows" if party == ALL else "its own columns")


def _estimates(sweep: Sweep, trial_id: str, confirm: bool) -> dict[tuple[str, int], Estimate]:
    """By party and round: means over fresh seeds with intervals, or the search's one value."""
    if confirm and trial_id not in sweep.controls:
        every = {at: moderated.estimate(trial_id) for at, moderated in sweep.moderated_curve(METRIC).items()}
        return {at: estimate for at, estimate in every.items() if estimate is not None}
    seeds = sweep.seeds(trial_id, confirm)
    points: dict[tuple[str, int], list[Point]] = {}
    for row in sweep.curves_of(trial_id):
        if (row["trial_id"], row["replicate"]) in seeds and row["metric"] == METRIC and has_value(row):
            points.setdefault((row["party"], row["round"]), []).append(curve_point(sweep.columns, row))
    estimates = {at: over_seeds(sweep.columns, METRIC, values) for at, values in points.items()}
    return {at: estimate for at, estimate in estimates.items() if estimate is not None}
