"""A track's results in one file, ``results.json``, which needs nothing beside it to be read, checked, or merged with others'.

What is in it, field by field, says ``results.schema.json``. A leaderboard of it is the track's own.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sweep.errors import UsageError
from sweep.procedures import START
from sweep.records import COMPLETE, FAIL
from sweep.records.whole import write_whole
from sweep.relearning.columns import COUNTED_BY, RELEARNED
from sweep.space import CONTROL
from sweep.track.reading import Row, Track, conditions, line_of
from sweep.track.schema import CONTROLS, faults
from sweep.track.scoring import AFTER, BEFORE

NAME, SCHEMA, VERSION = "results.json", "relearning-track", 1
_OTHERWHERE = ("rungs",)  # conditions that have a field of their own
_ONE_OF_EACH = ("data", "judge", "sampler", "samples_forgotten", "samples_per_retained", "feature_network")


def results_of(track: Track) -> Row:
    """The content of ``results.json``: figures of every replicate that ended, with all that they depend on."""
    done = [row for row in track.replicates if row["state"] == COMPLETE]
    by_replicate: dict[tuple[str, int], list[Row]] = {}
    for row in track.curves:
        by_replicate.setdefault((row["trial_id"], row["replicate"]), []).append(row)
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "conditions": _conditions(track),
        "attacks": {
            name: {"method": a["method"], "settings": a["settings"], "counts": a["counts"]}
            for name, a in track.attacks.items()
        },
        "rungs": track.rungs,
        "forgets": track.forgets,
        "entries": [
            {name: e[name] for name in ("name", "method", "settings", "source", "digest") if name in e}
            for e in track.facts["entries"]
        ],
        "replicates": [
            _replicate(track, row, by_replicate.get((row["trial_id"], row["replicate"]), [])) for row in done
        ],
        "failures": [
            {"entry": line_of(row), "forget": row["forget"], "seed": row["seed"], "cause": row["cause"] or ""}
            for row in track.replicates
            if row["state"] == FAIL
        ],
    }


def _conditions(track: Track) -> Row:
    """`conditions` with one value of each thing that all replicates share, and a null for what nobody recorded."""
    known = conditions(track)
    known = {n: v for n, v in known.items() if n not in _OTHERWHERE and not n.startswith("attack ")}
    for name, value in known.items():
        if isinstance(value, list) and len(value) == 1:
            known[name] = value[0]
    return {name: known.pop(name, None) for name in (*_ONE_OF_EACH, "feature_network_hash")} | known


def _replicate(track: Track, row: Row, curves: Iterable[Row]) -> Row:
    points = {(r["attack"], r["metric"], r["attack_step"]): r for r in curves if r["value"] is not None}

    def number(attack: str, figure: str, step: int) -> float | None:
        point = points.get((attack, figure, step) if step else (START, figure, 0))
        return None if point is None else _finite(point["value"])

    def samples(figure: str, before: bool) -> int:
        counted = [p["samples"] for (a, f, _), p in points.items() if f == figure and (a == START) == before]
        return min((n for n in counted if n), default=0)

    return {
        "entry": line_of(row),
        "forget": row["forget"],
        "seed": row["seed"],
        "samples": {
            "forgotten": samples(RELEARNED, before=True),
            "retained": samples(COUNTED_BY, before=True),
            "retained_after_attack": samples(COUNTED_BY, before=False),
        },
        "before": {name: _finite(row.get(name)) for name in (*BEFORE, "fid")},
        "attacks": {
            attack: {figure: [number(attack, figure, k) for k in track.rungs] for figure in (RELEARNED, *AFTER)}
            for attack in track.attacks
        },
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def write_results(track: Track, folder: Path) -> None:
    """Write ``results.json`` into a folder."""
    write_whole(folder / NAME, as_text(results_of(track)))


def as_text(results: Mapping[str, Any]) -> str:
    return json.dumps(results, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def file_of(place: str | os.PathLike[str]) -> Path:
    """The results file that is meant: itself, or that of a track's folder."""
    path = Path(place)
    return path / NAME if path.is_dir() else path


