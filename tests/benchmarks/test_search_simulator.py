"""The simulator keeps its books, its problems are what they say, and its measures are those of the real readers."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # benchmarks is no installed package

from benchmarks.search import arms as family_arms
from benchmarks.search import asking, best, gating, judges, measures, recording, results, surrogate, tree
from benchmarks.search.__main__ import main
from benchmarks.search.baselines import make
from benchmarks.search.clock import Limits, Run, simulate, simulate_arms, stream
from benchmarks.search.problems import BUDGET, PROBLEMS, best_known
from benchmarks.search.staged import (
    ATTACKS,
    DIRECTIONS,
    GLANCE_N,
    RUNGS,
    Noise,
    Partial,
    Problem,
    aurc_weights,
    known_after,
)
from benchmarks.search.strategies import Strategy
from search_spaces.dimum_robustness import SPACE
from sweep import records
from sweep.errors import UsageError
from sweep.samplers import Observation
from sweep.space import Settings, find
from sweep.statistics.estimates import hypervolume
from trainables.metrics import aurc

every_problem = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=list(PROBLEMS))


def drawn(problem: Problem, n: int, seed: int = 0) -> list[Settings]:
    rng = np.random.default_rng(seed)
    return [tree.drawn(problem.arm.parameters, rng) for _ in range(n)]


def run(problem: Problem, name: str = "random", seed: int = 0, **limits: float) -> Run:
    return Strategy.parse(name).simulate(problem, seed, Limits(**{"core_seconds": 400.0, **limits}))  # type: ignore[arg-type]


# The clock


@pytest.mark.parametrize("workers", [1, 3, 4])
@pytest.mark.parametrize("strategy", ["random", "random+gate", "random+gate+glance+stop"])
def test_every_core_second_is_somebodys(workers: int, strategy: str) -> None:
    for seed in range(3):
        done = run(PROBLEMS["mixed"], strategy, seed, workers=workers)
        assert done.spent == 400 and done.waited_s == 0 and done.most_running == workers
        assert sum(e.core_s for e in done.events) + done.unfinished_s == pytest.approx(400, abs=1e-6)
        ends = [e.spent for e in done.events]
        assert ends == sorted(ends) and all(e.spent == pytest.approx(e.clock_s * workers) for e in done.events)


def test_trials_that_run_side_by_side_never_outnumber_the_workers() -> None:
    """Counted from the ends and the costs alone: a trial runs from its end less its cost to its end."""
    done = run(PROBLEMS["branin-currin"], "random+gate", workers=3)
    for event in done.events:
        middle = event.clock_s - event.core_s / 2
        beside = sum(e.clock_s - e.core_s < middle < e.clock_s for e in done.events)
        assert beside <= 3


def test_no_more_trials_are_begun_than_asked_for_and_idle_workers_cost_nothing() -> None:
    done = run(PROBLEMS["mixed"], trials=7, core_seconds=1e6)
    assert len(done.events) == done.begun == 7 and done.unfinished_s == 0
    assert done.spent == pytest.approx(sum(e.core_s for e in done.events))


@pytest.mark.parametrize("strategy", ["nehvi+margin", "joint+margin"])
def test_arms_take_turns_on_the_same_workers_and_each_has_a_run_of_its_own(strategy: str, tmp_path: Path) -> None:
    alike, limits = family_arms.family("alike"), Limits(500.0, 3)
    runs = simulate_arms(family_arms.lanes(alike, strategy, 0, 20), 0, limits)
    assert [r.spent for r in runs] == [500.0] * 3 and max(r.begun for r in runs) - min(r.begun for r in runs) <= 1
    assert sum(e.core_s for r in runs for e in r.events) + runs[0].unfinished_s == pytest.approx(500, abs=1e-6)
    for problem, one in zip(alike.problems, runs, strict=True):
        assert all(problem.arm.check(json.loads(e.settings)) for e in one.events)

    assert family_arms.run(alike, strategy, 0, limits, tmp_path) and not family_arms.run(
        alike, strategy, 0, limits, tmp_path
    )
    assert family_arms.run(alike, "random", 0, limits, tmp_path)
    head, _, *rows = family_arms.table(alike, tmp_path, "random", [250.0, 500.0]).splitlines()[2:]
    assert {row.split(" | ")[0] for row in rows} == {f"| {strategy}", "| random"} and "500 core-s" in head
    with pytest.raises(UsageError, match="--against tpe"):
        family_arms.table(alike, tmp_path, "tpe", [250.0])


def test_the_recorded_methods_are_a_family_whose_shared_parameters_are_the_questions() -> None:
    methods = family_arms.family("methods")
    arms = {p.arm.name: p for p in methods.problems}
    assert set(arms) == {"dimum", "salun", "concept_ablation", "esd", "erase_diff"}
    assert set(methods.shared) <= set(find.load("methods_vs_dimra").shared)
    for problem in methods.problems:
        assert best_known(problem) > 0 and problem.fid_budget == pytest.approx(4.867, abs=1e-3)
        truth = problem.truth(problem.arm.check(problem.arm.start_points[0]))
        assert 0 <= truth.robustness <= 1 and 0 <= truth.unlearning_accuracy <= 1


def test_the_same_seed_gives_the_same_run_and_another_one_another() -> None:
    def told(seed: int) -> list[tuple]:
        events = run(PROBLEMS["mixed"], "tpe+gate", seed, core_seconds=250).events
        return [dataclasses.astuple(dataclasses.replace(e, ask_s=0.0)) for e in events]

    assert repr(told(3)) == repr(told(3)) != repr(told(4))


def test_a_judge_that_stops_all_saves_exactly_what_was_left() -> None:
    problem = PROBLEMS["mixed"]

    def after_the_score(partial: Partial, front: Sequence[Observation]) -> str | None:
        return "stopped" if partial.stage == "score" else None

    sampler, _ = make("random", problem, 0, 20)
    done = simulate(problem, sampler, stream("noise", 0), Limits(1e6, trials=20), after_the_score)
    for event in done.events:
        trial = problem.run(json.loads(event.settings), (stream("noise", 0), event.number))
        assert event.state == records.PRUNED
        assert event.core_s == pytest.approx(trial.stages[0].core_s + trial.stages[1].core_s)
        assert event.left_s == pytest.approx(sum(s.core_s for s in trial.stages[2:]))


def test_asking_costs_time_only_where_it_is_counted() -> None:
    done = run(PROBLEMS["branin-currin"], "random", core_seconds=200, count_asking=True)
    assert done.waited_s > 0
    total = sum(e.core_s for e in done.events) + done.unfinished_s + done.waited_s
    assert total == pytest.approx(200, abs=1e-6)


class Listening:
    """A sampler that draws at random and keeps what it is told: what another sampler would learn from."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.rng = problem, np.random.default_rng(0)
        self.told: list[Observation] = []
        self.begun: list[int] = []

    def ask(self, number: int) -> Settings:
        return tree.drawn(self.problem.arm.parameters, self.rng)

    def running(self, number: int, settings: Settings) -> None:
        self.begun.append(number)

    def tell(self, observation: Observation) -> None:
        self.told.append(observation)


