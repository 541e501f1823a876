"""Everything that can be wrong with a plan and needs nothing heavy to see."""

from __future__ import annotations

from sweep import procedures
from sweep.errors import UsageError, near
from sweep.plan import flags
from sweep.plan.plan import Plan
from sweep.procedures import Columns, Procedure, Setup
from sweep.records import run_folder, schemas
from sweep.samplers.catalogue import SAMPLERS, check_installed
from sweep.space import Constraint, Objective, SearchSpace


def validate(plan: Plan[Setup]) -> SearchSpace:
    """The plan's question; UsageError for the first thing that is wrong with it, with the plan, its setup or its place."""
    space = plan.question()
    flags.check(plan.run)
    flags.check(plan)
    check_installed(plan.sampler)
    for earlier in plan.warm_start:
        run_folder(earlier)
    if plan.min_gain and not SAMPLERS[plan.sampler].foresees_gain:
        others = " or ".join(name for name, one in SAMPLERS.items() if one.foresees_gain)
        raise UsageError(
            f"--min-gain {plan.min_gain:g}: sampler {plan.sampler} expects nothing; use --sampler {others}"
        )
    plan.setup.check()
    _check_question(space, measured=plan.min_gain > 0)
    methods = [a for a in space.arms if not a.baseline]
    if plan.trials < len(methods):
        raise UsageError(
            f"--trials {plan.trials}: the question has {len(methods)} arms beside baselines, each of which needs a trial; "
            f"give at least {len(methods)}, or choose among them with --fix method=NAME,…"
        )
    schemas(space)  # every column has a name of its own, or no reader would open the run
    plan.place.check()
    plan.setup.check_fits(space, plan.place)
    return space


def _check_question(space: SearchSpace, measured: bool) -> None:
    """UsageError for a question that a front cannot answer, or that names what does not exist.

    One objective ranks trials without a worst value, unless what it gained is `measured`.
    """
    procedure = procedures.named(space.procedure)
    columns = procedure.columns()
    if not space.objectives:
        raise UsageError(f"space {space.name!r}: it has no objective; name at least one figure to maximise or minimise")
    for metric in (*(o.metric for o in space.objectives), *(c.metric for c in space.constraints)):
        if metric not in columns.names:
            raise UsageError(
                f"space {space.name!r}: metric {metric}: unknown; {near(metric, columns.names)}; "
                "one of your own comes with --members FILE"
            )
    for objective in space.objectives if len(space.objectives) > 1 or measured else ():
        _check_objective(space, objective, columns)
    for constraint in space.constraints:
        _check_bound(space, constraint, procedure)
    procedure.check(space)


def _check_objective(space: SearchSpace, objective: Objective, columns: Columns) -> None:
    """UsageError where a hypervolume of it has no far corner."""
    where, metric = f"space {space.name!r}, objective {objective.metric!r}", objective.metric
    what = "a front" if len(space.objectives) > 1 else "--min-gain"
    side = objective.worse_side
    if not columns.is_share(metric) and (metric, side) not in ((c.metric, c.side) for c in space.constraints):
        raise UsageError(
            f"{where}: it has no worst value to measure {what} from; bound it by Constraint({metric!r}, {side}=…)"
        )


def _check_bound(space: SearchSpace, constraint: Constraint, procedure: Procedure) -> None:
    """UsageError for a word that stands for no bound, or a bound that no share can keep: no trial would be feasible."""
    bound = constraint.bound
    if bound is None:
        if constraint.word not in procedure.bounds:
            words = "".join(f", or {word!r}" for word in procedure.bounds)
            raise UsageError(
                f"space {space.name!r}, constraint {constraint.metric!r}: {constraint.side} {constraint.word!r} is no bound; "
                f"write a number{words}"
            )
        return
    if not procedure.columns().is_share(constraint.metric):
        return
    if (constraint.side == "at_least" and bound > 1) or (constraint.side == "at_most" and bound < 0):
        raise UsageError(
            f"space {space.name!r}, constraint {constraint.metric!r}: {constraint.side} {bound:g} is out of reach of a share, "
            "which lies between 0 and 1"
        )
