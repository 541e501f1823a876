"""What a run leaves behind: four tables of Parquet files, written whole, read as they were at one moment."""

from sweep.records.columns import audit_names, fact, figure_columns, figure_names
from sweep.records.files import NothingRecorded
from sweep.records.tables import (
    AFTER_ATTACK,
    COMPLETE,
    CURVES,
    DOMINATION,
    FAIL,
    FORGOTTEN,
    GATE,
    PRUNED,
    REBUILT,
    RETAINED,
    RUNNING,
    SEARCH,
    SETTINGS,
    STAGES,
    TABLES,
    Writer,
    now,
    read,
    read_json,
    recorded_settings,
    rows,
    run_folder,
    safe_name,
    schemas,
    track_schemas,
)

__all__ = [
    "AFTER_ATTACK", "COMPLETE", "CURVES", "DOMINATION", "FAIL", "FORGOTTEN", "GATE", "PRUNED", "REBUILT", "RETAINED",
    "RUNNING", "SEARCH", "SETTINGS", "STAGES", "TABLES", "NothingRecorded", "Writer", "audit_names", "fact",
    "figure_columns", "figure_names", "now", "read", "read_json", "recorded_settings", "rows", "run_folder", "safe_name",
    "schemas", "track_schemas",
]  # fmt: skip