def content(path: Path) -> Any:
    """What a JSON file holds. UsageError where it cannot be read; a number that is none, such as NaN, is no JSON."""

    def refused(name: str) -> float:
        raise ValueError(f"{name} is no number of JSON; write null")

    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=refused)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; a finished track's folder holds {NAME}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read as JSON ({error})") from None


def read_results(place: str | os.PathLike[str]) -> Row:
    """The results in a file, or a track's folder. UsageError with the first fault where they are not of the schema."""
    path = file_of(place)
    results = content(path)
    if reasons := faults(results):
        more = f"; and {len(reasons) - 1} more, see python -m sweep.track validate {path}" if len(reasons) > 1 else ""
        raise UsageError(f"{path}: {reasons[0]}{more}")
    return results  # type: ignore[no-any-return]


def summary(results: Mapping[str, Any]) -> str:
    """What a valid file holds, in words."""
    known, replicates = results["conditions"], results["replicates"]
    entries = ", ".join(entry["name"] for entry in results["entries"]) or "controls alone"
    return (
        f"results of a track, version {results['version']}: {entries}; data {known['data']}, forget "
        f"{', '.join(results['forgets'])}; {len(results['attacks'])} attacks to step {results['rungs'][-1]}; "
        f"{len(replicates)} replicates, {len(results['failures'])} failed"
    )


def track_of(results: Mapping[str, Any], place: Path) -> Track:
    """The track that a results file tells of, as its leaderboard is made from; `place` is where it is said to lie."""
    replicates: list[Row] = []
    curves: list[Row] = []
    for number, one in enumerate(results["replicates"], 1):
        row = one["before"] | _row(one, number, COMPLETE)
        row["samples_forgotten"] = results["conditions"]["samples_forgotten"]
        replicates.append(row)
        curves += _curves(row, one, results["rungs"])
    start = len(replicates) + 1
    replicates += [_row(one, number, FAIL) for number, one in enumerate(results["failures"], start)]
    known = results["conditions"]
    facts = {
        "plan": {"data": known["data"], **{n: known[n] for n in ("samples_forgotten", "samples_per_retained")}},
        "entries": results["entries"],
        "attacks": results["attacks"],
        "forgets": results["forgets"],
        "rungs": results["rungs"],
    }
    return Track(place, facts, {}, {"state": "finished"}, tuple(replicates), tuple(curves), ())


def _row(one: Row, number: int, state: str) -> Row:
    """A replicate's own columns, `schema.OWN_COLUMNS`: no figure of it is called so."""
    control = one["entry"] in CONTROLS
    return {
        "trial_id": f"{one['entry']}-forget-{one['forget']}",
        "replicate": number,
        "arm": CONTROL if control else one["entry"],
        "phase": "confirm",
        "state": state,
        "cause": one.get("cause"),
        "seed": one["seed"],
        "forget": one["forget"],
        "samples_forgotten": 0,
    }


def _curves(row: Row, one: Row, rungs: list[int]) -> Iterable[Row]:
    """Rows of the curves table; those of rung 0 once, for they are of no attack."""
    whose, samples, started = {n: row[n] for n in ("trial_id", "replicate")}, one["samples"], set()
    for attack, figures in one["attacks"].items():
        for figure, values in figures.items():
            for step, value in zip(rungs, values, strict=True):
                if value is None or (not step and figure in started):
                    continue
                of_retained = samples["retained_after_attack" if step else "retained"]
                n = samples["forgotten"] if figure == RELEARNED else of_retained
                at = {"attack": attack if step else START, "attack_step": step}
                yield whose | at | {"metric": figure, "value": value, "samples": n}
                if not step:
                    started.add(figure)
