"""A sidecar, an artifact's or that of an array that a machine keeps: JSON that bears a hash of the key and of its own content."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Set
from typing import Any

_SHA256 = re.compile("[0-9a-f]{64}")
ARTIFACT = frozenset({"kind", "facts", "sha256", "made_at"})  # what an artifact's says


def signed(key: str, sidecar: Mapping[str, Any]) -> bytes:
    """A sidecar's file: its content, and a hash of the key and of that content as it will be read."""
    read = json.loads(json.dumps(sidecar))
    return json.dumps(read | {"check": _check(key, read)}, indent=1, sort_keys=True).encode()


def _check(key: str, sidecar: Mapping[str, Any]) -> str:
    return hashlib.sha256(f"{key} {json.dumps(sidecar, sort_keys=True)}".encode()).hexdigest()


def checked(key: str, data: bytes, names: Set[str] = ARTIFACT, unsigned: bool = True) -> dict[str, Any] | None:
    """A sidecar's content, of these names, or None where it is not as it was written, or its hash is none: it becomes a path.

    An artifact's of an earlier version bears no hash of its own: with `unsigned` one without is taken.
    """
    try:
        sidecar = json.loads(data)
        check = sidecar.pop("check", None)
    except (ValueError, AttributeError, TypeError):
        return None
    if sidecar.keys() != names or not _is_hash(sidecar["sha256"]):
        return None
    whole = unsigned if check is None else check == _check(key, sidecar)
    return sidecar if whole else None


def _is_hash(sha256: Any) -> bool:
    """Whether it is a file's SHA-256, or None where there is no file."""
    return sha256 is None or (isinstance(sha256, str) and bool(_SHA256.fullmatch(sha256)))


def named(sidecar: Mapping[str, Any]) -> dict[str, Any]:
    return {name: sidecar[name] for name in ARTIFACT}
