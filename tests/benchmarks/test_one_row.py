"""A row that is run again has its own settings and nobody else's, and is held beside what was kept."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # benchmarks is no installed package
sys.path.insert(0, str(Path(__file__).parents[1] / "sweep"))
import recorded_run

from benchmarks import one_row
from benchmarks.at_length import KEPT, RECORDINGS, Recording
from sweep.errors import UsageError
from sweep.launch import parser
from sweep.plan.asked import procedure_of
from sweep.reading.sweep import read_sweep
from sweep.reading.trial import Trial
from sweep.records import TABLES
from sweep.records.folder import write_json
from sweep.space import find
from sweep.statistics.estimates import Estimate

NAMES = {recording.name: recording for recording in RECORDINGS}
KEPT_ONES = [name for name in NAMES if (KEPT / name).is_dir()]


def pins(flags: list[str]) -> dict[str, str]:
    return dict(value.split("=", 1) for flag, value in itertools.pairwise(flags) if flag == "--fix")


def confirmed(name: str) -> list[Trial]:
    return [trial for trial in read_sweep(KEPT / name).members if trial.confirmed]


@pytest.mark.parametrize("name", KEPT_ONES)
def test_every_confirmed_row_is_a_question_of_one_trial_with_its_settings(name: str) -> None:
    trials = confirmed(name)
    assert trials
    for trial in trials:
        flags = one_row.flags_of(NAMES[name], trial, seed=7)
        options = parser(procedure_of(flags)).parse_args(flags)
        assert (options.seed, options.trials) == (7, 1)
        space = find.load(NAMES[name].space).fix(pins(flags))
        arm = space.arm(trial.arm)
        assert arm.check(dict(trial.parameters)) == trial.parameters
        assert {p.name for p in arm.walk()} <= set(pins(flags)), "nothing is left to choose"
        own = [arm for arm in space.arms if not arm.baseline]
        assert own and len(space.arms) == (2 if arm.baseline else 1)


def test_a_setting_that_the_recording_held_is_held_once() -> None:
    recording = Recording("held", "vflgan_quality", ("--data", "wine", "--fix", "batch=64"))
    (trial, *_) = confirmed("vflgan_quality-digits")
    flags = one_row.flags_of(recording, trial, seed=0)
    assert [flag for flag in flags if flag.startswith("batch=")] == [f"batch={trial.parameters['batch']}"]
    assert flags[2:4] == ["--data", "wine"]


@pytest.mark.parametrize(
    ("now", "within", "overlap"),
    [
        (Estimate(0.9, 0.8, 1.0, 2), "yes", "yes"),
        (Estimate(0.6, 0.45, 0.85, 2), "no", "yes"),
        (Estimate(0.3, 0.2, 0.4, 2), "no", "no"),
        (Estimate(0.9, None, None, 1), "yes", "—"),
    ],
)
def test_the_new_mean_is_held_beside_the_kept_interval(now: Estimate, within: str, overlap: str) -> None:
    was = Estimate(0.9, 0.8, 0.95, 3)
    assert (one_row.within(was, now), one_row.overlap(was, now)) == (within, overlap)


def test_without_an_interval_nothing_is_within() -> None:
    assert one_row.within(Estimate(0.9, None, None, 1), Estimate(0.9, 0.8, 1.0, 3)) == "—"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere", "dimum-0000"], "nowhere: is not kept; choose among"),
        (
            ["dimra_strength-digits-3", "dimum-9999"],
            "dimum-9999: is no confirmed trial of dimra_strength-digits-3; choose among",
        ),
    ],
)
def test_what_is_not_kept_is_refused_in_one_line(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["one_row", *words])
    with pytest.raises(SystemExit) as refused:
        one_row.main()
    assert refused.value.code == 2 and said in capsys.readouterr().err


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of one row that has ended: a recorded run of one trial, in the folder that the row's command names."""
    run = recorded_run.write_run(tmp_path / "row-dimum-0001-seed5", artifacts=False)
    others = [t for t in read_sweep(run).members if t.trial_id != "dimum-0001"]
    for table in TABLES:
        for other in others:
            for file in (run / "records" / table).glob(f"{other.trial_id}*.parquet"):
                file.unlink()
    monkeypatch.setattr(one_row, "RUNS", tmp_path)
    return run


def test_a_row_that_has_been_run_is_printed_again_beside_the_kept_one_and_not_run(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = recorded_run.write_run(finished.parent / "kept" / "row", artifacts=False)
    write_json(kept / "recording.json", {"commit": "abc1234"})
    monkeypatch.setattr(one_row, "KEPT", kept.parent)
    monkeypatch.setattr(one_row, "RECORDINGS", (Recording("row", "dimum_robustness"),))
    monkeypatch.setattr(sys, "argv", ["one_row", "row", "dimum-0001", "--seed", "5"])
    with pytest.raises(UsageError, match="nobody knows which code began it"):
        one_row.main()
    finished.with_name(f"{finished.name}.commit").write_text("def5678")
    assert one_row.main() == 0
    said = capsys.readouterr().out
    assert "recorded by abc1234; again by def5678" in said and "| robustness | 0.88 [" in said
    row = next(line for line in said.splitlines() if line.startswith("| robustness |"))
    assert row.endswith("| yes | yes |"), "the same figures"


def test_a_row_that_other_code_began_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_row, "RUNS", tmp_path)
    (tmp_path / "row").mkdir()
    (tmp_path / "row" / "plan.json").write_text("{}")
    (tmp_path / "row.commit").write_text("def5678")
    with pytest.raises(UsageError, match=r"was begun by def5678, and this is .*; remove it to run anew"):
        one_row.run(tmp_path / "row", [], dry_run=False)


def test_a_trial_that_was_not_confirmed_is_no_row_and_says_why(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = read_sweep(finished)
    (trial,) = kept.arms["dimum"].members
    for file in (finished / "records" / "replicates").glob("dimum-0001-r*.parquet"):
        if not file.stem.endswith("-r0"):
            file.unlink()
    assert one_row.print_row("row", kept, trial, finished) == 1
    assert "its trial dimum-0001 was not confirmed: COMPLETE" in capsys.readouterr().err
