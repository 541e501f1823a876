"""What all trials share, made once: classifier, base model θ₀, retrain control θ*, reference statistics, synthetic set.

Each has a key function, which costs nothing, and a maker, which finds the artifact or makes it.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from functools import cached_property

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DModel

from trainables import classifier as judge
from trainables.audits import Shadows, first_alike, image_losses
from trainables.auxiliary import auxiliary_set
from trainables.data import Images, Splits
from trainables.diffusion import clamped, sample, starting_noise
from trainables.dit import decode, encode, load_vae
from trainables.experiment import Experiment, stream
from trainables.features import FEATURE_NETWORKS, FeatureNetwork, FeatureSource, conditions_by_distance
from trainables.forgetting import Forget
from trainables.imported import put_pretrained
from trainables.metrics import Reference
from trainables.metrics.frechet import statistics
from trainables.models import load_model, model_facts, training_run, weights_of
from trainables.pretrained import Pretrained
from trainables.shared import SHARED
from trainables.store import Artifact, Store, artifact_key, code_version, is_key, machine
from trainables.unlearning import Problem

SHADOW = "shadow-"  # and a number: a shadow model's name
CHECKPOINT_SECONDS = 10.0
REFERENCE_FEATURES = 5000  # kept for nearest-neighbour distances


def classifier_key(experiment: Experiment) -> str:
    judge_of = experiment.dataset.judge
    data = experiment.data_identity | {"name": judge_of.name}
    config = {"data": data, "recipe": asdict(experiment.classifier), "seed": experiment.base_seed}
    code = code_version(__name__, judge_of.module)
    return artifact_key("classifier", config, {}, code)


def model_key(experiment: Experiment, which: str) -> str:
    """Key of ``base`` (θ₀), ``retrain`` (θ*) or ``shadow-I`` (of the membership audit); an imported model is its own key.

    θ₀ knows nothing of what will be forgotten, so its key does not either. ValueError where there is no such model.
    """
    if is_key(which):
        return which
    if which not in ("base", "retrain") and not which.startswith(SHADOW):
        raise ValueError(f"model {which!r} is neither 'base', 'retrain' nor '{SHADOW}I'")
    recipe = experiment.recipe(which)
    config = {
        "data": experiment.data_identity,
        "recipe": recipe.identity,
        "seed": experiment.base_seed,
        "without": experiment.forget if which == "retrain" else None,
        "device": experiment.device_kind,
    }
    if which.startswith(SHADOW):
        config |= {"shadow": which, "audited": experiment.forget}
    return artifact_key("model", config, {}, _code(experiment))


def shadows_key(experiment: Experiment) -> str:
    """Key of what the shadow models say of the audited images."""
    models = {f"shadow {i}": model_key(experiment, f"{SHADOW}{i}") for i in range(experiment.shadow_models)}
    config = {"forget": experiment.forget}
    code = _code(experiment)
    return artifact_key("shadows", config, models, code)


def shared_key(experiment: Experiment, name: str) -> str:
    """Key of a shared artifact that methods need, such as the saliency of θ₀'s weights."""
    config = {"name": name, "forget": experiment.forget, "seed": experiment.base_seed, "device": experiment.device_kind}
    config |= {"data": experiment.data_identity}
    inputs = {"model": model_key(experiment, "base")}
    return artifact_key("shared", config, inputs, _code(experiment, SHARED[name].module))


def reference_key(experiment: Experiment) -> str:
    config = {
        "data": experiment.data_identity,
        "forget": experiment.forget,
        "features": experiment.features,
        "kept": REFERENCE_FEATURES,
    }
    inputs = {"weights": feature_weights(experiment)}
    feature_module = FEATURE_NETWORKS[experiment.features].__module__
    code = _code(experiment, feature_module)
    return artifact_key("reference", config, inputs, code)


def synthetic_key(experiment: Experiment) -> str:
    config = {
        "forget": experiment.forget,
        "sampler": experiment.sampler,
        "per_condition": experiment.synthetic_per_condition,
        "device": experiment.device_kind,
    }
    inputs = {"model": model_key(experiment, "base")}
    return artifact_key("synthetic", config, inputs, _code(experiment))


