"""Problems of the literature are those of the literature, and ways of hunting differ in how they hunt alone."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.search import hunting, literature
from benchmarks.search.__main__ import main
from benchmarks.search.clock import Limits, simulate
from benchmarks.search.problems import PROBLEMS


def test_published_optima_are_what_the_problems_give() -> None:
    objectives, slacks = literature.osy(np.array([5.0, 1.0, 5.0, 0.0, 5.0, 0.0]))
    assert objectives == pytest.approx([-274, 76]) and min(slacks) == pytest.approx(0)  # Deb 2001, region AB's end
    objectives, slacks = literature.welded_beam(np.array([0.2443, 6.2151, 8.2986, 0.2443]))
    assert objectives == pytest.approx([2.3815, 0.0157], abs=1e-3) and min(slacks) > -1e-3  # Deb 2001: cost 2.381


@pytest.mark.parametrize("name", ["osy", "welded-beam"])
def test_the_switch_moves_what_is_good_and_what_is_measured_has_errors(name: str) -> None:
    problem = literature.PROBLEMS[name]
    middle = {f"x{i}": (low + high) / 2 for i, (low, high) in enumerate(problem.ranges, start=1)}
    places = [problem.at({"switch": option, **middle, "x1": problem.ranges[0][0]}) for option in literature.WORSE]
    assert not np.allclose(places[0], places[1]) and np.allclose(places[0], places[2])
    scale = literature.scale_of(problem)
    assert 0 < scale.feasible < 0.5 and (scale.spread > 0).all()
    searched = literature.search(problem, "random", 0, 60, scale)
    assert (len(searched.points) > 0) == math.isfinite(searched.first) and searched.points.shape[1] == 2
    again = literature.search(problem, "random", 0, 60, scale)
    assert (again.points == searched.points).all()


def test_samplers_are_compared_seed_by_seed() -> None:
    rows = literature.table(["welded-beam"], ["qmc", "random"], seeds=2, trials=12).splitlines()
    assert rows[0].startswith("## welded-beam: 3") and rows[-1].split(" | ")[3] == "–" and "[" in rows[-2]


def test_ways_of_hunting_begin_alike_and_part_where_a_model_chooses() -> None:
    problem = PROBLEMS["c2-dtlz2"]
    firsts = {way: hunting.Hunter(problem, 3, way).ask(0) for way in hunting.WAYS}
    assert all(settings == firsts["tpe"] for settings in firsts.values())
    done = {way: simulate(problem, hunting.Hunter(problem, 2, way), 2, Limits(1e9, trials=12)) for way in hunting.WAYS}
    asked = {way: tuple(e.settings for e in sorted(run.events, key=lambda e: e.number)) for way, run in done.items()}
    assert not any(e.truly_feasible for run in done.values() for e in run.events), "all of them hunt to the end"
    assert len({settings[:6] for settings in asked.values()}) == 1 and len(set(asked.values())) == len(hunting.WAYS)
    trials = {way: hunting.trials_until_feasible(problem, way, 0, 12) for way in hunting.WAYS}
    assert all(1 <= t <= 12 or math.isinf(t) for t in trials.values())
    assert hunting.table([problem], 1, 8).count("\n") == 1 + len(hunting.WAYS)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("literature --problem osx", "--problem osx: did you mean 'osy'?"),
        ("hunt --problem alike.ascent", "--problem alike.ascent: did you mean 'ascend'?"),
        ("hunt --problem like.ascend", "--family like: did you mean"),
        ("arms --family alike --strategy nehvi+warm -o runs", "--strategy nehvi+warm: arms begin cold; leave out warm"),
    ],
)
def test_what_there_is_not_is_one_line(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    told = capsys.readouterr()
    assert told.out == "" and said in told.err and told.err.count("\n") == 1
