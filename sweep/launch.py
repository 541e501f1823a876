"""Run a sweep: ``python -m sweep.launch --space dimum_robustness``. Reads the flags, prints the plan, has it driven."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweep import procedures
from sweep.cluster import remote
from sweep.errors import Parser, UsageError, called, command, resumable
from sweep.plan import credentials, flags, folders
from sweep.plan.asked import plan_of, procedure_of, with_preset
from sweep.plan.checks import validate
from sweep.plan.options import Call
from sweep.plan.place import Place
from sweep.plan.plan import Plan
from sweep.plan.run import RunPlan
from sweep.plan.words import describe
from sweep.procedures import Preparing, Setup
from sweep.records import read_json
from sweep.records.folder import only_driver
from sweep.space import SearchSpace
from sweep.terminal.quiet import quiet
from sweep.views import loggers
from sweep.views.loggers import Chosen
from trainables.running.imports import uncollected_imports

if TYPE_CHECKING:
    from sweep.terminal.lines import Progress

EPILOG = """\
examples:
  python -m sweep.launch --space dimum_robustness                 the embedded default, on this machine
  python -m sweep.launch --space dimum_robustness --dry-run       the whole plan and its cost, then exit
  python -m sweep.launch --resume runs/dimum_robustness-…         go on with a run that was stopped
  python -m sweep.launch --space dimum_robustness --address auto --workers 12 --storage /mnt/shared    on a cluster
"""


def parser(procedure: str = procedures.DEFAULT) -> Parser:
    """The command's, with the flags of a procedure's setup."""
    epilog = EPILOG.replace("python -m sweep.launch", called("sweep.launch"))
    p = Parser("python -m sweep.launch", description=__doc__.split(":")[0] + ".", epilog=epilog,
                                formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    flags.add(p, (Plan, RunPlan, procedures.named(procedure).setup(), Place, Call))
    remote.add_arguments(p)
    loggers.add_options(p)
    return p


@command
def main(argv: Sequence[str] | None = None) -> int:
    known = parser(procedure_of(argv))
    args = known.parse_args(with_preset(argv))
    with resumable("sweep.launch") as begun:
        credentials.refuse(args)
        if remote.wanted(args):
            return remote.run(args, known)
        from sweep.terminal.choose import progress_for

        progress = progress_for(args.log_format, args.verbose)
        plan = plan_of(args, known, progress.if_quiet)
        begun.plan = Path(plan.run_dir) / "plan.json"
        space = validate(plan)
        run_dir = Path(plan.run_dir)
        to = loggers.choose(run_dir, args.mlflow, args.wandb, space.name)
        progress.plan(describe(plan, space) + (f"\nloggers     {to.text(run_dir)}" if to else ""))
        folders.check_folders(plan.run, new=bool(args.run_dir))  # a name of our own is taken when the run begins
        with progress.while_busy(lambda: progress.line("reading the data")):
            plan = plan.but(setup=plan.setup.fingerprinted())
        quiet(args.verbose)
        if args.dry_run:  # what it lets pass, runs: methods and data are asked too
            from sweep.search.warm_start import gather

            with progress.while_busy(lambda: progress.line("checking methods and data")):
                procedures.named(space.procedure).preparing(plan).check(space)
            gather(plan.warm_start, space)
            if args.resume:
                _tell_of_store(plan, args, progress)
            return 0
        plan.place.check_gpus()
        # Heavy imports come this late on purpose: every mistake above costs a second, not twenty.
        from sweep.search.confirm import check_named
        from sweep.search.reopening import without_controls

        if args.confirm:
            check_named(run_dir, without_controls(run_dir, args.confirm))
        with progress:
            progress.line("loading torch, Ray and Optuna")
            with uncollected_imports():
                from sweep.driver.sweep import run, show

            plan = _begun(plan, space, args, to, progress)
            begun.plan = Path(plan.run_dir) / "plan.json"
            run(plan, space, progress)
        return show(Path(plan.run_dir), progress)


def _begun(
    plan: Plan[Setup], space: SearchSpace, args: argparse.Namespace, to: Chosen | None, progress: Progress
) -> Plan[Setup]:
    """The plan checked by its methods and data, in the run folder that it got; a resumed one has its own."""
    from sweep.driver.store_place import record_store
    from sweep.search.confirm import name_trials
    from sweep.search.reopening import reopen, without_controls
    from sweep.search.warm_start import gather, write

    with uncollected_imports():
        preparing = procedures.named(space.procedure).preparing(plan)
    with progress.while_busy(lambda: progress.line("checking methods and data")):
        preparing.check(space)
    if args.resume:
        run_dir = Path(plan.run_dir)
        with only_driver(run_dir):  # a driver that is refused, for another runs or for its code, changes nothing
            _refuse_other_code(run_dir, preparing)
            _tell_of_store(plan, args, progress)
            record_store(run_dir, plan.artifacts)
            loggers.keep(run_dir, to)
            if args.confirm:
                name_trials(run_dir, without_controls(run_dir, args.confirm))
            for line in reopen(run_dir, space, args.confirm):
                progress.line(line)
        return plan
    plan = plan.but(setup=preparing.resolved())
    earlier = gather(plan.warm_start, space)

    def others(folder: Path) -> None:
        write(folder, earlier)
        loggers.keep(folder, to)

    placed = folders.create_run_dir(plan, bool(args.run_dir), others)
    if placed.run_dir != plan.run_dir:
        progress.line(f"run: {plan.run_dir} was taken meanwhile; this one is {placed.run_dir}")
    return placed


def _tell_of_store(plan: Plan[Setup], args: argparse.Namespace, progress: Progress) -> None:
    """Say where the store of a resumed run holds nothing of what it made; UsageError where it is gone."""
    from sweep.driver.store_place import check_store

    lost = check_store(Path(plan.run_dir), plan.artifacts, bool(args.artifacts))
    if lost:
        progress.line(lost)


def _refuse_other_code(run_dir: Path, preparing: Preparing) -> None:
    """UsageError where the run was prepared by other code or libraries: before anything of it is changed."""
    path = run_dir / "prepared.json"
    if path.is_file():
        other = preparing.code_differs(read_json(path))
        if other:
            raise UsageError(f"{path}: {other}: made by other code or libraries than these; start a new run")


if __name__ == "__main__":
    sys.exit(main())
