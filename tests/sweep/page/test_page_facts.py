"""What the page says of very many trials, of what matters, of what was spent and of failures, each against plain arithmetic."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from recorded_run import BUDGET, CAUSE, GATE, space, write_many, write_run

from search_spaces.dimum_robustness import SPACE
from sweep.page import contents
from sweep.reading.failures import failures
from sweep.reading.fronts import Front, read_front
from sweep.reading.importance import FEASIBLE, Importance, importances
from sweep.reading.nearest import gap, held
from sweep.reading.spending import climbs
from sweep.records import Writer, schemas
from sweep.statistics.estimates import hypervolume

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))
import many_records

TRIALS = 600


def synthetic(run: Path, trials: int = TRIALS, **columns: Any) -> Front:
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
    return read_front(run)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Front:
    """Robustness that rises with the learning rate alone, with some noise; no parameter has a say in fid_delta."""

    def robustness(trials: pa.Table) -> np.ndarray:
        rate = trials["param_learning_rate"].to_numpy()
        stopped = np.isnan(trials["robustness"].to_numpy(zero_copy_only=False).astype(float))
        return np.where(stopped, np.nan, 0.2 + 0.6 * rate + np.random.default_rng(1).normal(0, 0.05, len(rate)))

    return synthetic(tmp_path_factory.mktemp("many") / "run", robustness=robustness)


def test_a_page_of_few_trials_holds_them_all(tmp_path: Path) -> None:
    kept = held(read_front(write_run(tmp_path / "run", artifacts=False)))
    assert len(kept.members) == kept.total == 11 and kept.told is None


def test_of_very_many_trials_a_page_holds_the_fronts_the_nearest_and_a_share_of_the_rest(many: Front) -> None:
    kept = held(many, most=100)
    ids = [m.trial_id for m in kept.members]
    assert len(set(ids)) == len(ids) <= 100 and kept.nearest == 50
    assert kept.told and f"Of {TRIALS} trials this page draws {len(ids)}" in kept.told
    for arm in many.arms.values():
        assert {m.trial_id for m in (*arm.front, *arm.confirmed_members)} <= set(ids)
        gaps = dict(zip(arm.members.ids, gap(many, arm).tolist(), strict=True))
        near = sorted(v for a in many.arms.values() for v in gap(many, a).tolist())[49]
        assert {t for t, g in gaps.items() if g < near} <= set(ids)
        assert any(np.isinf(gaps[t]) for t in ids if t in gaps), "trials without a robustness are sampled too"


def test_the_gap_is_the_least_improvement_after_which_no_member_dominates(many: Front) -> None:
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


def test_a_thinned_page_says_so_and_counts_all(many: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.reading.nearest.held.__defaults__", (100,))
    text = contents.write(many.run, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Of 600 trials this page draws" in text and "240 complete, 60 stopped early" in text


def by_target(found: tuple[Importance, ...], arm: str | None) -> dict[str, Importance]:
    return {i.target: i for i in found if i.arm == arm}


def test_what_matters_is_found_and_what_does_not_is_not_claimed(many: Front) -> None:
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


def test_few_trials_and_figures_that_do_not_vary_have_no_importance(tmp_path: Path) -> None:
    front = read_front(write_run(tmp_path / "run", artifacts=False))
    reasons = {(i.arm, i.target): i.reason for i in importances(front)}
    assert reasons["dimum", "robustness"] == "too few trials: 5 with this figure, at least 20 are needed"
    same = synthetic(tmp_path / "same", 80, feasible=lambda t: [True] * len(t))
    assert by_target(importances(same), "dimum")[FEASIBLE].reason == "the same in all 40 trials"


def test_many_arms_share_one_forest_with_the_arm_as_a_parameter(tmp_path: Path) -> None:
    told = by_target(importances(read_front(write_many(tmp_path / "run"))), None)
    assert set(told) == {"malicious_robustness", "fid_delta", FEASIBLE}
    assert list(told["malicious_robustness"].parameters) == ["arm"]  # its learning rate never varies


def test_hypervolume_rises_as_told_and_ends_as_the_search_front(many: Front) -> None:
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
    found = failures(read_front(run))
    assert [(c.state, c.count, c.cause) for c in found.causes] == [("failed", 1, CAUSE), ("stopped early", 3, GATE)]
    assert [r["trial_id"] for r in found.causes[1].trials] == ["dimum-0004", "dimum-0007", "label_swap-0003"]
    assert found.total == 4
