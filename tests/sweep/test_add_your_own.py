"""The README's "Add your own", word for word: each of its members and its question is one new file, and they are swept for real.

They are written into a copy of the packages, so that nothing else can have been changed for them, and run from there. Then the
same files lie in a folder of their own, and the packages are as they are.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pages import TEXT

from sweep import export, launch, pareto, records
from trainables import members

ROOT = Path(__file__).parents[2]
SMALL = "--sampler random --fix steps=10 --trials 2 --baseline-trials 1 --base-steps 20 --sampling-steps 2 --confirm-seeds 1"
FEW = "--samples-forgotten 8 --samples-per-retained 4 --fid-features pixels --judge sure"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, lend_classifier: Callable[[Path], None]) -> Path:
    """A copy of the packages with the README's files in their places."""
    place = tmp_path_factory.mktemp("house")
    lend_classifier(place / "artifacts")
    for package in ("sweep", "trainables", "search_spaces"):
        shutil.copytree(ROOT / package, place / package, ignore=shutil.ignore_patterns("__pycache__"))
    blocks = re.findall(r"```python\n(# (\S+\.py):.+?)```", TEXT, re.DOTALL)
    assert [name for _, name in blocks] == [
        "trainables/unlearning/toward_null.py",
        "my_question.py",
        "trainables/attacks/jitter.py",
        "trainables/metrics/contrast.py",
        "trainables/judges/sure.py",
        "trainables/features/pixels.py",
        "trainables/data/stripes.py",
    ]
    (place / "away" / "mine").mkdir(parents=True)
    for text, name in blocks:
        assert not (place / name).exists()
        (place / name).write_text(text)
        (place / "away" / ("mine" if "/" in name else "") / Path(name).name).write_text(text)
    return place


def run(folder: Path, *command: str, packages: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A command run in a folder by its own packages, or where it has none by others."""
    environment = os.environ | {"PYTHONPATH": str(packages or folder)}
    return subprocess.run([sys.executable, "-m", *command], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def inside(house: Path) -> str:
    """The run of the question by members within the packages."""
    question = ["--space", "my_question.py", *SMALL.split(), *FEW.split()]
    done = run(house, "sweep.launch", *question, "--in-process", "--run-dir", "run", "--artifacts", "artifacts")
    assert done.returncode == 0, done.stdout + done.stderr
    return "run"


def test_the_readmes_files_are_typed_as_the_tree_is(house: Path) -> None:
    files = re.findall(r"```python\n# (trainables/\S+\.py):", TEXT)
    checked = ["--disallow-untyped-defs", "--ignore-missing-imports", "--follow-imports=skip"]
    done = subprocess.run([sys.executable, "-m", "mypy", *checked, *files], cwd=house, capture_output=True, text=True)
    assert len(files) == 6 and done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_readmes_files_are_swept_with_their_metric_as_an_objective(house: Path, inside: str) -> None:
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


FIGURES = ("trial_id", "replicate", "state", "contrast", "fid", "unlearning_accuracy", "robustness")


def rows(run_dir: Path, table: str, columns: Sequence[str]) -> list[list[object]]:
    return sorted([row[name] for name in columns] for row in records.rows(run_dir, table))


@pytest.mark.slow
def test_outside_the_packages_they_have_the_same_keys_and_figures(
    house: Path, inside: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the packages as they are. The artifacts are those of the run before: that all is found shows that keys are the same.

    On Ray's workers, and from a wheel, they are swept in tests/test_wheel.py.
    """
    away, within = house / "away", house / inside
    monkeypatch.chdir(away)
    question = ["--space", "my_question.py", "--members", "mine", *SMALL.split(), *FEW.split(), "--in-process"]
    assert launch.main([*question, "--run-dir", "run", "--artifacts", "../artifacts"]) == 0
    assert "metric contrast, attack jitter" in capsys.readouterr().out, "the plan names them"
    for table, columns in (("stages", ("trial_id", "replicate", "stage", "key")), ("replicates", FIGURES)):
        assert rows(away / "run", table, columns) == rows(within, table, columns) != []
    assert all(row["found"] for row in records.rows(away / "run", "stages"))

    for file in (away / "mine").iterdir():
        file.write_text("edited after the run began\n")
    assert launch.main(["--resume", "run"]) == 0, "by the run's own copies"
    members.use([])  # as in a process that has not run them
    assert pareto.main(["run"]) == 0 and "mean size of their pixels" in capsys.readouterr().out
    saved = ["run", "toward_null-0000", "-o", "model"]
    assert export.main(saved) == 2
    assert "look at that code, then add --members run/members" in capsys.readouterr().err
    assert export.main([*saved, "--members", "run/members"]) == 0 and Path("model/model_index.json").is_file()
    members.use([])


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
    done = run(house, "sweep.launch", *question, "--run-dir", "single", "--artifacts", "artifacts", "--in-process")
    assert done.returncode == 0 and "best so far, all arms: toward_null-" in done.stdout, done.stdout + done.stderr
    assert "FID budget" not in done.stdout and "noise of fid_delta" not in done.stdout, "nobody asked for it"
    before = run(house, "sweep.pareto", "single").stdout
    assert "ranking      the best first" in before
    assert "within_contrast" in run(house, "sweep.pareto", "single", "--format", "csv").stdout, "the bound"
    assert run(house, "sweep.launch", "--resume", "single", "--in-process").returncode == 0
    assert run(house, "sweep.pareto", "single").stdout == before
