"""Kept sweeps are read as any run is, name no folder of where they were made, and are never half there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # benchmarks is no installed package
sys.path.insert(0, str(Path(__file__).parents[1] / "sweep"))
import recorded_run

from benchmarks import at_length
from benchmarks.at_length import Recording, is_finished, keep, tables
from sweep.errors import UsageError
from sweep.reading.sweep import read_sweep
from sweep.records import TABLES, read_json, rows
from sweep.records.folder import write_json

ROOT = Path(__file__).parents[2]
RECORDING = Recording("recorded", "dimum_robustness", ("--forget", "3"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run recorded by hand, with the folders that a plan names."""
    folder = recorded_run.write_run(tmp_path / "made" / "run", artifacts=False)
    named = {"run_dir": str(folder), "artifacts": str(tmp_path / "made" / "artifacts")}
    write_json(folder / "plan.json", read_json(folder / "plan.json") | {"plan": named})
    (folder.parent / "run.commit").write_text("abc1234")
    return folder


def test_a_kept_sweep_has_the_tables_and_the_answer_of_its_run_and_none_of_its_paths(run: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    keep(RECORDING, run, kept)
    folder = kept / "recorded"
    for table in TABLES:
        assert rows(folder, table) == rows(run, table)
    assert [m.trial_id for m in read_sweep(folder).members] == [m.trial_id for m in read_sweep(run).members]
    for name in ("plan.json", "prepared.json", "recording.json", "front.md"):
        assert str(tmp_path) not in (folder / name).read_text(), name
    made_by = read_json(folder / "recording.json")
    assert made_by["core_s"] == round(sum(s["core_s"] for s in rows(run, "stages") if not s["found"])) > 0
    assert made_by["commit"] == "abc1234", "of the code that began it"
    assert made_by["flags"][:4] == ["--space", "dimum_robustness", "--forget", "3"]
    assert "dimum-0001" in (folder / "front.md").read_text()
    assert [path.name for path in kept.iterdir()] == ["recorded"]


def test_the_table_has_each_arms_best_confirmed_member_and_the_controls(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Recording("not kept", "dimum_robustness")
    monkeypatch.setattr(at_length, "RECORDINGS", (RECORDING, other))
    keep(RECORDING, run, tmp_path / "kept")
    text = "\n".join(tables(tmp_path / "kept"))
    rows_of = {
        arm: [line for line in text.splitlines() if line.startswith(f"| {arm} |")]
        for arm in ("dimum", "label_swap", "control")
    }
    first, *others = rows_of["dimum"]
    assert "| dimum-0001 |" in first and "0.88 [" in first and "| 3 | 4 of 7 |" in first
    assert [line.split(" | ")[1] for line in others] == ["dimum-0000"], "the rest of the confirmed front"
    assert "| label_swap-0000 |" in rows_of["label_swap"][0]  # 0001 is past the budget on fresh seeds
    assert any("control-retrain" in line for line in rows_of["control"])
    assert "fid_budget 4.00" in text and "not kept" not in text


def test_of_a_sweep_with_trials_enough_the_table_says_what_parameters_do_and_of_others_nothing(run: Path) -> None:
    kept = read_sweep(at_length.KEPT / "dimum_robustness-digits-8")
    lines = list(at_length.dependence_table(kept))
    assert [line.partition(", ")[0] for line in lines if line.startswith("| dimum")] == [
        "| dimum | fid_delta",
        "| dimum | feasible",
    ], "24 were attacked, too few to tell of robustness"
    assert any("108 | replacement, trained_parameters" in line and line.endswith("| nothing shown |") for line in lines)
    assert list(at_length.dependence_table(read_sweep(run))) == []


def test_a_sweep_that_was_stopped_is_told_from_one_that_ended_which_takes_its_place(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at_length, "RECORDINGS", (RECORDING,))
    ended = read_json(run / "status.json")
    write_json(run / "status.json", ended | {"state": "interrupted"})
    kept = tmp_path / "kept"
    keep(RECORDING, run, kept)
    assert not is_finished(kept / "recorded") and "**stopped before its end**" in "\n".join(tables(kept))
    write_json(run / "status.json", ended)
    keep(RECORDING, run, kept)
    assert is_finished(kept / "recorded") and "stopped" not in "\n".join(tables(kept))


def test_a_run_that_could_not_be_read_leaves_nothing_kept(run: Path, tmp_path: Path) -> None:
    (run / "plan.json").unlink()
    with pytest.raises(UsageError, match=r"plan\.json"):
        keep(RECORDING, run, tmp_path / "kept")
    assert not (tmp_path / "kept" / "recorded").exists()


def test_a_sweep_that_other_code_began_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_length, "RUNS", tmp_path)
    (tmp_path / "recorded").mkdir()
    write_json(tmp_path / "recorded" / "plan.json", {})
    (tmp_path / "recorded.commit").write_text("abc1234")
    with pytest.raises(UsageError, match="was begun by abc1234"):
        at_length.run(RECORDING)
    (tmp_path / "recorded.commit").unlink()
    with pytest.raises(UsageError, match="nobody knows which code began it"):
        at_length.run(RECORDING)


def test_a_sweep_that_fails_ends_the_recording_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with pytest.raises(UsageError, match=r"^missing: the sweep ended with exit code 2"):
        at_length.run(Recording("missing", "no_such_space"))


@pytest.mark.parametrize("recording", at_length.RECORDINGS, ids=lambda recording: recording.name)
def test_every_command_is_one_that_launch_takes(recording: Recording) -> None:
    from sweep.launch import parser
    from sweep.plan.asked import plan_of, procedure_of
    from sweep.plan.checks import validate

    flags = recording.begin()
    known = parser(procedure_of(flags))
    plan = plan_of(known.parse_args(flags), known, lambda *_: None)
    assert validate(plan).name == recording.space