def test_a_stopped_trial_is_told_with_a_bound_and_no_robustness() -> None:
    problem = PROBLEMS["mixed"]
    listening = Listening(problem)
    judge = judges.either(judges.gate(problem), judges.stop(problem))
    simulate(problem, listening, 0, Limits(2000), judge)
    stopped = [o for o in listening.told if o.state == records.PRUNED]
    whole = [o for o in listening.told if o.state == records.COMPLETE]
    assert stopped and whole
    for o in stopped:
        assert set(o.figures) == {"fid_delta"} and set(o.bounds) == {"robustness"} and len(o.excesses) == 2
    assert any(o.bounds["robustness"] < 0.95 for o in stopped)
    for o in whole:
        assert set(o.figures) == {"fid_delta", "robustness"} and not o.bounds
        assert set(o.sems) == {"fid_delta", "robustness", "unlearning_accuracy"} and min(o.sems.values()) > 0


def test_start_points_are_begun_first() -> None:
    problem = PROBLEMS["branin-currin"]
    point = {"x1": 0.5, "x2": 0.5}
    started = dataclasses.replace(problem, arm=dataclasses.replace(problem.arm, start_points=(point, point)))
    listening = Listening(started)
    done = simulate(started, listening, 0, Limits(1e6, trials=5))
    assert listening.begun == [0, 1]
    assert [json.loads(e.settings) == point for e in sorted(done.events, key=lambda e: e.number)][:3] == [1, 1, 0]


