"""Canaries: rows of the pool that are in the training set or not, each by a fair coin, so that one training tells of all.

Those that are not are the strangers: rows as like the members as can be, of the same pool and by the same coin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from trainables.federated.parties import Parties
from trainables.sampling.seeds import stream

KINDS = ("rows", "crossed")
MOST = 400
SHARE = 0.25  # of the pool, at most


@dataclass(frozen=True)
class Canaries:
    """A pool's canaries: the rows themselves (m, d), and which are `included` (m,) bool; `members` (N, d) are trained on.

    `expected` is how many members there are on average: how many there are is part of the coin's secret. `fewest` are in whatever
    the coins say.
    """

    rows: torch.Tensor
    included: np.ndarray
    members: torch.Tensor
    expected: int
    fewest: int

    def __len__(self) -> int:
        return len(self.rows)


def draw(pool: torch.Tensor, parties: Parties, seed: int, kind: str = "rows", most: int = MOST) -> Canaries:
    """Canaries of a pool (n, d), chosen and tossed by streams of the seed: `most`, or a quarter of the pool.

    ``crossed`` canaries are made of two rows, the first party's part of one and the others' of the other: no marginal explains
    them, so that whoever judges rows whole has to memorise them. Both rows leave the pool and are in no other canary, for ε is of
    one training row, and nobody may be in two; that costs quality. A stranger is a row that no
    member equals: rows that the pool has twice are always in, and a crossed one that equals a row of the pool or another crossed
    one, as may be where columns have few values, is no canary. ValueError where the pool is too small for two.
    """
    if kind not in KINDS:
        raise ValueError(f"canaries {kind!r} are none of {', '.join(KINDS)}")
    order = np.random.default_rng(stream(seed, "canaries")).permutation(_single(pool))
    made_of = order[:, None]  # by canary, the numbers of its rows in the pool
    rows = pool[torch.from_numpy(order)]
    if kind == "crossed":
        made_of = order[: len(order) // 2 * 2].reshape(-1, 2)
        first, second = (parties.split(pool[torch.from_numpy(numbers)]) for numbers in made_of.T.copy())
        rows = parties.join([first[0], *second[1:]])
        unlike = _single(torch.cat([rows, pool]))
        fresh = unlike[unlike < len(rows)]  # in order
        rows, made_of = rows[torch.from_numpy(fresh)], made_of[fresh]
    number = min(most, int(SHARE * len(pool)), len(rows))
    if number < 2:
        which = "of them" if kind == "rows" else "of them, crossed,"
        raise ValueError(
            f"a pool of {len(pool)} rows, {len(rows)} {which} unlike all others, has no canaries; give more rows"
        )
    rows = rows[:number]
    included = np.random.default_rng(stream(seed, "coin")).random(number) < 0.5
    others = np.setdiff1d(np.arange(len(pool)), made_of[:number])
    members = torch.cat([pool[torch.from_numpy(others)], rows[torch.from_numpy(included)]])
    return Canaries(rows, included, members, len(others) + number // 2, len(others))


def _single(rows: torch.Tensor) -> np.ndarray:
    """Numbers of the rows that no other row equals."""
    _, first, counts = np.unique(rows.numpy() + 0.0, axis=0, return_index=True, return_counts=True)  # -0 becomes 0
    return np.sort(first[counts == 1])
