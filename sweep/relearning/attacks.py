"""The attacks of a question's suites, as trials take them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sweep.errors import mistake_in
from sweep.space import Attack, Choice, SearchSpace, Value
from trainables.attacks import ATTACKS
from trainables.relearning.experiment import AttackPlan


def attack_plan(attack: Attack) -> AttackPlan:
    """An attack as a trial takes it."""
    return AttackPlan(attack.name, attack.method, dict(attack.settings), attack.counts)


def trains_on(space: SearchSpace, auxiliary: str) -> bool:
    """Whether an attack of the suites trains on this set, or a searched one may. UsageError where one refuses its settings."""
    attacks = [(f"attack {a.name!r}", a.method, a.settings) for a in (*space.search_attacks, *space.confirm_attacks)]
    for arm in space.arms:
        if arm.attack:
            points = arm.start_points or ({},)
            attacks += [(f"arm {arm.name!r}, start point {i}", arm.attack, point) for i, point in enumerate(points)]
            if any(isinstance(p, Choice) and auxiliary in p.branches for p in arm.walk()):
                return True
    return any(
        auxiliary in _auxiliaries(f"space {space.name!r}, {what}", method, settings)
        for what, method, settings in attacks
    )


def _auxiliaries(where: str, method: str, settings: Mapping[str, Value]) -> Collection[str]:
    with mistake_in(where):
        return ATTACKS[method].configure(settings).auxiliaries
