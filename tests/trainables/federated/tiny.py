"""Tiny rows, parties and trainings for the tests of federated GANs."""

from __future__ import annotations

from typing import Any

import torch

from trainables.federated.mechanisms import MECHANISMS, Batch, Gradients
from trainables.federated.parties import Output, Parties, Party
from trainables.federated.synthesizers import SYNTHESIZERS, Synthesizer
from trainables.federated.training import Schedule, Training

WIDTHS = {1: (6,), 2: (5, 3), 3: (4, 2, 3)}
NETS = {"latent": 4, "generator": (6, 8), "critic": (7,), "features": 5, "server": (6,)}


def parties_of(number: int) -> Parties:
    """So many parties of bounded columns, the last but one of whose places is another's: no party holds a range."""
    order = list(range(sum(WIDTHS[number])))
    order[0], order[-1] = order[-1], order[0]
    members, start = [], 0
    for k, width in enumerate(WIDTHS[number]):
        members.append(Party(f"p{k}", tuple(order[start : start + width]), (Output("bounded", width),)))
        start += width
    return Parties(tuple(members))


def rows_of(n: int, parties: Parties, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, parties.width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def synthesizer_of(name: str = "vflgan", parties: Parties | None = None, seed: int = 0, **values: Any) -> Synthesizer:
    member = SYNTHESIZERS[name]
    return member.begin(parties or parties_of(2), member.configure(NETS | values), seed)


def training_of(
    mechanism: str = "none",
    rows: torch.Tensor | None = None,
    synthesizer: str = "vflgan",
    seed: int = 0,
    settings: dict[str, Any] | None = None,
    nets: dict[str, Any] | None = None,
    **schedule: Any,
) -> Training:
    parties = parties_of(2)
    member = MECHANISMS[mechanism]
    return Training(
        synthesizer_of(synthesizer, parties, seed, **(nets or {})),
        rows_of(40, parties) if rows is None else rows,
        member,
        member.configure(settings or {}),
        Schedule(**({"steps": 12, "batch": 8} | schedule)),
        seed,
    )


def take(training: Training, gradients: Gradients) -> None:
    """A step by these gradients, the generators' too where theirs is due."""
    training.take_critic_step(gradients)
    if training.step % training.schedule.critic_per_generator == 0:
        training.take_generator_step()
    training.step += 1


def batch_of(parties: Parties, n: int, seed: int = 0, scale: float = 1.0, dtype: torch.dtype = torch.float32) -> Batch:
    """Rows of noise; `scale` makes gradients large."""
    generator = torch.Generator().manual_seed(seed)
    both = [[scale * torch.randn(n, p.width, generator=generator).to(dtype) for p in parties.members] for _ in range(2)]
    return Batch(both[0], both[1], torch.rand(n, 1, generator=generator).to(dtype), torch.ones(n, dtype=dtype), n)


def flat(gradients: dict[str, torch.Tensor], names: list[str] | None = None) -> torch.Tensor:
    return torch.cat([gradients[name].flatten() for name in names or list(gradients)])
