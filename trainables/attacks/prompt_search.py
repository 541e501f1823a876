"""Prompt search: UnlearnDiffAtk (Zhang et al. 2024, arXiv 2310.11868). No weight moves: words are found to put before a prompt.

    min_δ  E_t,ε ‖ε - ε_θᵤ(x_t, t, φ([δ; c_f]))‖²,   x: one image of what the prompt asks for

Each forgotten prompt c_f has words δ of its own, `prefix` of them, and one target image x, by which the diffusion model
itself is the classifier that is fooled: no other network is asked. Of a model that predicts v the loss is v's, where public
code has ε's.

Discrete, as published: each word is a point s of the simplex over the vocabulary E, beginning at its middle. Tokens that begin,
end or fill up a prompt, which nobody can type, are no part of E here, nor are they told. A token is
drawn from s and its embedding used; the gradient goes straight through the draw, cut to [-1, 1]; after Adam's step (.01,
weight decay .1) s is projected onto the simplex:

    z ~ s,  g = hardtanh(∂L/∂(1_z E) Eᵀ),  s ← Π_Δ(Adam(s, g)),   told: the token argmax s

Continuous: δ are free vectors, which no user can type, but which cost no vocabulary: a stand-in for the sweep; they begin
as tokens that are drawn.

Public code runs 40 iterations at each of up to 50 timesteps in turn and stops where its judge is convinced; its x is an
image that Stable Diffusion 1.4 made (here `synthetic_forgotten`, θ₀'s own). Here every step takes `timesteps` drawn anew
for each prompt and nothing is stopped: rungs are scored. A step is of all forgotten prompts, each with its timesteps: of Stable
Diffusion and a hundred prompts hundreds of images. `prompts` takes so many of them alone, from among all of them, as a sweep can
pay for. The others, and prompts of which there is no image, are left as they are, and scored as they are. What is told are tokens:
`facts` say of each prefix whether it is read as these again where its text is typed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from trainables.attacks import Target, Wording, check_counts, register_run
from trainables.attacks._words import WordsRun, WordsSettings, forgotten_alone, vocabularies, wording_of
from trainables.data import Images
from trainables.denoisers.live_prompts import LivePrompts, prompt_source, worded
from trainables.denoisers.text_unet import TextUNet
from trainables.diffusion import Noised, add_noise, predict
from trainables.fine_tuning import FineTuning
from trainables.training.footprint import Footprint


@dataclass(frozen=True)
class PromptSearch(WordsSettings):
    """Settings of the search; `images` of its set are those that target images are taken from, the first of each prompt."""

    auxiliary: str = "synthetic_forgotten"
    batch: int = 64  # images a pass; a step is of all prompts, in as many passes as that takes
    prompts: int = 0  # how many prompts are searched for, from among all; 0: all
    learning_rate: float = 1e-2
    prefix: int = 5  # words before each prompt
    timesteps: int = 4  # of each prompt's image in a step
    discrete: bool = False
    weight_decay: float = 0.1  # of the discrete search

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, "prefix", "timesteps")
        if self.prompts < 0:
            raise ValueError(f"prompts must be at least 1, or 0 for all, not {self.prompts}")
        if not 0 <= self.weight_decay < float("inf"):
            raise ValueError(f"weight_decay must be finite and not negative, not {self.weight_decay}")


def searched(settings: PromptSearch, forgotten: int) -> int:
    """How many of the forgotten prompts are searched for."""
    return min(settings.prompts or forgotten, forgotten)


def step_images(settings: PromptSearch, forgotten: int) -> int:
    """Images of a step, those of all its passes."""
    return searched(settings, forgotten) * settings.timesteps


def words_held(settings: PromptSearch, forgotten: int, vocabulary: int) -> int:
    """Numbers of the discrete search: s, its gradient, Adam's two moments, and what sorting and adding up s takes."""
    return 9 * searched(settings, forgotten) * settings.prefix * vocabulary if settings.discrete else 0


