"""What a question about the attacker attacks: one unlearned model, by a method and its settings, for every trial the same."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from sweep.errors import UsageError, near
from sweep.plan.paths import absolute
from sweep.relearning.question import check_method

if TYPE_CHECKING:
    from sweep.space import SearchSpace, Settings


def aimed(space: SearchSpace, target: str) -> SearchSpace:
    """The question with its arms attacking `target`: a METHOD at its file's settings, or ``RUN:TRIAL``, a sweep's trial.

    Empty for the question's own. UsageError where there is no such thing, or the question searches no attack.
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
    arms = (dataclasses.replace(arm, method=method, held=held) if arm.attack else arm for arm in space.arms)
    return dataclasses.replace(space, arms=tuple(arms))


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
