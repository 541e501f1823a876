"""From an older version of the recorded tables to the present one, a step a version.

Every recorded file says its ``schema_version``. A reader passes what it read through the steps from there to the present
version, so everything after it knows one version only. A new version is a larger SCHEMA_VERSION and one function here that
takes a table of the version before, for columns that were added, renamed or dropped; files are never rewritten for it,
until compaction writes them anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from sweep.errors import UsageError

SCHEMA_VERSION = 5

Columns = Sequence[tuple[str, pa.DataType]]

# A copy of what was declared then: what version 2 began with stays what it was when version 3 has other figures.
FIGURES_OF_2: Columns = [
    ("robustness", pa.float64()),
    ("malicious_robustness", pa.float64()),
    ("fid", pa.float64()),
    ("fid_base", pa.float64()),
    ("fid_delta", pa.float64()),
    ("kid", pa.float64()),
    ("precision", pa.float64()),
    ("recall", pa.float64()),
    ("unlearning_accuracy", pa.float64()),
    ("retain_accuracy", pa.float64()),
    ("attacked_relearning_accuracy", pa.float64()),
    ("attacked_retain_accuracy", pa.float64()),
    ("attacked_fid_delta", pa.float64()),
    ("forgotten_top_class", pa.int32()),
    ("forgotten_top_share", pa.float64()),
    ("forgotten_confidence", pa.float64()),
    ("forgotten_diversity", pa.float64()),
    ("forgotten_distance", pa.float64()),
    ("instance_distance", pa.float64()),
    ("membership_auc", pa.float64()),
    ("membership_tpr", pa.float64()),
    ("denoising_gap", pa.float64()),
    ("shadow_auc", pa.float64()),
]


def version_of(schema: pa.Schema) -> int:
    """The version a file says it is of; 1 where it says nothing."""
    return int((schema.metadata or {}).get(b"schema_version", b"1"))


def migrate(table: pa.Table, name: str, where: str) -> pa.Table:
    """A table called `name`, read from `where`, as the present version has it.

    Raises UsageError where the file is of a version that this one does not know yet.
    """
    version = version_of(table.schema)
    if version > SCHEMA_VERSION:
        raise UsageError(
            f"{where}: written by a newer version (schema {version}; this one reads up to {SCHEMA_VERSION}): update"
        )
    for step in range(version, SCHEMA_VERSION):
        table = MIGRATIONS[step](table, name)
    facts = dict(table.schema.metadata or {}) | {b"schema_version": str(SCHEMA_VERSION).encode()}
    return table.replace_schema_metadata(facts) if version < SCHEMA_VERSION else table


def with_columns(table: pa.Table, columns: Columns) -> pa.Table:
    """The table with each of the columns that it lacks, null, after the one that precedes it in `columns`."""
    after = -1
    for name, kind in columns:
        at = table.schema.get_field_index(name)
        if at < 0:
            at = after + 1 if after >= 0 else table.num_columns
            table = table.add_column(at, pa.field(name, kind), pa.nulls(table.num_rows, kind))
        after = at
    return table


def _figures_added_under_version_1(table: pa.Table, name: str) -> pa.Table:
    """1 → 2. Figures were added under version 1 without a new number: its files may lack any of them.

    `forgotten_fid`, which the first of them had, is no longer made and stays where it is.
    """
    return with_columns(table, FIGURES_OF_2) if name in ("trials", "replicates") else table


def _settings_and_what_stopped(table: pa.Table, name: str) -> pa.Table:
    """2 → 3. What stopped a trial is a column, no longer to be read out of its cause; its settings are recorded as JSON.

    So is the judge, of which there was one for each kind of forgetting.
    """
    if name not in ("trials", "replicates"):
        return table
    if name == "replicates" and "judge" not in table.column_names:
        word = pa.dictionary(pa.int32(), pa.string())
        table = table.append_column(pa.field("judge", word), pa.nulls(table.num_rows, word))
    if {"state", "cause"} <= set(table.column_names) and "stopped_by" not in table.column_names:
        beaten = pc.fill_null(pc.starts_with(pc.cast(table["cause"], pa.string()), "dominated by trial"), False)
        stopped = pc.fill_null(pc.equal(pc.cast(table["state"], pa.string()), "PRUNED"), False)
        words = pc.if_else(stopped, pc.if_else(beaten, "domination", "gate"), pa.scalar(None, pa.string()))
        at = table.schema.get_field_index("cause") + 1
        table = table.add_column(at, "stopped_by", pc.cast(words, pa.dictionary(pa.int32(), pa.string())))
    return with_columns(table, [("stopped_by", pa.string()), ("settings", pa.string())]) if name == "trials" else table


def _points_of_a_stage(table: pa.Table, name: str) -> pa.Table:
    """3 → 4. A stage says how many points of curves it gave, so that a reader knows whether any are lost."""
    return with_columns(table, [("stage", pa.string()), ("points", pa.int32())]) if name == "stages" else table


def _kind_of_a_stage(table: pa.Table, name: str) -> pa.Table:
    """4 → 5. A stage says of which kind it is, no longer to be read out of its name, before the @ of its step."""
    if name != "stages" or "stage" not in table.column_names:
        return table
    kinds = pc.replace_substring_regex(pc.cast(table["stage"], pa.string()), "@.*", "")
    at = table.schema.get_field_index("stage") + 1
    return table.add_column(at, "kind", pc.cast(kinds, pa.dictionary(pa.int32(), pa.string())))


MIGRATIONS: dict[int, Callable[[pa.Table, str], pa.Table]] = {
    1: _figures_added_under_version_1,
    2: _settings_and_what_stopped,
    3: _points_of_a_stage,
    4: _kind_of_a_stage,
}
"""By the version it starts from: a table and its name to the same table one version later."""
