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
from benchmarks.search.baselines import make
from benchmarks.search.clock import observation, stream
from benchmarks.search.staged import Problem, known_after
from sweep.samplers import Observation
from sweep.space import Settings

RUNNING = 4  # trials under way while one is chosen


@dataclass(frozen=True)
class Asked:
    """`wall_s` of each choice made at `trials` told; `resident` is the process's memory in bytes at that size."""

    trials: int
    wall_s: tuple[float, ...]
    resident: int


def measure(problem: Problem, sampler: str, sizes: Sequence[int], asks: int, seed: int = 0) -> list[Asked]:
    """Choose `asks` trials at each size, smallest first."""
    chooser, _ = make(sampler, problem, stream("sampler", seed), max(sizes) + asks)
    rng = np.random.default_rng(stream("settings", seed))
    number, found = 0, []
    for size in sorted(sizes):
        while number < size:
            settings = problem.arm.check(tree.drawn(problem.arm.parameters, rng))
            chooser.running(number, settings)
            chooser.tell(_ended(problem, number, settings, seed))
            number += 1
        running: deque[tuple[int, Settings]] = deque()
        took = []
        for _ in range(asks + RUNNING):
            begun = time.perf_counter()
            settings = chooser.ask(number)
            took.append(time.perf_counter() - begun)
            running.append((number, settings))
            number += 1
            if len(running) > RUNNING:
                ended, of = running.popleft()
                chooser.tell(_ended(problem, ended, problem.arm.check(of), seed))
        for ended, of in running:
            chooser.tell(_ended(problem, ended, problem.arm.check(of), seed))
        gc.collect()
        found.append(Asked(size, tuple(took[RUNNING:]), _resident()))
    return found


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
