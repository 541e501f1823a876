"""The rows as all trials read them: numbers in three splits, tables encoded by their schema."""

from __future__ import annotations

from typing import Any

import torch

from trainables.federated.experiment import Experiment
from trainables.federated.sources import Split, splits_of, tensors_of
from trainables.federated.workbench import Bench
from trainables.store import Artifact, Store, artifact_key, code_version

FEWEST = 8  # rows of every split: of fewer no covariance says anything


def rows_key(experiment: Experiment) -> str:
    return artifact_key("rows", experiment.data_identity, {}, code_version(__name__, experiment.source.module))


def make_rows(experiment: Experiment) -> Artifact:
    """Every split's rows and labels, how many there are, and the schema or shape that tells what a row is.

    ValueError where a split has too few, or no two labels.
    """
    store, key = Store(experiment.store), rows_key(experiment)
    if artifact := store.whole(key):
        return artifact
    splits = experiment.source.read()
    check_splits(experiment, splits)
    source = experiment.source
    facts: dict[str, Any] = {f"{name}_rows": len(split) for name, split in splits.items()}
    facts |= {"schema": source.schema.to_json() if source.schema else None, "shape": source.shape}
    return store.put(key, "rows", facts, tensors_of(splits))


def check_splits(experiment: Experiment, splits: dict[str, Split]) -> None:
    """ValueError where figures could not be taken of these rows."""
    for name, split in splits.items():
        if len(split) < FEWEST:
            raise ValueError(f"{experiment.data}: {len(split)} {name} rows are too few; give {FEWEST} or more")
        if experiment.source.classes and len(split.labels.unique()) < 2:
            raise ValueError(
                f"{experiment.data}: all {name} rows have one label; a classifier needs two, or no label at all"
            )


def rows_of(bench: Bench, experiment: Experiment) -> dict[str, Split]:
    """The splits by name, in memory once a process."""
    key = rows_key(experiment)

    def read() -> dict[str, Split]:
        return splits_of(
            {name: torch.from_numpy(array.copy()) for name, array in bench.store.get(key).tensors().items()}
        )

    return bench.keep(key, read, rows_of)
