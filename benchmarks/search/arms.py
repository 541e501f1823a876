"""Sweeps of several arms, simulated: each arm's search by itself, or one model of all of them (`sweep.samplers.tasks`).

A family is a problem an arm and the names of what they share. *alike*: the three losses of the mixed problem, each an arm,
which act alike in five shared parameters. *unlike*: Branin-Currin, its mirror image and C2-DTLZ2, whose x1 and x2 have
nothing in common but their names and are declared as shared all the same. *methods*: the recorded methods.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.code_version import last_commit
from benchmarks.search import measures, results
from benchmarks.search.clock import Lane, Limits, simulate_arms, stream
from benchmarks.search.problems import MIXED, PROBLEMS, best_known, branin_currin, mixed_conditional
from benchmarks.search.recording import arms_of, recorded
from benchmarks.search.staged import Means, Problem
from benchmarks.search.strategies import Strategy
from sweep.errors import UsageError, near
from sweep.samplers import Sampler
from sweep.samplers.nehvi import Nehvi
from sweep.samplers.tasks import Task, Tasks
from sweep.space import Arm, Choice, Settings
from sweep.statistics.estimates import estimate, paired_difference

TOGETHER = "joint"  # a strategy of nehvi whose arms are modelled together
METHODS = Path(__file__).with_name("recorded_methods")


@dataclass(frozen=True)
class Family:
    """Arms, each a problem of its own, and the names of parameters that are declared to act alike in them."""

    name: str
    problems: tuple[Problem, ...]
    shared: tuple[str, ...]


def family(name: str) -> Family:
    """UsageError for one that there is not."""
    if name not in FAMILIES:
        raise UsageError(f"--family {name}: {near(name, FAMILIES)}")
    return FAMILIES[name]()


def run(of: Family, name: str, seed: int, limits: Limits, folder: Path) -> bool:
    """Simulate a strategy's sweep of all arms and keep a run an arm; False where it is there already."""
    options = [
        results.Options(
            f"{of.name}.{p.arm.name}", p.identity, limits.workers, limits.core_seconds, limits.trials,
            limits.count_asking, p.reference, best_known(p), last_commit(*results.CODE),
        )
        for p in of.problems
    ]  # fmt: skip
    if all(results.there(folder, o, name, seed) for o in options):
        return False
    limits = dataclasses.replace(limits, glance=_strategy(name).glance)
    expected = min(limits.trials, max(20, round(limits.core_seconds / 20 / len(of.problems))))
    runs = simulate_arms(lanes(of, name, seed, expected), stream("noise", seed), limits)
    for option, arm_run in zip(options, runs, strict=True):
        results.write(folder, option, name, seed, arm_run)
    return True


def lanes(of: Family, name: str, seed: int, trials: int) -> list[Lane]:
    """The arms under a strategy, for about so many trials each."""
    strategy = _strategy(name)
    tasks = Tasks({p.arm.name: p.arm.parameters for p in of.problems}, of.shared) if TOGETHER in name else None
    arms = []
    for i, problem in enumerate(of.problems):
        drawn = stream("sampler", seed, i)
        if tasks is not None:
            sampler: Sampler = Nehvi(problem.question(trials), drawn, task=Task(tasks, problem.arm.name))
            own = None
        else:
            sampler, own = strategy.sampler_of(problem, drawn, trials)
        arms.append(Lane(problem, sampler, strategy.judge(problem, own)))
    return arms


def _strategy(name: str) -> Strategy:
    """UsageError for one that begins with an earlier study: what that is of several arms nobody has said."""
    strategy = Strategy.parse(name.replace(TOGETHER, "nehvi"))
    if strategy.warm:
        raise UsageError(f"--strategy {name}: arms begin cold; leave out {strategy.warm}")
    return strategy


def arm_problem(name: str) -> Problem:
    """The problem of ``FAMILY.ARM``. UsageError where there is none."""
    of, _, arm = name.partition(".")
    problems = {p.arm.name: p for p in family(of).problems}
    if arm not in problems:
        raise UsageError(f"--problem {name}: {near(arm, problems)}")
    return problems[arm]


