"""Whole sweeps on a real Ray, small enough for a test: what they leave, and what survives a kill −9."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import optuna
import pandas
import polars
import pyarrow.dataset as ds
import pytest
from listening import addresses, descendants
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from pages import TEXT

from sweep import records
from sweep.reading.sweep import read_sweep
from trainables.store import Store

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
TINY = ROOT / "tests" / "questions" / "tiny.py"
SMALL = ("--base-steps", "20", "--samples-forgotten", "8", "--samples-per-retained", "4", "--confirm-seeds", "2",
         "--confirm-members", "1", "--fid-budget", "100000", "--sampler", "random", "--sampling-steps", "2")  # fmt: skip


def command(*args: object) -> list[str]:
    return [sys.executable, "-m", "sweep.launch", *map(str, args)]


def launch(folder: Path, *args: object, timeout: float = 400) -> str:
    done = subprocess.run(command(*args), cwd=folder, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait_for(what: Callable[[], Any], process: subprocess.Popen, seconds: float = 300) -> Any:
    """The first true answer; fails where the process ends or the time is up before there is one."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := what():
            return answer
        assert process.poll() is None, "the sweep ended before it was interrupted"
        time.sleep(0.2)
    raise AssertionError("nothing happened in time")


def finished(run: Path) -> dict[str, Any]:
    rows = records.rows(run, "trials")
    return {r["trial_id"]: r for r in rows if r["state"] != records.RUNNING}


def made_twice(run: Path) -> dict[str, int]:
    """Keys of stages that were made more than once."""
    made = Counter(r["key"] for r in records.rows(run, "stages") if not r["found"])
    return {key: n for key, n in made.items() if n > 1}


@dataclass
class Observed:
    """A sweep that has run: what it printed, what it left, and every address that one of its processes listened on."""

    folder: Path
    printed: str
    listening: dict[tuple[str, int], str]
    processes: int


SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY00",
    "HF_TOKEN": "hf_abcdefghijklmnopqrstuvwxyz01234567",
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
    "MLFLOW_TRACKING_PASSWORD": "correct-horse-battery-staple",
    "RAY_AUTH_TOKEN": "f00dfacef00dfacef00dfacef00dfacef00dfacef00dfacef00dfacef00dface",
}


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory, lend_classifier: Callable[[Path], None]) -> Iterator[Observed]:
    """A sweep run to its end on a Ray of its own, watched from outside, with secrets in its environment."""
    folder = tmp_path_factory.mktemp("swept")
    lend_classifier(folder / "runs" / "artifacts")
    temporary = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # a socket's path may have 107 letters
    env = os.environ | SECRETS | {"RAY_AUTH_MODE": "token", "RAY_TMPDIR": temporary}
    asked = command("--space", TINY, *SMALL, "--trials", 4, "--run-dir", "run")
    with open(folder / "output", "w") as output, open(folder / "errors", "w") as errors:
        driver = subprocess.Popen(asked, cwd=folder, env=env, stdout=output, stderr=errors)
    listening: dict[tuple[str, int], str] = {}
    seen: set[int] = set()
    end = time.monotonic() + 400
    try:
        while driver.poll() is None and time.monotonic() < end:
            family = descendants(driver.pid)
            seen |= family
            listening |= addresses(family)
            time.sleep(1.0)
        printed = (folder / "output").read_text()
        assert driver.poll() == 0, printed + (folder / "errors").read_text()
        yield Observed(folder, printed, listening, len(seen))
    finally:
        driver.kill()
        shutil.rmtree(temporary, ignore_errors=True)


@pytest.fixture(scope="module")
def swept(observed: Observed) -> tuple[Path, str]:
    """That sweep's folder, and what it printed."""
    return observed.folder, observed.printed


