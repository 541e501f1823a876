"""Confirmed trials as a table: a row each, with the figures that the texts tell."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from recorded_run import without_attacks, write_run

from sweep import query
from sweep.reading.confirmed import confirmed_table
from sweep.reading.sweep import read_sweep
from sweep.records import NothingRecorded
from sweep.results import load


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("confirmed") / "run"
    write_run(folder)
    return folder


def test_a_row_says_of_a_trial_what_its_reader_is_told(run: Path) -> None:
    sweep, rows = read_sweep(run), {r["trial_id"]: r for r in load(run).confirmed.to_pylist()}
    trials = [t for arm in sweep.arms.values() for t in arm.confirmed_members]
    controls = [c for c in sweep.controls.values() if c.confirmed]
    assert set(rows) == {t.trial_id for t in (*trials, *controls)} and len(trials) >= 3
    for trial in trials:
        row, found = rows[trial.trial_id], trial.confirmed
        assert found is not None and (row["feasible"], row["on_front"]) == (trial.feasible, trial.on_front)
        assert row["seeds"] == len(sweep.seeds(trial.trial_id)) == 3
        for name, estimate in found.items():
            assert (row[name], row[f"{name}_lower"], row[f"{name}_upper"]) == (
                estimate.mean, estimate.lower, estimate.upper
            )  # fmt: skip
        assert {name: row[f"within_{name}"] for name in trial.within} == trial.within
    assert all(rows[c.trial_id]["feasible"] is None for c in controls)


def test_columns_say_what_they_are(run: Path) -> None:
    table = load(run).confirmed
    told = table.schema.field("robustness").metadata
    assert told[b"description"].startswith(b"mean over the seeds: 1 - max AURC@K") and told[b"direction"] == b"maximise"
    assert b"lower end of its 95 % interval" in table.schema.field("robustness_lower").metadata[b"description"]
    assert "forgotten_top_class" not in table.column_names, "a class has no mean"


def test_every_figure_says_on_how_many_seeds_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", artifacts=False)
    without_attacks(run, "dimum-0000")
    without_attacks(run, "dimum-0001", 3)
    sql = "SELECT trial_id, seeds, robustness_seeds, fid_delta_seeds, robustness FROM confirmed WHERE arm = 'dimum'"
    assert query.main([str(run), sql, "--format", "json"]) == 0
    rows = {r["trial_id"]: r for r in json.loads(capsys.readouterr().out)}
    seeds = {t: (r["seeds"], r["robustness_seeds"], r["fid_delta_seeds"]) for t, r in rows.items()}
    assert seeds == {"dimum-0000": (3, None, 3), "dimum-0001": (3, 2, 3), "dimum-0006": (3, 3, 3)}
    assert rows["dimum-0000"]["robustness"] is None


def test_it_is_asked_by_sql_and_exported(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "SELECT trial_id, robustness FROM confirmed WHERE feasible ORDER BY robustness DESC LIMIT 1"
    assert query.main([str(run), sql, "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["trial_id"] == "dimum-0001" and row["robustness"] == pytest.approx(0.88)
    assert query.main([str(run), "--schema"]) == 0
    assert "within_fid_delta" in capsys.readouterr().out
    assert query.main([str(run), "--export", str(tmp_path / "out"), "--format", "parquet"]) == 0
    assert pq.read_table(tmp_path / "out" / "confirmed.parquet").num_rows == load(run).confirmed.num_rows
    assert load([run]).confirmed.column_names[0] == "run"


def test_where_nothing_is_confirmed_there_is_no_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    write_run(run)
    for file in (run / "records" / "replicates").glob("*.parquet"):
        rows = pq.read_table(file)
        pq.write_table(rows.filter([r == 0 for r in rows["replicate"].to_pylist()]), file)
    with pytest.raises(NothingRecorded, match="nothing is confirmed yet"):
        confirmed_table(read_sweep(run))
    assert query.main([str(run), "SELECT * FROM confirmed"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert query.main([str(run), "--schema"]) == 0
    assert "confirmed" not in {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.split()}
