"""The derived embedding of RECE (Gong et al. 2024, arXiv 2407.12383), as an attack. Nothing is trained.

    c′ = argmin_c′ Σ_i ‖W_i c′ - W_i⁰ c_f‖² + μ ‖c′‖² = (Σ_i W_iᵀ W_i + μ I)⁻¹ (Σ_i W_iᵀ W_i⁰) c_f

No weight moves. i are all keys and values of the cross-attention, W_i⁰ θ₀'s and W_i θᵤ's. In place of every token c_f of a
forgotten prompt the model is told c′: the embedding by which it comes nearest to what θ₀ made of that prompt. RECE erases
it in its turn; as a probe it says of any method what is left behind the keys and values, for two products of small
matrices. c_f is by θ₀'s text encoder, whatever was unlearned in θᵤ's: where keys and values were not changed, c′ is θ₀'s c_f,
shrunk a little by μ, as of AdvUnlearn. It takes one step; later rungs are as the first. Of SDXL the pooled vector stays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from trainables.attacks import SharedSettings, Target, register_run
from trainables.attacks._words import wording_of
from trainables.denoisers.cross_attention import derivation, keys_and_values
from trainables.denoisers.text_unet import TextUNet
from trainables.training.footprint import Footprint


@dataclass(frozen=True)
class DerivedEmbedding(SharedSettings):
    """Settings of the probe."""

    auxiliary: str = ""  # it needs no images
    embedding_ridge: float = 0.1  # μ

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.embedding_ridge < float("inf"):
            raise ValueError(f"embedding_ridge must be positive and finite, not {self.embedding_ridge}")


@register_run(
    "derived_embedding",
    DerivedEmbedding,
    moves_weights=False,
    on_prompts=True,
    footprint=lambda settings: Footprint(exact=True, gradient=False, moves="all"),  # its model is never lowered
)
def begin(model: TextUNet, target: Target, settings: DerivedEmbedding, steps: int, seed: int) -> Probe:
    """The probe, which is a run of one step."""
    wording = wording_of(target)
    return Probe(model, wording.base(), wording.forgetting.conditions, settings.embedding_ridge, target, steps)


class Probe:
    """A run whose first step tells the model c′, and whose others do nothing."""

    def __init__(
        self, model: TextUNet, base: Any, rows: tuple[int, ...], ridge: float, target: Target, steps: int
    ) -> None:
        self.model, self.base, self.rows, self.ridge = model.requires_grad_(False), base, list(rows), ridge
        self.device, self.steps, self.step = target.device, steps, 0
        self.last_loss = math.nan
        self.facts: dict[str, Any] = {}

    def advance(self, until: int, deadline: float = float("inf")) -> bool:
        if until and not self.step:
            self._tell()
        self.step = max(self.step, until)
        return True

    @torch.no_grad()
    def _tell(self) -> None:
        weights, starts = (list(keys_and_values(m).values()) for m in (self.model, self.base))
        c = self.base.prompts.context[self.rows]
        context = self.model.prompts.context.clone()
        context[self.rows] = (c.double() @ derivation(weights, starts, self.ridge).mT).to(c)
        self.model.prompts = replace(self.model.prompts, context=context, key="")

    def trained(self) -> TextUNet:
        return self.model

    def free_gradient(self) -> None:
        """There is none."""

    def state(self) -> dict[str, torch.Tensor]:
        return {"step": torch.tensor(self.step)}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        self.advance(int(state["step"]))
