"""A track's intervals, of rows written here: methods moderate one another, a control stands by its own seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweep.statistics.estimates import Estimate
from sweep.statistics.shares import Point, share_estimate
from sweep.track.reading import Track
from sweep.track.scoring import Line, Scorer

METHODS = ("dimum", "esd", "label_swap", "salun", "sdd", "uce")
SEEDS, RUNGS, ATTACK, N = (1, 2, 3), (0, 7), "dimra-retain-1e-3", 192


def row_of(trial: str, arm: str, seed: int) -> dict[str, Any]:
    return {
        "trial_id": trial,
        "arm": arm,
        "replicate": f"r{seed}",
        "seed": seed,
        "phase": "track",
        "state": "COMPLETE",
        "forget": "3",
        "samples_forgotten": N,
        "fid_delta": {1: 1.0, 2: 2.5, 3: 1.5}[seed] + len(arm),
    }


def curves_of(trial: str, seed: int, ends: dict[str, float]) -> list[dict[str, Any]]:
    """The figures after the attack and, of relearning accuracy, before it."""
    at = {"trial_id": trial, "replicate": f"r{seed}", "samples": N}
    rows = [at | {"attack": ATTACK, "attack_step": 7, "metric": name, "value": end} for name, end in ends.items()]
    return [*rows, at | {"attack": "none", "attack_step": 0, "metric": "relearning_accuracy", "value": 0.0}]


@pytest.fixture(scope="module")
def lines() -> dict[str, Line]:
    """Relearning accuracy that varies alike between a method's seeds, but happens to vary little for the first of them."""
    random, replicates, curves = np.random.default_rng(0), [], []
    for place, entry in enumerate([*METHODS, "control-retrain"]):
        arm = "control" if entry.startswith("control") else entry
        trial = f"{entry}-forget-3"
        for seed in SEEDS:
            replicates.append(row_of(trial, arm, seed))
            relearned = 0.3 + 0.01 * place + (0.001 * seed if entry == "dimum" else 0.05 * random.standard_normal())
            ends = {"relearning_accuracy": float(relearned), "fid": 20.0 + place + seed, "retain_accuracy": 0.9}
            curves += curves_of(trial, seed, ends)
    facts = {
        "entries": [{"name": name} for name in METHODS],
        "attacks": {ATTACK: {"counts": True}},
        "forgets": ["3"],
        "rungs": list(RUNGS),
    }
    scorer = Scorer(Track(Path(), facts, {}, {}, tuple(replicates), tuple(curves), ()))
    return {line.entry: line for line in scorer.lines()}


def width(estimate: Estimate | None) -> float:
    assert estimate is not None and estimate.lower is not None and estimate.upper is not None
    return estimate.upper - estimate.lower


def seed_estimate(line: Line) -> Estimate | None:
    """What its own seeds alone say of a line's relearning accuracy."""
    seeds = line.attacks[ATTACK].relearned
    assert seeds is not None
    return share_estimate([Point(seeds.mean, N)] * seeds.n)


def test_a_method_whose_seeds_happen_to_agree_is_no_surer_than_the_others_vary(lines: dict[str, Line]) -> None:
    widths = {name: width(lines[name].attacks[ATTACK].relearned) for name in METHODS}
    assert widths["dimum"] > 1.2 * width(seed_estimate(lines["dimum"]))
    assert max(widths.values()) < 4 * min(widths.values())


def test_a_control_stands_by_its_own_seeds(lines: dict[str, Line]) -> None:
    control = lines["control-retrain"].before["fid_delta"]
    alone = np.array([1.0, 2.5, 1.5]) + len("control")
    assert control is not None and control.mean == pytest.approx(alone.mean())
    assert width(control) == pytest.approx(2 * 4.302653 * alone.std(ddof=1) / 3**0.5, rel=1e-5)
    method = lines["dimum"].before["fid_delta"]
    assert width(method) == pytest.approx(width(lines["uce"].before["fid_delta"]), rel=1e-6)


def test_a_worst_case_is_reported_on_all_seeds_and_moderated_too(lines: dict[str, Line]) -> None:
    for name in METHODS:
        worst = lines[name].worst
        assert set(worst.chosen) == set(worst.points) == {1, 2, 3}
        assert worst.score is not None and worst.score.n == 3 and width(worst.score) < 0.4


def test_after_the_attack_is_its_last_rung(lines: dict[str, Line]) -> None:
    after = lines["esd"].attacks[ATTACK].after
    assert after["fid"] is not None and after["fid"].mean == pytest.approx(23.0)
    assert after["retain_accuracy"] is not None and after["retain_accuracy"].mean == pytest.approx(0.9)


def test_excess_is_paired_with_the_retrain_control(lines: dict[str, Line]) -> None:
    assert lines["control-retrain"].attacks[ATTACK].excess is None
    for name in METHODS:
        excess, relearned = lines[name].attacks[ATTACK].excess, lines[name].attacks[ATTACK].relearned
        control = lines["control-retrain"].attacks[ATTACK].relearned
        assert excess is not None and relearned is not None and control is not None
        assert excess.mean == pytest.approx(relearned.mean - control.mean)
