"""A release's randomness: the system's entropy decides all of it, and a run's public seed none; what its noise is found for."""

from __future__ import annotations

import random
import secrets
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from trainables.federated.accounting import Releases, epsilon
from trainables.federated.experiment import Experiment, TrialSpec
from trainables.federated.release import begin, measured, released_rows

SETTINGS = {"mechanism": "record", "target_epsilon": 20.0, "steps": 12, "batch": 16, "critic_width": 8}


@pytest.fixture
def spec(tmp_path: Path) -> TrialSpec:
    return TrialSpec("vflgan-0000", 0, Experiment(str(tmp_path), "wine"), "vflgan", SETTINGS, 3, samples=40)


@pytest.fixture
def private(spec: TrialSpec) -> torch.Tensor:
    return spec.experiment.source.read()["private"].rows


def rows_of(spec: TrialSpec, private: torch.Tensor) -> torch.Tensor:
    return released_rows(begin(spec, private), spec, lambda line: None)


def test_nothing_but_the_systems_entropy_decides_its_rows(
    spec: TrialSpec, private: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same entropy another public seed gives the same rows; with other entropy the same seed gives others."""
    others = rows_of(spec, private), rows_of(spec, private)
    assert not torch.equal(*others)
    made = []
    for seed in (3, 4):
        monkeypatch.setattr(secrets, "randbits", random.Random(0).getrandbits)
        made.append(rows_of(replace(spec, seed=seed), private))
    assert torch.equal(*made) and not torch.equal(made[0], others[0])


def test_every_step_asks_for_the_entropy_of_its_batch_and_of_its_noise(
    spec: TrialSpec, private: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    real = secrets.randbits
    monkeypatch.setattr(secrets, "randbits", lambda bits: asked.append(bits) or real(bits))
    rows_of(spec, private)
    assert asked.count(128) == 2 * 12 and len(asked) == 2 * 12 + 1, "and once for the seed of what need be no secret"


def test_its_noise_is_found_for_all_private_rows(spec: TrialSpec, private: torch.Tensor) -> None:
    training = begin(spec, private)
    privacy = training.privacy(1e-5)
    assert training.rows == training.expected_rows == len(private) == 106 and training.secret
    assert privacy.sampling_rate == 16 / 106 and privacy.epsilon is not None and 19.6 < privacy.epsilon <= 20
    again = epsilon(training.settings.noise_multiplier, Releases(16 / 106, 12, 3), 1e-5)
    assert again.epsilon == privacy.epsilon


@pytest.mark.parametrize("mechanism", ["none", "published"])
def test_what_proves_no_epsilon_is_not_begun(mechanism: str, spec: TrialSpec, private: torch.Tensor) -> None:
    settings = {"mechanism": mechanism, "steps": 12, "batch": 16}
    if mechanism == "published":
        settings["target_epsilon"] = 20.0
    with pytest.raises(ValueError, match=f"mechanism '{mechanism}' proves no ε"):
        begin(replace(spec, settings=settings), private)


def test_nothing_is_measured_where_the_store_has_nothing_to_hold_rows_against(
    spec: TrialSpec, private: torch.Tensor, tmp_path: Path
) -> None:
    assert measured(spec, rows_of(spec, private)) == {}
    assert not [p for p in tmp_path.rglob("*") if p.is_file()], "nor is anything made there"
