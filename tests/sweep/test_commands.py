"""Every command of the project: its help is whole, a mistake is one line, and Ctrl-C at any moment ends it without a traceback."""

from __future__ import annotations

import argparse
import importlib
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from sweep import __main__

COMMANDS = (
    "launch",
    "track",
    "pareto",
    "report",
    "query",
    "compact",
    "export",
    "release",
    "repair",
    "gc",
    "cluster",
    "import_checkpoint",
    "train_text2image",
    "prepare_prompts",
)
ROOT = Path(__file__).parents[2]


def command(name: str, *args: str) -> list[str]:
    return [sys.executable, "-m", f"sweep.{name}", *args]


def main_of(name: str) -> Callable[[Sequence[str]], int]:
    folder = (ROOT / "sweep" / name).is_dir()
    main: Callable[[Sequence[str]], int] = importlib.import_module(
        f"sweep.{name}.__main__" if folder else f"sweep.{name}"
    ).main
    return main


def test_these_are_all_the_commands_there_are() -> None:
    modules = [p for p in (ROOT / "sweep").rglob("*.py") if '__name__ == "__main__"' in p.read_text()]
    modules.remove(ROOT / "sweep" / "__main__.py")  # all of them under one name
    assert (
        {p.parent.name if p.stem == "__main__" else p.stem for p in modules} == set(COMMANDS) == set(__main__.COMMANDS)
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_help_tells_of_every_argument_what_it_does(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[argparse.ArgumentParser] = []
    init = argparse.ArgumentParser.__init__

    def noted(parser: argparse.ArgumentParser, *args: object, **kwargs: object) -> None:
        init(parser, *args, **kwargs)  # type: ignore[arg-type]
        made.append(parser)

    monkeypatch.setattr(argparse.ArgumentParser, "__init__", noted)
    with pytest.raises(SystemExit) as ended:
        main_of(name)(["--help"])
    assert ended.value.code == 0 and made
    assert made[0].prog == f"python -m sweep.{name}" and made[0].description
    for parser in made:  # a command of commands has one for each
        for action in parser._actions:
            if not isinstance(action, argparse._SubParsersAction):
                assert action.help, f"{action.option_strings or action.dest} is not explained"


@pytest.mark.parametrize(
    "args",
    [
        ("launch", "--resume", "nowhere"),
        ("launch", "--space", "dimum_robustness", "--warm-start", "nowhere"),
        ("track", "--resume", "nowhere"),
        ("track", "compare", "nowhere", "nowhere"),
        ("pareto", "nowhere"),
        ("report", "nowhere"),
        ("query", "nowhere", "SELECT 1"),
        ("compact", "nowhere"),
        ("repair", "nowhere"),
        ("gc", "nowhere", "--delete"),
        ("export", "nowhere", "dimum-0000", "-o", "model"),
        ("release", "nowhere", "vflgan-0000", "-o", "rows"),
        ("cluster", "check", "nowhere"),
    ],
    ids=" ".join,
)
def test_a_run_that_is_not_there_is_one_line_and_nothing_is_made(args: tuple[str, ...], tmp_path: Path) -> None:
    done = subprocess.run(command(*args), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(r"error: .*nowhere.*\n", done.stderr), done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_before_anything_is_known_is_one_line(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", interrupted)
    assert main_of(name)(["nowhere"]) == 130
    assert capsys.readouterr().err in ("\nstopped\n", "\nstopped; nothing was begun\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_while_it_is_being_loaded_is_one_line(name: str, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", f"sweep.{name}", "--help"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stderr is not None
    for line in process.stderr:  # Python says which module it has imported; the package is the first of ours
        if line.rstrip().endswith("| sweep"):
            break
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    said = [line for line in error.splitlines() if not line.startswith("import time:")]
    assert process.returncode in (-signal.SIGINT, 130) and [line for line in said if line] == ["stopped"], error[-2000:]
