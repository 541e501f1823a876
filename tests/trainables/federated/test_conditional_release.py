"""Given all that was released, what does a step owe to a row that its batch lacks? With a proof of privacy, nothing at all.

Amplification by sampling supposes that step t's answer depends, given the past releases, on its batch alone. Two neighbouring
tables, with a row in their middle or without it or with another in its place, are trained side by side with the same weights at
first, batches, z, α and noise, and the same *released* gradients are forced on both. On steps whose batch lacks the row, `record`
gives the very same gradients; `published` does not, for the weights that it does not noise remember the row.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

import pytest
import torch
from tiny import flat, parties_of, rows_of, take, training_of

from trainables.federated.mechanisms.record import clipped_sum
from trainables.federated.training import Training

ROW, ROWS, STEPS = 17, 40, 60
Neighbour = Literal["another in its place", "without it"]


def neighbours(mechanism: str, neighbour: Neighbour, **schedule: int) -> tuple[Training, Training]:
    """Trainings on two tables that differ in one row; the others have the same numbers."""
    rows = rows_of(ROWS, parties_of(2))
    other = rows.clone()
    if neighbour == "another in its place":
        other[ROW] = -rows[ROW].sign()
    first, second = (training_of(mechanism, r, settings={"noise_multiplier": 0.5}, **schedule) for r in (rows, other))
    return first, second if neighbour == "another in its place" else lacking(second, ROW)


def lacking(training: Training, row: int) -> Training:
    """On the same table, had it not this row."""
    chosen = training.chosen

    def others() -> torch.Tensor:
        rows = chosen()
        return rows[rows != row]

    training.chosen = others  # type: ignore[method-assign]
    return training


def gaps(mechanism: str, neighbour: Neighbour) -> tuple[list[float], list[float]]:
    """‖ĝ - ĝ'‖ of the released gradients, on steps whose batch lacks the row, and on those that have it."""
    first, second = neighbours(mechanism, neighbour, steps=STEPS, critic_per_generator=2)
    released = first.mechanism.released(first.synthesizer.critics)
    without, with_row = [], []
    for _ in range(STEPS):
        has_row = bool((first.chosen() == ROW).any())
        gradients, others = first.critic_gradients(), second.critic_gradients()
        gap = (flat(gradients, released) - flat(others, released)).norm().item()
        (with_row if has_row else without).append(gap)
        take(first, gradients)
        take(second, others | {name: gradients[name] for name in released})
    return without, with_row


@pytest.mark.parametrize("neighbour", get_args(Neighbour))
def test_of_record_the_gap_is_exactly_0_where_the_row_is_not_in_the_batch(neighbour: Neighbour) -> None:
    """And where it is in, no more than a row can do: C / B in each of three groups, twice that where it is another."""
    without, with_row = gaps("record", neighbour)
    assert len(without) > 20 and set(without) == {0.0}
    most = 3**0.5 / 8 * (2 if neighbour == "another in its place" else 1)
    assert len(with_row) > 5 and 1e-4 < max(with_row) <= most * 1.001, "the row does matter where it is in"


def test_of_published_it_is_not() -> None:
    without, with_row = gaps("published", "another in its place")
    clip = 1.5 / 8
    assert len(without) > 20 and max(without) > 0.01 * clip
    assert sum(gap > 0 for gap in without) > len(without) / 2 and max(with_row) > max(without)


def test_the_generators_and_synthetic_rows_of_record_are_post_processing() -> None:
    """With the released gradients forced, both tables' trainings make the same rows; without, and with `published`, they don't."""
    same = {}
    for mechanism in ("record", "published"):
        first, second = neighbours(mechanism, "another in its place", steps=30)
        released = first.mechanism.released(first.synthesizer.critics)
        for _ in range(30):
            gradients, others = first.critic_gradients(), second.critic_gradients()
            take(first, gradients)
            take(second, others | {name: gradients[name] for name in released})
        same[mechanism] = torch.equal(first.synthesise(20, 0), second.synthesise(20, 0))
    assert same == {"record": True, "published": False}


@pytest.mark.parametrize("absent", [0, 23])
def test_a_row_less_moves_the_sum_by_that_rows_clipped_gradient_alone(absent: int) -> None:
    """From the table's beginning or its middle: the rows that a batch has besides meet the made rows and α that they did."""
    rows, clip = 2 * rows_of(60, parties_of(2)), 0.3
    settings = {"noise_multiplier": 0.0, "clip_norm": clip}
    whole, without = (training_of("record", rows, settings=settings, batch=12) for _ in range(2))
    lacking(without, absent)
    times = 0
    for step in range(25):
        whole.step = without.step = step
        chosen, many, few = whole.chosen(), whole.batch(), without.batch()
        others = chosen != absent
        for name in ("real", "made"):
            for a, b in zip(getattr(few, name), getattr(many, name), strict=True):
                assert torch.equal(a, b[others])
        assert torch.equal(few.alpha, many.alpha[others])
        moved, row_gradient = (
            whole.critic_gradients(),
            clipped_sum(whole.synthesizer.critics, replace(many, weight=(~others).float()), clip),
        )
        for names in whole.synthesizer.critics.groups.values():
            difference = 12 * (flat(moved, names) - flat(without.critic_gradients(), names))
            torch.testing.assert_close(difference, flat(row_gradient, names), atol=1e-5, rtol=0)
            assert difference.norm() <= clip * 1.001
        times += int((~others).sum())
    assert 1 < times < 15, "the row comes and goes"


def test_a_rows_made_partner_is_any_of_the_steps_and_every_row_has_an_alpha_of_its_own() -> None:
    """Uniform, and independent from step to step; of two rows a step, as often the same as chance has it."""
    training = training_of("record", rows_of(40, parties_of(2)), batch=8)
    every = torch.arange(40)
    partners = torch.stack([training._partners(every) for training.step in range(400)])
    counts = torch.bincount(partners.flatten(), minlength=training.made_rows)
    assert training.made_rows == len(counts) == 16
    assert ((counts - 1000).abs() < 5 * (16000 * (1 / 16) * (15 / 16)) ** 0.5).all()
    for same in (partners[:, 3] == partners[:, 17], partners[1:, 3] == partners[:-1, 3]):
        assert same.float().mean().item() == pytest.approx(1 / 16, abs=5 * (1 / 16 / 400) ** 0.5)
    alphas = training.batch().alpha.flatten()
    assert len(alphas.unique()) == len(alphas) > 1 and alphas.min() >= 0 and alphas.max() < 1


def test_how_many_rows_a_batch_has_does_not_reach_the_generators() -> None:
    """The generators' step takes the first B of z, whatever the batch has: with the critics equal, it is the same step."""
    first, second = (training_of("record", rows_of(n, parties_of(2))) for n in (20, 40))
    assert len(first.chosen()) != len(second.chosen())
    for training in (first, second):
        training.take_generator_step()
    for a, b in zip(first.synthesizer.generators.parameters(), second.synthesizer.generators.parameters(), strict=True):
        assert torch.equal(a, b)
