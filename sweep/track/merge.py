"""Results of several tracks as one leaderboard, where nothing differs that their figures depend on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sweep.errors import UsageError
from sweep.track.reading import Row

_SHOWN = 5  # differences that are named of two files


def merged(results: Mapping[Path, Row]) -> Row:
    """One file's content of several, by their places, the first's order first; UsageError where two are not comparable.

    An entry or control that several have is one line over all of their seeds. Where two have a seed of it too, they must have
    the same figures: by that the controls, which everybody runs, tell whether machines and protocols agree.
    """
    first, *others = results
    whole = json.loads(json.dumps(results[first]))
    for place in others:
        _check_comparable(first, results[first], place, results[place])
    for place in others:
        _add(whole, results[place], place)
    return whole


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Everything that figures depend on in which two files differ, with both values; empty where they may be merged."""
    differing_parts = []
    for part in ("conditions", "attacks"):
        for name in dict.fromkeys([*a[part], *b[part]]):
            first, second = (one[part].get(name, "not there") for one in (a, b))
            if first != second:
                differing_parts.append(f"{part}.{name} ({_brief(first)} and {_brief(second)})")
    for part in ("rungs", "forgets"):
        first, second = (sorted(one[part]) for one in (a, b))
        if first != second:
            differing_parts.append(f"{part} ({_brief(first)} and {_brief(second)})")
    return differing_parts


def _check_comparable(first: Path, a: Row, place: Path, b: Row) -> None:
    if differing_parts := differences(a, b):
        more = f"; and {len(differing_parts) - _SHOWN} more" if len(differing_parts) > _SHOWN else ""
        raise UsageError(
            f"{first} and {place}: not comparable, they differ in {'; '.join(differing_parts[:_SHOWN])}{more}"
        )


def _add(whole: Row, more: Row, place: Path) -> None:
    """Put another file's entries and replicates to those there are."""
    entries = {entry["name"]: entry for entry in whole["entries"]}
    for entry in more["entries"]:
        there = entries.get(entry["name"])
        if there is None:
            whole["entries"].append(entry)
        elif differs := [n for n in ("method", "settings", "digest") if there.get(n) != entry.get(n)]:
            raise UsageError(
                f"{place}: entry {entry['name']} has another {differs[0]} than that of the same name before it; rename one"
            )
    for kind in ("replicates", "failures"):
        there = {_key(one): one for one in whole[kind]}
        for one in more[kind]:
            twin = there.get(_key(one))
            if twin is None:
                whole[kind].append(one)
            elif kind == "replicates" and (at := _first_difference(twin, one, "")):
                whose = f"{one['entry']}, forget {one['forget']}, seed {one['seed']}"
                raise UsageError(f"{place}: {whose}: {at} in an earlier file; the same seed has the same figures")
    done = {_key(one) for one in whole["replicates"]}
    whole["failures"] = [one for one in whole["failures"] if _key(one) not in done]


def _key(one: Mapping[str, Any]) -> tuple[str, str, int]:
    return one["entry"], one["forget"], one["seed"]


def _first_difference(a: Any, b: Any, where: str) -> str:
    """The first place where two values of one form differ, and both values."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        inner = (_first_difference(a[name], b[name], f"{where}.{name}".strip(".")) for name in a)
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        inner = (
            _first_difference(one, other, f"{where}[{i}]") for i, (one, other) in enumerate(zip(a, b, strict=True))
        )
    else:
        return f"{where} is {_brief(b)} here and {_brief(a)}" if a != b else ""
    return next((difference for difference in inner if difference), "")


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:39]}…"


def distinct(files: Sequence[Path]) -> list[Path]:
    """The files, each once; UsageError where one is named twice."""
    for twice in {file for file in files if files.count(file) > 1}:
        raise UsageError(f"{twice}: is named twice")
    return list(files)
