"""Cross-attention edited in closed form: the keys and values of a text U-Net as linear maps of its prompts' tokens.

    W' = argmin_W  λ ‖W - W₀‖² + e Σ_f ‖W c_f - W₀ a_f‖² + p Σ_r ‖W c_r - W₀ c_r‖²
       = W₀ M,   M = (λ I + e Σ a_f c_fᵀ + p Σ c_r c_rᵀ) (λ I + e Σ c_f c_fᵀ + p Σ c_r c_rᵀ)⁻¹

c (d,) are the text encoder's hidden states of single tokens, the same for every layer, so M (d, d) is one for all of them. It
is solved for in float64, by Cholesky's factors. Nothing is drawn, and no image is looked at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DModel

from trainables.denoisers.prompts import Prompts
from trainables.denoisers.text_unet import TextUNet
from trainables.diffusion import Diverged
from trainables.fine_tuning import State
from trainables.forgetting import Forget
from trainables.unlearning import CLASSES

POSITIONS = ("last", "tail", "all")

REFUSES = {CLASSES: "edits cross-attention keys and values, which a class-conditional model has none of"}


def prompts_of(model: UNet2DModel, method: str) -> Prompts:
    """A text U-Net's prompts; ValueError of any other model."""
    if not isinstance(model, TextUNet):
        raise ValueError(f"method {method!r} {REFUSES[CLASSES]}")
    return model.prompts


def pooled_weight(model: UNet2DModel) -> torch.nn.Parameter:
    """The weight whose first columns read a prompt's pooled vector, of an SDXL U-Net."""
    return model.add_embedding.linear_1.weight


@dataclass(frozen=True)
class Vectors:
    """What an edit moves and keeps, float64: `erased` (n, d) become what `targets` (n, d) are, `kept` (m, d) stay."""

    erased: torch.Tensor
    targets: torch.Tensor
    kept: torch.Tensor


def target_rows(forgetting: Forget, target: str, empty: int) -> list[int]:
    """For each forgotten prompt's row, the row that it is to become: its anchor's, or that of the empty prompt."""
    return [empty if target == "empty" else forgetting.anchor_of[row] for row in forgetting.conditions]


def token_vectors(
    prompts: Prompts, rows: Sequence[int], targets: Sequence[int], kept: Iterable[int], positions: str
) -> Vectors:
    """The tokens' hidden states at these positions of the prompts to be erased, of their targets and of those kept.

    ``last``: of each prompt its last word; ``tail``: of a prompt and its target from the last word in which they differ to the
    end of the padding, as far as both go, of one kept from its last word; ``all``: every position, the first token and the
    padding too.
    """
    context = prompts.context.double()
    pairs = [_paired(prompts, row, target, positions) for row, target in zip(rows, targets, strict=True)]
    erased = [context[row, there] for row, (there, _) in zip(rows, pairs, strict=True)]
    become = [context[target, there] for target, (_, there) in zip(targets, pairs, strict=True)]
    stay = [context[row, _from(prompts, row, positions)] for row in kept]
    nothing = context.new_zeros(0, context.shape[-1])
    return Vectors(torch.cat(erased), torch.cat(become), torch.cat([nothing, *stay]))


def last_word(prompts: Prompts, row: int) -> int:
    """Position of a prompt's last word: before its first end token. Of the empty prompt, that of its first token."""
    return max(int(prompts.real[row]) - 2, 0)


def last_differences(prompts: Prompts, row: int, other: int) -> tuple[int, int]:
    """In each of two prompts, the position of its last token before the words with which both end.

    Of "a sneaker in neon" and "a handbag in neon" those of "sneaker" and "handbag", however many tokens either has.
    """
    tokens = [prompts.tokens[r, : int(prompts.real[r])].tolist() for r in (row, other)]
    common = 0
    while common < min(map(len, tokens)) - 1 and tokens[0][-1 - common] == tokens[1][-1 - common]:
        common += 1
    return len(tokens[0]) - 1 - common, len(tokens[1]) - 1 - common


def _paired(prompts: Prompts, row: int, target: int, positions: str) -> tuple[slice, slice]:
    """Which positions of a prompt become which of its target: as many."""
    if positions != "tail":
        return _from(prompts, row, positions), _from(prompts, target, positions)
    first, of_target = last_differences(prompts, row, target)
    n = prompts.context.shape[1] - max(first, of_target)
    return slice(first, first + n), slice(of_target, of_target + n)


def _from(prompts: Prompts, row: int, positions: str) -> slice:
    """The positions of one prompt by itself."""
    if positions == "all":
        return slice(None)
    last = last_word(prompts, row)
    return slice(last, last + 1 if positions == "last" else None)


