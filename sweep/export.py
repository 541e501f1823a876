"""Save what a trial made, as its procedure has it loaded elsewhere: ``python -m sweep.export RUN TRIAL -o DIR``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from sweep import records
from sweep.errors import Parser, UsageError, command
from sweep.plan import members, trial_arguments
from sweep.plan.paths import absolute
from sweep.reading.sweep import procedure_of


def parser() -> argparse.ArgumentParser:
    p = Parser("python -m sweep.export", description=__doc__.split(":")[0] + ".")
    trial_arguments.add(p)
    p.add_argument(
        "--replicate", type=int, default=0, metavar="N", help="0: the search's seed; 1, 2, …: the confirm phase's"
    )
    return p


@command
def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_intermixed_args(argv)
    folder = trial_arguments.new_folder(args)
    replicate = trial_arguments.replicate_of(args.run, args.trial, args.replicate)
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
