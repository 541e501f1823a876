"""A run that several stages go on with, each from where the one before stopped, and its one checkpoint in the store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

from trainables.running.pace import Pace
from trainables.store import Store


class Resumable(Protocol):
    """A run that counts its steps, and whose state at one of them is tensors by name."""

    @property
    def step(self) -> int: ...
    def state(self) -> Mapping[str, Any]: ...
    def restore(self, state: Any) -> None: ...


R = TypeVar("R", bound=Resumable)


class Continued(ABC, Generic[R]):
    """The run is begun, or restored from the checkpoint under `key`, when a stage first asks for it.

    Its state between two stages is no product: another process goes on from the checkpoint, or, where none was due, begins anew
    and comes to the same weights, as far as the device computes the same from the same. What is to be seen of the run where it
    began, `before_restoring` is shown.
    """

    before_restoring: Callable[[R], None] | None = None

    def __init__(self, store: Store, key: str) -> None:
        self._store, self.key = store, key
        self._pace, self._saved_at = Pace(), -1  # the step that the checkpoint in the store is of

    @abstractmethod
    def begin(self) -> R:
        """The run before its first step."""

    @cached_property
    def run(self) -> R:
        run = self.begin()
        partial = self._store.mapped_partial(self.key)
        if partial is not None:
            if self.before_restoring is not None:
                self.before_restoring(run)
            run.restore(partial)
            self._saved_at = run.step
        return run

    def save(self) -> None:
        """Leave the checkpoint, unless it is there: while a stage measures what it has its weights stand still."""
        if self.run.step != self._saved_at:
            self._store.save_partial(self.key, self.run.state())
            self._saved_at = self.run.step

    def save_if_due(self) -> None:
        """Leave the checkpoint where that is not too often."""
        self._pace.take(self.save)

    def restart(self) -> None:
        """Begin anew where the checkpoint is past the step asked for: a run only moves forward.

        Nothing is restored, whatever another process has left in the store meanwhile.
        """
        self._store.drop_partial(self.key)
        self._saved_at = -1
        vars(self).pop("run", None)  # what it holds goes before another is begun
        self.run = self.begin()
