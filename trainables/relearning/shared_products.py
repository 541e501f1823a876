"""The products that trials of an experiment share, as a graph: what prepares them, mends them or asks how far they are walks it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from trainables.denoisers.recipes import Pretrained
from trainables.needs import SHARED
from trainables.relearning.experiment import Experiment, Samples, TrialSpec
from trainables.relearning.origins import LATENTS, PROMPTS, VAE, parts_of
from trainables.relearning.products.classifier import classifier_key, make_classifier
from trainables.relearning.products.judge import judge_for, judged_key, make_judged
from trainables.relearning.products.models import make_model, model_key, vae_key
from trainables.relearning.products.reference import make_reference, reference_key
from trainables.relearning.products.shadows import SHADOW, make_shadow, make_shadows, shadow_key, shadows_key
from trainables.relearning.products.shared import make_shared, shared_key
from trainables.relearning.products.synthetic import make_synthetic, synthetic_key
from trainables.relearning.stages.score import make_score, score_key
from trainables.running.products import Product, by_name

BASE = "base model"
CLASSIFIER = "classifier"
JUDGE = "judge"  # one with weights of its own
REFERENCE = "reference statistics"
SHADOWS = "shadow losses"
SYNTHETIC = "synthetic set"
MODELS = {BASE: "base", "retrain control": "retrain"}  # by name, θ₀ and θ*


def models_of(experiment: Experiment) -> dict[str, str]:
    """The models that every sweep prepares, θ₀ and where there is one θ*, by their names."""
    return {name: which for name, which in MODELS.items() if which == "base" or not experiment.without_control}


def products_of(experiment: Experiment, shared: Iterable[str] = ()) -> dict[str, Product]:
    """The products by name; `shared` are the artifacts that methods need."""
    return by_name(_products(experiment, shared))


def score_of(experiment: Experiment, name: str, which: str, samples: Samples, seed: int) -> Product:
    """The score of θ₀ or θ*, which nothing was unlearned of."""
    model = model_key(experiment, which)
    needs = [*(name for name, of in MODELS.items() if of == which), CLASSIFIER, REFERENCE]
    if experiment.shadow_models:
        needs.append(SHADOWS)
    if experiment.in_latents:
        needs.append(VAE)
    needs += prompt_products(experiment)
    arguments = (experiment, model, samples, seed)
    return Product(name, partial(score_key, *arguments), partial(make_score, *arguments), tuple(needs))


def prompt_products(experiment: Experiment) -> tuple[str, ...]:
    """What a model of the experiment is read together with, beside its own artifact: the prompts that it is told."""
    return (PROMPTS,) if PROMPTS in parts_of(experiment) else ()


def make_again(spec: TrialSpec, key: str) -> None:
    """Make what all trials share, if the key is of that. Any other is a stage's product: the trial's own stages make it."""
    experiment = spec.experiment
    score = score_of(experiment, "base score", "base", spec.samples, spec.seed)
    for product in (*_products(experiment, SHARED.names()), score):
        if product.key() == key:
            product.make()


def _products(experiment: Experiment, shared: Iterable[str]) -> Iterator[Product]:
    e = experiment
    steps = 0 if isinstance(e.base, Pretrained) else e.base.train_steps
    parts, prompts = parts_of(e), prompt_products(e)
    trained_on = tuple(part for part in (LATENTS, PROMPTS) if part in parts)
    yield Product(CLASSIFIER, partial(classifier_key, e), partial(make_classifier, e))
    if judge_for(e).reader and e.dataset.has_images:
        yield Product(JUDGE, partial(judged_key, e), partial(make_judged, e))
    yield from parts.values()
    for name, which in models_of(e).items():
        yield Product(name, partial(model_key, e, which), partial(make_model, e, which), trained_on, steps)
    if e.in_latents and VAE not in parts:
        yield Product(VAE, partial(vae_key, e), partial(make_model, e, "base"), (BASE,))  # it comes with the model
    vae = (VAE,) if e.in_latents else ()
    for number in range(e.shadow_models):
        name = f"{SHADOW}{number} model"
        yield Product(name, partial(shadow_key, e, number), partial(make_shadow, e, number), (*vae, *prompts), steps)
    if e.shadow_models:
        models = tuple(f"{SHADOW}{number} model" for number in range(e.shadow_models))
        yield Product(SHADOWS, partial(shadows_key, e), partial(make_shadows, e), (*models, *vae, *prompts))
    # Every feature network is loaded with the classifier at hand, whether it looks at it or not.
    yield Product(REFERENCE, partial(reference_key, e), partial(make_reference, e), (CLASSIFIER,))
    encoded = (LATENTS,) if LATENTS in parts else vae
    for need in shared:
        made_of = (BASE, *prompts, *encoded)
        yield Product(f"shared {need}", partial(shared_key, e, need), partial(make_shared, e, need), made_of)
    yield Product(SYNTHETIC, partial(synthetic_key, e), partial(make_synthetic, e), (BASE, *prompts))
