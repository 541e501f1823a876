"""A simulated clock: W workers run staged trials side by side, a sampler chooses them, a judge may stop them.

Events are the ends of stages. Between two events every worker that holds a core is charged for the time that passed, so
core-seconds spent at an event are exact, those of unfinished stages included.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.search import judges
from benchmarks.search.judges import Judge, never
from benchmarks.search.staged import FID, OBJECTIVES, ROBUSTNESS, UNLEARNED, Partial, Problem, StagedTrial, known_after
from sweep.records import COMPLETE, PRUNED
from sweep.samplers import Observation, Sampler
from sweep.search import observations
from sweep.search.dominated import present_front


@dataclass(frozen=True)
class Event:
    """One trial's end: when, at which core-seconds spent by all workers, what was measured, and what is true of it.

    `left_s` is what the trial would have cost beyond `core_s` had it not been stopped; `ask_s` how long its sampler took.
    `seems_feasible` is by what was measured, `may_be_feasible` where the gate's bounds of that do not exclude it.
    """

    number: int
    state: str
    cause: str
    stage: str
    clock_s: float
    spent: float
    core_s: float
    left_s: float
    ask_s: float
    robustness: float
    fid_delta: float
    unlearning_accuracy: float
    seems_feasible: bool
    may_be_feasible: bool
    true_robustness: float
    true_fid_delta: float
    true_unlearning_accuracy: float
    truly_feasible: bool
    settings: str


@dataclass(frozen=True)
class Limits:
    """How long a run is: core-seconds of all workers together, and trials begun. `count_asking`: a worker holds its core
    while it waits for a suggestion, and the one driver makes one suggestion at a time, in the time that it really took."""

    core_seconds: float
    workers: int = 4
    trials: int = 100_000
    glance: bool = False
    count_asking: bool = False


@dataclass(frozen=True)
class Run:
    """What a run did: its trials' ends in order, core-seconds spent and those of stages that were under way at the end."""

    events: tuple[Event, ...]
    spent: float
    unfinished_s: float
    waited_s: float
    most_running: int
    begun: int


@dataclass(frozen=True)
class Lane:
    """One arm of a simulated sweep: its problem, who chooses its trials, and who may stop them."""

    problem: Problem
    sampler: Sampler
    judge: Judge = never


@dataclass
class _Running:
    lane: int
    number: int
    trial: StagedTrial
    begins_s: float
    ask_s: float
    done: int = 0


def simulate(problem: Problem, sampler: Sampler, seed: int, limits: Limits, judge: Judge = never) -> Run:
    """Run trials until `limits` are reached. Same seed, same sampler: same run, unless asking is counted.

    Trial `number` has the same noise in every strategy of a seed. The problem's start points are begun first.
    """
    return simulate_arms([Lane(problem, sampler, judge)], seed, limits)[0]


def simulate_arms(lanes: Sequence[Lane], seed: int, limits: Limits) -> list[Run]:
    """The same for several arms on the same workers: whoever began the fewest trials begins the next, as in a real sweep.

    A run an arm; core-seconds spent are of all arms together, and `limits.trials` are each arm's.
    """
    return _Simulation(lanes, seed, limits).run()


