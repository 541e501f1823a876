"""A finding of a cluster file's check: where, what, and the mend; and how checks are run so that none is passed unread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.cluster.files import Document, Place

Found = Iterator[tuple[Place, str, str]]
"""Where in the file, what is wrong there, and how to mend it."""

Check = Callable[[Document, dict[str, Any]], Found]
"""A check of a document, given its values too, with Ray's defaults filled in where Ray would fill them in."""


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is wrong with a cluster file. `check` names the check that found it."""

    path: Path
    line: int
    check: str
    what: str
    mend: str

    def __str__(self) -> str:
        text = f"{self.path}:{self.line}: {self.what}; {self.mend} [{self.check}]"
        # What a file holds may be a terminal's order ("\\e[2J"): it is shown, and not obeyed.
        return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def guarded(
    checks: Sequence[Check], document: Document, values: dict[str, Any], name: str = ""
) -> Iterator[tuple[str, Document, tuple[Place, str, str]]]:
    """What the checks find, each with its check's name (or `name`).

    A check that meets a shape it was not made for says so, as a finding: a file that it could not read to its end is not passed.
    """
    for check in checks:
        try:
            for finding in check(document, values):
                yield name or check.__name__, document, finding
        except (TypeError, ValueError, AttributeError, LookupError) as error:
            what = f"{name or check.__name__} could not be checked ({type(error).__name__}: {error})"
            yield "not_understood", document, ((), what, "write it as the shipped files do")
