"""The partition: which rows of the pool are canaries, which of these are in by their coins, and what each party holds."""

from __future__ import annotations

import torch

from trainables.federated.audits.canaries import Canaries, draw
from trainables.federated.experiment import TrialSpec
from trainables.federated.products.rows import rows_key, rows_of
from trainables.federated.workbench import Bench
from trainables.running.stopwatch import Stopwatch
from trainables.store import Artifact, artifact_key, code_version


def partition_key(spec: TrialSpec) -> str:
    experiment = spec.experiment
    config = {
        "parties": experiment.parties_identity,
        "canaries": experiment.canaries,
        "most": experiment.most_canaries,
        "seed": spec.seed,
    }
    return artifact_key("partition", config, {"rows": rows_key(experiment)}, code_version(__name__))


class PartitionStage:
    """Its product are the canaries and their coins: a secret of the trial, and no part of what is exported."""

    name = kind = "partition"

    def __init__(self, bench: Bench, spec: TrialSpec) -> None:
        self.bench, self.spec, self.key = bench, spec, partition_key(spec)

    def advance(self, watch: Stopwatch, deadline: float) -> bool:
        self.canaries = canaries_of(self.bench, self.spec)
        return True

    def save_partial(self) -> None:
        """Nothing: it takes no time."""

    def commit(self, watch: Stopwatch) -> Artifact:
        canaries, parties = self.canaries, self.spec.experiment.source.parties
        facts = {
            "canaries": len(canaries),
            "expected_rows": canaries.expected,
            "parties": {party.name: party.width for party in parties.members},
        }
        tensors = {"canaries": canaries.rows, "included": torch.from_numpy(canaries.included).to(torch.uint8)}
        return self.bench.store.put(self.key, "partition", facts | watch.times(), tensors)


def canaries_of(bench: Bench, spec: TrialSpec) -> Canaries:
    """The canaries of a trial's pool, and its members, who are trained on; the seed alone decides them."""
    experiment = spec.experiment

    def read() -> Canaries:
        pool = rows_of(bench, experiment)["private"].rows
        return draw(pool, experiment.source.parties, spec.seed, experiment.canaries, experiment.most_canaries)

    return bench.keep(partition_key(spec), read, canaries_of)