def copy_shared(swept: Path, to: Path) -> None:
    """What all trials share, and nothing that a trial makes: spares a test the training of another classifier."""
    shared = {"classifier", "model", "reference", "synthetic"}
    for sidecar in (swept / "runs" / "artifacts").rglob("*.json"):
        if records.read_json(sidecar)["kind"] in shared:
            folder = to / "runs" / "artifacts" / sidecar.parent.name
            folder.mkdir(parents=True, exist_ok=True)
            for file in (sidecar, sidecar.with_suffix(".safetensors")):
                shutil.copy(file, folder)


def test_a_sweep_says_what_it_does_from_the_start_and_ends_with_its_front_and_commands(swept: tuple[Path, str]) -> None:
    _folder, printed = swept
    at = 0
    for word in ("question", "loading torch", "prepare:", "FID budget", "search:", "1/6", "front so far", "6/6", "-r2"):
        assert word in printed[at:], f"{word!r} is missing after: {printed[:at][-200:]}"
        at = printed.index(word, at)
    ending = printed[printed.index("done\n", at) :]
    for said in (
        "dimum",
        "label_swap",
        "control-retrain",
        "python -m sweep.pareto",
        "report.html",
        "tensorboard --logdir",
    ):
        assert said in ending


def test_every_table_is_one_arrow_dataset_with_units_and_nothing_left_running(swept: tuple[Path, str]) -> None:
    run = swept[0] / "run"
    for table in records.TABLES:
        dataset = ds.dataset(run / "records" / table, format="parquet")
        assert dataset.schema.metadata[b"table"] == table.encode()
        assert all(field.metadata and b"description" in field.metadata for field in dataset.schema)
        assert dataset.count_rows() == len(records.rows(run, table)) > 0
    trials = records.rows(run, "trials")
    assert Counter(t["arm"] for t in trials) == {"dimum": 4, "label_swap": 2, "control": 2}
    assert {t["state"] for t in trials} <= {records.COMPLETE, records.PRUNED}
    assert made_twice(run) == {}


def test_optuna_journal_agrees_with_the_records(swept: tuple[Path, str]) -> None:
    run = swept[0] / "run"
    storage = JournalStorage(JournalFileBackend(str(run / "optuna.journal")))
    for arm in ("dimum", "label_swap"):
        trials = optuna.load_study(study_name=f"tiny/{arm}", storage=storage).get_trials()
        rows = {r["number"]: r for r in records.rows(run, "trials") if r["arm"] == arm}
        assert {t.number: t.state.name for t in trials} == {n: r["state"] for n, r in rows.items()}
        for trial in trials:
            row = rows[trial.number]
            assert {k: row[f"param_{k}"] for k in trial.params} == trial.params
            assert trial.constraints["fid_delta"] == pytest.approx(row["excess_fid_delta"])
            if trial.state == TrialState.COMPLETE:
                assert trial.values == [row["robustness"], row["fid_delta"]]


def test_the_confirmed_front_is_over_fresh_seeds_with_intervals_and_the_controls_beside_it(
    swept: tuple[Path, str],
) -> None:
    front = read_sweep(swept[0] / "run")
    for arm in front.arms.values():
        (member,) = [m for m in arm.members if m.confirmed]
        found = member.confirmed["fid_delta"]
        assert found.n == 2 and found.lower < found.mean < found.upper
    assert set(front.seeds().values()) == {1, 2} and set(front.seeds(confirm=False).values()) == {0}
    assert front.controls["control-base"].search["fid_delta"] == 0
    attacked = {(c["trial_id"], c["attack"]) for c in front.curves if c["replicate"] == 1}
    assert ("control-retrain", "dimra-public_all") in attacked


def test_tensorboard_has_scalars_hparams_and_images_before_and_after(swept: tuple[Path, str]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(swept[0] / "run" / "tensorboard" / "dimum-0000"), size_guidance={"images": 0}).Reload()
    tags = board.Tags()
    assert {"robustness", "fid_delta", "unlearning_accuracy"} <= set(tags["scalars"])
    assert [e.step for e in board.Scalars("relearning_accuracy/dimra-retain")] == [0, 1, 3]
    for moment in ("before unlearning", "unlearned", "after dimra-retain"):
        assert {f"{moment}/forgotten", f"{moment}/retained"} <= set(tags["images"])


