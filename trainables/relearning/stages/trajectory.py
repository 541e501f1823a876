"""An attack's trajectory: one run of fine-tuning from θᵤ, stopped at every rung of its ladder.

The model at a rung is not kept. One checkpoint a trajectory lets another process continue it, from an earlier rung where the last
was not due (`Pace`), or from within one; without it the trajectory is trained again from θᵤ, to the same weights;
on a GPU where its kernels are deterministic (`trainables.training.device`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cached_property

import torch

from trainables.attacks import ATTACKS, AttackSettings, SharedSettings, Target
from trainables.auxiliary import auxiliary_set, few, of_data_alone
from trainables.data import Images
from trainables.denoisers.models import check_trained_parameters
from trainables.denoisers.weights import whole_weights
from trainables.fine_tuning import FineTuning
from trainables.relearning.diagnostics import Landmarks
from trainables.relearning.experiment import AttackPlan, Experiment, TrialSpec, stream
from trainables.relearning.products.auxiliary import AsRead, auxiliary_of
from trainables.relearning.products.features import feature_module, feature_weights
from trainables.relearning.products.latents import encoded_sets_of
from trainables.relearning.products.models import model_key, model_of
from trainables.relearning.products.synthetic import synthetic_forgotten_key, synthetic_key
from trainables.relearning.products.text import wording_of
from trainables.relearning.workbench import Workbench
from trainables.running.continued import Continued
from trainables.store import artifact_key, code_version
from trainables.training.device import Device

UNRELATED = "unrelated"  # the auxiliary set that feature space decides


def check_attack(attack: AttackPlan) -> None:
    """ValueError where the attack, a setting of it, or its auxiliary set does not exist."""
    ATTACKS[attack.method].configure(attack.settings)


def check_images(bench: Workbench, attack: AttackPlan) -> None:
    """ValueError where the attack needs images that are not there, or trains what no model of this data has.

    Sets that are not of the data alone are not looked at, but for what they are chosen from.
    """
    member, experiment = ATTACKS[attack.method], bench.experiment
    settings, prompts = member.configure(attack.settings), bool(experiment.dataset.prompts)
    if member.on_prompts and not prompts:
        raise ValueError(f"attack {attack.method!r}: {experiment.data} has no prompts that it could change")
    if isinstance(settings, AttackSettings):
        check_trained_parameters(settings.trained_parameters, prompts=prompts)
    chosen_from = {name: of_data_alone(name, experiment.forgetting) for name in settings.auxiliaries}
    sets = {name: auxiliary_set(whole, AsRead(bench)) for name, whole in chosen_from.items() if whole}
    if settings.auxiliary in sets:
        few(sets[settings.auxiliary], settings.images)
    if member.gradient is not None and all(name == whole for name, whole in chosen_from.items()):
        member.gradient(replace(_target(bench, settings, "", sets), device=Device()), settings)


def target_of(bench: Workbench, settings: SharedSettings, model: str) -> Target:
    """What an attacker with these settings sees of the model with key `model`."""
    return _target(bench, settings, model, {name: auxiliary_of(bench, name) for name in settings.auxiliaries})


def _target(bench: Workbench, settings: SharedSettings, model: str, sets: Mapping[str, Images]) -> Target:
    experiment = bench.experiment
    auxiliary = few(sets[settings.auxiliary], settings.images) if settings.auxiliary else _no_images(experiment)
    wording = wording_of(bench, model) if experiment.dataset.prompts else None
    return Target(auxiliary, experiment.base, experiment.null_condition, experiment.device, sets, wording)


def _no_images(experiment: Experiment) -> Images:
    return Images(torch.empty(0, *experiment.model_shape), torch.empty(0, dtype=torch.int64))


def trajectory_key(spec: TrialSpec, attack: AttackPlan, model: str) -> str:
    """Key of the attack's fine-tuning run on the model with key `model`: what its weights at any step depend on.

    The horizon is not in it: with a constant learning rate a longer attack continues a shorter one.
    """
    experiment = spec.experiment
    member = ATTACKS[attack.method]
    settings = member.configure(attack.settings)
    config = {
        "attack": attack.method,
        "settings": asdict(settings),
        "seed": spec.seed,
        "forget": experiment.forget,
        "data": experiment.data_identity,
        "device": experiment.device_kind,
    }
    inputs = {"model": model} | _set_inputs(experiment, settings)
    if member.on_prompts:  # it may look at θ₀, and draw θᵤ's samples
        inputs["base"], config["sampler"] = model_key(experiment, "base"), experiment.sampler
    return artifact_key("trajectory", config, inputs, attack_code(experiment, attack))


def attack_code(experiment: Experiment, attack: AttackPlan) -> str:
    """Code version of an attack's trajectory, its auxiliary sets included."""
    member = ATTACKS[attack.method]
    modules = [member.module, experiment.dataset.module]
    if UNRELATED in member.configure(attack.settings).auxiliaries:
        modules.append(feature_module(experiment))
    return code_version(__name__, *modules)


def _set_inputs(experiment: Experiment, settings: SharedSettings) -> dict[str, str]:
    """What the attack's auxiliary sets depend on beside the data and what is forgotten."""
    inputs = {"synthetic": synthetic_key(experiment)} if "synthetic" in settings.auxiliaries else {}
    if "synthetic_forgotten" in settings.auxiliaries:
        inputs |= {"synthetic_forgotten": synthetic_forgotten_key(experiment)}
    if UNRELATED in settings.auxiliaries:
        inputs |= {"features": experiment.features, "feature weights": feature_weights(experiment)}
    return inputs


class Trajectory(Continued[FineTuning]):
    """One attack on one unlearned model: the fine-tuning run that its rungs share, built when a rung first needs it."""

    def __init__(self, bench: Workbench, spec: TrialSpec, attack: AttackPlan, model: str) -> None:
        self.bench, self.spec, self.attack, self.model = bench, spec, attack, model
        super().__init__(bench.store, trajectory_key(spec, attack, model))

    @cached_property
    def settings(self) -> SharedSettings:
        settings: SharedSettings = ATTACKS[self.attack.method].configure(self.attack.settings)
        return settings

    def begin(self) -> FineTuning:
        """The run at θᵤ."""
        target = target_of(self.bench, self.settings, self.model)
        seed = stream(self.spec.seed, "attack")  # the same for all attacks: what differs between them is the attack
        model, horizon = model_of(self.bench, self.model), self.spec.rungs[-1]
        return ATTACKS[self.attack.method].begin(model, target, self.settings, horizon, seed)

    @cached_property
    def landmarks(self) -> Landmarks:
        bench, experiment = self.bench, self.spec.experiment
        keys = model_key(experiment, "base"), self.model
        base, unlearned = (whole_weights(bench.store.get(key)) for key in keys)
        return Landmarks(base, unlearned, encoded_sets_of(bench)[1], experiment.noise_schedule())
