"""A track as its reader sees it, and whether two of them may be compared."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from sweep.errors import UsageError
from sweep.records import COMPLETE, read_json, rows
from sweep.relearning.columns import columns
from sweep.space import CONTROL

Row: TypeAlias = dict[str, Any]

# What a figure depends on besides method, seed and what is forgotten, which the reference statistics go by; two tracks are
# compared only where these agree.
CONDITIONS = tuple(name for name in columns().compared if name != "reference")


@dataclass(frozen=True)
class Track:
    """A track's folder, read: `facts` is track.json; `replicates`, `curves` and `stages` are the tables' rows."""

    run: Path
    facts: Row
    prepared: Row
    status: Row
    replicates: tuple[Row, ...]
    curves: tuple[Row, ...]
    stages: tuple[Row, ...]

    @property
    def entries(self) -> list[str]:
        """Names of the methods and models, as they were given."""
        return [e["name"] for e in self.facts["entries"]]

    @property
    def attacks(self) -> dict[str, Row]:
        return self.facts["attacks"]

    @property
    def forgets(self) -> list[str]:
        return self.facts["forgets"]

    @property
    def rungs(self) -> list[int]:
        return self.facts["rungs"]

    def done(self, entry: str, forget: str) -> dict[int, Row]:
        """The finished replicates of an entry, or of a control, by seed."""
        return {
            r["seed"]: r
            for r in self.replicates
            if r["state"] == COMPLETE and r["forget"] == forget and line_of(r) == entry
        }


def line_of(row: Row) -> str:
    """Whose line of the leaderboard a replicate is."""
    return row["trial_id"].partition("-forget-")[0] if row["arm"] == CONTROL else row["arm"]


def read_track(run: str | os.PathLike[str]) -> Track:
    """A track, finished or still running. UsageError where the folder is no track's or nothing is recorded yet."""
    folder = Path(run)
    if not (folder / "track.json").is_file():
        what = "is not a track's folder (it has no track.json)" if folder.exists() else "does not exist"
        raise UsageError(f"{folder}: {what}; name the folder that python -m sweep.track printed as its run")
    tables = {table: tuple(rows(folder, table)) for table in ("replicates", "curves", "stages")}
    if not tables["replicates"]:
        raise UsageError(f"{folder}: nothing is recorded yet")
    optional = {
        name: read_json(folder / f"{name}.json") if (folder / f"{name}.json").exists() else {}
        for name in ("prepared", "status")
    }
    return Track(folder, read_json(folder / "track.json"), optional["prepared"], optional["status"], **tables)


def conditions(track: Track) -> Row:
    """Everything that two tracks must agree in before a figure of one is held against a figure of the other."""
    done = [r for r in track.replicates if r["state"] == COMPLETE]
    values = {name: sorted({r[name] for r in done if r.get(name) is not None}) for name in CONDITIONS}
    facts: Row = {name: value for name, value in values.items() if value}  # an older track may lack a column
    keys = track.prepared.get("keys", {})
    facts |= {f"artifact: {name}": key for name, key in sorted(keys.items())}
    facts |= {f"attack {name}": attack for name, attack in sorted(track.attacks.items())}
    facts |= {f"code of {name}": code for name, code in sorted(track.prepared.get("code", {}).items())}
    plan = track.facts["plan"]
    facts |= {name.replace("_", " "): plan[name] for name in ("data", "image_size", "data_limit", "data_fingerprint")}
    return facts | {"rungs": track.rungs}


def incomparable(a: Track, b: Track) -> list[str]:
    """What the two tracks differ in, each with both values; empty where their figures may be compared.

    Attacks, and things to forget, that only one of them has are no difference: the others are compared.
    """
    first, second = conditions(a), conditions(b)
    both = first.keys() & second.keys()
    differences = [
        f"{name} ({_brief(first[name])} and {_brief(second[name])})"
        for name in sorted(both)
        if first[name] != second[name]
    ]
    if not set(a.attacks) & set(b.attacks):
        differences.append("attacks (none is in both)")
    if not set(a.forgets) & set(b.forgets):
        differences.append("what is forgotten (nothing is in both)")
    return differences


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}…"
