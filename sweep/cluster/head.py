"""The head of a running cluster, reached by Ray's own command runner: SSH, into its container where there is one, and rsync."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sweep.cluster.files import ClusterFile
from sweep.errors import UsageError

_MARK = "sweep-says:"  # before and after a command's output: a login shell may print more, of a quota say


class Head:
    """The head of a running cluster, as its file describes it."""

    def __init__(self, file: ClusterFile) -> None:
        self.file = file

    def ask(self, command: str) -> str:
        """What a shell command prints on the head. UsageError where the head cannot be reached or the command fails."""
        marked = f"echo {_MARK}; {{ {command}; }} 2>&1; echo {_MARK}$?"
        with self._reaching() as sdk:
            said = sdk.run_on_cluster(str(self.file.path), cmd=marked, with_output=True)
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        before, _, answer = text.replace("\r", "").partition(f"{_MARK}\n")
        printed, mark, code = answer.rpartition(_MARK)
        if code.split()[:1] != ["0"]:
            printed = printed if mark else before
            last = [line for line in printed.splitlines() if line.strip()][-1:]
            raise UsageError(f"{self.file.path}: on the head: {' '.join(last) or 'it gave no answer'}")
        return printed

    def show(self, command: str) -> None:
        """Run a shell command on the head with its output on this terminal."""
        with self._reaching(shown=True) as sdk:
            sdk.run_on_cluster(str(self.file.path), cmd=command)

    def send(self, folder: Path, target: str) -> None:
        with self._reaching() as sdk:
            sdk.rsync(str(self.file.path), source=f"{folder}/", target=f"{target}/", down=False)

    def fetch(self, source: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with self._reaching() as sdk:
            sdk.rsync(str(self.file.path), source=f"{source}/", target=f"{folder}/", down=True)

    @contextlib.contextmanager
    def _reaching(self, shown: bool = False) -> Iterator[Any]:
        """Ray's cluster functions, with their chatter kept back; the user's mistake where they fail.

        `shown`: what a command prints goes to this terminal.
        """
        from ray.autoscaler import sdk

        with tempfile.TemporaryFile("w+") as said:
            try:
                with contextlib.redirect_stdout(_Silent(sys.stdout if shown else said)), _errors_to(said):
                    yield sdk
            except (Exception, SystemExit) as error:  # click's exceptions, RuntimeErrors, and the provider's own
                if "ead node" in str(error):
                    raise UsageError(
                        f"{self.file.path}: no head is running; start it: ray up {self.file.path}"
                    ) from None
                said.seek(0)
                why = [line for line in said.read().splitlines() if line.strip() and "Shared connection" not in line]
                last = " ".join((why or [str(error)])[-1].split())
                raise UsageError(f"{self.file.path}: the head cannot be reached: {last}") from error


class _Silent(io.TextIOBase):
    """A standard output that swallows what this process says; what it starts writes to the file behind it."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def write(self, text: str) -> int:
        return len(text)

    def fileno(self) -> int:
        return int(self.file.fileno())


@contextlib.contextmanager
def _errors_to(file: Any) -> Iterator[None]:
    """Standard error of this process and of what it starts goes to a file: ssh says there how a connection ended."""
    sys.stderr.flush()
    before = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(before, 2)
        os.close(before)
