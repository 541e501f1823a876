"""A shared artifact by its key, made again where it was lost or damaged while trials were already running."""

from __future__ import annotations

from trainables.experiment import TrialSpec
from trainables.shared import SHARED
from trainables.stages import prepare
from trainables.stages.score import make_score, score_key


def make_again(spec: TrialSpec, key: str) -> None:
    """Make what all trials share, if the key is of that. Any other is a stage's product: the trial's own stages make it."""
    experiment = spec.experiment
    base = prepare.model_key(experiment, "base")
    models = ["base", *([] if experiment.without_control else ["retrain"])]
    models += [f"{prepare.SHADOW}{i}" for i in range(experiment.shadow_models)]
    if key == prepare.classifier_key(experiment):
        prepare.make_classifier(experiment)
    elif key == prepare.reference_key(experiment):
        prepare.make_reference(experiment)
    elif key == prepare.synthetic_key(experiment):
        prepare.make_synthetic(experiment)
    elif key == score_key(experiment, base, spec.samples, spec.seed):
        make_score(experiment, base, spec.samples, spec.seed)
    elif experiment.shadow_models and key == prepare.shadows_key(experiment):
        prepare.make_shadows(experiment)
    elif experiment.in_latents and key == prepare.vae_key(experiment):
        prepare.make_model(experiment, "base")
    else:
        for which in (w for w in models if key == prepare.model_key(experiment, w)):
            prepare.make_model(experiment, which)
        for name in (n for n in SHARED.names() if key == prepare.shared_key(experiment, n)):
            prepare.make_shared(experiment, name)
