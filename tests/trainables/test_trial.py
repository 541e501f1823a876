"""The Ray Tune Trainable, as the plain object that Tune drives."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from trainables.relearning.experiment import Experiment, TrialSpec
from trainables.relearning.stages.unlearn import unlearned_key
from trainables.relearning.trial import Pipeline
from trainables.store import Store
from trainables.trial import Trial

MakeSpec = Callable[..., TrialSpec]
DESTROYED = {"steps": 4, "batch": 8, "learning_rate": 1e30}


def config(spec: TrialSpec) -> dict[str, str]:
    return {"spec": json.dumps(spec.to_json())}


@pytest.fixture
def short(experiment: Experiment, make_spec: MakeSpec) -> TrialSpec:
    spec = make_spec(experiment, rungs=(0, 2))
    return replace(spec, attacks=spec.attacks[:1])


@pytest.fixture
def start() -> Iterator[Callable[[TrialSpec], Trial]]:
    trials: list[Trial] = []

    def begin(spec: TrialSpec) -> Trial:
        trials.append(Trial(config=config(spec)))
        return trials[-1]

    yield begin
    for trial in trials:
        trial.stop()


def finish(trial: Trial) -> list[dict]:
    results = [trial.train()]
    while not results[-1]["done"]:
        results.append(trial.train())
    return [json.loads(result["report"]) for result in results]


def test_a_trial_steps_until_it_is_done(short: TrialSpec, start: Callable) -> None:
    reports = finish(start(short))
    assert [r["stage"]["stage"] for r in reports] == ["unlearn", "score", "gentle@2"]
    assert reports[-1]["state"] == "COMPLETE"
    assert 0 <= reports[-1]["figures"]["robustness"] <= 1


def test_an_exception_in_a_stage_is_the_trials_recorded_failure(short: TrialSpec, start: Callable) -> None:
    (report,) = finish(start(replace(short, settings=DESTROYED)))
    assert report["state"] == "FAIL"
    assert "Diverged" in report["cause"] and "fine_tuning.py" in report["cause"]
    assert report["figures"] == {}


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
