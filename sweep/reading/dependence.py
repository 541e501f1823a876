"""How each objective, and feasibility, depends on each parameter of an arm, the other parameters held.

Of a run with enough trials an arm: which replacement data, which weights have more or less of a figure, by how much and how
surely. Figures are the search's, of one seed; what a gate stopped has none under attack, so a figure is of the settings that
were worth an attack, and feasibility of all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sweep.reading.importance import FEASIBLE, excludes_0
from sweep.reading.sweep import Sweep
from sweep.reading.trial import values_of
from sweep.statistics.estimates import Estimate
from sweep.statistics.main_effects import MainEffects, Unfitted, main_effects


@dataclass(frozen=True)
class Dependence:
    """Of one figure in one arm: the fit, or the reason why there is none."""

    arm: str
    target: str
    fit: MainEffects | None
    reason: str | None

    @property
    def certain(self) -> dict[tuple[str, str | float], Estimate]:
        """By parameter and value, the effects whose interval excludes 0, the largest first."""
        every = {(p, at): e for p, levels in (self.fit.effects if self.fit else {}).items() for at, e in levels.items()}
        beyond = {k: e for k, e in every.items() if excludes_0(e)}
        return dict(sorted(beyond.items(), key=lambda item: -abs(item[1].mean)))


def dependences(sweep: Sweep) -> tuple[Dependence, ...]:
    """Of each objective and of feasibility (0 or 1) in each arm."""
    targets = (*(o.metric for o in sweep.objectives), FEASIBLE)
    return tuple(_dependence(sweep, arm, target) for target in targets for arm in sweep.arms)


def _dependence(sweep: Sweep, arm: str, target: str) -> Dependence:
    table = sweep.trial_table.filter(pc.equal(sweep.trial_table["arm"], arm))
    y = values_of(table, target)
    known = np.isfinite(y)
    table, y = table.filter(pa.array(known)), y[known]
    words, numbers = {}, {}
    for name in table.column_names:
        column = table[name]
        if not name.startswith("param_") or column.null_count:  # not this arm's, or only some of its trials have it
            continue
        if pa.types.is_dictionary(column.type) or pa.types.is_string(column.type):
            words[name.removeprefix("param_")] = [str(word) for word in column.to_pylist()]
        else:
            numbers[name.removeprefix("param_")] = values_of(table, name)
    try:
        return Dependence(arm, target, main_effects(words, numbers, y), None)
    except Unfitted as reason:
        return Dependence(arm, target, None, str(reason))
