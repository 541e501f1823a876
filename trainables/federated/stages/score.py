"""The score: how near synthetic rows are to public ones, together and party by party, and what they are good for."""

from __future__ import annotations

import numpy as np
import torch

from trainables.federated.experiment import TrialSpec
from trainables.federated.figures.fidelity import frechet
from trainables.federated.figures.utility import utility, utility_gap
from trainables.federated.products.floors import drawn
from trainables.federated.products.judge import features_of, labels_of
from trainables.federated.products.reference import compared, compared_inputs
from trainables.federated.products.rows import rows_of
from trainables.federated.sources import ALL
from trainables.federated.stages.partition import canaries_of
from trainables.federated.stages.synthesise import synthetic_key, synthetic_rows
from trainables.federated.workbench import Bench
from trainables.running.stopwatch import Stopwatch
from trainables.sampling.seeds import stream
from trainables.store import Artifact, artifact_key, code_version

SHOWN = 16  # images of a page's grid
SYNTHETIC = "synthetic"  # their name among the score's tensors


def score_key(spec: TrialSpec) -> str:
    inputs = {"synthetic": synthetic_key(spec)} | compared_inputs(spec.experiment)
    return artifact_key("score", {"seed": spec.seed}, inputs, code_version(__name__))


class ScoreStage:
    name = kind = "score"

    def __init__(self, bench: Bench, spec: TrialSpec) -> None:
        self.bench, self.spec, self.key = bench, spec, score_key(spec)

    def advance(self, watch: Stopwatch, deadline: float) -> bool:
        bench, experiment = self.bench, self.spec.experiment
        rows = synthetic_rows(bench, self.spec)
        with watch("scoring"):
            comparison = compared(bench, experiment, rows, stream(self.spec.seed, "resampled"))
            self.figures = dict(comparison.figures)
            self.distances = {ALL: comparison.figures["fd"]} | comparison.of_parties
            self.fd_error = comparison.fd_error
            self.figures |= useful(bench, self.spec, rows)
            if self.spec.trained:  # of private rows themselves it says nothing
                public, members = rows_of(bench, experiment)["public"], canaries_of(bench, self.spec).members
                as_many = drawn(
                    members, len(public), stream(self.spec.seed, "members")
                )  # as fd is to, for it is biased by N
                self.figures["fd_private"] = frechet(rows, as_many, features_of(bench, experiment))
        # A page may be shown to more people than private rows may be: of these public ones are shown.
        self.shown = (rows if self.spec.trained else rows_of(bench, experiment)["public"].rows)[:SHOWN]
        return True

    def save_partial(self) -> None:
        """Nothing: it takes seconds."""

    def commit(self, watch: Stopwatch) -> Artifact:
        facts = {"figures": self.figures, "fd": self.distances, "fd_error": self.fd_error}
        shape = self.spec.experiment.source.shape
        pictures = {SYNTHETIC: self.shown.unflatten(1, shape)} if shape else None
        return self.bench.store.put(self.key, "score", facts | watch.times(), pictures)


def useful(bench: Bench, spec: TrialSpec, rows: torch.Tensor) -> dict[str, float]:
    """What a classifier trained on the rows (n, d) is good for on test rows; nothing where rows have no labels."""
    experiment, source = spec.experiment, spec.experiment.source
    if not source.classes:
        return {}
    splits, seed = rows_of(bench, experiment), stream(spec.seed, "utility")
    if source.shape:
        synthetic = _arrays((rows, labels_of(bench, experiment, rows)))
        public, test = (_arrays((splits[name].rows, splits[name].labels)) for name in ("public", "test"))
    else:
        synthetic, public, test = (
            _arrays(source.labelled(some)) for some in (rows, splits["public"].rows, splits["test"].rows)
        )
    return {
        "synthetic_accuracy": utility(*synthetic, *test, seed).accuracy,
        "utility_gap": utility_gap(public, synthetic, test, seed),
    }


def _arrays(labelled: tuple[torch.Tensor, torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    return labelled[0].numpy(), labelled[1].numpy()
