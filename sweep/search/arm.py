"""The search within one arm: start points, then whatever its sampler asks; what became of every trial is told to it.

The sampler chooses, the journal (`sweep.search.journal`) shows other tools what was chosen. Both are rebuilt from the records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from optuna.study import Study

from sweep.records import RUNNING
from sweep.samplers import Observation, Sampler
from sweep.search.journal import Journal
from sweep.space import Arm, Settings


@dataclass(frozen=True)
class Past:
    """A trial of an earlier driver, from its record: what was observed of it, or None where it had not ended."""

    number: int
    settings: Settings
    observation: Observation | None
    cause: str | None = None
    confirmed: Mapping[str, Any] = field(default_factory=dict)  # attributes of its study's trial

    @property
    def state(self) -> str:
        return self.observation.state if self.observation else RUNNING


class ArmSearch:
    """`ask` for settings, `tell` what became of them.

    With `ahead`, the next settings are chosen while trials run, from `look_ahead` on, so that no worker waits for them: they are
    chosen knowing everything that was told by then, and what still ran counts as running. Without, they know all that has ended.
    """

    def __init__(
        self, arm: Arm, sampler: Sampler, journal: Journal, trials: int, past: Sequence[Past] = (), ahead: bool = False
    ) -> None:
        self.arm, self.sampler, self.journal, self.trials = arm, sampler, journal, trials
        self.observed: dict[int, Observation] = {}
        self._waiting: list[tuple[int, Settings]] = []
        self._chosen: tuple[int, Future[Settings]] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sampler-{arm.name}") if ahead else None
        for trial in sorted(past, key=lambda p: p.number):
            if trial.observation:
                self.observed[trial.number] = trial.observation
                sampler.tell(trial.observation)
            else:
                self._waiting.append((trial.number, trial.settings))
                sampler.running(trial.number, trial.settings)
        self._next = max((p.number for p in past), default=-1) + 1
        lost = sorted(set(range(self._next)) - {p.number for p in past})  # their records were damaged
        self._waiting = sorted(self._waiting + [(n, self._settings(n)) for n in lost], key=lambda trial: trial[0])
        ended = [(p.observation, p.cause) for p in past if p.observation]
        journal.rebuild(ended, dict(self._waiting), {p.number: p.confirmed for p in past})

    @property
    def study(self) -> Study:
        """The arm's study in the journal."""
        return self.journal.study

    @property
    def unfinished(self) -> int:
        """Trials of an earlier driver that wait to go on."""
        return len(self._waiting)

    def ask(self) -> tuple[int, Settings]:
        """The next trial's number and settings: unfinished ones of an earlier driver first, under their own numbers."""
        if self._waiting:
            number, settings = self._waiting.pop(0)
        else:
            number, self._next = self._next, self._next + 1
            settings = self._settings(number)
        self.journal.begun(number, settings)
        return number, settings

    def look_ahead(self) -> None:
        """Have the next trial chosen in the background, if it is the sampler's to choose and there will be one."""
        if self._thread and not self._waiting and len(self.arm.start_points) <= self._next < self.trials:
            if self._chosen and self._chosen[0] == self._next:
                return
            listen = getattr(self.sampler, "listen", None)
            if listen:
                listen()
            self._chosen = self._next, self._thread.submit(self.sampler.ask, self._next)

    def tell(self, observation: Observation, cause: str | None = None) -> None:
        """Tell a trial's outcome; once more changes nothing.

        ValueError, and nothing changed, where a COMPLETE trial's objectives are not there or not finite, or the trial is not
        running: it was never asked for, or it ended otherwise.
        """
        self._wait()
        if not self.journal.is_open(observation.number):
            if self.observed.get(observation.number) == observation:
                return
            raise ValueError(f"{self.arm.name}: trial {observation.number} is not running")
        self.sampler.tell(observation)
        self.observed[observation.number] = observation
        self.journal.ended(observation, cause)

    def expected_gain(self, batch: int) -> float | None:
        """Share of the present hypervolume that the next `batch` trials are expected to add; None of a sampler that cannot say."""
        self._wait()
        gain = getattr(self.sampler, "expected_gain", None)
        return gain(batch) if gain else None

    def close(self) -> None:
        """End whatever is open: an interrupted run leaves no zombie, and no thread."""
        try:
            if self._thread:  # waits for what is being chosen, and does not raise what the sampler does
                self._thread.shutdown(cancel_futures=True)
        finally:
            self.journal.close()

    def _settings(self, number: int) -> Settings:
        if number < len(self.arm.start_points):
            settings = dict(self.arm.start_points[number])
            self._wait()
            self.sampler.running(number, settings)
            return settings
        if self._chosen and self._chosen[0] == number:
            return self._chosen[1].result()
        return self.sampler.ask(number)

    def _wait(self) -> None:
        """A sampler is asked and told by one thread at a time."""
        if self._chosen:
            self._chosen[1].result()
