"""What a replicate of a trial is asked to do, as the plan and the question say it. A run that is repaired asks for the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweep.jobs import attack_plan, gate_limit
from sweep.plan.plan import Plan
from sweep.records.names import control_name
from sweep.relearning.setup import Setup
from sweep.space import Arm, SearchSpace
from trainables.relearning.experiment import AttackPlan, Experiment, Samples, TrialSpec


@dataclass(frozen=True)
class Specs:
    """Of one run, whose bounds and noise of fid_delta have been prepared."""

    plan: Plan
    space: SearchSpace
    experiment: Experiment
    fid_delta_sd: float

    def of(
        self,
        trial_id: str,
        replicate: int,
        arm: Arm | None,
        parameters: Mapping[str, Any],
        start: str = "base",
        gate: bool = False,
    ) -> TrialSpec:
        """A replicate of a trial with these parameters, of the method's or of the attack's; without an arm, of a control."""
        confirm = replicate > 0
        attacks = tuple(attack_plan(a) for a in (self.space.confirm_attacks if confirm else self.space.search_attacks))
        if arm and arm.attack:
            attacks, parameters = (AttackPlan(arm.name, arm.attack, dict(parameters)),), arm.held
        setup: Setup = self.plan.setup
        forgotten, per_retained = setup.samples_forgotten, setup.samples_per_retained
        limits = [gate_limit(c, self.plan.gate_margin) for c in self.space.constraints if gate]
        return TrialSpec(
            trial_id=trial_id,
            replicate=replicate,
            experiment=self.experiment,
            method=arm.method if arm else "none",
            settings=dict(parameters),
            seed=self.plan.replicate_seeds[replicate],
            attacks=attacks,
            rungs=self.space.rungs,
            samples=Samples(*setup.confirm_samples) if confirm else Samples(forgotten, per_retained),
            attacked_per_retained=setup.confirm_samples[1] if confirm else per_retained,
            start=start,
            gate=tuple(limits),
            fid_delta_sd=self.fid_delta_sd,
        )

    @property
    def controls(self) -> tuple[str, ...]:
        """What is attacked beside the trials: θ₀ and, where there is one, θ*."""
        return ("base",) if self.experiment.without_control else ("base", "retrain")

    def of_control(self, start: str, replicate: int) -> TrialSpec:
        """A replicate of a control: nothing is unlearned."""
        return self.of(control_name(start), replicate, None, {}, start=start)