def test_the_plot_the_page_and_the_tables_come_again_from_the_run_folder_alone(swept: tuple[Path, str]) -> None:
    folder = swept[0]
    page = (folder / "run" / "report.html").read_bytes()
    assert b"dimum-0000" in page and (folder / "run" / "front.png").read_bytes().startswith(b"\x89PNG")
    for args in (["sweep.report", "run", "-o", "again.html"], ["sweep.pareto", "run", "--format", "json"]):
        subprocess.run([sys.executable, "-m", *args], cwd=folder, check=True, capture_output=True)
    assert (folder / "again.html").stat().st_size == pytest.approx(len(page), rel=0.01)


def test_the_readmes_lines_for_reading_a_run_work_word_for_word(swept: tuple[Path, str], monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    (block,) = re.findall(r"```python\n(from sweep\.results import load.+?)```", TEXT, re.DOTALL)
    monkeypatch.chdir(swept[0])
    exec(block.replace("RUN", "run"), {})
    assert "dimum-000" in capsys.readouterr().out


def test_a_second_sweep_on_the_same_artifacts_prepares_nothing_and_starts_within_a_minute(
    swept: tuple[Path, str],
) -> None:
    folder = swept[0]
    before = {p.name for p in (folder / "runs" / "artifacts").rglob("*.json")}
    start = time.time()
    printed = launch(folder, "--space", TINY, *SMALL, "--trials", 1, "--baseline-trials", 0, "--run-dir", "second")
    assert "found base model, retrain control, classifier" in printed
    first = min(r["started_at"].timestamp() for r in records.rows(folder / "second", "stages"))
    assert first - start < 60
    stages = records.rows(folder / "second", "stages")
    searched = [s for s in stages if s["replicate"] == 0]
    assert searched and all(s["found"] for s in searched), "the same seed and sampler ask for what is already there"
    added = [s["key"] for s in stages if not s["found"]]  # another member may have been confirmed
    assert {p.name for p in (folder / "runs" / "artifacts").rglob("*.json")} - before == {f"{k}.json" for k in added}


@pytest.mark.long  # a minute; tests/faults compares a sweep on Ray with one in its own process
def test_in_this_process_the_same_sweep_gives_the_same_figures(swept: tuple[Path, str], tmp_path: Path) -> None:
    copy_shared(swept[0], tmp_path)
    launch(tmp_path, "--space", TINY, *SMALL, "--trials", 2, "--baseline-trials", 1, "--run-dir", "run", "--in-process")
    on_ray, here = finished(swept[0] / "run"), finished(tmp_path / "run")
    for trial_id in ("dimum-0000", "label_swap-0000", "control-retrain"):
        for figure in ("robustness", "fid_delta", "unlearning_accuracy"):
            assert here[trial_id][figure] == on_ray[trial_id][figure]


def test_a_trial_that_diverges_is_recorded_with_its_cause_and_the_sweep_goes_on(swept: tuple[Path, str]) -> None:
    folder = swept[0]
    (folder / "wild.py").write_text(TINY.read_text().replace("1e-4, 2e-3", "1e-4, 1e30"))
    printed = launch(
        folder, "--space", "wild.py", *SMALL, "--trials", 5, "--baseline-trials", 1, "--run-dir", "wild", "--in-process"
    )
    rows = finished(folder / "wild")
    failed = [r for r in rows.values() if r["state"] == records.FAIL]
    assert failed and all(r["cause"] and r["robustness"] is None for r in failed)
    assert "FAILED" in printed and re.search(r"Diverged|finite|NaN|inf", failed[0]["cause"])
    assert len(rows) == 5 + 1 + 2, "every trial has an outcome"


def test_a_sweep_whose_every_trial_failed_says_so_and_exits_1(swept: tuple[Path, str]) -> None:
    folder = swept[0]
    hopeless = TINY.read_text().replace("1e-4, 2e-3", "1e29, 1e30")
    for rate in ("2e-4", "1e-3"):
        hopeless = hopeless.replace(f'"learning_rate": {rate}, "steps"', '"learning_rate": 5e29, "steps"')
    (folder / "hopeless.py").write_text(hopeless)
    args = command("--space", "hopeless.py", *SMALL, "--trials", 1, "--run-dir", "hopeless", "--in-process")
    done = subprocess.run(args, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "every trial failed; the first:" in done.stderr and "Diverged" in done.stderr


def _read_by_others(run: Path) -> None:
    """DuckDB, Polars and pandas give the numbers that our reader gives, of a run in mid-sweep or of a finished one."""
    for table, key in (("stages", "wall_s"), ("curves", "value"), ("replicates", "samples_forgotten")):
        ours = [r[key] for r in records.rows(run, table) if r[key] is not None]
        files = str(run / "records" / table / "*.parquet")
        (by_duckdb,) = duckdb.sql(f"SELECT count({key}), sum({key}) FROM '{files}'").fetchall()
        figures = polars.col(key)
        by_polars = polars.read_parquet(files).select(polars.len(), figures.count().alias("n"), figures.sum()).row(0)
        by_pandas = pandas.read_parquet(run / "records" / table)
        assert by_polars[0] == len(by_pandas) == len(records.rows(run, table))
        assert (by_duckdb[0], by_polars[1], by_pandas[key].count()) == (len(ours),) * 3
        assert [by_duckdb[1] or 0, by_polars[2], by_pandas[key].sum()] == pytest.approx([sum(ours)] * 3, rel=1e-12)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_sweep_that_is_told_to_end_says_how_to_go_on(swept: tuple[Path, str], how: signal.Signals) -> None:
    folder, name = swept[0], f"stopped-{how.name}"
    args = command("--space", TINY, *SMALL, "--trials", 8, "--run-dir", name)
    driver = subprocess.Popen(
        args,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite run in the background ignores it
    )
    wait_for(lambda: (folder / name / "plan.json").exists() and records.rows(folder / name, "replicates"), driver)
    driver.send_signal(how)
    _, error = driver.communicate(timeout=120)
    assert driver.returncode == 128 + how, error
    assert f"stopped; go on with: python -m sweep.launch --resume {name}" in error
    assert "Traceback" not in error and "stack" not in error.lower(), error
    assert records.read_json(folder / name / "status.json")["state"] == "interrupted"
    _read_by_others(folder / name)
    _read_by_others(folder / "run")


@pytest.mark.long  # tests/faults is the short form
def test_a_killed_worker_and_a_killed_driver_cost_no_finished_stage(swept: tuple[Path, str], tmp_path: Path) -> None:
    """kill −9 a worker: its trial goes on elsewhere. kill −9 the driver: --resume goes on, and nothing runs twice."""
    copy_shared(swept[0], tmp_path)
    args = ("--space", TINY, *SMALL, "--trials", 8, "--run-dir", "run", "--fix", "steps=8")
    run = tmp_path / "run"
    with open(tmp_path / "log", "w") as log:
        driver = subprocess.Popen(command(*args), cwd=tmp_path, stdout=log, stderr=log)
    try:
        workers = wait_for(
            lambda: {r["pid"] for r in records.rows(run, "stages") if r["trial_id"] != "control-base"}, driver
        )
        os.kill(workers.pop(), signal.SIGKILL)
        wait_for(lambda: len(finished(run)) >= 5, driver)
        second = subprocess.run(command("--resume", "run"), cwd=tmp_path, capture_output=True, text=True)
        assert second.returncode == 2 and "another driver is running this sweep" in second.stderr
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    before, stages = finished(run), {r["key"] for r in records.rows(run, "stages")}
    assert len(before) < 14, "killed in mid-sweep"
    assert read_sweep(run).status["state"] == "running"

    printed = launch(tmp_path, "--resume", "run")
    after = finished(run)
    assert f"{len([t for t in before if 'control' not in t])} finished trials kept" in printed
    assert len(after) == 8 + 4 + 2 and {r["state"] for r in after.values()} <= {records.COMPLETE, records.PRUNED}
    assert {t: after[t]["told_at"] for t in before} == {t: r["told_at"] for t, r in before.items()}
    assert made_twice(run) == {}
    points = Counter(
        (c["trial_id"], c["replicate"], c["attack"], c["attack_step"], c["metric"]) for c in records.rows(run, "curves")
    )
    assert max(points.values()) == 1, "a trial that was started again is in the tables once"
    assert stages <= {r["key"] for r in records.rows(run, "stages")}
    assert read_sweep(run).status["state"] == "finished"
    store = Store(tmp_path / "runs" / "artifacts")
    assert all(store.find(key) for key in stages)
    assert not list((tmp_path / "runs" / "artifacts" / "partial").glob("*")), "no in-stage checkpoint is left behind"


def test_a_store_that_was_moved_is_named_to_export_and_to_resume_and_nothing_is_made_again(
    swept: tuple[Path, str], tmp_path: Path
) -> None:
    shutil.copytree(swept[0] / "run", tmp_path / "run")
    moved = shutil.copytree(swept[0] / "runs" / "artifacts", tmp_path / "moved")
    values = records.read_json(tmp_path / "run" / "plan.json")
    values["plan"]["artifacts"] = str(tmp_path / "gone")
    (tmp_path / "run" / "plan.json").write_text(json.dumps(values))
    asked = ["run", "dimum-0000", "-o", "model"]
    for more, code in ([], 2), (["--artifacts", "moved"], 0):
        done = subprocess.run(
            [sys.executable, "-m", "sweep.export", *asked, *more], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
        assert code == 0 or "say where the store lies now with --artifacts DIR" in done.stderr
    assert (tmp_path / "model" / "model_index.json").is_file()
    files = sorted(moved.rglob("*.safetensors"))
    launch(tmp_path, "--resume", "run", "--artifacts", "moved", "--in-process")
    assert sorted(moved.rglob("*.safetensors")) == files and not (tmp_path / "gone").exists()
    assert records.read_json(tmp_path / "run" / "plan.json")["plan"]["artifacts"] == str(moved)


def test_listening_is_seen_and_told_from_loopback() -> None:
    with socket.create_server(("127.0.0.1", 0)) as inside, socket.create_server(("", 0)) as outside:
        ports = {port: address for address, port in addresses({os.getpid()})}
        assert ports[inside.getsockname()[1]] == "127.0.0.1" and ports[outside.getsockname()[1]] == "0.0.0.0"


def test_a_sweep_on_this_machine_listens_on_loopback_only(observed: Observed) -> None:
    assert observed.processes > 4 and observed.listening, "Ray's processes were not seen"
    outside = {
        at: who for at, who in observed.listening.items() if at[0] not in ("127.0.0.1", "::1", "::ffff:127.0.0.1")
    }
    assert not outside


def test_what_a_sweep_leaves_and_says_holds_no_secret_of_its_environment(observed: Observed) -> None:
    files = [f for f in observed.folder.rglob("*") if f.is_file()]
    assert {"output", "errors"} < {f.name for f in files} and len(list((observed.folder / "run").rglob("*"))) > 50
    for file in files:
        content = file.read_bytes()
        assert not [name for name, secret in SECRETS.items() if secret.encode() in content], file
    for table in records.TABLES:  # their pages are compressed
        text = repr(records.rows(observed.folder / "run", table))
        assert not [name for name, secret in SECRETS.items() if secret in text], table
