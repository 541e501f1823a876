"""Membership scores (m,) of rows (m, d): the higher, the likelier that the row was trained on. From two views.

Published: how near the nearest synthetic row is, in the rows' own numbers or in features. Critics: how real they find the row.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from trainables.federated.synthesizers import Synthesizer

Features = Callable[[torch.Tensor], torch.Tensor]
AT_ONCE = 2048


def nearest(rows: torch.Tensor, synthetic: torch.Tensor, features: Features | None = None) -> np.ndarray:
    """Minus the Euclidean distance of each of `rows` (m, d) to the nearest synthetic row (n, d), or of their features."""
    # In float64: distances by way of a product lose their digits near 0, which is where a copy is.
    here, there = ((x if features is None else features(x)).double() for x in (rows, synthetic))
    distances = [torch.cdist(here, part).amin(dim=1) for part in there.split(AT_ONCE)]
    return -torch.stack(distances).amin(dim=0).cpu().numpy()


def critics(rows: torch.Tensor, synthesizer: Synthesizer) -> np.ndarray:
    """Σ_h w_h h(f(x)) of each of `rows` (m, d): what the server and the parties hold together after training."""
    weight = next(synthesizer.critics.parameters())
    with torch.inference_mode():
        values = [
            synthesizer.critics.values(synthesizer.parties.split(part.to(weight.device)))
            for part in rows.split(AT_ONCE)
        ]
    return torch.cat(values).double().cpu().numpy()


def server_alone(rows: torch.Tensor, synthesizer: Synthesizer) -> np.ndarray | None:
    """S(f(x)) alone, which judges parts together; None where there is no server's critic."""
    critic = synthesizer.critics
    if critic.server is None:
        return None
    weight = next(critic.parameters())
    with torch.inference_mode():
        parts = synthesizer.parties.split(rows.to(weight.device))
        values = critic.server(torch.cat(critic.features(parts), dim=1)).squeeze(1)
    return values.double().cpu().numpy()
