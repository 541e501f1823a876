"""Gradient penalties of critics that are made of parts, a row's own: (local critics, heads, mixed rows) → (B,).

With x̂_k = α x_k + (1 - α) x̃_k, one α a row for all parties, and f_k = C_k(x̂_k). Gradients are passes of layers of their own
(`trainables.federated.perceptrons`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from trainables.federated.perceptrons import Linear, Perceptron

Head = tuple[Linear | Perceptron, tuple[int, ...]]  # with the numbers of the local critics that it hears
Penalty = Callable[[Sequence[Perceptron], Sequence[Head], Sequence[torch.Tensor]], torch.Tensor]


def parts(local: Sequence[Perceptron], heads: Sequence[Head], mixed: Sequence[torch.Tensor]) -> torch.Tensor:
    """VFLGAN's own (arXiv 2404.09722): (‖∇‖₂ - 1)² of every part, added up.

    The gradients are ∇_x̂k Σ_j C_k(x̂_k)_j, of the *sum* of a local critic's outputs, and ∇_f h of every head by the features that
    it hears: with two parties and both kinds of heads, five. No head is penalised from end to end.
    """
    features, penalties = [], []
    for critic, x in zip(local, mixed, strict=True):
        f, pull = critic.pullback(x)
        features.append(f)
        penalties.append(_off_one(pull(torch.ones_like(f))))
    for head, heard in heads:
        value, pull = head.pullback(torch.cat([features[k] for k in heard], dim=1))
        penalties.append(_off_one(pull(torch.ones_like(value))))
    return torch.stack(penalties).sum(dim=0)


def whole_heads(local: Sequence[Perceptron], heads: Sequence[Head], mixed: Sequence[torch.Tensor]) -> torch.Tensor:
    """An ordinary one a head: (‖∇_x̂ h(f(x̂))‖₂ - 1)², by all the columns that the head hears of; added up over heads."""
    features, pulls = zip(*(critic.pullback(x) for critic, x in zip(local, mixed, strict=True)), strict=True)
    penalties = []
    for head, heard in heads:
        value, pull = head.pullback(torch.cat([features[k] for k in heard], dim=1))
        by_features = pull(torch.ones_like(value)).chunk(len(heard), dim=1)
        by_columns = [pulls[k](gradient) for k, gradient in zip(heard, by_features, strict=True)]
        penalties.append(_off_one(torch.cat(by_columns, dim=1)))
    return torch.stack(penalties).sum(dim=0)


def _off_one(gradient: torch.Tensor) -> torch.Tensor:
    return (torch.linalg.vector_norm(gradient, dim=1) - 1) ** 2


PENALTIES: dict[str, Penalty] = {"parts": parts, "heads": whole_heads}
