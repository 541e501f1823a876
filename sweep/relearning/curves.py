"""Relearning accuracy and what else is scored along an attack, by seed, of one trial of a run."""

from __future__ import annotations

from collections.abc import Iterator

from sweep.procedures import START
from sweep.reading.samples import curve_point, has_value, over_seeds
from sweep.reading.sweep import Sweep
from sweep.reading.trial import Trial
from sweep.relearning.columns import RELEARNED
from sweep.statistics.estimates import Estimate
from sweep.statistics.shares import Point

Curve = dict[tuple[str, int], dict[int, Point]]  # (attack, step) -> seed -> relearning accuracy


def relearning(sweep: Sweep, trial_id: str, confirm: bool = True) -> Curve:
    """Relearning accuracy by (attack, step) and seed, of the confirm phase's replicates or of the search's."""
    seeds = sweep.seeds(trial_id, confirm)
    curve: Curve = {}
    for row in sweep.curves_of(trial_id):
        seed = seeds.get((row["trial_id"], row["replicate"]))
        if seed is not None and row["metric"] == RELEARNED and has_value(row):
            curve.setdefault((row["attack"], row["attack_step"]), {})[seed] = curve_point(sweep.columns, row)
    return curve


def rungs_of(sweep: Sweep) -> Iterator[tuple[str, int, bool]]:
    """Every (attack, step, counts) the curves hold after the start of an attack, in order of the records and rungs."""
    counts_at = {(p["attack"], p["attack_step"]): bool(p["counts"]) for p in sweep.places if p["metric"] == RELEARNED}
    planned = [*sweep.plan["attacks"]["confirm"], *sweep.plan["attacks"]["search"]]
    order = {name: i for i, name in reversed(list(enumerate(planned)))}
    for attack, step in sorted(counts_at, key=lambda at: (order.get(at[0], len(order)), at[0], at[1])):
        if attack != START and step > 0:
            yield attack, step, counts_at[attack, step]


def attacked(sweep: Sweep, trial: Trial, attack: str, metric: str) -> Estimate | None:
    """A figure at the last rung of an attack, over the confirm seeds, or the search's where the trial is not fully confirmed."""
    if trial.fully_confirmed and trial.trial_id not in sweep.controls:
        moderated = sweep.moderated_curve(metric).get((attack, sweep.plan["rungs"][-1]))
        return moderated.estimate(trial.trial_id) if moderated else None
    values = attacked_by_seed(sweep, trial.trial_id, attack, metric, confirm=trial.fully_confirmed).values()
    return over_seeds(sweep.columns, metric, values)


def attacked_by_seed(sweep: Sweep, trial_id: str, attack: str, metric: str, confirm: bool = True) -> dict[int, Point]:
    """A figure at the last rung of an attack, by seed."""
    seeds, last = sweep.seeds(trial_id, confirm), sweep.plan["rungs"][-1]
    return {
        seeds[at]: curve_point(sweep.columns, row)
        for row in sweep.curves_of(trial_id)
        if (at := (row["trial_id"], row["replicate"])) in seeds
        and (row["attack"], row["attack_step"], row["metric"]) == (attack, last, metric)
        and has_value(row)
    }
