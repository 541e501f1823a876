"""What a text says is to be forgotten, and how the training images part into what is forgotten and what stays."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from sklearn.datasets import load_digits

from trainables.data import DATASETS, NOTHING, Dataset, Facet, Images
from trainables.forgetting import CONDITIONS, INSTANCES, parse_forget, usual_forget

DIGITS, ATTRIBUTES, DUPLICATED = (DATASETS[name] for name in ("digits", "digits_attributes", "digits_duplicated"))


@pytest.mark.parametrize("text", ["3,7", "7,3", "3, 7", "7,3,7"])
def test_classes_are_a_set_whatever_their_order(text: str) -> None:
    forget = parse_forget(text, DIGITS)
    assert (forget.text, forget.conditions, forget.retained) == ("3,7", (3, 7), (0, 1, 2, 4, 5, 6, 8, 9))
    assert forget.kind == CONDITIONS and forget.prompts == (3, 7) and forget.attribute is None


def test_an_attribute_is_every_code_that_has_it() -> None:
    forget = parse_forget("attribute:loop", ATTRIBUTES)
    assert ATTRIBUTES.present == (0, 1, 2, 5, 6, 7), "odd, loop, high are the bits 1, 2, 4"
    assert (forget.conditions, forget.retained, forget.attribute) == ((2, 6, 7), (0, 1, 5), 1)
    assert forget.kind == CONDITIONS and forget.prompts == (2, 6, 7)


@pytest.mark.parametrize(
    ("present", "said"), [((0, 1, 4), "no training image .* left to forget"), ((2, 3, 7), "every .* left to retain")]
)
def test_an_attribute_that_no_image_has_or_that_all_have_cannot_be_forgotten(
    present: tuple[int, ...], said: str
) -> None:
    with pytest.raises(ValueError, match=f"attribute:loop: {said}"):
        parse_forget("attribute:loop", replace(ATTRIBUTES, present=present))


def test_instances_are_asked_for_by_the_only_condition_there_is() -> None:
    forget = parse_forget("instances:12,0,12", DUPLICATED)
    assert (forget.text, forget.instances, forget.conditions) == ("instances:0,12", (0, 12), ())
    assert (forget.retained, forget.prompts, forget.kind) == ((0,), (0,), INSTANCES)


@pytest.mark.parametrize(
    ("text", "data", "message"),
    [
        ("3;7", "digits", "3;7: '3;7' is not a list of whole numbers such as 3 or 3,7"),
        ("-3", "digits", "'-3' is not a list of whole numbers"),
        ("²", "digits", "is not a list of whole numbers"),
        ("", "digits", "'' is not a list of whole numbers"),
        ("3,", "digits", "'3,' is not a list of whole numbers"),
        ("3,10", "digits", "3,10: digits has conditions 0 to 9"),
        ("0,1,2,3,4,5,6,7,8,9", "digits", "nothing of digits would be left"),
        ("attribute:loop", "digits", "attribute:loop: digits has no attributes"),
        ("instances:1", "digits", "instances are forgotten by an unconditional model; digits has conditions"),
        ("kind:3", "digits", "kind:3: neither classes .3,7. nor attribute:NAME nor instances:INDEX"),
        ("3", "digits_attributes", "digits_attributes has attributes; write attribute:NAME with odd, loop, high"),
        ("attribute:round", "digits_attributes", "attribute:round: digits_attributes has odd, loop, high"),
        ("instances:1", "digits_attributes", "digits_attributes has conditions"),
        ("0", "digits_duplicated", "digits_duplicated has no conditions; write instances:INDEX"),
        ("attribute:loop", "digits_duplicated", "digits_duplicated has no attributes"),
        ("instances:", "digits_duplicated", "instances:: '' is not a list of whole numbers"),
        ("instances:1.5", "digits_duplicated", "'1.5' is not a list of whole numbers"),
    ],
)
def test_what_a_data_set_does_not_have_cannot_be_forgotten(text: str, data: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_forget(text, DATASETS[data])


def test_an_instance_past_the_last_training_image_is_refused() -> None:
    train = DUPLICATED.load().train
    with pytest.raises(ValueError, match=f"instance {len(train)}: the training split has images 0 to {len(train) - 1}"):
        parse_forget(f"instances:0,{len(train)}", DUPLICATED).split(train)
    parse_forget(f"instances:{len(train) - 1}", DUPLICATED).split(train)


@pytest.mark.parametrize(("text", "data"), [("3,7", "digits"), ("attribute:high", "digits_attributes")])
def test_the_training_images_part_by_condition(text: str, data: str) -> None:
    forget, train = parse_forget(text, DATASETS[data]), DATASETS[data].load().train
    forgotten, retained = forget.split(train)
    assert set(forgotten.conditions.tolist()) == set(forget.conditions)
    assert set(retained.conditions.tolist()) == set(forget.retained)
    assert len(forgotten) + len(retained) == len(train)


def test_a_copy_of_a_forgotten_instance_is_forgotten_with_it() -> None:
    images = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    train = Images(images[[0, 1, 2, 0, 3, 0, 4]], torch.zeros(7, dtype=torch.int64))
    nearly = train.images.clone()
    nearly[6] = nearly[0]
    nearly[6, 0, 3, 3] += 1e-4
    train = Images(nearly, train.conditions)
    assert parse_forget("instances:0", DUPLICATED).mask(train).tolist() == [1, 0, 0, 1, 0, 1, 0]
    assert parse_forget("instances:3,4", DUPLICATED).mask(train).tolist() == [1, 0, 0, 1, 1, 1, 0]
    forgotten, retained = parse_forget("instances:5", DUPLICATED).split(train)
    assert (len(forgotten), len(retained)) == (3, 4)


def test_an_attribute_is_asked_by_its_bit_alone_also_in_a_verdict_that_no_image_has() -> None:
    loop = parse_forget("attribute:loop", ATTRIBUTES)
    assert loop.asked_by(torch.arange(8)).tolist() == [0, 0, 1, 1, 0, 0, 1, 1]
    assert 3 not in ATTRIBUTES.present, "odd with a loop, but low: a judge may still say so"


def test_classes_are_asked_by_themselves() -> None:
    assert parse_forget("3,7", DIGITS).asked_by(torch.arange(10)).nonzero().flatten().tolist() == [3, 7]


@pytest.mark.parametrize(("text", "data"), [("3,7", "digits"), ("attribute:odd", "digits_attributes")])
def test_held_out_images_are_related_or_not(text: str, data: str) -> None:
    forget, public = parse_forget(text, DATASETS[data]), DATASETS[data].load().public
    held_out, unrelated = forget.held_out(public), forget.unrelated(public)
    assert set(held_out.conditions.tolist()) == set(forget.conditions)
    assert set(unrelated.conditions.tolist()) == set(forget.retained)
    assert len(held_out) + len(unrelated) == len(public)


def test_of_instances_every_held_out_image_is_both() -> None:
    forget, public = parse_forget("instances:0", DUPLICATED), DUPLICATED.load().public
    assert len(forget.held_out(public)) == len(forget.unrelated(public)) == len(public)


def test_the_attributes_of_every_digit_are_exact() -> None:
    """The two data sets hold the same images in the same order; the bits are the digit's own."""
    for part, digits in zip(vars(ATTRIBUTES.load()).values(), vars(DATASETS["digits"].load()).values(), strict=True):
        assert torch.equal(part.images, digits.images)
        for code, digit in zip(part.conditions.tolist(), digits.conditions.tolist(), strict=True):
            assert (code & 1, code >> 1 & 1, code >> 2 & 1) == (digit % 2, digit in (0, 6, 8, 9), digit >= 5)
        assert set(part.conditions.tolist()) == set(ATTRIBUTES.present)


