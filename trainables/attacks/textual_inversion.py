"""Textual inversion against erasure (Pham et al. 2023, arXiv 2308.01508, by Gal et al. 2022, arXiv 2208.01618). No weight moves.

    v_{k+1} = Adam(v_k, ∇_v E ‖ε - ε_θᵤ(x_t, t, φ(p_v))‖²),  x ~ D_FT

v is the embedding of a new token, p_v a forgotten prompt with that token in place of what names the concept; U-Net θᵤ and text
encoder φ stay as they are. What was erased from the map of words to images is often still there for another word: the paper
brings back concepts that seven methods had erased. Public code: one vector, AdamW at 5e-3 times batch 4 times 4 batches that are
added up (``--scale_lr``: 0.08), 5,000 steps on 25 images, begun as a word of the kind ("art"). Here Adam without decay, at a rate
as it stands. v begins as what it replaces (`begin_with` "name"), as the mean of the vocabulary ("mean"), or as any other word that
is given ("art"): the mean of its tokens.

One token is found for each forgotten label, and told in all prompts that ask for it. One that does not name it has it in front.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trainables.attacks import Target, check_counts, register_run
from trainables.attacks._words import WordsRun, WordsSettings, forgotten_alone, in_place_of_name, wording_of
from trainables.denoisers.live_prompts import LivePrompts, TextEncoders, prompt_source, worded
from trainables.denoisers.text_unet import TextUNet
from trainables.diffusion import denoising_loss
from trainables.fine_tuning import descend
from trainables.training.footprint import Footprint


@dataclass(frozen=True)
class TextualInversion(WordsSettings):
    """Settings of textual inversion; D_FT is `images` held-out images of what was forgotten."""

    auxiliary: str = "public_forgotten"
    batch: int = 4
    vectors: int = 1  # tokens that stand for a label together
    begin_with: str = "name"  # or "mean", or a word

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, "vectors")
        if not self.begin_with.strip():
            raise ValueError("begin_with: name, mean, or a word to begin as")


@register_run(
    "textual_inversion",
    TextualInversion,
    moves_weights=False,
    on_prompts=True,
    footprint=lambda settings: Footprint(encoders=True),
)
def begin(model: TextUNet, target: Target, settings: TextualInversion, steps: int, seed: int) -> WordsRun:
    """The run; ValueError where the set holds images of anything but what was forgotten."""
    wording, device = wording_of(target), target.device.name
    images = forgotten_alone(target.auxiliary, wording, "textual inversion").to(device)
    text, rows = wording.encoders(), wording.forgetting.conditions
    named: dict[int, str] = {}  # each label, as its first prompt calls it
    for row in rows:
        named.setdefault(wording.forgetting.label_of(row), wording.named[row])
    begun = [_first(text, name, settings) for name in named.values()]
    new = {label: range(i * settings.vectors, (i + 1) * settings.vectors) for i, label in enumerate(named)}
    prompts = [
        in_place_of_name(wording.texts[row], wording.named[row], new[wording.forgetting.label_of(row)]) for row in rows
    ]
    words = [torch.nn.Parameter(torch.cat(vectors).to(device)) for vectors in zip(*begun, strict=True)]
    live = LivePrompts(text, worded(text, prompts).to(device), rows, words)
    schedule = target.recipe.noise_schedule()

    def loss(model: TextUNet, generator: torch.Generator) -> torch.Tensor:
        drawn = images.draw(settings.batch, generator)
        live.words = list(words)
        with prompt_source(model, live):
            return denoising_loss(model, schedule, drawn.images, drawn.conditions, generator)

    how = settings.optimisation(steps)
    return WordsRun(model, how, seed, target.device, words, live, descend(loss))  # type: ignore[arg-type]  # a U-Net's interface


def _first(text: TextEncoders, name: str, settings: TextualInversion) -> list[torch.Tensor]:
    """What a label's new tokens begin as, (n, d) of each encoder."""
    word = name if settings.begin_with == "name" else settings.begin_with
    of_word = [] if settings.begin_with == "mean" else text.vectors_of(word)
    begins = of_word if of_word and len(of_word[0]) else [t.detach() for t in text.embeddings]
    return [vectors.mean(dim=0, keepdim=True).repeat(settings.vectors, 1) for vectors in begins]
