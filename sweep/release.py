"""Train a trial's model once more for a release: ``python -m sweep.release RUN TRIAL -o DIR``.

By the trial's settings, on all private rows, with batches and noise that come from the system's entropy and are kept nowhere: a
trial's own ε holds against whoever does not know the seeds of its run. Nothing is written but DIR, once all rows are there.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence

from sweep import records
from sweep.errors import Parser, UsageError, called, command, listening_to_signals
from sweep.plan import members, trial_arguments
from sweep.plan.paths import absolute
from sweep.procedures import Procedure, Release
from sweep.reading.ending import own_members
from sweep.reading.sweep import procedure_of
from sweep.terminal.lines import Progress


def parser() -> argparse.ArgumentParser:
    p = Parser(
        "python -m sweep.release",
        description="Train a trial's model once more for a release: on all private rows, with batches and noise that come from "
        "the system's entropy and are kept nowhere.",
        epilog="A release that was stopped cannot be gone on with: a checkpoint would be a secret, and none is kept. Nothing but "
        "DIR is written, and that once all rows are there.",
    )
    trial_arguments.add(p)
    p.add_argument(
        "--samples", type=int, metavar="N", help="synthetic rows (default: as many as the run's trials have)"
    )
    p.add_argument("--device", default="", metavar="NAME", help="cpu or cuda (default: as the run's plan has it)")
    p.add_argument(
        "--data-folder", default="", metavar="DIR", help="where the private rows' files lie now, if they were moved"
    )
    return p


@command
def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_intermixed_args(argv)
    folder = trial_arguments.new_folder(args)
    replicate = trial_arguments.replicate_of(args.run, args.trial)
    run = records.run_folder(args.run)
    procedure = procedure_of(records.read_json(run / "plan.json"), run)
    if procedure.release is None:
        raise UsageError(_unreleased(args, procedure))
    if own_members(run) and not args.members:
        raise UsageError(
            f"{args.run}: has members of its own, which would run: look at that code, then add{own_members(run)}"
        )
    members.use(members.places(args.members))
    asked = Release(
        samples=args.samples,
        device=args.device,
        artifacts=args.artifacts and absolute(args.artifacts),
        data_folder=args.data_folder and absolute(args.data_folder),
    )
    with listening_to_signals():
        try:
            print(procedure.release(args.run, replicate, folder, asked, Progress().line))
        except KeyboardInterrupt as stop:
            saved = folder.is_dir() and any(folder.iterdir())
            stop.args = (f"{folder} is whole" if saved else "nothing was saved, and nothing is there to go on from",)
            raise
    return 0


def _unreleased(args: argparse.Namespace, procedure: Procedure) -> str:
    """Why no trial of the procedure can be released, and what can be done with it instead."""
    why = f"{args.run}: a trial of {procedure.name} spends no ε that a release could keep"
    if procedure.export is None:
        return f"{why}: what it says is in the run's tables"
    return f"{why}; save what it made: {called('sweep.export')} {shlex.quote(args.run)} {args.trial} -o DIR"


if __name__ == "__main__":
    sys.exit(main())
