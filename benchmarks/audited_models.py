"""The models that `benchmarks.federated_audits` audits: their rows, their settings, and what audits take of them.

That is kept in the artifact store, under the hash of a model's rows, settings, seed and code.
"""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import torch

from search_spaces import vflgan_privacy, vflgan_quality
from trainables.diffusion import Diverged
from trainables.federated.accounting import default_delta
from trainables.federated.audits import scores
from trainables.federated.audits.canaries import Canaries, draw
from trainables.federated.audits.shadow_models import critics_features, published_features
from trainables.federated.mechanisms import MECHANISMS, Plan
from trainables.federated.parties import Parties
from trainables.federated.recipes import Recipe, recipe
from trainables.federated.sources import source
from trainables.federated.training import Training
from trainables.sampling.seeds import stream
from trainables.store import Store, Tensors, artifact_key, code_version

SYNTHESIZER = "vflgan"
COIN_SEED = 1
LARGEST_PART = 3  # a batch is a third of the rows at most
PUBLISHED, CRITICS = "synthetic rows", "critics"  # what an audit looks at
CODE = tuple(  # what makes the numbers that are kept of a model, beside its synthesizer's and its mechanism's
    f"trainables.federated.{name}" for name in ("training", "audits.shadow_models", "audits.scores")
)


