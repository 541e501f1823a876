"""One trial: partition → train, looked at along its rounds → synthesise → score → audit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from trainables.federated.experiment import TrialSpec
from trainables.federated.products.judge import feature_name
from trainables.federated.products.reference import reference_key
from trainables.federated.shared_products import make_again
from trainables.federated.sources import ALL
from trainables.federated.stages.audit import AuditStage
from trainables.federated.stages.partition import PartitionStage, partition_key
from trainables.federated.stages.score import ScoreStage, score_key
from trainables.federated.stages.synthesise import SynthesiseStage, synthetic_key
from trainables.federated.stages.training import Course, LookStage, synthesizer_key
from trainables.federated.workbench import Bench
from trainables.running import pipeline
from trainables.running.report import Report
from trainables.running.stages import Stage
from trainables.store import Artifact, Store, code_version

TWO_SIDED = 1.96  # standard errors of a 95 % interval


class Pipeline(pipeline.Pipeline):
    """The stages of one replicate."""

    spec: TrialSpec
    bench: Bench
    activities = ("training", "sampling", "scoring", "auditing")

    def __init__(self, spec: TrialSpec, bench: Bench | None = None) -> None:
        torch.set_num_threads(1)  # two threads on shared cores are slower than one
        bench_of_store = (
            bench if bench and bench.store.root == spec.experiment.store else Bench(Store(spec.experiment.store))
        )
        if spec.trained:
            _ = spec.recipe  # a setting that is none is refused before anything is trained
        super().__init__(spec, bench_of_store)

    def sequence(self) -> Iterator[Stage]:
        """The order of the stages; no figure is known yet."""
        self.figures: dict[str, Any] = {}
        self._training_s = 0.0
        return self._sequence()

    def _sequence(self) -> Iterator[Stage]:
        bench, spec = self.bench, self.spec
        yield PartitionStage(bench, spec)
        if spec.trained:
            course = Course(bench, spec)
            for step in spec.rounds:
                yield LookStage(course, step)
            del course  # with it go the training's moments and rows
        yield SynthesiseStage(bench, spec)
        yield ScoreStage(bench, spec)
        yield AuditStage(bench, spec)

    def ended(self, stage: Stage, artifact: Artifact, report: Report) -> None:
        """Of a look its points; of the synthesizer, the score and the audit their figures."""
        facts = artifact.facts
        if isinstance(stage, LookStage):
            self._training_s += facts["core_s"]
            if not stage.last:  # the score says it of the rows that are published
                report.curves = self._points(stage.step, facts["fd"], artifact.key)
            else:
                privacy = facts["privacy"]
                self.figures = {name: privacy[name] for name in ("epsilon", "claimed_epsilon", "noise_multiplier")}
                self.figures |= {"training_s": self._training_s, "training_memory": facts["memory"]}
        elif isinstance(stage, ScoreStage):
            self.figures |= facts["figures"]
            last = self.spec.rounds[-1] if self.spec.trained else 0
            report.curves = self._points(last, facts["fd"], artifact.key, facts["fd_error"])
        elif isinstance(stage, AuditStage):
            self.figures |= facts["figures"]
            if self.figures.get("epsilon") is not None:
                self.figures["audited_epsilon_excess"] = self.figures["audited_epsilon"] - self.figures["epsilon"]
        if self.figures:  # from the last round on: what fails after it keeps what it cost
            report.figures = self.figures | self._dependencies()

    def make_again(self, key: str) -> None:
        """A product that trials share."""
        make_again(self.spec.experiment, self.spec.samples, key)

    def _points(
        self, step: int, distances: dict[str, float], key: str, error: float | None = None
    ) -> list[dict[str, Any]]:
        """A point of each party's curve, and of whole rows' with its interval over rows."""
        points = []
        for party, value in distances.items():
            point = {"party": party, "round": step, "metric": "fd", "value": value, "lower": None, "upper": None}
            if party == ALL and error is not None:
                point |= {"lower": max(0.0, value - TWO_SIDED * error), "upper": value + TWO_SIDED * error}
            points.append(point | {"samples": self._rows(), "artifact": key})
        return points

    def _dependencies(self) -> dict[str, Any]:
        """What every figure of this replicate depends on: columns of the replicates table."""
        spec, experiment = self.spec, self.spec.experiment
        partition = self.bench.store.get(partition_key(spec)).facts
        dependencies: dict[str, Any] = {
            "seed": spec.seed,
            "synthetic_rows": self._rows(),
            "split": experiment.source.split,
            "canaries": partition["canaries"],
            "delta": experiment.delta_of(partition["expected_rows"]),
            "feature_network": feature_name(experiment),
            "reference": reference_key(experiment),
            "mechanism": spec.recipe.mechanism if spec.trained else None,
            "accountant": self._accountant(),
            "synthesizer": synthesizer_key(spec) if spec.trained else None,
            "synthetic": synthetic_key(spec) if spec.trained else None,  # private rows are no publication
            "score": score_key(spec),
            "code_version": self._code_version(),
            "device": experiment.device_name,
        }
        return dependencies

    def _rows(self) -> int:
        """How many rows figures are over: fewer than were asked for where private rows stand in their place and are fewer."""
        if self.spec.trained:
            return self.spec.samples
        rows: int = self.bench.store.get(synthetic_key(self.spec)).facts["rows"]
        return rows

    def _accountant(self) -> str | None:
        if not self.spec.trained:
            return None
        accountant: str = self.bench.store.get(synthesizer_key(self.spec)).facts["privacy"]["accountant"]
        return accountant

    def _code_version(self) -> str:
        """Hash of all code the figures come from: this module, and the data, synthesizer and mechanism it uses."""
        modules = {__name__, self.spec.experiment.source.module}
        if self.spec.trained:
            modules |= set(self.spec.recipe.modules)
        return code_version(*modules)


def pipeline_of(spec: Mapping[str, Any], bench: Bench | None = None) -> Pipeline:
    """The pipeline of a spec's JSON; what was read stays in memory where `bench` is of the same store."""
    return Pipeline(TrialSpec.from_json(spec), bench)
