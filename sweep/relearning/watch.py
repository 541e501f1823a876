"""How far the long tasks of the prepare phase are, read from their checkpoints in the store."""

from __future__ import annotations

from collections.abc import Sequence

from trainables.denoisers.recipes import BaseModel
from trainables.relearning.experiment import Experiment
from trainables.relearning.products import SHADOW, model_key, shadow_key
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
        shadow = which.startswith(SHADOW)
        if (name in models or shadow) and isinstance(recipe, BaseModel):
            number = which.removeprefix(SHADOW)
            key = shadow_key(experiment, int(number)) if shadow else model_key(experiment, which)
            partial = Store(experiment.store).load_partial(key)
            steps = f" {int(partial['step'])}/{recipe.train_steps} steps" if partial else ""
        said.append(name + steps)
    return ", ".join(said)
