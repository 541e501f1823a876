"""What trials are made of: rows of numbers in three splits, who holds which of them, and what a row is in the end.

Images of the project's data sets are rows of pixels, their classes the labels; tables are encoded by their schema.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

from trainables.data import DATASETS, Dataset, dataset
from trainables.data._files.layout import fingerprint
from trainables.federated.encoding import encode
from trainables.federated.parties import SPLITS as PIXEL_SPLITS
from trainables.federated.parties import Parties, image_parties, table_parties
from trainables.federated.schema import Categorical, Schema
from trainables.federated.tables import SPLITS, TABLES, WHOLE, Table, split_rows, table

if TYPE_CHECKING:  # who checks a plan only asks who holds what
    import torch

HALVES, INTERLEAVED, DECLARED = "halves", "interleaved", "declared"
SCHEMA = "schema.json"
COLUMN_SPLITS: dict[str, Callable[[Sequence[str]], dict[str, tuple[str, ...]]]] = {
    HALVES: lambda names: {"halves-1": tuple(names[: len(names) // 2]), "halves-2": tuple(names[len(names) // 2 :])},
    INTERLEAVED: lambda names: {"interleaved-1": tuple(names[::2]), "interleaved-2": tuple(names[1::2])},
}
"""By name, which party holds which of a table's columns; ``declared`` is as its schema file says."""
_PARTY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")  # it becomes a word of the tables and of boards
ALL = "all"  # the series of whole rows among those of parties


class Undivided(ValueError):
    """Rows are there, and cannot be divided among parties as was asked."""


