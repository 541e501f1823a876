"""What the readers of a run are told where its trials are attacks, each by its own settings, and the suite is the controls'."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sweep.reading.sweep import Sweep, read_sweep
from sweep.relearning import page_tables, page_words
from sweep.relearning.definitions import attacks_of, definitions
from sweep.relearning.model_card import measured

RECORDED = Path(__file__).parents[3] / "benchmarks" / "at_length" / "dimra_strength-digits-8"


@pytest.fixture(scope="module")
def sweep() -> Sweep:
    return read_sweep(RECORDED)


@pytest.fixture(scope="module")
def suite(sweep: Sweep) -> str:
    return ", ".join(sweep.plan["attacks"]["search"])


def test_the_suite_is_said_to_be_the_controls_alone(sweep: Sweep, suite: str) -> None:
    said = definitions(sweep)["robustness"]
    assert f"attacks: each trial by its own; the controls in search: {suite}; in confirm: {suite}" in said


def test_the_page_says_of_no_trial_that_the_suite_attacked_it(sweep: Sweep, suite: str) -> None:
    words = page_words.wording(sweep)
    assert "The others are attacked (each trial by its own) and scored" in words.course
    assert words.confirmed_by == "attacked each trial by its own"
    assert suite not in words.course


def test_of_arms_of_both_kinds_each_is_said_to_be_attacked_as_it_is(sweep: Sweep, suite: str) -> None:
    of_one = {name: facts for name, facts in sweep.plan["attacked"].items() if name == "dimra-adam"}
    mixed = replace(sweep, plan=sweep.plan | {"attacked": of_one})
    assert attacks_of(mixed, "confirm") == f"each trial of dimra-adam by its own, the others by {suite}"
    assert (
        "each trial of dimra-adam by its own; the others and the controls in search:"
        in definitions(mixed)["robustness"]
    )


def test_what_a_trials_own_attack_makes_the_model_betray_is_in_the_table_of_audits(sweep: Sweep) -> None:
    (table,) = page_tables.audits(sweep)
    after = {row[0]: row[1] for row in table.rows if str(row[1]).startswith("after")}
    trials = [trial for trial in after if trial not in sweep.controls]
    assert {after[trial] for trial in trials} == {"after dimra-adam", "after dimra-sgd"}
    assert all(after[control].removeprefix("after ") in sweep.plan["attacks"]["confirm"] for control in sweep.controls)
    assert all(row[2] is not None for row in table.rows), "membership_auc"


def test_the_card_says_by_which_settings_the_trial_attacked(sweep: Sweep) -> None:
    trial = sweep.arms["dimra-sgd"].confirmed_members[0]
    card = measured(sweep, trial, 1)
    (line,) = (line for line in card.splitlines() if line.startswith("- **dimra-sgd**"))
    assert "its defaults" not in line
    assert all(f"{name}={value}" in line for name, value in trial.parameters.items()) and trial.parameters
    control = sweep.controls["control-base"]
    assert "- **dimra-retain-3e-4**: auxiliary=retain, learning_rate=0.0003" in measured(sweep, control, 1)
