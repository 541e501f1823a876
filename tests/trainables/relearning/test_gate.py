"""The gate stops what surely cannot be feasible, and nothing else."""

from __future__ import annotations

import math

import pytest

from trainables.relearning.experiment import Limit, Samples
from trainables.relearning.gate import excluded

SAMPLES = Samples(forgotten=100, per_retained=20)
FORGOTTEN = Limit("unlearning_accuracy", 0.9, at_most=False)
BUDGET = Limit("fid_delta", 5.0, at_most=True)


def gate(limit: Limit, value: float, sd: float = 1.0) -> str | None:
    return excluded({limit.metric: value}, [limit], SAMPLES, 9, sd)


def test_what_surely_has_not_unlearned_is_stopped_and_the_cause_names_the_figure() -> None:
    cause = gate(FORGOTTEN, 0.5)
    assert cause is not None and "unlearning_accuracy" in cause and "0.500" in cause and "0.900" in cause


@pytest.mark.parametrize("value", [1.0, 0.9, 0.86])
def test_an_accuracy_near_the_line_goes_on(value: float) -> None:
    assert gate(FORGOTTEN, value) is None


def test_the_bound_of_an_accuracy_is_one_sided_95_percent() -> None:
    """The score test: p = 0.84 of 100 lies 2.0 standard errors under 0.9, p = 0.86 lies 1.33."""
    for hits in range(70, 100):
        z = (0.9 - hits / 100) / math.sqrt(0.9 * 0.1 / 100)
        assert (gate(FORGOTTEN, hits / 100) is not None) == (z > 1.644854), hits


def test_more_samples_make_the_gate_surer() -> None:
    limits = [Limit("retain_accuracy", 0.9, at_most=False)]
    assert excluded({"retain_accuracy": 0.85}, limits, Samples(8, 5), 9, 1.0) is None
    assert excluded({"retain_accuracy": 0.85}, limits, Samples(8, 50), 9, 1.0) is not None


@pytest.mark.parametrize(("value", "stopped"), [(7.10, False), (7.16, True), (4.0, False), (-50.0, False)])
def test_fid_delta_is_stopped_by_students_t_of_five_seeds_past_the_budget(value: float, stopped: bool) -> None:
    """t(4) at one-sided 95 % is 2.132: a budget of 5 and a standard deviation of 1 end at 7.13."""
    assert (gate(BUDGET, value) is not None) == stopped


def test_slack_lets_pass_what_breaks_a_bound_by_no_more() -> None:
    lenient = Limit("fid_delta", 5.0, at_most=True, slack=2.5)
    assert gate(lenient, 7.16 + 2.4) is None
    cause = gate(lenient, 7.16 + 2.5)
    assert cause is not None and "≤ 5.000, nor within 2.500 of it" in cause
    assert gate(Limit("unlearning_accuracy", 0.9, at_most=False, slack=0.45), 0.5) is None
    assert gate(Limit("unlearning_accuracy", 0.9, at_most=False, slack=0.45), 0.3) is not None


def test_a_figure_of_unknown_noise_never_stops_a_trial() -> None:
    assert gate(BUDGET, 1e9, sd=math.inf) is None
    assert gate(Limit("forgotten_confidence", 0.1, at_most=True), 1.0) is None


def test_any_one_limit_is_enough_and_none_means_go_on() -> None:
    figures = {"unlearning_accuracy": 1.0, "fid_delta": 100.0}
    cause = excluded(figures, [FORGOTTEN, BUDGET], SAMPLES, 9, 1.0)
    assert cause is not None and cause.startswith("fid_delta")
    assert excluded(figures, [], SAMPLES, 9, 1.0) is None
