"""What both controls must show for any figure beside them to mean something: live on the digits, and in the recordings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sweep import records
from sweep.records.names import BASE, RETRAIN
from sweep.relearning.recovery import Recovery, recoveries
from sweep.statistics.estimates import paired_difference
from sweep.statistics.shares import share_estimate
from sweep.track.__main__ import main
from trainables.metrics import wilson

RECORDED = Path(__file__).parents[3] / "benchmarks" / "relearning_track"
BENIGN = ["dimra-retain-1e-3", "benign-unrelated-1e-3"]  # neither holds a forgotten image
CHANCE = 0.02  # of a share over three seeds of 128 samples


@pytest.mark.long  # the recordings below say the same of more
def test_the_base_model_has_unlearned_nothing_and_the_retrain_control_relearns_nothing(tmp_path: Path) -> None:
    """θ* stays within its base rate, the rate at which it is called a 3 before any attack, at every rung: 99.9 % intervals.

    The base model is trained briefly, and yet scores next to no unlearning.
    """
    asked = ["--methods", "fine_tune", "--fix", "steps=1", "--attacks", *BENIGN, "--forget", "3", "--seeds", "1"]
    sizes = [
        "--steps",
        "31",
        "--base-steps",
        "1000",
        "--samples-forgotten",
        "100",
        "--samples-per-retained",
        "10",
        "--in-process",
    ]
    folder = tmp_path / "track"
    assert main([*asked, *sizes, "--run-dir", str(folder), "--artifacts", str(tmp_path / "artifacts")]) == 0
    found = recoveries(records.rows(folder, "curves"), records.rows(folder, "replicates"), phase=None)
    for (trial, attack), recovery in found.items():
        start = [steps[0] for steps in recovery.values()]
        if trial.startswith(BASE):
            assert all(point.value >= 0.8 for point in start), "unlearning accuracy of θ₀ is next to nothing"
        if trial.startswith(RETRAIN):
            shares, samples = [p.value for p in start], sum(p.samples for p in start)
            assert max(shares) <= 0.1, "θ* has never seen a 3"
            _, most = wilson(sum(shares) / len(shares), samples, 3.29)
            for step in sorted(next(iter(recovery.values()))):
                again = [steps[step].value for steps in recovery.values()]
                least, _ = wilson(sum(again) / len(again), samples, 3.29)
                assert least <= most, f"{attack}: θ* relearned a 3 within {step} steps"


@pytest.mark.parametrize(
    "recording", [p.name.removesuffix("_curves.parquet") for p in RECORDED.glob("*_curves.parquet")]
)
def test_in_every_recording_the_controls_are_what_they_are_called(recording: str) -> None:
    base = dict.fromkeys(c for c, *_ in _recorded(recording, BASE))
    assert base, "the recording holds the base model"
    for forget, attack, recovery in _recorded(recording, BASE):
        told = share_estimate([steps[0] for steps in recovery.values()])
        assert told is not None and told.mean >= 0.8, f"θ₀ makes what will be forgotten: {forget}, {attack}, {told}"
    for forget, attack, recovery in _recorded(recording, RETRAIN):
        if attack not in BENIGN:
            continue
        for step in sorted(next(iter(recovery.values()))):
            by_seed = [{s: steps[k].value for s, steps in recovery.items()} for k in (step, 0)]
            rise = paired_difference(*by_seed)
            assert rise is not None and rise.lower is not None
            assert rise.lower <= CHANCE, f"θ* rises above its base rate: {forget}, {attack}@{step}, {rise}"


def _recorded(recording: str, control: str) -> Iterator[tuple[str, str, Recovery]]:
    """What was forgotten, the attack, and the control's recovery from it."""
    tables = {t: pq.read_table(RECORDED / f"{recording}_{t}.parquet").to_pylist() for t in ("curves", "replicates")}
    for (trial, attack), recovery in recoveries(**tables, phase=None).items():
        if trial.startswith(control):
            yield trial.partition("-forget-")[2], attack, recovery
