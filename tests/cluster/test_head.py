"""The head is asked by a login shell, which may print more than the answer."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweep.cluster import files
from sweep.cluster.head import Head
from sweep.errors import UsageError

GPU = Path(__file__).parents[2] / "cluster" / "gpu.yaml"


class Shell:
    """Ray's cluster functions, as far as they run a command: by a login shell here, on a terminal, that says more."""

    def __init__(self, before: str = "", after: str = "") -> None:
        self.before, self.after = before, after

    def run_on_cluster(self, _: str, cmd: str, with_output: bool = False) -> bytes:
        done = subprocess.run(["bash", "-c", cmd], capture_output=True, text=True, timeout=60)
        return f"{self.before}{done.stdout}{self.after}".replace("\n", "\r\n").encode()


class Reached(Head):
    """A head that is reached at once, by such a shell."""

    def __init__(self, shell: Shell) -> None:
        super().__init__(files.read(str(GPU)))
        self.shell = shell

    @contextlib.contextmanager
    def _reaching(self, shown: bool = False) -> Iterator[Shell]:
        yield self.shell


@pytest.mark.parametrize("before", ["", "Quota: 3 GB\n", "Quota: 3 GB"], ids=["nothing", "a line", "no whole line"])
@pytest.mark.parametrize("after", ["", "goodbye\n"], ids=["nothing", "a line"])
def test_what_a_login_shell_prints_is_no_part_of_the_answer(before: str, after: str) -> None:
    head = Reached(Shell(before, after))
    assert head.ask("printf '0\\n'") == "0\n" and head.ask("true") == ""
    assert head.ask("echo one; echo two >&2") == "one\ntwo\n"
    with pytest.raises(UsageError, match=r"gpu\.yaml: on the head: no such run$"):
        head.ask("echo no such run; false")
    with pytest.raises(UsageError, match=r"on the head: it gave no answer$"):
        head.ask("false")


def test_a_head_that_only_says_why_it_gives_no_answer_is_told_by_that() -> None:
    class Closed(Shell):
        def run_on_cluster(self, _: str, cmd: str, with_output: bool = False) -> bytes:
            return b"This account is not available.\r\n"

    with pytest.raises(UsageError, match=r"on the head: This account is not available\.$"):
        Reached(Closed()).ask("true")
