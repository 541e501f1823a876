"""A text U-Net's cross-attention as it reads its prompts' tokens: keys and values, linear in these."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import UNet2DModel


def keys_and_values(model: UNet2DModel) -> dict[str, torch.nn.Parameter]:
    """The weights (m, d) by which the cross-attention reads tokens, by name."""
    ends = (".attn2.to_k.weight", ".attn2.to_v.weight")
    return {name: weight for name, weight in model.named_parameters() if name.endswith(ends)}


def derivation(weights: Sequence[torch.Tensor], starts: Sequence[torch.Tensor], ridge: float) -> torch.Tensor:
    """(Σ WᵀW + μ I)⁻¹ (Σ WᵀW⁰), (d, d) in float64: what makes RECE's c′ of c (Gong et al. 2024, arXiv 2407.12383)."""
    d = weights[0].shape[1]
    left = ridge * torch.eye(d, dtype=torch.float64, device=weights[0].device)
    right = torch.zeros_like(left)
    for weight, start in zip(weights, starts, strict=True):
        w = weight.detach().double()
        left += w.mT @ w
        right += w.mT @ start.double()
    return torch.cholesky_solve(right, torch.linalg.cholesky(left))
