"""A stage's exception as its trial's outcome: FAIL with the cause. Whoever runs stages, on Ray or not, records it so."""

from __future__ import annotations

import sys
import traceback

from trainables.running.report import Report
from trainables.training import gpu_memory


def failure_report() -> Report:
    """FAIL with the exception being handled, its last lines of traceback included."""
    lines = traceback.format_exc().strip().splitlines()
    where = [line.strip() for line in lines if line.startswith("  File ")][-1:]
    mend = gpu_memory.mend(sys.exception())
    return Report(state="FAIL", cause=" | ".join([lines[-1], *where, *([mend] if mend else [])]))
