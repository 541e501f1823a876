"""The membership audit's shadow models, each trained on a random half of the audited images, and what they say of all."""

from __future__ import annotations

import numpy as np
import torch

from trainables.audits import Shadows, first_alike, image_losses
from trainables.data import Images, together
from trainables.relearning.experiment import Experiment, stream
from trainables.relearning.origins import ORIGINS, Wanted
from trainables.relearning.products.images import forget_set_of, retain_set_of, strangers, strangers_of
from trainables.relearning.products.latents import encoded
from trainables.relearning.products.models import model_of
from trainables.relearning.workbench import Workbench, kept
from trainables.store import Artifact, artifact_key, code_version

SHADOW = "shadow-"  # and a number: a shadow model's name


def shadow_key(experiment: Experiment, number: int) -> str:
    """Key of a shadow model. ValueError where the base model was trained elsewhere."""
    which = f"{SHADOW}{number}"
    recipe = experiment.recipe(which)
    config = {
        "data": experiment.data_identity,
        "recipe": recipe.identity,
        "seed": experiment.base_seed,
        "shadow": which,
        "audited": experiment.forget,
        "device": experiment.device_kind,
    }
    return artifact_key("model", config, {}, _code(experiment))


def shadows_key(experiment: Experiment) -> str:
    """Key of what the shadow models say of the audited images."""
    models = {f"shadow {i}": shadow_key(experiment, i) for i in range(experiment.shadow_models)}
    return artifact_key("shadows", {"forget": experiment.forget}, models, _code(experiment))


def make_shadow(experiment: Experiment, number: int) -> Artifact:
    """A shadow model: θ₀'s recipe on the retain set and a random half of all that the membership audit is over."""
    bench, key = Workbench(experiment), shadow_key(experiment, number)
    if artifact := bench.store.whole(key):
        return artifact
    which = f"{SHADOW}{number}"

    def images() -> Images:
        audited = together(forget_set_of(bench), strangers(experiment))
        return encoded(bench, together(audited.where(seen_by(experiment, which, audited)), retain_set_of(bench)))

    return ORIGINS[experiment.recipe(which).origin](Wanted(experiment, which, key, images))


def make_shadows(experiment: Experiment) -> Artifact:
    """Every shadow model's denoising loss of every audited image, and which it was trained on."""
    bench, key = Workbench(experiment), shadows_key(experiment)
    if artifact := bench.store.whole(key):
        return artifact
    audited = together(forget_set_of(bench), strangers_of(bench))
    taken, losses, trained_on = encoded(bench, audited), [], []
    for number in range(experiment.shadow_models):
        model = model_of(bench, shadow_key(experiment, number))
        losses.append(image_losses(model, experiment.noise_schedule(), taken, experiment.device))
        trained_on.append(seen_by(experiment, f"{SHADOW}{number}", audited).numpy())
    tensors = {"losses": np.stack(losses), "trained_on": np.stack(trained_on)}
    facts = {"models": experiment.shadow_models, "images": len(audited)}
    return bench.store.put(key, "shadows", facts, tensors)


def seen_by(experiment: Experiment, which: str, audited: Images) -> torch.Tensor:
    """(N,) bool: which of the audited images a shadow model is trained on, a fair coin for each; copies share one."""
    generator = torch.Generator().manual_seed(stream(experiment.base_seed, which))
    coins = torch.rand(len(audited), generator=generator) < 0.5
    return coins[torch.from_numpy(first_alike(audited))]


@kept
def shadows_of(bench: Workbench) -> Shadows | None:
    """What the shadow models say, where the experiment has any."""
    if not bench.experiment.shadow_models:
        return None
    return Shadows(**bench.store.get(shadows_key(bench.experiment)).tensors())


def _code(experiment: Experiment) -> str:
    return code_version(__name__, ORIGINS[experiment.base.origin].module, experiment.dataset.module)
