"""A simulated clock: W workers run staged trials side by side, a sampler chooses them, a judge may stop them.

Events are the ends of stages. Between two events every worker that holds a core is charged for the time that passed, so
core-seconds spent at an event are exact, those of unfinished stages included.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import time
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


@dataclass
class _Running:
    number: int
    trial: StagedTrial
    begins_s: float
    ask_s: float
    done: int = 0


def simulate(problem: Problem, sampler: Sampler, seed: int, limits: Limits, judge: Judge = never) -> Run:
    """Run trials until `limits` are reached. Same seed, same sampler: same run, unless asking is counted.

    Trial `number` has the same noise in every strategy of a seed. The problem's start points are begun first.
    """
    return _Simulation(problem, sampler, seed, limits, judge).run()


class _Simulation:
    def __init__(self, problem: Problem, sampler: Sampler, seed: int, limits: Limits, judge: Judge) -> None:
        self.problem, self.sampler, self.seed, self.limits, self.judge = problem, sampler, seed, limits, judge
        self.heap: list[tuple[float, int, _Running]] = []
        self.front: list[Observation] = []
        self.events: list[Event] = []
        self.clock = self.spent = self.waited = self.driver_free = 0.0
        self.begun = self.most = 0

    def run(self) -> Run:
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
            running = heapq.heappop(self.heap)[2]
            if not self._advance(running):
                self._begin()
        unfinished = sum(self._so_far(r) for _, _, r in self.heap)
        waiting = sum(max(0.0, r.begins_s - self.clock) for _, _, r in self.heap)
        return Run(tuple(self.events), self.spent, unfinished, self.waited - waiting, self.most, self.begun)

    def _so_far(self, running: _Running) -> float:
        """Core-seconds that a trial under way has had: its finished stages, and the part of the one that runs."""
        finished = sum(stage.core_s for stage in running.trial.stages[: running.done])
        return finished + max(0.0, self.clock - running.begins_s)

    def _begin(self) -> None:
        """The next trial on a free worker, unless enough were begun."""
        if self.begun >= self.limits.trials:
            return
        number = self.begun
        self.begun += 1
        asked = time.perf_counter()
        if number < len(self.problem.arm.start_points):
            settings = self.problem.arm.start_points[number]
            self.sampler.running(number, settings)
        else:
            settings = self.sampler.ask(number)
        ask_s = time.perf_counter() - asked
        begins = self.clock
        if self.limits.count_asking:
            begins = self.driver_free = max(self.clock, self.driver_free) + ask_s
        self.waited += begins - self.clock
        trial = self.problem.run(self.problem.arm.check(settings), (self.seed, number), self.limits.glance)
        self._push(_Running(number, trial, begins, ask_s), begins)
        self.most = max(self.most, len(self.heap))

    def _push(self, running: _Running, now: float) -> None:
        heapq.heappush(self.heap, (now + running.trial.stages[running.done].core_s, running.number, running))

    def _advance(self, running: _Running) -> bool:
        """A stage has ended: judge the trial, and go on with it (True) or end it (False)."""
        running.done += 1
        partial = known_after(self.problem, running.trial, running.done)
        if running.done == len(running.trial.stages):
            self._end(running, running.trial.state, partial, "")
            return False
        cause = self.judge(partial, self.front)
        if cause is not None:
            self._end(running, PRUNED, partial, cause)
            return False
        running.begins_s = self.clock
        self._push(running, self.clock)
        return True

    def _end(self, running: _Running, state: str, partial: Partial, cause: str) -> None:
        excesses = self.problem.excesses(partial.figures)
        seems_feasible = len(excesses) == len(self.problem.constraints) and all(e <= 0 for e in excesses.values())
        told = observation(self.problem, running.number, state, partial)
        if state == COMPLETE:
            self.front = present_front(OBJECTIVES, [*self.front, told])
        self.sampler.tell(told)
        truth = self.problem.truth(partial.settings)
        left = running.trial.core_s - partial.core_s
        measured = {name: partial.figures.get(name, float("nan")) for name in (ROBUSTNESS, FID, UNLEARNED)}
        self.events.append(
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
                may_be_feasible=judges.excluded_by(self.problem, partial) is None,
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
