"""Earlier runs are a prior: their best settings come first, their trials are none of this sweep, a resume needs neither."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from agenda_by_hand import PREPARED, agenda_of, finish, plan_in
from recorded_run import BUDGET, space, write_run

from sweep import records
from sweep.errors import UsageError
from sweep.plan.checks import validate
from sweep.plan.folders import create_run_dir
from sweep.reading.sweep import read_sweep
from sweep.records.folder import write_json
from sweep.search import warm_start
from sweep.space import Float, Objective, Settings


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("earlier") / "run", artifacts=False)


def test_what_is_taken_along_are_the_scored_trials_that_fit_with_bounds_and_errors(run: Path, tmp_path: Path) -> None:
    studies = warm_start.gather([str(run)], space())
    (dimum,), (swap,) = studies["dimum"], studies["label_swap"]
    assert [o.figures.get("robustness") for o in dimum] == [0.80, 0.90, 0.85, 0.95, None, 0.60], "0005 failed"
    assert dimum[3].excesses["fid_delta"] == pytest.approx((9.0 - BUDGET) / BUDGET)
    assert len(swap) == 4 and swap[0].settings == {"lr": 2e-4, "steps": 50}
    warm_start.write(tmp_path, studies)
    assert warm_start.read(tmp_path) == studies, "as it was, whatever becomes of the earlier run"
    assert warm_start.read(tmp_path / "elsewhere") == {}


def test_the_best_of_an_earlier_front_are_tried_after_the_questions_own_start_points(run: Path) -> None:
    question = space()
    own = ({"lr": 5e-4, "replacement": "one_image"},)
    arm = dataclasses.replace(question.arms[0], start_points=own)
    warmed = warm_start.warmed(arm, question, warm_start.gather([str(run)], question)["dimum"])
    assert warmed.start_points[0] == own[0]
    best: list[Settings] = [
        dict(read_sweep(run).member(t).parameters) for t in ("dimum-0001", "dimum-0000", "dimum-0006")
    ]
    assert list(warmed.start_points[1:]) == best, (
        "the feasible front, most robust first; what is past the budget is not of it"
    )


def test_trials_outside_todays_ranges_are_left_out_and_a_run_without_any_is_refused(run: Path) -> None:
    question = space()
    narrow = Float("lr", 1.5e-4, 1e-3, log=True)
    arms = (
        dataclasses.replace(question.arms[0], parameters=(narrow, question.arms[0].parameters[1])),
        question.arms[1],
    )
    kept = warm_start.gather([str(run)], dataclasses.replace(question, arms=arms))["dimum"][0]
    assert all(o.settings["lr"] >= 1.5e-4 for o in kept) and len(kept) == 5
    other = dataclasses.replace(question.arms[0], parameters=(Float("beta", 0.0, 1.0),))
    with pytest.raises(UsageError, match="none of its trials has the parameters of dimum"):
        warm_start.gather([str(run)], dataclasses.replace(question, arms=(other,)))


def test_trials_that_were_never_asked_for_an_objective_are_left_out_and_a_run_of_such_is_refused(
    run: Path, tmp_path: Path
) -> None:
    """As of a metric of one's own that is made an objective after a run without it."""
    question = space()
    some = Path(shutil.copytree(run, tmp_path / "some"))
    for table, name in (("trials", "dimum-0001"), ("replicates", "dimum-0001-r0")):
        file = some / "records" / table / f"{name}.parquet"
        rows = pq.read_table(file)
        at = rows.schema.get_field_index("robustness")
        pq.write_table(rows.set_column(at, rows.schema.field(at), pa.nulls(rows.num_rows, pa.float64())), file)
    (dimum,) = warm_start.gather([str(some)], question)["dimum"]
    assert [o.figures.get("robustness") for o in dimum] == [0.80, 0.85, 0.95, None, 0.60], "the fifth was pruned"
    warm_start.warmed(question.arms[0], question, [dimum])
    later = dataclasses.replace(question, objectives=(*question.objectives, Objective("shadow_auc", "minimise")))
    (pruned,) = warm_start.gather([str(run)], later)["dimum"]
    assert [o.state for o in pruned] == ["PRUNED"], "what it broke is known"
    for name in ("dimum-0004", "label_swap-0003"):
        (some / "records" / "trials" / f"{name}.parquet").unlink()
    shutil.copy(run / "records" / "trials" / "dimum-0001.parquet", some / "records" / "trials")
    shutil.copy(run / "records" / "replicates" / "dimum-0001-r0.parquet", some / "records" / "replicates")
    with pytest.raises(
        UsageError, match="none of its trials has all objectives of this question; they lack shadow_auc: "
    ):
        warm_start.gather([str(some)], later)


def test_a_sweep_begins_with_them_counts_none_of_them_and_goes_on_without_the_earlier_run(tmp_path: Path) -> None:
    first = plan_in(tmp_path / "first", trials=4, baseline_trials=0, fix=(("method", "dimum"),), sampler="qmc")
    create_run_dir(first)
    write_json(Path(first.run_dir) / "prepared.json", PREPARED)
    agenda = agenda_of(first)
    while job := agenda.next_job():
        finish(agenda, job, robustness=0.5 + job.number / 10, fid_delta=1.0)
    best = agenda.arms["dimum"].observed[3].settings

    plan = plan_in(tmp_path / "second", trials=6, baseline_trials=0, fix=(("method", "dimum"),), sampler="nehvi",
                   warm_start=(first.run_dir,))  # fmt: skip
    question = validate(plan)
    create_run_dir(plan)
    write_json(Path(plan.run_dir) / "prepared.json", PREPARED)
    warm_start.write(Path(plan.run_dir), warm_start.gather(plan.warm_start, question))
    agenda = agenda_of(plan)
    asked = []
    for _ in range(5):
        job = agenda.next_job()
        assert job is not None
        asked += [dict(job.parameters)] if job.arm == "dimum" else []
        finish(agenda, job, robustness=0.6, fid_delta=2.0)
    assert asked[2] == best, "two start points are the question's own"
    assert len([r for r in records.rows(agenda.run_dir, "trials") if r["arm"] == "dimum"]) == len(asked)
    shutil.rmtree(first.run_dir)
    again = agenda_of(plan)
    assert again.next_job() is not None


def test_a_run_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        validate(plan_in(tmp_path, warm_start=(str(tmp_path / "nowhere"),)))
