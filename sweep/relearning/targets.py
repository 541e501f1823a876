"""What a question about the attacker attacks: one unlearned model, by a method and its settings, for every trial the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sweep.errors import UsageError, near
from sweep.plan.paths import absolute
from sweep.relearning.question import check_method
from sweep.space.shared import still_shared

if TYPE_CHECKING:
    from sweep.space import Arm, SearchSpace, Settings


def aimed(space: SearchSpace, target: str) -> SearchSpace:
    """The question with its arms attacking `target`: a METHOD at its file's settings, or ``RUN:TRIAL``, a sweep's trial.

    Empty for the question's own, which may be several. Of several arms that become one, it has that one's part of the trials.
    UsageError where there is no such thing, or the question searches no attack.
    """
    if not target:
        return space
    if not any(arm.attack for arm in space.arms):
        raise UsageError(f"--target {target}: space {space.name!r} searches methods, not attacks; leave it out")
    method, held = _trial(target) if ":" in target else (target, {})
    try:
        check_method(method)
    except UsageError as error:
        raise UsageError(f"--target {error}") from None
    arms = tuple(_aimed(space.arms, method, held))
    left, before = (sum(not arm.baseline for arm in some) for some in (arms, space.arms))
    shared = still_shared([arm.parameters for arm in arms], space.shared)
    return dataclasses.replace(space, arms=arms, shared=shared, trials=max(left, space.trials * left // before))


def _aimed(arms: Sequence[Arm], method: str, held: Settings) -> Iterator[Arm]:
    """The arms attacking this one model. Those that differed in what they attacked alone are one arm then, called by the attack."""
    for arm in arms:
        if not arm.attack:
            yield arm
            continue
        alike = [other for other in arms if other.attack == arm.attack and other.parameters == arm.parameters]
        if alike[0] is arm:
            name = arm.name if len(alike) == 1 else arm.attack
            yield dataclasses.replace(arm, name=name, method=method, held=held)


def absolute_target(target: str) -> str:
    """``RUN:TRIAL`` with the run's absolute path, which every process finds; a METHOD as it is."""
    run, colon, trial = target.rpartition(":")
    return f"{absolute(run)}:{trial}" if colon else target


def describe(space: SearchSpace) -> str:
    """What is attacked, where the question searches an attack."""
    return ", ".join(dict.fromkeys(f"{arm.method}{_settings(arm.held)}" for arm in space.arms if arm.attack))


def _trial(target: str) -> tuple[str, Settings]:
    """Method and settings of ``RUN:TRIAL``."""
    from sweep.reading.sweep import read_sweep

    run, _, trial = target.rpartition(":")
    sweep = read_sweep(run)
    if sweep.plan.get("attacked"):
        raise UsageError(f"--target {target}: the trials of {run} are attacks; name a trial of a sweep of methods")
    trials = {m.trial_id: m for m in sweep.members}
    if trial not in trials:
        raise UsageError(f"--target {target}: no trial {trial} in {run}; {near(trial, trials)}")
    return trials[trial].method, dict(trials[trial].parameters)


def _settings(held: object) -> str:
    words = ", ".join(f"{name}={value}" for name, value in dict(held).items())  # type: ignore[call-overload]
    return f" ({words})" if words else " at its file's settings"
