"""Ax behind this project's interface: qLogNEHVI, constraints as outcome constraints, a standard error with every observation.

An experiment is made of what is known, and asked once, as `sweep.samplers.optuna_samplers` does: one of its own would remember
the order in which it was told. Needs the extra ``ax``; a suggestion costs seconds.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sweep.errors import need
from sweep.samplers import Observation, Question
from sweep.samplers.ask_and_tell import AskAndTell
from sweep.samplers.outputs import corner
from sweep.samplers.quasi_random import QuasiRandom
from sweep.space import Choice, Int, Parameter, Settings

if TYPE_CHECKING:
    from ax.api.client import Client

ROOT = "always"  # a parameter of one value, under which the tree's own hang where any of them is conditional
STARTUP, MEASURED = 5, 2  # trials that did not fail, and COMPLETE ones among them, before a model chooses: Ax's own


class AxSampler(AskAndTell):
    """See `sweep.samplers.Sampler`.

    The first trials are a scrambled Sobol sequence, ours instead of Ax's; then the model of Ax's ``fast`` method chooses, for
    trial n with a seed of n's own. A stopped trial's data are attached and it is marked as stopped early: its figures and
    excesses count, what it never reached is unknown. Ax knows no bounds. The corner that hypervolumes are measured up to gives
    the objectives' thresholds: one that Ax lacked, it would infer from trials that its model takes for feasible, and give up
    where there is none. A figure that lacks a standard error anywhere has its noise inferred. Conditional
    parameters are declared as depending on their option; one that cannot vary is not declared. Where Ax can only repeat what
    was tried, the sequence goes on.
    """

    def __init__(self, question: Question, seed: int = 0) -> None:
        need("ax", "ax", "--sampler ax: Ax")
        super().__init__(question, seed)
        self._sequence = QuasiRandom(question, seed)

    def _choose(self, number: int) -> Settings:
        observations = [self._observations[n] for n in sorted(self._observations)]
        scored = [o for o in observations if o.scored]
        complete = sum(o.complete for o in scored)
        if len(scored) < STARTUP or complete < MEASURED or not self.encoding.groups:
            return self._sequence.ask(number)
        from ax.exceptions.core import SearchSpaceExhausted
        from ax.exceptions.generation_strategy import GenerationStrategyRepeatedPoints

        with warnings.catch_warnings():  # of scaling and of noise, at every fit
            warnings.simplefilter("ignore")
            client = self._client(observations, number)
            try:
                (values,) = client.get_next_trials(max_trials=1).values()
            except (GenerationStrategyRepeatedPoints, SearchSpaceExhausted):
                return self._sequence.ask(number)
        return settings_of(self.question.parameters, dict(values))

    def _client(self, observations: Sequence[Observation], number: int) -> Client:
        """An experiment that holds everything known, in the order of the trials' numbers."""
        from ax.api.client import Client
        from ax.utils.common.logger import set_stderr_log_level

        set_stderr_log_level(logging.ERROR)
        client = Client(random_seed=self._stream(number))
        client.configure_experiment(parameters=declared(self.question.parameters), name="arm")
        outputs = _Outputs(self.question, observations)
        client.configure_optimization(outputs.objective, outcome_constraints=outputs.limits or None)
        client.configure_generation_strategy(method="fast", initialization_budget=0, initialize_with_center=False)
        for n in sorted({*self._observations, *self._running}):
            one = self._observations.get(n)
            index = client.attach_trial(
                as_declared(self.question.parameters, one.settings if one else self._running[n])
            )
            if one is None:
                continue
            data = outputs.of(one)
            if one.failed:
                client.mark_trial_failed(index)
            elif one.complete:
                client.complete_trial(index, raw_data=data)
            elif data:
                client.attach_data(index, raw_data=data)
                client.mark_trial_early_stopped(index)
            else:
                client.mark_trial_abandoned(index)
        return client


