"""Ax behind the samplers' protocol: its `Client` with the defaults of its ``fast`` method, qLogNEHVI once it has a model.

Objectives "robustness, -fid_delta"; the constraints as outcome constraints, the one on fid_delta being also that objective's
threshold. Robustness's threshold is the corner of the problem's hypervolume, as any sampler is told it: Ax infers one that it
lacks from the trials that its model takes for feasible, and where there is none gives up (Ax 1.3.1: "cannot convert float NaN
to integer"). Every observation with its standard error. A stopped trial's data are attached and it is marked as stopped early,
so that its fid_delta and unlearning_accuracy count and its robustness is unknown. A conditional parameter is declared as
depending on its option. Ax leaves its quasi-random start only after a few COMPLETE trials: where a gate stops nearly all, it
stays there longer. Its first modelled suggestion compiles a C++ extension, once a machine. Needs ``ax-platform>=1``, which is
no dependency of this project.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any

from benchmarks.search.staged import FID, OBJECTIVES, ROBUSTNESS, UNLEARNED, Problem
from sweep.errors import UsageError
from sweep.records import COMPLETE, FAIL
from sweep.samplers import Observation
from sweep.space import Choice, Int, Parameter, Settings

ALWAYS = "always"  # a parameter of one value, under which the tree's own hang where any of them is conditional


class AxSampler:
    """One Ax experiment."""

    def __init__(self, problem: Problem, seed: int) -> None:
        try:
            from ax.api.client import Client
            from ax.utils.common.logger import set_stderr_log_level
        except ImportError:
            raise UsageError("--strategy ax: Ax is not installed; pip install 'ax-platform>=1.3'") from None
        set_stderr_log_level(logging.ERROR)
        self.problem = problem
        self.client = Client(random_seed=seed)
        self.client.configure_experiment(parameters=_configs(problem.arm.parameters), name=problem.name)
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
        return _settings(self.problem.arm.parameters, dict(values))

    def running(self, number: int, settings: Settings) -> None:
        """Attach settings chosen elsewhere."""
        fixed = {ALWAYS: True} if _conditional(self.problem.arm.parameters) else {}
        self._index[number] = self.client.attach_trial({**fixed, **settings})

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


def _configs(parameters: tuple[Parameter, ...]) -> list[Any]:
    """Ax's declarations; a tree with conditional parameters hangs under one root, as Ax wants it."""
    from ax.api.configs import ChoiceParameterConfig

    configs = _flat(parameters)
    if not _conditional(parameters):
        return configs
    names = [p.name for p in parameters]
    root = ChoiceParameterConfig(
        name=ALWAYS, values=[True], parameter_type="bool", dependent_parameters={True: names}
    )  # fmt: skip
    return [root, *configs]


def _flat(parameters: tuple[Parameter, ...]) -> list[Any]:
    from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

    configs: list[Any] = []
    for p in parameters:
        if isinstance(p, Choice):
            values = list(p.branches)
            kind = {bool: "bool", int: "int", float: "float"}.get(type(values[0]), "str")
            children = {o: [c.name for c in tree] for o, tree in p.branches.items() if tree}
            configs.append(
                ChoiceParameterConfig(
                    name=p.name, values=values, parameter_type=kind, is_ordered=kind in ("int", "float"),  # type: ignore[arg-type]
                    dependent_parameters=children or None,
                )
            )  # fmt: skip
            for tree in p.branches.values():
                configs += _flat(tree)
        else:
            configs.append(
                RangeParameterConfig(
                    name=p.name, bounds=(p.low, p.high), parameter_type="int" if isinstance(p, Int) else "float",
                    scaling="log" if p.log else "linear",
                )
            )  # fmt: skip
    return configs


def _conditional(parameters: tuple[Parameter, ...]) -> bool:
    return any(isinstance(p, Choice) and any(p.branches.values()) for p in parameters)


def _settings(parameters: tuple[Parameter, ...], values: dict[str, Any]) -> Settings:
    """Of what Ax gives, the parameters that exist under the options taken."""
    settings: Settings = {}
    for p in parameters:
        settings[p.name] = value = p.check(values[p.name])
        if isinstance(p, Choice):
            settings |= _settings(p.branches[value], values)
    return settings
