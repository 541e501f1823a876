"""The best hypervolume a problem has: a long search of its noise-free function, by moving the members of the front."""

from __future__ import annotations

import json

import numpy as np

from benchmarks.search import tree
from benchmarks.search.problems import BEST_KNOWN
from benchmarks.search.staged import DIRECTIONS, Problem
from sweep.space import Settings
from sweep.statistics.estimates import hypervolume

_FIRST = 0.25  # of the evaluations that are drawn at random, before any is a member moved


def search(problem: Problem, evaluations: int, seed: int = 0) -> tuple[float, list[Settings]]:
    """The feasible hypervolume of `evaluations` noise-free trials, and the settings of their front.

    A quarter is drawn at random; the others are members of the front so far, moved by steps from .3 down to .001 of each
    range. While nothing is feasible, the least infeasible are moved. Deterministic by seed.
    """
    rng = np.random.default_rng(seed)
    front: list[tuple[tuple[float, float], Settings]] = []
    nearly: list[tuple[float, Settings]] = []
    batch: list[tuple[tuple[float, float], Settings]] = []
    start = int(_FIRST * evaluations)
    for i in range(evaluations):
        pool = [s for _, s in front] or [s for _, s in nearly]
        if i < start or not pool:
            settings = tree.drawn(problem.arm.parameters, rng)
        else:
            step = float(0.3 * (0.001 / 0.3) ** rng.random())
            settings = tree.moved(problem.arm.parameters, pool[rng.integers(len(pool))], rng, step)
        truth = problem.truth(settings)
        if truth.feasible:
            batch.append(((truth.robustness, truth.fid_delta), settings))
        elif not front:
            excess = problem.excesses({"fid_delta": truth.fid_delta, "unlearning_accuracy": truth.unlearning_accuracy})
            nearly = sorted([*nearly, (sum(max(e, 0) for e in excess.values()), settings)], key=lambda n: n[0])[:20]
        if len(batch) >= 100 or (batch and i + 1 == evaluations):
            front, batch = _front([*front, *batch]), []
    area = hypervolume(np.array([p for p, _ in front]).reshape(-1, 2), problem.reference, DIRECTIONS)
    return area, [s for _, s in front]


def record(problem: Problem, evaluations: int, command: str) -> float:
    """Search, and keep the hypervolume in best_known.json if it is the largest yet; returns what is kept."""
    area, front = search(problem, evaluations)
    known = json.loads(BEST_KNOWN.read_text()) if BEST_KNOWN.is_file() else {}
    key = problem.name + (f"@{problem.identity}" if problem.identity else "")
    if area > known.get(key, {"hypervolume": 0.0})["hypervolume"]:
        known[key] = {"hypervolume": area, "evaluations": evaluations, "members": len(front), "command": command}
        BEST_KNOWN.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
    return float(known[key]["hypervolume"]) if key in known else area


def _front(found: list[tuple[tuple[float, float], Settings]]) -> list[tuple[tuple[float, float], Settings]]:
    """The non-dominated of them, each point once, by one sweep from the most robust down: there may be thousands."""
    members: list[tuple[tuple[float, float], Settings]] = []
    least = float("inf")
    for point, settings in sorted(found, key=lambda f: (-f[0][0], f[0][1])):
        if point[1] < least:
            members.append((point, settings))
            least = point[1]
    return members
