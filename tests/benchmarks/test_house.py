"""The layout's counts, on a package small enough to count by hand; and that the checkout itself can be counted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # benchmarks is no installed package
from benchmarks import house

ROOT = Path(__file__).parents[2]

FILES = {
    "toy/__init__.py": "",
    "toy/command.py": "from toy import page\nfrom toy.reading.front import a, b\n",
    "toy/page.py": "def late():\n    from toy.reading import front\n    return front\n",
    "toy/reading/__init__.py": "from .front import a\n",
    "toy/reading/front.py": "import toy.numbers\nfrom ..numbers import one\nfrom toy.reading import words\na = b = 1\n",
    "toy/reading/words.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .front import a\n",
    "toy/numbers.py": "import math\none = 1\n",
}


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_rooms_and_the_names_imported_between_them(toy: Path) -> None:
    modules = house.modules_of(toy, "toy")
    assert {m.room for m in modules} == {"toy", "command", "page", "reading", "numbers"}
    assert house.between_rooms(modules) == {
        ("command", "page"): 1,
        ("command", "reading"): 2,
        ("page", "reading"): 1,
        ("reading", "numbers"): 2,
    }


def test_a_circle_of_modules_within_a_room_is_none_of_rooms(toy: Path) -> None:
    text = house.written(toy, ["toy"])
    assert "Circles of rooms: none." in text
    assert "Circles of modules: toy.reading.front, toy.reading.words." in text
    assert "| toy | 5 | 7 | 15 | 4 | 6 | 4 | 0 | 1 |" in text  # command, page, reading, numbers: four floors


@pytest.mark.parametrize(
    ("graph", "expected", "height"),
    [
        ({"a": ["b"], "b": ["c"], "c": []}, [], 3),
        ({"a": ["b"], "b": ["a", "c"], "c": []}, [["a", "b"]], 2),
        ({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["e"], "e": ["d", "a"]}, [["a", "b", "c"], ["d", "e"]], 2),
    ],
)
def test_circles_and_floors(graph: dict[str, list[str]], expected: list[list[str]], height: int) -> None:
    assert house.circles(graph) == expected and house.floors(graph) == height


def test_what_is_too_long_is_named(toy: Path) -> None:
    (toy / "toy" / "numbers.py").write_text("def long():\n" + "    pass\n" * 400)
    text = house.written(toy, ["toy"])
    assert "Files over 400 lines: toy/numbers.py (401)." in text
    assert "Functions over 60 lines: toy/numbers.py:1 long (401)." in text


def test_the_command_counts_this_checkout_and_refuses_a_folder_that_is_none(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "house.py")]
    done = subprocess.run([*command, "-o", str(tmp_path / "house.md")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "house.md").read_text()
    assert "## sweep" in text and "## trainables" in text and "| samplers |" in text
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith(f"error: {tmp_path}: has no package sweep")
