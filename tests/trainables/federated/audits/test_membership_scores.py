"""Scores are high of rows that a synthesizer has copied, or that its critics find real."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tiny import parties_of, rows_of, synthesizer_of, training_of

from trainables.federated.audits import scores
from trainables.federated.audits.canaries import draw
from trainables.federated.audits.one_run import Bound, Run, audit
from trainables.federated.mechanisms import MECHANISMS
from trainables.federated.parties import Output, Parties, Party
from trainables.federated.training import Schedule, Training


def test_the_nearest_score_is_minus_the_distance() -> None:
    rows, synthetic = torch.randn(7, 4), torch.randn(5000, 4)
    expected = -(rows[:, None] - synthetic[None]).norm(dim=2).amin(dim=1)
    np.testing.assert_allclose(scores.nearest(rows, synthetic), expected, atol=1e-5)
    doubled = scores.nearest(rows, synthetic, lambda x: 2 * x[:, :2])
    np.testing.assert_allclose(
        doubled, -2 * (rows[:, None, :2] - synthetic[None, :, :2]).norm(dim=2).amin(dim=1), atol=1e-5
    )


def test_the_critics_score_is_their_value() -> None:
    who, rows = parties_of(2), rows_of(9, parties_of(2))
    synthesizer = synthesizer_of("vflgan", who, private_weight=0.5)
    critics, parts = synthesizer.critics, who.split(rows)
    features = critics.features(parts)
    server = critics.server(torch.cat(features, 1)).squeeze(1)
    private = sum(head(f).squeeze(1) for head, f in zip(critics.private, features, strict=True))
    np.testing.assert_allclose(scores.critics(rows, synthesizer), (server + 0.5 * private).detach(), atol=1e-6)
    alone = scores.server_alone(rows, synthesizer)
    assert alone is not None
    np.testing.assert_allclose(alone, server.detach(), atol=1e-6)
    assert scores.server_alone(rows, synthesizer_of("vertigan", who)) is None


def test_a_synthesizer_that_copies_its_members_is_found_out() -> None:
    who = parties_of(2)
    canaries = draw(rows_of(400, who), who, 0)
    run = Run({"nearest": scores.nearest(canaries.rows, canaries.members)}, canaries.included)
    found = audit([run], 1e-5)
    assert found.epsilon == found.ceiling > 2


def audited(mechanism: str, seeds: int, noise: dict[str, float]) -> tuple[Bound, float | None]:
    """The critics' view of trainings on zeros, and of canaries that each have a column to themselves; ε of the last one."""
    width, runs = 60, []
    halves = [Party(name, tuple(range(at, at + 30)), (Output("bounded", 30),)) for name, at in (("a", 0), ("b", 30))]
    who = Parties(tuple(halves))
    pool = torch.cat([torch.eye(width), torch.zeros(3 * width, width)])
    for seed in range(seeds):
        canaries = draw(pool, who, seed)
        assert len(canaries) == width
        member = MECHANISMS[mechanism]
        synthesizer = synthesizer_of("vflgan", who, seed, penalty_weight=0.3, critic=(32,), features=16)
        schedule = Schedule(300, 32, learning_rate=1e-2)
        training = Training(
            synthesizer,
            canaries.members,
            member,
            member.configure(noise),
            schedule,
            seed,
            expected_rows=canaries.expected,
        )
        training.advance(300)
        runs.append(Run({"critics": scores.critics(canaries.rows, synthesizer)}, canaries.included))
    return audit(runs, 1e-4), training.privacy(1e-4).epsilon


def test_critics_that_were_trained_without_noise_are_found_out_and_with_it_are_not() -> None:
    """The same audit of the same rows: without a mechanism it proves more than twice what the noise certifies."""
    without, infinite = audited("none", 2, {})
    private, epsilon = audited("record", 1, {"noise_multiplier": 40.0})
    assert infinite == math.inf and epsilon is not None and 0.2 < epsilon < 0.5
    assert private.epsilon <= epsilon < private.ceiling, "it could have shown more"
    assert without.epsilon > 2 * epsilon


@pytest.mark.parametrize("kind", ["rows", "crossed"])
def test_what_is_audited_stays_below_what_is_accounted_for_on_every_seed(kind: str) -> None:
    """ε near 2 of per-record noise, both views and all seeds; also pooled, where the ceiling would let far more be seen."""
    who, runs = parties_of(2), []
    for seed in range(3):
        canaries = draw(rows_of(200, who, seed), who, seed, kind)
        training = training_of(
            "record",
            canaries.members,
            seed=seed,
            settings={"noise_multiplier": 5.0},
            steps=40,
            batch=16,
        )
        training.advance(40)
        found = {
            "critics": scores.critics(canaries.rows, training.synthesizer),
            "nearest": scores.nearest(canaries.rows, training.synthesise(1000, seed)),
        }
        runs.append(Run(found, canaries.included))
        epsilon = training.privacy(1e-4).epsilon
        assert epsilon is not None and audit(runs[-1:], 1e-4).epsilon <= epsilon < 3
    pooled = audit(runs, 1e-4)
    assert pooled.epsilon <= epsilon < pooled.ceiling
