"""A plan in words, for --dry-run and the first lines of a run, with a rough estimate of what it costs."""

from __future__ import annotations

import math
import textwrap
from typing import Any

from sweep.plan import base_models, targets
from sweep.plan.datasets import data_text, found_facts
from sweep.plan.plan import AUTO, CALIBRATION_SEEDS, Plan
from sweep.space import Arm, Attack, Choice, Parameter, SearchSpace

_FEW_ARMS = 4  # more than this are told in fewer words

# Core-seconds on one core of the machine named in benchmarks/stage_times.md, for 8×8 images and the small UNet.
_STEP_S = {"base": 0.095, "unlearn": 0.065, "attack": 0.042}
_SAMPLE_S = 0.0022
_START_S = 45.0


def describe(plan: Plan, space: SearchSpace) -> str:
    """The whole plan in words, for --dry-run and the first lines of a run."""
    cost = estimate(plan, space)
    budget = (
        plan.fid_budget
        if plan.fid_budget != AUTO
        else "auto: max(.25 × FID(θ₀), 2 × SD of fid_delta over 5 sampling seeds)"
    )
    lines = [
        f"question    {space.question}",
        f"data        {data_text(plan)}; seed {plan.seed}",
        *(line for heading, text in found_facts(plan) for line in wrapped(heading, text)),
        *targets.describe(space),
        *wrapped("search", f"{plan.sampler}; " + _budgets(plan, space)),
        *_ends(plan),
        "objectives  " + ", ".join(f"{o.direction} {o.metric}" for o in space.objectives),
        "constraints " + (", ".join(_constraint_text(c) for c in space.constraints) or "none"),
        f"FID budget  {budget}; features: {plan.fid_features}",
        *wrapped("attacks", f"{_suite_text(space, space.search_attacks)}; scored after {list(space.rungs)} steps"),
        f"samples     {plan.samples_forgotten} of the forgotten condition, {plan.samples_per_retained} of each retained one",
        f"confirm     up to {plan.confirm_members} members an arm and {plan.confirm_neighbours} near-feasible, "
        f"{plan.confirm_seeds} fresh seeds, {plan.confirm_samples[0]} and {plan.confirm_samples[1]} samples",
        *wrapped("", f"attacked by {_suite_text(space, space.confirm_attacks)}"),
    ]
    lines += base_models.describe(plan)
    lines += _arms(space)
    if plan.shadow_models:
        lines.append(f"audit       {plan.shadow_models} shadow models")
    where = "in this process" if plan.in_process else plan.address or "Ray on this machine"
    lines += [
        f"runs on     {where}; {plan.workers} trials at a time, {plan.gpus_per_trial:g} {plan.gpu_type or 'GPU'} each",
        f"artifacts   {plan.artifacts}",
        f"run         {plan.run_dir}",
        f"cost        about {cost['prepare']:.0f} core-s to prepare (0 where cached), at most {cost['search']:.0f} to search, "
        f"{cost['confirm']:.0f} to confirm;",
        f"            about {cost['wall'] / 60:.0f} minutes in all on {plan.workers} cores, for the embedded digits",
    ]
    return "\n".join(lines)


def _ends(plan: Plan) -> list[str]:
    """What may end the search or a trial before its time, and what the search begins with, where any of it was asked."""
    limits = [f"{plan.max_hours:g} hours"] * bool(plan.max_hours) + [f"{plan.max_core_hours:g} core-hours"] * bool(
        plan.max_core_hours
    )
    limits += [f"an expected gain below {plan.min_gain:.1%} of the hypervolume"] * bool(plan.min_gain)
    told = wrapped("", "ends earlier by " + " or ".join(limits)) if limits else []
    stops = f"stops before the attack what surely breaks a bound by more than {plan.gate_margin:.0%} of it"
    told += wrapped("", stops + (", under attack what the front surely dominates" if plan.stopping else ""))
    return told + (wrapped("warm start", ", ".join(plan.warm_start)) if plan.warm_start else [])


