"""Sweeps on base models of several sizes and on pretrained pipelines, with a control and without one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMPipeline, DDPMPipeline, DDPMScheduler, UNet2DModel

from sweep import export, pareto, records
from sweep.driver.agenda import Agenda
from sweep.errors import UsageError
from sweep.launch import main
from sweep.plan.folders import create_run_dir
from sweep.plan.plan import Plan
from sweep.plan.words import describe
from sweep.records.folder import write_json
from sweep.relearning.experiments import experiment_of, resolved
from sweep.relearning.fid_budget import fid_budget
from sweep.relearning.specs import Specs
from trainables.data import DATASETS
from trainables.denoisers.models import build
from trainables.denoisers.recipes import BaseModel, Pretrained
from trainables.denoisers.sizes import SIZES, fitting
from trainables.relearning.experiment import Experiment

TINY = str(Path(__file__).parents[2] / "questions" / "tiny.py")


def save(folder: Path, classes: int = 11, seed: int = 0, **scheduler: Any) -> str:
    torch.manual_seed(seed)
    unet = UNet2DModel(
        sample_size=8, in_channels=1, out_channels=1, layers_per_block=1, norm_num_groups=4, block_out_channels=(8, 8),
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2, num_class_embeds=classes,
    )  # fmt: skip
    DDPMPipeline(unet, DDPMScheduler(**scheduler)).save_pretrained(folder)
    return str(folder)


def plan_in(folder: Path, **changes: Any) -> Plan:
    facts: dict[str, Any] = {"space": TINY, "trials": 2, "baseline_trials": 1} | changes
    return Plan.of(run_dir=str(folder / "run"), artifacts=str(folder / "store"), **facts)


def gone_on_with(plan: Plan) -> Plan:
    """The plan as its run folder has it."""
    file = Path(plan.run_dir) / "plan.json"
    return Plan.from_json(json.loads(file.read_text()), str(file))


def shared_by(plan: Plan) -> Experiment:
    """What the plan's trials share."""
    return experiment_of(plan.setup, plan.artifacts, plan.place)


def test_the_small_base_model_is_the_one_there_has_always_been(tmp_path: Path) -> None:
    assert shared_by(plan_in(tmp_path)).base == BaseModel()
    assert plan_in(tmp_path).setup.sized(None, None) == plan_in(tmp_path).setup


@pytest.mark.parametrize("size", SIZES)
def test_a_size_is_a_model_that_can_be_built_and_larger_ones_are_larger(size: str) -> None:
    model = build(BaseModel(**SIZES[size]).config(replace(DATASETS["digits"], shape=(3, 32, 32))))
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 32, 32), 5, class_labels=torch.tensor([10])).sample.shape == (1, 3, 32, 32)
    parameters = {"small": 165_000, "medium": 653_000, "large": 6_800_000}
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(parameters[size], rel=0.15)


def test_the_size_fits_the_images_and_steps_are_the_sizes_own_unless_given(tmp_path: Path) -> None:
    assert [fitting((1, side, side)) for side in (8, 16, 32, 64)] == ["small", "medium", "large", "large"]
    assert plan_in(tmp_path).setup.sized("medium", None).base_steps == SIZES["medium"]["train_steps"]
    plan = plan_in(tmp_path)
    plan = plan.but(setup=plan.setup.sized("medium", 7))
    base = shared_by(plan).base
    assert isinstance(base, BaseModel) and (base.channels, base.train_steps) == ((32, 64), 7)
    assert "medium, 7 steps; images by ddim-10" in describe(plan, plan.question())


def test_how_images_are_drawn_is_part_of_the_experiment(tmp_path: Path) -> None:
    plan = plan_in(tmp_path, image_sampler="dpm-solver++", sampling_steps=5, guidance=1.5)
    assert shared_by(plan).sampler == "dpmsolver++-5-cfg1.5"


def test_a_resumed_run_keeps_its_pipeline_or_says_that_it_has_changed(tmp_path: Path) -> None:
    folder = Path(save(tmp_path / "pipe"))
    plan = plan_in(tmp_path, base=str(folder), base_classes=tuple(range(9, -1, -1)))
    plan = plan.but(setup=resolved(plan.setup, shared_by(plan)))
    again = gone_on_with(create_run_dir(plan))
    base = shared_by(again).base
    assert again.setup == plan.setup and isinstance(base, Pretrained) and base.digest == plan.setup.base_digest != ""
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("0.02", "0.03"))
    with pytest.raises(UsageError, match="have changed since this run began"):
        shared_by(again)


