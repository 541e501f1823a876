"""Boards, trackers and the export of a run whose trials are no relearning: coins that are flipped, a curve for each hand."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from mlflow import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from wandb.proto.wandb_internal_pb2 import Record
from wandb.sdk.internal.datastore import DataStore

from sweep import export, procedures, records, release
from sweep.procedures import START, Columns, Procedure, column
from sweep.procedures.columns import WORD
from sweep.procedures.panels import NoPanels
from sweep.procedures.sections import NoSections
from sweep.records import COMPLETE, FAIL, Writer, schemas
from sweep.space import Arm, Constraint, Float, Objective, SearchSpace
from sweep.views import loggers, tensorboard
from sweep.views.curve_points import scalars
from sweep.views.loggers.entries import entry
from sweep.views.loggers.lanes import Loggers
from trainables.figures import Figure
from trainables.store import Store

SPACE = SearchSpace(
    name="coins",
    question="Which coin is fair and light?",
    arms=(Arm("bent", "bend", (Float("angle", 0.0, 1.0),)), Arm("flat", "none", (), baseline=True)),
    objectives=(Objective("fairness", "maximise"), Objective("weight", "minimise")),
    constraints=(Constraint("weight", at_most=5.0),),
    procedure="coin",
)
FIGURES = (
    Figure("fairness", "how near to one half its heads are", "share", "maximise"),
    Figure("weight", "what it weighs", "grams", "minimise"),
)
BESIDE = (column("table", WORD, "what it falls on", compares="must"), column("mint", pa.string(), "who made it"))
AXES = (column("hand", WORD, "who flips it"), column("flips", pa.int32(), "how often it has been flipped"))
WHEN = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
CURVES = ((START, 0, 0.5), ("left", 1, 0.6), ("left", 2, 0.7), ("right", 1, 0.4))  # (hand, flips, heads)


def _unasked(*_: object) -> Any:
    raise AssertionError("no view asks for this")


def coin(columns: Columns) -> Procedure:
    """A procedure without traces of its own, and nothing to export."""
    return Procedure(
        name="coin",
        columns=lambda: columns,
        setup=_unasked,
        check=_unasked,
        estimate=_unasked,
        preparing=_unasked,
        knowledge=_unasked,
        counts=lambda replicates, curves: {},
        sections=NoSections,
        panels=NoPanels,
        bounds={},
    )


@pytest.fixture(params=["hands", "no curves"])
def columns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Columns]:
    """The columns of the only other procedure that there is while a test runs."""
    axes = (AXES, "hand", "flips") if request.param == "hands" else ()
    columns, named = Columns(FIGURES, BESIDE, *axes), procedures.named
    monkeypatch.setattr(procedures, "named", lambda name: coin(columns) if name == "coin" else named(name))
    yield columns


@pytest.fixture
def run(columns: Columns, tmp_path: Path) -> Path:
    """Two coins and a control, of which one has failed; its plan says nothing of data, attacks or rungs."""
    run = tmp_path / "RUN"
    run.mkdir()
    plan = {
        "plan": {"space": "coins", "trials": 2, "seed": 0},
        "space": "coins", "procedure": "coin", "question": SPACE.question, "seed": 0, "confirm_seeds": 1,
        "main_arm": "bent", "arms": {a.name: {"method": a.method, "baseline": a.baseline} for a in SPACE.arms},
        "parameters": {a.name: [p.name for p in a.walk()] for a in SPACE.arms},
        "objectives": [dataclasses.asdict(o) for o in SPACE.objectives],
        "constraints": [dataclasses.asdict(c) for c in SPACE.constraints],
    }  # fmt: skip
    (run / "plan.json").write_text(json.dumps(plan))
    writer = Writer(run, schemas(SPACE))
    for trial_id, arm, method, figures in (
        ("bent-0000", "bent", "bend", {"fairness": 0.9, "weight": 3.0}),
        ("flat-0000", "flat", "none", {}),
        ("control-new", "control", "none", {"fairness": 1.0, "weight": 2.0}),
    ):
        same = {"trial_id": trial_id, "arm": arm, "method": method, "state": COMPLETE if figures else FAIL}
        chosen = {"angle": 0.5} if arm == "bent" else {}
        points = [
            {"trial_id": trial_id, "replicate": 0, columns.series: hand, columns.step: flips}
            | {"metric": "fairness", "value": heads, "samples": 10}
            for hand, flips, heads in CURVES
            if figures and columns.axes
        ]
        row = same | figures | {"replicate": 0, "phase": "search", "seed": 7, "table": "oak", "mint": "royal"}
        row |= {"code_version": "ab", "device": "cpu", "core_s": 1.0, "started_at": WHEN, "finished_at": WHEN}
        writer.replicate(row, points, [])
        trial = same | figures | {"number": 0, "settings": json.dumps(chosen), "feasible": True if figures else None}
        writer.trial(trial | {f"param_{name}": value for name, value in chosen.items()})
    return run


def test_a_replicate_is_given_with_its_conditions_its_curves_and_no_picture(run: Path, columns: Columns) -> None:
    given = entry(run, "bent-0000-r0", SPACE, Store(run / "artifacts"))
    assert given.facts == {"seed": 7, "table": "oak", "code_version": "ab", "device": "cpu"}
    assert given.figures == {"fairness": 0.9, "weight": 3.0} and given.parameters == {"angle": 0.5}
    assert given.pictures == {} and given.step == columns.step
    begun = [("fairness/left", 0, 0.5), ("fairness/left", 1, 0.6), ("fairness/left", 2, 0.7)]
    right = [("fairness/right", 0, 0.5), ("fairness/right", 1, 0.4)]
    assert given.curves == ([*begun, *right] if columns.axes else [])


def test_a_metric_without_series_is_a_curve_of_its_start_alone(columns: Columns) -> None:
    point = {"replicate": 2, columns.series: START, columns.step: 0, "metric": "fairness", "value": 0.5}
    assert list(scalars(coin(columns), [point])) == [(f"fairness/{START}/r2", 0, 0.5)]


def test_the_board_has_every_trial_its_figures_and_parameters(run: Path, columns: Columns) -> None:
    board = tensorboard.TensorBoard(run, SPACE, Store(run / "artifacts"))
    for trial in records.rows(run, "trials"):
        replicate, curves = (records.rows(run, table, f"{trial['trial_id']}-r0") for table in ("replicates", "curves"))
        spec = SimpleNamespace(trial_id=trial["trial_id"], replicate=0)
        board.take(SimpleNamespace(row=trial, job=SimpleNamespace(spec=spec, figures=replicate[0], curves=curves)))  # type: ignore[arg-type]
    board.finish()
    events = EventAccumulator(str(run / "tensorboard" / "bent-0000"))
    events.Reload()
    drawn = {"fairness/left", "fairness/right"} if columns.axes else set()
    assert set(events.Tags()["scalars"]) == {"fairness", "weight"} | drawn and not events.Tags()["images"]
    (content,) = (c for tag, c in events.PluginTagToContent("hparams").items() if tag.endswith("/experiment"))
    experiment = plugin_data_pb2.HParamsPluginData.FromString(content).experiment
    assert {i.name for i in experiment.hparam_infos} == {"arm", "method", "ended", "angle"}
    assert [m.name.tag for m in experiment.metric_infos] == ["fairness", "weight"]
    whole = EventAccumulator(str(run / "tensorboard" / "_sweep"))
    whole.Reload()
    assert whole.Tags()["images"] == ["front"]


def test_both_trackers_have_every_replicate(run: Path, columns: Columns) -> None:
    loggers.keep(run, loggers.choose(run, "", "", "coins"))
    said: list[str] = []
    Loggers(run, SPACE, Store(run / "artifacts"), said.append).finish()
    assert said == []
    client = MlflowClient(tracking_uri=f"sqlite:///{run}/mlflow.db")
    found = {r.info.run_name: r for r in client.search_runs([client.get_experiment_by_name("coins").experiment_id])}
    assert found.keys() == {"RUN", "bent-0000-r0", "flat-0000-r0", "control-new-r0"}
    assert found["bent-0000-r0"].data.params["table"] == "oak" and found["flat-0000-r0"].info.status == "FAILED"
    assert ("fairness/left" in found["bent-0000-r0"].data.metrics) == bool(columns.axes)
    assert records.read_json(run / "wandb" / "logged.json") == sorted(found.keys() - {"RUN"})
    (file,) = run.glob("wandb/offline-run-*-bent-0000-r0/*.wandb")
    assert steps_in(file, columns.step) == ([0, 1, 2] if columns.axes else [])


def steps_in(file: Path, step: str) -> list[int]:
    """What an offline run of Weights & Biases logged as the steps of its curves."""
    store, found = DataStore(), []
    store.open_for_scan(str(file))
    while (data := store.scan_data()) is not None:
        record = Record()
        record.ParseFromString(data)
        for item in record.history.item:
            found += [json.loads(item.value_json)] if step in (item.key, *item.nested_key) else []
    return found


def test_there_is_nothing_to_export_or_to_release(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for main, what in (
        (export.main, "a trial of coin leaves nothing to export"),
        (release.main, "a trial of coin spends no ε that a release could keep: what it says is in the run's tables"),
    ):
        assert main([str(run), "bent-0000", "-o", str(tmp_path / "saved")]) == 2
        said = capsys.readouterr().err
        assert what in said and said.count("\n") == 1
        assert not (tmp_path / "saved").exists()
