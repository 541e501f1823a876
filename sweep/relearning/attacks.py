"""The attacks of a question's suites, as trials take them."""

from __future__ import annotations

from sweep.space import Attack
from trainables.relearning.experiment import AttackPlan


def attack_plan(attack: Attack) -> AttackPlan:
    """An attack as a trial takes it."""
    return AttackPlan(attack.name, attack.method, dict(attack.settings), attack.counts)
