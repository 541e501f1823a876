"""What a replicate of a trial is asked to do, as the plan and the question say it. A run that is repaired asks for the same."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sweep.federated.setup import Setup
from sweep.plan.plan import Plan
from sweep.procedures import Row
from sweep.records.names import control_name
from sweep.space import Arm, SearchSpace
from trainables.federated.experiment import REAL, Experiment, TrialSpec
from trainables.federated.stages.partition import partition_key
from trainables.federated.stages.synthesise import synthetic_key
from trainables.federated.stages.training import look_key, synthesizer_key, training_key

CENTRAL, INDEPENDENT = "central", "independent"
_CONTROL_BATCH = 64
_LARGEST_PART = 3  # a batch is a third of the rows at most


@dataclass(frozen=True)
class Specs:
    """Of one run."""

    plan: Plan[Setup]
    space: SearchSpace
    experiment: Experiment
    private_rows: int

    @property
    def controls(self) -> tuple[str, ...]:
        """Who sees all columns, who sees no dependence between parties, and the private rows themselves."""
        return CENTRAL, INDEPENDENT, REAL

    @property
    def leading_control(self) -> None:
        """None: what controls share is the partition, which takes no time."""
        return None

    def of(
        self, trial_id: str, replicate: int, arm: Arm, parameters: Mapping[str, Any], gate: bool = False
    ) -> TrialSpec:
        """A replicate of a trial with these parameters. No gate stops it: what could is known at its end alone."""
        return self._spec(trial_id, replicate, arm.method, {**arm.held, **parameters})

    def reduced(self, spec: TrialSpec, arm: Arm, figures: Collection[str]) -> tuple[TrialSpec, float]:
        """The whole: training is nearly all that a trial costs."""
        return spec, 1.0

    def of_control(self, control: str, replicate: int) -> TrialSpec:
        """A replicate of a control, trained without a mechanism."""
        return self._spec(
            control_name(control), replicate, "none", control_settings(self.plan, control, self.private_rows), control
        )

    def parameters_of(self, arm: Arm, replicate: Row) -> dict[str, Any] | None:
        """A trial's, by its synthesizer's sidecar."""
        from trainables.store import Store

        key = replicate.get("synthesizer")
        artifact = Store(self.plan.artifacts).find(key) if key else None
        settings = artifact.facts.get("settings") if artifact else None
        if not isinstance(settings, dict):
            return None
        return {name: value for name, value in settings.items() if name not in arm.held}

    def begins_with(self, arm: Arm, replicate: int) -> str:
        """None: every trial is trained by itself."""
        return ""

    def keys_used(self, spec: TrialSpec) -> set[str]:
        """What it reads while it runs: the synthesizer's and the published rows'."""
        return {synthetic_key(spec), partition_key(spec)} | ({synthesizer_key(spec)} if spec.trained else set())

    def keys_made(self, spec: TrialSpec, arm: Arm, stages: Iterable[str]) -> Iterator[str]:
        """Those of its stages, of looks after it was stopped, and of the training's checkpoint.

        The partition is shared by all trials of a seed, and so not among them.
        """
        yield training_key(spec)
        yield from (look_key(spec, step) for step in spec.rounds[:-1])
        yield from (key for key in stages if key != partition_key(spec))

    def _spec(
        self, trial_id: str, replicate: int, method: str, settings: Mapping[str, Any], synthesizer: str = ""
    ) -> TrialSpec:
        return TrialSpec(
            trial_id=trial_id,
            replicate=replicate,
            experiment=self.experiment,
            method=method,
            settings=dict(settings),
            seed=self.plan.replicate_seeds[replicate],
            samples=self.plan.setup.samples,
            synthesizer=synthesizer,
        )


def control_settings(
    plan: Plan[Setup], control: str, private_rows: int = _LARGEST_PART * _CONTROL_BATCH
) -> dict[str, Any]:
    """How a control is trained on so many rows, without a mechanism and with the usual nets; real rows are not."""
    if control == REAL:
        return {}
    return {"steps": plan.setup.control_steps, "batch": max(2, min(_CONTROL_BATCH, private_rows // _LARGEST_PART))}
