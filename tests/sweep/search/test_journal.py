"""The studies as other people's tools see them: Optuna's own reader, and a real optuna-dashboard asked over HTTP."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from recorded_run import TRIALS, space, write_run

from sweep import records
from sweep.samplers import Observation
from sweep.search.journal import JOURNAL, Journal, confirmed_attributes, open_journal

ENDED = {t: f for t, f in TRIALS.items() if t.startswith("dimum")}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recorded run with the journal of its first arm: half of its trials rebuilt, half told as they end."""
    run, question = write_run(tmp_path_factory.mktemp("journal") / "RUN", artifacts=False), space()
    arm = question.arms[0]
    seen = []
    for row in sorted((r for r in records.rows(run, "trials") if r["arm"] == "dimum"), key=lambda r: r["number"]):
        settings = {p.name: row[f"param_{p.name}"] for p in arm.walk() if row[f"param_{p.name}"] is not None}
        excesses = {c.metric: row[f"excess_{c.metric}"] for c in question.constraints}
        kept = {k: v for k, v in excesses.items() if v is not None}
        figures = {o.metric: row[o.metric] for o in question.objectives if row[o.metric] is not None}
        seen.append((Observation(row["number"], settings, row["state"], figures, kept), row["cause"]))
    journal = Journal(arm, question, open_journal(run))
    confirmed = {int(t[-4:]): told for t, told in confirmed_attributes(run).items() if t.startswith("dimum")}
    journal.rebuild(seen[:3], {}, confirmed)
    for observation, cause in seen[3:]:
        journal.begun(observation.number, observation.settings)
        journal.ended(observation, cause)
    journal.close()
    return run


def feasible(trial_id: str) -> bool:
    _, _, fid_delta, unlearned = TRIALS[trial_id]
    return fid_delta is not None and fid_delta <= 4.0 and unlearned is not None and unlearned >= 0.9


def test_optuna_reads_states_values_and_constraints_by_name(run: Path) -> None:
    storage = JournalStorage(JournalFileBackend(str(run / JOURNAL)))
    study = optuna.load_study(study_name="recorded/dimum", storage=storage)
    trials = {f"dimum-{t.number:04d}": t for t in study.get_trials()}
    assert {t: trial.state.name for t, trial in trials.items()} == {t: f[0] for t, f in ENDED.items()}
    for trial_id, trial in trials.items():
        assert (bool(trial.constraints) and max(trial.constraints.values()) <= 0) == feasible(trial_id)
        if trial.constraints:
            assert trial.constraints["fid_delta"] == trial.constraints["0"]
    assert {f"dimum-{t.number:04d}" for t in study.best_trials} == {"dimum-0000", "dimum-0001", "dimum-0006"}


@pytest.fixture(scope="module")
def dashboard(run: Path) -> Iterator[str]:
    """The dashboard itself, on a port of the loopback that the system chooses."""
    code = """
import sys
from wsgiref.simple_server import make_server
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna_dashboard import wsgi
with make_server("127.0.0.1", 0, wsgi(JournalStorage(JournalFileBackend(sys.argv[1])))) as server:
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(run / JOURNAL)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        address = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address), process.stderr.read()
        yield address
    finally:
        process.terminate()
        process.wait(20)


def asked(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.loads(answer.read())


def test_the_dashboard_sees_each_trial_as_feasible_or_not(dashboard: str) -> None:
    (study,) = asked(f"{dashboard}/api/studies")["study_summaries"]
    assert study["study_name"] == "recorded/dimum"
    detail = asked(f"{dashboard}/api/studies/{study['study_id']}")
    assert detail["directions"] == ["maximize", "minimize"]
    shown = {f"dimum-{t['number']:04d}": t for t in detail["trials"]}
    assert shown.keys() == ENDED.keys()
    for trial_id, trial in shown.items():
        told = trial["constraints"]  # its pages call a trial feasible if none of these is above 0
        assert len(told) == (0 if trial["state"] == "Fail" else 2), trial_id
        assert (bool(told) and all(c <= 0 for c in told)) == feasible(trial_id), trial_id
        if trial["state"] == "Complete":
            assert trial["values"] == list(ENDED[trial_id][1:3])
    of_one = {one["key"]: one["value"] for one in shown["dimum-0001"]["user_attrs"]}
    assert float(of_one["confirmed_robustness"]) == pytest.approx(0.88) and of_one["confirmed_seeds"] == "3"
    assert json.loads(of_one["confirmed_robustness_interval"]) == pytest.approx([0.838, 0.917], abs=0.001)
    assert of_one["confirmed_feasible"] == "True"