def feature_weights(experiment: Experiment) -> str:
    """What determines the feature network: the classifier's artifact key, or the hash of the weights file."""
    if experiment.features == "classifier":
        return classifier_key(experiment)
    module = sys.modules[FEATURE_NETWORKS[experiment.features].__module__]
    return experiment.weights_sha256 or getattr(module, "PINNED_SHA256", "")


def make_classifier(experiment: Experiment) -> Artifact:
    """The classifier, with its accuracy on the held-out test split."""
    store, key = Store(experiment.store), classifier_key(experiment)
    if found := store.whole(key):
        return found
    judged, start = experiment.dataset.judge, time.process_time()
    splits = judged.load()
    model = judge.train_classifier(judged, splits.train, experiment.classifier, experiment.base_seed)
    facts = {
        "recipe": asdict(experiment.classifier),
        "held_out_accuracy": judge.accuracy(model, splits.test),
        "held_out_images": len(splits.test),
        "core_s": time.process_time() - start,
        "machine": machine(),
    }
    weights = {k: v.detach().numpy() for k, v in model.state_dict().items()}
    return store.put(key, "classifier", facts, weights)


def make_model(experiment: Experiment, which: str) -> Artifact:
    """θ₀; or θ*: the same recipe and seed on the retain set, so that the forgotten condition's row is never trained.

    Or a shadow model: the same recipe on a random half of all that the membership audit is over. Training leaves a
    checkpoint in the store every 10 s and continues from it. A pretrained model is imported instead, its VAE with it.
    """
    store, key = Store(experiment.store), model_key(experiment, which)
    recipe = experiment.recipe(which)
    vae = vae_key(experiment) if which == "base" and experiment.in_latents else ""
    if (found := store.whole(key)) and (not vae or store.whole(vae)):
        return found
    if isinstance(recipe, Pretrained):
        return put_pretrained(store, key, "model", recipe, experiment.dataset, {"which": which}, vae)
    images, start = training_images(experiment, which), time.process_time()
    run = training_run(recipe, experiment.dataset, images, experiment.base_seed, experiment.device)
    if partial := store.load_partial(key):
        run.restore(partial)
    resumed_at = run.step
    while not run.advance(recipe.train_steps, time.monotonic() + CHECKPOINT_SECONDS):
        store.save_partial(key, run.state())
    facts = model_facts(run.model, recipe) | {
        "which": which,
        "images": len(images),
        "resumed_at_step": resumed_at,
        "core_s": time.process_time() - start,
        "machine": machine(),
    }
    artifact = store.put(key, "model", facts, weights_of(run.trained()))
    store.drop_partial(key)
    return artifact


def vae_key(experiment: Experiment) -> str:
    """Key of the VAE whose latents the base model denoises."""
    return artifact_key("vae", {}, {"model": model_key(experiment, "base")}, code_version(__name__))


def training_images(experiment: Experiment, which: str) -> Images:
    """What a model is trained on: everything, the retain set, or a shadow model's half."""
    train = experiment.dataset.load().train
    if which == "base":
        return train
    forget, retain = experiment.forgetting.split(train)
    if which == "retrain":
        return retain
    audited = together(forget, strangers(experiment))
    return together(audited.where(seen_by(experiment, which, audited)), retain)


def strangers(experiment: Experiment) -> Images:
    """Images of the forgotten kind that neither a model nor an attack is ever trained on: the audit's other side."""
    return experiment.forgetting.held_out(experiment.dataset.load().test)


def seen_by(experiment: Experiment, which: str, audited: Images) -> torch.Tensor:
    """(N,) bool: which of the audited images a shadow model is trained on, a fair coin for each; copies share one."""
    generator = torch.Generator().manual_seed(stream(experiment.base_seed, which))
    coins = torch.rand(len(audited), generator=generator) < 0.5
    return coins[torch.from_numpy(first_alike(audited))]


def together(*parts: Images) -> Images:
    return Images(torch.cat([p.images for p in parts]), torch.cat([p.conditions for p in parts]))


