"""AdvUnlearn (Zhang et al. 2024, arXiv 2405.15234): ESD that trains the text encoder, on prompts that an attacker has worked on.

    L(φ) = E ‖ε₀(z_t, t, φ(c_adv)) - [ε₀(z_t, t, ∅) - η (ε₀(z_t, t, c_f) - ε₀(z_t, t, ∅))]‖²
           + ρ E ‖ε₀(z_t, t, φ(c_r)) - ε₀(z_t, t, c_r)‖²
    c_adv = [δ*; c_f],  δ* = argmin_δ E ‖ε₀(z_t, t, φ([δ; c_f])) - ε₀(z_t, t, c_f)‖²   by J steps of Adam

φ is the text encoder, which alone trains; the U-Net stays θ₀, and prompts without φ are those of θ₀'s own table. δ are the
embeddings of `prefix` words before the prompt; z_t is partly denoised by θ₀ under the prompt that it is used with, and t
drawn anew for every step of the attack. Until the first attack after `warmup` steps c_adv is c_f itself. What is made is a
table of the prompts, and the text encoder, that the U-Net is told from then on; the U-Net's own weights are as they were.

Public code never clears the gradient of δ, so that the steps of one attack add up; here each step has its own, and φ gets
none of the attack's. It takes δ up where the last attack left it (`attack_begins` "latest"), J = 30 steps at 1e-3, k = 1 word
of the vocabulary drawn at random at first, 200 steps of warm-up and 1,000 in all, learning rate 1e-5, η = 1, guidance 3, ρ
= .3 with 5 retained prompts, and attacks at every step; with `attack_every` 5 it is five times faster. Its batch is one
prompt; here `batch` of them, each with a δ of its own. The empty prompt is encoded by the trained φ too, as in a pipeline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from trainables.denoisers.live_prompts import LivePrompts, TextEncoders, prompt_source, worded
from trainables.denoisers.text_unet import TextUNet
from trainables.diffusion import predict
from trainables.fine_tuning import FineTuning, Optimisation
from trainables.unlearning import CLASSES, Footprint, MethodSettings, Problem, register_run
from trainables.unlearning._partial_denoising import partly_denoised
from trainables.unlearning._text_encoder import EncoderRun

BEGINNINGS = ("latest", "random")


@dataclass(frozen=True)
class AdvUnlearn(MethodSettings):
    """Settings of AdvUnlearn; its defaults are public code's, but for a shorter chain."""

    learning_rate: float = 1e-5  # of φ
    steps: int = 1000
    warmup: int = 200  # steps on c_f itself
    batch: int = 1  # forgotten prompts in a step
    negative_guidance: float = 1.0  # η
    retain_weight: float = 0.3  # ρ
    retain_batch: int = 5  # retained prompts in a step
    prefix: int = 1  # words of δ
    attack_steps: int = 30  # J
    attack_learning_rate: float = 1e-3
    attack_every: int = 1  # steps between attacks
    attack_begins: str = "latest"  # or "random"
    chain_steps: int = 10  # DDIM steps of a whole chain, each stopped after some of them
    guidance: float = 3.0  # of the chain
    grad_clip: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.optimisation()
        for name in ("batch", "retain_batch", "prefix", "attack_steps", "attack_every", "chain_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("warmup", "negative_guidance", "retain_weight"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be finite and not negative, not {getattr(self, name)}")
        if not 0 < self.attack_learning_rate < float("inf"):
            raise ValueError(f"attack_learning_rate must be positive, not {self.attack_learning_rate}")
        if self.attack_begins not in BEGINNINGS:
            raise ValueError(f"attack_begins {self.attack_begins!r} is none of {', '.join(BEGINNINGS)}")

    def optimisation(self) -> Optimisation:
        return Optimisation(self.learning_rate, self.steps, grad_clip=self.grad_clip)


def footprint(settings: AdvUnlearn) -> Footprint:
    """θ₀ for its predictions; the backward passes of what is erased and of what stays come one after the other."""
    images = max(settings.batch, settings.retain_batch if settings.retain_weight else 0)
    return Footprint(teacher=True, images=images, trains_encoders=True)


@register_run(
    "adv_unlearn",
    AdvUnlearn,
    refuses={CLASSES: "trains the text encoder, which a class-conditional model has none of"},
    footprint=footprint,
)
def begin(model: TextUNet, problem: Problem, settings: AdvUnlearn, seed: int) -> EncoderRun:
    """The run; ValueError where the model's text encoders are not there."""
    text = problem.text_encoders("adv_unlearn")
    return EncoderRun(model, text, problem, settings.optimisation(), seed, Adversarial(model, text, problem, settings))