class _Simulation:
    def __init__(self, lanes: Sequence[Lane], seed: int, limits: Limits) -> None:
        self.lanes, self.seed, self.limits = lanes, seed, limits
        self.heap: list[tuple[float, int, int, _Running]] = []
        self.fronts: list[list[Observation]] = [[] for _ in lanes]
        self.events: list[list[Event]] = [[] for _ in lanes]
        self.begun = [0 for _ in lanes]
        self.clock = self.spent = self.waited = self.driver_free = 0.0
        self.most = 0

    def run(self) -> list[Run]:
        limits = self.limits
        for _ in range(limits.workers):
            self._begin()
        while self.heap:
            at = self.heap[0][0]
            passed = (at - self.clock) * len(self.heap)
            if self.spent + passed >= limits.core_seconds:
                self.clock += (limits.core_seconds - self.spent) / len(self.heap)
                self.spent = limits.core_seconds
                break
            self.clock, self.spent = at, self.spent + passed
            running = heapq.heappop(self.heap)[-1]
            if not self._advance(running):
                self._begin()
        unfinished = sum(self._so_far(r) for *_, r in self.heap)
        waited = self.waited - sum(max(0.0, r.begins_s - self.clock) for *_, r in self.heap)
        return [
            Run(tuple(events), self.spent, unfinished, waited, self.most, begun)
            for events, begun in zip(self.events, self.begun, strict=True)
        ]

    def _so_far(self, running: _Running) -> float:
        """Core-seconds that a trial under way has had: its finished stages, and the part of the one that runs."""
        finished = sum(stage.core_s for stage in running.trial.stages[: running.done])
        return finished + max(0.0, self.clock - running.begins_s)

    def _begin(self) -> None:
        """The next trial on a free worker, unless enough were begun."""
        lane = self.begun.index(min(self.begun))
        problem, sampler, number = self.lanes[lane].problem, self.lanes[lane].sampler, self.begun[lane]
        if number >= self.limits.trials:
            return
        self.begun[lane] += 1
        asked = time.perf_counter()
        if number < len(problem.arm.start_points):
            settings = problem.arm.start_points[number]
            sampler.running(number, settings)
        else:
            settings = sampler.ask(number)
        ask_s = time.perf_counter() - asked
        begins = self.clock
        if self.limits.count_asking:
            begins = self.driver_free = max(self.clock, self.driver_free) + ask_s
        self.waited += begins - self.clock
        stream = (self.seed, number, lane) if lane else (self.seed, number)
        trial = problem.run(problem.arm.check(settings), stream, self.limits.glance)
        self._push(_Running(lane, number, trial, begins, ask_s), begins)
        self.most = max(self.most, len(self.heap))

    def _push(self, running: _Running, now: float) -> None:
        ends_at = now + running.trial.stages[running.done].core_s
        heapq.heappush(self.heap, (ends_at, running.number, running.lane, running))

    def _advance(self, running: _Running) -> bool:
        """A stage has ended: judge the trial, and go on with it (True) or end it (False)."""
        running.done += 1
        lane = self.lanes[running.lane]
        partial = known_after(lane.problem, running.trial, running.done)
        if running.done == len(running.trial.stages):
            self._end(running, running.trial.state, partial, "")
            return False
        cause = lane.judge(partial, self.fronts[running.lane])
        if cause is not None:
            self._end(running, PRUNED, partial, cause)
            return False
        running.begins_s = self.clock
        self._push(running, self.clock)
        return True

    def _end(self, running: _Running, state: str, partial: Partial, cause: str) -> None:
        lane = self.lanes[running.lane]
        problem = lane.problem
        excesses = problem.excesses(partial.figures)
        seems_feasible = len(excesses) == len(problem.constraints) and all(e <= 0 for e in excesses.values())
        told = observation(problem, running.number, state, partial)
        if state == COMPLETE:
            front = self.fronts[running.lane]
            self.fronts[running.lane] = present_front(OBJECTIVES, [*front, told])
        lane.sampler.tell(told)
        truth = problem.truth(partial.settings)
        left = running.trial.core_s - partial.core_s
        measured = {name: partial.figures.get(name, float("nan")) for name in (ROBUSTNESS, FID, UNLEARNED)}
        self.events[running.lane].append(
            Event(
                number=running.number,
                state=state,
                cause=cause,
                stage=partial.stage,
                clock_s=self.clock,
                spent=self.spent,
                core_s=partial.core_s,
                left_s=left,
                ask_s=running.ask_s,
                **measured,
                seems_feasible=seems_feasible,
                may_be_feasible=judges.excluded_by(problem, partial) is None,
                true_robustness=truth.robustness,
                true_fid_delta=truth.fid_delta,
                true_unlearning_accuracy=truth.unlearning_accuracy,
                truly_feasible=truth.feasible,
                settings=json.dumps(partial.settings),
            )
        )


def observation(problem: Problem, number: int, state: str, partial: Partial) -> Observation:
    """What the sampler is told: figures that were measured, excesses, and a bound where robustness was never reached."""
    curves = partial.curve_rows()
    knowledge = problem.knowledge(partial.samples)
    return observations.observation(
        problem.space, number, partial.settings, state, partial.figures, curves, knowledge, partial.core_s
    )  # fmt: skip


def stream(*purpose: object) -> int:
    """A 32-bit seed for one purpose, so that no two random streams of a comparison are the same."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, purpose)).encode()).digest()[:4], "big")
