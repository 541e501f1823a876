"""An attacker on prompts in float64: a CLIP text encoder of random weights with 50 tokens, and a text U-Net told its prompts."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

import torch
from text_problem import ANCHORS, FORGOTTEN, NULL, RETAINED, WIDTH, text_problem, text_unet
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from trainables.attacks import ATTACKS, Target, Wording
from trainables.auxiliary import few
from trainables.data import Images
from trainables.denoisers.live_prompts import LivePrompts, TextEncoders, worded
from trainables.denoisers.prompts import Prompts
from trainables.denoisers.recipes import BaseModel
from trainables.denoisers.text_unet import TextUNet
from trainables.denoisers.tokenizer import END, START, learned_merges
from trainables.fine_tuning import FineTuning
from trainables.forgetting import Forget
from trainables.sampling.sampler import Sampler
from trainables.training.device import Device

OBJECTS, STYLES = ("sneaker", "bag", "coat"), ("ink", "neon")
TEMPLATES = ("a {style} of a {thing}", "a {thing} in {style}")
# The same rows as `text_problem` has: of an object both styles, of a style both templates.
TEXTS = tuple(t.format(style=s, thing=o) for o in OBJECTS for s in STYLES for t in TEMPLATES)
NAMED = tuple(o for o in OBJECTS for _ in STYLES for _ in TEMPLATES)
LENGTH, VOCABULARY = 12, 50


@cache
def tokenizer() -> CLIPTokenizer:
    """A genuine one, of 50 tokens: the letters of these prompts, their words, and a few letters more."""
    merges = learned_merges(TEXTS)
    letters = sorted({letter for text in TEXTS for letter in text.replace(" ", "")})
    symbols = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, merges)]
    symbols += ["x", "y", "z", "q", "w", "x</w>", "y</w>", "z</w>", "q</w>", "w</w>"][: VOCABULARY - 2 - len(symbols)]
    vocabulary = {symbol: number for number, symbol in enumerate([*symbols, START, END])}
    assert len(vocabulary) == VOCABULARY
    return CLIPTokenizer(vocab=vocabulary, merges=[tuple(pair) for pair in merges], model_max_length=LENGTH)


def encoder(seed: int = 0, width: int = WIDTH) -> CLIPTextModel:
    torch.manual_seed(seed)
    end = tokenizer().eos_token_id
    config = CLIPTextConfig(
        vocab_size=VOCABULARY, hidden_size=width, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=LENGTH, eos_token_id=end, bos_token_id=end - 1, pad_token_id=end,
        initializer_factor=20.0,
    )  # fmt: skip
    return CLIPTextModel(config).double().eval().requires_grad_(False)


def encoders(seed: int = 0) -> TextEncoders:
    return TextEncoders([tokenizer()], [encoder(seed)], (8, 8))


@torch.no_grad()
def table(text: TextEncoders) -> Prompts:
    """All prompts and the empty one, in float64."""
    everything = worded(text, [[prompt] for prompt in (*TEXTS, "")])
    context, _ = LivePrompts(text, everything, range(NULL + 1)).encoded(torch.arange(NULL + 1))
    return Prompts(context, everything.tokens[0], everything.real)


def unlearned(seed: int = 1) -> TextUNet:
    """θᵤ, told the prompts of this encoder."""
    model = text_unet(seed)
    model.prompts = table(encoders())
    return model


class Recipe(BaseModel):
    """The schedule of text-to-image models."""

    def noise_schedule(self) -> Any:
        return text_problem().schedule


def target(images: Images, velocity: bool = False, **sets: Images) -> Target:
    forgetting = Forget(
        "concept:sneaker", FORGOTTEN, RETAINED, labels=(0,), facet="concept", anchors=ANCHORS,
        shown=tuple(OBJECTS.index(name) for name in NAMED),
    )  # fmt: skip
    base = unlearned(seed=0)
    wording = Wording(forgetting, TEXTS, NAMED, encoders, lambda: base, Sampler(steps=3, guidance=2.0))
    return Target(images, Recipe(), NULL, Device(), sets, wording)


def forgotten() -> Images:
    return text_problem().forget


def retained() -> Images:
    return text_problem().retain


def begin(attack: str, steps: int = 4, seed: int = 1, model: TextUNet | None = None, **values: Any) -> FineTuning:
    """An attack's run on θᵤ, with the images that it asks for."""
    member = ATTACKS[attack]
    settings = member.configure(values)
    name = settings.auxiliary
    images = forgotten() if "forgotten" in name else retained() if name else retained().batch(torch.arange(0))
    sets = {name: images} if name else {}
    held = few(images, settings.images) if name and settings.images <= len(images) else images
    return member.begin(deepcopy(model or unlearned()), target(held, **sets), settings, steps, seed)
