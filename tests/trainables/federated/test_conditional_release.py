"""Given all that was released, what does a step owe to a row that its batch lacks? With a proof of privacy, nothing at all.

Amplification by sampling supposes that step t's answer depends, given the past releases, on its batch alone. Two neighbouring
tables are trained side by side with the same weights at first, batches, z, α and noise, and the same *released* gradients are
forced on both. On steps whose batch lacks the row in which they differ, `record` gives the very same gradients; `published` does
not, for the weights that it does not noise remember the row.
"""

from __future__ import annotations

import pytest
import torch
from tiny import flat, parties_of, rows_of, training_of

from trainables.federated.training import Training

ROW, STEPS = 3, 60


def gaps(mechanism: str, **settings: float) -> tuple[list[float], list[float]]:
    """‖ĝ - ĝ'‖ of the released gradients, on steps whose batch lacks the row, and on those that have it."""
    rows = rows_of(40, parties_of(2))
    neighbour = rows.clone()
    neighbour[ROW] = -rows[ROW].sign()
    first, second = (
        training_of(mechanism, r, settings=settings, steps=STEPS, critic_per_generator=2) for r in (rows, neighbour)
    )
    released = first.mechanism.released(first.synthesizer.critics)
    without, with_row = [], []
    for _ in range(STEPS):
        chosen = first.chosen()
        has_row = bool((chosen.rows[chosen.weight > 0] == ROW).any())
        gradients, others = first.critic_gradients(), second.critic_gradients()
        gap = (flat(gradients, released) - flat(others, released)).norm().item()
        (with_row if has_row else without).append(gap)
        take(first, gradients)
        take(second, others | {name: gradients[name] for name in released})
    return without, with_row


def take(training: Training, gradients: dict[str, torch.Tensor]) -> None:
    """A step by these gradients, the generators' too where theirs is due."""
    training.take_critic_step(gradients)
    if training.step % training.schedule.critic_per_generator == 0:
        training.take_generator_step()
    training.step += 1


def test_of_record_the_gap_is_exactly_0_where_the_row_is_not_in_the_batch() -> None:
    without, with_row = gaps("record", noise_multiplier=0.5)
    assert len(without) > 20 and set(without) == {0.0}
    assert max(with_row) > 1e-4, "the row does matter where it is in"


def test_of_published_it_is_not() -> None:
    without, with_row = gaps("published", noise_multiplier=0.5)
    clip = 1.5 / 8
    assert len(without) > 20 and max(without) > 0.01 * clip
    assert sum(gap > 0 for gap in without) > len(without) / 2 and max(with_row) > max(without)


def test_the_generators_and_synthetic_rows_of_record_are_post_processing() -> None:
    """With the released gradients forced, both tables' trainings make the same rows; without, and with `published`, they don't."""
    rows = rows_of(40, parties_of(2))
    neighbour = rows.clone()
    neighbour[ROW] = -rows[ROW].sign()
    same = {}
    for mechanism in ("record", "published"):
        first, second = (
            training_of(mechanism, r, settings={"noise_multiplier": 0.5}, steps=30) for r in (rows, neighbour)
        )
        released = first.mechanism.released(first.synthesizer.critics)
        for _ in range(30):
            gradients, others = first.critic_gradients(), second.critic_gradients()
            take(first, gradients)
            take(second, others | {name: gradients[name] for name in released})
        same[mechanism] = torch.equal(first.synthesise(20, 0), second.synthesise(20, 0))
    assert same == {"record": True, "published": False}


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_a_row_more_in_a_batch_changes_nothing_that_the_others_meet(scale: float) -> None:
    """Made rows, α and weights of the others are what they were: one row more moves the sum by its own gradient alone."""
    rows = scale * rows_of(60, parties_of(2))
    smaller, larger = (training_of("record", rows[:n], settings={"noise_multiplier": 0.0}, batch=6) for n in (59, 60))
    larger.expected_rows = smaller.expected_rows = 60
    for step in range(40):
        smaller.step = larger.step = step
        few, many = smaller.batch(), larger.batch()
        n = int(few.weight.sum())
        extra = int(many.weight.sum()) - n
        assert extra in (0, 1)
        for name in ("real", "made"):
            for a, b in zip(getattr(few, name), getattr(many, name), strict=True):
                assert torch.equal(a[:n], b[:n])
        assert torch.equal(few.alpha[:n], many.alpha[:n])
        moved = flat(larger.critic_gradients()) - flat(smaller.critic_gradients())
        assert (moved.norm() > 0).item() is bool(extra)


def test_how_many_rows_a_batch_has_does_not_reach_the_generators() -> None:
    """The generators' step takes the first B of z, whatever the batch has: with the critics equal, it is the same step."""
    first, second = (training_of("record", rows_of(n, parties_of(2))) for n in (20, 40))
    assert first.chosen().weight.sum() != second.chosen().weight.sum()
    for training in (first, second):
        training.take_generator_step()
    for a, b in zip(first.synthesizer.generators.parameters(), second.synthesizer.generators.parameters(), strict=True):
        assert torch.equal(a, b)
