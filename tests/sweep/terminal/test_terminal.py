"""What a whole sweep says: to a program, as lines of JSON; to a person, on a real pseudo-terminal, also after Ctrl-C."""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from mlflow import MlflowClient

from sweep import records
from sweep.reading.sweep import read_sweep
from sweep.reading.words import number
from sweep.terminal import json_lines
from sweep.terminal.tally import OUTCOMES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
SMALL = ("--space", str(ROOT / "tests" / "questions" / "tiny.py"), "--base-steps", "20", "--samples-forgotten", "8",
         "--samples-per-retained", "4", "--confirm-seeds", "2", "--confirm-members", "1", "--fid-budget", "100000",
         "--sampler", "random", "--trials", "2", "--baseline-trials", "1", "--sampling-steps", "2", "--in-process")  # fmt: skip
HIDE, SHOW = b"\x1b[?25l", b"\x1b[?25h"


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "sweep.launch", *SMALL, *args]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, lend_classifier: Callable[[Path], None]) -> tuple[Path, str, str]:
    """A sweep run to its end with a log for programs: its folder, standard output and standard error."""
    folder = tmp_path_factory.mktemp("told")
    lend_classifier(folder / "runs" / "artifacts")
    args = command("--run-dir", "run", "--log-format", "json", "--mlflow", "--wandb")
    done = subprocess.run(args, cwd=folder, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout, done.stderr


def test_every_line_of_a_log_for_programs_has_every_documented_key_and_only_those(told: tuple[Path, str, str]) -> None:
    _folder, out, err = told
    lines = [json.loads(line, parse_constant=pytest.fail) for line in out.splitlines()]
    assert err == "", "nobody chats"
    for line in lines:
        assert list(line) == list(json_lines.FIELDS)
        for key, (kinds, _) in json_lines.FIELDS.items():
            assert isinstance(line[key], kinds), (key, line)
        assert line["event"] in json_lines.EVENTS
        assert datetime.fromisoformat(line["time"]).utcoffset() is not None
        assert list(line["counts"]) == ["running", "waiting", *OUTCOMES]
    assert (lines[0]["event"], lines[-1]["event"]) == ("plan", "result")
    assert [line["elapsed_s"] for line in lines] == sorted(line["elapsed_s"] for line in lines)


def test_what_the_log_tells_is_what_was_recorded(told: tuple[Path, str, str]) -> None:
    folder, out, _ = told
    lines = [json.loads(line) for line in out.splitlines()]
    ended = {(line["trial_id"], line["replicate"]): line for line in lines if line["event"] == "ended"}
    rows = {(r["trial_id"], r["replicate"]): r for r in records.rows(folder / "run", "replicates")}
    assert ended.keys() == rows.keys()
    for at, line in ended.items():
        assert line["state"] == rows[at]["state"] and line["figures"]["fid_delta"] == rows[at]["fid_delta"]
        assert (line["outcome"] is None) == (at[1] > 0 or line["arm"] == "control")
    last, front = lines[-1], read_sweep(folder / "run")
    assert sum(last["counts"][name] for name in OUTCOMES) == 3 and last["counts"]["running"] == 0
    assert last["counts"]["feasible"] == sum(bool(m.search_feasible) for m in front.members)
    assert last["core_hours"] == pytest.approx(
        sum(s["core_s"] for s in records.rows(folder / "run", "stages") if not s["found"]) / 3600
    )
    winner = front.member(last["trial_id"])
    assert winner.feasible and winner.confirmed and last["figures"]["robustness"] == winner.value("robustness")
    assert list(last["commands"]) == ["open the page", "every trial as a table", "keep the winner"]
    assert last["commands"]["keep the winner"].startswith(f"python -m sweep.export run {winner.trial_id} ")


def test_the_command_that_keeps_the_winner_saves_a_pipeline_whose_card_tells_what_its_figures_depend_on(
    told: tuple[Path, str, str],
) -> None:
    folder, out, _ = told
    last = json.loads(out.splitlines()[-1])
    line, winner = last["commands"]["keep the winner"], last["trial_id"]
    done = subprocess.run(
        ["bash", "-c", line.replace("python", sys.executable, 1)], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    kept = Path(folder / done.stdout.strip())
    card = ModelCard.load(kept / "README.md")
    row = records.rows(folder / "run", "replicates", f"{winner}-r1")[0]
    assert {r.metric_type: r.metric_value for r in card.data.eval_results} == {
        m: row[m] for m in ("robustness", "fid_delta")
    }
    assert card.data.library_name == "diffusers" and "machine-unlearning" in card.data.tags
    for said in (
        f"made to forget `3` of `digits` by `{row['method']}`",
        "| N | 12 samples of what was forgotten, 8 of each retained condition |",
        "| seed of training, attacks and samples | 1 |",
        "| sampler | ddim-2 |",
        f"| feature network | classifier, SHA-256 {row['feature_network_hash']} |",
        f"| reference statistics | {row['reference']} |",
        "- **dimra-public_all**: auxiliary=public_all, batch=8; its data hold what was forgotten",
        "| dimra-retain | 3 | relearning_accuracy |",
        "The same settings on fresh seeds 1, 2",
        "## Licence and limits",
    ):
        assert said in card.text, said
    figures = {
        m[1]: (m[2], m[3]) for m in re.finditer(r"^\| (\w+) \| ([^|]+) \| ([^|]+) \| \w* \| ", card.text, re.MULTILINE)
    }
    assert figures["unlearning_accuracy"] == (number(row["unlearning_accuracy"]), "12")
    assert figures["fid_delta"] == (number(row["fid_delta"]), "72") and figures["robustness"][1] == "12 a rung"
    assert figures["attacked_retain_accuracy"][1] == figures["attacked_fid_delta"][1] == "72 a rung"
    assert str(folder) not in card.content, "where it was made is nobody's business"
    before = {f: f.read_bytes() for f in kept.rglob("*") if f.is_file()}
    for again in (line, re.sub("--.* -o ", "", line), f"{line} other"):
        done = subprocess.run(
            ["bash", "-c", again.replace("python", sys.executable, 1)], cwd=folder, capture_output=True, text=True
        )
        assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert {f: f.read_bytes() for f in kept.rglob("*") if f.is_file()} == before and not (folder / "other").exists()
    code = card.text.partition("```python\n")[2].partition("```")[0].replace("this folder", str(kept))
    drawn: dict[str, Any] = {}
    exec(code, drawn)
    assert drawn["x"].shape == (4, 1, 8, 8) and drawn["x"].isfinite().all()


def test_a_sweep_is_in_mlflow_and_wandb_whole_while_its_log_stays_clean(told: tuple[Path, str, str]) -> None:
    folder, out, _ = told
    names = {f"{r['trial_id']}-r{r['replicate']}" for r in records.rows(folder / "run", "replicates")}
    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'run' / 'mlflow.db'}")
    found = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert {r.info.run_name for r in found} == {*names, "run"} and {r.info.status for r in found} == {"FINISHED"}
    kept = records.read_json(folder / "run" / "wandb" / "logged.json")
    assert set(kept) == names and len(list((folder / "run" / "wandb").glob("offline-run-*"))) == len(names) + 1
    assert "MLflow at sqlite:///" in json.loads(out.splitlines()[0])["text"]


class Terminal:
    """A process on a pseudo-terminal of its own, 120 columns wide."""

    def __init__(self, args: list[str], folder: Path) -> None:
        self.master, self.slave = os.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.shown = b""
        self.process = subprocess.Popen(
            args,
            cwd=folder,
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            env={k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TTY_COMPATIBLE")}
            | {"TERM": "xterm-256color"},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # Ctrl-C typed there is a SIGINT here
        )

    def read(self, seconds: float = 1.0) -> bytes:
        """All that is shown so far."""
        end = time.monotonic() + seconds
        while select.select([self.master], [], [], max(0.0, end - time.monotonic()))[0]:
            self.shown += os.read(self.master, 65536)
        return self.shown

    def until(self, pattern: bytes, seconds: float = 300) -> None:
        """Read until the pattern is shown; fails where the process ends or the time is up before."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.read(0.3), re.DOTALL):
            assert self.process.poll() is None and time.monotonic() < end, self.shown[-3000:].decode()

    def wait(self, seconds: float = 300) -> int:
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            self.read(0.3)
        self.read(0.3)
        return self.process.wait(1)


@contextmanager
def terminal(args: list[str], folder: Path) -> Iterator[Terminal]:
    opened = Terminal(args, folder)
    try:
        yield opened
    finally:
        if opened.process.poll() is None:
            opened.process.kill()
        opened.process.wait()
        os.close(opened.master)
        os.close(opened.slave)


def restored(opened: Terminal) -> bool:
    """Whether the cursor is shown again after it was hidden, and the line discipline is as it was."""
    cursor: Any = opened.shown.rfind(SHOW) > opened.shown.rfind(HIDE) >= 0
    return bool(cursor) and termios.tcgetattr(opened.slave) == opened.before


def test_on_a_terminal_one_live_table_is_drawn_and_the_terminal_left_as_it_was(told: tuple[Path, str, str]) -> None:
    folder = told[0]
    with terminal(command("--run-dir", "shown"), folder) as opened:
        assert opened.wait() == 0, opened.shown[-3000:].decode()
        assert restored(opened)
    table, end = opened.shown[: opened.shown.rfind(SHOW)].decode(), opened.shown[opened.shown.rfind(SHOW) :].decode()
    for word in (
        *("running", "waiting", *OUTCOMES),
        *("best so far", "last stage", "left: ", "core-hours", "search, 0:0", "confirm, 0:0"),
    ):
        assert word in table, word
    assert re.search(r"1/3 .*dimum-0000-r0", table), "what ended scrolls by above the table"
    for word in ("confirmed front", "winner  ", "next:", "report.html", "python -m sweep.export", "--format csv"):
        assert word in end, word
    assert "best so far" not in end


def test_ctrl_c_typed_at_the_terminal_ends_the_sweep_and_gives_the_terminal_back(told: tuple[Path, str, str]) -> None:
    folder = told[0]
    with terminal(command("--run-dir", "stopped", "--seed", "9"), folder) as opened:
        opened.until(rb"search, 0:.*core-hours")
        os.write(opened.master, b"\x03")
        assert opened.wait() == 130
        assert restored(opened)
    end = opened.shown[opened.shown.rfind(SHOW) :].decode()
    assert "stopped; go on with: python -m sweep.launch --resume stopped" in end and "Traceback" not in end
    assert records.read_json(folder / "stopped" / "status.json")["state"] == "interrupted"


def test_a_pipe_a_dumb_terminal_and_verbose_get_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    from sweep.terminal.choose import progress_for
    from sweep.terminal.lines import Progress
    from sweep.terminal.table import LiveTable

    master, slave = os.openpty()
    with os.fdopen(slave, "w") as stream, open(os.devnull, "w") as pipe:
        monkeypatch.setenv("TERM", "xterm")
        assert type(progress_for("auto", False, stream)) is LiveTable
        assert type(progress_for("auto", False, pipe)) is Progress
        assert type(progress_for("auto", True, stream)) is Progress, "what libraries write would tear the table"
        assert type(progress_for("lines", False, stream)) is Progress
        monkeypatch.setenv("TERM", "dumb")
        assert type(progress_for("auto", False, stream)) is Progress
    os.close(master)


def test_the_readme_documents_every_key_of_the_log() -> None:
    readme = (ROOT / "README.md").read_text()
    for key in json_lines.FIELDS:
        assert f"`{key}`" in readme, key
