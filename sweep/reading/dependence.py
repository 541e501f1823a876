"""How each objective, and feasibility, depends on each parameter of an arm, the other parameters held.

Figures are the search's, of its one seed, of every trial that has them: what a gate stopped has none of what came after the gate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sweep.reading.importance import FEASIBLE
from sweep.reading.sweep import Sweep
from sweep.reading.trial import values_of
from sweep.reading.words import brief
from sweep.statistics.estimates import Estimate
from sweep.statistics.main_effects import Level, MainEffects, Unfitted, main_effects


@dataclass(frozen=True)
class Dependence:
    """Of one figure in one arm: the fit, or the reason why there is none.

    `conditional` are the arm's parameters that some of these trials have not; they are in no fit.
    """

    arm: str
    target: str
    fit: MainEffects | None
    reason: str | None
    conditional: tuple[str, ...]

    @property
    def effects(self) -> dict[str, dict[Level, Estimate]]:
        """By parameter and level: what the figure differs by there."""
        return self.fit.effects if self.fit else {}

    @property
    def certain(self) -> dict[str, dict[Level, Estimate]]:
        """Of these, the parameters of which at least one interval excludes 0."""
        return {name: levels for name, levels in self.effects.items() if any(e.excludes_0 for e in levels.values())}


def level_text(level: Level) -> str:
    """``blank``, ``0.97``, or ``0.0001 … 0.0004`` for a part of a number's values."""
    if isinstance(level, tuple):
        low, high = level
        return f"{brief(low)} … {brief(high)}"
    return level if isinstance(level, str) else brief(level)


def dependences(sweep: Sweep) -> tuple[Dependence, ...]:
    """How each objective and feasibility (0 or 1) depends on parameters, in each arm."""
    targets = (*(o.metric for o in sweep.objectives), FEASIBLE)
    return tuple(_dependence(sweep, arm, target) for target in targets for arm in sweep.arms)


def _dependence(sweep: Sweep, arm: str, target: str) -> Dependence:
    """One figure's, of one arm's trials that have it."""
    table = sweep.trial_table.filter(pc.equal(sweep.trial_table["arm"], arm))
    y = values_of(table, target)
    known = np.isfinite(y)
    table, y = table.filter(pa.array(known)), y[known]
    words, numbers, conditional = {}, {}, []
    for column_name in table.column_names:
        name, column = column_name.removeprefix("param_"), table[column_name]
        if name == column_name or column.null_count == len(table):  # no parameter, or another arm's
            continue
        if column.null_count:
            conditional.append(name)
        elif pa.types.is_dictionary(column.type) or pa.types.is_string(column.type):
            words[name] = [str(word) for word in column.to_pylist()]
        else:
            numbers[name] = values_of(table, column_name)
    try:
        return Dependence(arm, target, main_effects(words, numbers, y), None, tuple(conditional))
    except Unfitted as reason:
        return Dependence(arm, target, None, str(reason), tuple(conditional))
