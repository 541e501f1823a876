"""The audit: what published rows, and the critics that parties and server hold, betray of who was trained on, in one run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from trainables.federated.audits.intervals import auc_interval
from trainables.federated.audits.one_run import Run, views
from trainables.federated.audits.scores import Features, critics, nearest, server_alone
from trainables.federated.experiment import TrialSpec
from trainables.federated.products.judge import feature_inputs, features_of
from trainables.federated.stages.partition import canaries_of, partition_key
from trainables.federated.stages.synthesise import synthetic_key, synthetic_rows
from trainables.federated.stages.training import load_synthesizer, synthesizer_key
from trainables.federated.workbench import Bench
from trainables.running.stopwatch import Stopwatch
from trainables.store import Artifact, artifact_key, code_version

PUBLISHED, CRITICS = "published", "critics"  # the views
ROWS, FEATURES, HEADS, SERVER = "rows", "features", "all heads", "server"  # the scores of each


def audit_key(spec: TrialSpec) -> str:
    inputs = {"synthetic": synthetic_key(spec), "partition": partition_key(spec)} | feature_inputs(spec.experiment)
    if spec.trained:
        inputs["synthesizer"] = synthesizer_key(spec)
    config = {"delta": spec.experiment.delta}
    return artifact_key("audit", config, inputs, code_version(__name__))


class AuditStage:
    name = kind = "audit"

    def __init__(self, bench: Bench, spec: TrialSpec) -> None:
        self.bench, self.spec, self.key = bench, spec, audit_key(spec)

    def advance(self, watch: Stopwatch, deadline: float) -> bool:
        with watch("auditing"):
            self.facts = audited(self.bench, self.spec)
        return True

    def save_partial(self) -> None:
        """Nothing: it takes seconds."""

    def commit(self, watch: Stopwatch) -> Artifact:
        return self.bench.store.put(self.key, "audit", self.facts | watch.times())


def audited(bench: Bench, spec: TrialSpec) -> dict[str, Any]:
    """The figures, and by view the bound with its guesses and the area under each score's curve with its interval."""
    artifact = bench.store.get(partition_key(spec))
    tensors = artifact.tensors()
    canaries, included = torch.from_numpy(tensors["canaries"].copy()), tensors["included"].astype(bool)
    by_view = scores_of(bench, spec, canaries)
    delta = spec.experiment.delta_of(artifact.facts["expected_rows"])
    bounds = views({view: [Run(scores, included)] for view, scores in by_view.items()}, delta)
    areas = {view: {name: _area(score, included) for name, score in scores.items()} for view, scores in by_view.items()}
    figures = {f"audited_epsilon_{view}": bound.epsilon for view, bound in bounds.items()}
    figures |= {
        "audited_epsilon": max(bound.epsilon for bound in bounds.values()),
        "audit_ceiling": max(bound.ceiling for bound in bounds.values()),
    }
    figures |= {f"membership_auc_{view}": next(iter(of.values()))[0] for view, of in areas.items() if all(of.values())}
    return {"figures": figures, "bounds": {view: asdict(bound) for view, bound in bounds.items()}, "areas": areas}


def scores_of(bench: Bench, spec: TrialSpec, canaries: torch.Tensor) -> dict[str, dict[str, np.ndarray]]:
    """By view and name, membership scores (m,) of canaries (m, d), the view's first one foremost.

    Of private rows themselves all are published, though figures are over some of them.
    """
    rows = synthetic_rows(bench, spec) if spec.trained else canaries_of(bench, spec).members
    by_view: dict[str, dict[str, np.ndarray]] = {PUBLISHED: {ROWS: nearest(canaries, rows)}}
    if spec.experiment.source.shape:
        by_view[PUBLISHED][FEATURES] = nearest(canaries, rows, _tensors(features_of(bench, spec.experiment)))
    if spec.trained:
        synthesizer = load_synthesizer(bench, spec)
        by_view[CRITICS] = {HEADS: critics(canaries, synthesizer)}
        server = server_alone(canaries, synthesizer)
        if server is not None:
            by_view[CRITICS][SERVER] = server
    return by_view


def _tensors(features: Any) -> Features:
    return lambda rows: torch.from_numpy(features(rows))


def _area(scores: np.ndarray, included: np.ndarray) -> list[float]:
    """(area, low, high); empty where the coins put all canaries on one side."""
    if included.all() or not included.any():
        return []
    return [float(value) for value in auc_interval(scores[included], scores[~included])]
