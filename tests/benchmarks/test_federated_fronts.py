"""Methods are trained by one start point, compared seed by seed on the log scale, and a row that failed says why."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # benchmarks is no installed package
from benchmarks import federated_fronts as fronts
from benchmarks.federated_fronts import Contender


def result(row: str, seed: int, fd: float, state: str = "COMPLETE", **more: float) -> fronts.Result:
    return {"row": row, "seed": seed, "state": state, "cause": "no noise", "figures": {"fd": fd, **more}}


@pytest.mark.parametrize("epsilon", [None, *fronts.EPSILONS])
def test_methods_differ_in_the_private_heads_weight_alone(epsilon: float | None) -> None:
    vflgan, vertigan = (Contender(method, epsilon).settings(106) for method in fronts.METHODS)
    assert vflgan == vertigan | {"private_weight": 1.0}
    assert vflgan["batch"] == 35 and vflgan["mechanism"] == ("none" if epsilon is None else "record")
    assert vflgan.get("target_epsilon") == epsilon and Contender("vflgan", epsilon).settings(9999)["batch"] >= 64


def test_the_ratio_is_of_pairs_of_a_seed_and_its_interval_of_logarithms() -> None:
    distances = {"vflgan": {1: 10.0, 2: 5.0, 3: 1.0}, "vertigan": {1: 20.0, 2: 40.0, 4: 1.0}}
    results = [result(row, seed, fd) for row, by_seed in distances.items() for seed, fd in by_seed.items()]
    results.append(result("vertigan", 3, 7.0, state="FAIL"))
    assert fronts.paired(results, "vertigan", "vflgan") == [2.0, 8.0]
    # logarithms ln 4 ± ln 2: half a width of t(.975, 1) · ln 2 = 12.7062 · .693147 = 8.80727
    assert fronts.ratio([2.0, 8.0]) == "**4.00** [0.00, 26730.60], 2 seeds"
    assert fronts.ratio([3.0, 3.0, 3.0]) == "**3.00** [3.00, 3.00], 3 seeds" and fronts.ratio([2.0]).startswith(
        "1 pairs"
    )


def test_a_row_that_failed_has_its_cause_and_an_audit_above_epsilon_is_counted() -> None:
    rows = fronts.contenders("record")
    results = [result(rows[0].name, seed, 2.0, audited_epsilon_excess=excess) for seed, excess in ((1, -9.0), (2, 0.1))]
    results.append(result(rows[1].name, 1, 9.0, state="FAIL"))
    lines = list(fronts.table(results, rows))
    assert lines[2] == "| vflgan, ε 10 | 2.00 [2.00, 2.00] | 2 |"
    assert lines[3] == "| vertigan, ε 10 | - | 0; 1 failed: no noise |"
    assert "in 1 of 2 trials" in fronts.refuted(results)


def test_real_rows_go_through_the_stages_of_every_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.federated.products.floors.DRAWS", 2)  # of each kind of rows
    experiment = fronts.DATA["wine"].experiment(str(tmp_path))
    assert fronts.prepare(experiment).startswith("fd of private rows 0.")
    ran = fronts.run(experiment, Contender(fronts.REAL), seed=1)
    assert ran["state"] == "COMPLETE", ran["cause"]
    assert 0 < ran["figures"]["fd"] < 1 and ran["figures"]["audit_ceiling"] > 0
    assert fronts.run(experiment, Contender(fronts.REAL), seed=1) == ran
