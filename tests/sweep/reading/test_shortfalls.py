"""A sweep or track of which something failed as a whole says so: in its last lines, to programs, on its page, by its exit code."""

from __future__ import annotations

import html
import io
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from recorded_run import CONFIRMED, CONTROLS, TRIALS, space, write_run

from sweep import launch, records
from sweep.page import contents
from sweep.plan.asked import plan_of
from sweep.reading.ending import Ending
from sweep.reading.sweep import read_sweep
from sweep.reading.texts import render
from sweep.records import COMPLETE, FAIL
from sweep.terminal.json_lines import LogLines
from sweep.track import __main__ as track
from sweep.track.reading import read_track
from sweep.track.shortfalls import shortfalls as track_shortfalls
from sweep.track.tables import schemas as track_schemas

ROOT = Path(__file__).parents[3]
TINY = ROOT / "tests" / "questions" / "tiny.py"
SMALL = ("--base-steps", "2", "--samples-forgotten", "4", "--samples-per-retained", "2", "--confirm-seeds", "2",
         "--confirm-members", "1", "--confirm-neighbours", "0", "--trials", "1", "--baseline-trials", "1",
         "--fid-budget", "100000", "--sampler", "random", "--sampling-steps", "2", "--in-process")  # fmt: skip
LOST = "WorkerLost: node 10.0.0.7 is gone"


def write_with(folder: Path, fails: Callable[[dict[str, Any]], bool]) -> Path:
    """The recorded run, in which these trials or replicates failed."""
    run = write_run(folder / "run", artifacts=False)
    writer = records.Writer(run, records.schemas(space()))
    for row in records.rows(run, "trials"):
        if fails(row | {"replicate": 0}):
            writer.trial(row | {"state": FAIL, "cause": LOST, "feasible": None})
    for row in records.rows(run, "replicates"):
        if fails(row):
            writer.replicate(row | {"state": FAIL, "cause": LOST}, [], [])
    return run


def of(trial_ids: Any, *replicates: int) -> Callable[[dict[str, Any]], bool]:
    return lambda row: row["trial_id"] in trial_ids and row["replicate"] in replicates


