"""The Ray Tune Trainable, as the plain object that Tune drives."""

from __future__ import annotations

import gc
import json
import platform
import re
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from trainables.relearning.experiment import Experiment, TrialSpec
from trainables.relearning.stages.unlearn import unlearned_key
from trainables.relearning.trial import Pipeline
from trainables.relearning.workbench import Workbench, kept
from trainables.running.pipeline import STEP_SECONDS
from trainables.running.report import Report
from trainables.store import Store
from trainables.training.failure import SickProcess
from trainables.trial import _LEAK_BYTES, Trial

MakeSpec = Callable[..., TrialSpec]
DESTROYED = {"steps": 4, "batch": 8, "learning_rate": 1e30}


def config(spec: TrialSpec, **facts: Any) -> dict[str, Any]:
    return {"spec": json.dumps(spec.to_json()), **facts}


@pytest.fixture
def short(experiment: Experiment, make_spec: MakeSpec) -> TrialSpec:
    spec = make_spec(experiment, rungs=(0, 2))
    return replace(spec, attacks=spec.attacks[:1])


@pytest.fixture
def start() -> Iterator[Callable[[TrialSpec], Trial]]:
    trials: list[Trial] = []

    def begin(spec: TrialSpec, **facts: Any) -> Trial:
        trials.append(Trial(config=config(spec, **facts)))
        return trials[-1]

    yield begin
    for trial in trials:
        trial.stop()


def steps(trial: Trial) -> list[list[dict]]:
    """The reports of every step until the trial is over."""
    results = [trial.train()]
    while not results[-1]["done"]:
        results.append(trial.train())
    return [json.loads(result["reports"]) for result in results]


def finish(trial: Trial) -> list[dict]:
    return [report for step in steps(trial) for report in step]


def test_a_trial_steps_until_it_is_done(short: TrialSpec, start: Callable) -> None:
    reports = finish(start(short))
    assert [r["stage"]["stage"] for r in reports] == ["unlearn", "score", "gentle@2"]
    assert reports[-1]["state"] == "COMPLETE"
    assert 0 <= reports[-1]["figures"]["robustness"] <= 1


def test_a_trial_that_nobody_decides_about_is_one_step_and_one_that_may_be_ended_is_a_step_a_stage(
    short: TrialSpec, start: Callable
) -> None:
    finish(start(short))  # what is found takes no time
    assert [len(reports) for reports in steps(start(short))] == [3]
    assert [len(reports) for reports in steps(start(short, every_stage=True))] == [1, 1, 1]
    trial = start(short, every_stage=True)
    assert trial.reset(config(short)) and len(steps(trial)) == 1, "it is another trial's"


def test_what_a_process_had_made_and_not_reported_when_it_died_is_found_by_the_next(
    short: TrialSpec, start: Callable, another_store: Callable[[str], Experiment]
) -> None:
    spec = replace(short, experiment=another_store("killed"), settings=short.settings | {"steps": 3})
    started = start(spec)
    started.pipeline.step()  # its step has not ended: nobody has heard of the stage
    reports = finish(start(spec))
    assert [r["stage"]["found"] for r in reports] == [True, False, False]
    assert reports[-1]["figures"] == finish(start(spec))[-1]["figures"]


def test_stages_that_ended_before_another_failed_are_reported_with_it(short: TrialSpec, start: Callable) -> None:
    broken = replace(short.attacks[0], settings=short.attacks[0].settings | {"learning_rate": 1e30})
    (reports,) = steps(start(replace(short, attacks=(broken,))))
    assert [r["state"] for r in reports] == [None, None, "FAIL"]
    assert [r["stage"] and r["stage"]["stage"] for r in reports] == ["unlearn", "score", None]
    assert "fid_delta" in reports[1]["figures"] and "Diverged" in reports[2]["cause"]


def test_an_exception_in_a_stage_is_the_trials_recorded_failure(short: TrialSpec, start: Callable) -> None:
    (report,) = finish(start(replace(short, settings=DESTROYED)))
    assert report["state"] == "FAIL"
    assert "Diverged" in report["cause"] and "fine_tuning.py" in report["cause"]
    assert report["figures"] == {}


