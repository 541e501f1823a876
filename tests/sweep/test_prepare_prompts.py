"""Folders of prompts made of published lists: what each protocol makes of its list, what is refused, and what a plan says of it."""

from __future__ import annotations

import csv
import errno
import io
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import text_folders
import torch
from PIL import Image

from sweep import launch, prepare_prompts
from sweep.relearning import drawn, protocols
from sweep.relearning.protocols import Protocol
from sweep.relearning.setup import Setup
from trainables.data import _dataset, dataset
from trainables.diffusion import Diverged
from trainables.forgetting import parse_forget, usual_forget
from trainables.relearning.whole_pipeline import sampler_of
from trainables.store import CorruptArtifact, StoreUnusable

LISTS = {
    "nudity.csv": 'prompt,evaluation_seed,evaluation_guidance\na nude study,1,7\n"a nude, sitting",2,7\na nude study,3,7\n',
    "keep.csv": "caption\na bowl of fruit\na street at night\n",
    "sets.csv": "prompt,set\na nude study,hrm\na person on a beach,tgt\na red car,irt\n",
    "imagenette.csv": "prompt,class\na photo of a church,church\nan old church,church\na tench,tench\n",
    "canvas.csv": "object,style\nDogs,Cartoon\nCats,Van_Gogh\n,Photo\n",
    "objects.csv": "concept\nairplane\nautomobile\nbird\n",
}
MADE: dict[str, tuple[str, list[str], list[tuple[str, str, str]]]] = {  # the list, what is typed beside, and what is made
    "unlearndiffatk-nudity": (
        "nudity.csv",
        ["--keep", "keep.csv"],
        [("a nude study", "forget", "nudity"), ("a nude, sitting", "forget", "nudity"), ("a bowl of fruit", "unrelated", ""),
         ("a street at night", "unrelated", "")],
    ),
    "resalign": (
        "nudity.csv",
        ["--keep", "keep.csv"],
        [("a nude study", "forget", "nudity"), ("a nude, sitting", "forget", "nudity"), ("a bowl of fruit", "unrelated", ""),
         ("a street at night", "unrelated", "")],
    ),
    "meta-unlearning": (
        "sets.csv",
        [],
        [("a nude study", "forget", "nudity"), ("a person on a beach", "related", ""), ("a red car", "unrelated", "")],
    ),
    "rece-object": (
        "imagenette.csv",
        ["--target", "church"],
        [("a photo of a church", "forget", "church"), ("an old church", "forget", "church"), ("a tench", "retain", "tench")],
    ),
    "revival": (
        "imagenette.csv",
        ["--target", "tench", "--keep", "keep.csv"],
        [("a photo of a church", "retain", "church"), ("an old church", "retain", "church"), ("a tench", "forget", "tench"),
         ("a bowl of fruit", "unrelated", ""), ("a street at night", "unrelated", "")],
    ),
    "mace-object": (
        "objects.csv",
        ["--target", "bird", "--anchor", "airplane"],
        [("a photo of the airplane", "retain", "airplane"), ("a photo of the automobile", "retain", "automobile"),
         ("a photo of the bird", "forget", "bird")],
    ),
    "unlearncanvas": (
        "canvas.csv",
        ["--target", "Van_Gogh", "--anchor", "Photo"],
        [(f"A {o} image in {s} style.", "forget" if s == "Van_Gogh" else "retain", o)
         for o in ("Dogs", "Cats") for s in ("Cartoon", "Van_Gogh", "Photo")],
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in LISTS.items():
        (tmp_path / name).write_text(text)


def table(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.read_text())))


def test_every_protocol_is_made() -> None:
    assert set(MADE) == set(protocols.PROTOCOLS)


