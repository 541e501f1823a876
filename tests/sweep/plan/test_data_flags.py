"""Data sets in a folder, from the command line: described and checked in a second, found again wherever they were moved."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from disk_formats import clothing, write_classes, write_idx
from PIL import Image

from sweep import launch, records
from sweep.errors import UsageError
from sweep.plan.asked import plan_of
from sweep.plan.checks import validate
from sweep.plan.folders import create_run_dir
from sweep.relearning.member_checks import check_members
from sweep.terminal import lines
from sweep.track import __main__ as track

TINY = str(Path(__file__).parents[2] / "questions" / "tiny.py")
SMALL = "--in-process --trials 1 --baseline-trials 0 --base-steps 10 --samples-forgotten 4 --samples-per-retained 2"


@pytest.fixture
def clothes(tmp_path: Path) -> Path:
    return write_idx(tmp_path / "clothes", *clothing(), gzipped=True)


MISTAKES = {
    "no folder": (
        ["--data", "cifar10"],
        "--data cifar10: a folder is needed, the one that holds it; say where with --data-folder",
    ),
    "folder that is gone": (["--data", "mnist", "--data-folder", "gone"], "gone: no such folder"),
    "folder of something else": (
        ["--data", "celeba", "--data-folder", "clothes"],
        "clothes: holds no img_align_celeba",
    ),
    "folder for embedded data": (["--data-folder", "clothes"], "--data digits: is embedded"),
    "size that cannot be halved": (["--image-size", "10"], "image size 10: a UNet halves it twice"),
    "size below zero": (["--image-size", "-8"], "--image-size -8: must be at least 0"),
    "limit below zero": (["--data-limit", "-1"], "--data-limit -1: must be at least 0"),
    "unknown data": (["--data", "mnits:3"], "--data mnits: unknown; did you mean 'mnist'"),
    "class that is not there": (["--data", "mnist", "--data-folder", "clothes", "--forget", "10"], "conditions 0 to 9"),
    "label that no prompt names": (
        ["--data", "digits_styled", "--forget", "concept:thre"],
        "--forget concept:thre: digits_styled has no concept 'thre'; did you mean 'three'?",
    ),
    "facet that prompts do not have": (
        ["--data", "digits_styled", "--forget", "class:3"],
        "has no facet 'class'; write",
    ),
    "data beside resume": (["--resume", "run", "--data-limit", "3"], "--data-limit beside --resume"),
}


@pytest.mark.parametrize("command", ["launch", "track"])
def test_reading_every_picture_once_says_how_far_it_is(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_classes(tmp_path / "pets", ("cat", "dog"), 6)
    (folder / "cat" / "cat_2.png").write_bytes(b"no picture")
    monkeypatch.chdir(tmp_path)
    what = {"launch": ["--space", TINY], "track": ["--methods", "dimum", "--attacks", "dimra-retain-3e-4"]}[command]
    arguments = [*what, "--data", "image_folder", "--data-folder", str(folder), "--skip-unreadable"]
    arguments += ["--run-dir", "run", "--forget", "dog", "--dry-run"]
    main = {"launch": launch.main, "track": track.main}[command]
    assert main(arguments) == 0 and "--skip-unreadable" not in capsys.readouterr().out, "what is soon over says nothing"
    monkeypatch.setattr(lines, "_HEARTBEAT_S", 0.0)
    assert main(arguments) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if "--skip-unreadable" in line]
    assert len(told) == 12
    assert told[-1].endswith("--skip-unreadable: 12 of 12 pictures read, 1 of them cannot be")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(
    mistake: str, clothes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = clothes.parent
    monkeypatch.chdir(place)
    args, said = MISTAKES[mistake]
    if "--resume" in args:
        (place / "run").mkdir()
        plan = plan_of(launch.parser().parse_args(["--space", TINY, "--run-dir", "run"]), launch.parser())
        create_run_dir(plan)
    before = sorted(place.rglob("*"))
    assert launch.main([*(["--space", TINY] * ("--resume" not in args)), *args]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("error: ") and said in error
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("mnist --data-folder clothes --data-limit 3", "--data mnist: a limit of 3 leaves no training image of class"),
        ("mnist --data-folder damaged", r"--data mnist: .*damaged/train-images-idx3-ubyte.gz: cannot be read"),
        ("image_folder --data-folder pictures --forget 1", r"--data image_folder: .*dog/dog_1.png: cannot be read"),
        (
            "image_folder --data-folder floats --forget 1",
            r"--data image_folder: .*floats/cat/0.tif: .*samples are floats",
        ),
        (
            "image_folder --data-folder blank --forget 1",
            r"--data image_folder: .*/blank: the train split: every one of its 6",
        ),
    ],
)
def test_images_that_cannot_be_read_are_found_before_anything_is_made(
    asked: str, said: str, clothes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = clothes.parent
    monkeypatch.chdir(place)
    shutil.copytree(clothes, place / "damaged")
    images = place / "damaged" / "train-images-idx3-ubyte.gz"
    images.write_bytes(images.read_bytes()[:-2000])
    (write_classes(place / "pictures", ("cat", "dog"), 6) / "dog" / "dog_1.png").write_text("text")
    for name in ("cat", "dog"):
        for folder in ("floats", "blank"):
            (place / folder / name).mkdir(parents=True)
        for i in range(5):
            Image.fromarray(np.random.default_rng(i).random((16, 16), np.float32)).save(
                place / "floats" / name / f"{i}.tif"
            )
            Image.new("L", (16, 16), 255 * (i % 2)).save(place / "blank" / name / f"{i}.png")
    plan = plan_of(launch.parser().parse_args(["--space", TINY, "--data", *asked.split()]), launch.parser())
    with pytest.raises(UsageError, match=said):
        check_members(plan, validate(plan))


def test_a_dry_run_says_which_images_before_it_imports_torch(clothes: Path) -> None:
    code = """