class Adversarial:
    """The gradient of L(φ); carries the forgotten prompts that are at work, and their δ."""

    def __init__(self, model: TextUNet, text: TextEncoders, problem: Problem, settings: AdvUnlearn) -> None:
        self.problem, self.settings, device = problem.here(), settings, problem.device.name
        forgotten, k = problem.forgetting.conditions, settings.prefix
        attacked = [[*range(k), problem.texts[row]] for row in forgotten]
        everything = [[prompt] for prompt in problem.texts]
        self.attacked = LivePrompts(text, worded(text, attacked).to(device), forgotten)
        self.plain = LivePrompts(text, worded(text, everything).to(device), range(len(everything)))
        self.vocabularies = [table.detach().clone() for table in text.embeddings]
        self.retained = torch.tensor(problem.forgetting.retained)
        self.rows = torch.tensor([forgotten[0]] * settings.batch)
        self.words = [table.new_zeros(settings.batch * k, table.shape[1]) for table in self.vocabularies]
        self.has_prefix = False

    def __call__(self, run: FineTuning) -> torch.Tensor:
        settings, generator = self.settings, run.generator
        if run.step % settings.attack_every == 0:
            self.rows = self.problem.draw_forgotten(settings.batch, generator).cpu()
            if run.step >= settings.warmup:
                self._attack(run)
        with run.device.autocast():
            x_t, t = self._chain(self.rows, generator)
            conditional, unconditional = self._base(x_t, t)
            target = unconditional - settings.negative_guidance * (conditional - unconditional)
            erase = F.mse_loss(self._prediction(run.model, x_t, t, adversarial=self.has_prefix), target)
        erase.backward()
        loss = erase.detach()
        if settings.retain_weight:
            kept = settings.retain_weight * self._retain(run)
            kept.backward()
            loss = loss + kept.detach()
        return loss

    def _retain(self, run: FineTuning) -> torch.Tensor:
        """E ‖ε₀(z_t, t, φ(c_r)) - ε₀(z_t, t, c_r)‖²."""
        drawn = torch.randint(len(self.retained), (self.settings.retain_batch,), generator=run.generator)
        rows = self.retained[drawn]
        with run.device.autocast(), torch.no_grad():
            x_t, t = self._chain(rows, run.generator)
            target = predict(self.problem.teacher, x_t, t, rows.to(x_t.device))
        with run.device.autocast(), prompt_source(run.model, self.plain):
            return F.mse_loss(predict(run.model, x_t, t, rows.to(x_t.device)), target)

    def _attack(self, run: FineTuning) -> None:
        """Find δ: J steps of Adam, of which each has its own gradient, and φ none."""
        settings = self.settings
        if not self.has_prefix or settings.attack_begins == "random":
            n = settings.batch * settings.prefix
            tokens = torch.randint(len(self.vocabularies[0]), (n,), generator=run.generator)
            self.words = [table[tokens.to(table.device)].clone() for table in self.vocabularies]
        self.has_prefix = True
        words = [word.detach().requires_grad_(True) for word in self.words]
        optimiser = torch.optim.Adam(words, settings.attack_learning_rate)
        for _ in range(settings.attack_steps):
            with run.device.autocast(), torch.no_grad():
                x_t, t = self._chain(self.rows, run.generator)
                target = predict(self.problem.teacher, x_t, t, self.rows.to(x_t.device))
            self.words = words
            with run.device.autocast():
                loss = F.mse_loss(self._prediction(run.model, x_t, t, adversarial=True), target)
            for word, gradient in zip(words, torch.autograd.grad(loss, words), strict=True):
                word.grad = gradient
            optimiser.step()
        self.words = [word.detach() for word in words]

    def _prediction(self, model: Any, x_t: torch.Tensor, t: torch.Tensor, adversarial: bool) -> torch.Tensor:
        """ε₀(z_t, t, φ(c_adv)), or φ(c_f): each prompt of the batch with its own words."""
        rows = self.rows.to(x_t.device)
        if not adversarial:
            with prompt_source(model, self.plain):
                return predict(model, x_t, t, rows)
        k = self.settings.prefix
        each = []
        for i in range(len(rows)):
            self.attacked.words = [word[i * k : (i + 1) * k] for word in self.words]
            with prompt_source(model, self.attacked):
                each.append(predict(model, x_t[i : i + 1], t[i : i + 1], rows[i : i + 1]))
        return torch.cat(each)

    def _base(self, x_t: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(ε₀(z_t, t, c_f), ε₀(z_t, t, ∅))."""
        rows = self.rows.to(x_t.device)
        with torch.no_grad():
            null = torch.full_like(rows, self.problem.null_condition)
            return predict(self.problem.teacher, x_t, t, rows), predict(self.problem.teacher, x_t, t, null)

    def _chain(self, rows: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        problem, settings = self.problem, self.settings
        rows = rows.to(problem.device.name)
        return partly_denoised(problem.teacher, problem, rows, settings.chain_steps, settings.guidance, generator)

    def state(self) -> dict[str, torch.Tensor]:
        words = {f"words.{i}": word for i, word in enumerate(self.words)}
        return words | {"rows": self.rows, "has_prefix": torch.tensor(self.has_prefix)}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        self.rows, self.has_prefix = state["rows"].cpu(), bool(state["has_prefix"])
        self.words = [state[f"words.{i}"].to(word) for i, word in enumerate(self.words)]