BROKEN = [
    torch.AcceleratorError("an illegal memory access was encountered\nFor debugging consider CUDA_LAUNCH_BLOCKING=1"),
    RuntimeError("CUDA error: unspecified launch failure"),
    RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
    RuntimeError("NCCL error in: ProcessGroupNCCL.cpp"),
]


@pytest.mark.parametrize("error", BROKEN, ids=str)
def test_a_gpu_that_is_broken_is_no_trials_failure_but_the_end_of_its_process_by_cause_and_node(
    error: Exception, short: TrialSpec, start: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(pipeline: Pipeline, seconds: float) -> None:
        raise error

    trial = start(short)
    monkeypatch.setattr(Pipeline, "step", step)
    said = re.escape(f"{str(error).splitlines()[0]} (on {platform.node()})")
    with pytest.raises(SickProcess, match=f"^{said}$"):
        trial.train()


def test_a_gpu_whose_memory_a_trial_fills_is_not_broken(
    short: TrialSpec, start: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(pipeline: Pipeline, seconds: float) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. CUDA error: none")

    trial = start(short)
    monkeypatch.setattr(Pipeline, "step", step)
    (report,) = finish(trial)
    assert report["state"] == "FAIL" and "--gpus-per-trial" in report["cause"]


def test_a_spec_that_a_method_refuses_fails_the_trial_and_not_the_process(short: TrialSpec, start: Callable) -> None:
    (report,) = finish(start(replace(short, settings={"learning_rat": 1})))
    assert report["state"] == "FAIL" and "learning_rat" in report["cause"]


def test_another_trial_takes_the_same_process_and_keeps_what_is_shared(short: TrialSpec, start: Callable) -> None:
    trial = start(replace(short, settings=DESTROYED))
    assert finish(trial)[-1]["state"] == "FAIL"
    bench = trial.bench
    assert trial.reset(config(replace(short, trial_id="next")))
    assert trial.bench is bench is not None
    assert finish(trial)[-1]["state"] == "COMPLETE"
    assert trial.reset(config(replace(short, settings={"learning_rat": 1})))
    assert finish(trial)[-1]["state"] == "FAIL"
    assert trial.reset(config(short)), "a failure is not the next trial's"
    assert finish(trial)[-1]["state"] == "COMPLETE"
    assert trial.bench is bench


def test_what_the_bench_keeps_is_no_leak_and_what_no_one_keeps_is(
    short: TrialSpec, start: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a sweep over methods the second trial's may keep more than the first one's: θ₀ beside θ₀ for its predictions."""
    held = 0
    monkeypatch.setattr("trainables.running.gpu_bytes.allocated", lambda: held)
    trial = start(short)

    @kept
    def inner(bench: Workbench) -> str:
        nonlocal held
        held += 3 * _LEAK_BYTES
        return "θ₀"

    @kept
    def outer(bench: Workbench) -> str:
        nonlocal held
        held += _LEAK_BYTES
        return inner(bench)

    held += 1000  # work spaces
    assert trial.reset(config(short)) and trial.baseline == 1000
    outer(trial.bench)
    assert trial.bench.gpu_bytes == 4 * _LEAK_BYTES
    assert trial.reset(config(short)), "the bench keeps that"
    held += _LEAK_BYTES + 1
    assert not trial.reset_config(config(short)), "nobody keeps that"


def test_a_process_whose_gpu_memory_does_not_come_free_takes_no_other_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held once the first trial is over is what trials share; 256 MiB above that are a leak."""
    held = 0.0  # MiB
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda *_: int(held * 2**20))
    refused = {"spec": "{}"}  # of a trial that fails before anything of it is on a GPU
    trial = Trial(config=refused)
    taken = []
    for now in (1000.0, 1200.0, 1256.0, 1257.0):
        held = now
        taken.append(trial.reset(refused))
    trial.stop()
    assert taken == [True, True, True, False]


@pytest.mark.parametrize(("timeout_s", "seconds"), [(0.0, STEP_SECONDS), (10.0, 5.0), (1000.0, STEP_SECONDS)])
def test_a_step_ends_in_half_the_time_after_which_silence_ends_the_process(timeout_s: float, seconds: float) -> None:
    given: list[float] = []

    def step(seconds: float) -> Report:
        given.append(seconds)
        return Report(state="COMPLETE")

    trial = Trial(config={"spec": "{}", "timeout_s": timeout_s})
    trial.failure, trial.pipeline = None, SimpleNamespace(step=step)
    assert finish(trial)[-1]["state"] == "COMPLETE" and given == [seconds]
    trial.stop()


def test_another_experiment_has_a_bench_of_its_own(
    short: TrialSpec, start: Callable, another_store: Callable[[str], Experiment]
) -> None:
    trial = start(short)
    bench, elsewhere = trial.bench, another_store("elsewhere")
    trial.reset(config(replace(short, experiment=elsewhere)))
    assert trial.bench is not bench and trial.bench.experiment == elsewhere


def test_a_checkpoint_in_mid_stage_is_in_the_store_and_names_its_stage(
    short: TrialSpec, start: Callable, tmp_path: Path, another_store: Callable[[str], Experiment]
) -> None:
    spec = replace(short, experiment=another_store("mid"), seed=1, settings=short.settings | {"steps": 40}, attacks=())
    trial = start(spec)
    report = trial.pipeline.step(seconds=0.01)
    assert report.stage is None, "the stage goes on"
    Store(spec.experiment.store).drop_partial(unlearned_key(spec))
    (tmp_path / "checkpoint").mkdir()
    trial.save_checkpoint(str(tmp_path / "checkpoint"))
    named = json.loads((tmp_path / "checkpoint" / "stage.json").read_text())
    assert named == {"stage": "unlearn", "key": unlearned_key(spec)}
    partial = Store(spec.experiment.store).load_partial(unlearned_key(spec))
    assert partial is not None and partial["step"] == trial.pipeline._stage.run.step < 40


def test_a_checkpoint_between_stages_names_none(short: TrialSpec, start: Callable, tmp_path: Path) -> None:
    trial = start(short)
    trial.save_checkpoint(str(tmp_path))
    assert json.loads((tmp_path / "stage.json").read_text()) is None


def test_a_trial_that_failed_to_begin_can_be_checkpointed(short: TrialSpec, start: Callable, tmp_path: Path) -> None:
    trial = start(replace(short, settings={"learning_rat": 1}))
    trial.save_checkpoint(str(tmp_path))
    assert json.loads((tmp_path / "stage.json").read_text()) is None


def test_a_diverged_model_leaves_no_checkpoint_to_go_on_from(
    short: TrialSpec, start: Callable, tmp_path: Path, another_store: Callable[[str], Experiment]
) -> None:
    """Continued from its last step, it would be committed as if it had been trained."""
    spec = replace(short, experiment=another_store("diverged"), settings=DESTROYED)
    trial = start(spec)
    assert finish(trial)[-1]["state"] == "FAIL"
    trial.save_checkpoint(str(tmp_path))
    assert Store(spec.experiment.store).load_partial(unlearned_key(spec)) is None


def test_a_diverged_trial_diverges_again_in_another_process(
    short: TrialSpec, start: Callable, tmp_path: Path, another_store: Callable[[str], Experiment]
) -> None:
    spec = replace(short, experiment=another_store("again"), settings=DESTROYED)
    trial = start(spec)
    finish(trial)
    trial.save_checkpoint(str(tmp_path))
    report = finish(start(spec))[-1]
    assert report["state"] == "FAIL" and "Diverged" in report["cause"]
    assert Store(spec.experiment.store).find(unlearned_key(spec)) is None


def test_a_trial_that_begins_anew_finds_its_finished_stages(short: TrialSpec, start: Callable) -> None:
    first = finish(start(short))
    second = finish(start(short))
    assert all(r["stage"]["found"] for r in second)
    assert second[-1]["figures"] == first[-1]["figures"]
    assert Pipeline(short).unlearned == second[-1]["figures"]["unlearned_model"]


def test_what_is_imported_is_collected_once_and_the_last_trials_models_each_time(
    short: TrialSpec, start: Callable
) -> None:
    trial = start(short)
    assert gc.get_freeze_count() > 2 * len(gc.get_objects()), "torch, diffusers and Ray are looked at no more"
    finish(trial)
    gone = weakref.ref(trial.pipeline)
    assert trial.reset(config(short))
    assert gone() is None
