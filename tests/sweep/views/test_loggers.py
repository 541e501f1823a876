"""What MLflow and Weights & Biases themselves read back of a sweep that was logged to them, whole, cut off and resumed."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from logged_run import log, recorded
from mlflow import MlflowClient
from mlflow.entities import Run
from recorded_run import CAUSE
from wandb.proto.wandb_internal_pb2 import Record
from wandb.sdk.internal.datastore import DataStore

from sweep import launch, records
from sweep.errors import UsageError
from sweep.plan.asked import refuse_flags_beside_resume
from sweep.reading.best import front_hypervolume
from sweep.reading.sweep import read_sweep
from sweep.relearning.setup import Setup
from sweep.views import loggers
from sweep.views.loggers import lanes, to_mlflow

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run logged to both, by one driver and then by a second that finds nothing missing."""
    run = recorded(tmp_path_factory.mktemp("logged"))
    loggers.keep(run, loggers.choose(run, "", "", "recorded"))
    assert log(run, ("dimum-0001-r0", "dimum-0001-r0")) == []
    assert log(run, ("dimum-0001-r2",)) == []
    return run


def in_mlflow(run: Path) -> tuple[MlflowClient, Run, dict[str, Run]]:
    """MLflow's client, the sweep's own run, and those under it by replicate; every name once."""
    client = MlflowClient(tracking_uri=f"sqlite:///{run.absolute()}/mlflow.db")
    experiment = client.get_experiment_by_name("recorded")
    found = list(client.search_runs([experiment.experiment_id], max_results=1000))
    (own,) = [r for r in found if "mlflow.parentRunId" not in r.data.tags]
    under = {r.info.run_name: r for r in found if r.data.tags.get("mlflow.parentRunId") == own.info.run_id}
    assert len(under) == len(found) - 1
    return client, own, under


def replicates(run: Path) -> dict[str, dict[str, Any]]:
    return {f"{r['trial_id']}-r{r['replicate']}": r for r in records.rows(run, "replicates")}


def curves(run: Path, name: str) -> dict[str, dict[int, float]]:
    """By METRIC/ATTACK, the recorded figure at each attack step, from the one before any attack on."""
    rows = records.rows(run, "curves", name)
    found: dict[str, dict[int, float]] = {}
    for r in rows:
        if r["attack"] != "none":
            found.setdefault(f"{r['metric']}/{r['attack']}", {})[r["attack_step"]] = r["value"]
    for r in rows:
        for metric in [m for m in found if r["attack"] == "none" and m.startswith(f"{r['metric']}/")]:
            found[metric][0] = r["value"]
    return found


# ---- MLflow ----


def test_mlflow_has_every_replicate_once_with_its_settings_state_and_curves(run: Path) -> None:
    client, _, under = in_mlflow(run)
    rows = replicates(run)
    assert under.keys() == rows.keys()
    trials = {r["trial_id"]: r for r in records.rows(run, "trials")}
    for name, row in rows.items():
        logged = under[name].data
        assert (logged.tags["arm"], logged.tags["state"], logged.tags.get("cause")) == (
            row["arm"], row["state"], row["cause"],
        )  # fmt: skip
        assert under[name].info.status == ("FAILED" if row["state"] == records.FAIL else "FINISHED")
        assert logged.params["seed"] == str(row["seed"]) and logged.params["sampler"] == row["sampler"]
        if (lr := trials[row["trial_id"]]["param_lr"]) is not None:
            assert float(logged.params["lr"]) == lr
        for figure in ("robustness", "fid_delta", "kid"):
            assert logged.metrics.get(figure) == row[figure]
        for metric, points in curves(run, name).items():
            history = client.get_metric_history(under[name].info.run_id, metric)
            assert sorted((m.step, m.value) for m in history) == sorted(points.items())
    assert under["dimum-0005-r0"].data.tags["cause"] == CAUSE
    assert {n: under[f"{n}-r0"].data.tags["feasible"] for n in ("dimum-0001", "dimum-0003", "dimum-0005")} == {
        "dimum-0001": "true", "dimum-0003": "false", "dimum-0005": "not scored",
    }  # fmt: skip
    assert "noise_scale" not in under["dimum-0000-r0"].data.params, "a setting that is not active is no setting"


def test_mlflow_has_the_sweep_with_its_winner_front_and_small_pictures(run: Path) -> None:
    client, own, under = in_mlflow(run)
    front = read_sweep(run)
    assert own.data.tags["winner"] == "dimum-0001" and own.info.status == "FINISHED"
    assert own.data.metrics["hypervolume/dimum"] == front_hypervolume(front, "dimum")
    assert len(client.get_metric_history(own.info.run_id, "hypervolume/dimum")) == 1, "a resume tells it no second time"
    assert own.data.params == {"space": "recorded", "trials": "7"}
    assert [f.path for f in client.list_artifacts(own.info.run_id)] == ["front.png"]
    pictures = client.list_artifacts(under["dimum-0001-r0"].info.run_id, "samples")
    assert {f.path for f in pictures} == {
        f"samples/{what}, {condition}.png"
        for what in ("unlearned", "after retain")
        for condition in ("forgotten", "retained")
    }
    assert all(0 < f.file_size < 20_000 for f in pictures)