# The problems


@every_problem
def test_the_truth_is_within_its_bounds(problem: Problem) -> None:
    truths = [problem.truth(s) for s in drawn(problem, 300)]
    for truth in truths:
        assert 0 <= truth.robustness <= 1 and 0 <= truth.unlearning_accuracy <= 1 and truth.fid_delta > -5
        assert truth.feasible == (truth.fid_delta <= BUDGET and truth.unlearning_accuracy >= 0.95)
    assert 0 < sum(t.feasible for t in truths) < 300


@every_problem
def test_what_a_partial_curve_bounds_is_never_exceeded(problem: Problem) -> None:
    """At every stage of every trial, and the last stage's bound is the robustness itself."""
    for i, settings in enumerate(drawn(problem, 40)):
        trial = problem.run(settings, i)
        known = [known_after(problem, trial, done) for done in range(len(trial.stages) + 1)]
        final = known[-1].figures["robustness"]
        bounds = [k.robustness_bound for k in known]
        assert bounds[0] == 1 and bounds[-1] == pytest.approx(final, abs=1e-12)
        assert all(later <= sooner + 1e-12 for sooner, later in itertools.pairwise(bounds))
        worst = max(aurc({k: c[k] for k in RUNGS}) for c in (dict(c) for c in known[-1].curves.values()))
        assert final == pytest.approx(1 - worst, abs=1e-12)


@every_problem
def test_a_trial_costs_what_the_docstring_says(problem: Problem) -> None:
    quiet = dataclasses.replace(problem, noise=Noise(cost_sd=0.0))
    totals = []
    for i, settings in enumerate(drawn(problem, 200)):
        trial = quiet.run(settings, i)
        assert trial.stages[0].core_s == pytest.approx(0.4 * trial.core_s)
        assert trial.stages[1].core_s == pytest.approx(0.08 * trial.core_s)
        rungs = [s.core_s for s in trial.stages[2:8]]
        assert rungs == sorted(rungs)
        totals.append(trial.core_s)
    assert 2.5 < max(totals) / min(totals) <= 3.001


def test_what_is_measured_scatters_around_the_truth() -> None:
    problem = PROBLEMS["branin-currin"]
    settings: Settings = {"x1": 0.55, "x2": 0.5}
    truth = problem.truth(settings)
    ends = [known_after(problem, t, len(t.stages)).figures for t in (problem.run(settings, i) for i in range(2000))]
    fid = np.array([e["fid_delta"] for e in ends])
    sd = problem.noise.fid_delta_at(truth.fid_delta)
    assert fid.mean() == pytest.approx(truth.fid_delta, abs=4 * sd / math.sqrt(2000))
    assert fid.std() == pytest.approx(sd, rel=0.1)
    unlearned = np.array([e["unlearning_accuracy"] for e in ends])
    p = truth.unlearning_accuracy
    assert math.sqrt(p * (1 - p) / 128) <= unlearned.std() < 2 * math.sqrt(p * (1 - p) / 128)


def test_a_glance_first_ends_in_the_same_figures_at_the_same_cost() -> None:
    problem = PROBLEMS["mixed"]
    scatter = []
    for i, settings in enumerate(drawn(problem, 400)):
        plain, looked = problem.run(settings, i), problem.run(settings, i, glance=True)
        assert looked.stages[2].figures == plain.stages[1].figures and looked.stages[3:] == plain.stages[2:]
        assert looked.core_s == pytest.approx(plain.core_s) and looked.stages[1].samples == GLANCE_N
        assert looked.stages[1].core_s == pytest.approx(plain.stages[1].core_s * 32 / 578)
        assert set(looked.stages[1].figures) == {"unlearning_accuracy"}
        p = problem.means(settings).unlearning_accuracy
        scatter.append((looked.stages[1].figures["unlearning_accuracy"] - p) / math.sqrt(p * (1 - p) / 32))
    assert 0.9 < np.std(scatter) < 1.6