@dataclass(frozen=True)
class Case:
    """What is audited: a data set's VFLGAN by a mechanism, for an ε that it claims (`published`) or proves (`record`).

    `mechanism` ``real``: no model, private rows themselves are published. `copies` is how often the target stands in the table that
    has it. Of more than one the two tables are no neighbours, and an audit that works must see their difference.
    """

    data: str
    mechanism: str
    steps: int
    epsilon: float | None = None
    copies: int = 1

    @property
    def name(self) -> str:
        words = [self.data, self.mechanism]
        if self.epsilon is not None:
            words.append(f"ε {self.epsilon:g} {'claimed' if self.mechanism == 'published' else 'proven'}")
        if self.copies > 1:
            words.append(f"the target {self.copies} times")
        return ", ".join(words)

    def recipe(self, rows: int) -> Recipe:
        """The space's first start point, of `record` the one for its ε, with this mechanism; the batch a part of so many rows."""
        arm = (vflgan_privacy if self.mechanism == "record" else vflgan_quality).VFLGAN
        points = [p for p in arm.start_points if p.get("target_epsilon", self.epsilon) == self.epsilon]
        values = {**arm.held, **points[0], "mechanism": self.mechanism, "steps": self.steps}
        if self.epsilon is not None:
            values["target_epsilon"] = self.epsilon
        return recipe(SYNTHESIZER, values | {"batch": min(values["batch"], rows // LARGEST_PART)})


@dataclass(frozen=True)
class Table:
    """A data set's private rows after the coins: canaries, and the members, which are `others` (N - 1, d) and the `target` (d,).

    The target is the member farthest from its nearest neighbour, by `distance`; `median` is all members'. It stands last, so that
    the others have the same numbers without it.
    """

    parties: Parties
    canaries: Canaries
    others: torch.Tensor
    target: torch.Tensor
    distance: float
    median: float

    @property
    def members(self) -> torch.Tensor:
        return self.rows(1)

    @property
    def delta(self) -> float:
        return default_delta(self.canaries.expected)

    def rows(self, copies: int) -> torch.Tensor:
        """With the target so many times."""
        return torch.cat([self.others, self.target.repeat(copies, 1)])


@cache
def table(data: str) -> Table:
    described = source(data)
    canaries = draw(described.read()["private"].rows, described.parties, COIN_SEED)
    members = canaries.members
    nearest = torch.cdist(members.double(), members.double()).fill_diagonal_(torch.inf).amin(dim=1)
    number = int(nearest.argmax())
    others = torch.cat([members[:number], members[number + 1 :]])
    return Table(described.parties, canaries, others, members[number], float(nearest[number]), float(nearest.median()))


@dataclass(frozen=True)
class Model:
    """One training of a case: its seed, and how often the target is in its table."""

    case: Case
    copies: int
    seed: int

    @property
    def table(self) -> Table:
        return table(self.case.data)

    @property
    def recipe(self) -> Recipe:
        return self.case.recipe(len(self.table.members))

    @property
    def key(self) -> str:
        """Of what is kept of it: the rows themselves count, not how they were chosen."""
        config = self.recipe.identity | {
            "seed": self.seed,
            "parties": [[party.name, list(party.places)] for party in self.table.parties.members],
            "rows": digest(self.table.rows(self.copies)),
            "members": digest(self.table.members),
            "canaries": digest(self.table.canaries.rows),
            "expected rows": self.table.canaries.expected,
        }
        return artifact_key("audited model", config, {}, code_version(*CODE, *self.recipe.modules))

    def begin(self) -> Training:
        """Before its first step."""
        table, recipe = self.table, self.recipe
        return Training(
            recipe.begin(table.parties, self.seed),
            table.rows(self.copies),
            MECHANISMS[recipe.mechanism],
            noise_of(self.case),
            recipe.schedule,
            stream(self.seed, "training"),
            expected_rows=table.canaries.expected,
        )


@cache
def noise_of(case: Case) -> Any:
    """The mechanism's settings: the noise that the members need, whichever table a model is trained on."""
    members, canaries = table(case.data).members, table(case.data).canaries
    recipe = case.recipe(len(members))
    rows = canaries.expected if MECHANISMS[recipe.mechanism].poisson else len(members)
    groups = len(recipe.begin(table(case.data).parties, 0).critics.groups)
    schedule = recipe.schedule
    return recipe.mechanism_settings(Plan(rows, schedule.batch, schedule.steps, groups, table(case.data).delta))


def digest(rows: torch.Tensor) -> str:
    """SHA-256 of rows (N, d)."""
    return hashlib.sha256(repr(tuple(rows.shape)).encode() + rows.contiguous().numpy().tobytes()).hexdigest()


def make(root: str, model: Model) -> str:
    """Train a model and keep what audits take of it, unless that is kept. Why it failed, where it diverged."""
    torch.set_num_threads(1)
    store, key = Store(root), model.key
    if store.whole(key):
        return ""
    training = model.begin()
    privacy = asdict(training.privacy(model.table.delta))
    began = time.process_time()
    try:
        training.advance(training.steps)
        trained_s = time.process_time() - began
        synthetic = training.synthesise(len(model.table.members), stream(model.seed, "published"))
        tensors, facts = taken(model.table, synthetic, training)
    except Diverged as error:
        return str(error)
    facts |= {"privacy": {name: None if value == math.inf else value for name, value in privacy.items()}}
    store.put(key, "audited model", facts | {"training_s": trained_s}, tensors)
    return ""


def taken(table: Table, rows: torch.Tensor, training: Training | None) -> tuple[Tensors, dict[str, Any]]:
    """What audits take of published rows and, where they were synthesised, of critics; and the processor time of that.

    By ``VIEW/NAME`` features for the forest, by ``VIEW score/NAME`` the canaries' membership scores.
    """
    began, canaries = time.process_time(), table.canaries.rows
    features = {PUBLISHED: published_features(rows.double().numpy(), table.target.double().numpy())}
    if training:
        synthesizer = training.trained()
        features[CRITICS] = critics_features(table.members, table.target, synthesizer)
    features_s = time.process_time() - began
    scored = {PUBLISHED: {"nearest": scores.nearest(canaries, rows)}}
    if training:
        server = scores.server_alone(canaries, synthesizer)
        assert server is not None, "VFLGAN has one"
        scored[CRITICS] = {"all heads": scores.critics(canaries, synthesizer), "server": server}
    tensors = {f"{view}/{name}": values for view, of in features.items() for name, values in of.items()}
    tensors |= {f"{view} score/{name}": values for view, of in scored.items() for name, values in of.items()}
    return tensors, {"features_s": features_s, "scores_s": time.process_time() - began - features_s}
