"""Copies of the shipped cluster files with one thing changed, for the tests of `python -m sweep.cluster check`."""

from __future__ import annotations

from pathlib import Path

from sweep.cluster import files
from sweep.cluster.check import findings
from sweep.cluster.finding import Finding

FOLDER = Path(__file__).parents[2] / "cluster"


def altered(shipped: str, *changes: tuple[str, str]) -> str:
    """The text of a shipped file, with each first text, which must be in it, replaced by the second wherever it stands."""
    text = (FOLDER / shipped).read_text()
    for old, new in changes:
        assert old in text, f"{shipped} no longer has {old!r}"
        text = text.replace(old, new)
    return text


def found_in(text: str, folder: Path) -> list[Finding]:
    """What `check` finds in a file of this text."""
    path = folder / "file.yaml"
    path.write_text(text)
    return findings(files.read(str(path)))


def said_at(found: list[Finding], text: str, check: str) -> list[str]:
    """The lines that findings of a check point at."""
    return [text.splitlines()[finding.line - 1] for finding in found if finding.check == check]
