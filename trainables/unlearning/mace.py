"""MACE: Mass Concept Erasure (Lu et al. 2024, arXiv 2403.06135): a closed form, a low-rank adaptation a concept, and their fusion.

    1.  W' = argmin_W Σ_f Σ_j ‖W c_f,j - W₀ a_f,j‖² + λ ‖W - W₀‖²      j: tokens around what names the concept, and the padding
    2.  ΔW_i = B_i A_i of rank r, by AdamW on Σ_layers ‖A_t[…, tokens of concept i]‖_F of W' + ΔW_i, x_t of images of it
    3.  W = argmin_W Σ_i Σ_c ‖W c - (W' + ΔW_i) c‖² + p Σ_r ‖W c_r - W₀ c_r‖² + λ ‖W - W'‖²     c: all tokens of concept i's prompts

for every attn2.to_k and attn2.to_v. 1 takes what is left of a concept in its neighbours; 2 makes nobody look at its own
tokens, nor, as public code has it (``use_pooler``), at the end of its prompt and the padding behind that (`ends`), at timesteps of
p(t) ∝ σ(.05 (t - 200)) - σ(.05 (t - 400)), where an object takes shape (`focal`); 3 makes one weight of all.

No masks here: the attention of the whole image is lowered, as public code does for artists' styles (there flattened
likewise); of objects and celebrities it takes Grounded-SAM's segments, which are another model's. Public code: 30 templates
a concept, λ from 0 to 1,000 by the task, 50 steps of batch 1 (120 for nudity) on 8 images that θ₀ made, r = 1, AdamW at 1e-5, of
celebrities 1e-4 (weight decay .01, gradient clipped at 1), t of p(t) but for nudity, where every t is as likely, p = 0 for
objects. Its p is of cached captions of COCO; here of `preserve` retained prompts and the
empty one, in step 1 (`preserve_scale`) and 3 (`fuse_preserve_scale`), as UCE has them. The forgotten prompts are the
templates, their anchors the words that they are mapped to; what names the concept is where a prompt differs from its
anchor. A concept is a forgotten label. B begins at 0, and A is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trainables.data import Images
from trainables.denoisers.cross_attention import keys_and_values
from trainables.denoisers.prompts import Prompts
from trainables.denoisers.text_unet import TextUNet
from trainables.diffusion import add_noise, even_timesteps, predict
from trainables.fine_tuning import FineTuning, Optimisation
from trainables.forgetting import Forget
from trainables.training.lora import add_factors, drop_factors, factor_products, is_factor
from trainables.unlearning import Footprint, MethodSettings, Problem, register_run
from trainables.unlearning._concept_attention import looked_at
from trainables.unlearning._cross_attention import REFUSES, Vectors, closed_form, multiply, prompts_of
from trainables.unlearning.uce import UCE, kept_rows

_SHAPE = 0.05, 200, 400  # of p(t): steepness, where it rises, where it falls


@dataclass(frozen=True)
class MACE(MethodSettings):
    """Settings of MACE."""

    ridge: float = 1000.0  # λ
    preserve_scale: float = 0.0  # p of step 1
    fuse_preserve_scale: float = 0.0  # p of step 3
    preserve: int = 0  # how many retained prompts are kept, always the same ones; 0: all there are
    attention_steps: int = 50  # of each concept
    attention_learning_rate: float = 1e-5
    attention_batch: int = 1
    attention_rank: int = 1  # r
    attention_decay: float = 0.01  # AdamW's weight decay
    concept_images: int = 8  # of each concept, made by θ₀
    ends: bool = True  # a prompt's tokens from its first end on count as its concept's in step 2
    focal: bool = True  # t of step 2 by p(t); else every t is as likely

    def __post_init__(self) -> None:
        super().__post_init__()
        self.attention_optimisation(1)
        if not 0 < self.ridge < float("inf"):
            raise ValueError(f"ridge must be positive and finite, not {self.ridge}")
        for name in ("preserve_scale", "fuse_preserve_scale", "attention_decay", "preserve"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be finite and not negative, not {getattr(self, name)}")
        for name in ("attention_steps", "attention_batch", "attention_rank", "concept_images"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")

    def check_forgets(self, forgetting: Forget) -> None:
        super().check_forgets(forgetting)
        if not forgetting.anchor_of:
            raise ValueError(f"method 'mace': {forgetting.text} has no anchors, the words that a concept is mapped to")

    def attention_optimisation(self, concepts: int) -> Optimisation:
        return Optimisation(self.attention_learning_rate, concepts * self.attention_steps, grad_clip=1.0)


def footprint(settings: MACE) -> Footprint:
    """Of keys and values W₀ and a concept's product; θ₀ makes the concept's images."""
    return Footprint(teacher=True, copies=2, images=settings.attention_batch, moves="cross_attention_kv")


@register_run("mace", MACE, refuses=REFUSES, whole_before_meta=True, footprint=footprint)
def begin(model: TextUNet, problem: Problem, settings: MACE, seed: int) -> Erasure:
    """The run; step 1 is made as it begins. ValueError where the model is no text U-Net, or a prompt has no anchor."""
    prompts_of(model, "mace")
    settings.check_forgets(problem.forgetting)
    return Erasure(model, problem, settings, seed)


class Erasure(FineTuning):
    """The steps of 2, concept by concept; `trained` makes 3 of them."""

    def __init__(self, model: TextUNet, problem: Problem, settings: MACE, seed: int) -> None:
        self.problem, self.settings = problem, settings
        self.starts = {name: weight.detach().clone() for name, weight in keys_and_values(model).items()}  # W₀
        self.concepts = concepts_of(problem.forgetting)
        self.kept = kept_tokens(model.prompts, problem, settings)
        refine(model, problem, self.kept, settings)
        self.products: list[dict[str, torch.Tensor]] = []  # ΔW of each concept that is done
        self._images: tuple[int, Images] | None = None
        positions = concept_positions(model.prompts, problem.forgetting, settings.ends)
        self.positions = positions.to(problem.device.name)
        add_factors(model, settings.attention_rank, seed, _reads_tokens)
        factors = [weight for name, weight in model.named_parameters() if is_factor(name)]
        how = settings.attention_optimisation(len(self.concepts))
        super().__init__(model, None, how, seed, problem.device, factors, gradient=_look_away)  # type: ignore[arg-type]
        self.keep_exact(keys_and_values(model).values())  # W' is none of the weights begun on, and is fused in float32
        self.first = [factor.detach().clone() for factor in factors]
        decay = settings.attention_decay
        self.optimiser = torch.optim.AdamW([self.flat.vector], how.learning_rate, weight_decay=decay)

    def follow_gradient(self) -> torch.Tensor:
        norm = super().follow_gradient()
        if (self.step + 1) % self.settings.attention_steps == 0:
            self._next_concept()
        return norm

    @torch.no_grad()
    def _next_concept(self) -> None:
        """Put this concept's ΔW aside, and begin anew: the factors as they were at first, an optimiser without memory."""
        self.products.append(factor_products(self.model))
        for factor, first in zip(self.parameters, self.first, strict=True):
            factor.copy_(first)
        self.optimiser.state.clear()

    def images(self, concept: int) -> Images:
        """Images of a concept that θ₀ makes of its prompts in turn; kept until another's are asked for."""
        if self._images is None or self._images[0] != concept:
            rows, n = self.concepts[concept], self.settings.concept_images
            each = [len(range(i, n, len(rows))) for i in range(len(rows))]
            made = [self.problem.generated(row, k) for row, k in zip(rows, each, strict=True) if k]
            conditions = torch.tensor(rows).repeat_interleave(torch.tensor(each))
            self._images = concept, Images(torch.cat(made), conditions).to(self.device.name)
        return self._images[1]

    @torch.no_grad()
    def trained(self) -> TextUNet:
        """The U-Net with all concepts fused into one weight each. Ends the run."""
        drop_factors(self.model)
        model: TextUNet = self.model  # type: ignore[assignment]
        fuse(model, self.starts, self.products, self.concepts, self.kept, self.settings)
        return model

    def state(self) -> dict[str, torch.Tensor]:
        done = {f"done.{i}.{n}": v for i, products in enumerate(self.products) for n, v in products.items()}
        return dict(super().state()) | done

    def restore(self, state: Any) -> None:
        super().restore(state)
        count = self.step // self.settings.attention_steps
        starts = self.starts.items()
        self.products = [{n: state[f"done.{i}.{n}"].to(w, copy=True) for n, w in starts} for i in range(count)]


