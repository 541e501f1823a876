"""A sweep over what is no class: every phase runs for an attribute's condition vectors and for single images."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep import launch, records

QUESTIONS = Path(__file__).parents[1] / "questions"
SMALL = "--in-process --trials 1 --baseline-trials 0 --base-steps 10 --samples-forgotten 4 --samples-per-retained 2"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("question", "data", "forget", "figure", "missing"),
    [
        ("tiny.py", "digits_attributes", "attribute:loop", "retain_accuracy", "instance_distance"),
        ("tiny_instances.py", "digits_duplicated", "instances:0,1", "instance_distance", "retain_accuracy"),
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


def test_an_instance_that_is_not_there_is_refused_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--space", str(QUESTIONS / "tiny_instances.py"), "--data", "digits_duplicated", *SMALL.split()]
    where = ["--run-dir", str(tmp_path / "run"), "--artifacts", str(tmp_path / "artifacts")]
    assert launch.main([*asked, *where, "--forget", "instances:99999"]) == 2
    said = capsys.readouterr().err
    assert "--forget" in said and "instance 99999: the training split has images 0 to" in said
    assert not (tmp_path / "run").exists()