def test_the_duplicated_images_are_the_first_of_different_digits_with_their_copies_last() -> None:
    from trainables.data.digits_duplicated import COPIES
    from trainables.data.digits_duplicated import DUPLICATED as FIRST

    splits, digits = DUPLICATED.load(), DATASETS["digits"].load()
    train = splits.train.images.flatten(1)
    assert len(train) == len(digits.train) + FIRST * (COPIES - 1)
    counts = (train[:FIRST, None] == train[None]).all(dim=2).sum(dim=1)
    assert counts.tolist() == [COPIES] * FIRST
    forgotten, retained = parse_forget("instances:0,1,2", DUPLICATED).split(splits.train)
    assert len(forgotten) == 3 * COPIES and len(retained) == len(train) - 3 * COPIES
    assert len(torch.unique(train, dim=0)) == len(digits.train), "nothing is there but the digits"
    bunch = load_digits()
    label = {(i / 8 - 1).astype("float32").tobytes(): t for i, t in zip(bunch.images, bunch.target, strict=True)}
    assert len({label[image.numpy().tobytes()] for image in splits.train.images[:FIRST]}) == FIRST
    for part in (splits.train, splits.public, splits.test):
        assert part.conditions.dtype == torch.int64 and not part.conditions.any()
    assert torch.equal(splits.public.images, digits.public.images)
    assert torch.equal(splits.test.images, digits.test.images)
    assert DUPLICATED.judge is DIGITS


