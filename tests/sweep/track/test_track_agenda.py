"""A track's agenda driven by hand: what becomes of a replicate whose figures are no numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from agenda_by_hand import report, stage

from sweep import records
from sweep.records import COMPLETE, FAIL
from sweep.track.__main__ import parser, plan_of
from sweep.track.agenda import TrackAgenda
from trainables.relearning.experiment import Experiment

GOOD = {"robustness": 0.9, "unlearning_accuracy": 1.0, "fid_delta": 1.0}


def agenda_in(folder: Path) -> TrackAgenda:
    asked = "--methods dimum --attacks dimra-retain-1e-3 --forget 3 --seeds 1 --steps 3"
    args = parser().parse_args([*asked.split(), "--run-dir", str(folder / "run"), "--artifacts", str(folder / "store")])
    return TrackAgenda(plan_of(args), {"3": Experiment(store=str(folder / "store"), forget="3")})


def ended(folder: Path, name: str, **figures: Any) -> dict[str, Any]:
    """The recorded row of the replicate that reported these figures."""
    agenda = agenda_in(folder)
    while job := agenda.next_job():
        if job.name == name:
            agenda.take(name, report(COMPLETE, **figures))
    (row,) = records.rows(agenda.run_dir, "replicates", name)
    return row


@pytest.mark.parametrize("name", ["dimum-forget-3-r1", "control-base-forget-3-r1"])
@pytest.mark.parametrize("metric", ["robustness", "fid_delta"])
def test_a_figure_that_is_no_number_is_a_failure_with_its_cause(tmp_path: Path, name: str, metric: str) -> None:
    row = ended(tmp_path, name, **GOOD | {metric: math.nan})
    assert (row["state"], row["cause"]) == (FAIL, f"{metric} is nan, not finite, and the leaderboard asks for it")


def test_a_method_needs_what_lines_are_ranked_by_and_a_control_does_not(tmp_path: Path) -> None:
    row = ended(tmp_path / "method", "dimum-forget-3-r1", fid_delta=1.0)
    assert row["state"] == FAIL and row["cause"].startswith("robustness is missing")
    assert ended(tmp_path / "control", "control-base-forget-3-r1", fid_delta=1.0)["state"] == COMPLETE
    assert ended(tmp_path / "good", "dimum-forget-3-r1", **GOOD)["state"] == COMPLETE


def test_what_an_earlier_driver_made_is_not_forgotten(tmp_path: Path) -> None:
    first, name = agenda_in(tmp_path), "control-base-forget-3-r1"
    first.next_job()
    first.take(name, report() | {"stage": stage("score", "a" * 64)})
    again = next(job for job in iter(agenda_in(tmp_path).next_job, None) if job.name == name)
    assert [made["key"] for made in again.stages] == ["a" * 64]
