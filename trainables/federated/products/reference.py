"""What synthetic rows are held against: statistics of public rows, in features and in each party's columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from trainables.federated.experiment import Experiment
from trainables.federated.figures.agreement import cross_agreement
from trainables.federated.figures.correlation import correlation_errors
from trainables.federated.figures.fidelity import party_frechets
from trainables.federated.products.judge import feature_inputs, features_of
from trainables.federated.products.party_classifiers import party_classifiers_key, party_classifiers_of
from trainables.federated.products.rows import rows_key, rows_of
from trainables.federated.workbench import Bench
from trainables.metrics.frechet import frechet_distance, statistics
from trainables.store import Artifact, Store, artifact_key, code_version

RESAMPLED = 20  # times, for the error of a Fréchet distance over rows
Statistics = tuple[np.ndarray, np.ndarray]


def reference_key(experiment: Experiment) -> str:
    inputs = {"rows": rows_key(experiment)} | feature_inputs(experiment)
    return artifact_key("reference", {}, inputs, code_version(__name__))


def make_reference(experiment: Experiment) -> Artifact:
    """Mean and covariance of public rows' features."""
    store, key = Store(experiment.store), reference_key(experiment)
    if artifact := store.whole(key):
        return artifact
    bench = Bench(store)
    public = rows_of(bench, experiment)["public"]
    mean, covariance = statistics(features_of(bench, experiment)(public.rows))
    return store.put(key, "reference", {"rows": len(public)}, {"mean": mean, "covariance": covariance})


def reference_of(bench: Bench, experiment: Experiment) -> Statistics:
    key = reference_key(experiment)

    def read() -> Statistics:
        tensors = bench.store.get(key).tensors()
        return tensors["mean"], tensors["covariance"]

    return bench.keep(key, read, reference_of)


@dataclass(frozen=True)
class Compared:
    """Rows beside public ones: `figures` by name, each party's own Fréchet distance, and the error of fd over rows."""

    figures: dict[str, float]
    of_parties: dict[str, float]
    fd_error: float


def distance(bench: Bench, experiment: Experiment, rows: torch.Tensor) -> float:
    """The Fréchet distance of rows (n, d) to public ones."""
    return frechet_distance(statistics(features_of(bench, experiment)(rows)), reference_of(bench, experiment))


def party_distances(bench: Bench, experiment: Experiment, rows: torch.Tensor) -> dict[str, float]:
    """The same of each party's part, in its own columns."""
    parties, public = experiment.source.parties, rows_of(bench, experiment)["public"].rows
    distances = party_frechets(parties, rows, public)
    return {party.name: one for party, one in zip(parties.members, distances, strict=True)}


def compared(bench: Bench, experiment: Experiment, rows: torch.Tensor, seed: int) -> Compared:
    """What rows (n, d) are beside public ones; the seed decides which rows the error is resampled from."""
    source, public = experiment.source, rows_of(bench, experiment)["public"].rows
    features, reference = features_of(bench, experiment)(rows), reference_of(bench, experiment)
    across, within = correlation_errors(source.parties, rows, public)
    of_parties = party_distances(bench, experiment, rows)
    figures = {
        "fd": frechet_distance(statistics(features), reference),
        "party_fd": max(of_parties.values()),
        "dependence_error": across,
    }
    if np.isfinite(within):
        figures["within_error"] = within
    if source.shape:
        figures["cross_agreement"] = cross_agreement(party_classifiers_of(bench, experiment), rows)
    generator = np.random.default_rng(seed)
    # One after the other: of very many rows all of them together would be as many times the memory.
    again = (features[generator.integers(len(features), size=len(features))] for _ in range(RESAMPLED))
    error = float(np.std([frechet_distance(statistics(some), reference) for some in again], ddof=1))
    return Compared(figures, of_parties, error)


def compared_inputs(experiment: Experiment) -> dict[str, str]:
    """Keys of what `compared` depends on beside the rows and the code."""
    inputs = {"reference": reference_key(experiment), "rows": rows_key(experiment)} | feature_inputs(experiment)
    if experiment.source.shape:
        inputs["party classifiers"] = party_classifiers_key(experiment)
    return inputs
