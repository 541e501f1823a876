"""The attack stages: one trajectory of fine-tuning from θᵤ, stopped and scored at every rung of its ladder.

The model at a rung is not kept: rung k's product is its figures, and one checkpoint a trajectory, replaced at every rung,
lets the next rung continue. Without the checkpoint the trajectory is trained again from θᵤ, to the same weights.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import cached_property

import torch

from trainables.attacks import ATTACKS, AttackSettings, Target
from trainables.auxiliary import MADE, few
from trainables.diagnostics import Landmarks, diagnose
from trainables.diffusion import Device, FineTuning
from trainables.experiment import AttackPlan, Experiment, Samples, TrialSpec, stream
from trainables.features import FEATURE_NETWORKS
from trainables.running.stopwatch import Stopwatch
from trainables.stages.prepare import Workbench, feature_weights, model_key, synthetic_key
from trainables.stages.score import Sampling, counted, examine, judge, score_inputs, scoring_code, shown
from trainables.store import Artifact, artifact_key, code_version

UNRELATED = "unrelated"  # the auxiliary set that feature space decides


def check_attack(attack: AttackPlan) -> None:
    """ValueError where the attack, a setting of it, or its auxiliary set does not exist."""
    ATTACKS[attack.method].configure(attack.settings)


def check_images(bench: Workbench, attack: AttackPlan) -> None:
    """ValueError where the attack needs images that are not there. Sets that are not of the data alone are not looked at."""
    member = ATTACKS[attack.method]
    settings = member.configure(attack.settings)
    in_latents = bench.experiment.in_latents  # by a VAE that is in the store only once it is prepared
    if not in_latents and not MADE.intersection(settings.auxiliaries):
        member.gradient(replace(target_of(bench, settings), device=Device()), settings)


def target_of(bench: Workbench, settings: AttackSettings) -> Target:
    """What an attacker with these settings sees."""
    experiment = bench.experiment
    sets = {name: bench.auxiliary(name) for name in settings.auxiliaries}
    auxiliary = few(sets[settings.auxiliary], settings.images)
    return Target(auxiliary, experiment.base, experiment.null_condition, experiment.device, sets)


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
    return artifact_key("trajectory", config, inputs, attack_code(experiment, attack))


def attack_code(experiment: Experiment, attack: AttackPlan) -> str:
    """Code version of an attack's trajectory, its auxiliary sets included."""
    member = ATTACKS[attack.method]
    modules = [member.module, experiment.dataset.module]
    if UNRELATED in member.configure(attack.settings).auxiliaries:
        modules.append(FEATURE_NETWORKS[experiment.features].__module__)
    return code_version(__name__, *modules)


def _set_inputs(experiment: Experiment, settings: AttackSettings) -> dict[str, str]:
    """What the attack's auxiliary sets depend on beside the data and what is forgotten."""
    inputs = {"synthetic": synthetic_key(experiment)} if "synthetic" in settings.auxiliaries else {}
    if UNRELATED in settings.auxiliaries:
        inputs |= {"features": experiment.features, "feature weights": feature_weights(experiment)}
    return inputs


def attack_key(spec: TrialSpec, attack: AttackPlan, step: int, model: str) -> str:
    """Key of the score after `step` attack steps on the model with key `model`."""
    experiment = spec.experiment
    config = {
        "step": step,
        "samples": asdict(_samples(spec, step)),
        "seed": spec.seed,
        "forget": experiment.forget,
        "sampler": experiment.sampler,
        "device": experiment.device_kind,
    }
    inputs = score_inputs(experiment)
    inputs |= {"trajectory": trajectory_key(spec, attack, model), "base": model_key(experiment, "base")}
    code = code_version(__name__)
    return artifact_key("attack", config, inputs, f"{code}/{scoring_code(experiment)}")


def _samples(spec: TrialSpec, step: int) -> Samples:
    """What was forgotten at every rung; at the last one the retained conditions too, for what the attack ruined."""
    return Samples(spec.samples.forgotten, spec.attacked_per_retained if step == spec.rungs[-1] else 0)


