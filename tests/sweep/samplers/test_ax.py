"""Ax as a sampler: offered whether or not it is installed, and no history makes it give up."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.errors import UsageError
from sweep.launch import main, parser
from sweep.plan.asked import plan_of
from sweep.plan.checks import validate
from sweep.records import COMPLETE
from sweep.samplers import Observation, Question
from sweep.samplers.catalogue import make
from sweep.space import Choice, Constraint, Float, Int, Objective

TINY = str(Path(__file__).parents[2] / "questions" / "tiny.py")
BOTH = (Objective("robustness", "maximise"), Objective("fid_delta", "minimise"))
BOUNDS = (Constraint("fid_delta", at_most=5.0), Constraint("unlearning_accuracy", at_least=0.05))
QUESTION = Question((Float("x", 0.0, 1.0), Int("n", 1, 9)), BOTH, BOUNDS)


def told(number: int, x: float, n: int, excess: float) -> Observation:
    """COMPLETE and above the budget by `excess`."""
    figures = {"robustness": 0.3 + 0.02 * number, "fid_delta": 5 * (1 + excess)}
    return Observation(number, {"x": x, "n": n}, COMPLETE, figures, {"fid_delta": excess, "unlearning_accuracy": 0.1})


def test_without_the_extra_the_command_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ax", None)  # as if it were not installed
    plan = plan_of(parser().parse_args(["--space", TINY, "--sampler", "ax"]), parser())
    with pytest.raises(UsageError):
        validate(plan)
    with pytest.raises(UsageError):
        make("ax", QUESTION, 0)
    run = tmp_path / "run"
    assert main(["--space", TINY, "--sampler", "ax", "--run-dir", str(run)]) == 2
    said = capsys.readouterr().err.strip()
    assert said == "error: --sampler ax: Ax is not installed: pip install -c constraints.txt -e '.[ax]'"
    assert not run.exists()


def test_a_plan_that_names_it_imports_no_more_than_any() -> None:
    script = "import sys, sweep.plan.plan; from sweep.samplers.catalogue import check_installed\n"
    script += "try: check_installed('ax')\nexcept Exception: pass\n"
    script += "print(*sorted({'ax', 'torch', 'scipy', 'optuna'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout == "\n"


@pytest.mark.parametrize("reference", [None, (0.0, 5.0)])
def test_where_no_trial_is_feasible_it_goes_on(reference: tuple[float, float] | None) -> None:
    pytest.importorskip("ax", reason="Ax is an extra")
    sampler = make("ax", replace(QUESTION, reference=reference), 0)
    for number in range(8):
        sampler.tell(told(number, number / 7, 1 + number, excess=8.0 - number / 2))
    assert 0 <= sampler.ask(8)["x"] <= 1


def test_where_all_was_tried_it_repeats() -> None:
    pytest.importorskip("ax", reason="Ax is an extra")
    question = replace(QUESTION, parameters=(Choice("x", (0.0, 0.5, 1.0)), Choice("n", (1, 2))))
    sampler = make("ax", question, 0)
    for number in range(6):
        sampler.tell(told(number, number % 3 / 2, 1 + number // 3, excess=number - 3.0))
    assert set(sampler.ask(6)) == {"x", "n"}
