"""A track's tables: a sweep's of replicates, each row with what was forgotten."""

from __future__ import annotations

import pyarrow as pa

from sweep.procedures.columns import WORD, column
from sweep.records import replicate_tables
from sweep.records.tables import schema_of
from sweep.relearning.columns import columns


def schemas() -> dict[str, pa.Schema]:
    """The schema of every table of a track."""
    forget = column("forget", WORD, "what is forgotten: classes, attribute:NAME or instances:INDEX,…")
    return {name: schema_of(name, [*fields, forget]) for name, fields in replicate_tables(columns()).items()}
