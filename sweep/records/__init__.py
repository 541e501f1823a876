"""What a run leaves behind: four tables of Parquet files, written whole, read as they were at one moment."""

from sweep.records.files import NothingRecorded
from sweep.records.tables import (
    COMPLETE,
    CONFIRMATION,
    DOMINATION,
    FAIL,
    GATE,
    PRUNED,
    REBUILT,
    RUNNING,
    SEARCH,
    SETTINGS,
    TABLES,
    Writer,
    empty_table,
    names_of_every_run,
    now,
    read,
    read_json,
    recorded_settings,
    replicate_tables,
    rows,
    run_folder,
    safe_name,
    schemas,
)

__all__ = [
    "COMPLETE", "CONFIRMATION", "DOMINATION", "FAIL", "GATE", "PRUNED", "REBUILT",
    "RUNNING", "SEARCH", "SETTINGS", "TABLES", "NothingRecorded", "Writer", "empty_table",
    "names_of_every_run", "now", "read", "read_json", "recorded_settings", "replicate_tables", "rows", "run_folder", "safe_name",
    "schemas",
]  # fmt: skip
