"""A shared product by its key, made again where it was lost or damaged while trials were already running."""

from __future__ import annotations

from trainables.needs import SHARED
from trainables.relearning.experiment import TrialSpec
from trainables.relearning.products.classifier import classifier_key, make_classifier
from trainables.relearning.products.models import make_model, model_key, vae_key
from trainables.relearning.products.reference import make_reference, reference_key
from trainables.relearning.products.shadows import make_shadow, make_shadows, shadow_key, shadows_key
from trainables.relearning.products.shared import make_shared, shared_key
from trainables.relearning.products.synthetic import make_synthetic, synthetic_key
from trainables.relearning.stages.score import make_score, score_key


def make_again(spec: TrialSpec, key: str) -> None:
    """Make what all trials share, if the key is of that. Any other is a stage's product: the trial's own stages make it."""
    experiment = spec.experiment
    base = model_key(experiment, "base")
    if key == classifier_key(experiment):
        make_classifier(experiment)
    elif key == reference_key(experiment):
        make_reference(experiment)
    elif key == synthetic_key(experiment):
        make_synthetic(experiment)
    elif key == score_key(experiment, base, spec.samples, spec.seed):
        make_score(experiment, base, spec.samples, spec.seed)
    elif experiment.shadow_models and key == shadows_key(experiment):
        make_shadows(experiment)
    elif experiment.in_latents and key == vae_key(experiment):
        make_model(experiment, "base")
    else:
        for which in ("base", *([] if experiment.without_control else ["retrain"])):
            if key == model_key(experiment, which):
                make_model(experiment, which)
        for number in range(experiment.shadow_models):
            if key == shadow_key(experiment, number):
                make_shadow(experiment, number)
        for name in SHARED.names():
            if key == shared_key(experiment, name):
                make_shared(experiment, name)
