"""Training, looked at after some of its rounds: a round is a critic step, in which parties and server exchange once.

One checkpoint a training lets another process continue it; without it the training begins anew, to the same weights. A look on the
way leaves its figures alone, the last one the synthesizer. The last weights are taken, never the best: choosing among them by
private rows would be outside the budget.
"""

from __future__ import annotations

import math
from dataclasses import asdict

import torch

from trainables.federated.experiment import TrialSpec
from trainables.federated.mechanisms import MECHANISMS, Plan, Privacy
from trainables.federated.products.reference import compared_inputs, distance, party_distances
from trainables.federated.products.rows import rows_key
from trainables.federated.sources import ALL
from trainables.federated.stages.partition import canaries_of, partition_key
from trainables.federated.synthesizers import Synthesizer
from trainables.federated.training import Training
from trainables.federated.workbench import Bench
from trainables.running.continued import Continued
from trainables.running.stopwatch import Stopwatch
from trainables.sampling.seeds import stream
from trainables.store import Artifact, artifact_key, code_version

MIB = 2**20
FLOAT32 = 4  # bytes


def training_key(spec: TrialSpec) -> str:
    """Key of a training: what its weights at any round depend on. The horizon is in it, for the noise is found for it."""
    experiment, recipe = spec.experiment, spec.recipe
    config = recipe.identity | {"seed": spec.seed, "delta": experiment.delta, "device": experiment.device_kind}
    inputs = {"rows": rows_key(experiment), "partition": partition_key(spec)}
    return artifact_key("training", config, inputs, code_version(__name__, *recipe.modules))


def look_key(spec: TrialSpec, step: int) -> str:
    """Key of what a training shows after `step` rounds, before its last one."""
    config = {"step": step, "samples": spec.samples, "seed": spec.seed}
    inputs = {"training": training_key(spec)} | compared_inputs(spec.experiment)
    return artifact_key("look", config, inputs, code_version(__name__))


def synthesizer_key(spec: TrialSpec) -> str:
    """Key of what a training ends with."""
    return artifact_key("synthesizer", {}, {"training": training_key(spec)}, code_version(__name__))


class Course(Continued[Training]):
    """One training, which the looks at it share; built when one first needs it."""

    def __init__(self, bench: Bench, spec: TrialSpec) -> None:
        super().__init__(bench.store, training_key(spec))
        self.bench, self.spec = bench, spec

    def begin(self) -> Training:
        """The training before its first round, its noise found for the ε wanted. ValueError where that cannot be."""
        spec, experiment = self.spec, self.spec.experiment
        recipe, canaries = spec.recipe, canaries_of(self.bench, spec)
        synthesizer = recipe.begin(experiment.source.parties, spec.seed)
        groups = len(synthesizer.critics.groups)
        delta, mechanism = experiment.delta_of(canaries.expected), MECHANISMS[recipe.mechanism]
        rows = canaries.expected if mechanism.poisson else len(canaries.members)  # as what is spent is told of
        plan = Plan(rows, recipe.schedule.batch, recipe.schedule.steps, groups, delta)
        return Training(
            synthesizer,
            canaries.members,
            mechanism,
            recipe.mechanism_settings(plan),
            recipe.schedule,
            stream(spec.seed, "training", self.key),  # another table, by its key, has noise of its own
            experiment.device,
            canaries.expected,
        )

    @property
    def privacy(self) -> Privacy:
        """What the whole training costs."""
        return self.run.privacy(self.spec.experiment.delta_of(self.run.expected_rows))

    @property
    def memory(self) -> float:
        """MiB of the training's state and of as many rows as are expected: how many there are is a secret of the coins."""
        rows = self.run.expected_rows * self.spec.experiment.source.parties.width * FLOAT32
        return (sum(tensor.nbytes for tensor in self.run.state().values()) + rows) / MIB


class LookStage:
    """Continues a training to one round and holds what is synthesised there against public rows."""

    kind = "train"

    def __init__(self, course: Course, step: int) -> None:
        self.course, self.step = course, step
        self.bench, self.spec = course.bench, course.spec
        self.name = f"train@{step}"
        self.last = step == self.spec.rounds[-1]
        self.key = synthesizer_key(self.spec) if self.last else look_key(self.spec, step)

    def advance(self, watch: Stopwatch, deadline: float) -> bool:
        if self.course.run.step > self.step:
            self.course.restart()
        with watch("training"):
            return self.course.run.advance(self.step, deadline)

    def save_partial(self) -> None:
        self.course.save()

    def commit(self, watch: Stopwatch) -> Artifact:
        course, spec = self.course, self.spec
        if not self.last:
            with watch("scoring"):
                rows = course.run.synthesise(spec.samples, stream(spec.seed, "look", str(self.step)))
                distances = {ALL: distance(self.bench, spec.experiment, rows)}
                distances |= party_distances(self.bench, spec.experiment, rows)
            course.save_if_due()  # before the figures: whoever finds them goes on from here
            looked = {"step": self.step, "fd": distances, "rows": spec.samples}
            return self.bench.store.put(self.key, "look", looked | watch.times())
        privacy = asdict(course.privacy)
        facts = {
            "step": self.step,
            "synthesizer": spec.recipe.synthesizer,
            "settings": spec.settings,
            "seed": spec.seed,
            "certified": MECHANISMS[spec.recipe.mechanism].certified,
            "privacy": {name: None if value == math.inf else value for name, value in privacy.items()},
            "memory": course.memory,
        }
        weights = course.run.trained().state_dict()
        artifact = self.bench.store.put(self.key, "synthesizer", facts | watch.times(), weights)
        self.bench.store.drop_partial(course.key)
        return artifact


def load_synthesizer(bench: Bench, spec: TrialSpec) -> Synthesizer:
    """The trained synthesizer, on the experiment's device."""
    synthesizer = spec.recipe.begin(spec.experiment.source.parties, spec.seed)
    tensors = bench.store.get(synthesizer_key(spec)).tensors()
    synthesizer.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in tensors.items()})
    return synthesizer.to(spec.experiment.device.name).eval()
