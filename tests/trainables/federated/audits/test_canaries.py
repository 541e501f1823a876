"""Canaries are in by fair coins; members and strangers have nothing in common."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import parties_of, rows_of

from trainables.federated.audits.canaries import Canaries, draw

PARTIES = parties_of(2)


def as_set(rows: torch.Tensor) -> set[tuple[float, ...]]:
    return {tuple(row) for row in rows.tolist()}


def strangers_of(drawn: Canaries) -> torch.Tensor:
    """The canaries that are not trained on."""
    return drawn.rows[torch.from_numpy(~drawn.included)]


@pytest.mark.parametrize("kind", ["rows", "crossed"])
def test_members_and_strangers_are_disjoint_and_the_rest_of_the_pool_is_always_in(kind: str) -> None:
    pool = rows_of(400, PARTIES)
    drawn = draw(pool, PARTIES, 0, kind)
    always = 300 if kind == "rows" else 200
    assert len(drawn) == 100 == len(drawn.included) and (drawn.fewest, drawn.expected) == (always, always + 50)
    members, strangers = as_set(drawn.members), as_set(strangers_of(drawn))
    assert len(members) == len(drawn.members) == always + drawn.included.sum()
    assert len(strangers) == 100 - drawn.included.sum()
    assert not members & strangers and members | strangers == (as_set(drawn.rows) | members)
    assert as_set(drawn.rows[torch.from_numpy(drawn.included)]) <= members
    assert len(as_set(pool) & members) == (always if kind == "crossed" else len(members))


def test_a_row_that_the_pool_has_twice_is_no_canary() -> None:
    """Its twin would be a member whatever the coin says."""
    once, twice = rows_of(60, PARTIES, 1), rows_of(20, PARTIES, 2)
    for seed in range(5):
        drawn = draw(torch.cat([twice, once, twice]), PARTIES, seed, most=40)
        assert as_set(drawn.rows) <= as_set(once)
        assert not as_set(drawn.members) & as_set(strangers_of(drawn))
        assert len(drawn.members) == 75 + drawn.included.sum()


def test_crossed_canaries_are_made_of_two_rows_and_of_none() -> None:
    """And nobody is in two rows that may be trained on: ε is of one row."""
    pool = rows_of(401, PARTIES)
    crossed = draw(pool, PARTIES, 0, "crossed")
    party_rows = [[tuple(row) for row in part.tolist()] for part in PARTIES.split(pool)]
    whose = [
        [party_rows[party].index(tuple(row)) for party, row in enumerate(parts)]
        for parts in zip(*(part.tolist() for part in PARTIES.split(crossed.rows)), strict=True)
    ]
    assert all(first != second for first, second in whose)
    others = [place for place, row in enumerate(map(tuple, pool.tolist())) if row in as_set(crossed.members)]
    in_rows = [*(place for pair in whose for place in pair), *others]
    assert len(in_rows) == len(set(in_rows)) == len(pool)
    assert not as_set(crossed.rows) & as_set(pool)


def test_no_crossed_canary_equals_a_row_of_the_pool_or_another() -> None:
    """Columns of three values: most rows that are made of two are there already, or are made twice."""
    generator = torch.Generator().manual_seed(0)
    pool = torch.randint(3, (150, PARTIES.width), generator=generator).float()
    pool[:, [0, 2, 3, 4, 6]] = 0.0  # of eight columns, three vary, in both parties
    pool[:60, 3] = torch.arange(60) % 30  # and sixty rows have what sets half of them apart
    for seed in range(8):
        drawn = draw(pool, PARTIES, seed, "crossed", most=10)
        rows, strangers = as_set(drawn.rows), as_set(strangers_of(drawn))
        assert len(rows) == len(drawn) == 10 and not rows & as_set(pool)
        assert not as_set(drawn.members) & strangers
        assert len(drawn.members) == len(pool) - 20 + drawn.included.sum()
    with pytest.raises(ValueError, match="a pool of 30 rows, 0 of them, crossed, unlike all others"):
        a = torch.arange(30.0)[:, None] % 2
        draw(torch.cat([a, a, a, a, a, a, a, a], dim=1), PARTIES, 0, "crossed")


def test_the_coin_is_fair_and_of_its_own_stream() -> None:
    pool = rows_of(400, PARTIES)
    tossed = np.concatenate([draw(pool, PARTIES, seed).included for seed in range(60)])
    assert abs(tossed.mean() - 0.5) < 4 * 0.5 / len(tossed) ** 0.5
    first, again, other = (draw(pool, PARTIES, seed) for seed in (0, 0, 1))
    assert torch.equal(first.members, again.members) and not np.array_equal(first.included, other.included)


def test_a_pool_without_canaries_and_an_unknown_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="a pool of 40 rows, 0 of them unlike all others, has no canaries"):
        draw(rows_of(20, PARTIES).repeat(2, 1), PARTIES, 0)
    with pytest.raises(ValueError, match="canaries 'cross' are none of rows, crossed"):
        draw(rows_of(20, PARTIES), PARTIES, 0, "cross")
