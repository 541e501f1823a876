"""The pages that a newcomer reads: the README, and those of the folders that it leads to."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("sweep", "trainables", "search_spaces", "benchmarks")
PAGES = (ROOT / "README.md", *(ROOT / folder / "README.md" for folder in FOLDERS))
TEXT = "\n".join(page.read_text() for page in PAGES)
