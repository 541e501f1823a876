"""The formulas of VFLGAN and of its relatives, written down anew for any number of parties, without what is tested.

From arXiv 2404.09722 as its public code has it. Weights come by the names that a state dict gives them.
"""

from __future__ import annotations

import torch

Weights = dict[str, torch.Tensor]
Rows = list[torch.Tensor]


def leaky(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def linear(w: Weights, name: str, x: torch.Tensor) -> torch.Tensor:
    y = x @ w[f"{name}.weight"].T
    return y + w[f"{name}.bias"] if f"{name}.bias" in w else y


def C(w: Weights, k: int, x: torch.Tensor) -> torch.Tensor:
    return leaky(linear(w, f"local.{k}.2", leaky(linear(w, f"local.{k}.0", x))))


def P(w: Weights, k: int, f: torch.Tensor) -> torch.Tensor:
    return linear(w, f"private.{k}", f)


def S(w: Weights, f: torch.Tensor) -> torch.Tensor:
    return linear(w, "server.2", leaky(linear(w, "server.0", f)))


def slope(output: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """(B, …) the gradient of the sum of outputs."""
    return torch.autograd.grad(output.sum(), by, create_graph=True)[0]


def off_one(gradient: torch.Tensor) -> torch.Tensor:
    return ((gradient.pow(2).sum(1).sqrt() - 1) ** 2).mean()


def mixture(x: Rows, made: Rows, alpha: torch.Tensor) -> Rows:
    return [(alpha * a + (1 - alpha) * b).detach().requires_grad_(True) for a, b in zip(x, made, strict=True)]


def d_loss(
    w: Weights, x: Rows, made: Rows, alpha: torch.Tensor, lambda_gp: float, lambda_dp: float, server: bool, penalty: str
) -> torch.Tensor:
    M = range(len(x))
    f, f_made = [C(w, k, x[k]) for k in M], [C(w, k, made[k]) for k in M]
    loss = torch.zeros((), dtype=x[0].dtype)
    if server:
        loss = loss - S(w, torch.cat(f, 1)).mean() + S(w, torch.cat(f_made, 1)).mean()
    if lambda_dp:
        for k in M:
            loss = loss - lambda_dp * P(w, k, f[k]).mean() + lambda_dp * P(w, k, f_made[k]).mean()
    mixed = mixture(x, made, alpha)
    f_mixed = [C(w, k, mixed[k]) for k in M]
    together = torch.cat(f_mixed, 1)
    gp = torch.zeros((), dtype=x[0].dtype)
    if penalty == "parts":
        gp = gp + sum(off_one(slope(f_mixed[k], mixed[k])) for k in M)
        if lambda_dp:
            gp = gp + sum(off_one(slope(P(w, k, f_mixed[k]), f_mixed[k])) for k in M)
        if server:
            gp = gp + off_one(slope(S(w, together), together))
    else:
        if lambda_dp:
            gp = gp + sum(off_one(slope(P(w, k, f_mixed[k]), mixed[k])) for k in M)
        if server:
            whole = S(w, together)
            gp = gp + off_one(torch.cat([slope(whole, m) for m in mixed], 1))
    return loss + lambda_gp * gp


def g_loss(w: Weights, made: Rows, lambda_dp: float, server: bool) -> torch.Tensor:
    f = [C(w, k, made[k]) for k in range(len(made))]
    loss = torch.zeros((), dtype=made[0].dtype)
    if server:
        loss = loss - S(w, torch.cat(f, 1)).mean()
    if lambda_dp:
        loss = loss - lambda_dp * sum(P(w, k, f[k]).mean() for k in range(len(made)))
    return loss


def normalised(w: Weights, name: str, h: torch.Tensor) -> torch.Tensor:
    """BatchNorm1d(…, 0.8) in training: .8 is ε."""
    z = (h - h.mean(0)) / (h.var(0, unbiased=False) + 0.8).sqrt()
    return z * w[f"{name}.weight"] + w[f"{name}.bias"]


def G(w: Weights, prefix: str, z: torch.Tensor) -> torch.Tensor:
    """z - 6 - 8 - columns: the first block has no BatchNorm, the second has, the end is tanh."""
    h = leaky(linear(w, f"{prefix}.body.0", z))
    h = leaky(normalised(w, f"{prefix}.body.3", linear(w, f"{prefix}.body.2", h)))
    return torch.tanh(linear(w, f"{prefix}.body.5", h))
