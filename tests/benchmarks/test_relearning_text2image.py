"""Cells go through the stages of every trial and are kept as rows, of one kind of settings and code alone; tables are of rows."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "trainables"))  # where experiments of a few steps are
sys.path.insert(0, str(Path(__file__).parents[2]))  # benchmarks is no installed package
import text_experiments

from benchmarks import relearning_text2image as benchmark
from benchmarks.code_version import last_commit
from benchmarks.relearning_rows import Record, Row, read, tables
from sweep.errors import UsageError
from sweep.records.names import RETRAIN
from trainables.relearning.experiment import Samples

SETTINGS = {"sampler": "ddim-10-cfg5", "judge": "classifier", "samples": {"forgotten": 100}, "rungs": [0, 1, 2]}
METHODS = {"meta(uce)": {"ridge": 0.5}, "uce": {"ridge": 0.5}, "tuned(uce)": {"ridge": 0.5}}
ATTACKS = {"malicious": {"learning_rate": 1e-3}, "benign": {"learning_rate": 1e-3}}


def row(method: str, seed: int, *relearned: float, attack: str = "malicious", **more: object) -> Row:
    kept = {"retain_accuracy": (1.0, 0.5), "fid": (20.0, 40.0)}
    known = Row(
        "concept:three",
        method,
        attack,
        seed,
        relearned,
        kept,
        {"forgotten": 100, "retained": 270},
        base="b0",
        commit="c0",
    )
    return replace(known, **more)  # type: ignore[arg-type]


def record(path: Path, *rows: Row) -> Record:
    made = Record(path / "rows.json", SETTINGS, METHODS, ATTACKS)
    made.add(rows)
    return made


def cells_of(table: list[str], method: str) -> list[str]:
    return next(line for line in table if line.startswith(f"| {method} |")).strip("| ").split(" | ")


def test_a_table_has_what_came_back_its_excess_over_the_control_and_what_meta_changes(tmp_path: Path) -> None:
    rows = [row(RETRAIN, seed, 0.1, 0.2, 0.4) for seed in (1, 2, 3)]
    rows += [row("uce", seed, 0.0, 0.5, 0.9) for seed in (1, 2, 3)]
    rows += [row("meta(uce)", 1, 0.0, 0.1, 0.6), row("meta(uce)", 2, 0.0, 0.1, 0.6)]
    rows += [row("tuned(uce)", 1, 0.0, 0.0, 0.4), row("tuned(uce)", 2, 0.0, 0.0, 0.4)]
    rows.append(row("uce", 1, 0.0, 0.0, 0.1, attack="benign"))
    lines = list(tables(record(tmp_path, *rows)))
    assert lines[0] == "## concept:three" and "Trainings of θ₀: 1;" in lines[2] and "N = 100" in lines[2]
    came_back = cells_of(lines, "uce")
    assert came_back[1] == "3" and came_back[2].startswith("0.000 [0.000, 0.01")  # no narrower than 300 samples allow
    malicious, excess, benign, beyond = ([one.split() for one in rungs.split(" / ")] for rungs in came_back[3:])
    assert [float(rung[0]) for rung in malicious] == [0.5, 0.9] and [float(rung[0]) for rung in excess] == [0.3, 0.5]
    assert excess[1][1] == "[0.44," and [rung[0] for rung in benign] == ["0.000", "0.100"] and beyond == [["—"]]
    assert came_back[5].endswith("(1 of 3 seeds)")
    assert cells_of(lines, "θ*")[4] == "—" and cells_of(lines, "meta(uce)")[1] == "2"
    stayed = lines[lines.index(next(line for line in lines if line.startswith("What was to stay"))) :]
    assert cells_of(stayed, "uce") == ["uce", "1.000 / 20.0", "0.500 / 40.0", "0.500 / 40.0"]
    changed = lines[lines.index(next(line for line in lines if line.startswith("What Meta-Unlearning"))) :]
    changes = [float(rung.split()[0]) for rung in cells_of(changed, "meta(uce) − uce")[2].split(" / ")]
    assert changes == [-0.4, -0.3] and cells_of(changed, "meta(uce) − uce")[3] == "—"
    beside = [float(rung.split()[0]) for rung in cells_of(changed, "meta(uce) − tuned(uce)")[2].split(" / ")]
    assert beside == [0.1, 0.2]


def test_a_cell_that_failed_has_its_cause_and_is_run_again(tmp_path: Path) -> None:
    made = record(tmp_path, row("uce", 1, 0.0, 0.5, 0.9), row("uce", 2, cause="it | diverged", kept={}, samples={}))
    assert made.done == {("concept:three", "uce", "malicious", 1)}
    assert "Failed: uce, malicious, seed 2: it \\| diverged." in "\n".join(tables(made))
    made.add([row("uce", 2, 0.0, 0.5, 0.9)])
    assert len(made.rows) == len(made.done) == 2 and "Failed" not in "\n".join(tables(made))


def test_a_file_is_a_line_a_row_and_says_what_it_was_recorded_by(tmp_path: Path) -> None:
    made = record(tmp_path, row("uce", 2, 0.0, 0.5, 0.9), row("uce", 1, 0.0, 0.5, 0.8, cause=""))
    assert read(made.path) == made and [one.seed for one in made.rows] == [1, 2]
    assert sum("concept:three" in line for line in made.path.read_text().splitlines()) == 2
    more = made.going_on(SETTINGS, METHODS, ATTACKS | {"dimra": {"learning_rate": 1e-3}})
    assert list(more.attacks) == [*ATTACKS, "dimra"] and more.rows == made.rows
    with pytest.raises(
        UsageError, match=r"samples\.forgotten \(100 there, 60 here\): take those again, or give --file"
    ):
        made.going_on(SETTINGS | {"samples": {"forgotten": 60}}, METHODS, ATTACKS)
    with pytest.raises(UsageError, match=r"methods\.uce\.ridge \(0\.5 there, 2 here\)"):
        made.going_on(SETTINGS, {"uce": {"ridge": 2}}, ATTACKS)
    made.path.write_text(json.dumps({"rows": []}))
    with pytest.raises(UsageError, match="cannot be read as rows of relearning"):
        read(made.path)


def test_what_rows_are_of_is_written_here_and_follows_no_question() -> None:
    """A question may begin elsewhere tomorrow; rows that are there would then be of other settings than those to come."""
    esd = {"trained_parameters": "all", "retain_weight": 10.0, "learning_rate": 1e-3, "steps": 150}
    assert benchmark.METHODS["esd"].items() >= esd.items() and "ESD\non all parameters" in str(benchmark.__doc__)
    assert benchmark.METHODS["meta(uce)"]["meta_unrelated"] == 3.0
    forms = {*benchmark.PLAIN, *(f"meta({name})" for name in benchmark.PLAIN)}
    assert set(benchmark.METHODS) == forms | {"tuned(uce)", "tuned(rece)"}


def test_cells_are_run_once_and_those_of_other_code_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "SAMPLES", Samples(forgotten=4, per_retained=1))
    monkeypatch.setattr(benchmark, "RUNGS", (0, 1, 2))
    monkeypatch.setattr("trainables.audits.MOST", 2)
    experiment = text_experiments.experiment_of(text_experiments.TINY, tmp_path)
    benchmark.prepare(experiment, [1], benchmark.SAMPLES, ["uce"])
    malicious, dreambooth = "malicious-public_forgotten-1e-3", "dreambooth-forgotten-1e-3"
    trials = benchmark.trials_of([experiment], ["uce"], [malicious, dreambooth], seeds=1)
    assert [trial.method for trial in trials] == [RETRAIN, "uce", "meta(uce)", "tuned(uce)"]
    assert trials[3].spec.method == trials[2].spec.method and trials[3].spec.settings["meta_cap"] < 1e-6
    made = benchmark.record_in(tmp_path / "rows.json", experiment)
    for trial, attack in zip(trials, trials[0].attacks, strict=False):
        made.add(benchmark.run(replace(trial, attacks=(attack,))))
    assert [(one.method, one.attack, one.cause) for one in made.rows] == [
        (RETRAIN, malicious, ""),
        ("uce", dreambooth, ""),
    ]
    for one in made.rows:
        assert len(one.relearned) == 3 and len(one.kept["cross_facet_accuracy"]) == len(one.kept["fid"]) == 2
        assert one.samples == {"forgotten": 4, "retained": 270} and one.base and one.attack_core_s > 0
    again = benchmark.record_in(made.path, experiment)
    lacking = [[trial.method, *(plan.name for plan in trial.attacks)] for trial in benchmark.missing(again, trials)]
    assert lacking == [
        [RETRAIN, dreambooth],
        ["uce", malicious],
        *([f"{form}(uce)", malicious, dreambooth] for form in ("meta", "tuned")),
    ]
    cells = {key: artifact for trial in trials for key, artifact in trial.cells().items()}
    again.check_code(cells)
    with pytest.raises(
        UsageError,
        match=f"three, uce, dreambooth.*, 1: recorded by other code .*{last_commit('trainables', 'search_spaces')[:7]}",
    ):
        again.check_code(cells | {("concept:three", "uce", dreambooth, 1): "other"})