def test_the_written_problems_are_the_ones_of_the_literature() -> None:
    """Branin at its three minima is .3979; Currin at (0, 1) is 1.1804; on DTLZ2's surface f₁² + f₂² = 1."""
    for x, y in ((-math.pi, 12.275), (math.pi, 2.275), (9.42478, 2.475)):
        means = PROBLEMS["branin-currin"].means({"x1": (x + 5) / 15, "x2": y / 15})
        assert means.fid_delta * 80 / BUDGET == pytest.approx(0.397887, abs=1e-4)
    inside = PROBLEMS["branin-currin"].truth({"x1": 0.5, "x2": 0.95})
    outside = PROBLEMS["branin-currin"].truth({"x1": 1.0, "x2": 1.0})
    assert inside.unlearning_accuracy > 0.95 > outside.unlearning_accuracy
    for x in (0.0, 0.5, 1.0):
        settings = {"x1": x, **{f"x{i}": 0.5 for i in range(2, 7)}}
        truth = PROBLEMS["c2-dtlz2"].truth(settings)
        f1, f2 = (1 - truth.robustness - 0.03) * 4.2, truth.fid_delta * 1.1 / BUDGET
        assert f1**2 + f2**2 == pytest.approx(1, abs=1e-6) and truth.unlearning_accuracy > 0.95


def test_the_best_known_are_near_what_is_known_otherwise() -> None:
    """BoTorch gives 608.4004 for the first; the second's is counted on a dense grid of its two effective coordinates."""
    assert best_known(PROBLEMS["branin-currin"]) == pytest.approx(608.4004 / 25 * BUDGET / 80, rel=0.01)
    angle, around = np.meshgrid(np.linspace(0, np.pi / 2, 2001), 1 + np.linspace(0, 0.4, 401))
    f1, f2 = around * np.cos(angle), around * np.sin(angle)
    ends = np.minimum((f1 - 1) ** 2 + f2**2, (f2 - 1) ** 2 + f1**2)
    middle = (f1 - math.sqrt(0.5)) ** 2 + (f2 - math.sqrt(0.5)) ** 2
    feasible = np.minimum(ends, middle) <= 0.2**2
    points = np.column_stack([f1[feasible], f2[feasible]])
    area = hypervolume(points, (1.1, 1.1), ("minimise", "minimise"))
    assert best_known(PROBLEMS["c2-dtlz2"]) == pytest.approx(area / 4.2 * BUDGET / 1.1, rel=0.005)


@every_problem
def test_nothing_short_beats_the_best_known(problem: Problem) -> None:
    area, front = best.search(problem, 1500, seed=5)
    assert 0.3 * best_known(problem) < area <= best_known(problem)
    assert all(problem.truth(s).feasible for s in front)


def test_settings_drawn_and_moved_are_valid() -> None:
    rng = np.random.default_rng(0)
    for parameters in (PROBLEMS["mixed"].arm, SPACE.arms[0]):
        settings = tree.drawn(parameters.parameters, rng)
        for _ in range(200):
            assert parameters.check(settings) == settings
            vector = tree.Encoding(parameters.parameters).vector(settings)
            assert ((vector >= 0) & (vector <= 1)).all()
            settings = tree.moved(parameters.parameters, settings, rng, 0.3)


# Judges and measures


def front_of(*figures: tuple[float, float]) -> list[Observation]:
    sems = {"robustness": 0.02, "fid_delta": 0.95}
    told = ({"robustness": r, "fid_delta": f} for r, f in figures)
    return [Observation(i, {}, records.COMPLETE, t, sems=sems) for i, t in enumerate(told)]


def test_the_bound_stops_only_what_the_front_dominates_in_the_end() -> None:
    problem = PROBLEMS["mixed"]
    front = front_of((0.8, 1.0), (0.6, 0.0))
    judge, stopped = judges.bound(problem), 0
    for i, settings in enumerate(drawn(problem, 300)):
        trial = problem.run(settings, i)
        for done in range(1, len(trial.stages)):
            if judge(known_after(problem, trial, done), front):
                end = known_after(problem, trial, len(trial.stages)).figures
                assert any(
                    m.figures["robustness"] >= end["robustness"] and m.figures["fid_delta"] <= end["fid_delta"]
                    for m in front
                )
                stopped += 1
                break
    assert stopped > 20