class _Outputs:
    """What Ax models: the objectives, and the excess of every constraint that no objective's threshold enforces."""

    def __init__(self, question: Question, observations: Sequence[Observation]) -> None:
        reference = corner(question, observations)
        single = len(question.objectives) == 1  # which has no threshold in Ax
        self._objectives = {o.metric: f"objective_{j}" for j, o in enumerate(question.objectives)}
        self._excesses = {
            c: f"excess_{i}"
            for i, c in enumerate(constraint.name for constraint in question.constraints)
            if (single or c not in reference.enforced) and any(c in o.excesses for o in observations)
        }
        names = list(self._objectives.values())
        self.objective = ", ".join(  # Ax maximises
            f"-{name}" if o.direction == "minimise" else name
            for name, o in zip(names, question.objectives, strict=True)
        )
        self.limits = [f"{name} <= 0" for name in self._excesses.values()]
        for name, o, limit in zip(names, question.objectives, reference.limits, strict=True):
            if not single:
                edge = "<=" if o.worse_side == "at_most" else ">="
                self.limits.append(f"{name} {edge} {o.sign * limit:.12g}")
        self._unsure = {
            name
            for o in observations
            for name, metric in self._known(o)
            if not o.failed and self._sem(o, name, metric) is None
        }

    def of(self, observation: Observation) -> dict[str, tuple[float, float | None]]:
        """Means and standard errors by output; None for the error of an output whose noise Ax is to infer."""
        return {
            name: (
                float((observation.excesses if name.startswith("excess") else observation.figures)[metric]),
                None if name in self._unsure else self._sem(observation, name, metric),
            )
            for name, metric in self._known(observation)
        }

    def _known(self, observation: Observation) -> list[tuple[str, str]]:
        names = [(name, m) for m, name in self._objectives.items() if m in observation.figures]
        return names + [(name, m) for m, name in self._excesses.items() if m in observation.excesses]

    def _sem(self, observation: Observation, name: str, metric: str) -> float | None:
        """A standard error is the figure's where the metric is an objective too, and says nothing of the excess."""
        if name.startswith("excess") and metric in self._objectives:
            return None
        return observation.sems.get(metric)


def declared(parameters: Sequence[Parameter]) -> list[Any]:
    """Ax's declarations; a tree with conditional parameters hangs under one root, as Ax wants it."""
    from ax.api.configs import ChoiceParameterConfig

    configs = _configs(parameters)
    if not _conditional(parameters):
        return configs
    names = [p.name for p in parameters if not _constant(p)]
    root = ChoiceParameterConfig(name=ROOT, values=[True], parameter_type="bool", dependent_parameters={True: names})
    return [root, *configs]


def _configs(parameters: Sequence[Parameter]) -> list[Any]:
    from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

    configs: list[Any] = []
    for p in parameters:
        if _constant(p):
            continue
        if not isinstance(p, Choice):
            kind, scale = ("int" if isinstance(p, Int) else "float"), ("log" if p.log else "linear")
            configs.append(
                RangeParameterConfig(name=p.name, bounds=(p.low, p.high), parameter_type=kind, scaling=scale)  # type: ignore[arg-type]
            )
            continue
        options = list(p.branches)
        kind = {bool: "bool", int: "int", float: "float"}.get(type(options[0]), "str")
        names_under = {o: [c.name for c in tree if not _constant(c)] for o, tree in p.branches.items()}
        children = {option: names for option, names in names_under.items() if names}
        configs.append(
            ChoiceParameterConfig(
                name=p.name,
                values=options,  # type: ignore[arg-type]
                parameter_type=kind,  # type: ignore[arg-type]
                is_ordered=kind in ("int", "float"),
                dependent_parameters=children or None,  # type: ignore[arg-type]
            )
        )
        for tree in p.branches.values():
            configs += _configs(tree)
    return configs


def _constant(parameter: Parameter) -> bool:
    """Whether neither the parameter nor what depends on it can vary."""
    if isinstance(parameter, Choice):
        return len(parameter.branches) == 1 and all(map(_constant, next(iter(parameter.branches.values()))))
    return parameter.low == parameter.high


def _conditional(parameters: Sequence[Parameter]) -> bool:
    return any(
        isinstance(p, Choice) and any(not _constant(c) for t in p.branches.values() for c in t) for p in parameters
    )


def as_declared(parameters: Sequence[Parameter], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as Ax holds them: what is declared, under its root where it has one."""
    names = {c.name for c in _configs(parameters)}
    root = {ROOT: True} if _conditional(parameters) else {}
    return root | {name: value for name, value in settings.items() if name in names}


def settings_of(parameters: Sequence[Parameter], values: Mapping[str, Any]) -> Settings:
    """Of what Ax gives, the parameters that exist under the options taken, and those that cannot vary."""
    settings: Settings = {}
    for p in parameters:
        if isinstance(p, Choice):
            value = values[p.name] if p.name in values else next(iter(p.branches))
            settings[p.name] = p.check(value)
            settings |= settings_of(p.branches[settings[p.name]], values)
        else:
            settings[p.name] = p.check(values.get(p.name, p.low))
    return settings
