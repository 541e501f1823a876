"""The attack stages: the model at each rung of an attack's ladder, scored. Rung k's product is its figures."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

from trainables.attacks import ATTACKS
from trainables.fine_tuning import FineTuning
from trainables.relearning.diagnostics import diagnose
from trainables.relearning.experiment import AttackPlan, Samples, TrialSpec
from trainables.relearning.products.judge import judge_identity
from trainables.relearning.products.models import model_key
from trainables.relearning.stages.score import (
    Sampling,
    counted,
    examine,
    measured,
    prompts_shown,
    score_inputs,
    scoring_code,
    shown,
)
from trainables.relearning.stages.trajectory import Trajectory, trajectory_key
from trainables.running.stopwatch import Stopwatch
from trainables.store import Artifact, artifact_key, code_version

_OF_ONE_RUNG = (
    "wall_s",
    "core_s",
    "training_s",
    "sampling_s",
    "scoring_s",
)  # facts that are no other's: the stopwatch's


def attack_key(spec: TrialSpec, attack: AttackPlan, step: int, model: str) -> str:
    """Key of the score after `step` attack steps on the model with key `model`."""
    experiment = spec.experiment
    config = {
        "step": step,
        "first": step == spec.rungs[1],  # it has the figures of rung 0 with it
        "last": step == spec.rungs[-1],  # it has the audits and pictures
        "samples": asdict(_samples(spec, step)),
        "seed": spec.seed,
        "forget": experiment.forget,
        "sampler": experiment.sampler,
        "judge": judge_identity(experiment),
        "device": experiment.device_kind,
    }
    inputs = score_inputs(experiment)
    inputs |= {"trajectory": trajectory_key(spec, attack, model), "base": model_key(experiment, "base")}
    code = code_version(__name__)
    return artifact_key("attack", config, inputs, f"{code}/{scoring_code(experiment)}")


def _samples(spec: TrialSpec, step: int) -> Samples:
    """What was forgotten at every rung; at the last one the retained conditions too, for what the attack ruined."""
    return Samples(spec.samples.forgotten, spec.attacked_per_retained if step == spec.rungs[-1] else 0)


class AttackStage:
    """Continues a trajectory to one rung and scores the model there.

    Past `stop_after` the attack stands still: a rung has the figures of the one before, as the same samples of the same weights
    would give them. The last rung is scored all the same, for it is over the retained conditions too.
    """

    def __init__(self, trajectory: Trajectory, step: int) -> None:
        self.trajectory, self.step = trajectory, step
        spec, attack = trajectory.spec, trajectory.attack
        self.bench = trajectory.bench
        self.name, self.kind = f"{attack.name}@{step}", attack.name
        self.first, self.last = step == spec.rungs[1], step == spec.rungs[-1]
        self.key = attack_key(spec, attack, step, trajectory.model)
        self._samplings: list[Sampling] = []
        self._start: tuple[dict[str, float], dict[str, int]] | None = None  # the diagnostics at θᵤ
        self._as_before: Artifact | None = None  # the rung before, of the same weights and as many samples

    def advance(self, watch: Stopwatch, deadline: float) -> bool:
        trajectory, spec = self.trajectory, self.trajectory.spec
        self._as_before = self._rung_before()
        if self._as_before is not None:
            return True
        if self.first and self._start is None:  # where another process trained the first steps, this one still sees θᵤ
            trajectory.before_restoring = partial(self._diagnose_start, watch)
        if trajectory.run.step > self.step:
            trajectory.restart()
        if self.first and self._start is None and trajectory.run.step == 0:  # before there are an optimiser's moments
            self._diagnose_start(watch, trajectory.run)
        with watch("training"):
            until = min(self.step, trajectory.settings.stop_after or self.step)
            if not trajectory.run.advance(until, deadline):
                return False
        assert trajectory.run.step == until, f"{self.name}: the run stands at step {trajectory.run.step}"
        if not self._samplings:
            trajectory.run.free_gradient()
            one_step = self.bench.store.get(trajectory.model).facts.get("one_step", 0)
            model, samples = trajectory.run.model, _samples(spec, self.step)
            steps = [0, one_step] if one_step else [0]  # an attacker draws from a generator in whichever way shows more
            self._samplings = [Sampling(self.bench, model, samples, spec.seed, step) for step in steps]
            self._samplings[0].restore(self.bench.store.load_partial(self.key) or {})
        with watch("sampling"):
            return all(sampling.advance(deadline) for sampling in self._samplings)

    def save_partial(self) -> None:
        self.trajectory.save()
        if self._samplings and self._samplings[0].done:
            self.bench.store.save_partial(self.key, self._samplings[0].state())

    def _diagnose_start(self, watch: Stopwatch, run: FineTuning) -> None:
        self.trajectory.before_restoring = None  # the trajectory outlives this stage and its samples
        with watch("scoring"):
            self._start = self.diagnosed(run)

    def diagnosed(self, run: FineTuning) -> tuple[dict[str, float], dict[str, int]]:
        """Figures of a run's weights, and how many images each is over."""
        return diagnose(run, self.trajectory.landmarks, self.trajectory.settings.batch)

    def _rung_before(self) -> Artifact | None:
        """The rung before, where the attack has stood still since; None where there is something to score, or that is lost."""
        trajectory, rungs = self.trajectory, self.trajectory.spec.rungs
        before = max(step for step in rungs if step < self.step)
        if self.last or not 0 < trajectory.settings.stop_after <= before:
            return None
        return self.bench.store.find(attack_key(trajectory.spec, trajectory.attack, before, trajectory.model))

    def commit(self, watch: Stopwatch) -> Artifact:
        if self._as_before is not None:
            facts = {name: fact for name, fact in self._as_before.facts.items() if name not in _OF_ONE_RUNG}
            facts |= {"start": {"figures": {}, "counts": {}}, "step": self.step}
            return self.bench.store.put(self.key, "attack", facts | watch.times())
        assert self._samplings, "commit comes after advance has returned True"
        with watch("scoring"):
            sampling, *others = self._samplings
            figures = measured(self.bench, sampling)
            for other in others:
                shown_by_other = measured(self.bench, other)
                if shown_by_other["relearning_accuracy"] > figures["relearning_accuracy"]:
                    figures |= {k: shown_by_other[k] for k in ("relearning_accuracy", "unlearning_accuracy")}
            audits = examine(self.bench, self.trajectory.run.model) if self.last else ({}, 0)
            diagnostics, over = self.diagnosed(self.trajectory.run)
            assert self._start or not self.first, "a first rung has seen the run at θᵤ"
            start = self._start or ({}, {})
        counts = counted(figures, sampling, audits) | over
        figures |= audits[0] | diagnostics
        if not self.last:  # before the figures: whoever finds them goes on from here
            self.trajectory.save_if_due()
        samples = _samples(self.trajectory.spec, self.step)
        facts = {
            "figures": figures,
            "counts": counts,
            "start": {"figures": start[0], "counts": start[1]},
            "samples": asdict(samples),
            "attack": self.trajectory.attack.name,
            "step": self.step,
            "moves_weights": ATTACKS[self.trajectory.attack.method].moves_weights,
        }
        facts |= self.trajectory.run.facts
        if self.last:
            facts |= prompts_shown(sampling)
        pictures = shown(sampling) if self.last else None
        artifact = self.bench.store.put(self.key, "attack", facts | watch.times(), pictures)
        self.bench.store.drop_partial(self.key)
        if self.last:
            self.bench.store.drop_partial(self.trajectory.key)
        return artifact
