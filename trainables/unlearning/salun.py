"""SalUn: Saliency Unlearning (Fan et al. 2024, arXiv 2310.12508): label swap, or ascent, of the salient weights only.

    random_label:     L(θ) = λ_f · E_{x ~ D_f} ‖ε_θ(x_t, t, c_f) - sg ε_θ(x_t, t, c_alt)‖² + λ_r · DSM(θ; D_r)
    gradient_ascent:  L(θ) = -λ_f · DSM(θ; D_f) + λ_r · DSM(θ; D_r)
    ∇L ← m ⊙ ∇L,  m_i = 1 for the `mask_fraction` of all weights, over all layers, with the largest |∇DSM(θ₀; D_f)|_i

The paper's α weighs the retain term. Public code sums that term over the D elements (3,072 on CIFAR-10) and averages the
swap term, with α = 1e-3: per element α = 3.07, so `lambda_ratio` = 1 / (α D) = .33. Its ascent sums both terms, so there
α carries over, `lambda_ratio` = 1 / α. It masks after clipping the gradient's norm, here the mask comes first; c_alt is
c_f + 1 there, ``class_fixed`` here; batches are of 128 images of each kind, a tenth of the labels of both dropped; samples are
drawn with a guidance scale of 2, which as a weight of ε_∅ + w (ε_c - ε_∅) is 3. Gradient ascent is unbounded below: it
diverges unless `lambda_ratio` is small or the run short.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import UNet2DModel

from trainables.diffusion import Loss, add_noise, denoising_loss, predict
from trainables.forgetting import Forget
from trainables.unlearning import Footprint, Mixture, Problem, Tensors, balance, check_shares, register, retained_batch
from trainables.unlearning._replacement import alternative_conditions, check_alternative

VARIANTS = ("random_label", "gradient_ascent")
_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by the bytes of a float


@dataclass(frozen=True)
class SalUn(Mixture):
    """Settings of SalUn; `lambda_ratio` is λ_f / λ_r."""

    learning_rate: float = 5e-4
    lambda_ratio: float = 0.1
    variant: str = "random_label"  # or "gradient_ascent"
    mask_fraction: float = 0.5  # share of all weights that may move, the most salient ones
    alternative: str = "class_fixed"  # c_alt of random_label: a name of trainables.unlearning._replacement.ALTERNATIVES

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variant not in VARIANTS:
            raise ValueError(f"variant {self.variant!r} is none of {', '.join(VARIANTS)}")
        check_shares(self, "mask_fraction")
        check_alternative(self.alternative)

    def check_forgets(self, forgetting: Forget) -> None:
        super().check_forgets(forgetting)
        check_alternative(self.alternative, forgetting)


def salient(saliency: Tensors, fraction: float) -> dict[str, torch.Tensor]:
    """By name, 1 for this share of all weights together, those of the largest saliency, of equal ones the first; 0 for the others.

    They are not put in order for it: a large model's weights in a row, and their order, take five times its memory.
    """
    bits = {name: s.view(_BITS[s.element_size()]) for name, s in saliency.items()}  # none is negative: in their order
    chosen = int(fraction * sum(s.numel() for s in saliency.values()))
    least = _largest_reached_by(list(bits.values()), chosen)
    left = chosen - torch.stack([(b > least).sum() for b in bits.values()]).sum()
    mask = {}
    for name, b in bits.items():
        equal = b == least
        first = equal & (equal.flatten().cumsum(0).reshape(b.shape) <= left)
        left = left - first.sum()
        mask[name] = ((b > least) | first).to(saliency[name].dtype)
    return mask


def _largest_reached_by(bits: Sequence[torch.Tensor], n: int) -> torch.Tensor:
    """The largest number (of no dimension) that at least n of all these are not below, found bit by bit, on their device."""
    largest = torch.zeros((), dtype=torch.int64, device=bits[0].device)
    for place in reversed(range(8 * bits[0].element_size() - 1)):
        higher = largest + (1 << place)
        reached = torch.stack([(b >= higher).sum() for b in bits]).sum()
        largest = torch.where(reached >= n, higher, largest)
    return largest


def masks(parameters: dict[str, torch.nn.Parameter], problem: Problem, settings: SalUn) -> list[torch.Tensor]:
    """Of each trained parameter, which weights move."""
    mask = salient(problem.shared["saliency"], settings.mask_fraction)
    return [mask[name] for name in parameters]


def footprint(settings: SalUn) -> Footprint:
    """The mask, and two passes; while it is made, that of all weights, and in a row that of those that train."""
    return Footprint(copies=2, begin=2)


@register("salun", SalUn, needs=("saliency",), masks=masks, footprint=footprint)
def loss(problem: Problem, settings: SalUn) -> Loss:
    """L(θ) over a batch that holds `forget_share` images of the forget set."""
    alternative = alternative_conditions(problem, settings.alternative)
    problem = problem.here()
    forgotten, kept = settings.counts
    lambda_f, lambda_r = balance(settings.lambda_ratio)

    def step(model: UNet2DModel, generator: torch.Generator) -> torch.Tensor:
        x_f = problem.forget.draw(forgotten, generator)
        c_alt = alternative(x_f.conditions, generator)
        noised = add_noise(problem.schedule, x_f.images, generator)
        if settings.variant == "random_label":
            with torch.no_grad():
                target = predict(model, noised.images, noised.timesteps, c_alt)
            forget = noised.loss(model, x_f.conditions, target)
        else:
            forget = -noised.loss(model, x_f.conditions)

        x_r = retained_batch(problem, kept, settings.condition_dropout, generator)
        keep = denoising_loss(model, problem.schedule, x_r.images, x_r.conditions, generator)
        return lambda_f * forget + lambda_r * keep

    return step