STYLED = DATASETS["digits_styled"]
ROWS = 6 * 5  # prompts of a digit
PETS = Dataset(
    "pets",
    5,
    (3, 8, 8),
    lambda: None,
    prompts=("a cat", "a cat in oil", "a dog", "a dog in oil", "a tree"),
    facets=(
        Facet("animal", ("cat", "dog"), (0, 0, 1, 1, NOTHING), (1, NOTHING)),
        Facet("style", ("oil",), (NOTHING, 0, NOTHING, 0, NOTHING), (NOTHING,)),
    ),
)


@pytest.mark.parametrize("text", ["concept:three", "three", "3", "concept:3", "concept: three"])
def test_a_label_is_every_prompt_that_asks_for_it_in_one_spelling(text: str) -> None:
    forget = parse_forget(text, STYLED)
    assert (forget.text, forget.facet, forget.labels, forget.kind) == ("concept:three", "concept", (3,), CONDITIONS)
    assert forget.conditions == tuple(range(3 * ROWS, 4 * ROWS)) and len(forget.retained) == 9 * ROWS
    assert all("three" in STYLED.prompts[row] for row in forget.conditions)
    assert {forget.label_of(row) for row in forget.retained} == {0, 1, 2, 4, 5, 6, 7, 8, 9}
    assert forget.roles.count("forget") == ROWS and forget.with_role("retain") == forget.retained


def test_labels_are_a_set_and_a_judge_may_say_any_of_them() -> None:
    forget = parse_forget("concept:seven,three,seven", STYLED)
    assert (forget.text, forget.labels, len(forget.conditions)) == ("concept:three,seven", (3, 7), 2 * ROWS)
    assert forget.shown_by(torch.arange(-1, 10)).nonzero().flatten().sub(1).tolist() == [3, 7]
    assert forget.asked_by(torch.arange(STYLED.conditions)).sum() == 2 * ROWS


def test_a_style_is_forgotten_of_every_concept() -> None:
    forget = parse_forget("style:sketch", STYLED)
    assert len(forget.conditions) == 10 * 5 and all("sketch" in STYLED.prompts[row] for row in forget.conditions)
    swapped = {STYLED.prompts[row].replace("sketch", "neon"): anchor for row, anchor in forget.anchor_of.items()}
    assert all(STYLED.prompts[anchor] == prompt for prompt, anchor in swapped.items())


def test_an_anchor_is_the_same_prompt_with_another_label() -> None:
    forget = parse_forget("concept:three", STYLED)
    for row, anchor in forget.anchor_of.items():
        assert STYLED.prompts[anchor] == STYLED.prompts[row].replace("three", "four")
    both = parse_forget("concept:three,four", STYLED).anchor_of  # each is the other's
    assert {STYLED.facets[0].shown[anchor] for anchor in both.values()} == {4 + 1}
    assert parse_forget("3", DIGITS).anchor_of == {}


