"""What a question asks of relearning trials: its methods, its attacks, its rungs, and the FID budget's units."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.errors import UsageError, near
from sweep.relearning.columns import FID_BUDGET, UNDER_ATTACK
from sweep.space import SearchSpace, find

FID_UNITS = "fid_delta"  # how figures end that the FID budget is in units of


def check(space: SearchSpace) -> None:
    """UsageError naming the arm or attack that does not exist, or the figure that the search never learns."""
    where = f"space {space.name!r}"
    if len(space.rungs) < 2:
        raise UsageError(f"{where}: rungs {list(space.rungs)}: name the steps that attacks are scored at, from 0")
    metrics = {*(o.metric for o in space.objectives), *(c.metric for c in space.constraints)}
    scored_alone = (
        not space.search_attacks and not metrics & UNDER_ATTACK
    )  # trials of the search are attacked by nobody
    suites = (space.confirm_attacks,) if scored_alone else (space.search_attacks, space.confirm_attacks)
    for attacks in suites:
        if not any(attack.counts for attack in attacks):
            names = [attack.name for attack in attacks]
            raise UsageError(f"{where}: a suite needs an attack that counts; it has {names}")
    attackers = find.members("attacks")
    for arm in space.arms:
        if arm.attack:
            _check_name(f"{where}, arm {arm.name!r}: attack", arm.attack, attackers)
        elif arm.held:
            raise UsageError(
                f"{where}, arm {arm.name!r}: held {', '.join(arm.held)}: only the method of an arm that is attacked is held; "
                "give a setting of a method as a Choice of one option"
            )
        try:
            check_method(arm.method)
        except UsageError as error:
            raise UsageError(f"{where}, arm {arm.name!r}: method {error}") from None
    for attack in (*space.search_attacks, *space.confirm_attacks):
        _check_name(f"{where}, attack {attack.name!r}: method", attack.method, attackers)
    never = all(attack.counts for attack in space.search_attacks)
    for objective in space.objectives:
        if objective.metric == "malicious_robustness" and never:
            raise UsageError(
                f"{where}, objective {objective.metric!r}: it needs a search attack whose data hold what was forgotten "
                "(counts=False)"
            )
    for constraint in space.constraints:
        if constraint.word == FID_BUDGET and not constraint.metric.endswith(FID_UNITS):
            raise UsageError(
                f"{where}, constraint {constraint.metric!r}: the FID budget is a bound of {FID_UNITS}; write a number"
            )


def uses_budget(space: SearchSpace) -> bool:
    """Whether a bound of the question is the FID budget."""
    return any(constraint.word == FID_BUDGET for constraint in space.constraints)


def asks_of_fid(space: SearchSpace) -> bool:
    """Whether an objective or a bound is of fid_delta, whose noise over sampling seeds matters then."""
    metrics = [*(o.metric for o in space.objectives), *(c.metric for c in space.constraints)]
    return any(metric.endswith(FID_UNITS) for metric in metrics)


def _check_name(what: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise UsageError(f"{what} {name}: unknown; {near(name, known)}; one of your own comes with --members FILE")


def parts_of_method(name: str) -> tuple[str, str]:
    """Wrapper and method of a ``WRAPPER(METHOD)``; of any other the name alone. UsageError where the bracket is left open."""
    wrapper, bracket, inner = name.partition("(")
    if bracket and not inner.endswith(")"):
        raise UsageError(f"{name}: a wrapped method is written WRAPPER(METHOD)")
    return wrapper, inner.removesuffix(")")


def check_method(name: str) -> None:
    """UsageError unless `name`, or both parts of a ``WRAPPER(METHOD)``, is registered by a file of ``trainables/unlearning``, or
    from outside.

    Whether it wraps others or is a method is known once it is imported, as everything is before a sweep begins.
    """
    known = find.members("unlearning")
    for part in parts_of_method(name) if "(" in name else (name,):
        if part not in known:
            raise UsageError(f"{name}: unknown; {near(part, known)}; one of your own comes with --members FILE")
