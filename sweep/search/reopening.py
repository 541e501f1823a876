"""Run failed replicates of the confirm phase again: ``--resume RUN --confirm TRIAL``, of a trial or of a control.

A failure may be of the place, a full disk or a lost GPU, and not of the trial. It is run again only where the user asks for it by
name, on the same seed, and what was recorded of it is replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from sweep import records
from sweep.errors import UsageError
from sweep.records import FAIL, RUNNING, Writer
from sweep.records.names import name_of, parts_of
from sweep.space import CONTROL, SearchSpace


def without_controls(run_dir: Path, names: Sequence[str]) -> list[str]:
    """The names that are trials'. UsageError for a control of which nothing failed: it runs beside whatever is confirmed."""
    for name in names:
        if _is_control(name) and not _failed(run_dir, [name]):
            raise UsageError(f"--confirm {name}: none of its replicates on fresh seeds failed; name a trial")
    return [name for name in names if not _is_control(name)]


def reopen(run_dir: Path, space: SearchSpace, names: Iterable[str]) -> list[str]:
    """Mark their failed replicates as unfinished, so that the run takes them up; says which, and what had been recorded.

    For the one process that holds the run. What stages had made stays in the tables, and is found again.
    """
    writer, lines = Writer(run_dir, records.schemas(space)), []
    for row in _failed(run_dir, names):
        name = name_of(row)
        writer.replicate(row | {"state": RUNNING, "cause": None}, [], records.rows(run_dir, "stages", name))
        lines.append(f"{name} runs again on seed {row['seed']}; it had failed: {row['cause']}")
    return lines


def _is_control(trial_id: str) -> bool:
    return parts_of(trial_id)[0] == CONTROL


def _failed(run_dir: Path, names: Iterable[str]) -> list[dict[str, object]]:
    wanted = frozenset(names)
    rows = [r for r in records.rows(run_dir, "replicates") if r["trial_id"] in wanted and r["replicate"]]
    return [r for r in rows if r["state"] == FAIL]
