"""The attack stages: one trajectory of fine-tuning from θᵤ, stopped and scored at every rung of its ladder.

The model at a rung is not kept: rung k's product is its figures, and one checkpoint a trajectory, replaced at every rung,
lets the next rung continue. Without the checkpoint the trajectory is trained again from θᵤ, to the same weights.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property

from trainables.attacks import ATTACKS, Target
from trainables.auxiliary import known_auxiliary
from trainables.diffusion import FineTuning
from trainables.experiment import AttackPlan, Samples, TrialSpec, stream
from trainables.provenance import code_version
from trainables.stages import Stopwatch
from trainables.stages.prepare import Workbench, synthetic_key
from trainables.stages.score import Sampling, counted, examine, judge, score_inputs, scoring_code, shown
from trainables.store import Artifact, artifact_key


def check_attack(attack: AttackPlan) -> None:
    """ValueError where the attack, a setting of it, or its auxiliary set does not exist."""
    known_auxiliary(ATTACKS[attack.method].configure(attack.settings).auxiliary)


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
    inputs = {"model": model} | ({"synthetic": synthetic_key(experiment)} if settings.auxiliary == "synthetic" else {})
    return artifact_key(
        "trajectory", config, inputs, code_version(member.module, "trainables.auxiliary", Trajectory, stream)
    )


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
    inputs = score_inputs(experiment) | {"trajectory": trajectory_key(spec, attack, model)}
    return artifact_key("attack", config, inputs, f"{code_version(AttackStage, _samples)}/{scoring_code(experiment)}")


def _samples(spec: TrialSpec, step: int) -> Samples:
    """What was forgotten at every rung; at the last one the retained conditions too, for what the attack ruined."""
    return Samples(spec.samples.forgotten, spec.attacked_per_retained if step == spec.rungs[-1] else 0)


class Trajectory:
    """One attack on one unlearned model: the fine-tuning run that its rungs share, built when a rung first needs it."""

    def __init__(self, bench: Workbench, spec: TrialSpec, attack: AttackPlan, model: str) -> None:
        self.bench, self.spec, self.attack, self.model = bench, spec, attack, model
        self.key = trajectory_key(spec, attack, model)

    @cached_property
    def run(self) -> FineTuning:
        experiment, member = self.spec.experiment, ATTACKS[self.attack.method]
        settings = member.configure(self.attack.settings)
        auxiliary = self.bench.auxiliary(settings.auxiliary)
        target = Target(auxiliary, experiment.base, experiment.dataset.conditions, experiment.device)
        how = settings.optimisation(self.spec.rungs[-1])
        seed = stream(self.spec.seed, "attack")  # the same for all attacks: what differs between them is the attack
        run = FineTuning(self.bench.model(self.model), member.loss(target, settings), how, seed, experiment.device)
        if partial := self.bench.store.load_partial(self.key):
            run.restore(partial)
        return run

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
        self.last = step == spec.rungs[-1]
        self.key = attack_key(spec, attack, step, trajectory.model)
        self._samplings: list[Sampling] = []

    def advance(self, watch: Stopwatch, deadline: float) -> bool:
        trajectory, spec = self.trajectory, self.trajectory.spec
        if trajectory.run.step > self.step:
            trajectory.restart()
        with watch("training"):
            if not trajectory.run.advance(self.step, deadline):
                return False
        if not self._samplings:
            one_step = self.bench.store.get(trajectory.model).facts.get("one_step", 0)
            model, samples = trajectory.run.model, _samples(spec, self.step)
            steps = [0, one_step] if one_step else [0]  # an attacker draws from a generator in whichever way shows more
            self._samplings = [Sampling(spec.experiment, model, samples, spec.seed, step) for step in steps]
            self._samplings[0].restore(self.bench.store.load_partial(self.key) or {})
        with watch("sampling"):
            return all(sampling.advance(deadline) for sampling in self._samplings)

    def save_partial(self) -> None:
        self.bench.store.save_partial(self.trajectory.key, self.trajectory.run.state())
        if self._samplings and self._samplings[0].done:
            self.bench.store.save_partial(self.key, self._samplings[0].state())

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
        counts = counted(figures, sampling, audits)
        figures |= audits[0]
        if not self.last:  # before the figures: a rung without its checkpoint would make the next one train from θᵤ
            self.bench.store.save_partial(self.trajectory.key, self.trajectory.run.state())
        samples = _samples(self.trajectory.spec, self.step)
        facts = {
            "figures": figures,
            "counts": counts,
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