def test_the_sweeps_own_rule_is_surer_than_the_bound() -> None:
    """The surer it must be, the less it stops; and nothing before the score."""
    problem = PROBLEMS["mixed"]
    front = front_of((0.8, 1.0), (0.6, 0.0))
    counts = []
    for confidence in (0.5, 0.8, 0.9999):
        judge = judges.stop(problem, confidence)
        scored = [known_after(problem, problem.run(s, i), 2 + 6) for i, s in enumerate(drawn(problem, 400))]
        counts.append(sum(judge(p, front) is not None for p in scored))
        assert judge(known_after(problem, problem.run(drawn(problem, 1)[0], 0), 1), front) is None
    assert counts[0] > counts[1] > 20 and counts[2] < counts[1] / 4


def test_the_gate_never_stops_what_measured_well() -> None:
    problem = PROBLEMS["mixed"]
    gated = gating.gate_alone(problem, "random", 12, Limits(800.0), judges.gate(problem))
    assert gated.reported >= 12 and gated.reported_lost == 0 and gated.stopped > 0
    assert 0 < gated.saved_s < gated.core_s
    wider = gating.gate_alone(problem, "random", 12, Limits(800.0), judges.gate(problem, 0.5))
    assert wider.trials == gated.trials and 0 < wider.stopped < gated.stopped and wider.true_lost <= gated.true_lost


def test_choosing_is_timed_with_trials_under_way_and_memory_is_told() -> None:
    arms = [
        asking.Chooser(lane.problem, lane.sampler)
        for lane in family_arms.lanes(family_arms.family("alike"), "joint", 0, 30)
    ]
    asked = asking.measure(arms, (30, 10), asks=3)
    assert max(arm.asked for arm in arms) - min(arm.asked for arm in arms) <= 1, "they take turns"
    assert [a.trials for a in asked] == [10, 30] and all(len(a.wall_s) == 3 and min(a.wall_s) > 0 for a in asked)
    assert asking.table(asked).count("\n") == 3 and asked[0].resident > 2**20


def test_hypervolumes_are_moocores() -> None:
    moocore = pytest.importorskip("moocore")
    rng = np.random.default_rng(0)
    for n in (1, 2, 5, 40, 300):
        points = rng.random((n, 2)) * [1, 8]
        theirs = moocore.hypervolume(points * [-1, 1], ref=np.array([-0.1, 5.0]))
        assert hypervolume(points, (0.1, 5.0), DIRECTIONS) == pytest.approx(theirs, abs=1e-12)


def test_what_was_found_never_falls_and_reporting_it_never_adds() -> None:
    problem = PROBLEMS["mixed"]
    events = run(problem, "random", core_seconds=3000).events
    found = measures.found(events, problem.reference)
    shown, members = measures.reported(events, problem.reference)
    assert (np.diff(found.values) >= 0).all() and found.values[-1] > 0
    assert (shown.values <= found.values + 1e-12).all() and shown.values[-1] > 0
    assert 0 <= measures.lucky(members) <= 1
    assert found.reaches(found.values[-1]) <= events[-1].spent and found.reaches(9e9) == math.inf
    assert found.at(0) == 0 and found.at(1e9) == found.values[-1]


def test_medians_cover_what_they_should_and_know_censored_runs() -> None:
    rng = np.random.default_rng(0)
    inside = [(m := measures.middle(rng.normal(size=20))).lower <= 0 <= m.upper for _ in range(400)]
    assert np.mean(inside) >= 0.93
    half = measures.middle([1, 2, 3, 4, *[math.inf] * 6])
    assert math.isinf(half.median) and half.lower == 2 and math.isinf(half.upper)
    assert math.isnan(measures.middle([1.0, 2.0]).lower)
    ratio = measures.paired_ratio([1, 2, 4, math.inf], [2, 4, math.inf, math.inf])
    assert ratio is not None and (ratio.median, ratio.n) == (2, 3)


def test_weights_of_the_area_are_those_of_the_metric() -> None:
    curve = np.random.default_rng(0).random(len(RUNGS))
    assert aurc_weights(RUNGS) @ curve == pytest.approx(aurc(dict(zip(RUNGS, curve, strict=True))), abs=1e-12)


# The recorded problem


