"""What rows of the tables say of a model under attack, by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from recorded_run import CONFIRMED, RUNGS, SEEDS, write_run

from sweep.records import read
from sweep.relearning.recovery import (
    Recovery,
    aurc_by_seed,
    excess_recovery,
    recoveries,
    relearning,
    revival,
    worst_case,
)
from sweep.statistics.shares import Point, share_estimate

N = 100


def curve(*values: float, rungs: tuple[int, ...] = (0, 1, 3, 7)) -> dict[int, Point]:
    return {k: Point(v, N) for k, v in zip(rungs, values, strict=True)}


def points(*values: float, first_seed: int = 1) -> dict[int, Point]:
    return {first_seed + i: Point(v, N) for i, v in enumerate(values)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run") / "recorded", artifacts=False)


def test_recoveries_are_read_from_the_records_of_one_phase(run: Path) -> None:
    tables = read(run, "curves"), read(run, "replicates")
    found = recoveries(*tables)
    assert {trial for trial, _ in found} == {*CONFIRMED, "control-base", "control-retrain"}
    own = found["dimum-0001", "retain"]
    assert set(own) == set(SEEDS) and all(set(steps) == set(RUNGS) for steps in own.values())
    assert set(recoveries(*tables, phase="search")["dimum-0001", "retain"]) == {7}
    assert set(recoveries(*tables, phase=None)["dimum-0001", "retain"]) == {7, *SEEDS}
    as_rows = recoveries(*(table.to_pylist() for table in tables))
    assert as_rows == found


def test_aurc_of_the_records_is_what_robustness_was_made_of(run: Path) -> None:
    found = recoveries(read(run, "curves"), read(run, "replicates"))
    mean = share_estimate(list(aurc_by_seed(found["dimum-0000", "retain"]).values()))
    assert mean is not None and mean.mean == pytest.approx(1 - CONFIRMED["dimum-0000"][0], abs=1e-6) and mean.n == 3
    assert mean.lower is not None and mean.upper is not None and mean.lower < mean.mean < mean.upper


def test_replicates_that_did_not_complete_are_left_out() -> None:
    row = {"trial_id": "a", "attack": "x", "metric": "relearning_accuracy", "samples": N}
    curves = [row | {"replicate": r, "attack_step": 7, "value": 0.5} for r in (1, 2)]
    replicates = [
        {"trial_id": "a", "replicate": r, "seed": 10 + r, "phase": "confirm", "state": s}
        for r, s in ((1, "COMPLETE"), (2, "FAIL"))
    ]
    assert recoveries(curves, replicates) == {("a", "x"): {11: {7: Point(0.5, N)}}}


def test_relearning_accuracy_has_an_interval_at_every_rung_as_wide_as_three_seeds_allow() -> None:
    recovery = {s: curve(0.0, 0.1 + s / 100, 0.5, 1.0) for s in (1, 2, 3)}
    found = relearning(recovery)
    assert list(found) == [0, 1, 3, 7] and found[1].mean == pytest.approx(0.12)
    half = 4.302653 * 0.01 / 3**0.5  # t of 2 degrees of freedom; narrower than what 300 samples leave open
    assert found[1].lower is not None and found[1].upper is not None
    assert found[1].lower < 0.12 - half and found[1].upper > 0.12 + half
    assert (found[0].lower, found[7].upper) == (0, 1), "a share stays one"


def test_aurc_needs_the_same_rungs_and_its_n_is_a_rungs() -> None:
    found = aurc_by_seed({1: curve(0.0, 0.5, 1.0, rungs=(0, 1, 7)), 2: curve(1.0, 1.0, 1.0, rungs=(0, 1, 7))})
    assert found[1].value == pytest.approx(1.75 / 3) and found[2] == Point(1.0, N)
    with pytest.raises(ValueError, match=r"different rungs, \(0, 1, 3, 7\) and \(0, 1, 7\)"):
        aurc_by_seed({1: curve(0.0, 0.5, 1.0, rungs=(0, 1, 7)), 2: curve(0.0, 0.5, 0.5, 1.0)})


def test_the_revival_step_is_the_first_rung_past_the_threshold() -> None:
    recovery: Recovery = {
        1: curve(0.0, 0.3, 0.31, 0.1),  # at the threshold is not past it; what comes later does not matter
        2: curve(0.0, 0.0, 0.0, 0.9),
        3: curve(0.0, 0.0, 0.0, 0.0),
    }
    found = revival(recovery)
    assert found.steps == {1: 3, 2: 7, 3: None} and found.median == 7 and found.revived == 2 and found.horizon == 7
    assert revival({s: recovery[s] for s in (2, 3)}).median is None, "half of them: the median lies past the horizon"
    assert revival({1: curve(0.9, 1.0, 1.0, 1.0)}).steps == {1: 0}, "it was never unlearned"
    assert revival(recovery, threshold=0.95).median is None
    with pytest.raises(ValueError, match="at least one seed"):
        revival({})


def test_the_worst_case_of_each_seed_is_chosen_on_the_others() -> None:
    """On seed 3 the weak attack is the stronger one, by so much that it is chosen for all others, but not for that one."""
    suite = {"weak": points(0.1, 0.1, 0.9), "strong": points(0.5, 0.6, 0.3)}
    found = worst_case(suite)
    assert found.chosen == {1: "weak", 2: "weak", 3: "strong"} and found.attack == "weak" and found.reason is None
    assert {seed: point.value for seed, point in found.points.items()} == {1: 0.1, 2: 0.1, 3: 0.3}
    assert found.score is not None and found.score.mean == pytest.approx(0.5 / 3) and found.score.n == 3


def test_of_a_suite_of_one_attack_the_worst_case_is_that_attacks_own() -> None:
    found = worst_case({"a": points(0.1, 0.2, 0.3)})
    assert found.attack == "a" and found.score == share_estimate(list(points(0.1, 0.2, 0.3).values()))


@pytest.mark.parametrize(
    ("suite", "said"),
    [
        ({}, "no attack"),
        ({"a": points(0.5)}, "has 1"),
        ({"a": points(0.5, 0.6), "b": points(0.5, 0.6, first_seed=2)}, "has 1"),
        ({"a": points(0.5, 0.6), "b": points(0.5, first_seed=9)}, "has 0"),
    ],
)
def test_without_two_shared_seeds_there_is_no_worst_case_but_a_reason(
    suite: dict[str, dict[int, Point]], said: str
) -> None:
    found = worst_case(suite)
    assert found.attack is None and found.score is None and found.reason is not None and said in found.reason


def test_choosing_and_reporting_apart_takes_away_the_winners_curse() -> None:
    """Six attacks that are equally strong: the largest mean lies above what any of them does, the split's does not."""
    rng, naive, split = np.random.default_rng(0), [], []
    for _ in range(300):
        drawn = rng.normal(0.5, 0.1, (6, 4)).clip(0, 1)
        found = worst_case({f"attack {i}": points(*row) for i, row in enumerate(drawn.tolist())})
        assert found.score is not None
        split.append(found.score.mean)
        naive.append(drawn.mean(axis=1).max())
    assert np.mean(naive) > 0.54 and np.mean(split) == pytest.approx(0.5, abs=0.015)