class Trajectory:
    """One attack on one unlearned model: the fine-tuning run that its rungs share, built when a rung first needs it."""

    def __init__(self, bench: Workbench, spec: TrialSpec, attack: AttackPlan, model: str) -> None:
        self.bench, self.spec, self.attack, self.model = bench, spec, attack, model
        self.key = trajectory_key(spec, attack, model)

    @cached_property
    def settings(self) -> AttackSettings:
        return ATTACKS[self.attack.method].configure(self.attack.settings)

    def begin(self) -> FineTuning:
        """The run at θᵤ."""
        target = target_of(self.bench, self.settings)
        seed = stream(self.spec.seed, "attack")  # the same for all attacks: what differs between them is the attack
        model, horizon = self.bench.model(self.model), self.spec.rungs[-1]
        return ATTACKS[self.attack.method].begin(model, target, self.settings, horizon, seed)

    @cached_property
    def run(self) -> FineTuning:
        run = self.begin()
        if partial := self.bench.store.load_partial(self.key):
            run.restore(partial)
        return run

    @cached_property
    def landmarks(self) -> Landmarks:
        bench, experiment = self.bench, self.spec.experiment
        schedule = experiment.noise_schedule()
        device = experiment.device.name
        unlearned = {k: torch.from_numpy(v.copy()).to(device) for k, v in bench.store.get(self.model).tensors().items()}
        return Landmarks(dict(bench.base.named_parameters()), unlearned, bench.encoded_sets[1], schedule)

    def restart(self) -> None:
        """Forget a checkpoint that is past the rung asked for: a trajectory only moves forward."""
        self.bench.store.drop_partial(self.key)
        del self.run


class AttackStage:
    """Continues a trajectory to one rung and scores the model there."""

    def __init__(self, trajectory: Trajectory, step: int) -> None:
        self.trajectory, self.step = trajectory, step
        spec, attack = trajectory.spec, trajectory.attack
        self.bench = trajectory.bench
        self.name = f"{attack.name}@{step}"
        self.first, self.last = step == spec.rungs[1], step == spec.rungs[-1]
        self.key = attack_key(spec, attack, step, trajectory.model)
        self._samplings: list[Sampling] = []

    def advance(self, watch: Stopwatch, deadline: float) -> bool:
        trajectory, spec = self.trajectory, self.trajectory.spec
        if trajectory.run.step > self.step:
            trajectory.restart()
        with watch("training"):
            if not trajectory.run.advance(min(self.step, trajectory.settings.stop_after or self.step), deadline):
                return False
        if not self._samplings:
            one_step = self.bench.store.get(trajectory.model).facts.get("one_step", 0)
            model, samples = trajectory.run.model, _samples(spec, self.step)
            steps = [0, one_step] if one_step else [0]  # an attacker draws from a generator in whichever way shows more
            self._samplings = [Sampling(self.bench, model, samples, spec.seed, step) for step in steps]
            self._samplings[0].restore(self.bench.store.load_partial(self.key) or {})
        with watch("sampling"):
            return all(sampling.advance(deadline) for sampling in self._samplings)

    def save_partial(self) -> None:
        self.bench.store.save_partial(self.trajectory.key, self.trajectory.run.state())
        if self._samplings and self._samplings[0].done:
            self.bench.store.save_partial(self.key, self._samplings[0].state())

    def diagnosed(self, run: FineTuning) -> tuple[dict[str, float], dict[str, int]]:
        """Figures of a run's weights, and how many images each is over."""
        return diagnose(run, self.trajectory.landmarks, self.trajectory.settings.batch)

    def commit(self, watch: Stopwatch) -> Artifact:
        assert self._samplings, "commit comes after advance has returned True"
        with watch("scoring"):
            sampling, *others = self._samplings
            figures = judge(self.bench, sampling)
            for other in others:
                shown_by_other = judge(self.bench, other)
                if shown_by_other["relearning_accuracy"] > figures["relearning_accuracy"]:
                    figures |= {k: shown_by_other[k] for k in ("relearning_accuracy", "unlearning_accuracy")}
            audits = examine(self.bench, self.trajectory.run.model) if self.last else ({}, 0)
            found, over = self.diagnosed(self.trajectory.run)
            start = self.diagnosed(self.trajectory.begin()) if self.first else ({}, {})
        counts = counted(figures, sampling, audits) | over
        figures |= audits[0] | found
        if not self.last:  # before the figures: a rung without its checkpoint would make the next one train from θᵤ
            self.bench.store.save_partial(self.trajectory.key, self.trajectory.run.state())
        samples = _samples(self.trajectory.spec, self.step)
        facts = {
            "figures": figures,
            "counts": counts,
            "start": {"figures": start[0], "counts": start[1]},
            "samples": asdict(samples),
            "attack": self.trajectory.attack.name,
            "step": self.step,
        }
        pictures = shown(sampling) if self.last else None
        artifact = self.bench.store.put(self.key, "attack", facts | watch.times(), pictures)
        self.bench.store.drop_partial(self.key)
        if self.last:
            self.bench.store.drop_partial(self.trajectory.key)
        return artifact
