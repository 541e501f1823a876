"""What in a folder of pictures is taken for which split and which class; what may be taken for two things is refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from disk_formats import write_classes
from PIL import Image

from trainables.data import dataset
from trainables.forgetting import parse_forget

PETS = ("cat", "dog")


def pets(folder: Path, each: int = 5, first: int = 0) -> Path:
    return write_classes(folder, PETS, each, first)


@pytest.mark.parametrize(
    ("train", "test", "unread"),
    [
        ("Train", "Test", ""),
        ("TRAIN", "VAL", ""),
        ("training", "testing", ""),
        ("train", "validation", ""),
        ("train", "Valid", ""),
        ("train", "test", "val"),
    ],
)
def test_a_folder_named_for_a_split_is_that_split_and_no_class(
    train: str, test: str, unread: str, tmp_path: Path
) -> None:
    pets(tmp_path / train, 8)
    pets(tmp_path / test, 3, first=100)
    if unread:
        pets(tmp_path / unread, 2)
    data = dataset("image_folder", str(tmp_path))
    assert data.classes == PETS and data.counts is not None
    assert data.counts() == {"train": 12, "public": 4, "test": 6}
    told = f"{train}/ is train and public, {test}/ is test" + (f"; not read: {unread}/" if unread else "")
    assert data.notes == (("folders", told),)
    assert {path.split("/")[0] for path in data.files()} == {train, test}  # type: ignore[misc]


def test_a_training_folder_alone_is_split_and_said_to_be(tmp_path: Path) -> None:
    pets(tmp_path / "Training", 5)
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "unlabelled.png").write_bytes(b"")
    data = dataset("image_folder", str(tmp_path))
    assert data.classes == PETS and data.counts is not None
    assert data.counts() == {"train": 6, "public": 2, "test": 2}
    (told,) = data.notes
    assert (
        told[1].startswith("each folder in Training/ is a class, split 60 : 20 : 20") and "not read: test/" in told[1]
    )


def test_a_class_of_trains_is_a_class(tmp_path: Path) -> None:
    write_classes(tmp_path, ("car", "train"), 5)
    assert dataset("image_folder", str(tmp_path)).classes == ("car", "train")


@pytest.mark.parametrize("within", ["pets-v1", "archive/pets-v1"])
def test_the_folder_an_archive_unpacks_to_is_looked_into_and_named(within: str, tmp_path: Path) -> None:
    pets(tmp_path / "here" / within)
    (tmp_path / "here" / "__MACOSX" / "cat").mkdir(parents=True)
    pets(tmp_path / "there")
    data, same = (dataset("image_folder", str(tmp_path / name)) for name in ("here", "there"))
    assert data.classes == PETS and f"in {within}/" in data.notes[0][1]
    assert data.fingerprint() == same.fingerprint(), "the same data, wherever they lie"


def test_what_is_no_picture_is_left_out_and_counted(tmp_path: Path) -> None:
    pets(tmp_path)
    for name in ("cat/._cat_0.png", "cat/.DS_Store", "dog/notes.txt", "dog/moving.mp4", "dog/README", "stray.png"):
        (tmp_path / name).write_bytes(b"no picture")
    (tmp_path / "cat" / ".ipynb_checkpoints").mkdir()
    (tmp_path / "cat" / ".ipynb_checkpoints" / "cat_0-checkpoint.png").write_bytes(b"")
    for name in (".git", "__MACOSX"):
        (tmp_path / name).mkdir()
    data = dataset("image_folder", str(tmp_path))
    assert data.classes == PETS and len(data.load().train) == 6
    assert data.notes[1] == ("left out", "1 .mp4, 1 .txt, 1 beside the classes, 3 hidden, 1 without suffix")


def test_pictures_in_one_folder_within_their_class_are_the_class(tmp_path: Path) -> None:
    for name in PETS:
        (pets(tmp_path / "flat") / name).rename(tmp_path / f"{name}_images")
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / f"{name}_images").rename(tmp_path / "set" / name / "images")
    data = dataset("image_folder", str(tmp_path / "set"))
    assert data.classes == PETS and len(data.load().train) == 6


AMBIGUOUS: dict[str, tuple[Callable[[Path], object], str]] = {
    "held-out folders alone": (
        lambda f: (pets(f / "test"), pets(f / "val")),
        r"holds test/, val/ but no train/ with a folder for each class; call the folder of the training pictures train/",
    ),
    "two training folders": (lambda f: (pets(f / "Train"), pets(f / "training")), "holds both Train/ and training/"),
    "two validation folders": (
        lambda f: (pets(f / "train"), pets(f / "val"), pets(f / "valid")),
        "holds both val/ and valid/",
    ),
    "splits without classes": (
        lambda f: write_classes(f, ("Test", "Train"), 5),
        "Test/, Train/ may be splits but hold no folder for each class",
    ),
    "a split among classes": (
        lambda f: write_classes(f, ("cat", "dog", "test"), 5),
        "test/ beside cat/, dog/ may be splits but hold no folder",
    ),
    "a training folder among classes": (
        lambda f: (write_classes(f, ("car", "plane"), 5), write_classes(f / "train", ("steam", "diesel"), 5)),
        "train/ may be the training split or a class like car/, plane/ beside it",
    ),
    "classes nested one deeper": (
        lambda f: (pets(f / "tame"), write_classes(f / "wild", ("fox", "owl"), 5)),
        r"tame: has pictures in cat/, dog/, so that it may be one class or several; put the pictures of each class into one",
    ),
    "a class and folders in it": (
        lambda f: (pets(f), write_classes(f / "cat", ("kitten",), 5)),
        "cat: has pictures in itself and in its kitten/",
    ),
    "a class of another format": (
        lambda f: (pets(f), (f / "newt").mkdir(), (f / "newt" / "a.heic").write_bytes(b"")),
        r"newt: holds no pictures \(.*\); it holds 1 .heic",
    ),
    "one class under two names": (
        lambda f: (pets(f), (f / "puppy").symlink_to(f / "dog")),
        "dog/ and puppy/ are one folder under two names",
    ),
    "a class that is a link to nothing": (
        lambda f: (pets(f), (f / "newt").symlink_to(f / "moved away")),
        "newt: is a link that leads nowhere; mend it, or remove it",
    ),
    "test pictures that are the training ones": (
        lambda f: (
            pets(f / "train"),
            pets(f / "test"),
            shutil.rmtree(f / "test/cat"),
            (f / "test/cat").symlink_to(f / "train/cat"),
        ),
        "test/cat: is the same folder as .*train/cat; test images must be others",
    ),
    "both splits one folder": (
        lambda f: (pets(f / "train"), (f / "test").symlink_to(f / "train")),
        "test/ and train/ are one folder under two names",
    ),
    "a class whose name is no UTF-8": (
        lambda f: (pets(f), os.mkdir(os.fsencode(f) + b"/caf\xe9")),
        r"holds a folder whose name is not UTF-8 text, 'caf\\udce9'; rename it",
    ),
    "pictures and linked ones in a class": (
        lambda f: (
            pets(f / "a"),
            pets(f / "b"),
            (f / "a/cat/more").symlink_to(f / "b/cat"),
            shutil.rmtree(f / "a/dog"),
        ),
        "a: has pictures in cat/, cat/more/",
    ),
}


@pytest.mark.parametrize("folder", AMBIGUOUS)
def test_what_may_be_meant_in_two_ways_is_refused_with_the_mend(folder: str, tmp_path: Path) -> None:
    build, said = AMBIGUOUS[folder]
    build(tmp_path)
    with pytest.raises(ValueError, match=said) as error:
        dataset("image_folder", str(tmp_path))
    assert str(error.value).startswith(f"image_folder: {tmp_path}") and "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", [".jpg", ".jfif", ".jpe", ".JPEG", ".gif", ".avif", ".webp", ".pnm", ".tif"])
def test_every_usual_kind_of_picture_is_read(suffix: str, tmp_path: Path) -> None:
    pets(tmp_path)
    for path in list(tmp_path.rglob("*.png")):
        Image.open(path).save(path.with_suffix(suffix))
        path.unlink()
    data = dataset("image_folder", str(tmp_path), image_size=16)
    assert len(data.notes) == 1 and sum(map(len, vars(data.load()).values())) == 10


def test_links_are_followed_wherever_they_stand_for_a_folder_or_a_picture(tmp_path: Path) -> None:
    real = pets(tmp_path / "real")
    (tmp_path / "folders").mkdir()
    for name in PETS:
        (tmp_path / "folders" / name).symlink_to(real / name)
        for kind in ("pictures", "within"):
            (tmp_path / kind / name).mkdir(parents=True)
        (tmp_path / "within" / name / "images").symlink_to(real / name)
        (tmp_path / "within" / name / "up").symlink_to(tmp_path / "within" / name)
        for path in (real / name).iterdir():
            (tmp_path / "pictures" / name / path.name).symlink_to(path)
    first = dataset("image_folder", str(real))
    for kind in ("folders", "pictures"):
        assert dataset("image_folder", str(tmp_path / kind)).fingerprint() == first.fingerprint()
    within = dataset("image_folder", str(tmp_path / "within"))
    assert within.counts is not None and within.counts() == {"train": 6, "public": 2, "test": 2}
    assert within.notes[1] == ("left out", "2 links to a folder that is read already")


def test_classes_named_by_numbers_are_in_the_order_of_the_numbers(tmp_path: Path) -> None:
    write_classes(tmp_path, ("0", "1", "2", "10", "11"), 5)
    data = dataset("image_folder", str(tmp_path))
    assert data.classes == ("0", "1", "2", "10", "11")
    red = ((data.load().train.of(2).images[:, 0] + 1) * 127.5).round().unique().tolist()
    assert red == [40], "the pictures of condition 2 are those of the folder 2, the third that was written"
    with pytest.raises(ValueError, match="5: image_folder has no class '5'; it has 0, 1, 2, 10, 11"):
        parse_forget("5", data)


@pytest.mark.parametrize(
    ("names", "text", "conditions", "spelled"),
    [
        (("cat", "dog", "newt"), "dog", (1,), "1"),
        (("cat", "dog", "newt"), "newt, cat", (0, 2), "0,2"),
        (("cat", "dog", "newt"), "1,newt", (1, 2), "1,2"),
        (("1", "2", "3"), "2", (1,), "2"),
        (("1", "2", "3"), "3,1", (0, 2), "1,3"),
        (("00", "01", "02"), "1", (1,), "01"),
        (("1", "01", "7"), "1", (1,), "1"),
        (("0", "1", "2", "10", "11"), "10", (3,), "10"),
        (("0", "1", "2"), "1", (1,), "1"),
        (("2", "cat", "dog"), "2", (0,), "2"),
        (("2", "cat", "dog"), "dog", (2,), "dog"),
    ],
)
def test_a_class_is_forgotten_by_its_name_and_the_spelling_in_keys_means_it_again(
    names: tuple[str, ...], text: str, conditions: tuple[int, ...], spelled: str, tmp_path: Path
) -> None:
    data = dataset("image_folder", str(write_classes(tmp_path, names, 3)))
    forget = parse_forget(text, data)
    assert (forget.conditions, forget.text) == (conditions, spelled)
    assert parse_forget(forget.text, data) == forget


@pytest.mark.parametrize(
    ("names", "text", "said"),
    [
        (("1", "2", "3"), "0", "0: image_folder has no class '0'; it has 1, 2, 3"),
        (("2", "cat", "dog"), "1", "has no class '1'"),
        (("001", "01", "7"), "1", "has no class '1'"),
        (("cat", "dog", "newt"), "3", "conditions 0 to 2"),
        (("cat", "dog", "newt"), "cta", "has no class 'cta'; did you mean 'cat'?"),
        (("cat", "dog", "newt"), "cat,", "has no class ''"),
        (("cat", "dog"), "cat,dog", "nothing of image_folder would be left"),
        (("cat", "dog"), "0,cat,1", "nothing of image_folder would be left"),
    ],
)
def test_a_number_never_means_a_class_of_another_name(
    names: tuple[str, ...], text: str, said: str, tmp_path: Path
) -> None:
    data = dataset("image_folder", str(write_classes(tmp_path, names, 3)))
    with pytest.raises(ValueError, match=said):
        parse_forget(text, data)