def test_where_no_anchor_is_known_the_empty_prompt_stands_for_it_and_what_is_named_goes_first() -> None:
    assert parse_forget("animal:cat", PETS).anchor_of == {0: 2, 1: 3}
    assert parse_forget("concept:dog", PETS).anchor_of == {2: 5, 3: 5}, "the first facet, and the number after the last"
    assert parse_forget("style:oil", PETS).anchor_of == {1: 5, 3: 5}
    named = replace(PETS, anchors=(4, 0, NOTHING, NOTHING, NOTHING))
    assert parse_forget("cat", named).anchor_of == {0: 4, 1: 3}, "one that is forgotten itself stands for nothing"
    single = replace(PETS, facets=(replace(PETS.facets[0], shown=(0, 0, 1, NOTHING, NOTHING)), PETS.facets[1]))
    assert parse_forget("cat", single).anchor_of == {0: 2, 1: 2}, "no dog in oil"


def test_what_the_base_model_never_saw_stands_for_nothing_and_is_forgotten_only_by_itself() -> None:
    given = replace(PETS, roles=("retain", "retain", "retain", "unseen", "retain"))
    assert parse_forget("animal:cat", given).anchor_of == {0: 2, 1: 2}, "the dog in oil is unseen"
    assert parse_forget("animal:cat", replace(given, anchors=(3, 3, *[NOTHING] * 3))).anchor_of == {0: 2, 1: 2}
    style = parse_forget("style:oil", given)
    assert style.conditions == (1,) and 3 not in style.retained
    alone = parse_forget("style:oil", replace(PETS, roles=("retain", "unseen", "retain", "unseen", "retain")))
    assert alone.conditions == (1, 3)


def test_a_prompt_that_asks_for_no_label_has_no_version_of_another() -> None:
    forget = parse_forget("animal:cat", PETS)
    with pytest.raises(ValueError, match="asks for no animal has no version"):
        forget.version_of(0, NOTHING)


def test_roles_are_their_authors_but_for_what_is_forgotten() -> None:
    given = replace(PETS, roles=("forget", "forget", "related", "related", "unrelated"))
    assert usual_forget(given) == "role:forget" and usual_forget(PETS) == usual_forget(DIGITS) == "3"
    forget = parse_forget("role:forget", given)
    assert (forget.text, forget.conditions, forget.labels, forget.facet) == ("role:forget", (0, 1), (0,), "animal")
    assert forget.with_role("related") == (2, 3) and forget.with_role("unrelated") == (4,)
    other = parse_forget("style:oil", given)
    assert other.roles == ("retain", "forget", "related", "forget", "unrelated"), (
        "nobody asked for row 0 to be forgotten"
    )


@pytest.mark.parametrize(
    ("text", "data", "message"),
    [
        ("concept:thre", STYLED, "no concept 'thre'; did you mean 'three'. it has zero, one"),
        ("concept:", STYLED, "no concept ''"),
        ("concept:three,", STYLED, "no concept ''"),
        ("concept:10", STYLED, "concept:10: digits_styled has the concepts 0 to 9"),
        (
            "stile:neon",
            STYLED,
            "no facet 'stile'; did you mean 'style'. write concept:NAME with zero, .* or style:NAME",
        ),
        ("attribute:loop", STYLED, "no facet 'attribute'"),
        ("instances:0", STYLED, "no facet 'instances'"),
        ("style:" + ",".join(STYLED.facets[1].labels), STYLED, "nothing of digits_styled would be left"),
        ("role:forget", STYLED, "gives no prompt that role; write concept:NAME"),
        (
            "bird",
            replace(PETS, facets=(Facet("animal", ("cat", "bird"), (0,) * 5, (1, 0)),)),
            "no prompt of pets asks for it",
        ),
        ("role:forget", replace(PETS, roles=("forget", *["retain"] * 4)), "ask for the same animal and style"),
    ],
)
def test_what_no_prompt_asks_for_cannot_be_forgotten(text: str, data: Dataset, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_forget(text, data)


def test_a_forgotten_prompt_has_a_version_with_every_label_in_its_own_style_and_words() -> None:
    forget = parse_forget("concept:three", STYLED)
    for row in forget.conditions:
        for label, name in enumerate(STYLED.facets[0].labels):
            assert STYLED.prompts[forget.version_of(row, label)] == STYLED.prompts[row].replace("three", name)
    assert parse_forget("3", DIGITS).version_of(3, 7) == 7
