"""What the page says of very many trials, of what matters, of what was spent and of failures, each against plain arithmetic."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from recorded_run import BUDGET, CAUSE, GATE, by_learning_rate, space, write_default, write_many, write_run

from search_spaces.dimum_robustness import SPACE
from sweep.page import contents
from sweep.reading.dependence import dependences
from sweep.reading.failures import failures
from sweep.reading.importance import FEASIBLE, Importance, importances
from sweep.reading.nearest import gap, held
from sweep.reading.spending import climbs
from sweep.reading.sweep import Sweep, read_sweep
from sweep.reading.words import interval
from sweep.records import Writer, schemas
from sweep.statistics.estimates import hypervolume

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))
import many_records

TRIALS = 600


def synthetic(run: Path, trials: int = TRIALS, **columns: Any) -> Sweep:
    """A synthetic run of very many trials, some columns of `trials` replaced by what a function makes of the table."""
    run.mkdir()
    Writer(run, schemas(SPACE))
    tables = many_records.tables(trials)
    for name, make in columns.items():
        at = tables["trials"].schema.get_field_index(name)
        field = tables["trials"].schema.field(at)
        values = pa.array(make(tables["trials"]), field.type, from_pandas=True)
        tables["trials"] = tables["trials"].set_column(at, field, values)
    for name, table in tables.items():
        pq.write_table(table, run / "records" / name / "written.parquet")
    many_records.write_json(run)
    return read_sweep(run)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """Robustness that rises with the learning rate alone, with some noise; no parameter has a say in fid_delta."""

    def robustness(trials: pa.Table) -> np.ndarray:
        rate = trials["param_learning_rate"].to_numpy()
        stopped = np.isnan(trials["robustness"].to_numpy(zero_copy_only=False).astype(float))
        return np.where(stopped, np.nan, 0.2 + 0.6 * rate + np.random.default_rng(1).normal(0, 0.05, len(rate)))

    return synthetic(tmp_path_factory.mktemp("many") / "run", robustness=robustness)


def test_a_page_of_few_trials_holds_them_all(tmp_path: Path) -> None:
    kept = held(read_sweep(write_run(tmp_path / "run", artifacts=False)))
    assert len(kept.members) == kept.total == 11 and kept.left_out is None


def test_of_very_many_trials_a_page_holds_the_fronts_the_nearest_and_a_share_of_the_rest(many: Sweep) -> None:
    kept = held(many, most=100)
    ids = [m.trial_id for m in kept.members]
    assert len(set(ids)) == len(ids) <= 100 and kept.nearest == 50
    assert kept.left_out and f"Of {TRIALS} trials this page draws {len(ids)}" in kept.left_out
    for arm in many.arms.values():
        assert {m.trial_id for m in (*arm.front, *arm.confirmed_members)} <= set(ids)
        gaps = dict(zip(arm.members.ids, gap(many, arm).tolist(), strict=True))
        near = sorted(v for a in many.arms.values() for v in gap(many, a).tolist())[49]
        assert {t for t, g in gaps.items() if g < near} <= set(ids)
        assert any(np.isinf(gaps[t]) for t in ids if t in gaps), "trials without a robustness are sampled too"


def test_the_gap_is_the_least_improvement_after_which_no_member_dominates(many: Sweep) -> None:
    arm = next(iter(many.arms.values()))
    members = list(arm.members)
    found = gap(many, arm)
    points = np.array([[m.value("robustness") or np.nan, m.value("fid_delta")] for m in members], dtype=float)
    drawn = np.isfinite(points).all(axis=1)
    spread = np.subtract(*np.quantile(points[drawn], (0.95, 0.05), axis=0))
    front = np.array([[m.value("robustness"), m.value("fid_delta")] for m in arm.front])
    for i in np.flatnonzero(drawn)[:80]:
        if members[i].feasible and not members[i].on_front and not members[i].confirmed:
            better = points[i] + np.array([1, -1]) * (found[i] + 1e-9) * spread
            worse = points[i] + np.array([1, -1]) * (found[i] - 1e-6) * spread
            beaten = [((front - p) * [1, -1] > 0).all(axis=1).any() for p in (better, worse)]
            assert beaten == [False, True] or (found[i] == 0 and not beaten[0])


def test_a_thinned_page_says_so_and_counts_all(many: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.reading.nearest.held.__defaults__", (100,))
    text = contents.write(many.run, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Of 600 trials this page draws" in text and "240 complete, 60 stopped early" in text


def by_target(found: tuple[Importance, ...], *arms: str) -> dict[str, Importance]:
    return {i.target: i for i in found if i.arms == arms}


def test_what_matters_is_found_and_what_does_not_is_not_claimed(many: Sweep) -> None:
    told = by_target(importances(many), next(iter(many.arms)))
    first = told["robustness"]
    assert first.reason is None and first.score and first.score.lower and first.score.lower > 0.5
    names = list(first.parameters)
    assert names[0] == "learning_rate"
    rate, *others = first.parameters.values()
    assert rate.lower and rate.lower > 0.5 and all(o.lower is not None and o.lower < 0.05 for o in others)
    fid = told["fid_delta"]
    assert (
        fid.reason
        and "do not tell" in fid.reason
        and fid.score
        and fid.score.lower is not None
        and fid.score.lower <= 0
    )
    assert set(told) == {"robustness", "fid_delta", FEASIBLE}


def test_what_each_value_does_is_told_of_many_trials_and_not_of_few(many: Sweep, default: Sweep) -> None:
    arm = next(iter(many.arms))
    found = {d.target: d for d in dependences(many) if d.arm == arm}
    fit = found["robustness"].fit
    assert fit is not None
    (low, least), (middle, _), (high, most) = fit.effects["learning_rate"].items()
    assert isinstance(low, tuple) and isinstance(middle, tuple) and isinstance(high, tuple)
    assert low[1] <= middle[0] < middle[1] <= high[0]
    assert least.upper is not None and most.lower is not None and least.upper < 0 < most.lower
    rise = 0.6 * (sum(high) - sum(low)) / 2
    assert most.mean - least.mean == pytest.approx(rise, rel=0.2), "0.6 of the rate, as it was written"
    assert list(found["robustness"].certain) == ["learning_rate"]
    assert found["fid_delta"].fit and not found["fid_delta"].certain
    assert {d.reason and d.reason.partition(":")[0] for d in dependences(default)} == {"too few trials"}


def test_parts_of_a_number_whose_ends_read_alike_are_all_there(tmp_path: Path) -> None:
    def rate(trials: pa.Table) -> np.ndarray:
        return 0.5 + 1e-6 * trials["param_learning_rate"].to_numpy()

    sweep = synthetic(tmp_path / "run", 200, param_learning_rate=rate)
    fitted = [d for d in dependences(sweep) if d.fit]
    assert fitted and all(len(d.effects["learning_rate"]) == 3 for d in fitted)


def test_the_page_has_what_each_word_adds_and_why_other_figures_have_nothing(tmp_path: Path) -> None:
    """Blank images add .3 to the first arm's robustness; the second arm has no such word, and as few trials as have no fit."""

    def kinds(trials: pa.Table) -> list[str | None]:
        arms = trials["arm"].to_pylist()
        return [("blank", "noise", "one_image")[i % 3] if arm == "dimum" else None for i, arm in enumerate(arms)]

    def arms(trials: pa.Table) -> list[str]:
        return [
            a if a == "control" else "dimum" if i < 100 else "label_swap"
            for i, a in enumerate(trials["arm"].to_pylist())
        ]

    def robustness(trials: pa.Table) -> np.ndarray:
        known = np.isfinite(trials["robustness"].to_numpy(zero_copy_only=False).astype(float))
        blank = np.array([kind == "blank" for kind in trials["param_replacement"].to_pylist()])
        return np.where(known, 0.5 + 0.3 * blank + np.random.default_rng(1).normal(0, 0.05, len(blank)), np.nan)

    sweep = synthetic(tmp_path / "run", 110, arm=arms, param_replacement=kinds, robustness=robustness)
    (found,) = [d for d in dependences(sweep) if (d.arm, d.target) == ("dimum", "robustness")]
    blank = found.certain["replacement"]["blank"]
    assert blank.mean == pytest.approx(0.2, abs=0.05) and blank.lower is not None and blank.lower > 0.1
    text = contents.write(sweep.run, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<h3>What each value does</h3>" in text
    row = re.search(r'<tr class="sure"><th scope="row">blank</th>(.*?)</tr>', text)
    assert row and interval(blank) in re.sub("<[^>]+>", "", row[1]) and "--from:" in row[1]
    assert (
        "too few trials: 10 with this figure, at least 31 are needed: fid_delta of label_swap, feasible of label_swap"
        in text
    )


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """16 trials and 8 of the baseline, 20 of them attacked; robustness rises with the learning rate."""
    return read_sweep(write_default(tmp_path_factory.mktemp("default") / "run"))


def redrawn(front: Sweep, seed: int, decides: Callable[[dict[str, Any]], float]) -> Sweep:
    """The same trials with other luck: robustness of what `decides` and noise, the other figures of noise alone."""
    rng, table = np.random.default_rng(seed), front.trial_table
    rows = table.to_pylist()
    settings = [{k.removeprefix("param_"): v for k, v in row.items()} for row in rows]
    levels = [0.3 + decides(one) + rng.normal(0, 0.05) for one in settings]
    new = {"robustness": [None if r["robustness"] is None else v for r, v in zip(rows, levels, strict=True)]}
    new["fid_delta"] = rng.gamma(2.0, 1.5, len(rows)).tolist()
    new["feasible"] = (rng.uniform(size=len(rows)) < 0.6).tolist()
    for name, values in new.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))
    return dataclasses.replace(front, trial_table=table)


