"""What VFLGAN's published noise proves without amplification, and that the page says what the authors' accounting gives."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # benchmarks is no installed package
from benchmarks.federated_accounting import SETTINGS, without_amplification  # noqa: E402
from trainables.federated.generic_bound import claimed_epsilon  # noqa: E402

RECORDED = (221_334, 55_001, 32_522, 4_171, 1_531, 8_810, 3_226)  # by dp-accounting's Gaussian mechanism of μ = √T / σ


@pytest.mark.parametrize(("setting", "recorded"), zip(SETTINGS, RECORDED, strict=True))
def test_what_the_noise_proves_without_amplification(setting, recorded: int) -> None:  # type: ignore[no-untyped-def]
    found = without_amplification(setting.noise_multiplier, setting.steps, setting.delta)
    assert found == pytest.approx(recorded, rel=5e-3)


def test_the_page_has_the_claimed_epsilon_of_each_setting() -> None:
    page = (ROOT / "benchmarks" / "federated_accounting.md").read_text()
    for s in SETTINGS:
        claimed = claimed_epsilon(s.noise_multiplier, s.sampling_rate, s.steps, s.delta)
        assert f"| {s.noise_multiplier:g} | {s.stated:g} | {claimed:.3f} |" in page
