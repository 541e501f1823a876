"""One file a table, once a run is over: ``python -m sweep.compact RUN [RUN...]``.

A sweep does it at its end. Done again, or while its files are read, it changes no figure; a run that is being driven is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from sweep.errors import Parser, UsageError, command
from sweep.records.damage import damaged_files
from sweep.records.folder import compact, only_driver


@command
def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser("python -m sweep.compact", description="Leave one file a table of finished runs.")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run folder")
    for run in parser.parse_args(argv).runs:
        if not (Path(run) / "records").is_dir():
            raise UsageError(f"{run}: is not a run folder (it has no records)")
        with only_driver(Path(run)):
            damaged = damaged_files(Path(run))
            done = compact(Path(run))
        for one in damaged:
            print(f"{one.file}: damaged ({one.why}); mend it: python -m sweep.repair {run}", file=sys.stderr)
        print(
            f"{run}: "
            + ", ".join(f"{n} file{'s' if n != 1 else ''} of {table}" for table, n in done.items())
            + " compacted"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
