"""Dominance, intervals, fronts and comparisons, against numbers worked out by hand or by brute force."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import moocore
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from recorded_run import BUDGET, MANY, SEEDS, space, write_many, write_run
from scipy import stats

from sweep import pareto
from sweep.errors import UsageError
from sweep.reading import texts, words
from sweep.reading.arm_against_arm import comparison, standings
from sweep.reading.best import best as best_of
from sweep.reading.best import corner, front_hypervolume
from sweep.reading.comparable import comparable
from sweep.reading.sweep import Sweep, read_sweep
from sweep.reading.trial import Luck, luck_of
from sweep.records import Writer, read, schemas
from sweep.relearning.columns import AFTER_ATTACK, FORGOTTEN, RETAINED, columns
from sweep.statistics import estimates
from sweep.statistics.shares import Point, share_estimate

BOTH = ("maximise", "minimise")
T2 = 4.302652729911275  # Student's t, 2 degrees of freedom, two-sided 95 %


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("recorded") / "run", artifacts=False)


def test_nondominated_agrees_with_the_definition() -> None:
    rng = np.random.default_rng(0)
    for directions in (BOTH, ("minimise", "minimise", "maximise")):
        for _ in range(40):
            points = rng.integers(0, 6, (rng.integers(1, 25), len(directions))).astype(float)
            sign = np.array([1 if d == "minimise" else -1 for d in directions])
            expected = [
                not any(np.all(q * sign <= p * sign) and np.any(q * sign < p * sign) for q in points) for p in points
            ]
            assert estimates.nondominated(points, directions).tolist() == expected


def test_points_that_are_not_finite_are_on_no_front_and_dominate_nothing() -> None:
    points = np.array([[0.5, 1.0], [math.nan, 0.0], [math.inf, 0.0], [0.4, 2.0]])
    assert estimates.nondominated(points, BOTH).tolist() == [True, False, False, False]
    assert estimates.nondominated(np.empty((0, 2)), BOTH).tolist() == []
    with pytest.raises(ValueError, match="directions"):
        estimates.nondominated(points, ("maximize", "minimise"))


def test_hypervolume_agrees_with_counting_cells() -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        points = rng.integers(-2, 12, (rng.integers(0, 15), 2)).astype(float)
        cells = [  # robustness up from 0, cost down from 10, in unit squares
            (i, j) for i in range(12) for j in range(-2, 10) if any(p[0] >= i + 1 and p[1] <= j for p in points)
        ]
        assert estimates.hypervolume(points, (0.0, 10.0), BOTH) == pytest.approx(len(cells))


def test_hypervolume_equals_an_independent_librarys() -> None:
    """moocore's, to 1e-12, with ties, duplicates, points outside the corner and empty fronts among 300 sets."""
    rng = np.random.default_rng(1)
    for trial in range(300):
        points = rng.random((rng.integers(0, 40), 2)) * [1.2, 12.0] - [0.1, 6.0]
        if trial % 3 == 0:
            points = np.round(points, 1)  # ties and duplicates
        ours = estimates.hypervolume(points, (0.0, 5.0), BOTH)
        theirs = moocore.hypervolume(points * [-1, 1], ref=np.array([0.0, 5.0])) if len(points) else 0.0
        assert ours == pytest.approx(float(theirs), rel=1e-12, abs=1e-12)


