"""The page an analyst opens: ``python -m sweep.report RUN [RUN...] [-o page.html]``.

One file that asks nothing of any network: plotly.js, styles and samples are inside it, and its content security policy
forbids the rest. Everything that comes from a run (names, causes, settings) is escaped. ``RUN/front.png`` is
written too.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from sweep.errors import Parser, UsageError, command
from sweep.page.caption import write_pictures
from sweep.page.contents import write
from sweep.reading.sweep import read_sweep
from sweep.records.folder import writable


@command
def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser(prog="python -m sweep.report", description="Write the page of finished or running sweeps.")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run folder")
    parser.add_argument(
        "-o", "--output", type=Path, help="the page's file (default: report.html in the first run folder)"
    )
    parser.add_argument("--png", type=Path, metavar="FILE", help="instead of the page: the front of one run as pixels")
    parser.add_argument(
        "--pdf",
        type=Path,
        metavar="FILE",
        help="the same as vectors, for a paper; either with its caption beside it in .txt",
    )
    parser.add_argument(
        "--live",
        action="store_true",
        help="instead of writing the page: serve it on this machine alone, renewed while the sweep runs, until Ctrl-C",
    )
    parser.add_argument("--port", type=int, default=0, help="beside --live: the port (default: a free one)")
    arguments = parser.parse_args(argv)
    if arguments.live:
        if arguments.png or arguments.pdf or arguments.output:
            raise UsageError("--live: writes no file; leave out -o, --png and --pdf")
        from sweep.page.serving import serve  # only here: a written page needs no server

        return serve(arguments.runs, arguments.port)
    if arguments.port:
        raise UsageError("--port: is of --live")
    for flag, file in (("-o", arguments.output), ("--png", arguments.png), ("--pdf", arguments.pdf)):
        if file is not None:
            writable(file, flag)
            kind = f".{flag.strip('-')}"
            if kind in (".png", ".pdf") and file.suffix != kind:
                raise UsageError(f"{flag} {file}: its name is to end with {kind}")
    if arguments.png or arguments.pdf:
        if arguments.output:
            raise UsageError("-o: is of the page; leave it out beside --png and --pdf")
        if len(arguments.runs) > 1:
            raise UsageError("--png, --pdf: are of one run; name one")
        for file in write_pictures(read_sweep(arguments.runs[0]), arguments.png, arguments.pdf):
            print(file)
        return 0
    print(write(arguments.runs, arguments.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
