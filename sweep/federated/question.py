"""What a question asks of federated trials: its synthesizers, its mechanism, and how a setup changes both."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from typing import Any

from sweep.errors import UsageError, near
from sweep.federated.columns import WANTED_EPSILON
from sweep.space import Arm, Float, SearchSpace, find

MECHANISM, TARGET, CLIP = "mechanism", "target_epsilon", "clip_norm"  # settings of trials
SYNTHESIZERS, MECHANISMS = "federated/synthesizers", "federated/mechanisms"  # families, by their folders
NONE, RECORD = "none", "record"
CERTIFIED = (
    RECORD,
)  # mechanisms whose ε is proven; `check` holds this against what they say themselves once they are imported
NOISY = ("published", RECORD)
_PROVEN = ("epsilon", "audited_epsilon_excess")  # figures that only a proven ε gives
DEFAULT_EPSILON = 100.0  # of a question that says none: digits are few
_LOWEST_SHARE = 0.1  # of the ε wanted, where a question's range begins above it


def check(space: SearchSpace) -> None:
    """UsageError naming the arm whose synthesizer or mechanism does not exist, or the figure that no trial would have."""
    where = f"space {space.name!r}"
    if space.rungs or space.search_attacks or space.confirm_attacks:
        raise UsageError(f"{where}: rungs and suites are another procedure's; leave them out")
    known = find.members(SYNTHESIZERS)
    for arm in space.arms:
        at = f"{where}, arm {arm.name!r}"
        if arm.attack:
            raise UsageError(f"{at}: {arm.attack!r} is searched by another procedure; leave it out")
        if arm.method not in known:
            raise UsageError(f"{at}: method {arm.method}: unknown; {near(arm.method, known)}")
        mechanism = mechanism_of(arm)
        if mechanism not in find.members(MECHANISMS):
            raise UsageError(f"{at}: mechanism {mechanism}: unknown; {near(mechanism, find.members(MECHANISMS))}")
        if mechanism not in CERTIFIED:
            _check_asked(space, at, mechanism)
    for constraint in space.constraints:
        if constraint.word == WANTED_EPSILON and constraint.metric not in ("epsilon", "claimed_epsilon"):
            raise UsageError(
                f"{where}, constraint {constraint.metric!r}: the ε wanted is a bound of epsilon; write a number"
            )


def _check_asked(space: SearchSpace, at: str, mechanism: str) -> None:
    asked = {*(o.metric for o in space.objectives), *(c.metric for c in space.constraints)}
    for metric in _PROVEN:
        if metric in asked:
            others = ", ".join(CERTIFIED)
            raise UsageError(
                f"{at}: mechanism {mechanism!r} proves no epsilon, and the question asks for {metric}; take {others}, or ask "
                "another question"
            )


def mechanism_of(arm: Arm) -> str:
    """The mechanism that an arm's trials spend ε by."""
    return str(arm.held.get(MECHANISM, NONE))


def under(space: SearchSpace, mechanism: str, epsilon: float | None = None) -> SearchSpace:
    """The question under this mechanism (empty: its own), whose ε may be `epsilon` at most (None: its own, or 100 of one without).

    An arm that searches the ε to be spent searches up to that; another one's noise is found for all of it. An ε of the question's
    own that is smaller holds. Parameters of a mechanism that is replaced are left out.
    """
    arms = tuple(_under(arm, mechanism or mechanism_of(arm), epsilon) for arm in space.arms)
    names = {p.name for arm in arms for p in arm.parameters}
    return dataclasses.replace(space, arms=arms, shared=tuple(name for name in space.shared if name in names))


def wanted_epsilon(space: SearchSpace) -> float:
    """The most that a trial may spend; 100 where none spends any."""
    targets = []
    for arm in space.arms:
        targets += [p.high for p in arm.parameters if p.name == TARGET and isinstance(p, Float)]
        targets += [
            float(value) for name, value in arm.held.items() if name == TARGET and isinstance(value, int | float)
        ]
    return max(targets, default=DEFAULT_EPSILON)


def spends(space: SearchSpace) -> bool:
    """Whether an arm's trials spend an ε."""
    return any(mechanism_of(arm) in NOISY for arm in space.arms)


def _under(arm: Arm, mechanism: str, epsilon: float | None) -> Arm:
    gone = _not_of(mechanism)
    parameters = tuple(_up_to(p, epsilon) for p in arm.parameters if p.name not in gone)
    held = {name: value for name, value in arm.held.items() if name not in gone} | {MECHANISM: mechanism}
    if mechanism in NOISY and TARGET not in {p.name for p in parameters}:
        target = held.get(TARGET)
        limits = [limit for limit in (target, epsilon) if isinstance(limit, int | float)]
        held[TARGET] = min(limits, default=DEFAULT_EPSILON)
    before, after = ({p.name: p for p in some}.get(TARGET) for some in (arm.parameters, parameters))
    points = tuple(_fitted(point, gone, before, after) for point in arm.start_points)
    return dataclasses.replace(arm, parameters=parameters, held=held, start_points=points)


def _not_of(mechanism: str) -> Collection[str]:
    """The settings that a mechanism does not have."""
    if mechanism == RECORD:
        return ()
    return (CLIP,) if mechanism in NOISY else (CLIP, TARGET)


def _up_to(parameter: Any, epsilon: float | None) -> Any:
    if parameter.name != TARGET or not isinstance(parameter, Float) or epsilon is None or epsilon >= parameter.high:
        return parameter
    low = parameter.low if parameter.low < epsilon else _LOWEST_SHARE * epsilon
    return dataclasses.replace(parameter, low=low, high=epsilon)


def _fitted(point: Mapping[str, Any], gone: Collection[str], before: Any, after: Any) -> dict[str, Any]:
    """A start point without what is gone, its ε at the same place of the range as it was: unlike points stay unlike."""
    kept = {name: value for name, value in point.items() if name not in gone}
    if TARGET in kept and isinstance(after, Float) and after != before:
        at, ends, new = (
            [math.log(value) if after.log else value for value in values]
            for values in ((kept[TARGET],), (before.low, before.high), (after.low, after.high))
        )
        share = (at[0] - ends[0]) / (ends[1] - ends[0])
        moved = new[0] + share * (new[1] - new[0])
        kept[TARGET] = min(max(math.exp(moved) if after.log else moved, after.low), after.high)
    return kept
