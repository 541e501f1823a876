"""A file system that no longer answers, as a network's may, must not hold a process for ever; one that falters is asked again."""

from __future__ import annotations

import errno
import logging
import os
import queue
import random
import re
import threading
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")

_PASSING = {
    errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED,
    errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EPIPE,
}  # fmt: skip
# How object stores say so, in Arrow's words: its errors of them have no number.
_SAID_TO_PASS = re.compile(
    r"SLOW_?DOWN|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|THROTTLING|REQUEST_TIMEOUT|NETWORK_CONNECTION|HTTP status (429|5\d\d)"
    r"|UNAVAILABLE|DEADLINE_EXCEEDED|timed? ?out|connection reset",
    re.IGNORECASE,
)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 16.0
_chance = random.SystemRandom()  # of its own: a trial's seeded draws stay what they are
_log = logging.getLogger(__name__)


def patience_s() -> float:
    """Seconds within which a file system has to show a sign of life, and to get over what passes: SWEEP_PATIENCE_S, two minutes.

    The latter is counted in pauses between one attempt and the next.
    """
    return float(os.environ.get("SWEEP_PATIENCE_S", "120"))


def patiently(steps: Iterable[Item]) -> list[Item]:
    """All that `steps` gives, each within `patience_s`; what it raises is raised here. TimeoutError where it gives nothing.

    It is iterated in a thread of its own, for nothing ends a call that hangs in the kernel. The thread is left behind.
    """
    answers: queue.SimpleQueue[tuple[str, Item | BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            for item in steps:
                answers.put(("item", item))
            answers.put(("end", None))
        except BaseException as error:  # whatever it is: the caller waits for it
            answers.put(("error", error))

    threading.Thread(target=work, daemon=True, name="file system").start()
    items: list[Item] = []
    while True:
        try:
            what, answer = answers.get(timeout=patience_s())
        except queue.Empty:
            raise TimeoutError(f"no answer within {patience_s():g} s") from None
        if what == "end":
            return items
        if what == "error":
            assert isinstance(answer, BaseException)
            raise answer
        items.append(answer)  # type: ignore[arg-type]  # of kind "item"


def persistently(begin: Callable[[], Iterable[Item]]) -> list[Item]:
    """As `patiently` of what `begin` gives, which is begun anew after an error that passes by itself.

    With longer and longer pauses, each by chance up to half as long again, so that a hundred nodes do not ask at once. What
    did not answer at all in `patience_s` is not asked again.
    """
    waited, pause = 0.0, _FIRST_PAUSE_S
    while True:
        try:
            return patiently(begin())
        except OSError as error:
            left = patience_s() - waited
            if not passes(error) or left <= 0:
                raise
            said = error
        nap = min(pause * _chance.uniform(1.0, 1.5), left)
        _log.warning("%s; asked again in %.1f s", str(said).partition("\n")[0], nap)
        time.sleep(nap)
        waited, pause = waited + nap, min(2 * pause, _LONGEST_PAUSE_S)


def passes(error: OSError) -> bool:
    """Whether a file system that says this may do what it was asked for a moment later: not where it refuses, or is full."""
    if error.errno is None:
        return bool(_SAID_TO_PASS.search(str(error)))
    return error.errno in _PASSING
