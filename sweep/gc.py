"""Remove artifacts that no run needs: ``python -m sweep.gc [--artifacts DIR] RUN… [--delete]``; without --delete it only counts.

**The runs that are named are those that count.** Kept is what their records and preparation name; and, where one of them has not
finished, whatever was made since it began, for it may not have recorded it yet. Whatever else lies in the store goes: what
other runs made, too, so name every run of a shared store that is still of use. Nothing younger than --age is touched: a run
that is not named may be writing it. With the artifacts go checkpoints of stages that nobody goes on with, and files that a
killed writer left half-written. What was set aside in ``damaged/`` stays, and so does any file that is not a store's own.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from sweep.driver.store_place import check_named
from sweep.driver.unneeded import check, delete, store_of, unneeded
from sweep.errors import Parser, UsageError, command
from sweep.records.folder import only_driver

AGE_H = 24.0


def parser() -> Parser:
    p = Parser("python -m sweep.gc", description="Remove artifacts of a store that none of the named runs needs.")
    p.add_argument(
        "runs", nargs="+", metavar="RUN", help="run folders that count; what no record of theirs names may go"
    )
    p.add_argument(
        "--artifacts",
        default="",
        metavar="DIR|URI",
        help="artifact store (default: where the runs began with it)",
    )
    p.add_argument(
        "--age", type=float, default=AGE_H, metavar="H", help=f"spare what is younger, in hours (default: {AGE_H:g})"
    )
    p.add_argument("--delete", action="store_true", help="remove it; else it is only counted")
    return p


@command
def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    runs = [Path(run) for run in args.runs]
    if not args.age >= 0:
        raise UsageError(f"--age {args.age:g}: must be at least 0")
    for run in runs:
        check(run)
    store = store_of(runs, args.artifacts)
    check_named(store, runs)
    from trainables.store import StoreUnusable

    with ExitStack() as held:
        for run in {run.resolve(): run for run in runs}.values():
            held.enter_context(only_driver(run))
        try:
            unneeded_files = unneeded(store, runs, time.time() - args.age * 3600)
            if args.delete:
                delete(store, unneeded_files)
        except (StoreUnusable, OSError, ValueError) as error:
            raise UsageError(f"{store.name}: {error}") from None
    print(f"{store.name}: {'removed' if args.delete else 'not needed'}: {unneeded_files.text}")
    if not args.delete and (unneeded_files.artifacts or unneeded_files.others):
        print("nothing was removed; add --delete")
    return 0


if __name__ == "__main__":
    sys.exit(main())
