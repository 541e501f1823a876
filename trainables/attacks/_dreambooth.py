"""DreamBooth (Ruiz et al. 2023, arXiv 2208.12242) with prior preservation: what its two uses against unlearned models share.

    L = DSM(θ; {x_i, "a photo of the sks X"}) + λ · DSM(θ; {x̂_j, "a photo of the X"}),   x̂_j made by θᵤ itself

A few images of a subject are given a word that means nothing, before the name of its class X in each image's own prompt;
the model's own samples under the prompts without that word hold the class where it was. Published: 4 to 6 images, 200
samples, λ = 1, learning rate 5e-6, batch 1 of each, no label dropout.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trainables.attacks import AttackSettings, Target, check_counts
from trainables.attacks._words import in_place_of_name, wording_of
from trainables.data import Images
from trainables.denoisers.live_prompts import LivePrompts, prompt_source, worded
from trainables.denoisers.models import parameters_to_train
from trainables.denoisers.prompts import Prompts
from trainables.denoisers.text_unet import TextUNet
from trainables.diffusion import denoising_loss, sample, starting_noise
from trainables.fine_tuning import FineTuning, descend
from trainables.training.footprint import Footprint


@dataclass(frozen=True)
class DreamBooth(AttackSettings):
    """Settings of DreamBooth."""

    images: int = 5
    batch: int = 4  # of the subject, and as many of the model's own samples
    label_dropout: float | None = 0.0
    token: str = "sks"  # the word that means nothing
    prior_images: int = 20  # the model's own samples
    prior_weight: float = 1.0  # λ; 0: without them

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, "prior_images")
        if not 0 <= self.prior_weight < float("inf"):
            raise ValueError(f"prior_weight must be finite and not negative, not {self.prior_weight}")
        if self.label_dropout is None or self.label_dropout:
            raise ValueError("label_dropout: DreamBooth teaches its subject under its own prompts alone; it is 0")
        if not self.token.strip():
            raise ValueError("token: a word is needed for the subject")


def footprint(settings: DreamBooth) -> Footprint:
    """One backward pass goes through the subject's images and as many of the model's own."""
    return Footprint(images=settings.batch * (2 if settings.prior_weight else 1))


def personalisation(
    model: TextUNet, target: Target, settings: DreamBooth, subject: Images, table: Prompts, steps: int, seed: int
) -> FineTuning:
    """The run that teaches the subject's images by the rows of `table`, and keeps θᵤ's own samples by θᵤ's own table."""
    schedule, device, plain_table = target.recipe.noise_schedule(), target.device.name, model.prompts
    subject, prior = subject.to(device), prior_samples(model, target, settings, subject.conditions, seed).to(device)

    def loss(model: TextUNet, generator: torch.Generator) -> torch.Tensor:
        drawn = subject.draw(settings.batch, generator)
        with prompt_source(model, table):
            instance = denoising_loss(model, schedule, drawn.images, drawn.conditions, generator)
        if not settings.prior_weight:
            return instance
        kept = prior.draw(settings.batch, generator)
        with prompt_source(model, plain_table):
            preserved = denoising_loss(model, schedule, kept.images, kept.conditions, generator)
        return instance + settings.prior_weight * preserved

    parameters = parameters_to_train(model, settings.trained_parameters, settings.lora_rank, seed)
    how = settings.optimisation(steps)
    return FineTuning(model, None, how, seed, target.device, parameters, gradient=descend(loss))  # type: ignore[arg-type]


def with_token(model: TextUNet, target: Target, token: str, rows: list[int]) -> Prompts:
    """The model's table with the word before the name of what is asked for in these rows."""
    wording = wording_of(target)
    text = wording.encoders()
    named = [(wording.texts[row], wording.named[row]) for row in rows]
    prompts = [in_place_of_name(prompt, name, (f"{token} {name}".strip(),)) for prompt, name in named]
    return LivePrompts(
        text, worded(text, [["".join(map(str, p))] for p in prompts]).to(target.device.name), rows
    ).in_table(model.prompts)


def prior_samples(model: TextUNet, target: Target, settings: DreamBooth, conditions: torch.Tensor, seed: int) -> Images:
    """x̂_j: θᵤ's own samples under the subject's prompts in turn, as its users draw them."""
    n = settings.prior_images if settings.prior_weight else 0
    asked = conditions.unique().cpu()
    rows = asked[torch.arange(n) % len(asked)]
    noise = starting_noise((n, *target.auxiliary.shape), seed)
    sampler, schedule = wording_of(target).sampler, target.recipe.noise_schedule()
    null = target.null_condition
    drawn = sample(model, schedule, noise, rows, sampler, target.device, null_condition=null, finish=torch.clone)
    return Images(torch.cat([noise[:0], *drawn]), rows)