def test_excess_recovery_is_paired_by_seed() -> None:
    """What a seed does to both drops out: the difference is surer than either."""
    found = excess_recovery(points(0.3, 0.5, 0.7), points(0.1, 0.31, 0.49), points(1.0, 0.98, 0.99))
    assert found.difference is not None and found.difference.mean == pytest.approx(0.2) and found.difference.n == 3
    assert found.difference.upper is not None and found.difference.upper < 0.25, "300 samples leave open no less"
    alone = share_estimate(list(points(0.3, 0.5, 0.7).values()))
    assert alone is not None and alone.upper is not None and alone.upper - alone.mean > 0.4
    assert found.ratio is not None and found.reason is None
    assert found.ratio.mean == pytest.approx(0.6 / (0.9 + 0.67 + 0.5))


def test_excess_over_another_set_of_seeds_is_over_those_they_share() -> None:
    found = excess_recovery(points(0.3, 0.5), points(0.2, 0.9, first_seed=2), points(1.0, 1.0))
    assert found.difference is not None and found.difference.n == 1 and found.difference.mean == pytest.approx(0.3)
    assert excess_recovery(points(0.3), points(0.2, first_seed=5)).difference is None


@pytest.mark.parametrize(
    ("control", "base", "said"),
    [
        (points(0.85, 0.9), points(1.0, 1.0), "RA(θ₀) - RA(θ*) is 0.12, below 0.2"),
        (points(0.1, 0.1), None, "no base model"),
        (points(0.1, 0.1), points(1.0, first_seed=9), "no seed that"),
    ],
)
def test_a_ratio_that_says_nothing_is_none_with_a_reason(
    control: dict[int, Point], base: dict[int, Point] | None, said: str
) -> None:
    found = excess_recovery(points(0.9, 0.95), control, base)
    assert found.difference is not None and found.ratio is None and found.reason is not None and said in found.reason


def test_reading_scores_needs_no_torch() -> None:
    code = (
        "import sys, sweep.relearning.recovery, sweep.statistics.ranks\n"
        "print([m for m in ('torch', 'ray', 'scipy.stats') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
