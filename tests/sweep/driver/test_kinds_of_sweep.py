"""A sweep over what is no class: every phase runs for an attribute's condition vectors and for single images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import recorded_run

from sweep import launch, records
from sweep.relearning import targets
from sweep.space import find

QUESTIONS = Path(__file__).parents[2] / "questions"
SMALL = (
    "--in-process --trials 1 --baseline-trials 0 --base-steps 10 --samples-forgotten 4 --samples-per-retained 2 "
    "--sampling-steps 2"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("question", "data", "forget", "figure", "missing"),
    [
        ("tiny.py", "digits_attributes", "attribute:loop", "retain_accuracy", "instance_distance"),
        pytest.param(
            *("tiny_instances.py", "digits_duplicated", "instances:0,1", "instance_distance", "retain_accuracy"),
            marks=pytest.mark.long,  # a minute; of what differs each stage has tests of its own
        ),
    ],
)
def test_it_runs_from_end_to_end(
    question: str, data: str, forget: str, figure: str, missing: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    asked = ["--space", str(QUESTIONS / question), "--data", data, "--forget", forget, *SMALL.split()]
    where = ["--run-dir", str(run), "--artifacts", str(tmp_path / "artifacts"), "--confirm-seeds", "1"]
    assert launch.main([*asked, *where, "--fid-budget", "1000000", "--shadow-models", "1"]) == 0
    (trial,) = [t for t in records.rows(run, "trials") if t["method"] != "none"]
    assert trial["state"] == "COMPLETE" and trial[figure] is not None and trial[missing] is None
    assert 0 <= trial["membership_auc"] <= 1
    assert {r["phase"] for r in records.rows(run, "replicates")} == {"search", "confirm"}
    assert (run / "report.html").exists()


@pytest.mark.slow
def test_a_search_of_the_attack_holds_the_defence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lend_classifier: Callable[[Path], None]
) -> None:
    lend_classifier(tmp_path / "artifacts")
    run, artifacts = tmp_path / "run", ["--artifacts", str(tmp_path / "artifacts")]
    asked = ["--space", str(QUESTIONS / "tiny_attack.py"), "--fid-budget", "1000000", "--confirm-seeds", "1"]
    small = SMALL.replace("--trials 1", "--trials 3").split()
    assert launch.main([*asked, *small, *artifacts, "--run-dir", str(run)]) == 0
    trials = [t for t in records.rows(run, "trials") if t["method"] != "none"]
    assert len(trials) == 3 and {t["state"] for t in trials} == {"COMPLETE"}
    assert len({(t["param_learning_rate"], t["param_stop_after"]) for t in trials}) == 3
    searched = [r for r in records.rows(run, "replicates") if r["phase"] == "search" and r["arm"] != "control"]
    assert len({r["unlearned_model"] for r in searched}) == 1 and len({r["unlearning_accuracy"] for r in searched}) == 1
    for trial in trials:
        rows = [c for c in records.rows(run, "curves", f"{trial['trial_id']}-r0") if c["attack"] == "dimra"]
        (last,) = [c["value"] for c in rows if (c["metric"], c["attack_step"]) == ("relearning_accuracy", 3)]
        (fid,) = [c["value"] for c in rows if (c["metric"], c["attack_step"]) == ("fid", 3)]
        assert trial["attacked_relearning_accuracy"] == last
        assert trial["attacked_fid_delta"] == pytest.approx(fid - trial["fid_base"])
    capsys.readouterr()
    other = [*asked, *small, *artifacts, "--run-dir", str(tmp_path / "other"), "--dry-run"]
    assert launch.main([*other, "--target", f"{run}:{trials[0]['trial_id']}"]) == 2
    assert "are attacks; name a trial of a sweep of methods" in capsys.readouterr().err


def test_a_trial_of_another_sweep_can_be_the_target(tmp_path: Path) -> None:
    run = recorded_run.write_run(tmp_path / "run")
    space = targets.aimed(find.load("dimra_strength"), f"{run}:dimum-0001")
    (row,) = records.rows(run, "trials", "dimum-0001")
    for arm in space.arms:
        assert arm.method == "dimum" and arm.held == {
            k.removeprefix("param_"): v for k, v in row.items() if k.startswith("param_") and v is not None
        }
    assert space.fingerprint() != find.load("dimra_strength").fingerprint()


@pytest.mark.parametrize(("question", "preset", "trials"), [
    ("concept_resurgence", "", 8),  # of six models' arms one is left
    ("concept_resurgence", "smoke", 1),
    ("dimra_strength", "", 32),  # both arms attack the same model, whichever it is
])  # fmt: skip
def test_one_target_gets_no_more_trials_than_each_of_several(question: str, preset: str, trials: int) -> None:
    space = find.load(question).preset(preset)
    aimed = targets.aimed(space, "uce")
    assert aimed.trials == trials
    assert aimed.trials * len(space.arms) == space.trials * len(aimed.arms)
    assert targets.aimed(space, "") == space


def test_a_target_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for target, said in {
        "dimumm": "--target dimumm: unknown; did you mean 'dimum'",
        "nowhere:dimum-0000": "nowhere: does not exist",
    }.items():
        assert launch.main(["--space", "dimra_strength", "--target", target, "--dry-run"]) == 2
        assert said in capsys.readouterr().err
    assert launch.main(["--space", "dimum_robustness", "--target", "esd", "--dry-run"]) == 2
    assert "searches methods, not attacks" in capsys.readouterr().err


def test_an_instance_that_is_not_there_is_refused_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--space", str(QUESTIONS / "tiny_instances.py"), "--data", "digits_duplicated", *SMALL.split()]
    where = ["--run-dir", str(tmp_path / "run"), "--artifacts", str(tmp_path / "artifacts")]
    assert launch.main([*asked, *where, "--forget", "instances:99999"]) == 2
    said = capsys.readouterr().err
    assert "--forget" in said and "instance 99999: the training split has images 0 to" in said
    assert not (tmp_path / "run").exists()
