"""Questions of other shapes than the shipped ones: without a constraint, with two bounds on one metric, with options of every type.

Each is swept for real, then read by every command, and gone on with.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import recorded_run

from sweep import compact, launch, pareto, query, records, repair, report
from sweep.reading.sweep import read_sweep
from sweep.records.folder import write_json

SMALL = "--in-process --trials 2 --base-steps 2 --samples-forgotten 4 --samples-per-retained 2 --sampling-steps 2 --confirm-seeds 1"
HEAD = """
from sweep.space import Arm, Attack, Choice, Constraint, Float, Int, Objective, SearchSpace
FINE_TUNING = (Float("learning_rate", 1e-4, 1e-3, log=True), Int("steps", 2, 6, log=True))
ATTACKS = (Attack("dimra-retain", "dimra", {"auxiliary": "retain", "batch": 8}),)
SPACE = SearchSpace(name="shape", question="?", search_attacks=ATTACKS, confirm_attacks=ATTACKS, rungs=(0, 1),
"""
ROBUST, CHEAP = 'Objective("robustness", "maximise")', 'Objective("fid_delta", "minimise")'
SHAPES = {
    "no constraint": f"""
    arms=(Arm("dimum", "dimum", FINE_TUNING),),
    objectives=({ROBUST}, Objective("retain_accuracy", "maximise")), constraints=())""",
    "two bounds on one metric": f"""
    arms=(Arm("dimum", "dimum", FINE_TUNING),),
    objectives=({ROBUST}, {CHEAP}),
    constraints=(Constraint("fid_delta", at_most="fid_budget"), Constraint("fid_delta", at_least=-1e6)))""",
    "None among the options of an attack": """
    arms=(Arm("dimra", "dimum", (Float("learning_rate", 1e-4, 1e-2, log=True), Choice("label_dropout", (None, 0.0, 0.5)),
        Choice("batch", (4, 8))), attack="dimra", held={"steps": 3}),),
    objectives=(Objective("attacked_relearning_accuracy", "maximise"), Objective("attacked_fid_delta", "minimise")),
    constraints=(Constraint("attacked_fid_delta", at_most=1e6),))""",
    "one objective that nothing bounds": """
    arms=(Arm("dimum", "dimum", FINE_TUNING),),
    objectives=Objective("kid", "minimise"), constraints=Constraint("retain_accuracy", at_least=0.0))""",
    "three objectives": f"""
    arms=(Arm("dimum", "dimum", FINE_TUNING),),
    objectives=({ROBUST}, {CHEAP}, Objective("recall", "maximise")),
    constraints=(Constraint("fid_delta", at_most="fid_budget"), Constraint("precision", at_least=0.0)))""",
}  # fmt: skip
BUDGETED = ("two bounds on one metric", "three objectives")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, lend_classifier: Callable[[Path], None]) -> Path:
    """One artifact store for all of them: what they share is made once."""
    folder = tmp_path_factory.mktemp("artifacts")
    lend_classifier(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_swept_read_by_every_command_and_gone_on_with(
    shape: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    question, run = tmp_path / "shape.py", tmp_path / "run"
    question.write_text(HEAD + SHAPES[shape])
    where = ["--run-dir", str(run), "--artifacts", str(store), "--fid-budget", "1000000"]
    assert launch.main(["--space", str(question), *SMALL.split(), *where]) == 0
    told = capsys.readouterr().out
    assert "winner  none" not in told
    prepared = records.read_json(run / "prepared.json")
    assert ("fid_budget" in prepared) == ("= given; auto would be" in told) == (shape in BUDGETED), (
        "where it is asked for"
    )
    assert prepared["samples_retained"] == 2 * 9, "two of each retained digit"
    trials = [t for t in records.rows(run, "trials") if t["arm"] != "control"]
    assert len(trials) == 2 and all(t["state"] == "COMPLETE" and t["feasible"] for t in trials)
    confirmed = [r for r in records.rows(run, "replicates") if r["replicate"] and r["arm"] != "control"]
    assert confirmed and all(r["state"] == "COMPLETE" for r in confirmed)
    (front,) = [a.front for a in read_sweep(run).arms.values()]
    assert front and all(m.confirmed and m.feasible for m in front)

    for reader, arguments in (
        (pareto, ["--format", "csv"]),
        (pareto, ["--format", "json"]),
        (pareto, ["--format", "markdown"]),
        (report, ["-o", str(tmp_path / "again.html")]),
        (query, ["SELECT * FROM trials", "--format", "json"]),
        (repair, []),
        (compact, []),
    ):
        assert reader.main([str(run), *arguments]) == 0, (reader, capsys.readouterr())
        told = capsys.readouterr().out
        if "json" in arguments:
            assert json.loads(told)
    if shape not in BUDGETED:  # earlier versions measured it all the same
        write_json(run / "prepared.json", prepared | {"fid_budget": 1.5, "fid_budget_rule": "unasked"})
        assert pareto.main([str(run)]) == 0
        assert "unasked" not in capsys.readouterr().out
    before = records.rows(run, "trials")
    assert launch.main(["--resume", str(run), "--in-process"]) == 0
    assert records.rows(run, "trials") == before


def test_a_run_whose_files_hold_a_column_twice_is_read_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As an early version wrote it where one metric had two bounds: no reader opened it again."""
    run = recorded_run.write_run(tmp_path / "run")
    told = {}
    for state in ("as it should be", "twice"):
        assert pareto.main([str(run), "--format", "json"]) == 0
        told[state] = json.loads(capsys.readouterr().out)
        if state == "as it should be":
            for file in (run / "records" / "trials").glob("*.parquet"):
                _write_twice(file, "excess_fid_delta")
    assert told["twice"] == told["as it should be"]
    for reader, arguments in ((report, []), (query, ["SELECT * FROM trials"]), (compact, []), (pareto, [])):
        assert reader.main([str(run), *arguments]) == 0
    assert records.read(run, "trials", trials=["dimum-0001"]).num_rows == 1


def _write_twice(file: Path, name: str) -> None:
    """The same file with the column `name` twice."""
    table = pq.read_table(file)
    at = table.column_names.index(name) + 1
    fields = list(table.schema)
    schema = pa.schema([*fields[:at], fields[at - 1], *fields[at:]], metadata=table.schema.metadata)
    pq.write_table(pa.Table.from_arrays([*table.columns[:at], table[name], *table.columns[at:]], schema=schema), file)
