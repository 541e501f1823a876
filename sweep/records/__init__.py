"""What a run leaves behind: four tables of Parquet files, written whole, read as they were at one moment."""

from sweep.records.columns import AUDITS, FIGURES, fact
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
    REPLICATES,
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
    "AFTER_ATTACK", "AUDITS", "COMPLETE", "CURVES", "DOMINATION", "FAIL", "FIGURES", "FORGOTTEN", "GATE", "PRUNED",
    "REBUILT", "REPLICATES", "RETAINED", "RUNNING", "SEARCH", "SETTINGS", "STAGES", "TABLES", "NothingRecorded", "Writer",
    "fact", "now", "read", "read_json", "recorded_settings", "rows", "run_folder", "safe_name", "schemas", "track_schemas",
]  # fmt: skip
