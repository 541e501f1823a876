"""Prompts as rows of a table: what a text-to-image model is told is a whole number, and the module looks the row up.

Row P, one past the last prompt, is the empty prompt: what guidance leads away from. A table is an artifact, ``prompts``, made by
the text encoders of the pipeline that the model came with; they are in nobody's memory afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from trainables.store import Artifact, Store

KIND = "prompts"
_TENSORS = ("context", "tokens", "real", "pooled", "time_ids")


@dataclass(frozen=True, eq=False)
class Prompts:
    """P prompts and then the empty one, encoded.

    `context` (P+1, L, d) is what cross-attention reads: a vector a token; of SDXL, that of both encoders side by side. `tokens`
    (P+1, L) int64 are token ids, the first tokenizer's, and `real` (P+1,) int64 how many of a row's are no padding: the
    beginning, words, the first end; what pads is another id from pipeline to pipeline. SDXL alone has `pooled` (P+1, p), a
    vector a prompt, and `time_ids` (6,): (height, width, 0, 0, height, width) in pixels. `key` is the artifact's.

    A frozen table: no parameter, and in no model's state; copies of a model share it.
    """

    context: torch.Tensor
    tokens: torch.Tensor
    real: torch.Tensor
    pooled: torch.Tensor | None = None
    time_ids: torch.Tensor | None = None
    key: str = ""

    def __post_init__(self) -> None:
        rows = {len(table) for table in (self.context, self.tokens, self.real, self.pooled) if table is not None}
        if len(rows) != 1 or self.tokens.shape != self.context.shape[:2]:
            raise ValueError(f"prompts of {sorted(rows)} rows, tokens {tuple(self.tokens.shape)}: no one table")
        if (self.pooled is None) != (self.time_ids is None):
            raise ValueError("a pooled vector and time_ids come together or not at all")

    def __len__(self) -> int:
        """Rows, that of the empty prompt included."""
        return len(self.context)

    def __deepcopy__(self, memo: dict[int, Any]) -> Prompts:
        return self

    def rows(self, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(context (B, L, d), pooled (B, p) or None) of the rows (B,) int64."""
        return self.context[numbers], None if self.pooled is None else self.pooled[numbers]

    def to(self, device: str) -> Prompts:
        """The same table on a device."""
        return Prompts(**{name: value.to(device) for name, value in self.tensors().items()}, key=self.key)

    def tensors(self) -> dict[str, torch.Tensor]:
        """The tables by name, for `Store.put`."""
        tables = {name: getattr(self, name) for name in _TENSORS}
        return {name: table for name, table in tables.items() if table is not None}


def put_prompts(store: Store, key: str, prompts: Prompts, facts: Mapping[str, Any]) -> Artifact:
    """Commit the table under `key`."""
    return store.put(key, KIND, facts, prompts.tensors())


def load_prompts(artifact: Artifact, device: str = "cpu") -> Prompts:
    """The table of an artifact, on a device; ValueError where it is one of something else."""
    if artifact.kind != KIND:
        raise ValueError(f"artifact {artifact.key[:12]} is a {artifact.kind}, not a table of prompts")
    mapped = artifact.mapped()
    tables = {name: mapped[name].clone() for name in _TENSORS if name in mapped}
    return Prompts(**tables, key=artifact.key).to(device)
