"""What is said of prompts: by facet, role and anchor, one each; and what cannot be said is refused where it is declared."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trainables.data import NOTHING, Dataset, Facet

PROMPTS = ("a cat", "a dog", "an oil painting")
CONCEPT = Facet("concept", ("cat", "dog"), (0, 1, NOTHING), (1, NOTHING))
PETS = Dataset("pets", 3, (3, 8, 8), lambda: None, prompts=PROMPTS, facets=(CONCEPT,), module=__name__)


def test_prompts_are_conditions_and_each_shows_a_label_or_says_nothing_of_it() -> None:
    data = replace(PETS, roles=("forget", "retain", "unrelated"), anchors=(1, NOTHING, 0), imaged=(True, True, False))
    assert len(data.prompts) == data.conditions and data.facets[0].shown[2] == NOTHING and data.present == (0, 1, 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": ("cat", "cat")}, "label 'cat' is there twice"),
        ({"labels": ("cat", "a,b")}, "label 'a,b' is empty or has a ','"),
        ({"labels": ()}, "it has no labels"),
        ({"name": "a:b"}, "'a:b': a name is not empty and has no ':'"),
        ({"shown": (0, 2, 1)}, "condition 1 shows label 2, of 0 to 1"),
        ({"anchors": (1,)}, "1 anchors for 2 labels"),
        ({"anchors": (0, 1)}, "label 0 has the anchor 0; it must be another label or -1"),
    ],
)
def test_a_facet_that_contradicts_itself_is_refused(change: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(CONCEPT, **change)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompts": PROMPTS[:2]}, "2 prompts for 3 conditions"),
        ({"prompts": ("a cat", "a cat", "a dog")}, "prompt 'a cat' is there twice"),
        ({"prompts": ("a cat", " ", "a dog")}, "prompt ' ' is empty"),
        ({"prompts": ()}, "facet 'concept' says what 3 of 0 prompts show"),
        ({"facets": ()}, "prompts without a facet"),
        ({"facets": (CONCEPT, CONCEPT)}, "2 facets are called 'concept'"),
        ({"facets": (replace(CONCEPT, shown=(0, 1)),)}, "facet 'concept' says what 2 of 3 prompts show"),
        ({"roles": ("forget", "retain")}, "2 roles for 3 conditions"),
        ({"roles": ("forget", "retain", "anchor")}, "role 'anchor' is none of forget, retain, related, unrelated"),
        ({"anchors": (1, 1, 0)}, "prompt 1 has the anchor 1"),
        ({"imaged": (True,)}, "1 entries of imaged for 3 conditions"),
    ],
)
def test_prompts_of_which_not_all_or_too_much_is_said_are_refused(change: dict, said: str) -> None:
    with pytest.raises(ValueError, match=f"data set 'pets': .*{said}"):
        replace(PETS, **change)


def test_roles_without_prompts_are_refused() -> None:
    with pytest.raises(ValueError, match="2 roles and no prompts"):
        Dataset("odd", 2, (3, 8, 8), lambda: None, roles=("forget", "retain"))
