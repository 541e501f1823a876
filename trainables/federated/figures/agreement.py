"""Do a row's parts belong together? Two classifiers or more, one a party, are asked which class a row is of.

The share of rows on which all of them say the same: near their accuracies of real rows, near chance where parts were coupled
blindly, whatever the parts by themselves look like. They are trained on public rows alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from trainables.federated.parties import Parties
from trainables.sampling.seeds import stream

HIDDEN = 256
STEPS = 600
BATCH = 64
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.3


class PartyClassifiers(nn.Module):
    """A perceptron a party: its part (B, d_k) → logits (B, classes)."""

    def __init__(self, parties: Parties, classes: int) -> None:
        super().__init__()
        self.parties, self.classes = parties, classes
        self.party = nn.ModuleList(
            nn.Sequential(nn.Linear(party.width, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, classes))
            for party in parties.members
        )

    def forward(self, rows: torch.Tensor) -> list[torch.Tensor]:
        return [net(part) for net, part in zip(self.party, self.parties.split(rows), strict=True)]

    def named(self, rows: torch.Tensor) -> torch.Tensor:
        """(M, B) the class that each party names."""
        with torch.inference_mode():
            return torch.stack([logits.argmax(dim=1) for logits in self(rows)])


def train_classifiers(
    parties: Parties, rows: torch.Tensor, labels: torch.Tensor, classes: int, seed: int, steps: int = STEPS
) -> PartyClassifiers:
    """Classifiers of public rows (N, d) with their labels (N,) int64; the seed alone decides their weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(seed, "party classifiers"))
        model = PartyClassifiers(parties, classes)
        optimiser = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        for _ in range(steps):
            drawn = torch.randint(len(rows), (min(BATCH, len(rows)),))
            losses = [F.cross_entropy(logits, labels[drawn]) for logits in model(rows[drawn])]
            optimiser.zero_grad()
            torch.stack(losses).sum().backward()
            optimiser.step()
    return model.eval()


def load_classifiers(parties: Parties, classes: int, tensors: Mapping[str, torch.Tensor]) -> PartyClassifiers:
    """Classifiers with these weights."""
    model = PartyClassifiers(parties, classes)
    model.load_state_dict(dict(tensors))
    return model.eval()


def cross_agreement(classifiers: PartyClassifiers, rows: torch.Tensor) -> float:
    """The share of rows of which all parties' classifiers name the same class. ValueError with one party, who always agrees."""
    if len(classifiers.parties) < 2:
        raise ValueError("one party has nobody to agree with; cross_agreement is of two or more")
    named = classifiers.named(rows)
    return float((named == named[0]).all(dim=0).float().mean())


def accuracies(classifiers: PartyClassifiers, rows: torch.Tensor, labels: torch.Tensor) -> Sequence[float]:
    """How often each party's classifier is right."""
    return (classifiers.named(rows) == labels).float().mean(dim=1).tolist()
