"""The Pareto front of a run as text, CSV, JSON or Markdown: ``python -m sweep.pareto RUN [RUN...] [--format text]``.

Nothing heavier than pyarrow is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sweep.errors import Parser, command
from sweep.reading.sweep import read_sweep
from sweep.reading.texts import FORMATS, render


@command
def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser(prog="python -m sweep.pareto", description="Print the Pareto front of finished or running sweeps.")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run folder")
    parser.add_argument("--format", choices=sorted(FORMATS), default="text", help="how to print it (default: text)")
    arguments = parser.parse_args(argv)
    print(render([read_sweep(run) for run in arguments.runs], arguments.format), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
