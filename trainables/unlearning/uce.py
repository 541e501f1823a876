"""UCE: Unified Concept Editing (Gandikota et al. 2024, arXiv 2308.14761), in closed form on a text U-Net's keys and values.

    W = argmin_W  λ ‖W - W₀‖² + e Σ_f ‖W c_f - W₀ a_f‖² + p Σ_r ‖W c_r - W₀ c_r‖²     for every attn2.to_k and attn2.to_v
      = (λ W₀ + e Σ_f W₀ a_f c_fᵀ + p Σ_r W₀ c_r c_rᵀ) (λ I + e Σ_f c_f c_fᵀ + p Σ_r c_r c_rᵀ)⁻¹

c_f are hidden states of a forgotten prompt's tokens, a_f those of its anchor's, or of the empty prompt's: the guide concept "" of
public code (of pipelines that have zeros for it, as SDXL's, keys and values become 0). c_r are those of the prompts to keep: the
retained ones and the empty prompt, which guidance leans on. The paper's v is W₀ a_f, or W₀ c_r. Nothing is trained and no image
is looked at.

Which tokens decides more than any weight. Public code's newer version takes the last word of a prompt alone, its older one all
from there to the end of the padding, both of a concept's bare name. Here prompts are whole captions, so ``tail`` begins at the
last word in which a prompt and its anchor differ; where that ends the prompt both are as published. Public code has λ = .5 and
e = p = 1, older papers p = .1; sums are over tokens, so what p weighs grows with the number of prompts kept. Without any (p = 0)
the edit spills over: on a small U-Net of 48 prompts retained objects fell from .87 to .36, and to .82 with them.

SDXL reads a prompt's pooled vector too, which public code leaves alone, so that "cat" stays: `edit_pooled` edits the columns
of add_embedding.linear_1 that read it by the same formula on pooled vectors. That is this project's own addition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import UNet2DModel

from trainables.denoisers.cross_attention import keys_and_values
from trainables.fine_tuning import Run
from trainables.forgetting import Forget
from trainables.unlearning import MethodSettings, Problem, register_run
from trainables.unlearning._cross_attention import (
    POSITIONS,
    REFUSES,
    Edits,
    Figures,
    closed_form,
    mean_error,
    multiply,
    pooled_vectors,
    pooled_weight,
    prompts_of,
    target_rows,
    token_vectors,
)
from trainables.unlearning._replacement import ANCHOR, check_anchored

EMPTY = "empty"
TARGETS = (ANCHOR, EMPTY)

_KEPT_SEED = 0  # which prompts are kept is part of a setting: the same for every training seed


@dataclass(frozen=True)
class UCE(MethodSettings):
    """Settings of UCE."""

    erase_scale: float = 1.0  # e
    preserve_scale: float = 1.0  # p; 0 keeps nothing
    ridge: float = 0.5  # λ
    positions: str = "last"  # which tokens of a prompt: its last word, from there on ("tail"), or "all"
    target: str = ANCHOR  # what a forgotten prompt becomes: its anchor, or the "empty" prompt
    preserve: int = 0  # how many retained prompts are kept, always the same ones; 0: all there are
    edit_pooled: bool = True  # of SDXL, the pooled path too

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("erase_scale", "ridge"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be positive and finite, not {getattr(self, name)}")
        if not 0 <= self.preserve_scale < float("inf"):
            raise ValueError(f"preserve_scale must be finite and not negative, not {self.preserve_scale}")
        if self.positions not in POSITIONS:
            raise ValueError(f"positions {self.positions!r} is none of {', '.join(POSITIONS)}")
        if self.target not in TARGETS:
            raise ValueError(f"target {self.target!r} is none of {', '.join(TARGETS)}")
        if self.preserve < 0:
            raise ValueError(f"preserve must be at least 1, or 0 for all there are, not {self.preserve}")

    def check_forgets(self, forgetting: Forget) -> None:
        super().check_forgets(forgetting)
        check_anchored("target", self.target, TARGETS, forgetting)
        if self.preserve > len(forgetting.retained):
            raise ValueError(
                f"preserve: {self.preserve} prompts are to be kept, and {len(forgetting.retained)} are retained"
            )


@register_run("uce", UCE, refuses=REFUSES, closed_form=True)
def begin(model: UNet2DModel, problem: Problem, settings: UCE, seed: int) -> Run:
    """A run of one step. ValueError where the model is no text U-Net, or a prompt to be forgotten has no anchor."""
    prompts = prompts_of(model, "uce")
    settings.check_forgets(problem.forgetting)
    edits = Edits(model, edited_weights(model, settings.edit_pooled and prompts.pooled is not None), 1)
    edits.edit = lambda step: edit_prompts(model, problem, settings)
    return edits


def edited_weights(model: UNet2DModel, pooled: bool) -> dict[str, torch.nn.Parameter]:
    """The weights that an edit moves, by name."""
    weights = keys_and_values(model)
    return weights | {"add_embedding.linear_1.weight": pooled_weight(model)} if pooled else weights


def edit_prompts(model: UNet2DModel, problem: Problem, settings: UCE) -> Figures:
    """Edit the keys and values in place, and of SDXL the pooled path. The loss is the mean of (W c_f - W₀ a_f)²."""
    prompts = prompts_of(model, "uce")
    rows = problem.forgetting.conditions
    targets = target_rows(problem.forgetting, settings.target, problem.null_condition)
    kept = kept_rows(problem, settings)
    scales = settings.erase_scale, settings.preserve_scale, settings.ridge
    vectors = token_vectors(prompts, rows, targets, kept, settings.positions)
    weights = list(keys_and_values(model).values())
    starts = [weight.detach().clone() for weight in weights]
    by = closed_form(vectors, *scales)
    for weight in weights:
        multiply(weight, by)
    if settings.edit_pooled and prompts.pooled is not None:
        multiply(pooled_weight(model), closed_form(pooled_vectors(prompts, rows, targets, kept), *scales))
    return {"loss": mean_error(weights, starts, vectors)}


def kept_rows(problem: Problem, settings: UCE) -> Sequence[int]:
    """The prompts to keep: `preserve` of the retained ones, and the empty prompt."""
    if not settings.preserve_scale:
        return []
    retained = list(problem.forgetting.retained)
    order = torch.randperm(len(retained), generator=torch.Generator().manual_seed(_KEPT_SEED)).tolist()
    chosen = [retained[i] for i in order[: settings.preserve or None]]
    return [*sorted(chosen), problem.null_condition]
