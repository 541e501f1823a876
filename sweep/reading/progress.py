"""How far a run is, by its records: what ended of what is planned, and how long the rest may take."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow.compute as pc

from sweep.reading.durations import duration
from sweep.reading.sweep import Sweep
from sweep.reading.timeline import timeline
from sweep.records import RUNNING
from sweep.space import CONTROL


@dataclass(frozen=True)
class Progress:
    """Of the search its trials, of the confirmation its replicates, controls' included; `planned` is None until it is known.

    `left_s` is what the rest takes if it takes as long as what ended, on as many workers as were seen; None before anything has.
    """

    searching: bool
    ended: int
    planned: int | None
    left_s: float | None

    def __str__(self) -> str:
        """``search: 5 of 24 trials ended, at most about 12 minutes left``."""
        what = "search" if self.searching else "confirmation"
        unit = "trials" if self.searching else "replicates"
        of = "" if self.planned is None else f" of {self.planned}"
        counted = f"{what}: {self.ended}{of} {unit} ended"
        if self.ended == self.planned:
            return counted
        if self.left_s is None:
            return f"{counted}, time left not known yet"
        most = "at most " if self.searching else ""  # a rule may end it before its trials
        return f"{counted}, {most}about {duration(self.left_s)} left"


def progress(sweep: Sweep) -> Progress:
    """Of the phase that a run is in, or was in when it ended."""
    searching = not sweep.ended_by
    if searching:
        rows = sweep.trial_table.select(["arm", "state"]).to_pylist()
        states = [row["state"] for row in rows if row["arm"] != CONTROL]
    else:
        states = [row["state"] for row in sweep.confirm_rows]
    ended = sum(state != RUNNING for state in states)
    planned = _trials_planned(sweep) if searching else _replicates_planned(sweep)
    took, lanes = _seconds_each(sweep, searching), timeline(sweep)
    if planned is None or took is None or lanes is None:
        return Progress(searching, ended, planned, None)
    return Progress(searching, ended, planned, took * max(0, planned - ended) / len(lanes.workers))


def _trials_planned(sweep: Sweep) -> int:
    baselines = sweep.plan["baseline_trials"] if any(arm.baseline for arm in sweep.arms.values()) else 0
    return int(sweep.plan["trials"] + baselines)


def _replicates_planned(sweep: Sweep) -> int | None:
    """It is confirmed seed by seed: who is confirmed is known once a trial's second seed has begun; controls may be ahead."""
    numbers = {row["replicate"] for row in sweep.confirm_rows if row["arm"] != CONTROL}
    if sweep.adaptive:  # how many there are, the end tells
        return len(sweep.confirm_rows) if "ended_by" in sweep.confirmation else None
    seeds = int(sweep.plan["confirm_seeds"])
    if not numbers or (max(numbers) < 2 and seeds > 1):
        return None
    return len({row["trial_id"] for row in sweep.confirm_rows}) * seeds


def _seconds_each(sweep: Sweep, searching: bool) -> float | None:
    """Mean elapsed seconds of the phase's replicates whose stages were made here."""
    table = sweep.stage_columns(["trial_id", "replicate", "found", "wall_s"])
    of_phase = pc.equal(table["replicate"], 0) if searching else pc.greater(table["replicate"], 0)
    table = table.filter(pc.and_(of_phase, pc.invert(pc.fill_null(table["found"], False))))
    each = table.group_by(["trial_id", "replicate"]).aggregate([("wall_s", "sum")])
    return pc.mean(each["wall_s_sum"]).as_py() if each.num_rows else None
