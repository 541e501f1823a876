"""x_t as a model itself makes it: DDIM from noise under a condition, stopped on the way; what ESD and SDD train on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import DDIMScheduler, UNet2DModel

from trainables.diffusion import predict_guided
from trainables.unlearning import FineTuningSettings, Problem, check_shares, split_batch


@dataclass(frozen=True)
class SelfSampled(FineTuningSettings):
    """Settings of the methods that erase on a model's own partial samples, with or without a retain term beside it."""

    chain_steps: int = 10  # DDIM steps of a whole chain, each stopped after some of them
    guidance: float = 3.0  # classifier-free guidance of the chain; 1 is none
    retain_weight: float = 10.0  # λ of + λ · DSM(D_r); 0 is the paper's loss, and every image of a batch then erases
    forget_share: float = 0.1  # share of each batch that erases, where there is a retain term
    condition_dropout: float = 0.05  # probability that a retained image's condition becomes the null condition

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shares(self, "forget_share", "condition_dropout")
        if not 1 <= self.chain_steps <= 1000:
            raise ValueError(f"chain_steps must be from 1 to 1000, not {self.chain_steps}")
        if not 0 <= self.retain_weight < float("inf"):
            raise ValueError(f"retain_weight must be 0 or a positive, finite weight, not {self.retain_weight}")

    @property
    def counts(self) -> tuple[int, int]:
        """(images that erase, retained images) in a batch."""
        erased = split_batch(self.batch, self.forget_share) if self.retain_weight else self.batch
        return erased, self.batch - erased


@torch.no_grad()
def partly_denoised(
    model: UNet2DModel,
    problem: Problem,
    conditions: torch.Tensor,
    steps: int,
    guidance: float,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """x_t (B, C, H, W) and t (B,): B chains of `steps` DDIM steps, each stopped after 0 … `steps` - 1 of them.

    ε̃ = ε(x, ∅) + guidance · (ε(x, c) - ε(x, ∅)), or the same of v. As in SDD's public code, t is drawn evenly from the
    stretch of the training schedule that the last DDIM step has crossed; there one chain is a batch, here each image stops
    by itself. That stretch begins where the chain stopped and ends below the timestep it stepped from, or the schedule's
    end. After 0 steps x_t is pure noise and t lies in the noisiest stretch; what public code does at 0 is said in `esd` and
    `sdd`. ValueError where a step would begin beyond the schedule's end.
    """
    sampler = DDIMScheduler.from_config(problem.schedule.config)
    sampler.set_timesteps(steps)
    horizon, offset = (sampler.config[name] for name in ("num_train_timesteps", "steps_offset"))
    if int(sampler.timesteps[0]) >= horizon:
        raise ValueError(
            f"chain_steps {steps}: of {horizon} timesteps counted from {offset} the last is beyond the schedule's end; "
            f"take at most {horizon - offset}"
        )
    n = len(conditions)
    x_t = problem.forget.placed(torch.randn((n, *problem.forget.shape), generator=generator))
    behind = torch.randint(steps, (n,), generator=generator)  # on the CPU: which rows go on needs no GPU's answer
    drawn = torch.randint(horizon // steps, (n,), generator=generator)
    for i, timestep in enumerate(sampler.timesteps[: int(behind.max())]):
        rows = (behind > i).nonzero().flatten().to(x_t.device)
        guided = predict_guided(model, x_t[rows], timestep, conditions[rows], problem.null_condition, guidance)
        x_t[rows] = sampler.step(guided, timestep, x_t[rows], eta=0.0).prev_sample
    ends = torch.cat([torch.tensor([horizon]), sampler.timesteps[:-1]])
    stretch = (ends - sampler.timesteps)[behind]
    within = drawn * stretch // (horizon // steps)  # all stretches are as long where the spacing is "leading"
    return x_t, (sampler.timesteps[behind] + within).to(x_t.device)
