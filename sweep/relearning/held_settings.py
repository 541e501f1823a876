"""Settings that trials have where their question leaves them to a method's or an attack's own file: ``--set batch=4``.

Each becomes a parameter with one option of every arm whose method, or searched attack, has such a setting and whose question
says nothing of it, and a setting of every such attack.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from sweep.errors import UsageError, near
from sweep.space import Arm, Choice, SearchSpace, Value

WORDS: Mapping[str, Value] = {"true": True, "True": True, "false": False, "False": False, "None": None}


def value_of(text: str) -> Value:
    """A whole number, a number, True, False or None, or the text itself."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return WORDS.get(text, text)


def pair(text: str) -> tuple[str, Value]:
    """The name and the value of ``NAME=VALUE``; UsageError for anything else."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise UsageError(f"--set {text}: write NAME=VALUE")
    return name, value_of(value)


def with_settings(space: SearchSpace, texts: Iterable[str]) -> SearchSpace:
    """The question with these settings wherever it leaves them alone; UsageError for one that it does so nowhere."""
    pairs = [pair(text) for text in texts]
    names = [name for name, _ in pairs]
    for twice in {name for name in names if names.count(name) > 1}:
        raise UsageError(f"--set {twice}: is given twice; a setting has one value")
    for name, value in pairs:
        held = with_setting(space, name, value)
        if held is None:
            known = sorted({n for arm in space.arms for n in _settings_of(arm)})
            raise UsageError(
                f"--set {name}={value}: no method or attack has it that the question leaves alone; a parameter is held by "
                f"--fix; {near(name, known)}"
            )
        space = held
    return space


def with_setting(space: SearchSpace, name: str, value: Value) -> SearchSpace | None:
    """The question with one setting wherever it is left alone; None where it is so nowhere."""
    held = Choice(name, (value,), help="held by --set")
    arms = tuple(
        dataclasses.replace(
            arm,
            parameters=(*arm.parameters, held),
            start_points=tuple(dict(point) | {name: value} for point in arm.start_points),
        )
        if name in _settings_of(arm) - {p.name for p in arm.walk()}
        else arm
        for arm in space.arms
    )
    suites: dict[str, Any] = {
        suite: tuple(
            dataclasses.replace(attack, settings={**attack.settings, name: value})
            if name in _settings_of_attack(attack.method) - set(attack.settings)
            else attack
            for attack in getattr(space, suite)
        )
        for suite in ("search_attacks", "confirm_attacks")
    }
    changed = dataclasses.replace(space, arms=arms, **suites)
    return None if changed == space else changed


def _settings_of(arm: Arm) -> set[str]:
    """The names of the settings that an arm's trials may be given; none where there is no such method, as a check will say."""
    from trainables.unlearning import METHODS

    if arm.attack:
        return _settings_of_attack(arm.attack)
    try:
        return {field.name for field in dataclasses.fields(METHODS[arm.method].settings)}
    except ValueError:
        return set()


def _settings_of_attack(method: str) -> set[str]:
    from trainables.attacks import ATTACKS

    return (
        {field.name for field in dataclasses.fields(ATTACKS[method].settings)} if method in ATTACKS.names() else set()
    )