def make_shadows(experiment: Experiment) -> Artifact:
    """Every shadow model's denoising loss of every audited image, and which it was trained on."""
    store, key = Store(experiment.store), shadows_key(experiment)
    if found := store.whole(key):
        return found
    bench = Workbench(experiment)
    audited = together(bench.forget_set, bench.strangers)
    losses, trained_on = [], []
    for i in range(experiment.shadow_models):
        which = f"{SHADOW}{i}"
        model = bench.model(model_key(experiment, which))
        losses.append(image_losses(model, experiment.noise_schedule(), audited, experiment.device))
        trained_on.append(seen_by(experiment, which, audited).numpy())
    tensors = {"losses": np.stack(losses), "trained_on": np.stack(trained_on)}
    return store.put(key, "shadows", {"models": experiment.shadow_models, "images": len(audited)}, tensors)


def problem_of(bench: Workbench, shared: tuple[str, ...] = ()) -> Problem:
    """What an unlearning method is given, with the shared artifacts it needs; of a model of latents, both sets are those."""
    experiment = bench.experiment
    forget, retain = bench.encoded_sets
    return Problem(
        base=bench.base,
        schedule=experiment.noise_schedule(),
        forget=forget,
        retain=retain,
        forgetting=experiment.forgetting,
        null_condition=experiment.null_condition,
        features=lambda samples: bench.features.extract(bench.decode(samples)),
        generated=bench.generated,
        device=experiment.device,
        shared={name: bench.shared(name) for name in shared},
    )


def make_shared(experiment: Experiment, name: str) -> Artifact:
    """A shared artifact that methods need, from θ₀ and the two sets."""
    store, key = Store(experiment.store), shared_key(experiment, name)
    if found := store.whole(key):
        return found
    start = time.process_time()
    made = SHARED[name].make(problem_of(Workbench(experiment)), stream(experiment.base_seed, "shared", name))
    tensors = {k: v.detach().float().cpu().numpy() for k, v in made.items()}
    return store.put(key, "shared", {"name": name, "core_s": time.process_time() - start}, tensors)


def make_reference(experiment: Experiment) -> Artifact:
    """Statistics of the retained training images' features, and the features themselves in a fixed random order."""
    store, key = Store(experiment.store), reference_key(experiment)
    if found := store.whole(key):
        return found
    retain = experiment.forgetting.split(experiment.dataset.load().train)[1]
    network = feature_network(experiment, store)
    features = network.extract(retain.images)
    mean, covariance = statistics(features)
    facts = {"images": len(retain), "features": network.name, "weights_hash": network.weights_hash}
    order = np.random.default_rng(0).permutation(len(features))  # a data set may come sorted by class
    kept = features[order[:REFERENCE_FEATURES]].astype(np.float32)
    tensors = {"mean": mean, "covariance": covariance, "features": kept}
    return store.put(key, "reference", facts, tensors)


def make_synthetic(experiment: Experiment) -> Artifact:
    """What θ₀ makes of every retained condition, in equal numbers: an attacker's synthetic auxiliary set. Latents stay such."""
    store, key = Store(experiment.store), synthetic_key(experiment)
    if found := store.whole(key):
        return found
    model = load_model(store.get(model_key(experiment, "base")), experiment.device)
    conditions = torch.tensor(experiment.retained).repeat_interleave(experiment.synthetic_per_condition)
    images = generate(experiment, model, conditions, stream(experiment.base_seed, "synthetic"))
    tensors = {"images": images.numpy(), "conditions": conditions.numpy()}
    return store.put(key, "synthetic", {"images": len(images), "sampler": experiment.sampler}, tensors)


def feature_network(experiment: Experiment, store: Store) -> FeatureNetwork:
    """The experiment's feature network, loaded."""
    artifact = store.get(classifier_key(experiment))
    model = judge.load_classifier(artifact, experiment.dataset.judge)
    source = FeatureSource(
        model, artifact.sha256 or "", experiment.weights_file, experiment.weights_sha256, experiment.device_name
    )
    return FEATURE_NETWORKS[experiment.features](source)


