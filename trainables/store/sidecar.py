"""An artifact's sidecar as a file: JSON that bears a hash of the key and of its own content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_SIDECAR = {"kind", "facts", "sha256", "made_at"}


def signed(key: str, sidecar: Mapping[str, Any]) -> bytes:
    """A sidecar's file: its content, and a hash of the key and of that content as it will be read."""
    read = json.loads(json.dumps(sidecar))
    return json.dumps(read | {"check": _check(key, read)}, indent=1, sort_keys=True).encode()


def _check(key: str, sidecar: Mapping[str, Any]) -> str:
    return hashlib.sha256(f"{key} {json.dumps(sidecar, sort_keys=True)}".encode()).hexdigest()


def checked(key: str, data: bytes) -> dict[str, Any] | None:
    """A sidecar's content, or None where it is not as it was written. One of an earlier version bears no hash of its own."""
    try:
        sidecar = json.loads(data)
        check = sidecar.pop("check", None)
    except (ValueError, AttributeError, TypeError):
        return None
    if sidecar.keys() != _SIDECAR or (check is not None and check != _check(key, sidecar)):
        return None
    return sidecar


def named(sidecar: Mapping[str, Any]) -> dict[str, Any]:
    return {name: sidecar[name] for name in ("kind", "facts", "sha256", "made_at")}
