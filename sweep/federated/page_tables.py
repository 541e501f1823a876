"""Tables of the page that are of federated trials alone: the ε that is certified, claimed and audited."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.procedures.panels import Cell, Heading, Table
from sweep.reading.arm_against_arm import standings
from sweep.reading.sweep import Sweep
from sweep.reading.trial import Trial

_COLUMNS = {
    "epsilon": "ε certified",
    "claimed_epsilon": "ε claimed",
    "audited_epsilon_published": "audited ε ≥, published",
    "audited_epsilon_critics": "audited ε ≥, critics",
    "audit_ceiling": "audit's ceiling",
    "membership_auc_published": "AUC, published",
    "membership_auc_critics": "AUC, critics",
    "noise_multiplier": "σ of a group",
}


def privacy(sweep: Sweep, trials: Sequence[Trial]) -> Table:
    """The best of each arm and the controls; every other trial folded below."""
    best = [standing.member for standing in standings(sweep) if standing.member is not None]
    first = [*best, *sweep.controls.values()]
    shown = {trial.trial_id for trial in first}
    others = [trial for trial in trials if trial.trial_id not in shown]
    return Table(
        "ε that is certified, claimed and audited",
        (Heading("trial", "words"), *map(Heading, _COLUMNS.values())),
        tuple(map(_row, first)),
        "A dash: no such ε. Of the control of private rows the audit finds its ceiling, for that publishes what it was given.",
        folded=tuple(map(_row, others)),
        summary=f"{len(others)} more" if others else "",
    )


def _row(trial: Trial) -> tuple[Cell, ...]:
    return trial.trial_id, *(trial.at(name) for name in _COLUMNS)
