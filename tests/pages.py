"""The pages that a newcomer reads: the README, and those in folders that it leads to."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "sweep" / "README.md", ROOT / "trainables" / "README.md")
TEXT = "\n".join(page.read_text() for page in PAGES)
