"""A preset is a question at another size: its flags stand before what was typed, its parts in place of the question's own."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from sweep import launch
from sweep.errors import UsageError
from sweep.plan.asked import plan_of, with_preset
from sweep.plan.folders import create_run_dir
from sweep.plan.plan import Plan
from sweep.records import read_json
from sweep.space import Preset, find

QUICK = """
import dataclasses
from sweep.space import Attack, Preset
from search_spaces.dimum_robustness import SPACE as WHOLE
SPACE = dataclasses.replace(WHOLE, name="sized", presets=(
    Preset("quick", "a look", ("--sampling-steps", "4", "--seed", "7"), {"rungs": (0, 1), "trials": 3}),
    Preset("wrong", "no such part", (), {"rung": (0, 1)}),
))
"""


@pytest.fixture
def question(tmp_path: Path) -> str:
    file = tmp_path / "sized.py"
    file.write_text(QUICK)
    return str(file)


def planned(*words: str) -> Plan[Any]:
    known = launch.parser()
    return plan_of(known.parse_args(with_preset(words)), known)


def test_what_is_typed_wins_and_what_is_not_is_the_presets(question: str) -> None:
    plan = planned("--space", question, "--preset", "quick", "--sampling-steps", "6")
    assert (plan.setup.sampling_steps, plan.run.seed, plan.trials) == (6, 7, 3)
    assert plan.question().rungs == (0, 1)
    usual = planned("--space", question)
    assert (usual.setup.sampling_steps, usual.trials) == (10, 16) and len(usual.question().rungs) == 7


def test_a_run_goes_on_with_its_preset(question: str, tmp_path: Path) -> None:
    plan = planned("--space", question, "--preset", "quick")
    plan = create_run_dir(plan.but(run_dir=str(tmp_path / "run"), artifacts=str(tmp_path / "store")))
    recorded = Plan.from_json(read_json(tmp_path / "run" / "plan.json"), str(tmp_path / "run" / "plan.json"))
    assert recorded.question() == plan.question() and recorded.preset == "quick"
    assert plan.question().fingerprint() != planned("--space", question).question().fingerprint(), "another question"


def test_presets_are_no_part_of_what_is_asked(question: str) -> None:
    space = find.load(question)
    assert space.fingerprint() == dataclasses.replace(space, presets=()).fingerprint()


def test_the_printed_plan_says_which_and_what_it_stands_for(
    question: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert launch.main(["--space", question, "--preset", "quick", "--dry-run"]) == 0
    output = capsys.readouterr().out
    assert "preset      quick (a look): --sampling-steps 4 --seed 7" in output and "images by ddim-4" in output


@pytest.mark.parametrize(
    ("preset", "said"),
    [
        ("quik", "--preset quik: space 'sized' has no such preset; did you mean 'quick'? known: quick, wrong"),
        ("wrong", "preset 'wrong': 'rung' is no part of a question that it may change"),
    ],
)
def test_what_is_no_preset_is_one_line(
    question: str, preset: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch.main(["--space", question, "--preset", preset]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_a_question_without_any_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert launch.main(["--space", "dimum_robustness", "--preset", "smoke"]) == 2
    assert "--preset smoke: space 'dimum_robustness' has no presets; leave it out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "flags", "said"),
    [
        ("Quick", (), "preset 'Quick': a name is of small letters"),
        ("quick", "--trials 3", "flags are a tuple of words"),
        ("quick", ("3", "--trials"), "flags begin with one, not with '3'"),
    ],
)
def test_a_preset_that_could_not_be_typed_is_refused(name: str, flags: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Preset(name, "help", flags)
