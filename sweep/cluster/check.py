"""What is wrong with a cluster file, found before it costs money: every finding with its line and its mend."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.cluster.files import ClusterFile, Document, Place
from sweep.errors import UsageError

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


def findings(file: ClusterFile) -> list[Finding]:
    """All that is wrong with the file, by line; empty where it may be used."""
    from sweep.cluster import kuberay_checks, launcher_checks, secrets

    found: list[Finding] = []
    for document in file.documents:
        for place, line in document.repeated:
            name = ".".join(map(str, place))
            found.append(
                Finding(file.path, line, "repeated_key", f"{name} is written twice, and the last wins", "keep one")
            )
    checks = kuberay_checks.run(file) if file.kubernetes else launcher_checks.run(file)
    for name, document, (place, what, mend) in checks:
        found.append(Finding(file.path, document.line(*place), name, what, mend))
    found_at = {finding.line for finding in found if finding.check == "secret"}
    for line, text in file.comments:
        for sign in secrets.shapes(text) if line not in found_at else []:
            found.append(Finding(file.path, line, "secret", f"{sign} stands in a comment", secrets.MEND))
    return sorted(set(found))


def guarded(
    checks: Sequence[Check], document: Document, values: dict[str, Any], name: str = ""
) -> Iterator[tuple[str, Document, tuple[Place, str, str]]]:
    """What the checks find, each with its check's name (or `name`).

    A check that meets a shape it was not made for says so, as a finding: a file that it could not read to its end is not passed.
    """
    for check in checks:
        try:
            for found in check(document, values):
                yield name or check.__name__, document, found
        except (TypeError, ValueError, AttributeError, LookupError) as error:
            what = f"{name or check.__name__} could not be checked ({type(error).__name__}: {error})"
            yield "not_understood", document, ((), what, "write it as the shipped files do")


def refuse(file: ClusterFile) -> None:
    """UsageError with the first finding, where there is one: nothing is sent to a cluster that should not be up."""
    if found := findings(file):
        more = f" (and {len(found) - 1} more: python -m sweep.cluster check {file.path})" if len(found) > 1 else ""
        raise UsageError(f"{found[0]}{more}")
