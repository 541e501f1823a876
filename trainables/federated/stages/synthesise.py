"""The rows that are published: synthesised of noise alone, or, of the control that has no synthesizer, private rows themselves."""

from __future__ import annotations

import torch

from trainables.federated.experiment import TrialSpec
from trainables.federated.products.floors import drawn
from trainables.federated.stages.partition import canaries_of, partition_key
from trainables.federated.stages.training import load_synthesizer, synthesizer_key
from trainables.federated.training import synthesise
from trainables.federated.workbench import Bench
from trainables.running.stopwatch import Stopwatch
from trainables.sampling.seeds import stream
from trainables.store import Artifact, artifact_key, code_version


def synthetic_key(spec: TrialSpec) -> str:
    """Key of the published rows."""
    config = {"samples": spec.samples, "seed": spec.seed}
    inputs = {"synthesizer": synthesizer_key(spec)} if spec.trained else {"partition": partition_key(spec)}
    return artifact_key("synthetic", config, inputs, code_version(__name__))


class SynthesiseStage:
    name = kind = "synthesise"

    def __init__(self, bench: Bench, spec: TrialSpec) -> None:
        self.bench, self.spec, self.key = bench, spec, synthetic_key(spec)

    def advance(self, watch: Stopwatch, deadline: float) -> bool:
        spec, seed = self.spec, stream(self.spec.seed, "published")
        with watch("sampling"):
            if spec.trained:
                self.rows = synthesise(load_synthesizer(self.bench, spec), spec.samples, seed, spec.experiment.device)
            else:
                # No more than are in whatever the coins say: how many there are is the coins' secret.
                canaries = canaries_of(self.bench, spec)
                self.rows = drawn(canaries.members, min(spec.samples, canaries.fewest), seed)
        return True

    def save_partial(self) -> None:
        """Nothing: it takes little time."""

    def commit(self, watch: Stopwatch) -> Artifact:
        facts = {"rows": len(self.rows), "seed": self.spec.seed}
        return self.bench.store.put(self.key, "synthetic", facts | watch.times(), {"rows": self.rows})


def synthetic_rows(bench: Bench, spec: TrialSpec) -> torch.Tensor:
    """(n, d) the published rows."""
    return torch.from_numpy(bench.store.get(synthetic_key(spec)).tensors()["rows"].copy())
