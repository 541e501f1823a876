"""Gradient penalties of critics that are made of parts, a row's own: (local critics, heads, mixed rows) → (B,).

With x̂_k = α x_k + (1 - α) x̃_k, one α a row for all parties, and f_k = C_k(x̂_k). Derivatives are taken by ``torch.func``, so
that they hold in plain training and under ``vmap(grad(…))`` alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import nn
from torch.func import vjp

Head = tuple[nn.Module, tuple[int, ...]]
Penalty = Callable[[Iterable[nn.Module], Sequence[Head], Sequence[torch.Tensor]], torch.Tensor]


def parts(local: Iterable[nn.Module], heads: Sequence[Head], mixed: Sequence[torch.Tensor]) -> torch.Tensor:
    """VFLGAN's own (arXiv 2404.09722): (‖∇‖₂ - 1)² of every part, added up.

    The gradients are ∇_x̂k Σ_j C_k(x̂_k)_j, of the *sum* of a local critic's outputs, and ∇_f h of every head by the features that
    it hears: with two parties and both kinds of heads, five. No head is penalised from end to end.
    """
    features, total = [], torch.zeros(())
    for critic, x in zip(local, mixed, strict=True):
        f, pull = _pullback(critic, x)
        features.append(f)
        total = total + _off_one(pull(torch.ones_like(f))[0])
    for head, heard in heads:
        value, pull = _pullback(head, torch.cat([features[k] for k in heard], dim=1))
        total = total + _off_one(pull(torch.ones_like(value))[0])
    return total


def whole_heads(local: Iterable[nn.Module], heads: Sequence[Head], mixed: Sequence[torch.Tensor]) -> torch.Tensor:
    """An ordinary one a head: (‖∇_x̂ h(f(x̂))‖₂ - 1)², by all the columns that the head hears of; added up over heads."""
    together = [_pullback(critic, x) for critic, x in zip(local, mixed, strict=True)]
    total = torch.zeros(())
    for head, heard in heads:
        value, pull = _pullback(head, torch.cat([together[k][0] for k in heard], dim=1))
        by_features = pull(torch.ones_like(value))[0].chunk(len(heard), dim=1)
        by_columns = [together[k][1](g)[0] for k, g in zip(heard, by_features, strict=True)]
        total = total + _off_one(torch.cat(by_columns, dim=1))
    return total


def _pullback(part: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, Callable[[torch.Tensor], tuple[torch.Tensor]]]:
    """A part's output (B, …), and what makes a gradient by x of one by the output."""
    value, pull = vjp(part, x)  # type: ignore[misc]
    return value, pull


def _off_one(gradient: torch.Tensor) -> torch.Tensor:
    return (torch.linalg.vector_norm(gradient, dim=1) - 1) ** 2


PENALTIES: dict[str, Penalty] = {"parts": parts, "heads": whole_heads}
