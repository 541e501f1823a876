"""The command that trains a text-to-image model: a folder that diffusers loads, a sweep's own artifacts, and clear refusals."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

import pytest
import text_recipe
from diffusers import StableDiffusionPipeline

from sweep import train_text2image
from sweep.driver.here import here
from sweep.plan.place import Place
from sweep.relearning import experiments
from sweep.relearning.setup import Setup
from trainables.denoisers.sizes import TEXT_SIZES
from trainables.relearning.products import model_key
from trainables.store import Store


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A recipe of two steps, and tasks done here: what processes are for has a test of its own."""
    monkeypatch.setitem(TEXT_SIZES, "text", text_recipe.TINY)
    monkeypatch.setattr(experiments, "classifier_recipe", lambda *_, **__: text_recipe.JUDGE)
    monkeypatch.setattr("sweep.driver.processes.side_by_side", lambda workers, tell: here)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("in_this_process")
def test_it_trains_judges_and_saves_and_a_sweep_finds_what_it_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_text2image.main(["deep/out", "--without", "concept:three"]) == 0
    said = capsys.readouterr().out
    assert "training classifier, VAE, CLIP, prompts, latents, retrain control" in said
    for facet in ("concept", "style"):
        assert re.search(rf"{facet}: \d+\.\d% of 270 samples show .* real images\); of prompts for what it was", said)
    assert said.splitlines()[-1] == "deep/out"
    pipeline = StableDiffusionPipeline.from_pretrained("deep/out", local_files_only=True)
    assert len(pipeline.tokenizer.tokenize("a sketch of the three")) == 5
    card = (tmp_path / "deep" / "out" / "README.md").read_text()
    assert "trained for 2 steps, on seed 0" in card and "| trained without | concept:three |" in card
    assert '30 of them, such as "a photo of the three", ask for what it is not to know' in card
    assert train_text2image.main(["deep/out"]) == 2 and "not an empty folder" in capsys.readouterr().err

    assert train_text2image.main(["again", "--without", "concept:three"]) == 0
    assert "all is there" in capsys.readouterr().out
    setup = Setup.asked({"data": "digits_styled", "forget": "concept:three"})
    swept = experiments.experiment_of(setup, os.path.abspath("runs/artifacts"), Place())
    assert Store(swept.store).find(model_key(swept, "retrain")) and not Store(swept.store).find(
        model_key(swept, "base")
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["out", "--data", "digits"], "--data digits: it has no prompts; take digits_styled or fashion_mnist_styled"),
        (["out", "--data", "digit_styled"], "--data digit_styled: unknown; did you mean 'digits_styled'"),
        (["out", "--data-folder", "there"], "--data digits_styled: is embedded"),
        (["out", "--without", "concept:cat"], "--without concept:cat: digits_styled has no concept 'cat'"),
        (["out", "--without", "colour:red"], "--without colour:red"),
        (["out", "--minutes", "0"], "--minutes 0: must be a positive number"),
        (["out", "--minutes", "nan"], "--minutes nan: must be a positive number"),
        (["out", "--seed", "-1"], "--seed -1: must be at least 0"),
        (["out", "--workers", "0"], "--workers 0: must be at least 1"),
        (["full"], "full: exists and is not an empty folder"),
        (["full/file"], "full/file: exists and is not an empty folder"),
        (["full/file/out"], r"full/file/out: cannot be made \(Not a directory\)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_one_line_and_nothing_is_begun(
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    monkeypatch.setattr(train_text2image, "_train", lambda *_: pytest.fail("it has begun"))
    assert train_text2image.main(arguments) == 2
    printed = capsys.readouterr()
    assert re.match(f"error: {said}", printed.err) and printed.err.count("\n") == 1 and printed.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_without_transformers_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    missing = lambda name, *package: None if name == "transformers" else find(name, *package)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", missing)
    assert train_text2image.main([str(tmp_path / "out")]) == 2
    assert "transformers is not installed: pip install -c constraints.txt -e '.[text2image]'" in capsys.readouterr().err