def test_a_run_of_mlflow_that_was_cut_off_is_written_anew_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = recorded(tmp_path)
    loggers.keep(run, loggers.choose(run, "", None, "recorded"))
    with monkeypatch.context() as broken:
        real, calls = MlflowClient.set_terminated, []

        def fails_the_third_time(client: MlflowClient, *args: Any, **facts: Any) -> None:
            calls.append(args)
            if len(calls) == 3:
                raise OSError(28, "No space left on device")
            real(client, *args, **facts)

        broken.setattr(to_mlflow.MlflowClient, "set_terminated", fails_the_third_time)
        said = log(run, ("dimum-0001-r0", "dimum-0002-r0"))
    assert len(said) == 1 and said[0].startswith("MLflow: OSError: [Errno 28] No space left on device; the sweep goes")
    _, own, under = in_mlflow(run)
    assert [r.info.status for r in under.values()].count("RUNNING") == 1 and own.info.status == "RUNNING"
    assert log(run) == []
    client, own, under = in_mlflow(run)
    assert under.keys() == replicates(run).keys() and "RUNNING" not in {r.info.status for r in under.values()}
    for logged in under.values():
        for metric in logged.data.metrics:
            history = client.get_metric_history(logged.info.run_id, metric)
            assert len({m.step for m in history}) == len(history)