def test_a_default_sweep_says_what_decides_it_and_how_sure_that_is(default: Sweep) -> None:
    """The arms together, the parameters of one arm among that arm's trials."""
    found, wrong = 0, 0
    for seed in range(40):
        told = by_target(importances(redrawn(default, seed, by_learning_rate)), "dimum", "label_swap")
        first = told["robustness"]
        assert (first.measure, first.trials, told["fid_delta"].trials, told[FEASIBLE].trials) == ("ranks", 20, 24, 24)
        found += "learning_rate" in first.sure and next(iter(first.parameters)) == "learning_rate"
        wrong += any(set(i.sure) - {"learning_rate"} or (i.sure and i.target != "robustness") for i in told.values())
        shown = set(first.parameters)
        assert {"lambda_ratio", "arm = label_swap", "trained_parameters = condition_mid"} <= shown
        assert "trained_parameters = all" not in shown, "of two words the one says the other"
        assert first.parameters["replacement_images"].n == 13, "dimum's own"
    assert found >= 36 and wrong <= 2


def test_where_nothing_decides_a_default_sweep_nothing_is_claimed(default: Sweep) -> None:
    """Three figures each: the intervals of all of them together claim anything in at most 1 run of 20."""
    wrong, reasons = 0, []
    for seed in range(40):
        found = importances(redrawn(default, seed, lambda settings: 0.25))
        wrong += any(i.sure for i in found)
        reasons += [i.reason for i in found if not i.sure]
    assert wrong <= 2
    assert all(r and "trials do not tell: every interval holds 0" in r and "would have shown" in r for r in reasons)