def estimate(plan: Plan, space: SearchSpace) -> dict[str, float]:
    """Rough core-seconds of each phase and wall seconds of all, if nothing is cached and no trial is gated."""
    retained = 9
    n_search = plan.samples_forgotten + retained * plan.samples_per_retained
    n_confirm = plan.confirm_samples[0] + retained * plan.confirm_samples[1]

    def replicate(arm: Arm | None, attacks: tuple[Attack, ...], forgotten: int, everything: int) -> float:
        rungs = len(space.rungs) - 2
        attack = space.rungs[-1] * _STEP_S["attack"] + (rungs * forgotten + everything) * _SAMPLE_S
        return (_steps(arm) if arm else 0.0) * _STEP_S["unlearn"] + everything * _SAMPLE_S + len(attacks) * attack

    models = 0 if plan.base else 2 + plan.shadow_models
    prepare = models * plan.base_steps * _STEP_S["base"] + 15 + 2 * CALIBRATION_SEEDS * n_search * _SAMPLE_S
    searching = (space.search_attacks, plan.samples_forgotten, n_search)
    confirming = (space.confirm_attacks, plan.confirm_samples[0], n_confirm)
    search, confirm = 2 * replicate(None, *searching), 2 * replicate(None, *confirming)
    for arm in space.arms:
        trials = plan.budget_of(space, arm.name)
        search += trials * replicate(arm, *searching)
        confirm += min(trials, plan.confirm_members + plan.confirm_neighbours) * replicate(arm, *confirming)
    confirm *= plan.confirm_seeds
    total = prepare + search + confirm
    return {"prepare": prepare, "search": search, "confirm": confirm, "wall": _START_S + total / max(plan.workers, 1)}


def _steps(arm: Arm) -> float:
    """Steps of an arm's middling trial: the middle of its range of steps, each as long as its inner steps make it."""
    middle = {p.name: _middle(p) for p in arm.walk() if not isinstance(p, Choice)}
    inner = sum(steps for name, steps in middle.items() if name.endswith("inner_steps"))
    return middle.get("steps", 100.0) * (1 + inner)


def _middle(parameter: Any) -> float:
    low, high = parameter.low, parameter.high
    return math.sqrt(low * high) if parameter.log else (low + high) / 2


def _budgets(plan: Plan, space: SearchSpace) -> str:
    """``dimum 16 trials, label_swap 8 trials``; arms that have the same number are told it once where there are many."""
    each = {arm.name: plan.budget_of(space, arm.name) for arm in space.arms}
    if len(each) <= _FEW_ARMS:
        return ", ".join(f"{name} {n} trials" for name, n in each.items())
    told = {n: [name for name, m in each.items() if m == n] for n in dict.fromkeys(each.values())}
    return "; ".join(f"{n} trials each of {', '.join(names)}" for n, names in told.items())


def _arms(space: SearchSpace) -> list[str]:
    """Every arm with its parameters; of many arms only the names, and every range once."""
    lines = []
    for arm in space.arms:
        what = f"attack {arm.attack} on {arm.method}" if arm.attack else f"method {arm.method}"
        told = f"{arm.name}{' (baseline)' if arm.baseline else ''}: {what}"
        if len(space.arms) <= _FEW_ARMS:
            lines += [f"arm         {told}", *(f"              {_parameter_text(p)}" for p in arm.walk())]
        else:
            lines += wrapped("arm", f"{told}; " + ", ".join(p.name for p in arm.walk()))
    if len(space.arms) > _FEW_ARMS:
        ranges: dict[str, list[str]] = {}
        for arm in space.arms:
            for parameter in arm.walk():
                ranges.setdefault(_parameter_text(parameter), []).append(arm.name)
        names = [text.partition(":")[0] for text in ranges]
        lines.append("ranges")
        for text, arms in ranges.items():
            whose = (
                f"  ({', '.join(arms)})" if names.count(text.partition(":")[0]) > 1 and len(arms) <= _FEW_ARMS else ""
            )
            lines.append(f"              {text}{whose}")
    return lines


def wrapped(label: str, text: str) -> list[str]:
    return textwrap.wrap(text, 120, initial_indent=f"{label:<12}", subsequent_indent=" " * 12, break_long_words=False)


def _suite_text(space: SearchSpace, attacks: tuple[Attack, ...]) -> str:
    """The suite; of arms that search the attack, each trial has its own and only the controls the suite."""
    told = ", ".join(map(_attack_text, attacks))
    return f"each trial by its own; the controls by {told}" if any(arm.attack for arm in space.arms) else told


def _attack_text(attack: Attack) -> str:
    return attack.name + ("" if attack.counts else " (does not count)")


def _constraint_text(constraint: Any) -> str:
    side, bound = ("≤", constraint.at_most) if constraint.at_most is not None else ("≥", constraint.at_least)
    return f"{constraint.metric} {side} {'the FID budget' if bound == 'fid_budget' else bound}"


def _parameter_text(parameter: Parameter) -> str:
    if isinstance(parameter, Choice):
        return f"{parameter.name}: {' | '.join(map(str, parameter.branches))}"
    return f"{parameter.name}: {parameter.low:g} … {parameter.high:g}{', log' if parameter.log else ''}"