def test_nothing_infeasible_is_ever_on_a_front(tmp_path: Path) -> None:
    """Whatever figures and states a run records, members of its fronts hold every constraint by what they are there for."""
    rng = np.random.default_rng(2)
    for i in range(12):
        run = write_run(tmp_path / str(i), artifacts=False)
        for name in ("dimum-0000", "dimum-0001", "dimum-0002"):
            path = run / "records" / "trials" / f"{name}.parquet"
            table = pq.read_table(path)
            row = table.to_pylist()[0] | {
                "fid_delta": float(rng.normal(4, 3)),
                "unlearning_accuracy": float(rng.random()),
            }
            row |= {"excess_fid_delta": (row["fid_delta"] - BUDGET) / BUDGET}
            row |= {"excess_unlearning_accuracy": (0.9 - row["unlearning_accuracy"]) / 0.9}
            row["feasible"] = row["excess_fid_delta"] <= 0 and row["excess_unlearning_accuracy"] <= 0
            row["state"] = str(rng.choice(["COMPLETE", "PRUNED", "FAIL"]))
            pq.write_table(pa.Table.from_pylist([row], schema=table.schema), path)
        front = read_sweep(run)
        for arm in front.arms.values():
            for m in arm.search_front:
                assert m.state == "COMPLETE" and m.search["fid_delta"] <= BUDGET
                assert m.search["unlearning_accuracy"] >= 0.9
            for m in arm.front:
                assert m.value("fid_delta") <= BUDGET and m.value("unlearning_accuracy") >= 0.9


def test_t_interval_is_students() -> None:
    mean, lower, upper = estimates.t_interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert (lower, upper) == (pytest.approx(2 - T2 / math.sqrt(3)), pytest.approx(2 + T2 / math.sqrt(3)))
    assert estimates.t_interval([5.0]) == (5.0, None, None)
    with pytest.raises(ValueError, match="finite"):
        estimates.t_interval([1.0, math.nan])


def test_paired_difference_uses_only_shared_seeds_and_drops_what_a_seed_does_to_both() -> None:
    a, b = {1: 10.0, 2: 20.0, 3: 31.0, 9: 500.0}, {1: 9.0, 2: 19.0, 3: 29.0, 8: -500.0}
    found = estimates.paired_difference(a, b)
    assert found is not None and found.n == 3 and found.mean == pytest.approx(4 / 3)
    assert found.upper is not None and found.upper - found.mean == pytest.approx(T2 * (1 / math.sqrt(3)) / math.sqrt(3))
    assert estimates.paired_difference({1: 1.0}, {2: 1.0}) is None


def test_the_search_front_is_feasible_and_non_dominated(run: Path) -> None:
    front = read_sweep(run)
    assert front.bounds == {"fid_budget": BUDGET}
    on = {m.trial_id for m in front.arms["dimum"].search_front}
    assert on == {"dimum-0000", "dimum-0001", "dimum-0006"}  # 0002 dominated, 0003 past the budget, 0004 gated
    assert {m.trial_id for m in front.arms["label_swap"].search_front} == {"label_swap-0000", "label_swap-0001"}
    assert front.arms["dimum"].counts == {"COMPLETE": 5, "PRUNED": 1, "FAIL": 1}


def test_the_confirmed_front_is_of_means_over_fresh_seeds(run: Path) -> None:
    front = read_sweep(run)
    assert {m.trial_id for m in front.arms["dimum"].front} == {"dimum-0000", "dimum-0001"}  # 0006 is dominated there
    assert {m.trial_id for m in front.arms["label_swap"].front} == {"label_swap-0000"}  # 0001 is past the budget there
    lost = front.member("label_swap-0001")
    assert lost.search_feasible is True and lost.feasible is False
    confirmed = front.member("dimum-0001").confirmed
    assert confirmed is not None
    robustness = confirmed["robustness"]  # .86, .88, .90
    assert (robustness.mean, robustness.n) == (pytest.approx(0.88), 3)
    students = 0.88 - T2 * 0.02 / math.sqrt(3)  # of its own seeds alone; the other trials' are as close together
    assert robustness.lower is not None and students < robustness.lower < 0.85
    moderated = front.fresh.moderated("robustness", "dimum-0001")
    variance = moderated.variance("dimum-0001")
    assert variance is not None and variance.freedom > moderated.own_freedom("dimum-0001") == 2
    assert "degrees of freedom: robustness 2 of a trial's own seeds and" in words.definitions(front)["interval"]
    assert front.member("dimum-0002").confirmed is None
    best = best_of(front, "dimum")
    assert best is not None and best.trial_id == "dimum-0001"