def table(of: Family, folder: Path, against: str, at: Sequence[float]) -> str:
    """Every strategy as Markdown: the mean over arms of the share of each arm's best known hypervolume, by core-seconds of all."""
    runs = results.read_all(folder)
    by_arm = [runs.get(f"{of.name}.{p.arm.name}", {}) for p in of.problems]
    names = [name for name in by_arm[0] if all(name in strategies for strategies in by_arm)]
    if against not in names:
        raise UsageError(f"--against {against}: no such runs of {of.name} under {folder}; {near(against, names)}")
    heads = " | ".join(f"{s:g} core-s: found | less {against}" for s in at)
    lines = [
        f"## {of.name}",
        "",
        f"| strategy | seeds | {heads} | core-s to 80 % | to 90 % | {against} takes, times as long to 80 % | to 90 % |",
        "|---" * (6 + 2 * len(at)) + "|",
    ]
    theirs = {s: _shares([strategies[against] for strategies in by_arm], s) for s in at}
    their_times = {level: _times([strategies[against] for strategies in by_arm], level) for level in (0.8, 0.9)}
    for name in names:
        mine = [strategies[name] for strategies in by_arm]
        cells = [name, str(len(mine[0]))]
        for spent in at:
            shares = _shares(mine, spent)
            cells.append(results.interval(estimate(shares.values()), ".3f"))
            cells.append("–" if name == against else results.interval(paired_difference(shares, theirs[spent]), "+.3f"))
        times = {level: _times(mine, level) for level in their_times}
        cells += [results.median(measures.middle(list(times[level].values())), ".0f") for level in times]
        for level, of_theirs in their_times.items():
            both = sorted(set(times[level]) & set(of_theirs))
            ratio = measures.paired_ratio([times[level][s] for s in both], [of_theirs[s] for s in both])
            cells.append("–" if ratio is None or name == against else results.median(ratio, ".2f"))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _traces(arms: Sequence[Sequence[results.Stored]]) -> dict[int, list[measures.Trace]]:
    """By seed, each arm's hypervolume found as a share of its best known, against core-seconds of all arms."""
    traces: dict[int, list[measures.Trace]] = {}
    for stored in arms:
        for one in stored:
            trace = measures.found(one.events, one.options.reference)
            share = dataclasses.replace(trace, values=trace.values / one.options.best_known)
            traces.setdefault(one.seed, []).append(share)
    return {seed: of_arms for seed, of_arms in traces.items() if len(of_arms) == len(arms)}


def _shares(arms: Sequence[Sequence[results.Stored]], spent: float) -> dict[int, float]:
    return {seed: float(np.mean([t.at(spent) for t in of_arms])) for seed, of_arms in _traces(arms).items()}


def _times(arms: Sequence[Sequence[results.Stored]], level: float) -> dict[int, float]:
    """By seed, the core-seconds after which the arms' mean share is at least `level`; infinity where it never is."""
    times = {}
    for seed, of_arms in _traces(arms).items():
        moments = np.unique(np.concatenate([t.spent for t in of_arms]))
        mean = np.mean([[t.at(m) for m in moments] for t in of_arms], axis=0)
        there = np.flatnonzero(mean >= level)
        times[seed] = float(moments[there[0]]) if len(there) else math.inf
    return times


def _alike() -> Family:
    loss, *shared = MIXED
    assert isinstance(loss, Choice)
    arms = []
    for option, own in loss.branches.items():
        means = _under(str(option))
        arms.append(dataclasses.replace(PROBLEMS["mixed"], name=f"mixed-{option}",
                                        arm=Arm(str(option), "none", (*own, *shared)), means=means))  # fmt: skip
    return Family("alike", tuple(arms), tuple(p.name for p in shared))


def _under(loss: str) -> Callable[[Settings], Means]:
    return lambda settings: mixed_conditional({"loss": loss, **settings})


def _unlike() -> Family:
    branin, dtlz = PROBLEMS["branin-currin"], PROBLEMS["c2-dtlz2"]
    mirrored = dataclasses.replace(
        branin, name="mirrored", arm=dataclasses.replace(branin.arm, name="mirrored"), means=_mirrored
    )
    return Family("unlike", (branin, mirrored, dtlz), ("x1", "x2"))


def _mirrored(settings: Settings) -> Means:
    return branin_currin({name: 1 - float(value) for name, value in settings.items()})  # type: ignore[arg-type]


def _methods() -> Family:
    shared = ("learning_rate", "steps", "lambda_ratio", "retain_weight", "forget_share", "alternative")
    problems = tuple(dataclasses.replace(recorded(METHODS, arm), name=f"methods-{arm}") for arm in arms_of(METHODS))
    return Family("methods", problems, shared)


FAMILIES: Mapping[str, Callable[[], Family]] = {"alike": _alike, "unlike": _unlike, "methods": _methods}