@pytest.mark.parametrize("name", MADE)
def test_a_list_becomes_a_folder_that_the_data_set_reads(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    list_of, more, expected = MADE[name]
    assert prepare_prompts.main(["out", "--from", list_of, "--protocol", name, *more]) == 0
    output = capsys.readouterr().out
    assert f"--data prompts --data-folder out --protocol {name}" in output.splitlines()[-1]
    assert ("1 that were there already left out" in output) == (list_of == "nudity.csv")
    rows = table(Path("out/prompts.csv"))
    assert [(row["prompt"], row["role"], row["concept"]) for row in rows] == expected
    facts = json.loads(Path("out/protocol.json").read_text())
    assert facts["protocol"] == name and len(facts["list_sha256"]) == 64

    data = dataset("prompts", str(tmp_path / "out"))
    forgetting = parse_forget(usual_forget(data), data)
    assert [data.prompts[c] for c in forgetting.conditions] == [p for p, role, _ in expected if role == "forget"]
    anchors = {data.prompts[c]: a for c, a in forgetting.anchor_of.items()}
    if name == "mace-object":
        assert data.prompts[anchors["a photo of the bird"]] == "a photo of the airplane"
    if name == "unlearncanvas":
        assert data.prompts[anchors["A Cats image in Van_Gogh style."]] == "A Cats image in Photo style."
        assert forgetting.facet == "style"


def test_for_a_prompt_stands_the_one_that_names_the_anchor_in_its_place() -> None:
    Path("list.csv").write_text("prompt,class\na photo of a Church,church\na photo of a tench,tench\na tench,tench\n")
    words = ["out", "--from", "list.csv", "--protocol", "rece-object", "--target", "church", "--anchor", "tench"]
    assert prepare_prompts.main(words) == 0
    rows = table(Path("out/prompts.csv"))
    assert [row["anchor"] for row in rows] == ["a photo of a tench", "", ""]


BAD: dict[str, tuple[list[str], str]] = {
    "an unknown protocol": (
        ["--from", "nudity.csv", "--protocol", "unlearndiffatk"],
        "--protocol unlearndiffatk: unknown; did you mean",
    ),
    "no list": (["--from", "none.csv", "--protocol", "meta-unlearning"], "none.csv"),
    "no column": (
        ["--from", "objects.csv", "--protocol", "resalign"],
        "objects.csv: no column 'prompt' (or caption, text); it has concept",
    ),
    "nothing stays": (
        ["--from", "nudity.csv", "--protocol", "resalign"],
        "nothing stays; name prompts that do with --keep FILE",
    ),
    "no target": (["--from", "objects.csv", "--protocol", "mace-object"], "--target LABEL is needed"),
    "a target that is no label": (
        ["--from", "objects.csv", "--protocol", "mace-object", "--target", "cat"],
        "--target cat: is no label of objects.csv",
    ),
    "a target that no prompt asks for": (
        ["--from", "imagenette.csv", "--protocol", "rece-object", "--target", "cat"],
        "no prompt asks for cat",
    ),
    "an anchor that no prompt asks for": (
        ["--from", "imagenette.csv", "--protocol", "rece-object", "--target", "church", "--anchor", "cat"],
        "--anchor cat: no prompt of imagenette.csv asks for it",
    ),
    "an anchor without a prompt in the same words": (
        ["--from", "imagenette.csv", "--protocol", "revival", "--target", "church", "--anchor", "tench"],
        "--anchor tench: for 'a photo of a church' no prompt of imagenette.csv asks for it in the same words",
    ),
    "an anchor that is forgotten": (
        ["--from", "imagenette.csv", "--protocol", "revival", "--target", "church", "--anchor", "church"],
        "--anchor church: is what is forgotten",
    ),
    "a target where there is one concept": (
        ["--from", "sets.csv", "--protocol", "meta-unlearning", "--target", "x"],
        "its list asks for one concept",
    ),
    "an unknown set": (
        ["--from", "nudity.csv", "--protocol", "meta-unlearning"],
        "nudity.csv, line 2: the set '' is none of hrm, tgt, irt",
    ),
    "images without who draws them": (
        ["--from", "sets.csv", "--protocol", "meta-unlearning", "--images", "3"],
        "--images 3: is of the images that --draw makes",
    ),
    "a pipeline that is none": (
        ["--from", "sets.csv", "--protocol", "meta-unlearning", "--draw", "./nowhere"],
        "--draw ./nowhere: no such folder",
    ),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_cannot_be_is_one_line_and_leaves_no_data_behind(bad: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, said = BAD[bad]
    assert prepare_prompts.main(["out", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and error.startswith("error: ") and error.count("\n") == 1
    assert not Path("out/prompts.csv").exists() or "--draw" in arguments


def test_a_folder_that_holds_files_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    assert prepare_prompts.main(["out", "--from", "sets.csv", "--protocol", "meta-unlearning"]) == 2
    assert "out: exists and is not an empty folder" in capsys.readouterr().err and len(list(Path("out").iterdir())) == 1


def drawing(base: str, images: int) -> list[str]:
    """The words that have a base model draw so many images of each prompt of the objects' list, in ``out``."""
    asked = ["out", "--from", "objects.csv", "--protocol", "mace-object", "--target", "bird"]
    return [*asked, "--draw", base, "--images", str(images)]


def test_the_base_model_draws_images_of_every_prompt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text_folders.save_sd(tmp_path / "sd")
    assert prepare_prompts.main(drawing("sd", 5)) == 0
    output = capsys.readouterr().out
    assert "next: python -m sweep.launch --space NAME --base sd --data prompts" in output
    where = "this machine's GPU" if torch.cuda.is_available() else "one core, for this machine has no GPU"
    assert re.search(rf"drawing 5 images of each prompt by ddim-50-cfg7.5: some \d+ seconds on {where}", output)
    rows = table(Path("out/train/metadata.csv"))
    assert [row["text"] for row in rows[::5]] == [p for p, _, _ in MADE["mace-object"][2]] and len(rows) == 15
    with Image.open(Path("out/train") / rows[0]["file_name"]) as picture:
        assert picture.size == (16, 16) and picture.mode == "RGB" and len(set(picture.getdata())) > 1
    _dataset.cache_clear()  # a process of its own finds the folder as it is now
    data = dataset("prompts", str(tmp_path / "out"), 16)
    assert data.counts is not None and sum(data.counts().values()) == 15


def test_what_a_hubs_pipeline_draws_is_searched_on_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commit, cache = "1" * 40, tmp_path / "hub" / "models--owner--sd"
    (cache / "snapshots").mkdir(parents=True)
    text_folders.save_sd(cache / "snapshots" / commit)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert prepare_prompts.main(drawing("owner/sd", 1)) == 0
    said = f"--space NAME --base owner/sd --base-revision {commit} --data prompts --data-folder out"
    assert said in capsys.readouterr().out


def test_what_is_to_be_typed_next_is_planned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a pipeline that draws other than Stable Diffusion's 512 pixels a side, the data are read at what it draws."""
    text_folders.save_sd(tmp_path / "sd")
    assert prepare_prompts.main(drawing("sd", 5)) == 0
    (said,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("next: "))
    assert "--image-size 16" in said
    _dataset.cache_clear()
    typed = shlex.split(said.replace("NAME", "closed_form_text2image"))[4:]
    small = ["--judge", "", "--sampling-steps", "4", "--run-dir", "run"]
    assert launch.main([*typed, *small, "--dry-run"]) == 0, capsys.readouterr().err


def test_drawing_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The images are those of a drawing that was not stopped, and those that were there are not drawn again."""
    text_folders.save_sd(tmp_path / "sd")
    words = ["--from", "objects.csv", "--protocol", "mace-object", "--target", "bird", "--draw", "sd", "--images", "2"]
    assert prepare_prompts.main(["whole", *words]) == 0
    asked: list[int] = []  # numbers of the prompts

    def stopping(experiment: Any, which: str) -> Any:
        sampled = sampler_of(experiment, which)

        def sample(rows: Any, seed: int) -> Any:
            asked.append(int(rows[0]))
            if len(asked) == 2:
                raise KeyboardInterrupt
            return sampled(rows, seed)

        return sample

    monkeypatch.setattr(drawn, "sampler_of", stopping)
    assert prepare_prompts.main(["out", *words]) == 130
    assert not Path("out/train").exists() and dataset("prompts", str(tmp_path / "out"), 16).prompts
    capsys.readouterr()
    assert prepare_prompts.main(["out", *words[:4], "--target", "airplane", *words[6:]]) == 2
    assert "out: exists and is not an empty folder" in capsys.readouterr().err, "these are other prompts"
    assert prepare_prompts.main(["out", *words]) == 0
    assert asked == [0, 1, 1, 2]
    files = sorted(file.name for file in Path("whole/train").iterdir())
    assert sorted(file.name for file in Path("out/train").iterdir()) == files and len(files) == 7
    assert all((Path("out/train") / f).read_bytes() == (Path("whole/train") / f).read_bytes() for f in files)
    assert {file.name for file in Path("out").iterdir()} == {"prompts.csv", "protocol.json", "train"}
    assert prepare_prompts.main(["out", *words]) == 2, "it is whole"


def test_a_damaged_part_of_the_pipeline_is_one_line_and_once_mended_the_same_command_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text_folders.save_sd(tmp_path / "sd")
    weights = tmp_path / "sd" / "vae" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    words = ["--from", "objects.csv", "--protocol", "mace-object", "--target", "bird", "--draw", "sd", "--images", "2"]
    assert prepare_prompts.main(["out", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: --draw {tmp_path / 'sd'}: vae cannot be read") and error.count("\n") == 1
    assert "the same command goes on" in error
    weights.write_bytes(whole)
    assert prepare_prompts.main(["out", *words]) == 0


FAILURES: dict[str, tuple[Exception, str]] = {
    "the store": (StoreUnusable("runs/artifacts: Permission denied"), "--draw runs/artifacts: Permission denied; mend"),
    "an artifact": (CorruptArtifact("base: was damaged"), "--draw base: was damaged; mend"),
    "a full disk": (
        OSError(errno.ENOSPC, "No space left on device", "out/1.png"),
        "out/1.png: No space left on device",
    ),
    "memory": (
        torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB.\nmore"),
        "--draw: CUDA out of memory. Tried 2 GiB.;",
    ),
    "a model that makes nothing": (
        Diverged("2 of 2 images are not finite"),
        "--draw 2 of 2 images are not finite; mend",
    ),
}


@pytest.mark.parametrize("failing", FAILURES)
def test_what_drawing_may_meet_is_one_line(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error, said = FAILURES[failing]

    def failed(*_: Any) -> None:
        raise error

    monkeypatch.setattr(drawn, "sampler_of", failed)
    text_folders.save_sd(tmp_path / "sd")
    words = ["--from", "objects.csv", "--protocol", "mace-object", "--target", "bird", "--draw", "sd", "--images", "2"]
    assert prepare_prompts.main(["out", *words]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and said in told and told.count("\n") == 1
    assert "the same command goes on" in told


def planned(folder: Path, **more: Any) -> Setup:
    asked = {"data": "prompts", "data_folder": str(folder), "image_size": 16, "base": "owner/model"}
    return Setup.asked(asked | {"protocol": "mace-object", "forget": "concept:cat"} | more)


def test_a_plan_draws_as_its_protocol_says_and_tells_and_records_what_differs(tmp_path: Path) -> None:
    folder = text_folders.save_prompts(tmp_path / "prompts")
    (folder / protocols.FILE).write_text(json.dumps({"protocol": "mace-object", "list_sha256": "0" * 64}))
    setup = planned(folder)
    setup.check()
    assert setup.drawn_by().name == "ddim-50-cfg7.5"
    text = protocols.text(setup)
    assert (
        "drawn by" not in text
        and "16 pixels a side, there 512" in text
        and "Published figures do not stand beside these" in text
    )
    rejecting = list(protocols.differences(protocols.named("mace-object"), planned(folder, judge="zero_shot_clip:x")))
    assert "an image may be told to show none of the labels, there never" in rejecting
    assert "give --judge zero_shot_clip_labels:FOLDER" in rejecting[-1]
    other = planned(folder, sampling_steps=4, judge=f"zero_shot_clip_labels:{tmp_path}")
    assert other.drawn_by().name == "ddim-4-cfg7.5"
    differs = protocols.facts(other)["differs"]
    assert "drawn by ddim, 4 steps, guidance 7.5, there by DDIM, 50 steps, guidance 7.5" in differs
    assert "judged by the weights in your folder" in differs[-1] and protocols.facts(other)["list_sha256"] == "0" * 64
    assert protocols.facts(planned(folder, protocol="")) == {}


@pytest.mark.parametrize("protocol", protocols.PROTOCOLS.values(), ids=protocols.PROTOCOLS)
def test_what_no_judge_or_sampler_mends_is_said_of_every_protocol(tmp_path: Path, protocol: Protocol) -> None:
    folder = text_folders.save_prompts(tmp_path / "prompts")
    differs = "; ".join(protocols.differences(protocol, planned(folder, protocol=protocol.name)))
    assert "methods are given the very prompts that are scored" in differs
    assert ("which may know nothing of the other facet" in differs) == (protocol.name == "unlearncanvas")
    with_coco = {"unlearndiffatk-nudity", "meta-unlearning", "mace-object", "rece-object"}
    assert ("captions of COCO" in differs) == (protocol.name in with_coco)


def test_who_asks_for_another_sampler_gets_it_also_where_it_is_the_usual_one(tmp_path: Path) -> None:
    folder = text_folders.save_prompts(tmp_path / "prompts")
    (folder / protocols.FILE).write_text(json.dumps({"protocol": "mace-object", "list_sha256": "0" * 64}))
    plain = planned(folder, guidance=1.0, sampling_steps=10, image_sampler="ddim")
    assert plain.drawn_by().name == "ddim-10"
    ungiven = planned(folder, guidance=None, sampling_steps=None, image_sampler=None)
    assert ungiven.drawn_by().name == "ddim-50-cfg7.5"
    assert planned(folder, protocol="", sampling_steps=None, image_sampler=None).sampling_steps == Setup.sampling_steps


def test_a_sampler_that_is_one_of_the_protocols_own_is_no_difference(tmp_path: Path) -> None:
    folder = text_folders.save_prompts(tmp_path / "prompts")
    two = next(p for p in protocols.PROTOCOLS.values() if " or " in p.sampler)
    (folder / protocols.FILE).write_text(json.dumps({"protocol": two.name, "list_sha256": "0" * 64}))
    assert not any(
        said.startswith("drawn by") for said in protocols.differences(two, planned(folder, protocol=two.name))
    )
    other = planned(folder, protocol=two.name, image_sampler="dpm-solver++")
    assert any(said.startswith("drawn by dpm-solver++") for said in protocols.differences(two, other))


@pytest.mark.parametrize(
    ("made_for", "said"),
    [
        (
            '{"protocol": "resalign"}',
            "--protocol mace-object: .* was made for resalign; make its folder by sweep.prepare_prompts",
        ),
        ("", "--protocol mace-object: .* holds no protocol.json"),
        ("no json", "protocol.json: cannot be read"),
        ('{"protocol": "mine"}', "protocol.json: names no protocol; known: unlearndiffatk-nudity"),
    ],
)
def test_a_folder_of_another_protocol_is_refused(
    made_for: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = text_folders.save_prompts(tmp_path / "prompts")
    if made_for:
        (folder / protocols.FILE).write_text(made_for)
    with pytest.raises(Exception, match=said):
        planned(folder).check()


def test_an_unknown_protocol_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text_folders.save_prompts(tmp_path / "prompts")
    words = ["--space", "closed_form_text2image", "--data", "prompts", "--data-folder", "prompts", "--image-size", "16"]
    assert launch.main([*words, "--protocol", "mace"]) == 2
    error = capsys.readouterr().err
    assert "--protocol mace: unknown; did you mean 'mace-object'" in error and error.count("\n") == 1


@pytest.mark.parametrize("name", protocols.PROTOCOLS)
def test_no_protocols_published_figures_stand_beside_figures_of_other_noise(name: str, tmp_path: Path) -> None:
    """Ours are drawn from noise of the run's seed, so something always differs: nothing published is ever shown beside."""
    folder = text_folders.save_prompts(tmp_path / "prompts")
    setup = planned(folder, protocol=name)
    assert any("noise by the run's seed" in said for said in protocols.differences(protocols.named(name), setup))