class Workbench:
    """What a process keeps in memory between the trials of one experiment. Everything must already be in the store."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.store = Store(experiment.store)

    @cached_property
    def splits(self) -> Splits:
        return self.experiment.dataset.load()

    @cached_property
    def _sets(self) -> tuple[Images, Images]:
        return self.experiment.forgetting.split(self.splits.train)

    @property
    def forget_set(self) -> Images:
        return self._sets[0]

    @property
    def retain_set(self) -> Images:
        return self._sets[1]

    @cached_property
    def vae(self) -> AutoencoderKL:
        return load_vae(self.store.get(vae_key(self.experiment)), self.experiment.device.name)

    def encode(self, images: Images) -> Images:
        """Images as the denoiser takes them: of a model of pixels, themselves."""
        return Images(encode(self.vae, images.images), images.conditions) if self.experiment.in_latents else images

    def decode(self, samples: torch.Tensor) -> torch.Tensor:
        """The images (N, C, H, W) in [-1, 1] that a denoiser's samples stand for."""
        return decode(self.vae, samples) if self.experiment.in_latents else samples.clamp(-1, 1)

    @cached_property
    def encoded(self) -> Splits:
        """The splits as the denoiser takes them."""
        if not self.experiment.in_latents:
            return self.splits
        return Splits(*(self.encode(part) for part in (self.splits.train, self.splits.public, self.splits.test)))

    @cached_property
    def encoded_sets(self) -> tuple[Images, Images]:
        """(forget set, retain set) as the denoiser takes them. Which image is forgotten, its pixels say."""
        forgotten = self.experiment.forgetting.mask(self.splits.train)
        return self.encoded.train.where(forgotten), self.encoded.train.where(~forgotten)

    @cached_property
    def strangers(self) -> Images:
        return strangers(self.experiment)

    @cached_property
    def encoded_strangers(self) -> Images:
        return self.encode(self.strangers)

    @cached_property
    def shadows(self) -> Shadows | None:
        """What the shadow models say, where the experiment has any."""
        if not self.experiment.shadow_models:
            return None
        return Shadows(**self.store.get(shadows_key(self.experiment)).tensors())

    def shared(self, name: str) -> dict[str, torch.Tensor]:
        """A shared artifact's tensors on the experiment's device."""
        tensors = self.store.get(shared_key(self.experiment, name)).tensors()
        return {k: torch.from_numpy(v.copy()).to(self.experiment.device.name) for k, v in tensors.items()}

    @cached_property
    def classifier(self) -> judge.Classifier:
        return judge.load_classifier(self.store.get(classifier_key(self.experiment)), self.experiment.dataset.judge)

    @cached_property
    def features(self) -> FeatureNetwork:
        return feature_network(self.experiment, self.store)

    @cached_property
    def reference(self) -> Reference:
        return Reference(**self.store.get(reference_key(self.experiment)).tensors())

    @cached_property
    def base(self) -> UNet2DModel:
        """θ₀, frozen; a trial trains a copy that it loads itself."""
        return self.model(model_key(self.experiment, "base")).requires_grad_(False)

    @cached_property
    def synthetic(self) -> Images:
        tensors = self.store.get(synthetic_key(self.experiment)).tensors()
        return Images(torch.from_numpy(tensors["images"].copy()), torch.from_numpy(tensors["conditions"].copy()))

    def model(self, key: str) -> UNet2DModel:
        return load_model(self.store.get(key), self.experiment.device)

    @property
    def forgetting(self) -> Forget:
        return self.experiment.forgetting

    @cached_property
    def conditions_by_distance(self) -> list[int]:
        """Retained conditions, nearest to the forgotten one first, by their means in the experiment's feature network."""
        return conditions_by_distance(self.features.extract, self.forget_set, self.retain_set)

    def auxiliary(self, name: str) -> Images:
        return auxiliary_set(name, self)

    def generated(self, condition: int, n: int) -> torch.Tensor:
        """n images (n, C, H, W) of θ₀ for one condition, always the same."""
        seed = stream(self.experiment.base_seed, "generated", str(condition))
        return generate(self.experiment, self.base, torch.full((n,), condition), seed)


def generate(experiment: Experiment, model: UNet2DModel, conditions: torch.Tensor, seed: int) -> torch.Tensor:
    """Samples (N, C, H, W) of `model` under `conditions` (N,), from this seed's noise: images in [-1, 1], or latents."""
    noise, schedule = starting_noise((len(conditions), *experiment.model_shape), seed), experiment.noise_schedule()
    how, null = experiment.sampling, experiment.null_condition
    finish = torch.clone if experiment.in_latents else clamped
    drawn = sample(model, schedule, noise, conditions, how, experiment.device, null_condition=null, finish=finish)
    return torch.cat(list(drawn))


def _code(experiment: Experiment, *members: str) -> str:
    return code_version(__name__, *members, experiment.dataset.module)
