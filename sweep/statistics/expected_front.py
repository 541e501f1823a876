"""Where replicates decide something: trials in the order in which confirming them is expected to change the front.

The front that is reported is made of confirmed means, and of confirmed trials alone. So a set of trials is worth the feasible
hypervolume that the confirmed front of it is expected to have, and the next trial to confirm is the one that adds most to
that. A sure member adds what the others leave free; one near a bound adds it as often as its mean holds; a trial that broke a
bound by less than noise may adds its place in a front that has room for it; one beside a member adds what the member may lose.

What a trial's means may be is drawn about its figures on the search's one seed, with the noise of that seed (`sds`). The
draws of a trial are its own, by its number: the choice is the same whenever it is made from the same records.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweep.statistics.estimates import areas

DRAWS = 256
MOST = 64  # of each kind that are looked at together, of very many
WORTH = 1e-3  # of the hypervolume that all candidates together are expected to have: less decides nothing

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Candidates:
    """Trials that may be confirmed, with what was measured of them. Rows are trials, by rising `numbers` (n,).

    `figures` (n, k) are what was measured, `sds` (n, k) their noise. The objectives are the columns `objectives`, multiplied
    by `signs` (m,) so that less is better: these are costs. `corner` (m,) is the worst cost of each, up to which hypervolume
    is measured. A row is feasible where for every (column, bound, sign) of `bounds` sign · (figure - bound) ≤ 0.
    """

    numbers: Sequence[int]
    figures: Array
    sds: Array
    objectives: tuple[int, ...]
    signs: tuple[float, ...]
    corner: tuple[float, ...]
    bounds: Sequence[tuple[int, float, float]]

    def points(self, figures: Array) -> Array:
        """(..., n, k) figures as costs (..., n, m), at the corner where they are infeasible or beyond it."""
        costs = figures[..., list(self.objectives)] * np.array(self.signs)
        feasible = np.ones(figures.shape[:-1], dtype=bool)
        for column, bound, sign in self.bounds:
            feasible &= sign * (figures[..., column] - bound) <= 0
        corner = np.array(self.corner)
        return np.where(feasible[..., None], np.minimum(costs, corner), corner)


def in_order(
    candidates: Candidates, first: int, kinds: Sequence[int], room: Sequence[int]
) -> Iterator[tuple[int, float]]:
    """Rows of the candidates, the one that adds most to the expected confirmed front first, each with what it adds.

    The row `first` is confirmed anyway, and not told again. Of kind k, as `kinds` (n,) counts them, at most `room[k]` are told,
    `first` counted. It ends where what is left adds less than WORTH of the hypervolume that all candidates together are
    expected to have.
    """
    kept = _hopeful(candidates, first, kinds)
    draws = np.stack([_drawn(candidates, row) for row in kept], axis=1)
    total = float(areas(draws, candidates.corner).mean())
    chosen, left_of = [kept.index(first)], list(room)
    left_of[kinds[first]] -= 1
    before = float(areas(draws[:, chosen], candidates.corner).mean())
    while left := [i for i, row in enumerate(kept) if i not in chosen and left_of[kinds[row]] > 0]:
        sets = np.stack([draws[:, [*chosen, i]] for i in left])
        after = areas(sets, candidates.corner).mean(axis=1)
        winner = int(np.argmax(after))
        gain, before = float(after[winner]) - before, float(after[winner])
        if gain <= WORTH * total:
            return
        chosen.append(left[winner])
        left_of[kinds[kept[chosen[-1]]]] -= 1
        yield kept[chosen[-1]], gain


def _drawn(candidates: Candidates, row: int) -> Array:
    """(DRAWS, m): where the means of one candidate may be, at the corner where they are infeasible."""
    rng = np.random.default_rng([candidates.numbers[row], 3])
    normals = rng.standard_normal((DRAWS, candidates.figures.shape[1]))
    return candidates.points((candidates.figures[row] + normals * candidates.sds[row])[:, None])[:, 0]


def _hopeful(candidates: Candidates, first: int, kinds: Sequence[int]) -> list[int]:
    """At most MOST rows of each kind, and `first`: those that add most beside that one, no other being confirmed."""
    if len(candidates.numbers) <= MOST:
        return list(range(len(candidates.numbers)))
    mine = _drawn(candidates, first)
    alone = [
        areas(np.stack([mine, _drawn(candidates, i)], axis=1), candidates.corner).mean() for i in range(len(kinds))
    ]
    kept = {first}
    for kind in set(kinds):
        of_kind = np.flatnonzero(np.array(kinds) == kind)
        kept |= set(of_kind[np.argsort(-np.array(alone)[of_kind], kind="stable")[:MOST]].tolist())
    return sorted(kept)
