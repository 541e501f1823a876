"""How commands end: a mistake and Ctrl-C are one line, a reader that is gone none, and a fault keeps its traceback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sweep.driver.sweep import _told_in_one_line
from sweep.errors import Parser, UsageError, called, command, need, resumable
from trainables.members import MemberFault

ROOT = Path(__file__).parents[2]


def main_that(error: BaseException) -> Callable[[], int]:
    @command
    def main() -> int:
        raise error

    return main


def test_a_mistake_is_one_line_and_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main_that(UsageError("--seeds 0: must be at least 1"))() == 2
    assert capsys.readouterr().err == "error: --seeds 0: must be at least 1\n"


def test_ctrl_c_is_one_line_and_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert main_that(KeyboardInterrupt())() == 130
    assert capsys.readouterr().err == "\nstopped\n"


@pytest.mark.parametrize(
    "fault", [ValueError("a fault"), OSError(28, "No space left on device"), SystemExit(2)], ids=repr
)
def test_nothing_else_is_swallowed(fault: BaseException) -> None:
    with pytest.raises(type(fault)) as raised:
        main_that(fault)()
    assert raised.value is fault


def test_the_end_of_another_pipe_is_a_fault() -> None:
    """Only standard output's reader may leave without a word."""
    ours, other = socket.socketpair()
    other.close()

    @command
    def main() -> int:
        ours.sendall(b"word")
        return 0

    with ours, pytest.raises(BrokenPipeError):
        main()


def test_a_command_returns_what_its_function_does() -> None:
    assert command(lambda: 1)() == 1


@pytest.mark.parametrize("written", [True, False])
def test_ctrl_c_tells_how_to_go_on_where_a_plan_is_written(
    written: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @command
    def main() -> int:
        with resumable("sweep.launch") as begun:
            begun.plan = tmp_path / "plan.json"
            if written:
                begun.plan.write_text("{}")
            raise KeyboardInterrupt

    assert main() == 130
    how = f"go on with: python -m sweep.launch --resume {tmp_path}" if written else "nothing was begun"
    assert capsys.readouterr().err == f"\nstopped; {how}\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_told_to_end_ends_as_by_ctrl_c_and_by_its_own_code(
    number: signal.Signals, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)

    @command
    def main() -> int:
        with resumable("sweep.launch") as begun:
            begun.plan = tmp_path / "plan.json"
            begun.plan.write_text("{}")
            os.kill(os.getpid(), number)
            time.sleep(10)
        return 0

    assert main() == 128 + number
    assert capsys.readouterr().err == f"\nstopped; go on with: python -m sweep.launch --resume {tmp_path}\n"
    assert signal.getsignal(number) == before
    assert command(lambda: 0)() == 0


def test_a_hangup_that_is_ignored_stays_so(tmp_path: Path) -> None:
    """As ``nohup`` has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with resumable("sweep.launch"):
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_library_that_is_needed_is_named_with_what_installs_it() -> None:
    need("json")
    with pytest.raises(UsageError, match=r"^nowhere is not installed: pip install -c constraints.txt nowhere$"):
        need("nowhere")
    with pytest.raises(UsageError, match=r"^--to: it is not installed: pip install -c constraints.txt -e '\.\[to\]'$"):
        need("nowhere", "to", "--to: it")


@pytest.fixture
def closed() -> Iterator[int]:
    """A pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_that_is_gone_is_no_error(lines: int, closed: int) -> None:
    """As other programs of a pipe it ends as if by SIGPIPE, and neither it nor Python's own end says a word."""
    program = f"from sweep.errors import command; raise SystemExit(command(lambda: print('line\\n' * {lines}) or 0)())"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, stdout=closed, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("name", ["compact", "launch"])
def test_nor_is_one_that_is_gone_before_the_help_is_printed(name: str, closed: int) -> None:
    """A long help argparse itself gives up, and ends with 0."""
    command = [sys.executable, "-m", f"sweep.{name}", "--help"]
    done = subprocess.run(command, cwd=ROOT, stdout=closed, stderr=subprocess.PIPE, text=True)
    assert done.returncode in (0, 141) and done.stderr == ""


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
    ids=["ascii streams", "a locale without UTF-8"],
)
def test_where_neither_terminal_nor_files_are_utf_8_what_is_said_and_written_is_the_same(
    environment: dict[str, str], tmp_path: Path
) -> None:
    run = str(Path(__file__).parents[1] / "data" / "run_of_27ff86b")
    page = tmp_path / "page.html"
    for words in (
        ["launch", "--help"],
        ["launch", "--space", "dimum_robustness", "--dry-run"],
        ["pareto", run],
        ["pareto", run, "--format", "json"],
        ["report", run, "-o", str(page)],
    ):
        done = subprocess.run(
            [sys.executable, "-m", f"sweep.{words[0]}", *words[1:]],
            env=os.environ | environment,
            capture_output=True,
        )
        assert done.returncode == 0 and done.stdout and not done.stderr, (words, done.stderr)
    assert "≤" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("program", "typed"),
    [("/env/bin/unlearning-sweep", "unlearning-sweep pareto"), ("sweep/launch.py", "python -m sweep.pareto")],
)
def test_a_command_is_told_as_it_can_be_typed_here(program: str, typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a sweep.py of the user's own Python's -m would run that."""
    monkeypatch.setattr(sys, "argv", [program])
    assert called("sweep.pareto") == typed
    assert Parser("python -m sweep.pareto").prog == typed


def test_a_members_fault_asks_for_a_new_run_and_no_resume(tmp_path: Path) -> None:
    """The run keeps its own copy of the file, and goes on with no other."""
    with (
        pytest.raises(UsageError, match=r"^metric 'edges': odd; mend it and start a new run") as told,
        _told_in_one_line(tmp_path),
    ):
        raise MemberFault("metric 'edges': odd")
    assert "--resume" not in str(told.value)
