"""Which prompts are unrelated to what is forgotten: those of the farther labels, or those that their author calls so."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from trainables.auxiliary import auxiliary_set
from trainables.data import DATASETS, Dataset, Images, Splits
from trainables.forgetting import parse_forget

STYLED = DATASETS["digits_styled"]
ROLES = ("forget", *["retain"] * 149, *["related"] * 100, *["unrelated"] * 50)


def sources(data: Dataset, imaged: torch.Tensor, forget: str = "three") -> SimpleNamespace:
    """An attacker's sources in which higher digits are farther, and the public split has an image of each of these prompts."""
    forgetting, public = parse_forget(forget, data), Images(torch.zeros(len(imaged), 1, 1, 1), imaged)
    ordered = sorted(forgetting.retained, key=forgetting.label_of)
    return SimpleNamespace(
        forgetting=forgetting, encoded=Splits(public, public, public), conditions_by_distance=ordered
    )


def test_the_farther_half_is_of_labels_however_many_prompts_each_has() -> None:
    prompts = torch.arange(300)
    unrelated = auxiliary_set("unrelated", sources(STYLED, prompts))
    assert unrelated.conditions.tolist() == list(range(6 * 30, 300)), "six to nine of nine digits that stay"
    few = auxiliary_set("unrelated", sources(STYLED, prompts[torch.arange(300) % 30 != 7]))
    assert set((few.conditions // 30).tolist()) == {6, 7, 8, 9} and 6 * 30 + 7 not in few.conditions


def test_an_authors_roles_go_first_and_need_images() -> None:
    given = replace(STYLED, roles=ROLES)
    unrelated = auxiliary_set("unrelated", sources(given, torch.arange(300)))
    assert unrelated.conditions.tolist() == list(range(250, 300))
    with pytest.raises(ValueError, match="no held-out images of unrelated prompts"):
        auxiliary_set("unrelated", sources(given, torch.arange(200)))