@dataclass(frozen=True)
class Split:
    """`rows` (N, d) float32 with their `labels` (N,) int64, all 0 where there are none."""

    rows: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Source:
    """Rows that vertical parties hold. `classes` is how many labels there are, 0 without any; of images their `dataset`.

    Of a table `label` are the places of a row that tell its label. `read` gives the splits by name.
    """

    name: str
    split: str
    parties: Parties
    classes: int
    read: Callable[[], dict[str, Split]]
    fingerprint: Callable[[], str]
    module: str
    dataset: Dataset | None = None
    schema: Schema | None = None
    label: tuple[int, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()

    @property
    def shape(self) -> tuple[int, int, int] | None:
        """(C, H, W) of an image; None of a table."""
        return self.dataset.shape if self.dataset else None

    @property
    def words(self) -> str:
        """``1×8×8``, ``13 columns, 1 of them categorical``."""
        if self.dataset:
            return "×".join(map(str, self.dataset.shape))
        assert self.schema
        categorical = sum(isinstance(column, Categorical) for column in self.schema.columns)
        return f"{len(self.schema.columns)} columns, {categorical} of them categorical"

    def labelled(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(what a classifier sees of rows, the label that they tell) of a table that has one."""
        others = [place for place in range(self.parties.width) if place not in self.label]
        return rows[:, others], rows[:, list(self.label)].argmax(dim=1)


def source(
    name: str, folder: str = "", image_size: int = 0, limit: int = 0, split: str = "", held: tuple[str, ...] = ()
) -> Source:
    """The rows called `name`, found in `folder`, divided among parties by `split` (empty: as is usual) or as `held` says it.

    `held` are ``NAME=COLUMN,COLUMN,…`` of a table. `image_size` and `limit` are images' (`trainables.data.dataset`). ValueError
    where there are none such, or they cannot be divided so.
    """
    if name in TABLES.names():
        if image_size or limit:
            raise ValueError(f"{name}: is a table; an image size and a limit are for images")
        return _of_table(name, folder, split, held)
    if name.partition(":")[0] not in DATASETS.names():
        raise ValueError(
            f"{name}: unknown; tables are {', '.join(TABLES.names())}, images {', '.join(DATASETS.names())}"
        )
    if held:
        raise Undivided(f"{name}: parties of images hold pixels; choose a split of {', '.join(PIXEL_SPLITS)}")
    return _of_images(name, folder, image_size, limit, split or HALVES)


@cache
def _of_images(name: str, folder: str, image_size: int, limit: int, split: str) -> Source:
    data = dataset(name, folder, image_size, limit)
    if data.prompts or data.attributes or data.unconditional:
        raise ValueError(
            f"{name}: its images have no classes, by which parties' halves are told; take another data set"
        )
    try:
        parties = image_parties(data.shape, split)
    except ValueError as error:
        raise Undivided(f"{name}: {error}") from error
    return Source(
        name,
        split,
        parties,
        data.conditions,
        partial(_images, data),
        data.fingerprint,
        data.module,
        dataset=data,
    )


def _images(data: Dataset) -> dict[str, Split]:
    splits = data.load()
    named = {"private": splits.train, "public": splits.public, "test": splits.test}
    return {name: Split(one.images.flatten(1).float(), one.conditions) for name, one in named.items()}


@cache
def _of_table(name: str, folder: str, split: str, held: tuple[str, ...]) -> Source:
    described = table(name, folder)
    split = split or (DECLARED if held or described.held else HALVES)
    try:
        parties = table_parties(described.schema, _held(described, split, held))
    except ValueError as error:
        if split == DECLARED and not held and described.held:
            raise ValueError(f"{described.where(SCHEMA, name)}: {error}") from error
        raise Undivided(f"{name}: {error}") from error
    places = described.schema.places
    label = tuple(places[described.label]) if described.label else ()
    return Source(
        name,
        split,
        parties,
        len(label),
        partial(_encoded, name, described, label),
        lambda: fingerprint(dict(described.files)) if described.files else "",
        TABLES[name].module,
        schema=described.schema,
        label=label,
        notes=described.notes,
    )


def _encoded(name: str, described: Table, label: tuple[int, ...]) -> dict[str, Split]:
    import torch

    splits = {}
    for split, rows in described.read().items():
        try:
            numbers = encode(described.schema, rows)  # before it is split: an error names the row of the file
        except ValueError as error:
            raise ValueError(f"{described.where(split, name)}: {error}") from error
        labels = numbers[:, list(label)].argmax(dim=1) if label else torch.zeros(len(numbers), dtype=torch.int64)
        splits[split] = Split(numbers, labels)
    if WHOLE not in splits:
        return splits
    whole = splits[WHOLE]
    parts = {split: torch.from_numpy(numbers) for split, numbers in split_rows(len(whole)).items()}
    return {split: Split(whole.rows[numbers], whole.labels[numbers]) for split, numbers in parts.items()}


def _held(described: Table, split: str, held: tuple[str, ...]) -> Mapping[str, Sequence[str]]:
    """By party, the columns that it holds."""
    if held:
        if split != DECLARED:
            raise ValueError(f"split {split!r} beside columns of each party: give one of them")
        return _listed(held)
    if split == DECLARED:
        if not described.held:
            raise ValueError("its schema declares no parties; say who holds what, or choose a split")
        return _named(described.held)
    if split not in COLUMN_SPLITS:
        raise ValueError(f"split {split!r} is none of {', '.join((*COLUMN_SPLITS, DECLARED))}")
    return COLUMN_SPLITS[split](described.schema.names)


def _listed(held: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    parties: dict[str, tuple[str, ...]] = {}
    for text in held:
        name, equals, columns = text.partition("=")
        names = tuple(column.strip() for column in columns.split(",") if column.strip())
        if not (equals and names):
            raise ValueError(f"party {text!r}: write NAME=COLUMN,COLUMN,…")
        if name in parties:
            raise ValueError(f"party {name!r} is given twice; list all of its columns once")
        parties[name] = names
    return _named(parties)


def _named(held: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    for name in held:
        if not _PARTY.fullmatch(name) or name == ALL:
            raise ValueError(
                f"party {name!r}: a name is of letters, digits, '.', '_' and '-', at most 40, and not {ALL!r}"
            )
    if len(held) < 2:
        raise ValueError("vertical parties are two or more; say who else holds columns")
    return held


def splits_of(tensors: Mapping[str, torch.Tensor]) -> dict[str, Split]:
    """The splits that `tensors_of` made tensors of."""
    return {name: Split(tensors[f"{name}.rows"], tensors[f"{name}.labels"]) for name in SPLITS}


def tensors_of(splits: Mapping[str, Split]) -> dict[str, torch.Tensor]:
    """Every split's rows and labels, by ``SPLIT.rows`` and ``SPLIT.labels``."""
    tensors: dict[str, torch.Tensor] = {}
    for name, split in splits.items():
        tensors |= {f"{name}.rows": split.rows, f"{name}.labels": split.labels}
    return tensors
