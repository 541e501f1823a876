"""Judges: which samples show what was forgotten. One file each, all ``(Evidence) -> (N,) bool``.

A judge says what kind of forgetting it can tell: whole ``conditions``, or single ``instances``. Unless a sweep names one, the
judge of its kind is asked (`BY_KIND`). What a sample shows decides unlearning and relearning accuracy, and with them robustness.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from trainables.data import Images
from trainables.members import MemberFault, fault_of, file_of
from trainables.registry import Registry

BY_KIND = {"conditions": "classifier", "instances": "copies"}


@dataclass(frozen=True)
class Verdicts:
    """What images show, facet by facet: `labels` (N, F) int64, `NOTHING` for none of the facet's, and `confidence` (N, F).

    The F facets are those of a data set of prompts, in its order. Other data have one, whose labels are the conditions.
    """

    labels: torch.Tensor
    confidence: torch.Tensor

    def of(self, facet: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(N,) the label of one facet, and (N,) how sure it is."""
        return self.labels[:, facet], self.confidence[:, facet]


@dataclass(frozen=True)
class Evidence:
    """What a judge is shown: samples, and what is known of them.

    `images` (N, C, H, W) in [-1, 1]; `predicted` (N,) the condition the data set's classifier gives each, of prompts the label
    of the forgotten facet, and `confidence` (N,) how sure it is; `asks` says of such (N,) which are what was forgotten, (N,)
    bool. `forgotten` and `retained` are the training images, read when they are first asked for.
    """

    images: torch.Tensor
    predicted: torch.Tensor
    confidence: torch.Tensor
    asks: Callable[[torch.Tensor], torch.Tensor]
    forgotten: Callable[[], Images]
    retained: Callable[[], Images]


@dataclass(frozen=True)
class Judge:
    """A registered judge: the kinds of forgetting that it can tell, and what says which samples show it."""

    name: str
    kinds: tuple[str, ...]
    shows: Callable[[Evidence], torch.Tensor]
    module: str

    def __call__(self, evidence: Evidence) -> torch.Tensor:
        """(N,) bool; MemberFault where the judge gives anything else."""
        with fault_of(f"judge {self.name!r}", self.module):
            shows = self.shows(evidence)
        is_tensor = isinstance(shows, torch.Tensor)
        if not is_tensor or shows.dtype != torch.bool or shows.shape != (len(evidence.images),):
            given = f"{tuple(shows.shape)} of {shows.dtype}" if is_tensor else f"a {type(shows).__name__}"
            raise MemberFault(
                f"judge {self.name!r} gives {given}; ({len(evidence.images)},) of bool is asked for ({file_of(self.module)})"
            )
        return shows


JUDGES: Registry[Judge] = Registry("judge", __name__)


def register(name: str, kinds: tuple[str, ...] = ("conditions",)) -> Callable:
    """Register a function ``(Evidence) -> (N,) bool`` with the kinds of forgetting that it can tell."""
    return JUDGES.decorator(name, lambda shows: Judge(name, kinds, shows, shows.__module__))


def judge_of(kind: str, name: str = "") -> Judge:
    """The judge of this name, or that of the kind of forgetting; ValueError where it cannot tell that kind."""
    judge = JUDGES[name or BY_KIND[kind]]
    if kind not in judge.kinds:
        able = ", ".join(other for other in JUDGES.names() if kind in JUDGES[other].kinds)
        raise ValueError(f"{judge.name} cannot tell {kind}; {able} can")
    return judge
