"""The recorder's settings are of the space; what it recorded can be taken up elsewhere, and nothing is run twice."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.search import record
from search_spaces.dimum_robustness import DIMUM
from sweep import records
from sweep.errors import UsageError
from sweep.plan.folders import create_run_dir
from sweep.plan.plan import Plan
from sweep.records import COMPLETE
from trainables.relearning.experiment import Experiment

FIGURES = {"unlearning_accuracy": 1.0, "retain_accuracy": 0.95}


def plan_in(folder: Path, arms: str = "dimum") -> Plan:
    fix = (("method", arms),)
    return Plan.of(
        space=record.SPACE, run_dir=str(folder), artifacts=str(folder / "store"), trials=10, baseline_trials=0,
        sampler="qmc", fix=fix, confirm_seeds=2,
    )  # fmt: skip


def recording(folder: Path, arms: str = "dimum") -> record.Recording:
    plan = plan_in(folder, arms)
    if not folder.exists():
        create_run_dir(plan)
    return record.Recording(
        plan, plan.question().bounded({"fid_budget": 5.0}), Experiment(store=str(folder / "store")), 4, 3
    )


def run(agenda: record.Recording, most: int = 999) -> list[str]:
    """Every replicate is done at once: the later its number, the better; the names in order."""
    names = []
    while len(names) < most and (job := agenda.next_job()):
        names.append(job.name)
        figures = FIGURES | {"robustness": job.number / 10, "fid_delta": float(job.number % 4), "seed": job.spec.seed}
        agenda.take(job.name, {"stage": None, "curves": [], "figures": figures, "state": COMPLETE, "cause": None})
    return names


def test_settings_anywhere_and_near_others_are_of_the_space() -> None:
    anywhere = record.sobol(DIMUM, 64, 0)
    rng = np.random.default_rng(0)
    near = [record._neighbour(DIMUM, p, rng) for p in anywhere]
    for settings in (*anywhere, *near):
        assert DIMUM.check(settings) == settings
    assert {s["replacement"] for s in anywhere} == set(DIMUM.parameters[0].branches)  # type: ignore[union-attr]
    moved = [sum(a[k] != b[k] for k in a) for a, b in zip(anywhere, near, strict=True)]
    assert 2 < np.mean(moved) < 7, "about half of nine parameters"


def test_every_setting_is_run_then_some_on_further_seeds_and_none_is_gated(tmp_path: Path) -> None:
    agenda = recording(tmp_path / "run")
    job = agenda.next_job()
    assert job is not None and job.spec.gate == () and dict(job.parameters) == dict(DIMUM.start_points[0])
    agenda.running.clear()
    names = run(agenda)
    assert names[:10] == [f"dimum-{n:04d}-r0" for n in range(10)]
    assert len(names) == 18 and [n[-2:] for n in names[10:]] == ["r1"] * 4 + ["r2"] * 4
    assert agenda.finished and recording(tmp_path / "run").next_job() is None


def test_arms_take_turns_and_one_of_which_all_fails_is_recorded_to_its_end(tmp_path: Path) -> None:
    agenda = recording(tmp_path / "run", "dimum,label_swap")
    names = []
    while job := agenda.next_job():
        names.append(job.name)
        if job.arm == "label_swap":
            agenda.fail(job.name, "OSError: disk full")
        else:
            figures = FIGURES | {"robustness": job.number / 10, "fid_delta": 1.0, "seed": job.spec.seed}
            agenda.take(job.name, {"stage": None, "curves": [], "figures": figures, "state": COMPLETE, "cause": None})
    assert names[:4] == ["dimum-0000-r0", "label_swap-0000-r0", "dimum-0001-r0", "label_swap-0001-r0"]
    assert [n for n in names if n.startswith("label")] == [f"label_swap-{n:04d}-r0" for n in range(5)]
    assert sum(n.startswith("dimum") for n in names) == 5 + 2 * 4 and agenda.finished


def test_tables_are_taken_up_elsewhere_and_only_what_is_missing_is_run(tmp_path: Path) -> None:
    first = recording(tmp_path / "first")
    run(first, most=6)
    for name in ("plan", "prepared"):
        path = first.run_dir / f"{name}.json"
        if name == "prepared":
            record.write_json(path, {"fid_budget": 5.0, "fid_budget_rule": "", "fid_delta_sd": 1.0, "fid_base": 9.0,
                                     "classifier_accuracy": 1.0})  # fmt: skip
    record.write_tables(first.run_dir, tmp_path / "tables")
    assert str(tmp_path) not in (tmp_path / "tables" / "facts.json").read_text()

    second = plan_in(tmp_path / "second")
    create_run_dir(second)
    record.take_up(tmp_path / "tables", tmp_path / "second", second.question())
    names = run(recording(tmp_path / "second"))
    assert names[0] == "dimum-0006-r0" and len(names) == 12
    settings = [r["param_learning_rate"] for r in records.rows(first.run_dir, "trials")]
    assert [r["param_learning_rate"] for r in records.rows(tmp_path / "second", "trials")][:6] == settings
    same = {"fid_budget": 5.0, "fid_delta_sd": 1.0, "fid_base": 9.0}
    record.same_question(tmp_path / "tables", same)
    with pytest.raises(UsageError, match=r"fid_base was 9\.0 there and is 9\.5 here"):
        record.same_question(tmp_path / "tables", same | {"fid_base": 9.5})
