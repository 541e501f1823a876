"""How far the long tasks of the prepare phase are, read from their checkpoints in the store."""

from __future__ import annotations

from trainables.experiment import Experiment
from trainables.models import BaseModel
from trainables.stages.prepare import SHADOW, model_key
from trainables.store import Store

_MODELS = {"base model": "base", "retrain control": "retrain"}


def base_progress(experiment: Experiment, waiting: list[str]) -> str:
    """One phrase a task still waited for: ``base model 400/1300 steps``; more than three are only counted."""
    if len(waiting) > 3:
        return f"{len(waiting)} tasks to go"
    store, said = Store(experiment.store), []
    for name in waiting:
        which = name.removesuffix(" model") if name.startswith(SHADOW) else _MODELS.get(name)
        recipe, steps = experiment.base, ""
        if which and isinstance(recipe, BaseModel) and (partial := store.load_partial(model_key(experiment, which))):
            steps = f" {int(partial['step'])}/{recipe.train_steps} steps"
        said.append(name + steps)
    return ", ".join(said)
