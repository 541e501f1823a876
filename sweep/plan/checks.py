"""Everything that can be wrong with a plan and needs nothing heavy to see."""

from __future__ import annotations

from typing import Any

from sweep.errors import UsageError, near
from sweep.plan import flags
from sweep.plan.plan import Plan
from sweep.records import fact, figure_columns, run_folder, schemas
from sweep.samplers.catalogue import check_installed
from sweep.space import Constraint, Objective, SearchSpace, find


def validate(plan: Plan) -> SearchSpace:
    """The plan's question; UsageError for the first thing that is wrong with it, with the plan, its setup or its place."""
    space = plan.question()
    flags.check(plan)
    check_installed(plan.sampler)
    for earlier in plan.warm_start:
        run_folder(earlier)
    if plan.min_gain and plan.sampler != "nehvi":
        raise UsageError(f"--min-gain {plan.min_gain:g}: sampler {plan.sampler} expects nothing; use --sampler nehvi")
    plan.setup.check()
    _check_question(space)
    methods = [a for a in space.arms if not a.baseline]
    if plan.trials < len(methods):
        raise UsageError(
            f"--trials {plan.trials}: the question has {len(methods)} arms beside baselines, each of which needs a trial; "
            f"give at least {len(methods)}, or choose among them with --fix method=NAME,…"
        )
    schemas(space)  # every column has a name of its own, or no reader would open the run
    plan.place.check()
    return space


def _check_question(space: SearchSpace) -> None:
    """UsageError for a question that a front cannot answer, or that names what does not exist."""
    if len(space.objectives) != 2:
        raise UsageError(f"space {space.name!r}: a front is of two objectives, not {len(space.objectives)}")
    for metric in (*(o.metric for o in space.objectives), *(c.metric for c in space.constraints)):
        _check_choice(f"space {space.name!r}: metric", metric, [f.name for f in figure_columns()])
    for objective in space.objectives:
        _check_objective(space, objective)
    for constraint in space.constraints:
        _check_bound(space, constraint)
    for arm in space.arms:
        if arm.attack:
            _check_choice(f"space {space.name!r}, arm {arm.name!r}: attack", arm.attack, find.members("attacks"))
        try:
            find.check_method(arm.method)
        except UsageError as error:
            raise UsageError(f"space {space.name!r}, arm {arm.name!r}: method {error}") from None
    for attack in (*space.search_attacks, *space.confirm_attacks):
        _check_choice(f"space {space.name!r}, attack {attack.name!r}: method", attack.method, find.members("attacks"))


def _check_choice(what: str, name: str, known: Any) -> None:
    if name not in known:
        raise UsageError(f"{what} {name}: unknown; {near(name, known)}")


def _check_objective(space: SearchSpace, objective: Objective) -> None:
    """UsageError where a front of it has no far corner, or the search never learns it."""
    where, metric = f"space {space.name!r}, objective {objective.metric!r}", objective.metric
    side = "at_least" if objective.direction == "maximise" else "at_most"
    if fact(metric, "unit") != "share" and (metric, side) not in ((c.metric, c.side) for c in space.constraints):
        raise UsageError(
            f"{where}: it has no worst value to measure a front from; bound it by Constraint({metric!r}, {side}=…)"
        )
    if metric == "malicious_robustness" and all(a.counts for a in space.search_attacks):
        raise UsageError(f"{where}: it needs a search attack whose data hold what was forgotten (counts=False)")


FID_UNITS = "fid_delta"  # how figures end that the FID budget is in units of


def _check_bound(space: SearchSpace, constraint: Constraint) -> None:
    """UsageError for a bound in other units than the figure's, or one that no share can keep: no trial would be feasible."""
    bound = constraint.bound
    if bound is None and not constraint.metric.endswith(FID_UNITS):
        raise UsageError(
            f"space {space.name!r}, constraint {constraint.metric!r}: the FID budget is a bound of {FID_UNITS}; write a number"
        )
    if bound is None or fact(constraint.metric, "unit") != "share":
        return
    if (constraint.side == "at_least" and bound > 1) or (constraint.side == "at_most" and bound < 0):
        raise UsageError(
            f"space {space.name!r}, constraint {constraint.metric!r}: {constraint.side} {bound:g} is out of reach of a share, "
            "which lies between 0 and 1"
        )
