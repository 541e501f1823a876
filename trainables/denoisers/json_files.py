"""Values out of a pipeline's JSON files; whatever is wrong with one is a ValueError of one line that names the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_json(path: Path, without: str) -> dict[str, Any]:
    """The object in a file. ValueError where there is no file (`without` says what that means), or nothing of the kind in it."""
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))  # with a byte order mark or without
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file: {without}") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: not a JSON object")
    return values


def whole(config: dict[str, Any], name: str, default: int, where: Path) -> int:
    """A whole number of a configuration, at least 0, the default where it is not there; ValueError for anything else."""
    value = config.get(name)
    return default if value is None else whole_number(value, name, where)


def whole_number(value: Any, name: str, where: Path) -> int:
    """The value itself, where it is a whole number, at least 0."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{where}: {name} is {value!r}, where a whole number belongs")
    return value


def sides(config: dict[str, Any], where: Path) -> tuple[int, int]:
    """(height, width) of a U-Net's ``sample_size``: a side, or both."""
    size = config.get("sample_size")
    if size is None:
        raise ValueError(f"{where}: it names no sample_size, so nobody can say which images it is for")
    both = list(size) if isinstance(size, list | tuple) else [size, size]
    if len(both) != 2:
        raise ValueError(f"{where}: sample_size {size!r} is neither a side nor a height and a width")
    # diffusers makes nothing of a UNet's sample_size, so that 32.0 loads; of other numbers it makes layers
    both = [int(side) if isinstance(side, float) and side.is_integer() else side for side in both]
    height, width = (whole_number(side, "sample_size", where) for side in both)
    return height, width
