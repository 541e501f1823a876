"""What a replicate of a trial is asked to do, as the plan and the question say it. A run that is repaired asks for the same."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sweep.plan.plan import Plan
from sweep.procedures import Row
from sweep.records.names import control_name
from sweep.relearning.attacks import attack_plan
from sweep.relearning.columns import UNDER_ATTACK
from sweep.relearning.cost import part_before_attacks
from sweep.relearning.setup import Setup
from sweep.relearning.unseen import experiment_of_unseen
from sweep.space import Arm, Constraint, SearchSpace
from trainables.relearning.experiment import AttackPlan, Experiment, Limit, Samples, TrialSpec
from trainables.relearning.stages.attack import attack_key
from trainables.relearning.stages.trajectory import trajectory_key
from trainables.relearning.stages.unlearn import unlearned_key
from trainables.store import Store

UNSEEN_CONTROL = "unseen"


@dataclass(frozen=True)
class Specs:
    """Of one run, whose bounds and noise of fid_delta have been prepared."""

    plan: Plan[Setup]
    space: SearchSpace
    experiment: Experiment
    fid_delta_sd: float = math.inf

    @property
    def controls(self) -> tuple[str, ...]:
        """What is attacked beside the trials: θ₀ and, where there is one, θ*."""
        if not self.experiment.without_control:
            return ("base", "retrain")
        return ("base",) if self.unseen is None else ("base", UNSEEN_CONTROL)

    @property
    def leading_control(self) -> str | None:
        """θ₀, beside θ*: its score is what θ*'s fid_delta is taken from. What stands for θ* without one has a score of its own."""
        return None if self.experiment.without_control else "base"

    @cached_property
    def unseen(self) -> Experiment | None:
        """The experiment in which θ₀ is taught what it never saw, where that stands for learning anew."""
        return experiment_of_unseen(self.experiment)

    def of(
        self, trial_id: str, replicate: int, arm: Arm, parameters: Mapping[str, Any], gate: bool = False
    ) -> TrialSpec:
        """A replicate of a trial with these parameters, of the method's or of the attack's."""
        if arm.attack:
            attacks = (AttackPlan(arm.name, arm.attack, dict(parameters)),)
            return self._spec(trial_id, replicate, arm.method, arm.held, attacks, gate)
        return self._spec(trial_id, replicate, arm.method, parameters, self._suite(replicate), gate)

    def reduced(self, spec: TrialSpec, arm: Arm, figures: Collection[str]) -> tuple[TrialSpec, float]:
        """Without attacks, where none of these figures is of a model under attack."""
        if arm.attack or UNDER_ATTACK & set(figures):
            return spec, 1.0
        return replace(spec, attacks=()), part_before_attacks(self.plan, self.space, arm)

    def of_control(self, control: str, replicate: int) -> TrialSpec:
        """A replicate of a control: nothing is unlearned."""
        spec = self._spec(control_name(control), replicate, "none", {}, self._suite(replicate), False, control)
        if control != UNSEEN_CONTROL:
            return spec
        assert self.unseen is not None  # or it were no control
        return replace(spec, start="base", experiment=self.unseen)

    def parameters_of(self, arm: Arm, replicate: Row) -> dict[str, Any] | None:
        """A trial's of a method, by its unlearned model's sidecar; an attack's are in none."""
        key = replicate.get("unlearned_model")
        if arm.attack or not key:
            return None
        artifact = Store(self.plan.artifacts).find(key)
        settings = artifact.facts.get("settings") if artifact else None
        return dict(settings) if isinstance(settings, dict) else None

    def begins_with(self, arm: Arm, replicate: int) -> str:
        """The unlearned model's, where it is the attack that is searched."""
        return unlearned_key(self.of("", replicate, arm, {})) if arm.attack else ""

    def keys_used(self, spec: TrialSpec) -> set[str]:
        """The unlearned model's."""
        return {unlearned_key(spec)}

    def keys_made(self, spec: TrialSpec, arm: Arm, stages: Iterable[str]) -> Iterator[str]:
        """Those of its stages, of the rungs that ended after it was stopped, and of the checkpoints between rungs.

        The model that an attack is searched on is shared by all of its trials, and so not among them.
        """
        model = unlearned_key(spec)
        for attack in spec.attacks:
            yield trajectory_key(spec, attack, model)
            yield from (attack_key(spec, attack, step, model) for step in spec.rungs[1:])
        if not arm.attack:
            yield from stages

    def _suite(self, replicate: int) -> tuple[AttackPlan, ...]:
        return tuple(map(attack_plan, self.space.confirm_attacks if replicate else self.space.search_attacks))

    def _spec(
        self,
        trial_id: str,
        replicate: int,
        method: str,
        settings: Mapping[str, Any],
        attacks: tuple[AttackPlan, ...],
        gate: bool,
        start: str = "base",
    ) -> TrialSpec:
        setup = self.plan.setup
        forgotten, per_retained = setup.samples_forgotten, setup.samples_per_retained
        limits = [gate_limit(c, self.plan.gate_margin) for c in self.space.constraints if gate]
        return TrialSpec(
            trial_id=trial_id,
            replicate=replicate,
            experiment=self.experiment,
            method=method,
            settings=dict(settings),
            seed=self.plan.replicate_seeds[replicate],
            attacks=attacks,
            rungs=self.space.rungs,
            samples=Samples(*setup.confirm_samples) if replicate else Samples(forgotten, per_retained),
            attacked_per_retained=setup.confirm_samples[1] if replicate else per_retained,
            start=start,
            gate=tuple(limits),
            fid_delta_sd=self.fid_delta_sd,
        )


def gate_limit(constraint: Constraint, margin: float = 0.0) -> Limit:
    """The constraint as a gate takes it, which stops what surely breaks it by more than `margin`, a share of the bound."""
    slack = margin * constraint.unit
    assert constraint.bound is not None  # its unit is known
    return Limit(constraint.metric, constraint.bound, constraint.side == "at_most", slack)
