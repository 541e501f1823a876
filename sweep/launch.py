"""Run a sweep: ``python -m sweep.launch --space dimum_robustness``. Parses, plans, runs, prints; has no logic of its own."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweep import records
from sweep.cluster import remote
from sweep.errors import Parser, UsageError, command, resumable
from sweep.plan import credentials, options, targets
from sweep.plan import plan as planning
from sweep.plan.asked import pin, refuse_flags_beside_resume, shared_values, with_base_model
from sweep.plan.datasets import fingerprinted
from sweep.plan.plan import Plan
from sweep.plan.words import describe
from sweep.records.folder import only_driver
from sweep.space import SearchSpace, find
from sweep.terminal.quiet import quiet
from sweep.views import loggers
from sweep.views.loggers import Chosen

if TYPE_CHECKING:
    from sweep.terminal.lines import Progress

EPILOG = """\
examples:
  python -m sweep.launch --space dimum_robustness                 the embedded default, on this machine
  python -m sweep.launch --space dimum_robustness --dry-run       the whole plan and its cost, then exit
  python -m sweep.launch --resume runs/dimum_robustness-…         go on with a run that was stopped
  python -m sweep.launch --space dimum_robustness --address auto --gpus-per-trial 0.5    on a cluster
"""


def parser() -> Parser:
    p = Parser("python -m sweep.launch", description=__doc__.split(":")[0] + ".", epilog=EPILOG,
                                formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    options.add_question(p)
    options.add_confirm(options.add_search(p))
    options.add_figures(p)
    where = options.add_place(p, "runs/SPACE-DATE-TIME")
    remote.add_arguments(p)
    where.add_argument(
        "--dry-run", action="store_true", help="print the whole plan with an estimate of its cost and exit"
    )
    where.add_argument(
        "--verbose", action="store_true", help="let Ray, Optuna and warnings speak; lines, no live table"
    )
    where.add_argument(
        "--log-format",
        default="auto",
        choices=("auto", "lines", "json"),
        help="auto: a live table on a terminal, else plain lines; json: one object a line, for programs (default: auto)",
    )
    where.add_argument(
        "--keep",
        default=planning.KEEP[0],
        choices=planning.KEEP,
        help="front: of trials that are neither on the front nor confirmed only the figures stay; the artifacts lie in the "
        "run folder unless --artifacts is given (default: all)",
    )
    loggers.add_options(p)
    return p


def plan_of(args: argparse.Namespace) -> Plan:
    """The plan the arguments ask for; UsageError where they do not make one."""
    if args.resume and args.space:
        raise UsageError("--space beside --resume: the run's own plan holds; leave it out, or start a new run")
    if args.resume:
        folder = records.run_folder(args.resume)
        plan = Plan.from_json(records.read_json(folder / "plan.json"), str(folder / "plan.json"))
        refuse_flags_beside_resume(args, parser())
        data_folder = args.data_folder and planning.absolute(args.data_folder)
        return planning.moved(plan, str(folder.resolve()), args.workers, args.address, args.in_process, data_folder)
    if args.confirm:
        raise UsageError("--confirm: is for a run that has searched; name it with --resume RUN")
    if not args.space:
        raise UsageError("--space NAME is needed (or --resume RUN); try --space dimum_robustness")
    fix = tuple(pin(text) for text in args.fix)
    target = _absolute_target(args.target)
    question = targets.aimed(find.load(args.space), target).fix(dict(fix))
    trials = _or(args.trials, question.trials)
    run_dir = args.run_dir or planning.default_run_dir(args.storage, args.space)
    if args.keep == "front" and not args.artifacts:  # what is removed of a store of its own, nobody else misses
        args.artifacts = planning.own_artifacts(args.storage, run_dir)
    plan = Plan(
        space=planning.absolute(args.space) if args.space.endswith(".py") else args.space,
        run_dir=run_dir,
        data=args.data or question.data,
        forget=args.forget or question.forget,
        trials=trials,
        baseline_trials=_or(args.baseline_trials, int(trials * question.baseline_share)),
        sampler=args.sampler,
        warm_start=tuple(planning.absolute(run) for run in args.warm_start),
        max_hours=args.max_hours,
        max_core_hours=args.max_core_hours,
        min_gain=args.min_gain,
        gate_margin=args.gate_margin,
        stopping=args.stop_dominated,
        fid_budget=planning.parse_budget(args.fid_budget),
        confirm_seeds=args.confirm_seeds,
        confirm_members=_or(args.confirm_members, question.confirm_members),
        confirm_neighbours=_or(args.confirm_neighbours, question.confirm_neighbours),
        target=target,
        keep=args.keep,
        fix=fix,
        **shared_values(args),
    )
    return with_base_model(plan, args)


def _or(given: int | None, usual: int) -> int:
    return usual if given is None else given


def _absolute_target(target: str) -> str:
    """``RUN:TRIAL`` with the run as every process finds it."""
    run, colon, trial = target.rpartition(":")
    return f"{planning.absolute(run)}:{trial}" if colon else target


@command
def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    with resumable("sweep.launch") as begun:
        credentials.refuse(args)
        if remote.wanted(args):
            return remote.run(args, parser())
        plan = plan_of(args)
        begun.plan = Path(plan.run_dir) / "plan.json"
        space = planning.validate(plan)
        from sweep.terminal.choose import progress_for

        progress = progress_for(args.log_format, args.verbose)
        run_dir = Path(plan.run_dir)
        to = loggers.choose(run_dir, args.mlflow, args.wandb, space.name)
        progress.plan(describe(plan, space) + (f"\nloggers     {to.text(run_dir)}" if to else ""))
        if args.dry_run:
            return 0
        planning.check_folders(plan, new=bool(args.run_dir))  # a name of our own is taken when the run begins
        plan = fingerprinted(plan)
        quiet(args.verbose)
        # Heavy imports come this late on purpose: every mistake above costs a second, not twenty.
        from sweep.search.confirm import name_trials
        from sweep.search.reopening import without_controls

        if args.confirm:
            with only_driver(run_dir):  # a refused second driver changes nothing
                name_trials(run_dir, without_controls(run_dir, args.confirm))
        with progress:
            progress.line("loading torch, Ray and Optuna")
            from sweep.driver.sweep import run, show

            plan = _begun(plan, space, args, to, progress)
            begun.plan = Path(plan.run_dir) / "plan.json"
            run(plan, space, progress)
        return show(Path(plan.run_dir), progress)


def _begun(plan: Plan, space: SearchSpace, args: argparse.Namespace, to: Chosen | None, progress: Progress) -> Plan:
    """The plan checked by its methods and data, in the run folder that it got; a resumed one has its own."""
    from sweep.relearning.prepare import check_members, resolved
    from sweep.search.reopening import reopen
    from sweep.search.warm_start import gather, write

    check_members(plan, space)
    if args.resume:
        with only_driver(Path(plan.run_dir)):
            loggers.keep(Path(plan.run_dir), to)
            for told in reopen(Path(plan.run_dir), space, args.confirm):
                progress.line(told)
        return plan
    plan, earlier = resolved(plan), gather(plan.warm_start, space)

    def others(folder: Path) -> None:
        write(folder, earlier)
        loggers.keep(folder, to)

    placed = planning.create_run_dir(plan, bool(args.run_dir), others)
    if placed.run_dir != plan.run_dir:
        progress.line(f"run: {plan.run_dir} was taken meanwhile; this one is {placed.run_dir}")
    return placed


if __name__ == "__main__":
    sys.exit(main())
