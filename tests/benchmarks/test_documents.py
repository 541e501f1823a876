"""What pages name is there: the commands that made their figures can be run as they stand, and so can the tests that they cite."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *ROOT.glob("*/README.md"), *ROOT.glob("benchmarks/*.md")]
TESTS = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_command_finds_its_benchmark_and_what_that_imports(page: Path) -> None:
    """A script's own folder comes before the working directory, so one that imports another benchmark is run as a module."""
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"python (?:-u )?benchmarks/([\w/]+)\.py", text):
        source = (ROOT / "benchmarks" / f"{name}.py").read_text(encoding="utf-8")
        assert not re.search(r"^\s*(?:from|import) benchmarks\b", source, re.MULTILINE), (
            f"{name}: python -m benchmarks.{name}"
        )
    for name in re.findall(r"python (?:-u )?-m benchmarks\.([\w.]+)", text):
        folder = ROOT / "benchmarks" / name.replace(".", "/")
        assert folder.with_suffix(".py").is_file() or (folder / "__main__.py").is_file(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_test_that_is_cited_is_there(page: Path) -> None:
    """By its file, or by its name, of which a page may leave out what comes after three dots."""
    for name, cut in re.findall(r"`(?:[\w/]+::)?(test_\w+)(\.py|…|\.\.\.)?", page.read_text(encoding="utf-8")):
        if cut == ".py":
            assert list((ROOT / "tests").rglob(f"{name}.py")), f"{name}.py"
        else:
            there = re.search(rf"def {name}" + ("" if cut else r"\b"), TESTS)
            assert there or list((ROOT / "tests").rglob(f"{name}.py")), name
