"""Pipelines that `pipelines` saved, taken as base models, and experiments on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from trainables.data import DATASETS
from trainables.denoisers.digests import hashed
from trainables.denoisers.pipelines import fitted, read_pipeline
from trainables.denoisers.recipes import ClassifierRecipe, Pretrained
from trainables.relearning.experiment import Experiment


def taken(folder: Path, data: str = "digits", rows: tuple[int, ...] = ()) -> Pretrained:
    return hashed(fitted(read_pipeline(str(folder), rows=rows), DATASETS[data]))


def experiment_on(base: Pretrained, store: Path, **changes: object) -> Experiment:
    tiny = Experiment(
        store=str(store),
        base=base,
        classifier=ClassifierRecipe(width=4, features=8, train_steps=20, batch=32),
        sampling_steps=2,
        synthetic_per_condition=2,
    )
    return replace(tiny, **changes)  # type: ignore[arg-type]