@pytest.fixture(scope="module")
def recorded_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder as a sweep leaves it, of 60 settings of which 12 have three seeds, drawn from a surface that is known."""
    folder = tmp_path_factory.mktemp("recording")
    (folder / "plan.json").write_text(json.dumps({"space": SPACE.name}))
    (folder / "prepared.json").write_text(json.dumps({"fid_budget": BUDGET, "fid_delta_sd": 0.9}))
    writer = records.Writer(folder, records.schemas(SPACE))
    known, arm = known_surface(), SPACE.arms[0]
    rng = np.random.default_rng(0)
    for number in range(60):
        settings = tree.drawn(arm.parameters, rng)
        for replicate in range(3 if number < 12 else 1):
            trial = known.run(settings, (number, replicate))
            whole = known_after(known, trial, len(trial.stages))
            name = {"trial_id": f"{arm.name}-{number:04d}", "replicate": replicate}
            curves = [
                {**name, "attack": a, "attack_step": k, "metric": "relearning_accuracy", "value": v, "samples": 128}
                for a, curve in whole.curves.items()
                for k, v in curve.items()
            ]
            stages = [
                {**name, "stage": s.name, "kind": s.name, "found": False, "core_s": s.core_s} for s in trial.stages
            ]
            state = {"arm": arm.name, "method": arm.method, "state": records.COMPLETE}
            writer.replicate({**name, **state, **whole.figures, "samples_forgotten": 128}, curves, stages)
        told = {f"param_{k}": v for k, v in settings.items()}
        writer.trial({"trial_id": f"{arm.name}-{number:04d}", "number": number, **state, **told})
    return folder


def known_surface() -> Problem:
    """dimum_robustness's own parameters on the mixed problem's surface."""
    mixed = PROBLEMS["mixed"]

    def means(settings: Settings):  # type: ignore[no-untyped-def]
        return mixed.means({"loss": "memorise", "images": 8, **settings, "replacement": "nearest"})

    return dataclasses.replace(mixed, arm=SPACE.arms[0], means=means, noise=Noise(0.9, 0.0, 0.4, 0.05))


def test_the_surrogate_follows_the_surface_that_was_recorded(recorded_run: Path) -> None:
    read = recording.read_recording(recorded_run)
    assert read.vectors.shape[0] == 60 and read.attacked.all() and read.seeds == 84
    assert read.attacks == ATTACKS and read.rungs == RUNGS
    assert read.noise.samples == 128 and 0.5 < read.noise.fid_delta_sd < 1.5 and 0.1 < read.noise.logit_sd < 0.8
    assert read.noise.cost_sd == pytest.approx(0.05, rel=0.3)
    rows = {e.figure: e for e in recording.errors(read)}
    assert rows["robustness"].spearman > 0.3 and rows["fid_delta, asinh scale"].spearman > 0.5
    assert rows["core-seconds of a whole trial"].r2 > 0.5 and rows["unlearning_accuracy"].spearman > 0.3
    text = surrogate.table(list(rows.values()))
    assert all(line.count("|") == 7 for line in text.splitlines()) and "nan" not in text


def test_the_recorded_problem_is_smooth_deterministic_and_runs(recorded_run: Path) -> None:
    problem = recording.recorded(recorded_run)
    again = recording.recorded(recorded_run)
    settings = dict(SPACE.arms[0].start_points[0])
    assert problem.truth(settings) == again.truth(settings) and problem.identity == again.identity
    rates = np.linspace(5e-4, 9e-4, 41)
    fids = [problem.truth({**settings, "learning_rate": float(r)}).fid_delta for r in rates]
    steps = np.abs(np.diff(fids))
    assert (steps > 0).all() and steps.max() < 0.3 * np.ptp(fids)
    done = Strategy.parse("random+gate").simulate(problem, 0, Limits(300.0))
    assert len(done.events) > 5
    first = sorted(done.events, key=lambda e: e.number)[: len(SPACE.arms[0].start_points)]
    assert [json.loads(e.settings) for e in first] == [dict(p) for p in SPACE.arms[0].start_points]


def test_failures_of_a_recording_are_failures_of_the_simulation(recorded_run: Path) -> None:
    read = recording.read_recording(recorded_run)
    failing = dataclasses.replace(read, failed=(read.vectors[:, 0] > 0.5).astype(float))
    made = recording.Surrogate(failing, np.arange(60))
    fails = np.array([made.at(v).fails for v in read.vectors])
    assert fails[failing.failed == 1].mean() > 2 * fails[failing.failed == 0].mean()
    problem = dataclasses.replace(PROBLEMS["branin-currin"])
    means = problem.means({"x1": 0.5, "x2": 0.5})
    always = dataclasses.replace(problem, means=lambda settings: dataclasses.replace(means, fails=1.0))
    done = run(always)
    assert done.events and {e.state for e in done.events} == {records.FAIL}


# The command


def test_a_run_is_kept_compared_and_not_made_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["run", "--problem", "branin-currin", "--strategy", "random", "random+gate", "--seeds", "2"]
    line += ["--core-seconds", "300", "-o", str(tmp_path)]
    assert main(line) == 0 and len(capsys.readouterr().out.splitlines()) == 4
    assert main([*line[:-4], "--core-seconds", "300", "-o", str(tmp_path)]) == 0 and not capsys.readouterr().out
    stored = results.read_all(tmp_path)["branin-currin"]["random+gate"]
    assert [r.seed for r in stored] == [0, 1] and all(r.spent == 300 for r in stored)
    fresh = run(PROBLEMS["branin-currin"], "random+gate", 1, core_seconds=300)
    assert [e.core_s for e in stored[1].events] == [e.core_s for e in fresh.events]
    assert main(["table", str(tmp_path), "--baseline", "random"]) == 0
    told = capsys.readouterr().out
    assert "| random+gate | 2 |" in told and "nan" not in told
    assert main([*line[:-4], "--core-seconds", "200", "-o", str(tmp_path)]) == 2
    assert "core_seconds" in capsys.readouterr().err


def test_strategies_are_compared_after_equally_many_trials(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["run", "--problem", "branin-currin", "--strategy", "random", "qmc", "--seeds", "3", "--core-seconds", "300"]
    assert main([*line, "-o", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["paired", str(tmp_path), "--against", "random", "--at", "--trials", "12"]) == 0
    table = capsys.readouterr().out
    shares = []
    for stored in results.read_all(tmp_path)["branin-currin"]["qmc"]:
        kept = [e for e in stored.events[:12] if e.state == "COMPLETE" and e.truly_feasible and e.may_be_feasible]
        points = np.array([[e.true_robustness, e.true_fid_delta] for e in kept]).reshape(-1, 2)
        area = hypervolume(points, stored.options.reference, ("maximise", "minimise"))
        shares.append(area / stored.options.best_known)
    assert f"| qmc | 3 | {np.mean(shares):.3f} [" in table and "12 trials: found" in table
    assert main(["paired", str(tmp_path), "--against", "random", "--at", "--trials", "100000"]) == 2
    assert "has ended only" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["run", "--problem", "brainin", "--strategy", "tpe", "-o", "x"], "did you mean 'branin-currin'"),
        (["run", "--problem", "mixed", "--strategy", "tpe+gat", "-o", "x"], "did you mean 'gate'"),
        (["run", "--problem", "mixed", "--strategy", "tpee", "-o", "x"], "did you mean 'tpe'"),
        (["table", "nowhere"], "no runs of the simulator"),
        (["errors", "--recording", "nowhere"], "does not exist"),
        (["gate", "--problem", "mixed", "--strategy", "random+gate"], "a sampler alone"),
    ],
)
def test_bad_input_is_one_line(line: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line) == 2
    told = capsys.readouterr().err
    assert said in told and len(told.splitlines()) == 1


@pytest.mark.parametrize("name", ["ax", "moasha"])
def test_an_optional_sampler_runs_where_it_is_installed_and_says_so_where_not(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    line = ["run", "--problem", "mixed", "--strategy", f"{name}+gate", "--seeds", "1", "--trials", "3"]
    code = main([*line, "-o", str(tmp_path)])
    told = capsys.readouterr()
    if code:
        assert code == 2 and f"--strategy {name}" in told.err and "pip install" in told.err
    else:
        (stored,) = results.read_all(tmp_path)["mixed"][f"{name}+gate"]
        assert len(stored.events) == 3
