"""Streams of random numbers whose keys cannot be tried out: Philox (Salmon et al. 2011, SC'11) with 128 bits.

Privacy rests on noise and batches that nobody else knows. A torch generator on the CPU keeps 32 bits of its seed, so that all the
noise that it can make is tried out in hours. A counter-based generator has no state to carry on: every purpose of every step
has a stream of its own, that begins in some microseconds. Philox passes the statistical tests there are; it is no cipher.
"""

from __future__ import annotations

import hashlib
import secrets

import numpy as np
import torch

KEY_BYTES = 16


def keyed(*parts: str) -> np.random.Generator:
    """The stream of a key that is SHA-256 of these texts: the same for the same, and as hard to guess as they are together."""
    text = "".join(f"{len(part)}:{part}" for part in parts)  # no two sequences of texts are one
    return _philox(int.from_bytes(hashlib.sha256(text.encode()).digest()[:KEY_BYTES], "little"))


def unknown() -> np.random.Generator:
    """A stream whose key is the system's entropy, and is kept nowhere."""
    return _philox(secrets.randbits(8 * KEY_BYTES))


def normal_like(tensor: torch.Tensor, generator: np.random.Generator) -> torch.Tensor:
    """Independent N(0, 1) of the tensor's shape, precision and device; drawn in float64, so that its tails are not cut short."""
    return torch.from_numpy(generator.standard_normal(tuple(tensor.shape))).to(tensor)


def _philox(key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=key))
