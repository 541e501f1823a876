"""Parties: who holds which of a row's numbers. Each number is held by exactly one party, and all have the same rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trainables.federated.schema import Bounded, Categorical, Schema
from trainables.sampling.seeds import stream

if TYPE_CHECKING:  # who checks a plan only asks who holds what
    import torch


@dataclass(frozen=True)
class Output:
    """How a generator gives the next `width` numbers: ``bounded`` to [-1, 1], ``free``, or a ``choice`` of one of them."""

    kind: str
    width: int


@dataclass(frozen=True)
class Party:
    """A party: the `places` in a row that it holds, and how its generator gives them, in that order."""

    name: str
    places: tuple[int, ...]
    outputs: tuple[Output, ...]

    def __post_init__(self) -> None:
        if not self.places:
            raise ValueError(f"party {self.name!r} holds no column; give it one or more")
        if sum(output.width for output in self.outputs) != len(self.places):
            raise ValueError(f"party {self.name!r}: its outputs are not as many as its {len(self.places)} places")

    @property
    def width(self) -> int:
        """d_k."""
        return len(self.places)

    @property
    def choices(self) -> int:
        """How many of its numbers belong to choices, each of which takes one number of Gumbel noise."""
        return sum(output.width for output in self.outputs if output.kind == "choice")


@dataclass(frozen=True)
class Parties:
    """A partition of a row's d numbers among M ≥ 1 parties. ValueError unless each is held once."""

    members: tuple[Party, ...]

    def __post_init__(self) -> None:
        held = sorted(place for party in self.members for place in party.places)
        if held != list(range(len(held))):
            raise ValueError("the parties do not hold each column once")

    def __len__(self) -> int:
        return len(self.members)

    @property
    def width(self) -> int:
        """d."""
        return sum(party.width for party in self.members)

    @property
    def joined(self) -> Party:
        """One party that holds all, in the order of the parties."""
        places = tuple(place for party in self.members for place in party.places)
        return Party("all", places, tuple(output for party in self.members for output in party.outputs))

    def split(self, rows: torch.Tensor) -> list[torch.Tensor]:
        """Each party's part (N, d_k) of rows (N, d)."""
        return [rows[:, list(party.places)] for party in self.members]

    def join(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        """Rows (N, d) of the parties' parts."""
        import torch

        together = torch.cat(list(parts), dim=1)
        order = torch.tensor(self.joined.places, device=together.device).argsort()
        return together[:, order]

    def shuffled(self, rows: torch.Tensor, seed: int) -> torch.Tensor:
        """Rows (N, d) whose parts come from different rows, party by party: the same marginals, and no dependence."""
        import torch

        parts = self.split(rows)
        for number in range(1, len(parts)):
            generator = torch.Generator().manual_seed(stream(seed, "shuffled", str(number)))
            parts[number] = parts[number][torch.randperm(len(rows), generator=generator)]
        return self.join(parts)


def _halves(height: int, width: int) -> np.ndarray:
    return np.repeat((np.arange(height) >= height // 2).astype(int)[:, None], width, axis=1)


def _left_right(height: int, width: int) -> np.ndarray:
    return _halves(width, height).T


def _quarters(height: int, width: int) -> np.ndarray:
    return 2 * _halves(height, width) + _left_right(height, width)


def _interleaved(height: int, width: int) -> np.ndarray:
    return np.repeat((np.arange(height) % 2)[:, None], width, axis=1)


SPLITS: dict[str, Callable[[int, int], np.ndarray]] = {
    "halves": _halves,  # top and bottom
    "left_right": _left_right,
    "quarters": _quarters,
    "interleaved": _interleaved,  # every other row of pixels
}
"""By name: the number of the party that holds each pixel, (H, W), of images so high and wide."""


def image_parties(shape: tuple[int, int, int], split: str) -> Parties:
    """The parties of images (C, H, W) in [-1, 1], as rows of C·H·W pixels. ValueError for an unknown split."""
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is none of {', '.join(SPLITS)}")
    holder = np.broadcast_to(SPLITS[split](*shape[1:]), shape).reshape(-1)
    return Parties(
        tuple(
            Party(
                f"{split}-{number + 1}", tuple(np.flatnonzero(holder == number).tolist()), (Output("bounded", count),)
            )
            for number, count in enumerate(np.bincount(holder).tolist())
        )
    )


def table_parties(schema: Schema, held: Mapping[str, Sequence[str]]) -> Parties:
    """The parties of a table: by each one's name, the columns that it holds.

    ValueError names a column that is held twice, by nobody, or is none of the schema's.
    """
    holders: dict[str, str] = {}
    for party, names in held.items():
        for name in names:
            if name not in schema.names:
                raise ValueError(
                    f"party {party!r} holds {name!r}, which is no column; there are {', '.join(schema.names)}"
                )
            if name in holders:
                raise ValueError(
                    f"column {name!r} is held by {holders[name]!r} and by {party!r}; leave it to one of them"
                )
            holders[name] = party
    for name in schema.names:
        if name not in holders:
            raise ValueError(f"column {name!r} is held by no party; give it to one of {', '.join(map(repr, held))}")
    places, columns = schema.places, {column.name: column for column in schema.columns}
    members = []
    for party, names in held.items():
        outputs = []
        for name in names:
            column = columns[name]
            if isinstance(column, Categorical):
                outputs.append(Output("choice", column.width))
            else:
                outputs.append(Output("bounded" if isinstance(column, Bounded) else "free", 1))
        members.append(Party(party, tuple(place for name in names for place in places[name]), tuple(outputs)))
    return Parties(tuple(members))