def test_a_short_front_says_why(run: Path) -> None:
    front = read_sweep(run)
    dominated = front.arms["dimum"].reason
    assert dominated is not None
    assert "1 of the feasible dominated by others" in dominated
    assert "1 of 3 confirmed members dominated by another" in dominated
    reason = front.arms["label_swap"].reason
    assert reason is not None
    assert "2 of 4 trials feasible: 1 exceeded the FID budget, 1 had not unlearned" in reason
    assert "1 of 2 confirmed members broke a constraint" in reason


def test_what_was_feasible_by_luck_is_counted_and_told(run: Path, tmp_path: Path) -> None:
    """label_swap-0001 measured 3.8 of 4 and its seeds' mean is 4.4; a trial past the budget is confirmed within it."""
    front = read_sweep(run)
    assert luck_of(front.arms["label_swap"].confirmed_members) == Luck(2, 1, 0, 0)
    assert luck_of(front.arms["dimum"].confirmed_members) == Luck(3, 0, 0, 0)
    said = "1 of 2 trials that measured feasible in the search are not, by the confirmed means"
    assert said in " ".join(texts.render(front, "text").split())
    assert f"label_swap: {said}" in texts.render(front, "markdown")
    assert json.loads(texts.render(front, "json"))["arms"]["label_swap"]["luck"]["lost"] == 1
    unlucky = replace(front.member("dimum-0000"), search_feasible=False)
    assert str(luck_of([unlucky])) == "1 of 1 that measured infeasible are feasible"
    assert str(luck_of([])) == "" == str(luck_of([replace(unlucky, feasible=None)]))


def test_comparison_is_paired_by_seed(run: Path) -> None:
    (pair,) = comparison(run)
    assert pair.missing is None and pair.main is not None and pair.baseline is not None
    assert (pair.main.trial_id, pair.baseline.trial_id) == ("dimum-0001", "label_swap-0000")
    rows = {(r.figure, r.series, r.step): r for r in pair.rows}
    difference = rows["robustness", None, None].difference
    assert difference is not None and difference.n == len(SEEDS)
    assert difference.mean == pytest.approx(0.20)  # .88 - .68, the seeds' shifts drop out
    assert difference.upper == pytest.approx(0.249, abs=1e-3), "what is left is what 300 paired samples leave open"
    after = rows["unlearning_accuracy", "retain", 7]  # relearning 2 x .12 and 2 x .32
    assert (after.main.mean, after.baseline.mean) == (pytest.approx(0.76), pytest.approx(0.36))
    assert after.main.lower is not None and after.main.lower < 0.70
    assert ("unlearning_accuracy", "none", 0) in rows


def test_attacks_that_do_not_count_are_told_as_excess_over_the_retrain_control(run: Path) -> None:
    (pair,) = comparison(run)
    assert {e.series for e in pair.excess} == {"public_all"}
    found = {(e.trial_id, e.step): e for e in pair.excess}
    excess = found["label_swap-0000", 7]  # (.64 + .3) - (.28 + .3)
    assert excess.control.mean == pytest.approx(0.58)
    assert excess.difference is not None and excess.difference.mean == pytest.approx(0.36)


