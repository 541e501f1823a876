"""What is made once for all trials of a plan, as whoever drives a run asks for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from sweep.plan.plan import Plan
from sweep.procedures import Execute, Row, Tell
from sweep.relearning.experiments import experiment_of, resolved
from sweep.relearning.member_checks import check_members
from sweep.relearning.prepare import code_differs, prepare_all
from sweep.relearning.setup import Setup
from sweep.relearning.specs import Specs
from sweep.relearning.watch import progress
from sweep.space import SearchSpace
from trainables.relearning.experiment import Experiment
from trainables.relearning.shared_products import products_of
from trainables.store import Store


class Preparation:
    """Of one plan: see `sweep.procedures.Preparing`."""

    def __init__(self, plan: Plan[Setup]) -> None:
        self.plan = plan

    @cached_property
    def experiment(self) -> Experiment:
        """What its trials share."""
        plan = self.plan
        checkpointing = plan.setup.checkpoints(plan.question(), plan.place)
        return experiment_of(plan.setup, plan.artifacts, plan.place, checkpointing)

    def check(self, space: SearchSpace) -> None:
        check_members(self.plan, space)

    def resolved(self) -> Setup:
        return resolved(self.plan.setup, self.experiment)

    def begin(self) -> None:
        _ = self.experiment

    def prepare(self, space: SearchSpace, execute: Execute, tell: Tell) -> dict[str, Any]:
        return prepare_all(self.plan, space, self.experiment, execute, tell)

    def specs(self, space: SearchSpace, prepared: Row) -> Specs:
        return Specs(self.plan, space, self.experiment, prepared.get("fid_delta_sd", math.inf))

    def code_differs(self, prepared: Row) -> str:
        return code_differs(prepared, self.experiment)

    def progress(self, waiting: Sequence[str]) -> str:
        return progress(products_of(self.experiment), Store(self.experiment.store), waiting)
