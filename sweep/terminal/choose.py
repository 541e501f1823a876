"""Which terminal a sweep has: plain lines, a live table, or lines of JSON."""

from __future__ import annotations

import sys
from typing import TextIO

from sweep.terminal.lines import Progress


def progress_for(log_format: str, verbose: bool, stream: TextIO | None = None) -> Progress:
    """Lines of JSON if asked for; a live table on a terminal, unless libraries may write between its lines; else plain lines."""
    stream = sys.stdout if stream is None else stream
    if log_format == "json":
        from sweep.terminal.json_lines import LogLines

        return LogLines(stream, verbose)
    from sweep.terminal.table import LiveTable, can_draw

    if log_format == "auto" and not verbose and can_draw(stream):
        return LiveTable(stream)
    return Progress(stream, verbose)