def test_figures_made_under_different_conditions_are_not_compared(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", artifacts=False)
    other = run / "records" / "replicates" / "label_swap-0000-r2.parquet"
    table = pq.read_table(other)
    (row,) = table.to_pylist()
    pq.write_table(pa.Table.from_pylist([row | {"samples_per_retained": 500}], schema=table.schema), other)
    (pair,) = comparison(run)
    assert pair.rows == () and "samples_per_retained (50 and 500)" in str(pair.missing)


def test_a_run_before_its_confirm_phase_is_told_as_search_only(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", artifacts=False)
    for table in ("replicates", "curves", "stages"):
        for part in (run / "records" / table).glob("*-r[123].parquet"):
            part.unlink()
    front = read_sweep(run)
    assert {m.trial_id for m in front.arms["dimum"].front} == {"dimum-0000", "dimum-0001", "dimum-0006"}
    assert best_of(front, "dimum") is None and comparison(front)[0].missing
    text = texts.render(front, "text")
    assert "search only: one seed" in text and "confirm none yet" in " ".join(text.split())


def test_text_fits_a_terminal_and_says_what_it_shows(run: Path) -> None:
    text = texts.render(read_sweep(run), "text")
    assert max(map(len, text.splitlines())) <= 80
    flat = " ".join(text.split())
    for said in (
        "AURC@7",
        "at most 4",
        "100 forgotten and 50 a retained",
        "101, 102, 103",
        "classifier, SHA-256 abababababab",
        "label_swap (baseline)",
        "0.88 [0.84, 0.92]",
        "confirmed on 3 fresh seeds",
    ):
        assert said in flat


def test_every_confirmed_member_says_how_probable_it_is_within_its_bounds(run: Path) -> None:
    """fid_delta of label_swap-0001 over the seeds: 4.2, 4.4, 4.6, the budget 4: t = -.4 / (.2 / √3) on 2 degrees."""
    front = read_sweep(run)
    over, under = front.member("label_swap-0001"), front.member("dimum-0000")
    assert over.within["fid_delta"] == pytest.approx(stats.t.cdf(-0.4 / (0.2 / 3**0.5), 2))
    assert under.within["fid_delta"] == pytest.approx(stats.t.cdf(1.8 / (0.2 / 3**0.5), 2))
    assert front.member("dimum-0003").within == {}, "a search figure is of one seed"
    assert "within: fid_delta ≤ 4: 1.00, unlearning_accuracy ≥ 0.9: 1.00" in texts.render(front, "text")
    row = next(r for r in csv.DictReader(io.StringIO(texts.render(front, "csv"))) if r["trial_id"] == "label_swap-0001")
    assert float(row["within_fid_delta"]) == pytest.approx(over.within["fid_delta"])


def test_csv_and_json_hold_the_same_figures(run: Path) -> None:
    front = read_sweep(run)
    rows = {r["trial_id"]: r for r in csv.DictReader(io.StringIO(texts.render(front, "csv")))}
    assert set(rows) >= {"dimum-0005", "control-retrain"} and len(rows) == 13
    assert float(rows["dimum-0001"]["confirmed_robustness"]) == pytest.approx(0.88)
    assert "<script>" in rows["dimum-0005"]["cause"] and rows["dimum-0001"]["param_replacement"] == "noise"
    told = json.loads(texts.render(front, "json"))
    member = next(m for m in told["arms"]["dimum"]["members"] if m["trial_id"] == "dimum-0001")
    assert member["confirmed"]["robustness"]["n"] == 3
    assert told["comparison"][0]["main"] == "dimum-0001"
    with pytest.raises(UsageError, match="yaml"):
        texts.render(front, "yaml")


def test_markdown_escapes_what_a_question_may_hold(run: Path) -> None:
    text = texts.render(read_sweep(run), "markdown")
    assert "<more>" not in text and "&lt;more>" in text and "| dimum-0001 | dimum | confirmed | 0.88 [" in text


def test_runs_under_other_conditions_are_said_to_be_incomparable(run: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", artifacts=False)
    same = texts.render([read_sweep(run), read_sweep(other)], "text")
    assert "NOT comparable" not in same and "comparable" in same
    plan = json.loads((other / "plan.json").read_text())
    (other / "plan.json").write_text(json.dumps(plan | {"forget": "5"}))
    assert "NOT comparable, they differ in forget" in texts.render([read_sweep(run), read_sweep(other)])


def test_runs_under_attacks_of_other_settings_are_said_to_be_incomparable(run: Path, tmp_path: Path) -> None:
    paths = [Path(shutil.copytree(run, tmp_path / name)) for name in ("one", "two")]
    for path, rate in zip(paths, (3e-4, 1e-3), strict=True):
        plan = json.loads((path / "plan.json").read_text())
        settings = {"retain": {"auxiliary": "retain", "learning_rate": rate}, "public_all": {}}
        (path / "plan.json").write_text(json.dumps(plan | {"attack_settings": settings}))
    one, two = map(read_sweep, paths)
    assert comparable([one, two]) == ["attack_settings"]
    in_another_order = {"attack_settings": dict(reversed(one.plan["attack_settings"].items()))}
    assert comparable([one, replace(one, plan=one.plan | in_another_order)]) == []
    assert comparable([read_sweep(run), two]) == [], "what an older plan does not say is no difference"


def test_the_code_of_an_arm_is_that_of_its_search(run: Path, tmp_path: Path) -> None:
    """What is narrowed on fresh seeds is attacked or not, by the figures asked for, and so of other code from run to run."""
    confirmed, searched = (Path(shutil.copytree(run, tmp_path / name)) for name in ("confirmed", "searched"))
    for path, confirm in ((confirmed, True), (searched, False)):
        writer = Writer(path, schemas(space()))
        for row in read(path, "replicates").to_pylist():
            if row["arm"] == "dimum" and (row["replicate"] >= 1) == confirm:
                writer.replicate(row | {"code_version": "fedcba9876543210"}, [], [])
    assert comparable([read_sweep(run), read_sweep(confirmed)]) == []
    assert comparable([read_sweep(run), read_sweep(searched)]) == ["code of dimum"]


def test_an_arm_that_has_not_begun_is_no_difference_of_code(run: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", artifacts=False)
    for table in ("trials", "replicates", "stages"):
        for file in (other / "records" / table).glob("label_swap-*"):
            file.unlink()
    assert not read_sweep(other).arms["label_swap"].members
    assert comparable([read_sweep(run), read_sweep(other)]) == []


def test_a_confirmed_trial_of_whose_bound_nothing_is_known_broke_none(run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "other"))
    (other / "prepared.json").unlink()
    arm = read_sweep(other).arms["dimum"]
    assert {trial.feasible for trial in arm.confirmed_members} == {None}
    assert "broke a constraint" not in (arm.reason or "")


def test_a_trial_that_the_records_lack_is_named(run: Path) -> None:
    with pytest.raises(UsageError, match=r"no trial dimum-9999; .*sweep\.repair"):
        read_sweep(run).member("dimum-9999")


def test_the_command_prints_and_exits_with_0(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pareto.main([str(run), "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith("run,trial_id,")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return read_sweep(write_many(tmp_path_factory.mktemp("many") / "run"))


def test_the_first_objective_decides_which_member_is_best_whatever_it_is(many: Sweep) -> None:
    """Robustness is the same for every trial of this run: its question is another one."""
    assert [o.metric for o in many.objectives] == ["malicious_robustness", "fid_delta"]
    best = best_of(many, "method_03")
    assert (
        best is not None
        and best.trial_id == "method_03-0000"
        and best.value("malicious_robustness") == pytest.approx(0.56)
    )
    assert corner(many) == (0.0, BUDGET)
    assert front_hypervolume(many, "method_03") == pytest.approx(0.56 * (BUDGET - 1.45))


def test_standings_are_by_the_first_objective_and_what_is_infeasible_or_failed_comes_last(many: Sweep) -> None:
    found = standings(many)
    names = [s.arm for s in found]
    assert names[:2] == ["method_14", "method_13"] and names[-3:] == ["meta-method_01", "method_15", "method_16"]
    assert len(names) == MANY and found[0].ahead is None
    behind = found[1].ahead
    assert behind is not None and behind.mean == pytest.approx(0.02)
    assert behind.upper == pytest.approx(0.043, abs=1e-3), "all seeds differ by the same, and 300 samples may not"
    assert found[-2].member is not None and found[-2].member.feasible is False
    assert found[-1].member is None and "2 failed" in str(found[-1].reason)


def test_without_baselines_the_main_arm_is_held_against_every_other(many: Sweep) -> None:
    told = comparison(many)
    assert [p.baseline_arm for p in told] == [f"method_{i:02d}" for i in range(1, MANY)]
    assert {p.arm for p in told} == {"meta-method_01"}
    assert [r.figure for r in told[0].rows[:2]] == ["malicious_robustness", "fid_delta"]
    assert told[0].rows[0].difference is not None and told[0].rows[0].difference.mean == pytest.approx(-0.02)


def test_a_wrapped_method_is_held_against_the_baseline_that_it_wraps(tmp_path: Path) -> None:
    run = write_many(tmp_path / "run")
    plan = json.loads((run / "plan.json").read_text())
    for name in ("method_01", "method_02"):
        plan["arms"][name]["baseline"] = True
    (run / "plan.json").write_text(json.dumps(plan))
    told = {(p.arm, p.baseline_arm) for p in comparison(run)}
    assert told == {("meta-method_01", "method_01"), ("meta-method_01", "method_02")}
    plan["main_arm"] = "method_03"
    (run / "plan.json").write_text(json.dumps(plan))
    told = {(p.arm, p.baseline_arm) for p in comparison(run)}
    assert told == {("meta-method_01", "method_01"), ("method_03", "method_02")}


def test_an_arm_whose_figures_are_of_another_sampler_has_no_place_and_is_held_against_none() -> None:
    """SFD's generator takes one step where the others take ten of DDIM."""
    sweep = read_sweep(Path(__file__).parents[3] / "benchmarks" / "at_length" / "methods_vs_dimra-digits-8")
    every = standings(sweep)
    (apart,) = (s for s in every if s.arm == "sfd")
    assert apart.member is not None and apart.member.feasible and apart.ahead is None
    assert apart.unplaced == "not comparable, it differs in sampler (ddim-10 and one-step@440)"
    placed = [s for s in every if not s.unplaced]
    assert len(placed) == 8 and all(s.ahead is not None for s in placed[1:])
    assert every.index(apart) > len(placed) - 1, "after all that have a place"
    told = texts.render([sweep], "text")
    assert re.search(
        r"^ +— sfd .*\*$", told, re.MULTILINE
    ) and "(ddim-10 and one-step@440): it has no place" in " ".join(told.split())
    assert "| — | sfd | sfd-0004 (not comparable, it differs in sampler" in texts.render([sweep], "markdown")


def test_the_best_of_all_has_no_place_where_its_figures_come_about_otherwise_than_the_main_arms(
    many: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = [s.arm for s in standings(many)]
    assert usual[:2] == ["method_14", "method_13"] and many.plan["main_arm"] != "method_14"
    monkeypatch.setattr(
        "sweep.reading.arm_against_arm.differing", lambda sweep, one, other: ["sampler"] * (other.arm == "method_14")
    )
    found = standings(many)
    placed = [s.arm for s in found if not s.unplaced]
    assert placed[0] == "method_13" and "method_14" not in placed and found[0].ahead is None
    assert [s.arm for s in found].index("method_14") >= len(placed)
    (apart,) = (s for s in found if s.arm == "method_14")
    assert apart.ahead is None and apart.unplaced == "not comparable, it differs in sampler"


def test_many_arms_fit_a_terminal_and_end_with_their_standings(many: Sweep) -> None:
    text = texts.render(many, "text")
    commands = [line for line in text.splitlines() if line.startswith("  python -m ")]  # whole, for a shell to take
    assert max(len(line) for line in text.splitlines() if line not in commands) <= 80
    assert "read it against the retrain control's" in " ".join(text.split())
    table = text[text.index("standings ") :]
    assert (
        table.index(" 1 method_14")
        < table.index(" 2 method_13")
        < table.index("— method_15")
        < table.index("nothing scored")
    )
    assert "| 1 | method_14 | method_14-0000 | 0.78 [0.73, 0.82]" in texts.render(many, "markdown")
    told = json.loads(texts.render(many, "json"))["standings"]
    assert told[0] == {"arm": "method_14", "trial_id": "method_14-0000", "behind_first": None, "unplaced": ""}
    rows = {r["trial_id"]: r for r in csv.DictReader(io.StringIO(texts.render(many, "csv")))}
    assert float(rows["method_14-0000"]["confirmed_malicious_robustness"]) == pytest.approx(0.78)
    assert float(rows["method_14-0000"]["confirmed_membership_auc"]) == pytest.approx(0.595)


def test_what_nothing_dominates_is_the_definition_with_ties_equals_and_figures_that_are_not_finite() -> None:
    rng = np.random.default_rng(0)
    for n in (0, 1, 2, 7, 60):
        for directions in (["maximise", "minimise"], ["minimise", "minimise"], ["maximise", "maximise"]):
            for _ in range(40):
                points = rng.integers(0, 6, (n, 2)).astype(float)  # few values: ties and equal points abound
                points[rng.random((n, 2)) < 0.05] = rng.choice([math.nan, math.inf])
                sign = np.array([1 if d == "maximise" else -1 for d in directions])
                ok = np.isfinite(points).all(axis=1)
                better = [
                    [ok[j] and (sign * points[j] >= sign * p).all() and (points[j] != p).any() for j in range(n)]
                    for p in points
                ]
                expected = [bool(ok[i]) and not any(better[i]) for i in range(n)]
                assert estimates.nondominated(points, directions).tolist() == expected


def test_a_run_without_the_newer_columns_is_still_read(run: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(run, old)
    for table in ("trials", "replicates"):
        for part in (old / "records" / table).glob("*.parquet"):
            rows = pq.read_table(part)
            pq.write_table(rows.drop_columns(["malicious_robustness", "membership_auc"]), part)
    front = read_sweep(old)
    assert front.member("dimum-0001").value("malicious_robustness") is None
    told = [" ".join(texts.render(f).split()).replace(str(f.run), "") for f in (front, read_sweep(run))]
    assert told[0] == told[1]


@pytest.mark.parametrize("damage", ["no folder", "no plan", "bad plan", "plan without arms"])
def test_what_is_no_run_folder_is_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    folder = tmp_path / "run"
    if damage != "no folder":
        folder.mkdir()
    if damage == "bad plan":
        (folder / "plan.json").write_text("{")
    if damage == "plan without arms":
        write_run(folder, artifacts=False)
        (folder / "plan.json").write_text('{"space": "x"}')
    assert pareto.main([str(folder)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and str(folder) in error


def test_reading_a_front_imports_nothing_heavy() -> None:
    heavy = ("torch", "ray", "matplotlib", "optuna", "plotly")
    code = f"import sys, sweep.pareto; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_every_share_has_one_interval_wherever_it_is_shown(run: Path) -> None:
    """Seeds that agree on .95 of 450 images are no proof of it: member, table, curve and page leave the same room."""
    member = read_sweep(run).member("dimum-0000")
    confirmed = member.confirmed or {}
    assert [member.search["unlearning_accuracy"], confirmed["unlearning_accuracy"].n] == [1.0, 3]
    retained = share_estimate([Point(0.95, 450)] * 3)
    assert (
        confirmed["retain_accuracy"] == retained
        and retained is not None
        and retained.lower == pytest.approx(0.937, abs=1e-3)
    )
    assert confirmed["precision"] == share_estimate([Point(0.71, 450)] * 3)
    unlearned = share_estimate([Point(1.0, 100)] * 3)
    assert confirmed["unlearning_accuracy"] == unlearned
    [pair] = comparison(run)
    [row] = [r for r in pair.rows if r.figure == "unlearning_accuracy" and r.series == "none"]
    assert (
        row.main == unlearned and row.difference is not None and row.difference.upper == pytest.approx(0.0126, abs=1e-4)
    )
    assert confirmed["recall"].lower == confirmed["recall"].upper == 0.62, "a recall is no share of samples"


def test_figures_that_are_shares_of_samples_say_of_which() -> None:
    known = columns()
    said = {name: known.fact(name, "samples") for name in known.names if known.is_share(name)}
    none = {"recall", "forgotten_confidence", "membership_auc", "membership_tpr", "shadow_auc"}
    none |= {"cross_facet_accuracy", "anchors_as_forgotten"}  # of samples whose number replicates do not tell
    assert {name for name, samples in said.items() if not samples} == none
    assert set(said.values()) <= {FORGOTTEN, RETAINED, AFTER_ATTACK, ""}
    assert not any(known.fact(name, "samples") for name in known.names if not known.is_share(name))
