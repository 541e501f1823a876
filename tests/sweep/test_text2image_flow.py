"""The README's flow for text-to-image, typed line by line on a tiny pipeline: prompts, plan, sweep, page, export, resurgence.

What a newcomer types on a card runs here as it is written but for the pipeline, which has random weights, and for what a test may
not take long over: it runs in this process, on no GPU, and the long preset's runs at the smoke preset's size.
"""

from __future__ import annotations

import importlib
import json
import re
import shlex
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import text_folders
import text_recipe
from diffusers import StableDiffusionPipeline
from judge_folders import write_clip

from sweep import launch, records
from sweep.plan.asked import with_preset
from sweep.relearning import experiments
from sweep.track import __main__ as track
from trainables import data

README = (Path(__file__).parents[2] / "README.md").read_text()
(BLOCK,) = re.findall(r"<!-- text2image -->\n```bash\n(.*?)```", README, re.DOTALL)
LINES = BLOCK.splitlines()
HERE = ["--in-process", "--gpus-per-trial", "0", "--image-size", "16"]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each line says, by the line; all in one folder, ``folder``."""
    folder = tmp_path_factory.mktemp("card")
    text_folders.save_sd(folder / "sd14")
    write_clip(folder / "clip", ("a", "photo", "of", "cat", "dog", "house"))
    (folder / "objects.csv").write_text("concept\ncat\ndog\nhouse\n")
    said = {"folder": str(folder)}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(experiments, "classifier_recipe", lambda *_, **__: text_recipe.JUDGE)
        for line in LINES:
            said[line] = typed(line, folder)
    return said


def typed(line: str, folder: Path) -> str:
    """What a line of the README prints; it ends with 0."""
    words = shlex.split(line, comments=True)
    assert words[:2] == ["python", "-m"], line
    name, arguments = words[2], [word.replace("TRIAL", "uce-0000") for word in words[3:]]
    if name == "sweep.launch":
        if "--dry-run" not in arguments:
            arguments = [word.replace("24gb", "smoke") for word in arguments]
            arguments += ["--trials", "2"]
        arguments += HERE
    data._dataset.cache_clear()  # a process of its own would find the folder as it is now
    with redirect_stdout(StringIO()) as out:
        assert importlib.import_module(name).main(arguments) == 0, line
    return out.getvalue()


def line_of(*words: str) -> str:
    (line,) = (line for line in LINES if all(word in line for word in words))
    return line


def test_every_launch_of_the_flow_computes_on_a_card() -> None:
    """Typed without a GPU, Stable Diffusion would be planned for the CPU: a hundred core-hours for what is minutes."""
    launched = [shlex.split(line, comments=True)[3:] for line in LINES if "sweep.launch" in line]
    assert len(launched) == 4
    for words in launched:
        args = launch.parser().parse_args(with_preset(words))
        assert args.gpus_per_trial > 0 and args.gpu_memory == 24, words


@pytest.mark.slow
def test_the_prompts_are_made_with_images_that_the_base_model_draws(outputs: dict[str, str]) -> None:
    assert "objects/prompts.csv: 1 forget, 2 retain" in outputs[line_of("prepare_prompts")]
    assert len(list((Path(outputs["folder"]) / "objects" / "train").glob("*.png"))) == 3 * 30


@pytest.mark.slow
def test_the_plan_for_a_card_is_printed_and_costs_nothing(outputs: dict[str, str]) -> None:
    plan = " ".join(outputs[line_of("--dry-run")].split())
    assert "preset 24gb (Stable Diffusion 1.4, 1.5 or 2.1 on one card of 24 GB)" in plan
    assert "images by dpmsolver++-20-cfg7.5" in plan and "scored after [0, 25, 50, 100, 200] steps" in plan
    assert "attacks none: each trial is unlearned and scored" in plan
    assert "judged by zero_shot_clip:" in plan, "not by what is trained on the drawn images alone"


@pytest.mark.slow
def test_the_sweeps_run_and_the_front_is_attacked(outputs: dict[str, str]) -> None:
    for run, arms in (("smoke", {"uce", "rece"}), ("RUN", {"uce", "rece"}), ("resurgence", {"benign"})):
        trials = [t for t in records.rows(Path(outputs["folder"]) / run, "trials") if t["arm"] != "control"]
        assert {t["arm"] for t in trials} == arms and all(t["state"] == "COMPLETE" for t in trials), run
    curves = records.rows(Path(outputs["folder"]) / "RUN", "curves")
    searched = {c["attack"] for c in curves if c["replicate"] == 0}
    confirmed = {c["attack"] for c in curves if c["replicate"] == 1}
    assert searched == {"none"} and {"dimra-retain-1e-3", "benign-unrelated-lora-1e-3"} < confirmed
    assert "uce" in outputs[line_of("sweep.pareto")]


@pytest.mark.slow
def test_the_page_tells_by_which_prompt_each_picture_was_drawn(outputs: dict[str, str]) -> None:
    page = (Path(outputs["folder"]) / "RUN" / "report.html").read_text()
    assert "Forgotten prompts: “a photo of the cat” in every picture" in page
    listed = re.findall(r"<li>(.*?)</li>", page[page.index("Retained prompts: picture by picture") :])
    assert listed[:2] == ["a photo of the dog", "a photo of the house"]
    assert "condition concept" not in page and "What the forgotten prompts yield now" in page
    assert "Every trial unlearns and is scored, and nothing more" in page


@pytest.mark.slow
def test_the_export_is_a_pipeline_whose_card_speaks_of_prompts(outputs: dict[str, str]) -> None:
    folder = Path(outputs["folder"]) / "unlearned"
    pipeline = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True, safety_checker=None)
    assert pipeline.unet.config.cross_attention_dim == 12
    card = (folder / "README.md").read_text()
    assert (
        "pipeline_tag: text-to-image" in card
        and "# prompts without concept:cat" in card
        and "a photo of the cat" in card
    )
    plan = json.loads((Path(outputs["folder"]) / "RUN" / "plan.json").read_text())
    assert plan["preset"] == "smoke" and plan["attacks"]["search"] == []


@pytest.mark.slow
def test_a_track_of_the_same_prompts_tells_them_too(outputs: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(outputs["folder"])
    monkeypatch.setattr(experiments, "classifier_recipe", lambda *_, **__: text_recipe.JUDGE)
    small = "--seeds 1 --steps 1 --sampling-steps 4 --samples-forgotten 8 --samples-per-retained 1"
    about = "--methods uce --attacks dimra-retain-1e-3 --base sd14 --data prompts --data-folder objects --run-dir track"
    assert track.main([*about.split(), *small.split(), *HERE]) == 0
    page = (Path(outputs["folder"]) / "track" / "report.html").read_text()
    assert "Forgotten prompts: “a photo of the cat” in every picture" in page and "lower: retained prompts" in page
    assert page.index("Retained prompts: picture by picture") < page.index("<li>a photo of the dog</li>")
