"""Who holds which columns: every one is held once, and splitting and joining are each other's inverse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import parties_of, rows_of

from trainables.federated.parties import SPLITS, Output, Parties, Party, image_parties, table_parties
from trainables.federated.schema import Bounded, Categorical, Schema, Standardised

SCHEMA = Schema((Bounded("age", 0, 100), Categorical("job", ("a", "b", "c")), Standardised("pay", 10, 2)))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 5)])
@pytest.mark.parametrize("split", SPLITS)
def test_an_images_pixels_are_held_once_and_come_back(split: str, shape: tuple[int, int, int]) -> None:
    parties = image_parties(shape, split)
    rows = torch.rand(4, int(np.prod(shape)))
    parts = parties.split(rows)
    assert [part.shape[1] for part in parts] == [party.width for party in parties.members]
    assert torch.equal(parties.join(parts), rows)


def test_the_splits_are_what_their_names_say() -> None:
    images = torch.arange(64.0).reshape(1, 1, 8, 8)

    def parts(split: str) -> list[torch.Tensor]:
        return image_parties((1, 8, 8), split).split(images.flatten(1))

    image = images[0, 0]
    top, bottom = parts("halves")
    assert torch.equal(top[0], image[:4].flatten()) and torch.equal(bottom[0], image[4:].flatten())
    left, right = parts("left_right")
    assert torch.equal(left[0], image[:, :4].flatten()) and torch.equal(right[0], image[:, 4:].flatten())
    quarters = [image[:4, :4], image[:4, 4:], image[4:, :4], image[4:, 4:]]
    assert all(
        torch.equal(part[0], quarter.flatten()) for part, quarter in zip(parts("quarters"), quarters, strict=True)
    )
    even, odd = parts("interleaved")
    assert torch.equal(even[0], image[::2].flatten()) and torch.equal(odd[0], image[1::2].flatten())


def test_a_tables_parties_hold_columns_in_any_order() -> None:
    parties = table_parties(SCHEMA, {"bank": ["pay", "age"], "state": ["job"]})
    bank, state = parties.members
    assert bank.places == (4, 0) and state.places == (1, 2, 3)
    assert bank.outputs == (Output("free", 1), Output("bounded", 1)) and state.outputs == (Output("choice", 3),)
    assert (bank.choices, state.choices, parties.width) == (0, 3, 5)
    rows = torch.rand(3, 5)
    assert torch.equal(parties.join(parties.split(rows)), rows)


def test_shuffled_parties_keep_their_own_columns_and_lose_each_other() -> None:
    parties, rows = parties_of(3), rows_of(500, parties_of(3))
    shuffled = parties.shuffled(rows, 0)
    for before, after in zip(parties.split(rows), parties.split(shuffled), strict=True):
        assert {tuple(row) for row in before.tolist()} == {tuple(row) for row in after.tolist()}
    assert (shuffled == rows).all(dim=1).sum() <= 2
    assert torch.equal(shuffled, parties.shuffled(rows, 0)) and not torch.equal(shuffled, parties.shuffled(rows, 1))


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({"a": ["age"], "b": ["job"]}, "column 'pay' is held by no party; give it to one of 'a', 'b'"),
        ({"a": ["age", "job"], "b": ["pay", "age"]}, "column 'age' is held by 'a' and by 'b'"),
        ({"a": ["age", "job", "pay", "size"]}, "party 'a' holds 'size', which is no column; there are age, job, pay"),
        ({"a": ["age", "job", "pay"], "b": []}, "party 'b' holds no column; give it one or more"),
    ],
)
def test_a_partition_that_is_none_is_refused_in_a_line(held: dict[str, list[str]], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        table_parties(SCHEMA, held)


def test_other_wrong_parties_are_refused() -> None:
    with pytest.raises(ValueError, match="split 'half' is none of halves, left_right, quarters, interleaved"):
        image_parties((1, 8, 8), "half")
    one = Party("a", (0, 1), (Output("bounded", 2),))
    with pytest.raises(ValueError, match="do not hold each column once"):
        Parties((one, Party("b", (1,), (Output("bounded", 1),))))
    with pytest.raises(ValueError, match="its outputs are not as many as its 2 places"):
        Party("a", (0, 1), (Output("bounded", 1),))
