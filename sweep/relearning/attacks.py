"""The attacks of a question's suites, as trials take them."""

from __future__ import annotations

from sweep.space import Attack, Choice, SearchSpace
from trainables.attacks import ATTACKS
from trainables.relearning.experiment import AttackPlan


def attack_plan(attack: Attack) -> AttackPlan:
    """An attack as a trial takes it."""
    return AttackPlan(attack.name, attack.method, dict(attack.settings), attack.counts)


def trains_on(space: SearchSpace, auxiliary: str) -> bool:
    """Whether an attack of the suites trains on this set, or one that is searched may."""
    attacks = [(a.method, a.settings) for a in (*space.search_attacks, *space.confirm_attacks)]
    for arm in space.arms:
        if arm.attack:
            attacks += [(arm.attack, point) for point in arm.start_points or ({},)]
            if any(isinstance(p, Choice) and auxiliary in p.branches for p in arm.walk()):
                return True
    return any(auxiliary in ATTACKS[method].configure(settings).auxiliaries for method, settings in attacks)
