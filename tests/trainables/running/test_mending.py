"""An artifact that turns out to be damaged is made again, and one that is damaged every time is no disk to go on with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from trainables.running.pipeline import Pipeline
from trainables.running.report import Report
from trainables.running.stages import Stage
from trainables.running.stopwatch import Stopwatch
from trainables.store import Artifact, CorruptArtifact, MissingArtifact, Store

ONE, OTHER, LAST = "1" * 64, "2" * 64, "f" * 64


class Reads:
    """A stage that reads what others made, and makes something of it where nothing of that is damaged."""

    name = kind = "last"
    key = LAST

    def __init__(self, trial: Trial) -> None:
        self.trial = trial

    def advance(self, watch: Stopwatch, deadline: float) -> bool:
        if self.trial.damage:
            raise self.trial.damage.pop(0)
        return True

    def save_partial(self) -> None:
        """There is none."""

    def commit(self, watch: Stopwatch) -> Artifact:
        return self.trial.bench.store.put(LAST, "last", {}, {"x": np.zeros(1)})


class Trial(Pipeline):
    """One stage, which meets this damage in turn."""

    def __init__(self, folder: Path, damage: list[Exception]) -> None:
        self.damage, self.begun, self.mended = damage, 0, list[str]()
        super().__init__(SimpleNamespace(trial_id="t"), SimpleNamespace(store=Store(folder)))

    def sequence(self) -> Iterator[Stage]:
        self.begun += 1
        yield Reads(self)

    def ended(self, stage: Stage, artifact: Artifact, report: Report) -> None:
        """It shows nothing."""

    def make_again(self, key: str) -> None:
        self.mended.append(key)


def corrupt(key: str) -> Exception:
    return CorruptArtifact(f"artifact {key[:12]} is damaged", key)


@pytest.mark.parametrize("error", [CorruptArtifact, MissingArtifact])
def test_an_artifact_damaged_every_time_ends_the_trial_once_it_was_made_again_twice(
    error: type[CorruptArtifact] | type[MissingArtifact], tmp_path: Path
) -> None:
    trial = Trial(tmp_path, [error(f"artifact {ONE[:12]} is damaged", ONE) for _ in range(9)])
    assert [trial.step().state for _ in range(2)] == [None, None] and trial.mended == [ONE, ONE]
    with pytest.raises(error, match="artifact 111111111111 is damaged"):
        trial.step()
    assert trial.mended == [ONE, ONE] and trial.begun == 3 and trial.next_key is None
    with pytest.raises(RuntimeError, match="trial t is over"):
        trial.step()


def test_every_artifact_may_be_made_again_as_often_and_the_trial_goes_on(tmp_path: Path) -> None:
    trial = Trial(tmp_path, [corrupt(key) for key in (ONE, OTHER, OTHER, ONE)])
    assert [trial.step().state for _ in range(5)] == [None] * 4 + ["COMPLETE"]
    assert trial.mended == [ONE, OTHER, OTHER, ONE] and trial.begun == 5
