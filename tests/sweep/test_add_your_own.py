"""The README's "Add your own", word for word: each of its members and its question is one new file, and they are swept for real.

They are written into a copy of the packages, so that nothing else can have been changed for them, and run from there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SMALL = "--in-process --trials 2 --baseline-trials 1 --base-steps 20 --sampling-steps 2 --confirm-seeds 1"
FEW = "--samples-forgotten 8 --samples-per-retained 4 --fid-features pixels --judge sure"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages with the README's files in their places."""
    place = tmp_path_factory.mktemp("house")
    for package in ("sweep", "trainables", "search_spaces"):
        shutil.copytree(ROOT / package, place / package, ignore=shutil.ignore_patterns("__pycache__"))
    blocks = re.findall(r"```python\n(# (\S+\.py):.+?)```", README, re.DOTALL)
    assert [name for _, name in blocks] == [
        "trainables/unlearning/toward_null.py",
        "trainables/attacks/jitter.py",
        "trainables/metrics/contrast.py",
        "trainables/judges/sure.py",
        "trainables/features/pixels.py",
        "trainables/data/stripes.py",
        "my_question.py",
    ]
    for text, name in blocks:
        assert not (place / name).exists()
        (place / name).write_text(text)
    return place


def run(house: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(house)}
    return subprocess.run([sys.executable, "-m", *command], cwd=house, env=environment, capture_output=True, text=True)


def test_the_readmes_files_are_typed_as_the_tree_is(house: Path) -> None:
    files = re.findall(r"```python\n# (trainables/\S+\.py):", README)
    checked = ["--disallow-untyped-defs", "--ignore-missing-imports", "--follow-imports=skip"]
    done = subprocess.run([sys.executable, "-m", "mypy", *checked, *files], cwd=house, capture_output=True, text=True)
    assert len(files) == 6 and done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_readmes_files_are_swept_with_their_metric_as_an_objective(house: Path) -> None:
    question = ["--space", "my_question.py", *SMALL.split(), *FEW.split()]
    done = run(house, "sweep.launch", *question, "--run-dir", "run", "--artifacts", "artifacts")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(run(house, "sweep.query", "run", "SELECT * FROM trials", "--format", "json").stdout)
    trials = [row for row in rows if row["arm"] != "control"]
    assert {row["method"] for row in trials} == {"toward_null", "dimum"}
    complete = [row for row in trials if row["state"] == "COMPLETE"]
    assert complete and all(0 < row["contrast"] < 1 for row in complete), "a column"
    sql = "SELECT DISTINCT attack, attack_step FROM curves WHERE metric = 'contrast' AND attack = 'jitter' ORDER BY ALL"
    curve = json.loads(run(house, "sweep.query", "run", sql, "--format", "json").stdout)
    assert [point["attack_step"] for point in curve] == [1, 3, 7], "a curve by attack step"
    front = json.loads(run(house, "sweep.pareto", "run", "--format", "json").stdout)
    assert [o["metric"] for o in front["plan"]["objectives"]] == ["robustness", "contrast"], "an objective"
    sql = "SELECT DISTINCT judge, feature_network FROM replicates"
    (replicate,) = json.loads(run(house, "sweep.query", "run", sql, "--format", "json").stdout)
    assert replicate == {"judge": "sure", "feature_network": "pixels"}
    facts = run(house, "sweep.query", "run", "--schema").stdout
    assert "mean size of their pixels" in facts
    assert "contrast" in (house / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n", "declares no figures; write FIGURES = (Figure("),
        ("FIGURES = (Figure('a', description=str(1)),)\n", "its figures cannot be read"),
        ("FIGURES = 3\n", "its figures cannot be read"),
        ("FIGURES = (Figure(name=3, description='x'),)\n", "a name is of letters"),
        ("FIGURES: tuple = (Figure('kid', description='another'),)\n", "declared in another file too"),
        ("FIGURES = (Figure('kid', description='another'),)\n", "figure 'kid' is declared in another file too"),
        ("FIGURES = (\n", "cannot be read"),
    ],
    ids=["none", "computed", "no tuple", "no name", "annotated", "another's", "syntax"],
)
def test_a_metric_whose_figures_cannot_be_known_is_one_line(house: Path, tmp_path: Path, text: str, said: str) -> None:
    place = Path(shutil.copytree(house, tmp_path / "house", ignore=shutil.ignore_patterns("run", "artifacts")))
    (place / "trainables" / "metrics" / "zero.py").write_text(text)
    done = run(place, "sweep.launch", "--space", "my_question.py", "--dry-run")
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert said in done.stderr and "zero.py" in done.stderr


@pytest.mark.slow
def test_the_readmes_metric_is_the_one_objective_and_a_bound_and_the_run_is_read_and_gone_on_with(house: Path) -> None:
    asked = (house / "my_question.py").read_text()
    both = 'objectives=(Objective("robustness", "maximise"), Objective("contrast", "maximise"))'
    bound = 'constraints=(Constraint("unlearning_accuracy", at_least=0.9),)'
    assert both in asked and bound in asked
    asked = asked.replace(both, 'objectives=Objective("contrast", "minimise")')
    (house / "single.py").write_text(asked.replace(bound, 'constraints=Constraint("contrast", at_most=0.99)'))
    question = ["--space", "single.py", *SMALL.split(), *FEW.split(), "--baseline-trials", "0"]
    done = run(house, "sweep.launch", *question, "--run-dir", "single", "--artifacts", "artifacts")
    assert done.returncode == 0 and "best so far, all arms: toward_null-" in done.stdout, done.stdout + done.stderr
    assert "FID budget" not in done.stdout and "noise of fid_delta" not in done.stdout, "nobody asked for it"
    before = run(house, "sweep.pareto", "single").stdout
    assert "ranking      the best first" in before
    assert "within_contrast" in run(house, "sweep.pareto", "single", "--format", "csv").stdout, "the bound"
    assert run(house, "sweep.launch", "--resume", "single", "--in-process").returncode == 0
    assert run(house, "sweep.pareto", "single").stdout == before
