"""Rows that no synthesizer made, held against public ones: what a figure is at its best, and of one who has learnt nothing.

real      private rows themselves
shuffled  private rows whose parties' parts come from different rows: the marginals, and no dependence between parties
blind     rows drawn evenly within the schema's bounds and categories, which are public
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from trainables.federated.experiment import Experiment
from trainables.federated.parties import Parties
from trainables.federated.products.reference import compared, compared_inputs
from trainables.federated.products.rows import rows_of
from trainables.federated.workbench import Bench
from trainables.sampling.seeds import stream
from trainables.store import Artifact, Store, artifact_key, code_version

REAL, SHUFFLED, BLIND = "real", "shuffled", "blind"
DRAWS = 5


def floors_key(experiment: Experiment, samples: int) -> str:
    config = {"samples": samples, "draws": DRAWS, "parties": experiment.parties_identity, "seed": experiment.base_seed}
    return artifact_key("floors", config, compared_inputs(experiment), code_version(__name__))


def make_floors(experiment: Experiment, samples: int) -> Artifact:
    """By kind of rows and figure, the mean and the standard deviation over `DRAWS` draws of as many rows as are synthesised.

    Of private rows no more than there are.
    """
    store, key = Store(experiment.store), floors_key(experiment, samples)
    if artifact := store.whole(key):
        return artifact
    bench, parties = Bench(store), experiment.source.parties
    private = rows_of(bench, experiment)["private"].rows
    kinds: dict[str, Callable[[int], torch.Tensor]] = {
        REAL: lambda seed: drawn(private, samples, seed),
        SHUFFLED: lambda seed: parties.shuffled(drawn(private, samples, seed), seed),
        BLIND: lambda seed: blind(parties, samples, seed),
    }
    facts: dict[str, dict[str, list[float]]] = {}
    for kind, draw in kinds.items():
        seeds = [stream(experiment.base_seed, kind, str(number)) for number in range(DRAWS)]
        figures_by_seed = [compared(bench, experiment, draw(seed), seed).figures for seed in seeds]
        facts[kind] = {
            name: [float(np.mean(values)), float(np.std(values, ddof=1))]
            for name in figures_by_seed[0]
            for values in [[figures[name] for figures in figures_by_seed]]
        }
    return store.put(key, "floors", {"floors": facts})


def drawn(rows: torch.Tensor, n: int, seed: int) -> torch.Tensor:
    """At most n of the rows, each once."""
    return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:n]]


def blind(parties: Parties, n: int, seed: int) -> torch.Tensor:
    """Rows (n, d) of whoever knows the schema alone: bounded numbers even, standardised ones normal, categories even."""
    generator, parts = torch.Generator().manual_seed(seed), []
    for party in parties.members:
        columns = []
        for output in party.outputs:
            if output.kind == "bounded":
                columns.append(2 * torch.rand(n, output.width, generator=generator) - 1)
            elif output.kind == "free":
                columns.append(torch.randn(n, output.width, generator=generator))
            else:
                chosen = torch.randint(output.width, (n,), generator=generator)
                columns.append(F.one_hot(chosen, output.width).float())
        parts.append(torch.cat(columns, dim=1))
    return parties.join(parts)