@register_run(
    "prompt_search",
    PromptSearch,
    moves_weights=False,
    on_prompts=True,
    footprint=lambda settings: Footprint(encoders=True),
    step_images=step_images,
    words_held=words_held,
)
def begin(model: TextUNet, target: Target, settings: PromptSearch, steps: int, seed: int) -> WordsRun:
    """The run; ValueError where the set holds images of anything but what was forgotten."""
    wording = wording_of(target)
    images = first_of_each(forgotten_alone(target.auxiliary, wording, "prompt search"), wording, settings.prompts)
    return (DiscreteSearch if settings.discrete else Search)(model, target, settings, images, steps, seed)


def first_of_each(images: Images, wording: Wording, prompts: int = 0) -> Images:
    """Of every forgotten prompt that has an image, the first; of so many of these prompts, as far apart as they lie.

    ValueError where there are not as many.
    """
    places = [
        int((images.conditions == row).nonzero()[0])
        for row in wording.forgetting.conditions
        if row in images.conditions
    ]
    if prompts > len(places):
        raise ValueError(f"prompts: {prompts} are to be searched for, and {len(places)} have an image")
    n = prompts or len(places)
    return images.batch(torch.tensor([places[i * len(places) // n] for i in range(n)]))


class Search(WordsRun):
    """The continuous search: each prompt's words are vectors of their own."""

    def __init__(
        self, model: TextUNet, target: Target, settings: PromptSearch, images: Images, steps: int, seed: int
    ) -> None:
        self.settings, self.schedule = settings, target.recipe.noise_schedule()
        wording, device = wording_of(target), target.device.name
        self.images, self.rows = images.to(device), images.conditions.tolist()
        self.text = wording.encoders()
        self.vocabularies = vocabularies(self.text.embeddings, device)
        generator = torch.Generator().manual_seed(seed + 1)  # the run's own stream begins at its seed
        words = [torch.nn.Parameter(word) for word in self.beginning(len(self.rows) * settings.prefix, generator)]
        k = settings.prefix
        prompts = [[*range(i * k, (i + 1) * k), wording.texts[row]] for i, row in enumerate(self.rows)]
        live = LivePrompts(self.text, worded(self.text, prompts).to(device), self.rows, words)
        super().__init__(model, settings.optimisation(steps), seed, target.device, words, live, _search)

    def beginning(self, n: int, generator: torch.Generator) -> list[torch.Tensor]:
        """What trains, of n words: for each encoder the embeddings (n, d) of the same tokens, drawn from the vocabulary."""
        tokens = torch.randint(len(self.vocabularies[0]), (n,), generator=generator)
        return [table[tokens.to(table.device)] for table in self.vocabularies]

    def spoken(self) -> list[torch.Tensor]:
        """The vectors that this step's prompts are made with, of each encoder, each with a gradient of its own."""
        return list(self.parameters)

    def listened(self, spoken: list[torch.Tensor]) -> None:
        """Take what the spoken vectors' gradients say into the parameters'."""


class DiscreteSearch(Search):
    """The discrete search: each word is a point of the simplex over the vocabulary, (n, V)."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        for group in self.optimiser.param_groups:
            group["weight_decay"] = self.settings.weight_decay

    def beginning(self, n: int, generator: torch.Generator) -> list[torch.Tensor]:
        table = self.vocabularies[0]
        self.special = torch.tensor(specials(self.text.tokenizers), device=table.device)
        start = table.new_full((n, len(table)), 1 / (len(table) - len(self.special)))
        return [start.index_fill_(1, self.special, 0.0)]

    def spoken(self) -> list[torch.Tensor]:
        tokens = drawn_tokens(self.parameters[0].detach(), self.generator)
        return [table[tokens].requires_grad_(True) for table in self.vocabularies]

    def listened(self, spoken: list[torch.Tensor]) -> None:
        gradients = [
            vectors.grad @ table.T
            for vectors, table in zip(spoken, self.vocabularies, strict=True)
            if vectors.grad is not None
        ]
        self.parameters[0].grad = F.hardtanh(torch.stack(gradients).sum(dim=0))

    def follow_gradient(self) -> torch.Tensor:
        norm = super().follow_gradient()
        with torch.no_grad():
            allowed = self.parameters[0].index_fill(1, self.special, -torch.inf)
            self.parameters[0].copy_(onto_simplex(allowed))
        return norm

    def tokens(self) -> torch.Tensor:
        """(n,) the token that each word is: the likeliest."""
        return self.parameters[0].detach().argmax(dim=1)

    def vectors(self) -> list[torch.Tensor]:
        return [table[self.tokens()] for table in self.vocabularies]

    @property
    def facts(self) -> dict[str, Any]:
        """What is found as it is typed, in the order of the prompts searched for, and whether it is read as it was found."""
        if not self.step:
            return {}
        tokenizer, found = self.text.tokenizers[0], self.tokens().reshape(len(self.rows), -1).tolist()
        typed = [tokenizer.decode(ids) for ids in found]
        again = [list(tokenizer(text, add_special_tokens=False).input_ids) for text in typed]
        return {"prefixes": typed, "read_as_found": [a == b for a, b in zip(again, found, strict=True)]}


def specials(tokenizers: Sequence[Any]) -> list[int]:
    """The tokens that begin, end or fill up prompts of one of these tokenizers."""
    ids = (getattr(tokenizer, f"{what}_token_id") for tokenizer in tokenizers for what in ("bos", "eos", "pad"))
    return sorted({int(i) for i in ids if i is not None})


def drawn_tokens(points: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """(n,) a token drawn from each point (n, V) of the simplex, on its device; only n numbers are drawn on the CPU."""
    total = points.cumsum(dim=1)
    # In (0, 1], so that what is found is the first whose sum reaches it: never one of no weight.
    at = 1 - torch.rand(len(points), 1, generator=generator, dtype=points.dtype).to(points.device)
    return torch.searchsorted(total, at * total[:, -1:]).flatten()


def onto_simplex(points: torch.Tensor) -> torch.Tensor:
    """The nearest points (n, V) that are not negative and add up to 1 (Duchi et al. 2008, ICML, figure 1)."""
    ordered = points.sort(dim=1, descending=True).values
    count = torch.arange(1, points.shape[1] + 1, device=points.device)
    excess = (ordered.cumsum(dim=1) - 1) / count
    kept = (ordered > excess).sum(dim=1, keepdim=True)
    return (points - excess.gather(1, kept - 1)).clamp(min=0)


def _search(run: FineTuning) -> torch.Tensor:
    """One step's gradient: of every prompt the loss of its own words, a mean over its timesteps; returns their mean."""
    assert isinstance(run, Search), "a search's gradient is of a search"
    n, each = len(run.rows), run.settings.timesteps
    spoken = run.spoken()
    run.live.words = list(spoken)
    which = torch.arange(n).repeat_interleave(each)
    batch = run.images.batch(which)
    noised = add_noise(run.schedule, batch.images, run.generator)
    total = torch.zeros((), device=batch.images.device)
    for part in torch.arange(len(which)).split(run.settings.batch):
        with run.device.autocast(), prompt_source(run.model, run.live):
            loss = _errors(run.model, noised, part, batch.conditions).sum() / each
        loss.backward()
        total = total + loss.detach()
    run.listened(spoken)
    return total / n


def _errors(model: Any, noised: Noised, part: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
    """(b,) mean squared error of the prediction for each of these images."""
    prediction = predict(model, noised.images[part], noised.timesteps[part], conditions[part])
    return F.mse_loss(prediction, noised.target[part], reduction="none").flatten(1).mean(dim=1)
