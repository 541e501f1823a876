"""Prompts in a folder: what their file says of them, the images that there are, and every mistake as one line with its place."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import text_folders
import torch
from disk_formats import write_captioned

from sweep import launch
from trainables.data import NOTHING, dataset
from trainables.forgetting import parse_forget, usual_forget

TABLE = """\
prompt,role,concept,style,anchor
a photo of a cat,forget,cat,photo,a photo of a dog
"a cat, in oil",forget,cat,oil,
a photo of a dog,related,dog,photo,
a dog in oil,related,dog,oil,
a harbour,unrelated,,,
"""
CAPTIONS = {"cat.png": "a photo of a cat", "oil/cat.png": "a cat, in oil", "dog.png": "a photo of a dog"}
TINY = str(Path(__file__).parents[2] / "questions" / "tiny.py")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "mine"
    place.mkdir()
    (place / "prompts.csv").write_text(TABLE)
    write_captioned(place / "train", CAPTIONS)
    return place


def test_a_row_is_a_condition_and_its_columns_are_what_is_known_of_it(folder: Path) -> None:
    data = dataset("prompts", str(folder), image_size=16)
    assert data.prompts[1] == "a cat, in oil" and data.conditions == 5 and data.shape == (3, 16, 16)
    concept, style = data.facets
    assert (concept.labels, concept.shown, concept.anchors) == (("cat", "dog"), (0, 0, 1, 1, NOTHING), (1, NOTHING))
    assert (style.labels, style.shown) == (("photo", "oil"), (0, 1, 0, 1, NOTHING))
    assert data.roles == ("forget", "forget", "related", "related", "unrelated")
    assert data.anchors == (2, NOTHING, NOTHING, NOTHING, NOTHING)
    assert ("prompts", "5: 2 forget, 2 related, 1 unrelated") in data.notes


def test_images_are_those_of_the_list_and_prompts_without_any_are_marked(folder: Path) -> None:
    data = dataset("prompts", str(folder), image_size=16)
    splits = data.load()
    assert [len(part) for part in vars(splits).values()] == [9, 3, 3]
    assert splits.train.images.shape[1:] == (3, 16, 16) and data.imaged == (True, True, True, False, False)
    assert data.counts is not None and data.counts() == {"train": 9, "public": 3, "test": 3}
    everything = torch.cat([part.conditions for part in vars(splits).values()])
    assert torch.bincount(everything).tolist() == [5, 5, 5]


def test_splits_of_their_own_are_taken_as_they_are(folder: Path) -> None:
    write_captioned(folder / "test", CAPTIONS, 2)
    assert dataset("prompts", str(folder), image_size=8, limit=100).counts() == {"train": 12, "public": 3, "test": 6}
    write_captioned(folder / "public", {"dog.png": "a photo of a dog"}, 4)
    data = dataset("prompts", str(folder), image_size=8)
    assert data.counts() == {"train": 15, "public": 4, "test": 6}
    splits = data.load()
    assert splits.public.conditions.tolist() == [2] * 4 and len(splits.train.of(0)) == 5
    shutil.rmtree(folder / "test")
    with pytest.raises(ValueError, match="public/ needs test/ beside it"):
        dataset("prompts", str(folder), image_size=12)


def test_prompts_need_no_images_at_all(folder: Path) -> None:
    shutil.rmtree(folder / "train")
    (folder / "prompts.csv").write_bytes(b"\xef\xbb\xbf" + TABLE.replace(",style", ",styling").encode())
    data = dataset("prompts", str(folder))
    assert (
        data.shape == (3, 512, 512)
        and data.imaged == (False,) * 5
        and [facet.name for facet in data.facets] == ["concept"]
    )
    assert ("not read", "the column styling") in data.notes
    assert [len(part) for part in vars(data.load()).values()] == [0, 0, 0] and data.load().train.shape == (3, 512, 512)
    assert list(data.files()) == ["prompts.csv"], "which the fingerprint is of"


def test_what_is_written_in_the_files_is_in_the_fingerprint(folder: Path) -> None:
    before = dataset("prompts", str(folder)).fingerprint()
    (folder / "prompts.csv").write_text(TABLE.replace("harbour", "boat"))
    other = dataset("prompts", str(folder), image_size=16).fingerprint()
    metadata = folder / "train" / "metadata.csv"
    metadata.write_text(metadata.read_text() + " \n")
    assert len({before, other, dataset("prompts", str(folder), image_size=24).fingerprint()}) == 3


def test_what_is_forgotten_is_the_role_or_a_concept(folder: Path) -> None:
    data = dataset("prompts", str(folder), image_size=16)
    assert usual_forget(data) == "role:forget"
    by_role, by_name = parse_forget("role:forget", data), parse_forget("concept:cat", data)
    assert by_role.conditions == by_name.conditions == (0, 1) and by_role.labels == by_name.labels == (0,)
    assert by_role.anchor_of == by_name.anchor_of == {0: 2, 1: 3}, "the one that is named, and the same in oil"
    assert by_name.with_role("unrelated") == (4,)
    with pytest.raises(ValueError, match="concept:cow: prompts has no concept 'cow'; it has cat, dog"):
        parse_forget("concept:cow", data)


def table(old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        assert old in TABLE
        (folder / "prompts.csv").write_text(TABLE.replace(old, new))

    return change


def captions(old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "train" / "metadata.csv"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))

    return change


MISTAKES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no table": (lambda f: (f / "prompts.csv").unlink(), "mine: prompts.csv is missing"),
    "no column": (
        table("role", "roles"),
        "prompts.csv, line 1: no column 'role'; did you mean 'roles'? it has prompt, roles",
    ),
    "semicolons": (table(",", ";"), "prompts.csv, line 1: no column 'prompt'; columns are separated by ','"),
    "a column twice": (table("style", "concept"), "prompts.csv, line 1: 2 columns are called 'concept'"),
    "an empty table": (
        lambda f: (f / "prompts.csv").write_text(""),
        "prompts.csv, line 1: no column 'prompt'; it has none",
    ),
    "a header alone": (
        lambda f: (f / "prompts.csv").write_text(TABLE[:33]),
        "prompts.csv: holds no row below its header",
    ),
    "too many values": (
        table('"a cat, in oil"', "a cat, in oil"),
        "prompts.csv, line 3: 6 values for 5 columns; a value with",
    ),
    "an open quote": (table('oil",', "oil,"), "prompts.csv, line 6: is no CSV"),
    "another encoding": (
        lambda f: (f / "prompts.csv").write_bytes(TABLE.replace("harbour", "häfen").encode("latin1")),
        "prompts.csv, line 6: byte 0xe4 is not UTF-8",
    ),
    "an empty prompt": (table("a harbour", " "), "prompts.csv, line 6: the prompt is empty"),
    "a prompt twice": (
        table("a harbour", "a dog in oil"),
        "prompts.csv, line 6: the prompt 'a dog in oil' is there already, in line 5",
    ),
    "an unknown role": (
        table("unrelated", "unrelatd"),
        "line 6: the role 'unrelatd' is unknown; did you mean 'unrelated'? known",
    ),
    "a role of none": (
        table("unrelated", ""),
        "line 6: the role '' is unknown; known: forget, retain, related, unrelated",
    ),
    "an anchor of elsewhere": (
        table(",a photo of a dog", ",a photo of a dgo"),
        "line 2: the anchor 'a photo of a dgo' is no prompt of this file; did you mean 'a photo of a dog'?",
    ),
    "an anchor of itself": (table(",a photo of a dog", ",a photo of a cat"), "line 2: the prompt is its own anchor"),
    "nothing to forget": (table("forget", "retain"), "prompts.csv: no prompt has the role forget"),
    "nothing that stays": (
        lambda f: (f / "prompts.csv").write_text(
            "".join(TABLE.splitlines(keepends=True)[:3]).replace("a photo of a dog", "")
        ),
        "prompts.csv: every prompt has the role forget",
    ),
    "no concept to forget": (
        table("forget,cat,oil", "forget,,oil"),
        "line 3: a prompt to be forgotten needs the concept",
    ),
    "a comma in a name": (table("dog,oil", '"dog, wet",oil'), "line 5: the concept 'dog, wet' has a ','"),
    "no captions": (lambda f: (f / "train" / "metadata.csv").unlink(), "train: metadata.csv is missing"),
    "captions without text": (
        captions("text", "caption"),
        "metadata.csv, line 1: no column 'text'; it has file_name, caption",
    ),
    "a text of no prompt": (
        captions("a photo of a dog", "a photo of the dog"),
        "metadata.csv, line 4: the text 'a photo of the dog' is no prompt of",
    ),
    "a missing picture": (
        captions("2_dog.png", "9_dog.png"),
        "metadata.csv, line 10: the file '9_dog.png' is missing in train/",
    ),
    "a picture twice": (captions("1_dog.png", "0_dog.png"), "line 7: the file '0_dog.png' is there already, in line 4"),
    "a picture elsewhere": (
        captions("0_dog.png", "../0_dog.png"),
        "line 4: the file '../0_dog.png' is none within train/",
    ),
    "no picture": (captions("0_dog.png", "metadata.csv"), "line 4: the file 'metadata.csv' is no picture"),
    "test images alone": (lambda f: (f / "train").rename(f / "test"), "mine: test/ needs train/ beside it"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_files_is_one_line_with_its_place(
    mistake: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    change, said = MISTAKES[mistake]
    change(folder)
    monkeypatch.chdir(folder.parent)
    arguments = ["--data", "prompts", "--data-folder", str(folder), "--image-size", "16", "--run-dir", "run"]
    assert launch.main(["--space", TINY, *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("error: --data prompts: ") and said in error
    assert not (folder.parent / "run").exists()


def test_a_dry_run_says_what_is_in_the_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", "prompts", "--data-folder", str(folder), "--image-size", "16", "--dry-run"]
    base = text_folders.save_sd(folder.parent / "sd")  # prompts without images take a model from elsewhere
    assert launch.main(["--space", TINY, *arguments, "--base", str(base)]) == 0
    said = capsys.readouterr().out
    assert "forget role:forget (2 of 5 prompts)" in said and "concepts    2: cat, dog" in said
    assert "prompts     5: 2 forget, 2 related, 1 unrelated" in said and "images      9 train, 3 public, 3 test" in said
