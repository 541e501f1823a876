"""What is made once for all federated trials of a plan: rows, classifiers of public rows, what figures are held against."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from sweep.errors import UsageError, mistake_in
from sweep.federated.columns import BLIND_FD, BLIND_PARTY_FD, SHUFFLED_FD, WANTED_EPSILON
from sweep.federated.question import CERTIFIED, mechanism_of, wanted_epsilon
from sweep.federated.setup import Setup
from sweep.federated.specs import Specs
from sweep.plan.plan import Plan
from sweep.procedures import Execute, Row, Tell
from sweep.procedures.making import make_all
from sweep.space import Arm, Choice, SearchSpace
from trainables.federated.audits.canaries import draw
from trainables.federated.experiment import Experiment
from trainables.federated.mechanisms import MECHANISMS
from trainables.federated.mechanisms import Plan as TrainingPlan
from trainables.federated.products.floors import BLIND, REAL, SHUFFLED
from trainables.federated.products.rows import check_splits
from trainables.federated.recipes import recipe
from trainables.federated.shared_products import FLOORS, JUDGE, PARTIES, ROWS, products_of
from trainables.store import Artifact, Store


class Preparation:
    """Of one plan: see `sweep.procedures.Preparing`."""

    def __init__(self, plan: Plan[Setup]) -> None:
        self.plan = plan

    @cached_property
    def experiment(self) -> Experiment:
        """What its trials share."""
        setup = self.plan.setup
        return Experiment(
            store=self.plan.artifacts,
            data=setup.data,
            data_folder=setup.data_folder,
            image_size=setup.image_size,
            data_limit=setup.data_limit,
            data_fingerprint=setup.data_fingerprint or setup.source.fingerprint(),
            split=setup.split,
            held=setup.party,
            delta=setup.delta,
            canaries=setup.canaries,
            most_canaries=setup.most_canaries,
            device_name="cuda" if self.plan.place.gpus_per_trial else "cpu",
        )

    def check(self, space: SearchSpace) -> None:
        """UsageError where the rows, δ, or a setting that the question gives its synthesizers cannot be."""
        setup = self.plan.setup
        with mistake_in(f"--data {setup.data}"):
            splits = setup.source.read()
            check_splits(self.experiment, splits)
            pool = splits["private"].rows
        with mistake_in(f"--data {setup.data}, --most-canaries {setup.most_canaries}"):
            rows = draw(pool, setup.source.parties, 0, setup.canaries, setup.most_canaries).expected
        with mistake_in(f"--delta {setup.delta:g}"):
            self.experiment.delta_of(rows)
        for arm in space.arms:
            self._check_arm(arm, f"space {space.name!r}, arm {arm.name!r}", rows)

    def _check_arm(self, arm: Arm, where: str, rows: int) -> None:
        """UsageError where the arm's synthesizer or its mechanism refuses an end of a range, or a start point."""
        member = MECHANISMS[mechanism_of(arm)]
        if member.certified != (member.name in CERTIFIED):
            raise UsageError(f"{where}: mechanism {member.name!r} says of its proof what this question's room does not")
        middle = {p.name: next(iter(p.branches)) if isinstance(p, Choice) else p.low for p in arm.parameters}
        for parameter in arm.walk():
            values = list(parameter.branches) if isinstance(parameter, Choice) else [parameter.low, parameter.high]
            for value in values:
                with mistake_in(f"{where}, {parameter.name}={value}"):
                    self._check_settings(arm, {**middle, parameter.name: value}, rows)
        for number, point in enumerate(arm.start_points):
            with mistake_in(f"{where}, start point {number}"):
                self._check_settings(arm, point, rows)

    def _check_settings(self, arm: Arm, settings: Mapping[str, Any], rows: int) -> None:
        """ValueError where a training of so many rows could not begin with these."""
        made = recipe(arm.method, {**arm.held, **settings})
        if made.schedule.batch >= rows:
            raise ValueError(
                f"a batch is a part of the {rows} rows that are trained on; hold it smaller with --fix batch=N"
            )
        if made.target_epsilon is not None and made.mechanism in CERTIFIED:
            # One step of one group: that it can be accounted for at all. The noise itself is found as each trial begins.
            plan = TrainingPlan(rows, made.schedule.batch, 1, 1, self.experiment.delta_of(rows))
            made.mechanism_settings(plan)

    def resolved(self) -> Setup:
        return self.plan.setup

    def begin(self) -> None:
        _ = self.experiment

    def prepare(self, space: SearchSpace, execute: Execute, tell: Tell) -> dict[str, Any]:
        start, graph = time.monotonic(), self._graph
        tell(f"prepare: {', '.join(graph)}")
        made = make_all(graph, execute, Store(self.experiment.store))
        floors: dict[str, dict[str, list[float]]] = made[FLOORS].facts["floors"]
        fd = {kind: floors[kind]["fd"][0] for kind in (REAL, SHUFFLED, BLIND)}
        fd_text = f"fd of private rows {fd[REAL]:.3g}, of shuffled parties {fd[SHUFFLED]:.3g}, of the schema alone {fd[BLIND]:.3g}"
        tell(f"prepare: {fd_text}")
        if JUDGE in made:
            tell(f"prepare: the judge is right on {made[JUDGE].facts['accuracy']:.1%} of test rows")
        return {
            WANTED_EPSILON: wanted_epsilon(space),
            BLIND_FD: fd[BLIND],
            SHUFFLED_FD: fd[SHUFFLED],
            BLIND_PARTY_FD: floors[BLIND]["party_fd"][0],
            "floors": floors,
            **_rows_and_judges(made),
            "finished_at": dt.datetime.now(dt.UTC).isoformat(),
            "keys": {name: product.key() for name, product in graph.items()},
            "shared": sorted(product.key() for product in graph.values()),
            "seconds": {"prepare": time.monotonic() - start},
        }

    def specs(self, space: SearchSpace, prepared: Row) -> Specs:
        return Specs(self.plan, space, self.experiment, prepared["rows"]["private_rows"])

    def code_differs(self, prepared: Row) -> str:
        recorded = prepared.get("keys", {})
        return ", ".join(
            name for name, product in self._graph.items() if recorded.get(name, product.key()) != product.key()
        )

    def progress(self, waiting: Sequence[str]) -> str:
        return f"waiting for {', '.join(waiting)}"

    @cached_property
    def _graph(self) -> Mapping[str, Any]:
        return products_of(self.experiment, self.plan.setup.samples)


def _rows_and_judges(made: Mapping[str, Artifact]) -> dict[str, Any]:
    """How many rows there are, and how often the classifiers of public rows are right."""
    facts: dict[str, Any] = {"rows": made[ROWS].facts}
    if JUDGE in made:
        facts["judge_accuracy"] = made[JUDGE].facts["accuracy"]
        facts["party_accuracies"] = made[PARTIES].facts["accuracies"]
    return facts
