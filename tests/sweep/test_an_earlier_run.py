"""A run of an earlier version, as it was recorded then, opens with every reading command and says the same figures.

``tests/data/run_of_27ff86b`` is a finished sweep of commit 27ff86b, whose tables are of schema 2: four trials of DiMUM, two of
label swap, both controls, two confirm seeds. Its ``figures.csv`` is what that commit's ``sweep.pareto --format csv`` printed,
without the intervals.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sweep import compact, launch, pareto, query, records, repair, report, results
from sweep.relearning import targets
from sweep.space import find
from sweep.track.plan import from_sweep

EARLIER = Path(__file__).parents[1] / "data" / "run_of_27ff86b"

# The one thing that changed on purpose: of two fresh seeds a trial's probabilities are by the other trials' seeds too.
MODERATED = {
    "dimum-0000": {"within_fid_delta": "0.9422773879061357"},
    "dimum-0001": {"within_fid_delta": "0.9648006177539589", "within_unlearning_accuracy": "0.8071889959274532"},
    "dimum-0002": {"within_fid_delta": "0.9633916861728884", "within_unlearning_accuracy": "0.02579150751831416"},
    "label_swap-0000": {"within_fid_delta": "0.7712380511772949"},
    "label_swap-0001": {"within_fid_delta": "0.9538976630135341"},
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EARLIER, tmp_path / "run", ignore=shutil.ignore_patterns("figures.csv")))


def test_its_tables_are_of_an_earlier_schema() -> None:
    for table in records.TABLES:
        (file,) = (EARLIER / "records" / table).glob("*.parquet")
        assert pq.read_schema(file).metadata[b"schema_version"] == b"2"


def test_every_figure_is_what_it_was(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pareto.main([str(run), "--format", "csv"]) == 0
    now = {row["trial_id"]: row for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}
    then = list(csv.DictReader((EARLIER / "figures.csv").open()))
    assert len(then) == len(now) == 8
    for row in then:
        for name, value in (row | MODERATED.get(row["trial_id"], {})).items():
            read = now[row["trial_id"]][name]
            same = read == value or float(read) == pytest.approx(float(value), rel=1e-12, abs=1e-12)
            assert same, (row["trial_id"], name, value, read)


def test_every_reading_command_opens_it(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--format", "json"], ["--format", "markdown"]):
        assert pareto.main([str(run), *arguments]) == 0
    assert "label_swap-0001" in capsys.readouterr().out
    for arguments in ([], ["--png", str(tmp_path / "front.png")], ["--pdf", str(tmp_path / "front.pdf")]):
        assert report.main([str(run), *arguments]) == 0
    assert "dimum-0001" in (run / "report.html").read_text()
    for arguments in (["--schema"], ["--export", str(tmp_path / "tables")]):
        assert query.main([str(run), *arguments]) == 0
    capsys.readouterr()
    assert query.main([str(run), "SELECT trial_id, stopped_by FROM trials", "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 8
    assert compact.main([str(run)]) == 0
    loaded = results.load(str(run))
    assert loaded.trials.num_rows == 8 and loaded.front("label_swap").num_rows == 1


def test_what_stopped_a_trial_and_its_settings_are_read_out_of_what_was_there(run: Path) -> None:
    trials = {row["trial_id"]: row for row in records.rows(run, "trials")}
    assert trials["dimum-0003"]["stopped_by"] == records.GATE and trials["dimum-0000"]["stopped_by"] is None
    settings = records.recorded_settings(trials["dimum-0000"])
    assert settings["replacement_images"] == 8 and settings["replacement"] == "generated"
    arm = find.load("dimum_robustness").arm("dimum")
    assert json.dumps(arm.check(settings), sort_keys=True) == json.dumps(
        settings | {"lambda_ratio": 1.0}, sort_keys=True
    )


def test_the_kind_of_a_stage_is_read_out_of_its_name(run: Path) -> None:
    stages = records.read(run, "stages")
    kinds = {row["stage"]: row["kind"] for row in stages.to_pylist()}
    assert all(kind == name.partition("@")[0] for name, kind in kinds.items())
    assert {"unlearn", "score"} < set(kinds.values()) < set(kinds) | set(kinds.values()), "and rungs of attacks"
    assert b"description" in stages.schema.field("kind").metadata


def test_its_trials_can_be_a_target_and_entries_of_a_track(run: Path) -> None:
    aimed = targets.aimed(find.load("dimra_strength"), f"{run}:dimum-0000")
    assert all(arm.held["replacement_images"] == 8 and type(arm.held["steps"]) is int for arm in aimed.arms)
    assert {entry.method for entry in from_sweep(str(run))} == {"dimum", "label_swap"}


def contents(run: Path) -> dict[str, bytes]:
    """Every file of a run but the lock of its driver."""
    files = (file for file in sorted(run.rglob("*")) if file.is_file() and file.name != ".driver.lock")
    return {file.relative_to(run).as_posix(): file.read_bytes() for file in files}


@pytest.mark.parametrize("named", [[], ["--confirm", "dimum-0002"], ["--confirm", "dimum-0000", "--mlflow"]])
def test_a_resume_that_is_refused_for_its_code_changes_no_byte(
    run: Path, named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(run)
    assert launch.main(["--resume", str(run), "--in-process", *named]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "made by other code or libraries than these; start a new run" in said
    assert contents(run) == before


def test_a_repair_by_other_code_never_takes_an_ended_trial_for_unfinished(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    states = {row["trial_id"]: row["state"] for row in records.rows(run, "trials")}
    (file,) = (run / "records" / "curves").glob("*.parquet")
    damaged = bytearray(file.read_bytes())
    damaged[2000:2004] = b"XXXX"
    file.write_bytes(damaged)
    assert repair.main([str(run)]) == 1
    said = capsys.readouterr().out
    assert "can be read again by the code that made the run" in said and "--resume" not in said
    assert {row["trial_id"]: row["state"] for row in records.rows(run, "trials")} == states
    kept = [file_.read_bytes() for file_ in (run / "damaged").rglob(f"{file.name}.*")]
    assert kept == [bytes(damaged)], "what cannot be read is set aside"
