"""Whether a file is a track's results: its form by ``results.schema.json``, then what no form can say, all faults by their places.

The schema is JSON Schema (draft 2020-12), of which the keywords in `_KEYWORDS` are used here; any validator of it reads the file.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from sweep.records.names import BASE, RETRAIN
from sweep.relearning.columns import RELEARNED, columns

CONTROLS = (BASE, RETRAIN)
# What a replicate is known by once a file is read, beside its figures.
OWN_COLUMNS = {
    "trial_id", "replicate", "arm", "phase", "state", "cause", "seed", "forget", "samples_forgotten",
}  # fmt: skip
_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v),
    "null": lambda v: v is None,
}
_NOTED = {"$schema", "title", "description"}
_KEYWORDS = _NOTED | {
    "type", "const", "required", "properties", "additionalProperties", "items", "minimum", "minLength", "minItems",
    "minProperties", "pattern",
}  # fmt: skip


def faults(results: Any) -> list[str]:
    """What is wrong with the content of a results file, each with its place; empty where nothing is."""
    of_form = list(_form(results, schema(), ""))
    return of_form or list(_meaning(results))


@cache
def schema() -> dict[str, Any]:
    """The schema itself. ValueError where it uses a keyword that is not checked here."""
    whole: dict[str, Any] = json.loads(Path(__file__).with_name("results.schema.json").read_text(encoding="utf-8"))
    _check_keywords(whole)
    return whole


def _check_keywords(part: dict[str, Any]) -> None:
    if unknown := part.keys() - _KEYWORDS:
        raise ValueError(f"results.schema.json: {', '.join(sorted(unknown))} is not checked by {Path(__file__).name}")
    inner = [*part.get("properties", {}).values(), part.get("items"), part.get("additionalProperties")]
    for one in inner:
        if isinstance(one, dict):
            _check_keywords(one)


def _form(value: Any, part: dict[str, Any], where: str) -> Iterator[str]:
    """Faults of a value against a part of the schema; behind a wrong type nothing more is said of it."""
    if "const" in part and value != part["const"]:
        yield f"{where or 'the file'}: is {_brief(value)}, not {_brief(part['const'])}"
    types = part.get("type", [])
    types = [types] if isinstance(types, str) else types
    if types and not any(_TYPES[name](value) for name in types):
        yield f"{where or 'the file'}: is {_brief(value)}, where {' or '.join(types)} belongs"
        return
    if isinstance(value, dict):
        yield from _object(value, part, where)
    elif isinstance(value, list):
        if len(value) < part.get("minItems", 0):
            yield f"{where}: has {len(value)} items; {part['minItems']} at least"
        for number, one in enumerate(value):
            yield from _form(one, part.get("items", {}), f"{where}[{number}]")
    elif isinstance(value, str):
        if len(value) < part.get("minLength", 0):
            yield f"{where}: is empty"
        if "pattern" in part and not re.search(part["pattern"], value):
            yield f"{where}: {_brief(value)} is no name; | < > and control characters may not be in one"
    elif value is not None and not isinstance(value, bool) and value < part.get("minimum", -math.inf):
        yield f"{where}: is {value}; {part['minimum']} at least"


def _object(value: dict[str, Any], part: dict[str, Any], where: str) -> Iterator[str]:
    before = f"{where}." if where else ""
    for name in part.get("required", ()):
        if name not in value:
            yield f"{before}{name}: is missing"
    if len(value) < part.get("minProperties", 0):
        yield f"{where}: is empty"
    known, others = part.get("properties", {}), part.get("additionalProperties", {})
    for name, one in value.items():
        if name in known:
            yield from _form(one, known[name], f"{before}{name}")
        elif others is False:
            yield f"{before}{name}: is not in the schema"
        else:
            yield from _form(one, others, f"{before}{name}")


def _meaning(results: dict[str, Any]) -> Iterator[str]:
    """Names that nothing has, what is there twice, shares that are none, curves with other rungs than the file's."""
    rungs, names = results["rungs"], [entry["name"] for entry in results["entries"]]
    if rungs[0] != 0 or rungs != sorted(set(rungs)):
        yield f"rungs: {rungs} do not rise from 0"
    for list_name, values in (("entries", names), ("forgets", results["forgets"])):
        for twice in sorted({value for value in values if values.count(value) > 1}):
            yield f"{list_name}: {_brief(twice)} is there twice"
    for name in names:
        if name in CONTROLS:
            yield f"entries: {name} is a control, which is not listed"
    known = {"entry": [*names, *CONTROLS], "forget": results["forgets"]}
    seen: set[tuple[str, str, int]] = set()
    for kind in ("replicates", "failures"):
        for number, one in enumerate(results[kind]):
            where = f"{kind}[{number}]"
            for field, values in known.items():
                if one[field] not in values:
                    yield f"{where}.{field}: {_brief(one[field])} is none of {', '.join(values)}"
            key = (one["entry"], one["forget"], one["seed"])
            if key in seen:
                yield f"{where}: {key[0]}, forget {key[1]}, seed {key[2]} is there twice"
            seen.add(key)
            if kind == "replicates":
                yield from _replicate(one, results, where)


def _replicate(one: dict[str, Any], results: dict[str, Any], where: str) -> Iterator[str]:
    rungs, attacks = results["rungs"], results["attacks"]
    for name in sorted(OWN_COLUMNS & one["before"].keys()):
        yield f"{where}.before.{name}: is no figure but a column of the replicate itself"
    yield from _shares(one["before"], f"{where}.before")
    for name in attacks.keys() - one["attacks"].keys():
        yield f"{where}.attacks: {name} is missing"
    starts: dict[str, float] = {}
    for attack, curves in one["attacks"].items():
        at = f"{where}.attacks.{attack}"
        if attack not in attacks:
            yield f"{at}: is none of the file's attacks"
        for figure, values in curves.items():
            if len(values) != len(rungs):
                yield f"{at}.{figure}: has {len(values)} numbers for {len(rungs)} rungs"
                continue
            yield from _shares({f"{figure}[{i}]": v for i, v in enumerate(values)}, at)
            if figure == RELEARNED and None in values:
                yield f"{at}.{figure}[{values.index(None)}]: is null; AURC needs every rung"
            if starts.setdefault(figure, values[0]) != values[0]:
                yield f"{at}.{figure}[0]: is {values[0]}, and {starts[figure]} under another attack, before either"


def _shares(figures: dict[str, Any], where: str) -> Iterator[str]:
    """Of numbers by their figures' names, each perhaps with the place of a rung, those that are shares and cannot be."""
    for name, value in figures.items():
        if value is not None and columns().is_share(name.partition("[")[0]) and not 0 <= value <= 1:
            yield f"{where}.{name}: {value} is no share"


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else f"{text[:39]}…"
