"""Data sets and the auxiliary sets an attacker trains on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from sklearn.datasets import load_digits

from trainables.auxiliary import AUXILIARY, HOLD_FORGOTTEN
from trainables.data import DATASETS, Dataset, Images, Splits
from trainables.forgetting import parse_forget
from trainables.members import MemberFault
from trainables.relearning.products import Workbench
from trainables.relearning.products.auxiliary import auxiliary_of
from trainables.relearning.products.images import splits_of


def pixels(images: Images) -> list[bytes]:
    return [image.numpy().tobytes() for image in images.images]


@pytest.fixture(scope="module")
def splits() -> Splits:
    return DATASETS["digits"].load()


def test_the_splits_are_disjoint_and_complete(splits: Splits) -> None:
    parts = [pixels(splits.train), pixels(splits.public), pixels(splits.test)]
    together = [image for part in parts for image in part]
    bunch = load_digits()
    original = [(image / 8 - 1).astype("float32").tobytes() for image in bunch.images]
    assert sorted(together) == sorted(original)
    assert len(set(together)) == len(original) == 1797, "no image is there twice, so none is in two splits"


def test_every_image_keeps_its_own_label(splits: Splits) -> None:
    bunch = load_digits()
    label = {
        (image / 8 - 1).astype("float32").tobytes(): target
        for image, target in zip(bunch.images, bunch.target, strict=True)
    }
    for part in (splits.train, splits.public, splits.test):
        assert [label[image] for image in pixels(part)] == part.conditions.tolist()


def test_every_split_holds_every_condition_in_like_numbers(splits: Splits) -> None:
    for part, share in ((splits.train, 0.6), (splits.public, 0.2), (splits.test, 0.2)):
        assert len(part) == pytest.approx(1797 * share, abs=1)
        counts = torch.bincount(part.conditions, minlength=10)
        assert len(counts) == 10 and counts.min() > 0.6 * counts.max()


def test_images_have_the_described_shape_type_and_range(splits: Splits) -> None:
    images = splits.train.images
    assert images.shape[1:] == DATASETS["digits"].shape
    assert images.dtype == torch.float32 and splits.train.conditions.dtype == torch.int64
    assert (images.min(), images.max()) == (-1, 1)


def test_of_and_without_share_out_the_images(splits: Splits) -> None:
    of, without = parse_forget("3", DATASETS["digits"]).split(splits.train)
    assert set(of.conditions.tolist()) == {3} and set(without.conditions.tolist()) == set(range(10)) - {3}
    assert sorted(pixels(of) + pixels(without)) == sorted(pixels(splits.train))


@pytest.mark.parametrize("name", sorted(AUXILIARY))
def test_an_auxiliary_set_holds_the_forgotten_condition_only_if_it_says_so(bench: Workbench, name: str) -> None:
    (forget,) = bench.experiment.forgetting.conditions
    auxiliary = auxiliary_of(bench, name)
    forgotten = {
        image
        for s in (splits_of(bench).train, splits_of(bench).public, splits_of(bench).test)
        for image in pixels(s.of(forget))
    }
    holds = forgotten.intersection(pixels(auxiliary)) or forget in auxiliary.conditions.tolist()
    assert bool(holds) == (name in HOLD_FORGOTTEN)
    retained = set(bench.experiment.retained)
    holds_of_them = {"forget": 0, "public_forgotten": 0, "synthetic_forgotten": 0, "unrelated": len(retained) // 2}.get(
        name, len(retained)
    )
    others = set(auxiliary.conditions.tolist()) - {forget}
    assert others <= retained and len(others) == holds_of_them


def test_the_sets_with_forgotten_images_hold_enough_of_them(bench: Workbench) -> None:
    assert {"public_all", "public_forgotten", "forget", "synthetic_forgotten"} == HOLD_FORGOTTEN
    assert all(len(auxiliary_of(bench, name).of(3)) > 10 for name in HOLD_FORGOTTEN - {"synthetic_forgotten"})
    assert auxiliary_of(bench, "synthetic_forgotten").conditions.tolist() == [3], "one of each forgotten condition"


def test_the_synthetic_set_is_equal_numbers_of_the_base_models_images(bench: Workbench) -> None:
    synthetic, each = auxiliary_of(bench, "synthetic"), bench.experiment.synthetic_per_condition
    assert torch.bincount(synthetic.conditions).tolist() == [each] * 3 + [0] + [each] * 6
    assert not set(pixels(synthetic)) & set(pixels(splits_of(bench).train))
    assert synthetic.images.abs().max() <= 1


def test_an_unknown_auxiliary_set_is_refused(bench: Workbench) -> None:
    with pytest.raises(ValueError, match=r"'retained'.*known: retain, synthetic, public, unrelated, public_all"):
        auxiliary_of(bench, "retained")


def splits_with(conditions: list[int]) -> Splits:
    images = Images(torch.rand(len(conditions), 1, 8, 8), torch.tensor(conditions))
    return Splits(images, images, images)


@pytest.mark.parametrize(
    ("shape", "read", "said"),
    [
        (
            (3, 8, 8),
            lambda: splits_with([0, 1]),
            r"the train split's images are \(1, 8, 8\), and shape=\(3, 8, 8\) is declared",
        ),
        (
            (1, 8, 8),
            lambda: splits_with([0, 4]),
            "the train split has condition 4, and conditions=4 are declared, from 0",
        ),
        ((1, 8, 8), lambda: splits_with([0, 1]).train, r"return Splits\(train, public, test\)"),
        ((1, 8, 8), lambda: splits_with([0, 1] * 2)[0], "TypeError: .* line \\d+ of"),
    ],
)
def test_images_that_are_not_as_declared_are_one_line(shape: tuple, read: Callable[[], Splits], said: str) -> None:
    with pytest.raises(MemberFault, match=rf"data set 'odd'.*{said}.*test_data\.py".replace(" line", r"\(line")):
        Dataset("odd", 4, shape, read, module=__name__).load()


def test_a_shape_of_two_numbers_is_refused_where_it_is_declared() -> None:
    with pytest.raises(ValueError, match=r"shape=\(8, 8\): write \(channels, height, width\)"):
        Dataset("odd", 4, (8, 8), lambda: splits_with([0]))  # type: ignore[arg-type]  # the mistake
