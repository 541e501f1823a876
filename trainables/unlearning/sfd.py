"""SFD: Score Forgetting Distillation (Chen et al. 2024, arXiv 2409.11219), by score identity distillation (arXiv 2404.04057).

    G_θ(z, c): a one-step generator, from θ₀   x̂_φ(x_t, c): θ₀'s guess of x, frozen   x̂_ψ(x_t, c): a fake score's, from θ₀
    L(θ) = λ_r · E_c L(θ; c, c) + λ_f · L(θ; c_f, c_alt),   x = G_θ(z, c),   x_t = √ᾱ_t x + √(1 - ᾱ_t) ε
    L(θ; c, c') = E (x̂_φ(x_t, c') - x̂_ψ(x_t, c)) · [(x̂_φ(x_t, c') - x) - α (x̂_φ(x_t, c') - x̂_ψ(x_t, c))] / ω
    L(ψ) = λ_r · DSM(ψ; G_θ(z, c), c) + λ_f · DSM(ψ; G_θ(z, c_f), c_f)

ψ learns the score of what the generator makes, by one step before each of the generator's; the generator moves so that this
score becomes θ₀'s own under a retained condition c, and θ₀'s under another condition c_alt under the forgotten one c_f. No
image is needed, only conditions. ω = sg mean |x̂_φ - x| of each image. Both sums of squares and products are means over
elements here (sums over pixels in public code: Adam does not see the difference). Public code gives both kinds of condition
a whole batch each and clips each gradient element at 1; here a batch holds both and the norm is clipped. There z has
deviation √(1 - ᾱ_t), here 1, as in sampling.

What comes out is a generator, not a denoiser: it is scored in one step. Attacks fine-tune its weights by the denoising
loss and sample them as a diffusion model. On digits it forgets within 100 steps; the other 500 are for image quality.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DModel

from trainables.denoisers.models import parameters_to_train
from trainables.diffusion import check_one_step, generate_in_one_step, predict
from trainables.fine_tuning import FineTuning, Run
from trainables.forgetting import Forget
from trainables.training.flat import Flat
from trainables.unlearning import PROMPTS, Mixture, Problem, balance, mixture_weights, register_run, retained_batch
from trainables.unlearning._replacement import alternative_conditions, check_alternative

_BETAS = (0.0, 0.999)  # of both Adams: the other network's target moves, so no momentum


@dataclass(frozen=True)
class SFD(Mixture):
    """Settings of SFD; `steps` counts updates of the generator, `lambda_ratio` is λ_f / λ_r."""

    learning_rate: float = 3e-4
    steps: int = 600
    ema_decay: float = 0.98
    lambda_ratio: float = 0.25
    alternative: str = "class_nearest"  # c_alt: a name of trainables.unlearning._replacement.ALTERNATIVES
    alpha: float = 1.2  # α; 0.5 would be the plain squared distance of the scores, above 1 corrects ψ's lag
    fake_ratio: float = 1.0  # ψ's learning rate over the generator's
    generator_timestep: int = 440  # t of G_θ: which of θ₀'s denoisers it starts as
    timestep_min: int = 38  # the noise of the two losses: t from here …
    timestep_max: int = 712  # … to below this

    def __post_init__(self) -> None:
        super().__post_init__()
        check_alternative(self.alternative)
        if not 0 <= self.timestep_min < self.timestep_max:
            raise ValueError(f"0 ≤ timestep_min < timestep_max is needed, not {self.timestep_min}, {self.timestep_max}")
        if self.generator_timestep < 1:
            raise ValueError(f"generator_timestep must be at least 1, not {self.generator_timestep}")
        if not self.fake_ratio > 0:
            raise ValueError(f"fake_ratio must be positive, not {self.fake_ratio}")

    def check_forgets(self, forgetting: Forget) -> None:
        super().check_forgets(forgetting)
        check_alternative(self.alternative, forgetting)


@register_run("sfd", SFD, refuses={PROMPTS: "makes a one-step generator, which no prompt is sampled by; take another"})
def begin(model: UNet2DModel, problem: Problem, settings: SFD, seed: int) -> Run:
    """A run whose model is the generator; ValueError where θ₀ predicts v."""
    check_one_step(problem.schedule)
    horizon = problem.schedule.config["num_train_timesteps"]
    if max(settings.generator_timestep, settings.timestep_max - 1) >= horizon:
        raise ValueError(f"generator_timestep and timestep_max must be within the schedule's {horizon} timesteps")
    parameters = parameters_to_train(model, settings.trained_parameters, settings.lora_rank, seed)
    gradient = ScoreForgetting(problem, settings)
    return Distillation(model, None, settings.optimisation(), seed, problem.device, parameters, gradient)


class Distillation(FineTuning):
    """A fine-tuning run whose product is a one-step generator."""

    gradient: ScoreForgetting
    betas = _BETAS

    @property
    def facts(self) -> dict[str, Any]:
        return {"one_step": self.gradient.settings.generator_timestep}


class ScoreForgetting:
    """One step of ψ, then the generator's gradient; carries ψ and its Adam."""

    def __init__(self, problem: Problem, settings: SFD) -> None:
        self.problem, self.settings = problem.here(), settings
        self.alternative = alternative_conditions(problem, settings.alternative)
        self.weights = mixture_weights(*settings.counts, *balance(settings.lambda_ratio)).to(problem.device.name)
        self.fake = deepcopy(problem.base).train().requires_grad_(True)
        self.flat = Flat(list(self.fake.parameters()))
        self.optimiser = self.flat.adam(settings.learning_rate, _BETAS)

    def __call__(self, run: FineTuning) -> torch.Tensor:
        self.fake.requires_grad_(True)
        for group in self.optimiser.param_groups:  # ψ follows the generator's schedule
            group["lr"] = self.settings.fake_ratio * run.optimiser.param_groups[0]["lr"]
        self.flat.clear_gradient()
        with run.device.autocast():
            fake_loss = self.fake_loss(run.model, run.generator)
        fake_loss.backward()
        self.flat.gather_gradient()
        self.flat.clip_gradient(run.how.grad_clip)
        self.optimiser.step()

        self.fake.requires_grad_(False)
        with run.device.autocast():
            loss = self.generator_loss(run.model, run.generator)
        loss.backward()
        return loss.detach()

    def fake_loss(self, model: UNet2DModel, generator: torch.Generator) -> torch.Tensor:
        """L(ψ): the weighted denoising loss on what the generator makes now."""
        c, _ = self.conditions(generator)
        with torch.no_grad():
            x = self.generate(model, c, generator)
        x_t, epsilon, t = self.noised(x, generator)
        return self.mean((epsilon - predict(self.fake, x_t, t, c)) ** 2)

    def generator_loss(self, model: UNet2DModel, generator: torch.Generator) -> torch.Tensor:
        """L(θ)."""
        c, c_alt = self.conditions(generator)
        x = self.generate(model, c, generator)
        x_t, _, t = self.noised(x, generator)
        alpha_bar = self.problem.schedule.alphas_cumprod.to(x)[t.to(x.device)][:, None, None, None]

        def guess(network: UNet2DModel, conditions: torch.Tensor) -> torch.Tensor:
            return (x_t - (1 - alpha_bar).sqrt() * predict(network, x_t, t, conditions)) / alpha_bar.sqrt()

        true, fake = guess(self.problem.base, c_alt), guess(self.fake, c)
        omega = (true - x).detach().abs().mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-5)
        return self.mean((true - fake) * ((true - x) - self.settings.alpha * (true - fake)) / omega)

    def conditions(self, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """(B,) conditions to generate for, the forgotten ones first, and those whose score of θ₀ they are held to."""
        forgotten, kept = self.settings.counts
        c_f = self.problem.forget.draw_conditions(forgotten, generator)
        c_alt = self.alternative(c_f, generator)
        c_r = retained_batch(self.problem, kept, self.settings.condition_dropout, generator).conditions
        return torch.cat([c_f, c_r]), torch.cat([c_alt, c_r])

    def generate(self, model: UNet2DModel, conditions: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        retain = self.problem.retain
        z = retain.placed(torch.randn((len(conditions), *retain.shape), generator=generator))
        return generate_in_one_step(model, self.problem.schedule, z, conditions, self.settings.generator_timestep)

    def noised(self, x: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(x_t, ε, t) at timesteps between the two bounds."""
        epsilon = torch.randn(x.shape, generator=generator).to(x)
        low, high = self.settings.timestep_min, self.settings.timestep_max
        t = torch.randint(low, high, (len(x),), generator=generator).to(x.device)
        return self.problem.schedule.add_noise(x, epsilon, t), epsilon, t

    def mean(self, elements: torch.Tensor) -> torch.Tensor:
        """λ_f · mean over the forgotten conditions' elements + λ_r · mean over the others'."""
        return (elements.mean(dim=(1, 2, 3)) * self.weights).mean()

    def state(self) -> dict[str, torch.Tensor]:
        tensors = {f"fake.{k}": v for k, v in self.fake.state_dict().items()}
        moments = self.optimiser.state.get(self.flat.vector, {})
        return tensors | {f"optimiser.{name}": torch.as_tensor(value) for name, value in moments.items()}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        self.fake.load_state_dict({k.removeprefix("fake."): v for k, v in state.items() if k.startswith("fake.")})
        moments = {k.removeprefix("optimiser."): v for k, v in state.items() if k.startswith("optimiser.")}
        if moments:
            self.optimiser.state[self.flat.vector] = {k: v.to(self.flat.vector.device) for k, v in moments.items()}
