"""Scores of the relearning track: by hand, and their intervals by simulation."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from recorded_run import CONFIRMED, RUNGS, SEEDS, write_run

from sweep.records import read
from sweep.statistics import scores
from sweep.statistics.scores import (
    Point,
    Recovery,
    after_attack,
    aurc_by_seed,
    bootstrap_interval,
    excess_recovery,
    ratio_estimate,
    recoveries,
    relearning,
    revival,
    seed_interval,
    share_estimate,
    worst_case,
)

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


def test_no_hit_in_any_seed_is_no_proof_of_zero() -> None:
    zero = share_estimate([Point(0.0, 192)] * 3)
    assert zero is not None and zero.lower == 0 and zero.upper == pytest.approx(1.96**2 / (576 + 1.96**2), rel=1e-3)
    by_bootstrap = share_estimate([Point(0.0, 192)] * 3, how="bootstrap")
    assert by_bootstrap is not None and by_bootstrap.upper == 0, "which is why it is not the default"


def test_where_seeds_vary_the_interval_is_students() -> None:
    values = np.array([0.2, 0.5, 0.8])
    lower, upper = seed_interval(values, np.full(3, 1000))
    assert (lower, upper) == pytest.approx((0.5 - 4.302653 * 0.3 / 3**0.5, 0.5 + 4.302653 * 0.3 / 3**0.5))


def test_one_seed_has_no_interval_and_none_no_estimate() -> None:
    one = share_estimate([Point(0.3, N)])
    assert one is not None and (one.mean, one.lower, one.upper, one.n) == (0.3, None, None, 1)
    assert share_estimate([]) is None


def test_the_bootstrap_is_the_same_every_time_and_alike_one_case_or_many() -> None:
    values, samples = np.array([[0.2, 0.5, 0.8], [0.1, 0.1, 0.2]]), np.full((2, 3), N)
    lower, upper = bootstrap_interval(values, samples)
    assert np.array_equal(lower, bootstrap_interval(values, samples)[0])
    assert lower.shape == upper.shape == (2,) and (lower < values.mean(axis=1)).all()
    alone = bootstrap_interval(values[1], samples[1])
    assert alone == pytest.approx((lower[1], upper[1]), abs=0.02)


def coverage(mean: float, sd: float, n: int, seeds: int, runs: int) -> tuple[float, float, float, float]:
    """Share of simulations whose interval holds the true mean: t alone, t with Wilson's floor, bootstrap, Wilson alone."""
    rng = np.random.default_rng(1)
    size = mean * (1 - mean) / sd**2 - 1 if sd else 0.0
    true = rng.beta(mean * size, (1 - mean) * size, (runs, seeds)) if sd else np.full((runs, seeds), mean)
    values, samples = rng.binomial(n, true) / n, np.full((runs, seeds), n)
    plenty = np.full((runs, seeds), 10**9)  # with it the floor has no width
    pooled = values.mean(axis=1, keepdims=True).repeat(2, axis=1)  # without spread nothing but the floor is left
    few = slice(0, runs // 3)
    ends = (
        seed_interval(values, plenty),
        seed_interval(values, samples),
        bootstrap_interval(values[few], samples[few], draws=300),
        seed_interval(pooled, np.full((runs, 2), n * seeds // 2)),
    )
    t, floored, boot, wilson = (float(np.mean((lower <= mean) & (mean <= upper))) for lower, upper in ends)
    return t, floored, boot, wilson


def documented() -> list[tuple[float, float, int, int, tuple[float, float, float]]]:
    """The table of the module's docstring: mean, SD, n, seeds, and the coverage of t, t+W and the bootstrap."""
    found = []
    for line in (scores.__doc__ or "").splitlines():
        if re.match(r"\s+\.\d+ +[.\d]+ +\d+ *\|", line):
            case, *columns = line.split("|")
            mean, sd, n = map(float, case.split())
            for seeds, column in zip((3, 5, 10), columns, strict=True):
                t, floored, boot = map(float, column.split())
                found.append((mean, sd, int(n), seeds, (t, floored, boot)))
    return found


def test_the_documented_coverage_is_what_simulation_gives() -> None:
    assert len(documented()) == 15
    for mean, sd, n, seeds, told in documented():
        t, floored, boot, _ = coverage(mean, sd, n, seeds, 900)
        assert (t, floored) == pytest.approx(told[:2], abs=0.035), (mean, sd, n, seeds)
        assert boot == pytest.approx(told[2], abs=0.075), (mean, sd, n, seeds)


def test_the_default_covers_and_the_others_do_not() -> None:
    """At three seeds: the bootstrap and Wilson's interval leave out too much, t with its floor is never far below .95."""
    worst = np.min([coverage(mean, sd, n, 3, 900) for mean, sd, n, seeds, _ in documented() if seeds == 3], axis=0)
    t, floored, boot, wilson = worst
    assert floored > 0.86 and t < floored and boot < 0.82 and wilson < 0.6


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


def test_the_worst_case_is_chosen_on_one_half_and_reported_on_the_other() -> None:
    suite = {"weak": points(0.1, 0.1, 0.9, 0.9), "strong": points(0.5, 0.6, 0.3, 0.4)}
    found = worst_case(suite)
    assert found.attack == "strong" and found.chosen_on == (1, 2) and found.reported_on == (3, 4)
    assert found.score is not None and found.score.mean == pytest.approx(0.35) and found.reason is None
    three = worst_case({"a": points(0.1, 0.2, 0.3)})
    assert three.chosen_on == (1,) and three.reported_on == (2, 3)


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
    assert found.difference.upper is not None and found.difference.upper < 0.23
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


def test_fiellers_interval_covers_and_is_open_where_the_span_may_be_0() -> None:
    rng, held = np.random.default_rng(0), []
    for _ in range(1000):
        noise = rng.normal(0, 0.05, (3, 5))
        found = ratio_estimate(0.3 + noise[0] + noise[1], 0.6 + noise[0] + noise[2])
        held.append(found.lower is not None and found.upper is not None and found.lower <= 0.5 <= found.upper)
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)
    assert ratio_estimate(np.array([0.1, 0.3, 0.2]), np.array([-0.5, 0.9, 0.3])).lower is None


def test_after_the_attack_is_its_last_rung() -> None:
    fid = {1: {0: Point(5.0, 900), 7: Point(30.0, 900)}, 2: {0: Point(5.0, 900), 7: Point(50.0, 900)}}
    found = after_attack(fid, "fid")
    assert found is not None and found.mean == 40 and found.upper is not None and found.upper > 100
    accuracy = after_attack({1: {7: Point(1.0, 50)}, 2: {7: Point(1.0, 50)}}, "retain_accuracy")
    assert accuracy is not None and accuracy.upper == 1 and accuracy.lower is not None and accuracy.lower < 0.97
    assert after_attack({1: {0: Point(5.0, 900)}}, "fid") is None and after_attack({}, "fid") is None


def test_reading_scores_needs_no_torch() -> None:
    code = (
        "import sys, sweep.statistics.scores, sweep.statistics.ranks\n"
        "print([m for m in ('torch', 'ray', 'scipy.stats') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
