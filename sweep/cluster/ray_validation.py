"""What Ray itself refuses in a file for `ray up`: by its JSON schema, with lines, and by what it makes of the file."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sweep.cluster.files import Document, Place
from sweep.cluster.finding import Found
from sweep.errors import near


def schema(document: Document) -> Found:
    """What Ray's own JSON schema refuses, with the line."""
    import jsonschema
    import ray.autoscaler

    schema = Path(ray.autoscaler.__path__[0]) / "ray-schema.json"
    if unnamed := [place for place, value in _keys(document.values, ()) if not isinstance(value, str)]:
        for place in unnamed:
            yield place, f"{place[-1]!r} is a key and no text", "put it in quotes"
        return
    validator = jsonschema.Draft7Validator(json.loads(schema.read_text(encoding="utf-8")))
    for error in validator.iter_errors(document.values):
        place = tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            known = error.schema.get("properties", {})
            here = "" if place else "; an anchor of your own (&) goes where it is used first"
            for key in sorted(error.instance.keys() - known.keys(), key=str):
                yield (
                    (*place, key),
                    f"{'.'.join(map(str, (*place, key)))}: Ray knows no such key",
                    near(str(key), known) + here,
                )
        else:
            yield place, f"{'.'.join(map(str, place)) or 'the file'}: {error.message}", "mend it as Ray's schema says"


def _keys(values: Any, place: Place) -> Iterator[tuple[Place, Any]]:
    """Every key, with its place."""
    if isinstance(values, dict):
        for key, inner in values.items():
            yield (*place, key), key
            yield from _keys(inner, (*place, key))
    elif isinstance(values, list):
        for i, inner in enumerate(values):
            yield from _keys(inner, (*place, i))


def prepared(values: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The file as `ray up` works with it, with Ray's defaults filled in; and why Ray refuses it, or nothing."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    with contextlib.redirect_stdout(io.StringIO()) as said:
        try:
            ready = prepare_config(copy.deepcopy(values))
            validate_config(ready)
        except (Exception, SystemExit) as error:  # AssertionError, KeyError, ValueError, click's, jsonschema's
            words = " ".join(str(error).split()) if not isinstance(error, SystemExit) else ""
            words = words or " ".join(said.getvalue().split()) or type(error).__name__
            return {}, f"Ray refuses it: {words}"
    return ready, ""
