"""What choosing a trial costs as trials grow many: time of one `ask`, and memory of what was told.

Random settings are told with the figures that the problem's whole trials measured. Around each size that is asked for, trials
are then chosen and told one by one with four under way, as an asynchronous sweep does; milestones at which hyper-parameters are
fitted anew fall where they fall.
"""

from __future__ import annotations

import gc
import resource
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.search import tree
from benchmarks.search.clock import observation, stream
from benchmarks.search.staged import Problem, known_after
from sweep.samplers import Observation, Sampler
from sweep.space import Settings

RUNNING = 4  # trials under way while one is chosen


@dataclass(frozen=True)
class Asked:
    """`wall_s` of each choice made at `trials` told; `resident` is the process's memory in bytes at that size."""

    trials: int
    wall_s: tuple[float, ...]
    resident: int


@dataclass
class Chooser:
    """An arm of a sweep: its problem and who chooses its trials."""

    problem: Problem
    sampler: Sampler
    asked: int = 0  # trials that it has chosen or was told of


def measure(arms: Sequence[Chooser], sizes: Sequence[int], asks: int, seed: int = 0) -> list[Asked]:
    """Choose `asks` trials at each size, smallest first; sizes are of all arms together, which take turns."""
    rng = np.random.default_rng(stream("settings", seed))
    asked = []
    for size in sorted(sizes):
        while sum(arm.asked for arm in arms) < size:
            arm = min(arms, key=lambda arm: arm.asked)
            settings = arm.problem.arm.check(tree.drawn(arm.problem.arm.parameters, rng))
            arm.sampler.running(arm.asked, settings)
            arm.sampler.tell(_ended(arm.problem, arm.asked, settings, seed))
            arm.asked += 1
        running: deque[tuple[Chooser, int, Settings]] = deque()
        took = []
        for _ in range(asks + RUNNING):
            arm = min(arms, key=lambda arm: arm.asked)
            begun = time.perf_counter()
            settings = arm.sampler.ask(arm.asked)
            took.append(time.perf_counter() - begun)
            running.append((arm, arm.asked, settings))
            arm.asked += 1
            if len(running) > RUNNING:
                _end(*running.popleft(), seed)
        for one in running:
            _end(*one, seed)
        gc.collect()
        asked.append(Asked(size, tuple(took[RUNNING:]), _resident()))
    return asked


def _end(arm: Chooser, number: int, settings: Settings, seed: int) -> None:
    arm.sampler.tell(_ended(arm.problem, number, arm.problem.arm.check(settings), seed))


def table(asked: Sequence[Asked]) -> str:
    """Markdown: seconds a choice, and memory per trial since the size before."""
    lines = [
        "| trials told | s a choice, median | slowest | memory, MiB | KiB a trial since the line above |",
        "|---" * 5 + "|",
    ]
    before: Asked | None = None
    for one in asked:
        per = f"{(one.resident - before.resident) / (one.trials - before.trials) / 2**10:.1f}" if before else "–"
        lines.append(
            f"| {one.trials} | {np.median(one.wall_s):.3f} | {max(one.wall_s):.3f} | {one.resident / 2**20:.0f} | {per} |"
        )
        before = one
    return "\n".join(lines)


def _ended(problem: Problem, number: int, settings: Settings, seed: int) -> Observation:
    trial = problem.run(settings, (stream("noise", seed), number))
    return observation(problem, number, trial.state, known_after(problem, trial, len(trial.stages)))


def _resident() -> int:
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # its peak; where there is no /proc
