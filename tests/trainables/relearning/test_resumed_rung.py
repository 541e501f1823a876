"""A first rung that another process goes on with: its figures at θᵤ are those of one process, and there is one model at a time."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import pytest

from trainables.fine_tuning import FineTuning
from trainables.relearning.experiment import Experiment, TrialSpec
from trainables.relearning.products import Workbench, model_key
from trainables.relearning.stages.attack import AttackStage
from trainables.relearning.stages.trajectory import Trajectory
from trainables.running.stopwatch import Stopwatch

RUNG = 3


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Runs that were begun, as weak references; it fails where another is still there."""
    runs: list[Any] = []
    begin = Trajectory.begin

    def alone(self: Trajectory) -> FineTuning:
        assert all(run() is None for run in runs), "a second model beside the first"
        run = begin(self)
        runs.append(weakref.ref(run))
        return run

    monkeypatch.setattr(Trajectory, "begin", alone)
    return runs


def test_a_resumed_first_rung_has_looked_at_where_the_run_began_before_it_goes_on(
    another_store: Callable[[str], Experiment], make_spec: Callable[..., TrialSpec], begun: list[Any]
) -> None:
    facts = {}
    for name in ("at once", "resumed"):
        experiment = another_store(name)
        spec = make_spec(experiment, rungs=(0, RUNG))

        def stage(spec: TrialSpec = spec, experiment: Experiment = experiment) -> AttackStage:
            model = model_key(experiment, "retrain")
            return AttackStage(Trajectory(Workbench(experiment), spec, spec.attacks[0], model), RUNG)

        one = stage()
        if name == "resumed":
            assert not one.advance(Stopwatch(), 0.0) and one.trajectory.run.step == 1
            one.save_partial()
            del one
            begun.clear()
            one = stage()
        while not one.advance(Stopwatch(), float("inf")):
            pass
        facts[name] = one.commit(Stopwatch()).facts
        assert len(begun) == 1
        del one
        begun.clear()
    assert "attack_cosine" in facts["at once"]["start"]["figures"]
    assert facts["resumed"]["start"] == facts["at once"]["start"]
    assert facts["resumed"]["figures"] == facts["at once"]["figures"]