def pooled_vectors(prompts: Prompts, rows: Sequence[int], targets: Sequence[int], kept: Sequence[int]) -> Vectors:
    """The pooled vectors of the prompts to be erased, of their targets and of those kept."""
    assert prompts.pooled is not None
    erased, become, stay = (prompts.pooled[list(some)].double() for some in (rows, targets, kept))
    return Vectors(erased, become, stay)


def closed_form(vectors: Vectors, erase_scale: float, preserve_scale: float, ridge: float) -> torch.Tensor:
    """M (d, d) in float64; see above."""
    c, a, kept = vectors.erased, vectors.targets, vectors.kept
    stays = preserve_scale * kept.mT @ kept + ridge * torch.eye(c.shape[1], dtype=c.dtype, device=c.device)
    left, right = stays + erase_scale * a.mT @ c, stays + erase_scale * c.mT @ c
    return torch.cholesky_solve(left.mT, torch.linalg.cholesky(right)).mT  # right is symmetric: M = (right⁻¹ leftᵀ)ᵀ


@torch.no_grad()
def multiply(weight: torch.Tensor, by: torch.Tensor, start: torch.Tensor | None = None) -> None:
    """W ← W₀ M in place, of the first columns of a weight where M has fewer; W₀ is the weight itself, or another `start`."""
    columns = weight[:, : by.shape[0]]
    columns.copy_((columns if start is None else start[:, : by.shape[0]]).double() @ by)


def mean_error(weights: Iterable[torch.Tensor], starts: Iterable[torch.Tensor], vectors: Vectors) -> float:
    """Mean over all elements of (W c_f - W₀ a_f)²: how far the keys and values still are from their targets'."""
    squares = [
        (vectors.erased @ w.double().mT - vectors.targets @ w0.double().mT).square()
        for w, w0 in zip(weights, starts, strict=True)
    ]
    return (sum(s.sum().item() for s in squares)) / sum(s.numel() for s in squares)


Figures = dict[str, float]
"""What one edit says of itself; ``loss`` is among it."""


class Edits:
    """A run each of whose steps is an edit of some weights in place: ``edit(step) -> figures``. Nothing in it is drawn.

    Its checkpoint is the edited weights, which are few beside the model's, what edits leave in `memory` for those that follow,
    and the figures of the edits so far. Those go into the model's sidecar too.
    """

    edit: Callable[[int], Figures]

    def __init__(self, model: UNet2DModel, weights: dict[str, torch.nn.Parameter], steps: int) -> None:
        self.model, self.weights, self.steps = model, weights, steps
        self.step, self.last_loss = 0, float("nan")
        self.memory: dict[str, torch.Tensor] = {}
        self.figures: list[Figures] = []

    @property
    def facts(self) -> dict[str, Any]:
        return {"edits": self.figures}

    def advance(self, until: int, deadline: float = float("inf")) -> bool:
        """Edit until step `until` or the monotonic clock passes `deadline`; True when the step was reached.

        Raises Diverged where a weight is no longer finite.
        """
        while self.step < until:
            self.figures.append(self.edit(self.step))
            self.step += 1
            self.last_loss = self.figures[-1]["loss"]
            if not all(weight.isfinite().all() for weight in self.weights.values()):
                raise Diverged(f"the edited weights stopped being finite at edit {self.step} of {self.steps}")
            if time.monotonic() > deadline and self.step < until:
                return False
        return True

    def trained(self) -> UNet2DModel:
        return self.model

    def state(self) -> State:
        """The edited weights once there was an edit, and every edit's figures."""
        weights = self.weights if self.step else {}
        state = {f"weight.{name}": weight.detach() for name, weight in weights.items()}
        for name in self.figures[0] if self.figures else ():
            values = [figures[name] for figures in self.figures]
            state[f"figure.{name}"] = torch.tensor(values, dtype=torch.float64)
        return (
            state | {f"memory.{name}": value for name, value in self.memory.items()} | {"step": torch.tensor(self.step)}
        )

    @torch.no_grad()
    def restore(self, state: State) -> None:
        self.step = int(state["step"])
        for name, weight in self.weights.items() if self.step else ():
            weight.copy_(state[f"weight.{name}"])
        memory = {n.removeprefix("memory."): state[n] for n in state if n.startswith("memory.")}
        here = next(iter(self.weights.values())).device
        self.memory = {name: value.to(here, copy=True) for name, value in memory.items()}
        of = {n.removeprefix("figure."): state[n].tolist() for n in state if n.startswith("figure.")}
        self.figures = [{name: values[i] for name, values in of.items()} for i in range(self.step)]
        self.last_loss = self.figures[-1]["loss"] if self.figures else float("nan")