import sys
import sweep.launch
from sweep.terminal.lines import Progress
plan = Progress.plan
def noted(self, text):
    assert 'torch' not in sys.modules
    plan(self, text)
Progress.plan = noted
sys.exit(sweep.launch.main(sys.argv[1:]))
"""
    asked = ["--space", "dimum_robustness", "--data", "fashion_mnist", "--data-folder", "clothes", "--dry-run"]
    more = ["--image-size", "16", "--data-limit", "10", "--forget", "1,3"]
    command = [sys.executable, "-c", code, *asked, *more]
    done = subprocess.run(command, cwd=clothes.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = f"fashion_mnist (1×16×16, at most 10 images a split, in {clothes}); forget 1,3 (trouser, dress); seed 0"
    assert said in done.stdout


def planned(capsys: pytest.CaptureFixture[str], folder: Path, forget: str) -> list[str]:
    """The lines of a dry run about its data."""
    asked = ["--space", TINY, "--data", "image_folder", "--data-folder", str(folder), "--forget", forget, "--dry-run"]
    assert launch.main(asked) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line[:12].strip()]
    return lines[1 : [line.split()[0] for line in lines].index("search")]


def test_the_plan_says_what_in_a_folder_was_taken_for_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, each in (("Train", 8), ("Test", 3), ("val", 2)):
        write_classes(tmp_path / name, ("cat", "dog"), each)
    (tmp_path / "Train" / "cat" / "moving.mp4").write_bytes(b"")
    assert planned(capsys, tmp_path, "dog") == [
        f"data        image_folder (3×64×64, in {tmp_path}); forget dog (condition 1); seed 0",
        "folders     Train/ is train and public, Test/ is test; not read: val/",
        "classes     2: cat, dog",
        "images      12 train, 4 public, 6 test",
        "left out    1 .mp4",
    ]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("0", "1", "2", "10", "11"), "forget 2 (named 2: condition 2 of 0 to 4); seed 0"),
        (("0", "1", "2", "3"), "forget 2; seed 0"),
        (("1", "2", "3"), "forget 2 (named 2: condition 1 of 0 to 2); seed 0"),
        (("ant", "bee", "cat"), "forget 2 (cat); seed 0"),
    ],
)
def test_the_plan_says_which_class_a_number_means(
    names: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_classes(tmp_path, names, 5)
    data, _, classes, *_ = planned(capsys, tmp_path, "2")
    assert data.endswith(said) and classes == f"classes     {len(names)}: {', '.join(names)}"


def test_a_track_calls_a_class_by_one_spelling_however_it_was_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_classes(tmp_path, ("1", "2", "3"), 5)
    shared = ["--methods", "dimum", "--data", "image_folder", "--data-folder", str(tmp_path), "--forget"]
    assert track.plan_of(track.parser().parse_args([*shared, "all"])).forgets == ("1", "2", "3")
    assert track.plan_of(track.parser().parse_args([*shared, "3,2", "2,3", "1"])).forgets == ("2,3", "1")
    with pytest.raises(UsageError, match="--forget 0: image_folder has no class '0'; it has 1, 2, 3"):
        track.plan_of(track.parser().parse_args([*shared, "0"]))


@pytest.mark.slow
def test_a_sweep_over_data_that_are_moved_goes_on_and_over_changed_data_does_not(clothes: Path) -> None:
    run, elsewhere = clothes.parent / "run", clothes.parent / "elsewhere"
    asked = ["--space", TINY, "--data", "fashion_mnist", "--data-folder", str(clothes), "--image-size", "8"]
    where = ["--run-dir", str(run), "--artifacts", str(clothes.parent / "artifacts"), "--confirm-seeds", "1"]
    assert launch.main([*asked, *where, *SMALL.split(), "--fid-budget", "1000000"]) == 0
    (trial,) = [t for t in records.rows(run, "trials") if t["method"] != "none"]
    assert trial["state"] == "COMPLETE" and trial["fid"] is not None
    assert len(records.read_json(run / "plan.json")["data_fingerprint"]) == 64
    clothes.rename(elsewhere)
    stored = sorted((clothes.parent / "artifacts").rglob("*"))

    def refusal(*args: str) -> str:
        command = [sys.executable, "-m", "sweep.launch", "--resume", str(run), *args]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 2
        return done.stderr

    assert f"{clothes}: no such folder; say where with --data-folder" in refusal()
    assert launch.main(["--resume", str(run), "--data-folder", str(elsewhere), "--in-process"]) == 0
    assert sorted((clothes.parent / "artifacts").rglob("*")) == stored, "nothing is made again"
    labels = elsewhere / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(labels.read_bytes()[:4] + b"\1\1\1\1" + labels.read_bytes()[8:])  # another time of compression
    assert "not the files that this run began with" in refusal("--data-folder", str(elsewhere))


def test_prompts_need_no_word_about_what_is_forgotten_nor_how_many_samples(capsys: pytest.CaptureFixture[str]) -> None:
    def asked(*more: str) -> tuple[str, int]:
        arguments = ["--space", TINY, "--data", "digits_styled", *more]
        setup = plan_of(launch.parser().parse_args(arguments), launch.parser()).run.setup
        return setup.forget, setup.samples_per_retained

    assert asked() == ("concept:three", 1), "270 retained prompts: one image of each"
    assert asked("--forget", "style:neon, photo", "--samples-per-retained", "3") == ("style:photo,neon", 3)
    assert launch.main(["--space", TINY, "--data", "digits_styled", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "forget concept:three (30 of 300 prompts)" in said and "styles      6: photo, negative, sketch" in said
