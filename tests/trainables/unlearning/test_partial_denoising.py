"""Chains stopped on the way, against DDIM written out one image at a time."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pytest
import torch
from ddim import literal_chains
from diffusers import DDIMScheduler
from formula import in_float64

from trainables.unlearning import Problem
from trainables.unlearning._partial_denoising import SelfSampled, partly_denoised


@dataclass
class Output:
    """What a model gives."""

    sample: torch.Tensor


class Echo(torch.nn.Module):
    """Takes its input for the noise."""

    class_embedding = None

    def forward(self, noisy: torch.Tensor, timestep: torch.Tensor) -> Output:
        return Output(noisy)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_every_image_stops_after_its_own_number_of_ddim_steps(problem: Problem, guidance: float) -> None:
    problem = in_float64(problem)
    problem.base.requires_grad_(True)
    conditions = torch.tensor([3, 3, 4, 5, 3, 0])
    x_t, t = partly_denoised(problem.base, problem, conditions, 4, guidance, torch.Generator().manual_seed(0))
    expected, at = literal_chains(problem.base, conditions, 4, guidance, torch.Generator().manual_seed(0))
    torch.testing.assert_close(x_t, expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(t, at)
    assert len({int(time) // 250 for time in t}) > 1, "not all stopped at once"
    assert not x_t.requires_grad


def test_a_chain_that_would_begin_beyond_the_schedule_is_refused(problem: Problem) -> None:
    """Stable Diffusion counts its steps from 1: of 1,000 the last would be t = 1,000, and there is none."""
    schedule = DDIMScheduler.from_config(dict(problem.schedule.config) | {"steps_offset": 1})
    odd, conditions = dataclasses.replace(problem, schedule=schedule), torch.full((2,), 3)
    with pytest.raises(ValueError, match=r"chain_steps 1000: .* take at most 999"):
        partly_denoised(Echo(), odd, conditions, 1000, 1.0, torch.Generator().manual_seed(0))
    partly_denoised(Echo(), odd, conditions, 999, 1.0, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("steps", [4, 7, 10])
def test_every_t_lies_on_the_schedule_in_the_stretch_that_the_last_step_crossed(
    problem: Problem, spacing: str, offset: int, steps: int
) -> None:
    config = dict(problem.schedule.config) | {"timestep_spacing": spacing, "steps_offset": offset}
    schedule = DDIMScheduler.from_config(config)
    odd = dataclasses.replace(problem, schedule=schedule)
    conditions = torch.full((400,), 3)
    _, t = partly_denoised(Echo(), odd, conditions, steps, 1.0, torch.Generator().manual_seed(0))
    schedule.set_timesteps(steps)
    starts = schedule.timesteps.flip(0)
    assert t.min() >= starts[0] and t.max() < 1000
    assert len(torch.unique(torch.bucketize(t, starts, right=True))) == steps, "some in every stretch"


def test_after_no_step_x_t_is_the_noise_that_the_chain_began_with_and_t_the_noisiest(problem: Problem) -> None:
    generator = torch.Generator().manual_seed(0)
    x_t, t = partly_denoised(Echo(), problem, torch.full((200,), 3), 4, 3.0, generator)
    noise = torch.randn(x_t.shape, generator=generator.manual_seed(0))
    untouched = (x_t == noise).flatten(1).all(dim=1)
    assert 30 < untouched.sum() < 70, "one in four"
    assert torch.equal(untouched, t >= 750)


def test_a_batch_erases_alone_where_nothing_is_retained() -> None:
    assert SelfSampled(batch=8, forget_share=0.25).counts == (2, 6)
    assert SelfSampled(batch=8, forget_share=0.25, retain_weight=0.0).counts == (8, 0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"chain_steps": 0}, "chain_steps must be from 1 to 1000"),
        ({"retain_weight": -1.0}, "retain_weight must be 0 or"),
        ({"retain_weight": float("inf")}, "retain_weight must be 0 or"),
        ({"forget_share": 1.5}, "forget_share must be from 0 to 1"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SelfSampled(**values)  # type: ignore[arg-type]
