"""Rebuild what can be rebuilt of a run: ``python -m sweep.repair RUN [--dry-run] [--artifacts DIR]``.

The truth of a run is its plan, its records and its artifacts. A damaged file is named and moved to ``RUN/damaged/``; rows that
it held are read again from the artifacts that they were about; and everything that is a view of the records is written anew:
the Optuna journal, TensorBoard, the plot, the page, the compacted tables. What only another run of its stages can bring back
is said, and ``--resume`` does it. Done twice it changes nothing more.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from sweep.driver.rebuild import foresee, made_by_other_code, plan_of, repair
from sweep.driver.store_place import check_store, record_store
from sweep.errors import Parser, command
from sweep.plan.paths import absolute
from sweep.records.damage import damaged_files
from sweep.records.folder import only_driver
from sweep.terminal.quiet import quiet


@command
def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 1 where something is left to --resume, else 0."""
    parser = Parser("python -m sweep.repair", description="Rebuild what can be rebuilt of a run.")
    parser.add_argument("run", metavar="RUN", help="a run folder")
    parser.add_argument("--dry-run", action="store_true", help="say what is damaged and would be done; change nothing")
    parser.add_argument(
        "--artifacts", default="", metavar="DIR|URI", help="where the run's artifact store lies now, if it was moved"
    )
    args = parser.parse_args(argv)
    quiet(verbose=False)
    run = Path(args.run)
    plan, space = plan_of(run)  # before a lock is written where there is no run
    artifacts = absolute(args.artifacts) if args.artifacts else plan.artifacts
    # What other code made is not looked for, unless it is said where it lies: its keys are not ours. Nor is it where the file is
    # damaged that says what was made.
    known = not any(one.file.name == "prepared.json" for one in damaged_files(run))
    if known and (args.artifacts or not made_by_other_code(run, plan, space)):
        lost = check_store(run, artifacts, bool(args.artifacts))
        if lost:
            print(lost)
    if args.dry_run:
        done = foresee(run, artifacts, print)
    else:
        with only_driver(run):
            record_store(run, artifacts)
            done = repair(run, print)
    nothing = not (done.damaged or done.rebuilt or done.left)
    print(
        f"{run}: " + ("nothing is damaged" if nothing else f"{len(done.damaged)} damaged, {len(done.rebuilt)} rebuilt")
    )
    if done.left:
        how = "" if done.other_code else f": python -m sweep.launch --resume {shlex.quote(str(run))}"
        print(f"{len(done.left)} left{how}")
    return 1 if done.left else 0


if __name__ == "__main__":
    sys.exit(main())
