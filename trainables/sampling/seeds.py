"""Seeds of random streams: one for each purpose of a replicate."""

from __future__ import annotations

import hashlib


def stream(seed: int, *purpose: str) -> int:
    """An independent seed for one purpose of a replicate, so that no two of its random streams are the same."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{'/'.join(purpose)}".encode()).digest()[:7], "big")
