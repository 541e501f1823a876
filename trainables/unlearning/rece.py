"""RECE: Reliable and Efficient Concept Erasure (Gong et al. 2024, arXiv 2407.12383): UCE, then UCE again of what brings it back.

    round 0:  UCE of c_f
    round r:  c′ = argmin_c′  Σ_i ‖W_i c′ - W_i⁰ c_f‖² + μ ‖c′‖² = (Σ_i W_iᵀ W_i + μ I)⁻¹ (Σ_i W_iᵀ W_i⁰) c_f
              W ← UCE of c′ towards a_f

i are all keys and values of the cross-attention, W_i⁰ the start model's. c′ is the embedding by which the edited model comes
nearest to what the start model made of the forgotten prompt's token c_f, found at every position (`round_positions`), and is
erased in its turn. Its distances say how far one has to go to bring the concept back: the mean of ‖c′ - c_f‖, and that of
(Σ_i ‖W_i c′ - W_i⁰ c_f‖²)^½ before the round's edit, are in the model's sidecar, one pair a round.

As in public code, a round starts `around` the "current" W: λ holds to it, and its values of a_f and c_r are what is aimed at, so
drift adds up over the rounds. "base" is this project's own alternative: every round's UCE is from W⁰, of c_f and all c′ found so
far together. Public code begins with a UCE of older code (``tail``, no prompts kept) towards the empty prompt, has e = 1, p = .1
on the empty prompt alone, λ = .1, μ = .1 for nudity (3 rounds, or more) and 1e-3 for objects and styles (5), and returns the
round whose images of its validation prompts show least. Here the number of rounds is a setting, to be chosen by a sweep's own
search: a round picked by the prompts that score it would be measured too well. The prompts kept, and the scales, are UCE's in
every round. Of SDXL, the pooled path is edited in round 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import UNet2DModel

from trainables.denoisers.cross_attention import derivation, keys_and_values
from trainables.fine_tuning import Run
from trainables.unlearning import Problem, register_run
from trainables.unlearning._cross_attention import (
    POSITIONS,
    REFUSES,
    Edits,
    Figures,
    Vectors,
    closed_form,
    mean_error,
    multiply,
    prompts_of,
    target_rows,
    token_vectors,
)
from trainables.unlearning.uce import UCE, edit_prompts, edited_weights, kept_rows

AROUND = ("current", "base")


@dataclass(frozen=True)
class RECE(UCE):
    """Settings of RECE; UCE's are those of every round."""

    preserve_scale: float = 0.1
    ridge: float = 0.1
    positions: str = "tail"  # of round 0
    rounds: int = 3  # R; 0 is UCE
    embedding_ridge: float = 0.1  # μ
    round_positions: str = "all"  # of the rounds after it
    around: str = "current"  # the weights that a round starts from; or "base"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.embedding_ridge < float("inf"):
            raise ValueError(f"embedding_ridge must be positive and finite, not {self.embedding_ridge}")
        if self.rounds < 0:
            raise ValueError(f"rounds must not be negative, not {self.rounds}")
        if self.round_positions not in POSITIONS:
            raise ValueError(f"round_positions {self.round_positions!r} is none of {', '.join(POSITIONS)}")
        if self.around not in AROUND:
            raise ValueError(f"around {self.around!r} is none of {', '.join(AROUND)}")


@register_run("rece", RECE, refuses=REFUSES, closed_form=True)
def begin(model: UNet2DModel, problem: Problem, settings: RECE, seed: int) -> Run:
    """A run of R + 1 steps. ValueError where the model is no text U-Net, or a prompt to be forgotten has no anchor."""
    prompts = prompts_of(model, "rece")
    settings.check_forgets(problem.forgetting)
    starts = {name: weight.detach().clone() for name, weight in keys_and_values(model).items()}  # W⁰
    edits = Edits(
        model, edited_weights(model, settings.edit_pooled and prompts.pooled is not None), settings.rounds + 1
    )

    def edit(step: int) -> Figures:
        if step == 0:
            return edit_prompts(model, problem, settings) | {"embedding_distance": 0.0, "value_distance": 0.0}
        return edit_derived(model, problem, settings, list(starts.values()), edits.memory)

    edits.edit = edit
    return edits


def edit_derived(
    model: UNet2DModel,
    problem: Problem,
    settings: RECE,
    starts: Sequence[torch.Tensor],
    memory: dict[str, torch.Tensor],
) -> Figures:
    """One round, in place; `memory` holds what all rounds have found, where each of them is from W⁰."""
    prompts, rows = prompts_of(model, "rece"), problem.forgetting.conditions
    targets = target_rows(problem.forgetting, settings.target, problem.null_condition)
    kept = kept_rows(problem, settings)
    tokens = token_vectors(prompts, rows, targets, kept, settings.round_positions)
    weights = list(keys_and_values(model).values())
    derived = tokens.erased @ derivation(weights, starts, settings.embedding_ridge).mT
    figures = distances(weights, starts, tokens.erased, derived)

    vectors, around = Vectors(derived, tokens.targets, tokens.kept), [w.detach().clone() for w in weights]
    if settings.around == "base":
        first, around = token_vectors(prompts, rows, targets, kept, settings.positions), list(starts)
        earlier = [memory["derived"]] if memory else []
        memory["derived"] = torch.cat([*earlier, derived])
        times = len(memory["derived"]) // len(derived)
        become = torch.cat([first.targets, tokens.targets.repeat(times, 1)])
        vectors = Vectors(torch.cat([first.erased, memory["derived"]]), become, first.kept)
    by = closed_form(vectors, settings.erase_scale, settings.preserve_scale, settings.ridge)
    for weight, start in zip(weights, around, strict=True):
        multiply(weight, by, start)
    return {"loss": mean_error(weights, around, vectors)} | figures


def distances(
    weights: Sequence[torch.Tensor], starts: Sequence[torch.Tensor], c: torch.Tensor, derived: torch.Tensor
) -> Figures:
    """Means over the tokens of ‖c′ - c‖ and of (Σ_i ‖W_i c′ - W_i⁰ c‖²)^½."""
    squares = torch.zeros(len(c), dtype=c.dtype, device=c.device)
    for weight, start in zip(weights, starts, strict=True):
        squares += (derived @ weight.detach().double().mT - c @ start.double().mT).square().sum(dim=1)
    return {
        "embedding_distance": (derived - c).norm(dim=1).mean().item(),
        "value_distance": squares.sqrt().mean().item(),
    }
