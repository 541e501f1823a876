"""Ax behind the samplers' protocol: its `Client` with the defaults of its ``fast`` method, qLogNEHVI once it has a model.

Objectives "robustness, -fid_delta"; the constraints as outcome constraints, the one on fid_delta being also that objective's
threshold. Robustness's threshold is the corner of the problem's hypervolume, as any sampler is told it: Ax infers one that it
lacks from the trials that its model takes for feasible, and where there is none gives up (Ax 1.3.1: "cannot convert float NaN
to integer"). Every observation with its standard error. A stopped trial's data are attached and it is marked as stopped early,
so that its fid_delta and unlearning_accuracy count and its robustness is unknown. A conditional parameter is declared as
depending on its option. Ax leaves its quasi-random start only after a few COMPLETE trials: where a gate stops nearly all, it
stays there longer. Its first modelled suggestion compiles a C++ extension, once a machine. `sweep.samplers.ax` is the other way to
use it: an experiment made anew for every suggestion. Needs the extra ``ax``.
"""

from __future__ import annotations

import logging
import warnings

from benchmarks.search.staged import FID, OBJECTIVES, ROBUSTNESS, UNLEARNED, Problem
from sweep.records import COMPLETE, FAIL
from sweep.samplers import Observation
from sweep.samplers.ax import as_declared, declared, settings_of
from sweep.samplers.catalogue import check_installed
from sweep.space import Settings


class AxSampler:
    """One Ax experiment."""

    def __init__(self, problem: Problem, seed: int) -> None:
        check_installed("ax", "--strategy")
        from ax.api.client import Client
        from ax.utils.common.logger import set_stderr_log_level

        set_stderr_log_level(logging.ERROR)
        self.problem = problem
        self.client = Client(random_seed=seed)
        self.client.configure_experiment(parameters=declared(problem.arm.parameters), name=problem.name)
        limits = [f"{FID} <= {problem.fid_budget}", f"{UNLEARNED} >= {problem.least_unlearned}"]
        limits.append(f"{ROBUSTNESS} >= {problem.reference[0]}")
        objective = ", ".join(o.metric if o.direction == "maximise" else f"-{o.metric}" for o in OBJECTIVES)
        self.client.configure_optimization(objective, outcome_constraints=limits)
        # stopped trials have no robustness and do not count as its first trials: without leave to draw more it gives up
        self.client.configure_generation_strategy(
            method="fast", initialization_random_seed=seed, allow_exceeding_initialization_budget=True
        )
        self._index: dict[int, int] = {}

    def ask(self, number: int) -> Settings:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ((index, values),) = self.client.get_next_trials(max_trials=1).items()
        self._index[number] = index
        return settings_of(self.problem.arm.parameters, dict(values))

    def running(self, number: int, settings: Settings) -> None:
        """Attach settings chosen elsewhere."""
        self._index[number] = self.client.attach_trial(as_declared(self.problem.arm.parameters, settings))

    def tell(self, observation: Observation) -> None:
        index = self._index.pop(observation.number)
        if observation.state == FAIL:
            self.client.mark_trial_failed(index)
            return
        known = dict(observation.figures)
        if UNLEARNED in observation.excesses:  # as a figure again: Ax is told figures and bounds
            known[UNLEARNED] = self.problem.least_unlearned * (1 - observation.excesses[UNLEARNED])
        data = {name: (value, observation.sems[name]) for name, value in known.items()}
        if observation.state == COMPLETE:
            self.client.complete_trial(index, raw_data={name: data[name] for name in (ROBUSTNESS, FID, UNLEARNED)})
        elif data:
            self.client.attach_data(index, raw_data=data)
            self.client.mark_trial_early_stopped(index)
        else:
            self.client.mark_trial_abandoned(index)
