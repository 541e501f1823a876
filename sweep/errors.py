"""How a command ends: a mistake is one line and exit code 2, Ctrl-C one line and 130, a reader that is gone none at all.

A run that is told to end, by SIGTERM as schedulers do or by SIGHUP as a terminal that is closed, ends as by Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import functools
import importlib.util
import io
import os
import re
import select
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn, ParamSpec

MISTAKE, BY_SIGNAL = 2, 128  # exit codes, as a shell has them; the signal's number is added
READER_GONE = BY_SIGNAL + signal.SIGPIPE
_LONGEST = 255  # bytes of one name in a path, on the file systems in use

Arguments = ParamSpec("Arguments")


class UsageError(Exception):
    """Names the thing that is wrong, the place, and the mend, in one line."""


_received: list[int] = []  # signals beside Ctrl-C's own that were taken for it: a library may raise that anew


def listen_to_signals() -> None:
    """Have SIGTERM and SIGHUP end the run as Ctrl-C does, each once: what comes while the run ends, ends it at once.

    One that is ignored, as under ``nohup``, stays so. Other threads than the main one cannot listen.
    """
    if threading.current_thread() is not threading.main_thread():
        return

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        _received.append(number)
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)


def command(main: Callable[Arguments, int]) -> Callable[Arguments, int]:
    """Make a function a command: its exit code is returned, and mistakes, Ctrl-C and a closed pipe are told as this module says.

    Anything else that is raised is a fault of the program, and keeps its traceback.
    """

    @functools.wraps(main)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> int:
        _write_what_can_be()
        _received.clear()
        try:
            return _written(main, *args, **kwargs)
        except UsageError as error:
            print(f"error: {error}", file=sys.stderr)
            return MISTAKE
        except KeyboardInterrupt as stop:
            print(f"\nstopped; {stop}" if str(stop) else "\nstopped", file=sys.stderr)
            return BY_SIGNAL + (_received[-1] if _received else signal.SIGINT)
        except BrokenPipeError:
            if not _reader_gone():
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python's own flush at exit complains
            return READER_GONE

    return run


def _write_what_can_be() -> None:
    """Have a terminal show ``?`` for what it cannot, such as a file's name that is not UTF-8; else it would end the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _written(main: Callable[Arguments, int], *args: Arguments.args, **kwargs: Arguments.kwargs) -> int:
    """What `main` returns, once all that it printed is out: whether somebody still reads it is known then."""
    try:
        code = main(*args, **kwargs)
    except SystemExit:  # --help
        sys.stdout.flush()
        raise
    sys.stdout.flush()
    return code


def _reader_gone() -> bool:
    """Whether standard output is a pipe that nobody reads any more, as after ``| head``; another pipe's end is a fault."""
    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), 0)
    except io.UnsupportedOperation:  # a stream of a program that calls us
        return False
    return any(events & select.POLLERR for _, events in poll.poll(0))


@contextlib.contextmanager
def listening_to_signals() -> Iterator[None]:
    """Within it SIGTERM and SIGHUP end the run as Ctrl-C does; afterwards they are what they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    listen_to_signals()
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


@dataclass
class Begun:
    """Where the plan is, or will be, of the run that a command drives; None before that is known."""

    plan: Path | None = None


@contextlib.contextmanager
def resumable(command: str) -> Iterator[Begun]:
    """Have a Ctrl-C within tell how to go on with the run, where its plan is written, or that nothing was begun.

    So do SIGTERM and SIGHUP. What `telling` has it tell within goes before.
    """
    begun = Begun()
    try:
        with listening_to_signals():
            yield begun
    except KeyboardInterrupt as stop:
        written = begun.plan if begun.plan is not None and begun.plan.exists() else None
        how = (
            f"go on with: {called(command)} --resume {shlex.quote(str(written.parent))}"
            if written
            else "nothing was begun"
        )
        stop.args = stop.args or (how,)
        raise


@contextlib.contextmanager
def telling(how: str) -> Iterator[None]:
    """Have a Ctrl-C within tell this: what goes on elsewhere, say, though nothing does here."""
    try:
        yield
    except KeyboardInterrupt as stop:
        stop.args = stop.args or (how,)
        raise


def called(module: str) -> str:
    """How a command is typed where this process was: ``unlearning-sweep pareto``, or by Python's ``-m``."""
    installed = Path(sys.argv[0]).name
    return f"{installed} {module.removeprefix('sweep.')}" if installed == "unlearning-sweep" else f"python -m {module}"


def tell_of_interrupts() -> None:
    """Let a KeyboardInterrupt that no command catches, in an import for one, be told in one line; all else is told as before.

    The interpreter then ends by the signal itself, which a shell calls 130.
    """
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.stderr.write("\nstopped\n")
        else:
            before(kind, error, trace)

    sys.excepthook = hook


def need(module: str, extra: str = "", called: str = "") -> None:
    """UsageError where a library is not installed, with the command that installs it; imports nothing.

    `extra`: this project's extra that brings it, where one does; `called`: how the line names it.
    """
    if importlib.util.find_spec(module) is None:
        what = f"-e '.[{extra}]'" if extra else module
        raise UsageError(f"{called or module} is not installed: pip install -c constraints.txt {what}")


class Parser(argparse.ArgumentParser):
    """A command line whose mistakes are one line as well; `--help` tells the rest. `prog` is ``python -m MODULE``.

    What it makes of a command line says in `typed` which arguments stood there, whatever their values are.
    """

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(called(prog.removeprefix("python -m ")), **options)

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As argparse's; refused too is what would be a path that no file system takes, whatever it is the name of."""
        values, rest = super().parse_known_args(args, namespace)
        ungiven = argparse.Namespace(**{action.dest: None for action in self._actions})  # argparse keeps what is there
        given, _ = super().parse_known_args(args, ungiven)
        values.typed = frozenset(name for name, value in vars(given).items() if value is not None)
        for name, value in vars(values).items():
            for text in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(text, str) and (why := _no_path(text)):
                    self.error(f"argument {name.replace('_', '-')}: {why}")
        return values, rest

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def _no_path(text: str) -> str | None:
    """Why no file can be called so. Lists, settings and SQL, which name none, may be as long as they like."""
    if "\0" in text:
        return f"{text[:40]!r} holds a NUL, which no name may"
    if any("\udc80" <= character <= "\udcff" for character in text):  # how Python spells a byte that is no UTF-8
        return f"{ascii(text)[:60]} is not UTF-8; rename it, or name it by a link"
    longest = max(map(len, map(str.encode, text.split("/"))))
    if longest > _LONGEST and not re.search(r"[\s,=]", text):
        return f"{text[:40]}… has a name of {longest} bytes; a file's may have {_LONGEST}"
    return None


def near(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the known names nearest to `name`, followed by all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    guess = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    return f"{guess}known: {', '.join(known) or 'none'}"


@contextlib.contextmanager
def mistake_in(where: str) -> Iterator[None]:
    """What a settings class refuses is the user's mistake: one line that says where."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise UsageError(f"{where}: {error}") from error