def test_a_server_that_is_away_costs_the_sweep_one_line(tmp_path: Path) -> None:
    run = recorded(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    loggers.keep(run, loggers.choose(run, address, None, "recorded"))
    (said,) = log(run, ("dimum-0001-r0",))
    assert said.startswith("MLflow: ") and "--resume" in said and "\n" not in said


def test_a_logger_that_hangs_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the connection and never answers: real sockets, and no thread of MLflow's holds the sweep."""
    run = recorded(tmp_path)
    monkeypatch.setattr(lanes, "_PATIENCE_S", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        loggers.keep(run, loggers.choose(run, f"http://127.0.0.1:{silent.getsockname()[1]}", None, "recorded"))
        began = time.monotonic()
        (said,) = log(run, ("dimum-0001-r0",))
    assert said.startswith("MLflow: nothing was written for 3 s; the sweep goes on") and time.monotonic() - began < 20


def test_a_run_folder_that_was_moved_is_told_and_nothing_is_written_to_its_old_place(run: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    subprocess.run(["cp", "-r", run, moved], check=True)
    (said,) = log(moved)
    assert "was moved here, and names its old place" in said


# ---- Weights & Biases ----


def in_wandb(run: Path) -> dict[str, dict[str, Any]]:
    """By name, what the library's own reader finds in every offline run: id, group, tags, config, summary, history, exit."""
    found: dict[str, dict[str, Any]] = {}
    for file in (run / "wandb").glob("offline-run-*/run-*.wandb"):
        told: dict[str, Any] = {"config": {}, "summary": {}, "history": {}, "exit": None}
        store = DataStore()
        store.open_for_scan(str(file))
        while (data := store.scan_data()) is not None:
            record = Record()
            record.ParseFromString(data)
            for update in record.run.config.update:
                told["config"][update.key] = json.loads(update.value_json)
            if record.HasField("run"):
                told |= {"id": record.run.run_id, "group": record.run.run_group, "tags": set(record.run.tags)}
                told |= {"name": record.run.display_name, "project": record.run.project, "job": record.run.job_type}
            for update in record.summary.update:
                told["summary"][update.key or update.nested_key[0]] = json.loads(update.value_json)
            line = {i.key or i.nested_key[0]: json.loads(i.value_json) for i in record.history.item}
            for key in line.keys() - {"attack_step"}:
                told["history"].setdefault(key, []).append((line.get("attack_step"), line[key]))
            if record.HasField("exit"):
                told["exit"] = record.exit.exit_code
        assert told["name"] not in found, "every run once"
        found[told["name"]] = told
    return found


def test_wandb_has_every_replicate_once_with_its_settings_state_and_curves(run: Path) -> None:
    found = in_wandb(run)
    rows = replicates(run)
    assert found.keys() == {*rows, "sweep"} and len({told["id"] for told in found.values()}) == len(found)
    for name, row in rows.items():
        told = found[name]
        assert (told["config"]["arm"], told["config"]["state"], told["config"].get("cause")) == (
            row["arm"], row["state"], row["cause"],
        )  # fmt: skip
        assert told["config"]["seed"] == row["seed"] and told["exit"] == int(row["state"] == records.FAIL)
        assert (told["group"], told["project"], told["job"]) == ("RUN", "recorded", row["phase"])
        assert told["summary"].get("robustness") == row["robustness"]
        for metric, points in curves(run, name).items():
            assert told["history"][metric] == sorted(points.items())
    assert {"dimum", "feasible", "search"} <= found["dimum-0001-r0"]["tags"]
    assert found["dimum-0003-r0"]["tags"] >= {"infeasible"} and found["dimum-0001-r0"]["config"]["lr"] == 2e-4
    assert "after retain/forgotten" in found["dimum-0001-r0"]["history"]
    assert found["sweep"]["config"]["winner"] == "dimum-0001" and "front" in found["sweep"]["history"]
    assert all(f.stat().st_size < 200_000 for f in (run / "wandb").glob("offline-run-*/**/*") if f.is_file())


def test_wandb_keeps_no_command_line_and_no_users_name(run: Path) -> None:
    kept = {f.name for f in (run / "wandb").glob("offline-run-*/files/*") if f.is_file()}
    assert kept == {"requirements.txt"}, "no wandb-metadata.json, which has the command line and the user's name"


def test_a_run_of_wandb_that_was_cut_off_is_written_anew(run: Path, tmp_path: Path) -> None:
    again = tmp_path / "RUN"
    subprocess.run(["cp", "-r", run, again], check=True)
    (file,) = again.glob("wandb/offline-run-*-dimum-0002-r0/*.wandb")
    file.write_bytes(file.read_bytes()[:100])
    names = records.read_json(again / "wandb" / "logged.json")
    (again / "wandb" / "logged.json").write_text(json.dumps([n for n in names if n != "dimum-0002-r0"]))
    loggers.keep(again, loggers.Chosen(loggers.chosen(run).id, "", "recorded"))  # type: ignore[union-attr]
    assert log(again) == []
    before, after = (in_wandb(r)["dimum-0002-r0"] for r in (run, again))
    assert {k: after[k] for k in ("id", "config", "tags", "exit")} == {
        k: before[k] for k in ("id", "config", "tags", "exit")
    }
    for metric in curves(run, "dimum-0002-r0"):
        assert after["history"][metric] == before["history"][metric]


# ---- whether, and where ----


def test_they_are_off_by_default_and_then_not_even_imported(tmp_path: Path) -> None:
    run = recorded(tmp_path)
    before = sorted(f.name for f in run.iterdir())
    assert loggers.choose(run, None, None, "recorded") is None
    code = (
        "import sys; sys.path.insert(0, 'tests/sweep'); import logged_run\n"
        f"assert logged_run.log(logged_run.Path({str(run)!r}), ('dimum-0001-r0',)) == []\n"
        "assert not {'mlflow', 'wandb'} & {n.split('.')[0] for n in sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert sorted(f.name for f in run.iterdir()) == before


def test_a_resumed_run_keeps_its_loggers_and_may_be_given_another(tmp_path: Path) -> None:
    first = loggers.choose(tmp_path, str(tmp_path / "shared"), None, "q")
    assert first and first.mlflow == f"sqlite:///{tmp_path}/shared/mlflow.db" and first.wandb == ""
    loggers.keep(tmp_path, first)
    assert loggers.choose(tmp_path, None, None, "q") == first
    both = loggers.choose(tmp_path, None, "", "q")
    assert both == loggers.Chosen(first.id, first.mlflow, "q")
    asked = launch.parser().parse_args(["--resume", "RUN", "--mlflow", "--wandb", "project"])
    refuse_flags_beside_resume(asked, launch.parser(), Setup)


@pytest.mark.parametrize(
    ("mlflow", "wandb", "said"),
    [
        ("https://me:hunter2@host/", None, "--mlflow: the URI holds a password"),
        ("postgresql+psycopg2://me:hunter2@host/db", None, "--mlflow: the URI holds a password"),
        ("file:///tmp/x", None, "--mlflow file://…: give a folder"),
        (None, "team/project", "--wandb team/project: a project has 1 to 128 characters"),
    ],
)
def test_a_place_that_cannot_be_used_is_refused_before_anything_runs(
    mlflow: str | None, wandb: str | None, said: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as refused:
        loggers.choose(tmp_path, mlflow, wandb, "q")
    assert str(refused.value).startswith(said) and "hunter2" not in str(refused.value)


def test_without_the_library_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name, asked in (("mlflow", ("", None)), ("wandb", (None, ""))):
        with pytest.raises(UsageError, match=rf"--{name}: it is not installed: pip install .*\[{name}\]"):
            loggers.choose(tmp_path, *asked, "q")


@pytest.mark.parametrize("odd", ["why?", "50%", "no#1", "a%20b"])
def test_a_folder_that_mlflow_would_take_for_another_is_refused_and_nothing_is_written(
    odd: str, tmp_path: Path
) -> None:
    for run_dir, asked in ((tmp_path / odd, ""), (tmp_path, str(tmp_path / odd))):
        with pytest.raises(UsageError, match=r"MLflow reads . as part of a URI, and would write elsewhere"):
            loggers.choose(run_dir, asked, None, "q")
    renamed = loggers.Chosen("id", loggers.OWN)  # since it was chosen
    with pytest.raises(UsageError, match=r"name a folder without \? % #"):
        loggers.opener("mlflow", renamed, tmp_path / odd, {"space": "q"})()
    assert not list(tmp_path.iterdir())