def test_too_few_trials_and_figures_that_do_not_vary_have_no_importance(tmp_path: Path) -> None:
    front = read_sweep(write_run(tmp_path / "run", artifacts=False))
    told = by_target(importances(front), "dimum", "label_swap")
    assert told["robustness"].reason and "8 trials do not tell" in told["robustness"].reason
    for trial in list((front.run / "records" / "trials").glob("*.parquet"))[:3]:
        trial.unlink()
    reasons = {i.target: i.reason for i in importances(read_sweep(front.run))}
    assert reasons["robustness"] and "too few trials: " in reasons["robustness"]
    same = synthetic(tmp_path / "same", 80, feasible=lambda t: [True] * len(t))
    assert by_target(importances(same), "dimum", "label_swap")[FEASIBLE].reason == "the same in all 80 trials"


def test_an_arm_with_many_trials_has_a_forest_and_the_other_its_correlations(tmp_path: Path) -> None:
    def arms(trials: pa.Table) -> list[str]:
        return ["dimum" if a != "control" and i < 90 else a for i, a in enumerate(trials["arm"].to_pylist())]

    found = importances(synthetic(tmp_path / "run", 120, arm=arms))
    assert {(i.arms, i.target, i.measure) for i in found if i.target == "fid_delta"} == {
        (("dimum",), "fid_delta", "forest"),
        (("label_swap",), "fid_delta", "ranks"),
    }


def test_many_arms_share_one_forest_or_one_table_with_the_arm_as_a_parameter(tmp_path: Path) -> None:
    front = read_sweep(write_many(tmp_path / "run"))
    told = by_target(importances(front), *front.arms)
    assert set(told) == {"malicious_robustness", "fid_delta", FEASIBLE}
    assert all(name.startswith("arm = ") for name in told["malicious_robustness"].parameters), "no other ever varies"
    assert told["malicious_robustness"].trials == 32


def test_hypervolume_rises_as_told_and_ends_as_the_search_front(many: Sweep) -> None:
    found = {c.arm: c for c in climbs(many)}
    told = [r for r in many.trial_table.to_pylist() if r["arm"] in many.arms]
    told.sort(key=lambda r: (r["told_at"], r["trial_id"]))
    for name, arm in many.arms.items():
        climb = found[name]
        at = {}
        for n in (1, 50, 333, TRIALS):
            own = [r for r in told[:n] if r["arm"] == name and r["feasible"] and r["robustness"] is not None]
            points = np.array([[r["robustness"], r["fid_delta"]] for r in own]).reshape(-1, 2)
            at[n] = hypervolume(points, (0.0, BUDGET), ["maximise", "minimise"])
        shown = {
            n: max((v for t, v in zip(climb.trials, climb.volume, strict=True) if t <= n), default=0.0) for n in at
        }
        assert shown == pytest.approx(at), name
        assert climb.trials[-1] == TRIALS and list(climb.volume) == sorted(climb.volume)
        assert climb.core_hours[-1] == pytest.approx((TRIALS + 2) * 12.5 / 3600)  # the controls' time is spent too
        assert len(arm.search_front) <= len(climb.volume)


def test_failures_are_counted_by_cause_numbers_aside(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", artifacts=False)
    writer = Writer(run, schemas(space()))
    again = GATE.replace("20.0", "31.5").replace("17.2", "28.0")
    writer.trial(
        {"trial_id": "dimum-0007", "arm": "dimum", "method": "dimum", "number": 7, "state": "PRUNED", "cause": again}
    )
    found = failures(read_sweep(run))
    assert [(c.state, c.count, c.cause) for c in found.causes] == [("failed", 1, CAUSE), ("stopped early", 3, GATE)]
    assert [r["trial_id"] for r in found.causes[1].trials] == ["dimum-0004", "dimum-0007", "label_swap-0003"]
    assert found.total == 4
