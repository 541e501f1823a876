"""Save what a trial made, as its procedure has it loaded elsewhere: ``python -m sweep.export RUN TRIAL -o DIR``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sweep import records
from sweep.errors import Parser, UsageError, command, near
from sweep.plan import members
from sweep.plan.paths import absolute
from sweep.procedures import Row
from sweep.reading.sweep import procedure_of


def parser() -> argparse.ArgumentParser:
    p = Parser("python -m sweep.export", description=__doc__.split(":")[0] + ".")
    p.add_argument("run", metavar="RUN", help="the run folder")
    p.add_argument("trial", metavar="TRIAL", help="a trial's id, or a control's, such as control-base")
    p.add_argument("-o", "--output", metavar="DIR", help="a new folder to save it in; one that holds files is refused")
    p.add_argument("folder", metavar="DIR", nargs="?", help="the same, without -o")
    p.add_argument(
        "--replicate", type=int, default=0, metavar="N", help="0: the search's seed; 1, 2, …: the confirm phase's"
    )
    p.add_argument(
        "--artifacts", default="", metavar="DIR|URI", help="where the run's artifact store lies now, if it was moved"
    )
    p.add_argument(
        "--members",
        action="append",
        default=[],
        metavar="FILE|FOLDER",
        help="members of its own that the run is of, where one is its data set; the run's copies are RUN/members",
    )
    return p


def replicate_of(run: str, trial: str, replicate: int) -> Row:
    """The row of a recorded replicate; UsageError where there is none."""
    rows = records.rows(records.run_folder(run), "replicates")
    trials = sorted({r["trial_id"] for r in rows})
    if trial not in trials:
        raise UsageError(f"{run}: no trial {trial}; {near(trial, trials)}")
    replicates = {r["replicate"]: r for r in rows if r["trial_id"] == trial}
    if replicate not in replicates:
        raise UsageError(
            f"{run}: {trial} has no replicate {replicate}; it has {', '.join(map(str, sorted(replicates)))}"
        )
    return replicates[replicate]


def output(args: argparse.Namespace) -> Path:
    """The folder that was named. UsageError where none was, or two, or it is taken: found out before anything is loaded."""
    if bool(args.output) == bool(args.folder):
        raise UsageError("name one new folder to save it in: RUN TRIAL -o DIR")
    folder = Path(args.output or args.folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: exists and is not an empty folder; a trial is saved in one of its own")
    return folder


@command
def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_intermixed_args(argv)  # a folder may come before the options or after them
    folder = output(args)
    replicate = replicate_of(args.run, args.trial, args.replicate)
    run = records.run_folder(args.run)
    procedure = procedure_of(records.read_json(run / "plan.json"), run)
    if procedure.export is None:
        raise UsageError(
            f"{args.run}: a trial of {procedure.name} leaves nothing to export: what it says is in the run's tables"
        )
    members.use(members.places(args.members))
    print(procedure.export(args.run, replicate, folder, absolute(args.artifacts) if args.artifacts else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
