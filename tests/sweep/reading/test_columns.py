"""Trials as columns say what the members say, and a run of many trials is read and drawn by its columns."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
from recorded_run import write_many, write_run

from sweep.page.figures import LABELLED, front_figure, png_bytes
from sweep.reading.columns import points_of
from sweep.reading.sweep import read_sweep
from sweep.reading.texts import render

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "many_records.py"


def test_the_columns_hold_what_each_member_tells(tmp_path: Path) -> None:
    for write in (write_run, write_many):
        front = read_sweep(write(tmp_path / write.__name__))
        first, second = (o.metric for o in front.objectives)
        for arm in front.arms.values():
            points, members = points_of(front, arm), list(arm.members)
            for metric, column in ((first, points.first), (second, points.second)):
                expected = [math.nan if (v := m.value(metric)) is None else v for m in members]
                np.testing.assert_array_equal(column, expected)
            assert points.feasible.tolist() == [bool(m.feasible) for m in members]
            assert points.on_front.tolist() == [m.on_front for m in members]
            assert points.confirmed.tolist() == [m.confirmed is not None for m in members]
            assert points.drawn.tolist() == [None not in (m.value(first), m.value(second)) for m in members]


def test_of_many_trials_few_are_made_into_members_to_print_and_to_draw_the_front(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("many_records", BENCHMARK)
    assert spec and spec.loader
    many = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(many)
    many.write_compacted(tmp_path, 3_000)
    front = read_sweep(tmp_path)
    assert render(front).count(" of 1500 trials") >= 2
    assert png_bytes(front_figure(front)).startswith(b"\x89PNG")
    drawn = front_figure(front).axes[0]
    labels = [t.get_text() for t in drawn.texts]
    assert sum("-" in label for label in labels) <= 2 * LABELLED
    markers = sum(len(line.get_xdata()) for line in drawn.lines)
    assert markers >= sum(int(points_of(front, a).drawn.sum()) for a in front.arms.values()), (
        "every scored trial is drawn"
    )
    for arm in front.arms.values():
        told = {m.trial_id for m in (*arm.front, *arm.search_front, *arm.confirmed_members, arm.search_best) if m}
        assert len(arm.members) == 1_500 and set(arm.members._made) == {arm.members.ids[t] for t in told}