def arm(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda row: row["trial_id"].startswith(name)


# what failed: (how the run says it, whether its exit code is 1)
FAILED: dict[str, tuple[Callable[[dict[str, Any]], bool], str, bool]] = {
    "the method's arm": (arm("dimum"), "arm dimum: all 7 trials failed", True),
    "the baseline's arm": (arm("label_swap"), "arm label_swap, a baseline: all 4 trials failed", False),
    "every trial": (lambda row: row["trial_id"] in TRIALS, "every trial failed", True),
    "the whole confirmation": (
        of(CONFIRMED, 1, 2, 3),
        "confirmation of dimum-0000, dimum-0001, dimum-0006, label_swap-0000 and label_swap-0001: all 15 replicates "
        "failed, so nothing is confirmed",
        True,
    ),
    "a member's confirmation": (
        of(["dimum-0001"], 1, 2, 3),
        "confirmation of dimum-0001: all 3 replicates failed, so it has only the search's one seed",
        False,
    ),
    "some replicates": (
        of(["dimum-0000", "dimum-0001"], 2),
        "confirmation of dimum-0000 and dimum-0001: 2 of 6 replicates failed, so intervals are over fewer seeds",
        False,
    ),
    "a control on fresh seeds": (
        of(["control-retrain"], 1, 2),
        "control-retrain: 2 of 3 replicates on fresh seeds failed, so what is held against it lacks those seeds",
        False,
    ),
    "a control in the search": (
        of(["control-base"], 0),
        "control-base: it failed on the search's seed, so nothing of that seed is held against it",
        False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", FAILED)
def test_what_failed_is_said_alike_on_the_terminal_to_programs_and_on_the_page(what: str, tmp_path: Path) -> None:
    fails, said, fatal = FAILED[what]
    run = write_with(tmp_path, fails)
    ending = Ending(read_sweep(run))
    (told,) = [s for s in ending.shortfalls if s.what == said]
    # the first of all trials may be one that had failed already, of a cause of its own
    assert told.fatal == fatal and (ending.failure is not None) == fatal
    line = f"failed {said}; the first: {told.cause}"
    assert line in " ".join(render(ending.front).split()) and line in " ".join(ending.text().split())
    assert told.cause == LOST
    assert f"Failed: {said}; the first: {LOST}" in render(ending.front, "markdown")
    (own,) = [s for s in json.loads(render(ending.front, "json"))["shortfalls"] if s["what"] == said]
    out = io.StringIO()
    LogLines(out).result(ending)
    assert own in json.loads(out.getvalue())["shortfalls"] and (own["cause"], own["fatal"]) == (LOST, fatal)
    page = html.unescape(contents.write(run).read_text())
    assert f"<b>{'Failed' if fatal else 'Partly failed'}.</b> {said}; the first: {LOST}" in page
    for command in told.commands.values():
        assert command in page and any(c.startswith(f"  {command}  # ") for c in ending.text().splitlines())
    query = shlex.split(told.commands["every cause"])
    rows = subprocess.run([sys.executable, *query[1:]], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert LOST in rows


def test_a_run_in_which_single_trials_failed_and_nothing_else_has_nothing_to_say(tmp_path: Path) -> None:
    front = read_sweep(write_run(tmp_path / "run", artifacts=False))
    assert front.arms["dimum"].counts[FAIL] == 1 and Ending(front).shortfalls == ()
    assert "failed  " not in Ending(front).text() and json.loads(render(front, "json"))["shortfalls"] == []


def test_of_a_run_that_goes_on_it_is_said_that_this_is_so_far(tmp_path: Path) -> None:
    run = write_with(tmp_path, arm("dimum"))
    (run / "status.json").write_text(json.dumps(records.read_json(run / "status.json") | {"state": "running"}))
    assert "so far, arm dimum: all 7 trials failed" in render(read_sweep(run))


def test_one_command_runs_all_again_that_failed_on_fresh_seeds(tmp_path: Path) -> None:
    run = write_with(tmp_path, of(["dimum-0001", "control-base", "label_swap-0000"], 1))
    again = {c for s in Ending(read_sweep(run)).shortfalls for what, c in s.commands.items() if "again" in what}
    (command,) = again
    assert shlex.split(command)[:5] == ["python", "-m", "sweep.launch", "--resume", str(run)]
    assert set(shlex.split(command)[6:]) == {"dimum-0001", "control-base", "label_swap-0000"}


def sweep(folder: Path, question: Path, *more: str) -> int:
    artifacts = ["--artifacts", str(folder / "artifacts")]
    return launch.main(["--space", str(question), *SMALL, *artifacts, *more])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, lend_classifier: Callable[[Path], None]) -> Path:
    """A sweep run to its end, beside the artifacts that all sweeps here share."""
    folder = tmp_path_factory.mktemp("made")
    lend_classifier(folder / "artifacts")
    assert sweep(folder, TINY, "--run-dir", str(folder / "run")) == 0
    return folder


@pytest.mark.slow
def test_a_method_that_always_diverges_beside_a_baseline_that_does_not_ends_with_exit_code_1(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = TINY.read_text().replace('"noise")), *FINE_TUNING)', '"noise")), *WILD)')
    for rate in ("2e-4", "1e-3"):
        own = own.replace(f'"learning_rate": {rate}', '"learning_rate": 5e29')
    own = own.replace("SPACE =", 'WILD = (Float("learning_rate", 1e29, 1e30), FINE_TUNING[1])\n\nSPACE =')
    (made / "wild.py").write_text(own)
    assert sweep(made, made / "wild.py", "--run-dir", str(made / "wild")) == 1
    out, err = capsys.readouterr()
    assert err.startswith("error: arm dimum: its one trial failed; the first: ") and err.count("\n") == 1
    assert "Diverged" in err and " ".join(err.removeprefix("error: ").split()) in " ".join(out[-3000:].split())
    assert {r["arm"]: r["state"] for r in records.rows(made / "wild", "trials")} == {
        "dimum": FAIL, "label_swap": COMPLETE, "control": COMPLETE
    }  # fmt: skip
    assert "arm dimum: its one trial failed" in html.unescape((made / "wild" / "report.html").read_text())


@pytest.mark.slow
def test_a_confirmation_of_which_every_replicate_failed_ends_with_exit_code_1_and_can_be_run_again(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    searched, confirmed = TINY.read_text().split("    confirm_attacks=(")
    wild = confirmed.replace('"batch": 8}', '"batch": 8, "learning_rate": 1e30}')
    (made / "unconfirmed.py").write_text(f"{searched}    confirm_attacks=({wild}")
    run = made / "unconfirmed"
    assert sweep(made, made / "unconfirmed.py", "--run-dir", str(run), "--log-format", "json") == 1
    out, err = capsys.readouterr()
    said = "confirmation of dimum-0000 and label_swap-0000: all 4 replicates failed, so nothing is confirmed"
    assert err.startswith(f"error: {said}; the first: ") and err.count("\n") == 1 and "Diverged" in err
    last = json.loads(out.splitlines()[-1])
    assert last["event"] == "result" and last["shortfalls"][0]["what"] == said and last["shortfalls"][0]["fatal"]
    assert [s["what"].partition(":")[0] for s in last["shortfalls"][1:]] == ["control-base", "control-retrain"]
    assert launch.main(["--resume", str(run), "--in-process", "--confirm", "dimum-0000"]) == 1
    out = capsys.readouterr().out
    for replicate in (1, 2):
        assert f"dimum-0000-r{replicate} runs again on seed {replicate}; it had failed: " in out
        assert out.count(f"dimum-0000-r{replicate} ") == 2, "said, and run"
    assert "label_swap-0000-r1 " not in out, "what was not named stays as it is"


@pytest.mark.slow
def test_failed_replicates_that_are_named_run_again_on_their_seeds_and_take_the_place_of_what_was_recorded(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(made / "run", run)
    args = ["--resume", str(run), "--in-process"]
    plan = plan_of(launch.parser().parse_args(args), launch.parser())
    before = {(r["trial_id"], r["replicate"]): r for r in records.rows(run, "replicates")}
    curves = {(c["trial_id"], c["replicate"], c["attack"], c["attack_step"], c["metric"]): c["value"]
              for c in records.rows(run, "curves")}  # fmt: skip
    writer = records.Writer(run, records.schemas(plan.question()))
    lost = [("dimum-0000", 1), ("dimum-0000", 2), ("control-retrain", 2), ("label_swap-0000", 1)]
    for at in lost:  # as they are recorded where the machine under them goes
        writer.replicate(before[at] | {"state": FAIL, "cause": LOST, "robustness": None}, [], [])
    assert launch.main([*args, "--mlflow"]) == 0, "the baseline is confirmed"
    out = capsys.readouterr().out
    assert "runs again" not in out and "confirmation of dimum-0000: all 2 replicates failed" in out
    client = MlflowClient(tracking_uri=f"sqlite:///{run / 'mlflow.db'}")

    def logged() -> dict[str, str]:
        runs = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
        names = [r.info.run_name for r in runs]
        assert len(names) == len(set(names)), "each replicate once"
        return {r.info.run_name: r.info.status for r in runs}

    assert [logged()[f"{t}-r{n}"] for t, n in lost] == ["FAILED"] * 4
    assert launch.main([*args, "--confirm", "dimum-0000", "control-retrain"]) == 0
    out = capsys.readouterr().out
    assert (
        out.count("runs again on seed") == 3
        and f"control-retrain-r2 runs again on seed 2; it had failed: {LOST}" in out
    )
    after = {(r["trial_id"], r["replicate"]): r for r in records.rows(run, "replicates")}
    for at in lost[:3]:
        for figure in ("state", "cause", "seed", "robustness", "fid_delta", "unlearned_model"):
            assert after[at][figure] == before[at][figure], "the same seed gives the same figures"
        assert logged()[f"{at[0]}-r{at[1]}"] == "FINISHED"
    assert after[lost[3]]["state"] == FAIL and len(after) == len(before)
    again = {(c["trial_id"], c["replicate"], c["attack"], c["attack_step"], c["metric"]): c["value"]
             for c in records.rows(run, "curves")}  # fmt: skip
    assert again == {at: v for at, v in curves.items() if at[:2] != lost[3]}
    assert launch.main([*args, "--confirm", "control-base"]) == 2
    assert "--confirm control-base: none of its replicates on fresh seeds failed" in capsys.readouterr().err


@pytest.mark.slow
def test_a_track_says_which_methods_failed_and_ends_with_exit_code_1_where_nothing_is_left_of_one(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = made / "track"
    asked = "--methods dimum label_swap --attacks dimra-retain-1e-3 --forget 3 --seeds 1 --steps 1 --base-steps 2"
    where = ["--samples-forgotten", "4", "--samples-per-retained", "2", "--in-process", "--run-dir", str(run)]
    held = ["--artifacts", str(made / "artifacts"), "--fix", "steps=3", "--fix", "learning_rate=1e30"]
    assert track.main([*asked.split(), *where, *held]) == 1
    out, err = capsys.readouterr()
    for method in ("dimum", "label_swap"):
        said = f"{method}: the one replicate failed, so it has no place; the first: {method}-forget-3: "
        assert f"failed {said}" in " ".join(out[-3000:].split()) and said in err and err.count("\n") == 1
        assert f"<b>Failed.</b> {said}" in html.unescape((run / "report.html").read_text())
        assert f"Failed: {said}" in (run / "leaderboard.md").read_text()
    writer = records.Writer(run, track_schemas())
    for row in records.rows(run, "replicates"):
        states = {"dimum": [COMPLETE, FAIL], "label_swap": [COMPLETE]}.get(row["arm"], [FAIL])
        for i, state in enumerate(states):
            writer.replicate(
                row | {"replicate": 1 + i, "state": state, "cause": LOST if state == FAIL else None}, [], []
            )
    found = track_shortfalls(read_track(run))
    assert not any(s.fatal for s in found), "controls and single replicates leave something to read"
    assert {s.what for s in found} == {
        "dimum: 1 of 2 replicates failed, so intervals are over fewer seeds",
        *(f"{c}: the one replicate failed, so what is held against it lacks those seeds" for c in CONTROLS),
    }
