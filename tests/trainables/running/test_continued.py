"""A run that several processes go on with, by one checkpoint in the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from trainables.running.continued import Continued
from trainables.store import Store, artifact_key

KEY = artifact_key("trajectory", {}, {}, "code")


class Counter:
    """A run whose only weight is the number of its steps."""

    step = 0

    def state(self) -> dict[str, Any]:
        return {"step": np.array(self.step)}

    def restore(self, state: Any) -> None:
        self.step = int(state["step"])


class Counting(Continued[Counter]):
    def begin(self) -> Counter:
        return Counter()


def test_who_begins_anew_takes_up_nothing_that_another_process_saves_meanwhile(tmp_path: Path) -> None:
    """Both want rungs of one trajectory. The other's later weights would be scored as those of an earlier step."""
    store = Store(tmp_path)
    other, mine = Counting(store, KEY), Counting(store, KEY)
    other.run.step = 90
    other.save()
    assert mine.run.step == 90
    mine.restart()
    other.run.step = 95
    other.save()
    assert mine.run.step == 0
    assert Counting(store, KEY).run.step == 95


def test_a_run_is_shown_where_it_began_before_a_checkpoint_is_put_in_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    seen: list[int] = []
    for steps in (5, 9):
        one = Counting(store, KEY)
        one.before_restoring = lambda run: seen.append(run.step)
        one.run.step = steps
        one.save()
    assert seen == [0], "the first had no checkpoint"
