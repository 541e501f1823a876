"""Pictures that cannot be read among many that can: how many there are is said, and they can be left out."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from disk_formats import write_classes

from trainables.data import dataset
from trainables.data._unreadable import unreadable_pictures
from trainables.relearning.experiment import Experiment, experiment_from_json
from trainables.relearning.products import classifier_key, model_key

BROKEN = ("cat/cat_2.png", "dog/dog_7.png")


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Two classes of ten pictures, of which two cannot be read."""
    folder = write_classes(tmp_path / "pets", ("cat", "dog"), 10)
    whole = folder / BROKEN[0]
    whole.write_bytes(whole.read_bytes()[:60])
    (folder / BROKEN[1]).write_bytes(b"")
    return folder


def test_the_first_is_named_and_all_are_counted(pets: Path) -> None:
    with pytest.raises(
        ValueError, match="; 2 of 20 pictures cannot be: mend them, or leave them out by --skip-unreadable"
    ) as error:
        dataset("image_folder", str(pets)).load()
    assert any(name in str(error.value) for name in BROKEN) and "\n" not in str(error.value)
    (pets / BROKEN[0]).unlink()
    with pytest.raises(ValueError, match="; 1 of 19 pictures cannot be: mend them"):
        dataset("image_folder", str(pets), image_size=8).load()


def test_what_is_left_out_is_named_and_the_rest_is_the_data_without_it(pets: Path) -> None:
    skipped = unreadable_pictures("image_folder", str(pets))
    assert skipped == BROKEN
    data = dataset("image_folder", str(pets), skipped=skipped)
    assert data.counts is not None and sum(data.counts().values()) == 18
    assert sum(map(len, vars(data.load()).values())) == 18
    assert data.notes[-1] == ("left out", "2 unreadable: cat/cat_2.png, dog/dog_7.png")
    assert data.files is not None and not set(BROKEN) & set(data.files())
    for name in BROKEN:
        (pets / name).unlink()
    assert dataset("image_folder", str(pets), image_size=64).fingerprint() == data.fingerprint()


def test_how_many_have_been_looked_at_is_told_after_each(pets: Path) -> None:
    told: list[tuple[int, int, int]] = []
    unreadable_pictures("image_folder", str(pets), looked_at=lambda *counts: told.append(counts))
    assert [n for n, _, _ in told] == list(range(1, 21)) and {of for _, of, _ in told} == {20}
    assert [unreadable for _, _, unreadable in told] == sorted(unreadable for _, _, unreadable in told)
    assert told[-1] == (20, 20, len(BROKEN))
    assert all(n <= of for n, of, _ in told)


def test_under_a_limit_only_what_would_be_read_is_looked_at_and_another_takes_its_place(pets: Path) -> None:
    skipped = unreadable_pictures("image_folder", str(pets), limit=2)
    data = dataset("image_folder", str(pets), limit=2, skipped=skipped)
    assert data.counts is not None and data.counts() == {"train": 2, "public": 2, "test": 2}
    assert len(data.load().train) == 2 and set(skipped) <= set(BROKEN)


def test_a_split_of_its_own_loses_its_own(tmp_path: Path) -> None:
    for split, first in (("train", 0), ("test", 100)):
        write_classes(tmp_path / split, ("cat", "dog"), 8, first)
        (tmp_path / split / "cat" / f"cat_{first}.png").write_bytes(b"no picture")
    skipped = unreadable_pictures("image_folder", str(tmp_path))
    assert skipped == ("test/cat/cat_100.png", "train/cat/cat_0.png")
    splits = dataset("image_folder", str(tmp_path), skipped=skipped).load()
    assert len(splits.test) == 15 and len(splits.train) + len(splits.public) == 15


def test_a_name_that_is_no_utf_8_is_read_counted_and_left_out(pets: Path) -> None:
    os.rename(pets / BROKEN[0], os.fsencode(pets / "cat") + b"/caf\xe9.png")
    os.rename(pets / "dog/dog_1.png", os.fsencode(pets / "dog") + b"/na\xefve.png")
    skipped = unreadable_pictures("image_folder", str(pets))
    data = dataset("image_folder", str(pets), skipped=skipped)
    assert len(skipped) == 2 and sum(map(len, vars(data.load()).values())) == 18 and len(data.fingerprint()) == 64
    assert "cat/caf�.png" in data.notes[-1][1]


def test_what_was_left_out_is_part_of_every_key_and_travels_with_the_experiment(pets: Path) -> None:
    data = dataset("image_folder", str(pets), skipped=BROKEN)
    one = Experiment("", "image_folder", "cat", data_folder=str(pets), data_skipped=BROKEN)
    one = replace(one, data_fingerprint=data.fingerprint())
    other = replace(one, data_skipped=())
    assert one.data_identity["skipped"] == list(BROKEN) and "skipped" not in other.data_identity
    for key in (classifier_key, lambda experiment: model_key(experiment, "base")):
        assert key(one) != key(other)
    values = {"store": "", "base": {**vars(one.base)}, "control": None, "classifier": {**vars(one.classifier)}}
    assert experiment_from_json(values | {"data_skipped": list(BROKEN)}).data_skipped == BROKEN


@pytest.mark.parametrize(("name", "said"), [("digits", "is embedded"), ("mnist", "a folder is needed")])
def test_there_is_nothing_to_leave_out_of_images_that_are_no_files(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        unreadable_pictures(name)
