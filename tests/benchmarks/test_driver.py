"""The benchmark of the driver runs, on a real Ray and Tune, and a trial that nobody decides about is one step of Tune's."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def steps_a_trial(folder: Path, *options: str) -> float:
    sizes = ["--nodes", "1", "--trials", "4", "--every", "2", "--seconds", "0.2"]
    command = [sys.executable, "-m", "benchmarks.driver", str(folder), *sizes, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| 4 |" in done.stdout and "slots busy" in done.stdout
    found = re.search(r"([\d.]+) steps of Tune's a trial", done.stdout)
    assert found is not None, done.stdout
    return float(found[1])


def test_a_whole_trial_is_one_message_to_the_driver(tmp_path: Path) -> None:
    assert steps_a_trial(tmp_path / "whole") == 1.5, "of four trials and two controls, one each"


@pytest.mark.long  # half a minute, for the other half of one comparison
def test_where_the_driver_decides_between_stages_each_is_a_message(tmp_path: Path) -> None:
    assert steps_a_trial(tmp_path / "stages", "--stop-dominated") > 4
