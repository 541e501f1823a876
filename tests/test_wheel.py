"""The package as it is installed: from a wheel, in a folder that has files of the same names, by its own command."""

from __future__ import annotations

import os
import re
import shutil
import site
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from pages import TEXT

ROOT = Path(__file__).parents[1]
SMALL = (
    "--trials 1 --baseline-trials 0 --base-steps 2 --sampling-steps 2 --samples-forgotten 4 --samples-per-retained 2 "
    "--confirm-seeds 1 --workers 1 --fix steps=10 --judge sure --fid-features pixels"
)


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``unlearning-sweep`` in an environment of its own: the wheel, and beside it what this environment has installed."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    keep = ("sweep", "trainables", "search_spaces", "cluster")
    for name in keep:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "constraints.txt"):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(source)], check=True)
    (wheel,) = folder.glob("*.whl")
    home = folder / "home"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    python = home / "bin" / "python"
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)], check=True)
    (packages,) = home.glob("lib/python*/site-packages")
    others = [sysconfig.get_path("purelib"), *site.getsitepackages()]  # none of these files' own .pth is followed
    (packages / "others.pth").write_text("\n".join(dict.fromkeys(others)) + "\n")
    return home / "bin" / "unlearning-sweep"


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """A folder with files called as our packages are, each of which says so if it is run."""
    for name in ("sweep.py", "trainables/__init__.py", "search_spaces/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit('the wrong file was run')\n")
    return tmp_path


def run(command: Path, place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run([str(command), *arguments], cwd=place, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_a_sweep_runs_from_a_wheel_beside_files_of_the_same_names_on_rays_workers_too(
    command: Path, crowded: Path, lend_classifier: Callable[[Path], None]
) -> None:
    """It is of the README's question and members, none of which is put into the packages."""
    for text, name in re.findall(r"```python\n(# (\S+\.py):.+?)```", TEXT, re.DOTALL):
        place = crowded / ("mine" if "/" in name else "") / Path(name).name
        place.parent.mkdir(exist_ok=True)
        place.write_text(text)
    lend_classifier(crowded / "runs" / "artifacts")
    question = ("--space", "my_question.py", "--members", "mine")
    done = run(command, crowded, "launch", *question, *SMALL.split(), "--run-dir", "run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the wrong file was run" not in done.stdout + done.stderr
    assert (crowded / "run" / "report.html").is_file()
    shown = run(command, crowded, "pareto", "run")
    assert shown.returncode == 0 and "toward_null-0000" in shown.stdout and "contrast" in shown.stdout


def test_the_cluster_files_and_the_tested_versions_are_installed_too(command: Path) -> None:
    share = command.parents[1] / "share" / "unlearning-sweeps"
    assert (share / "cluster" / "gpu.yaml").read_bytes() == (ROOT / "cluster" / "gpu.yaml").read_bytes()
    assert (share / "constraints.txt").is_file()


def test_the_command_lists_its_commands_and_refuses_others(command: Path, crowded: Path) -> None:
    listed = run(command, crowded)
    assert listed.returncode == 0 and "launch" in listed.stdout and "cluster" in listed.stdout
    refused = run(command, crowded, "lunch")
    assert refused.returncode == 2
    assert (
        refused.stderr.startswith("error: lunch: no such command; did you mean 'launch'")
        and refused.stderr.count("\n") == 1
    )
    helped = run(command, crowded, "export", "--help")
    assert helped.returncode == 0 and "TRIAL" in helped.stdout
