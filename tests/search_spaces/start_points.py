"""What the questions made of methods promise of their start points, which they must write out: they know no torch."""

from __future__ import annotations

from sweep.space import Choice, SearchSpace
from trainables import unlearning


def begins_with_defaults(space: SearchSpace) -> None:
    """Each arm has one start point: the defaults of its method's file, but for what all arms hold alike."""
    for arm in space.arms:
        (begun,) = arm.start_points
        defaults = unlearning.METHODS[arm.method].configure({})
        held = {p.name for p in arm.walk() if isinstance(p, Choice) and len(p.branches) == 1}
        own = {name: value for name, value in begun.items() if name not in held}
        assert own == {name: getattr(defaults, name) for name in own}, arm.name
