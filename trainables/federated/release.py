"""A release: a trial's synthesizer trained once more, on all private rows, by randomness that nobody can draw again.

There is randomness of two kinds, and neither is kept anywhere:

secret   Which rows are in a step's batch, and the mechanism's noise. Each is drawn anew in every step, by 128 bits of the system's
         entropy (`streams.unknown`), which no seed, no other step and nothing that is released tells. ε rests on these two alone.
unkept   Weights at the start, z of the training and of the released rows, α, and which made row a real one meets: streams of one
         seed. ε is the same whatever they are, so that they may be known. That seed is of the system's entropy too, and no seed of
         the run that chose the settings has a part in anything that is released.

Nothing is stored on the way: a checkpoint is private state, and a training that is stopped is lost.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

import torch

from trainables.federated.experiment import Experiment, TrialSpec
from trainables.federated.mechanisms import MECHANISMS, Plan
from trainables.federated.products.reference import compared
from trainables.federated.shared_products import FLOORS, products_of
from trainables.federated.stages.score import useful
from trainables.federated.training import Training
from trainables.federated.workbench import Bench
from trainables.sampling.seeds import stream
from trainables.store import Store

SEED_BITS = 63
SECONDS = 15.0  # between two lines that say how far it is


def begin(spec: TrialSpec, rows: torch.Tensor) -> Training:
    """The training on all private rows (N, d) before its first step, its noise found for the ε wanted of them.

    ValueError where the mechanism proves no ε, or no noise gives the one wanted.
    """
    torch.set_num_threads(1)  # as of a trial
    recipe, experiment = spec.recipe, spec.experiment
    mechanism = MECHANISMS[recipe.mechanism]
    if not mechanism.certified:
        raise ValueError(f"mechanism {recipe.mechanism!r} proves no ε that secret noise could keep")
    seed = secrets.randbits(SEED_BITS)
    synthesizer = recipe.begin(experiment.source.parties, seed)
    schedule, groups = recipe.schedule, len(synthesizer.critics.groups)
    plan = Plan(len(rows), schedule.batch, schedule.steps, groups, experiment.delta_of(len(rows)))
    settings = recipe.mechanism_settings(plan)
    return Training(synthesizer, rows, mechanism, settings, schedule, seed, experiment.device, secret=True)


def released_rows(training: Training, spec: TrialSpec, tell: Callable[[str], None]) -> torch.Tensor:
    """Train to the end; (n, d) as many rows as the spec says, of what was trained. Raises Diverged as a training does.

    Lines tell the step alone: of a loss, or of how many rows a batch has, there is no ε.
    """
    while not training.advance(training.steps, time.monotonic() + SECONDS):
        tell(f"step {training.step} of {training.steps}")
    return training.synthesise(spec.samples, training.seed)


def measured(spec: TrialSpec, rows: torch.Tensor) -> dict[str, float]:
    """Figures of rows (n, d) against public ones, as the score of a trial has them; no private row is looked at.

    Empty where what public rows are held against isn't in the store. The classifiers' seeds are the trial's own.
    """
    experiment = spec.experiment
    if not _comparable(experiment, spec.samples):
        return {}
    bench = Bench(Store(experiment.store))
    return compared(bench, experiment, rows, stream(spec.seed, "resampled")).figures | useful(bench, spec, rows)


def _comparable(experiment: Experiment, samples: int) -> bool:
    """Whether the store has all that trials share but the floors, as today's code makes it."""
    store, shared = Store(experiment.store), products_of(experiment, samples)
    return all(store.whole(product.key()) for name, product in shared.items() if name != FLOORS)
