"""The terminal tells the front of the question's own objectives, whatever they are."""

from __future__ import annotations

import io

import pytest

from sweep.progress import Progress
from sweep.records import COMPLETE
from sweep.space import Objective

HARM = (Objective("malicious_robustness", "maximise"), Objective("fid_delta", "minimise"))
FORGET = (Objective("membership_auc", "minimise"), Objective("retain_accuracy", "maximise"))


def row(trial: str, **figures: float) -> dict:
    return {"trial_id": trial, "arm": "dimum", "state": COMPLETE, "feasible": True} | figures


@pytest.mark.parametrize(
    ("objectives", "points", "front"),
    [
        (
            HARM,
            [(0.3, 1.0), (0.5, 4.0), (0.4, 5.0)],
            "t0: malicious_robustness 0.300 at fid_delta +1.0; t1: malicious_robustness 0.500 at fid_delta +4.0",
        ),
        (FORGET, [(0.7, 0.8), (0.6, 0.9), (0.5, 0.7)], "t2: membership_auc 0.500 at retain_accuracy 0.700; t1: "),
    ],
)
def test_the_front_so_far_is_of_the_questions_objectives_each_in_its_own_direction(
    objectives: tuple[Objective, Objective], points: list[tuple[float, float]], front: str
) -> None:
    out = io.StringIO()
    progress = Progress(out)
    names = [o.metric for o in objectives]
    rows = [row(f"t{i}", **dict(zip(names, point, strict=True))) for i, point in enumerate(points)]
    progress.go_on(rows[:1], objectives)
    assert out.getvalue() == "", "what an earlier driver found is taken up in silence"
    for found in (*rows, rows[0]):
        progress._extend_front(found, objectives)
    assert f"front so far, all arms: {front}" in out.getvalue().splitlines()[-1]
