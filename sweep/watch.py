"""How far the long tasks of the prepare phase are, read from their checkpoints in the store."""

from __future__ import annotations

from collections.abc import Sequence

from trainables.experiment import Experiment
from trainables.models import BaseModel
from trainables.stages.prepare import SHADOW, model_key
from trainables.store import Store

_MODELS = {"base model": "base", "retrain control": "retrain"}


def task_name(what: str, experiment: Experiment, experiments: Sequence[Experiment]) -> str:
    """What a task is called: by what is forgotten too, where experiments differ in it."""
    return what if len(experiments) == 1 else f"{what} of {experiment.forget}"


def base_progress(experiments: Sequence[Experiment], waiting: list[str]) -> str:
    """One phrase a task still waited for: ``base model 400/1300 steps``; more than three are only counted."""
    if len(waiting) > 3:
        return f"{len(waiting)} tasks to go"
    models = {task_name(what, e, experiments): (e, which) for e in experiments for what, which in _MODELS.items()}
    said = []
    for name in waiting:
        experiment, which = models.get(name, (experiments[0], name.removesuffix(" model")))
        recipe, steps = experiment.base, ""
        if (name in models or name.startswith(SHADOW)) and isinstance(recipe, BaseModel):
            partial = Store(experiment.store).load_partial(model_key(experiment, which))
            steps = f" {int(partial['step'])}/{recipe.train_steps} steps" if partial else ""
        said.append(name + steps)
    return ", ".join(said)