def test_a_resumed_run_asks_the_hub_for_the_commits_that_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = "1" * 40, "2" * 40
    for name in ("base", "control"):
        cache = tmp_path / f"models--owner--{name}"
        for seed, commit in enumerate((first, second)):
            save(cache / "snapshots" / commit, seed=seed)
        (cache / "refs").mkdir()
        (cache / "refs" / "main").write_text(first)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    plan = plan_in(tmp_path, base="owner/base", retrain_control="owner/control")
    plan = plan.but(setup=resolved(plan.setup, shared_by(plan)))
    assert (plan.setup.base_revision, plan.setup.control_revision) == (first, first)
    for name in ("base", "control"):  # their owner has uploaded others
        (tmp_path / f"models--owner--{name}" / "refs" / "main").write_text(second)
    (tmp_path / "models--owner--control" / "snapshots" / second / "unet" / "config.json").write_text("{}")
    again = gone_on_with(create_run_dir(plan))
    again.setup.check()
    control = shared_by(again).control
    assert control is not None and control.commit == first


def test_guidance_needs_a_null_condition_and_a_control_the_base_models_schedule(tmp_path: Path) -> None:
    base = save(tmp_path / "base", classes=10)
    with pytest.raises(UsageError, match="knows no null condition"):
        shared_by(plan_in(tmp_path, base=base, guidance=2.0))
    control = save(tmp_path / "control", classes=10, beta_schedule="squaredcos_cap_v2")
    with pytest.raises(UsageError, match=r"--retrain-control: .*noise schedule is not the base model's"):
        shared_by(plan_in(tmp_path, base=base, retrain_control=control))


def test_without_a_control_the_base_model_alone_is_attacked(tmp_path: Path) -> None:
    base, control = save(tmp_path / "base"), save(tmp_path / "control", seed=1)
    names = []
    for given in ("", control):
        plan = plan_in(tmp_path / Path(given or "none").name, base=base, retrain_control=given)
        create_run_dir(plan)
        write_json(Path(plan.run_dir) / "prepared.json", prepared := {"fid_budget": 5.0, "fid_delta_sd": 0.5})
        space = plan.question().bounded(prepared)
        agenda = Agenda(plan, space, Specs(plan, space, shared_by(plan), 0.5), prepared)
        names.append([j.name for j in agenda.confirmation.control_jobs(0)])
    assert names == [["control-base-r0"], ["control-base-r0", "control-retrain-r0"]]


def test_without_a_control_the_noise_of_fid_delta_is_taken_from_the_base_model() -> None:
    found = fid_budget("auto", [10.0, 12.0], None)
    assert found["fid_delta_sd"] == pytest.approx(2.0) and found["fid_delta_retrain"] is None
    assert found["fid_budget"] == pytest.approx(4.0) and "no θ*" in found["fid_budget_rule"]


@pytest.mark.slow
def test_a_whole_sweep_on_a_pipeline_without_a_control(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lend_classifier: Callable[[Path], None]
) -> None:
    lend_classifier(tmp_path / "store")
    base = save(tmp_path / "base")
    run = tmp_path / "run"
    small = [
        "--samples-forgotten",
        "4",
        "--samples-per-retained",
        "2",
        "--confirm-seeds",
        "1",
        "--confirm-members",
        "1",
    ]
    where = ["--run-dir", str(run), "--artifacts", str(tmp_path / "store"), "--in-process"]
    drawn = ["--sampling-steps", "2", "--guidance", "1.5", "--sampler", "random", "--fid-budget", "1e9"]
    args = ["--space", TINY, "--base", base, "--trials", "1", "--baseline-trials", "1", *small, *where, *drawn]
    assert main(args) == 0
    capsys.readouterr()
    assert pareto.main([str(run)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "no retrain control:" in told and "have no excess" in told
    prepared = records.read_json(run / "prepared.json")
    assert "no --retrain-control was given" in prepared["without_control"] and "retrain control" not in prepared["keys"]
    rows = records.rows(run, "replicates")
    assert {r["state"] for r in rows} == {"COMPLETE"} and {r["sampler"] for r in rows} == {"ddim-2-cfg1.5"}
    assert "control-base" in {r["trial_id"] for r in rows} and "control-retrain" not in {r["trial_id"] for r in rows}
    assert "No retrain control" in (run / "report.html").read_text()
    assert main(["--resume", str(run), "--in-process"]) == 0, "and its pipeline is what it was"
    saved = tmp_path / "saved"
    assert export.main([str(run), "dimum-0000", str(saved), "--replicate", "1"]) == 0
    assert DDIMPipeline.from_pretrained(saved).unet.config["num_class_embeds"] == 11
    capsys.readouterr()
    for wrong, said in (
        (["dimum-0009", str(tmp_path / "other")], "no trial dimum-0009; did you mean 'dimum-0000'"),
        (["dimum-0000", str(tmp_path / "other"), "--replicate", "7"], "no replicate 7; it has 0, 1"),
        (["dimum-0000", str(saved)], "exists and is not an empty folder"),
    ):
        assert export.main([str(run), *wrong]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    assert not (tmp_path / "other").exists()
