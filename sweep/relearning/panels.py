"""Recovery curves as they are drawn: of every attack, the best trial of each arm beside the base model and the retrain control."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.reading.arm_against_arm import FEW_ARMS, standings
from sweep.reading.best import leader
from sweep.reading.curves import relearning, rungs_of
from sweep.reading.samples import RELEARNED
from sweep.reading.sweep import Sweep
from sweep.records.names import BASE, RETRAIN
from sweep.space import CONTROL
from sweep.statistics.estimates import Estimate
from sweep.statistics.shares import share_estimate


@dataclass(frozen=True)
class Series:
    """Relearning accuracy of one model over the steps of one attack."""

    label: str
    role: str  # main, baseline, base or retrain
    arm: str
    trial_id: str
    steps: tuple[int, ...]
    values: tuple[Estimate, ...]


@dataclass(frozen=True)
class Panel:
    """One attack's curves: the best of each arm, the base model and the retrain control."""

    attack: str
    counts: bool
    confirmed: bool  # intervals over seeds; otherwise over the samples of the search's one seed
    series: tuple[Series, ...]


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
    chosen = [(label.format(m.trial_id, a), "baseline" if m.baseline else "main", a, m.trial_id)
              for a in order if (m := leader(sweep, a))]  # fmt: skip
    chosen += [(BASE, "base", CONTROL, BASE), (RETRAIN, "retrain", CONTROL, RETRAIN)]
    confirm = any(sweep.arms[a].confirmed for a in sweep.arms)
    curves = {trial_id: _estimates(sweep, trial_id, confirm) for *_, trial_id in chosen}
    attacks = {a: counts for a, _, counts in rungs_of(sweep)}
    found = []
    for attack, counts in attacks.items():
        series = []
        for label, role, arm, trial_id in chosen:
            own = {step: e for (name, step), e in curves[trial_id].items() if name == attack}
            if own:
                own = {step: e for (name, step), e in curves[trial_id].items() if name == "none"} | own
                steps = tuple(sorted(own))
                series.append(Series(label, role, arm, trial_id, steps, tuple(own[s] for s in steps)))
        if series:
            found.append(Panel(attack, counts, confirm, tuple(series)))
    return tuple(found)


def _estimates(sweep: Sweep, trial_id: str, confirm: bool) -> dict[tuple[str, int], Estimate]:
    """Intervals over seeds where confirmed; of the search's one seed, the recorded intervals over its samples."""
    if confirm:
        curve = relearning(sweep, trial_id)
        return {at: e for at, by_seed in curve.items() if (e := share_estimate(list(by_seed.values())))}
    seeds = sweep.seeds(trial_id, confirm=False)
    return {
        (r["attack"], r["attack_step"]): Estimate(r["value"], r["lower"], r["upper"], 1)
        for r in sweep.curves_of(trial_id)
        if (r["trial_id"], r["replicate"]) in seeds and r["metric"] == RELEARNED and r["value"] is not None
    }
