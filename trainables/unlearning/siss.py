"""SISS: Subtracted Importance Sampled Scores (Alberti et al. 2025, arXiv 2503.01034), which forgets single images.

    ℓ(θ) = E_{m_t ~ q_λ}[ w_x ‖ε_x - ε_θ(m_t, t)‖² - s · w_a ‖ε_a - ε_θ(m_t, t)‖² ]

x is drawn from the images to keep, a from those to forget, both are noised by the same t and ε, and the noised image m_t
is a's with probability λ and else x's. ε_x = (m_t - √ᾱ_t x) / √(1 - ᾱ_t) is the noise that would have led there from x,
ε_a from a, and the importance weights make good that m_t came from the mixture:

    w_x = q(m_t|x) / ((1 - λ) q(m_t|x) + λ q(m_t|a)),   w_a = q(m_t|a) / ((1 - λ) q(m_t|x) + λ q(m_t|a)).

So one forward pass serves both terms; there are two backward passes. Where a model predicts v, ε_θ is had of it first. The
superfactor s gives the second term's gradient g_a a fixed norm, s = `deletion_norm` / ‖g_a‖, small ones made larger too, as
public code does: ascent is unbounded.

Public code sums losses over an image's values and averages over the batch; here both are means over elements. With Adam and
the clip of the whole gradient only the ratio of the two norms matters, so its norm 5 at 28 × 28 grey values is .0064 here;
its rule of thumb is a tenth of the first term's. λ = 0 and 1, the paper's ablations, have unbounded weights and are refused.

On digits_duplicated (instances 0, 1, 2; six seeds) the base model's copies, 18 % of its samples, fall to .1-1.9 %, at a
`fid_delta` of 4 ± 17: an unconditional model's mix of digits drifts in any fine-tuning, that on the rest alone included.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from trainables.diffusion import epsilon_of, predict
from trainables.fine_tuning import FineTuning, Gradient
from trainables.forgetting import INSTANCES
from trainables.unlearning import FineTuningSettings, Footprint, Problem, register_gradient


@dataclass(frozen=True)
class SISS(FineTuningSettings):
    """Settings of SISS."""

    learning_rate: float = 2e-4  # Adam's peak, below the others': 7e-4 cost 6-11 FID whatever the norm
    mixture: float = 0.5  # λ: probability that a noised image is one to forget
    deletion_norm: float = 0.03  # the norm that the gradient of the second term is given; 0: training on the rest alone

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.mixture < 1:
            raise ValueError(f"mixture must lie between 0 and 1, not at {self.mixture}: the weights would be unbounded")
        if not 0 <= self.deletion_norm < float("inf"):
            raise ValueError(f"deletion_norm must be at least 0 and finite, not {self.deletion_norm}")


@register_gradient("siss", SISS, forgets=(INSTANCES,), footprint=lambda settings: Footprint(copies=3))
def gradient(problem: Problem, settings: SISS) -> Gradient:
    """∇ℓ(θ), from one forward pass over a batch of pairs (x, a)."""
    problem = problem.here()

    def step(run: FineTuning) -> torch.Tensor:
        with run.device.autocast():
            keep, delete = terms(problem, settings, run)
        g_x = torch.autograd.grad(keep, run.parameters, retain_graph=True, allow_unused=True)
        g_a = torch.autograd.grad(delete, run.parameters, allow_unused=True)
        norm = torch.stack([g.norm() for g in g_a if g is not None]).norm()
        s = torch.where(norm > 0, settings.deletion_norm / norm, 0.0)  # a batch may hold no noised image near any a
        for parameter, of_x, of_a in zip(run.parameters, g_x, g_a, strict=True):
            if of_x is not None and of_a is not None:
                parameter.grad = of_x - s * of_a
        return (keep - s * delete).detach()

    return step


def terms(problem: Problem, settings: SISS, run: FineTuning) -> tuple[torch.Tensor, torch.Tensor]:
    """The two terms, E[w_x ‖ε_x - ε_θ‖²] and E[w_a ‖ε_a - ε_θ‖²], means over elements."""
    x, a = (images.draw(settings.batch, run.generator) for images in (problem.retain, problem.forget))
    epsilon = torch.randn(x.images.shape, generator=run.generator).to(x.images)
    t = torch.randint(problem.schedule.config["num_train_timesteps"], (settings.batch,), generator=run.generator)
    forgotten = (torch.rand(settings.batch, generator=run.generator) < settings.mixture).to(epsilon.device)

    alpha_bar = problem.schedule.alphas_cumprod[t].to(epsilon)[:, None, None, None]
    signal, spread = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    m_t = signal * torch.where(forgotten[:, None, None, None], a.images, x.images) + spread * epsilon
    epsilon_x, epsilon_a = (m_t - signal * x.images) / spread, (m_t - signal * a.images) / spread
    # log q(m_t|a) - log q(m_t|x): the weights are sigmoids of it, which overflow nowhere
    log_ratio = (epsilon_x.square() - epsilon_a.square()).flatten(1).sum(dim=1) / 2
    odds = torch.logit(torch.tensor(settings.mixture, dtype=torch.float64)).to(log_ratio)
    w_x, w_a = (
        torch.sigmoid(-odds - log_ratio) / (1 - settings.mixture),
        torch.sigmoid(odds + log_ratio) / settings.mixture,
    )

    conditions = torch.where(forgotten, a.conditions, x.conditions)
    t = t.to(epsilon.device)
    predicted = epsilon_of(predict(run.model, m_t, t, conditions), m_t, t, problem.schedule)
    error_x, error_a = (
        F.mse_loss(predicted, e, reduction="none").flatten(1).mean(dim=1) for e in (epsilon_x, epsilon_a)
    )
    return (w_x * error_x).mean(), (w_a * error_a).mean()
