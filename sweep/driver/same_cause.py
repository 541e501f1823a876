"""Trials that fail one after the other with one cause: what is wrong is not with them, and the rest would fail too."""

from __future__ import annotations

import re

from sweep.jobs import Ended
from sweep.records import FAIL

_FEWEST = 20
# The node, keys, addresses, numbers.
_VARIES = re.compile(r" \(on [^)]*\)|\b[0-9a-f]{8,}\b|0x[0-9a-f]+|\d+(\.\d+)?(e[+-]?\d+)?")
_OF_SETTINGS = re.compile(r"\bDiverged:|, not finite")  # what a trial's own settings did, however many in a row did it


class FailingAlike(RuntimeError):
    """So many in a row have failed with one cause that the run is not worth going on with before that is mended."""


class SameCause:
    """Counts trials that failed in a row with the same cause, whatever numbers and nodes it names.

    Trials that diverged are none of them: that settings diverge is what a search is to learn.
    """

    def __init__(self, workers: int) -> None:
        self.most = max(_FEWEST, 3 * workers)  # each worker can have met it more than once
        self._cause, self._count = "", 0

    def take(self, ended: Ended) -> None:
        """Raises FailingAlike where there are too many; one that ended otherwise begins the count anew."""
        said = ended.row["cause"] if ended.row["state"] == FAIL else ""
        cause = "" if _OF_SETTINGS.search(said or "") else _VARIES.sub("#", said or "")
        self._count = self._count + 1 if cause and cause == self._cause else int(bool(cause))
        self._cause = cause
        if self._count >= self.most:
            raise FailingAlike(f"{self._count} trials in a row failed with one cause, the last with: {said}")
