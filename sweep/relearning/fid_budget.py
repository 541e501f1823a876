"""The FID budget, and the noise of fid_delta over sampling seeds that its rule is about."""

from __future__ import annotations

import math
import statistics
from typing import Any

from sweep.relearning.flag_values import AUTO

NOISE = "fid_delta_noise"  # the noise in words, where no rule of a budget says them


def fid_noise(base: list[float], retrain: list[float] | None) -> dict[str, Any]:
    """The noise of fid_delta over sampling seeds.

    SD of fid_delta is taken on θ*, the model an ideal unlearning would give, over sampling seeds. Without a θ* it is √2
    times FID(θ₀)'s, as if θᵤ's were as noisy and independent of it.
    """
    spread = statistics.stdev(base)
    deltas = [r - b for r, b in zip(retrain, base, strict=True)] if retrain else []
    noise = statistics.stdev(deltas) if deltas else math.sqrt(2) * spread
    mean_and_sd = (
        f"fid_delta of θ* {statistics.fmean(deltas):+.2f} (SD {noise:.2f}"
        if deltas
        else f"no θ* (SD taken for {noise:.2f}"
    )
    return {
        NOISE: f"FID(θ₀) {statistics.fmean(base):.2f} (SD {spread:.2f}); {mean_and_sd}, {len(base)} sampling seeds)",
        "fid_base": base[0],
        "fid_base_sd": spread,
        "fid_delta_sd": noise,
        "fid_delta_retrain": statistics.fmean(deltas) if deltas else None,
    }


def fid_budget(asked: float | str, base: list[float], retrain: list[float] | None) -> dict[str, Any]:
    """The FID budget and the noise it is measured in: a quarter of θ₀'s mean FID, for one sampling's is as noisy as trials' are."""
    facts = fid_noise(base, retrain)
    noise, measured = facts["fid_delta_sd"], facts.pop(NOISE)
    mean = statistics.fmean(base)
    auto = max(0.25 * mean, 2 * noise)
    budget = auto if asked == AUTO else float(asked)
    by = f"max(.25 × {mean:.2f}, 2 × {noise:.2f})" if asked == AUTO else f"given; auto would be {auto:.2f}"
    return {"fid_budget": budget, "fid_budget_rule": f"{measured}; FID budget {budget:.2f} = {by}"} | facts