def _look_away(run: FineTuning) -> torch.Tensor:
    """The gradient of Σ ‖A_t[…, concept]‖_F on a batch of the concept whose turn it is."""
    assert isinstance(run, Erasure), "MACE's gradient is of its own run"
    settings, generator = run.settings, run.generator
    images = run.images(run.step // settings.attention_steps).draw(settings.attention_batch, generator)
    timesteps = focal_timesteps if settings.focal else even_timesteps
    noised = add_noise(run.problem.schedule, images.images, generator, timesteps)
    with looked_at(run.model, run.positions[images.conditions]) as looking:
        with run.device.autocast():
            predict(run.model, noised.images, noised.timesteps, images.conditions)
            loss = looking.norms()
        loss.backward()  # under checkpointing it runs the attentions again, by the processors that they ran by
    return loss.detach()


def focal_timesteps(n: int, horizon: int, generator: torch.Generator) -> torch.Tensor:
    """(n,) timesteps drawn by p(t) ∝ σ(.05 (t - 200)) - σ(.05 (t - 400)), where an object takes its shape."""
    steepness, rises, falls = _SHAPE
    t = torch.arange(horizon, dtype=torch.float64)
    weights = torch.sigmoid(steepness * (t - rises)) - torch.sigmoid(steepness * (t - falls))
    return torch.multinomial(weights, n, replacement=True, generator=generator)


def concepts_of(forgetting: Forget) -> list[tuple[int, ...]]:
    """Of each forgotten label the prompts that ask for it."""
    labels = dict.fromkeys(map(forgetting.label_of, forgetting.conditions))
    return [tuple(row for row in forgetting.conditions if forgetting.label_of(row) == label) for label in labels]


def differing(prompts: Prompts, row: int, other: int) -> tuple[slice, slice]:
    """In each of two prompts the tokens that are not of the words with which both begin and end."""
    one, two = (prompts.tokens[r, : int(prompts.real[r])].tolist() for r in (row, other))
    first = 0
    while first < min(len(one), len(two)) and one[first] == two[first]:
        first += 1
    last = 0
    while last < min(len(one), len(two)) - first and one[-1 - last] == two[-1 - last]:
        last += 1
    return slice(first, len(one) - last), slice(first, len(two) - last)


def concept_positions(prompts: Prompts, forgetting: Forget, ends: bool = False) -> torch.Tensor:
    """(P+1, L) bool: in the forgotten prompts the tokens that name the concept, and where `ends` all from their first end on."""
    at = torch.zeros(prompts.tokens.shape, dtype=torch.bool)
    for row in forgetting.conditions:
        at[row, differing(prompts, row, forgetting.anchor_of[row])[0]] = True
        if ends:
            at[row, int(prompts.real[row]) - 1 :] = True
    return at


def around(prompts: Prompts, forgetting: Forget) -> tuple[torch.Tensor, torch.Tensor]:
    """(c, a), each (n, d): the tokens around the concept and the padding, and what stands there in the anchor."""
    c: list[torch.Tensor] = []
    a: list[torch.Tensor] = []
    for row in forgetting.conditions:
        other = forgetting.anchor_of[row]
        mine, theirs = differing(prompts, row, other)
        after = prompts.context.shape[1] - max(mine.stop, theirs.stop)
        for of, at, into in ((row, mine, c), (other, theirs, a)):
            into += [prompts.context[of, : at.start], prompts.context[of, at.stop : at.stop + after]]
    return torch.cat(c).double(), torch.cat(a).double()


def kept_tokens(prompts: Prompts, problem: Problem, settings: MACE) -> torch.Tensor:
    """(m, d) all tokens of the prompts that are kept."""
    if not (settings.preserve_scale or settings.fuse_preserve_scale):
        return prompts.context.new_zeros(0, prompts.context.shape[-1]).double()
    rows = kept_rows(problem, UCE(preserve=settings.preserve))
    return prompts.context[list(rows)].flatten(0, 1).double()


def refine(model: TextUNet, problem: Problem, kept: torch.Tensor, settings: MACE) -> None:
    """Step 1, in place."""
    c, a = around(model.prompts, problem.forgetting)
    by = closed_form(Vectors(c, a, kept), 1.0, settings.preserve_scale, settings.ridge)
    for weight in keys_and_values(model).values():
        multiply(weight, by)


def fuse(
    model: TextUNet,
    starts: dict[str, torch.Tensor],
    products: Sequence[dict[str, torch.Tensor]],
    concepts: Sequence[Sequence[int]],
    kept: torch.Tensor,
    settings: MACE,
) -> None:
    """Step 3, in place; of the concepts that are done."""
    tokens = [model.prompts.context[list(rows)].flatten(0, 1).double() for rows in concepts[: len(products)]]
    squares = [c.mT @ c for c in tokens]
    stays = settings.fuse_preserve_scale * kept.mT @ kept
    ridge = settings.ridge * torch.eye(kept.shape[1], dtype=kept.dtype, device=kept.device)
    factor = torch.linalg.cholesky(ridge + stays + sum(squares, torch.zeros_like(ridge)))
    for name, weight in keys_and_values(model).items():
        refined = weight.double()
        left = refined @ ridge + starts[name].double() @ stays
        for product, square in zip(products, squares, strict=True):
            left = left + (refined + product[name].double()) @ square
        weight.copy_(torch.cholesky_solve(left.mT, factor).mT)


def _reads_tokens(name: str) -> bool:
    return name.endswith((".attn2.to_k", ".attn2.to_v"))
