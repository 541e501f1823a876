"""The cheapest change by which a plan's largest trial would fit, tried in order of what it costs: first what alters no figure.

gradient checkpointing → a whole GPU, fewer trials at a time → bf16 → no average of the weights → a smaller batch
→ fewer trained parameters: cross-attention, low-rank factors → of these the ones together that are needed
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sweep.errors import UsageError
from sweep.relearning.held_settings import with_setting
from sweep.relearning.text_memory import How, Peak, TextModel, runs_of
from sweep.space import SearchSpace, Value

BATCHES = (32, 16, 8, 4, 2)
TRAINED = ("cross_attention", "condition_mid", "lora")


@dataclass(frozen=True)
class Asked:
    """A question on a device of which a trial may have so many bytes; `words` are what was changed for that."""

    space: SearchSpace
    how: How
    limit: float
    words: tuple[str, ...] = ()

    def largest(self, model: TextModel) -> Peak:
        """The run that takes most, beside what the others leave in its process."""
        runs = list(runs_of(self.space))
        kept = model.kept(runs, self.how)
        return max((model.peak(run, self.how, kept) for run in runs), key=lambda peak: peak.bytes)

    def fits(self, model: TextModel) -> bool:
        return self.largest(model).bytes <= self.limit

    def but(self, words: str, **changes: object) -> Asked:
        return dataclasses.replace(self, words=(*self.words, words), **changes)  # type: ignore[arg-type]


Change = Callable[[Asked], Iterator[Asked]]
"""What may be changed of a plan, the cheapest form of it first; nothing where it is so already."""


def cheapest(asked: Asked, model: TextModel, changes: list[Change]) -> str:
    """The command-line words of the cheapest change by which it fits, or of several together; empty where none will do."""
    for change in changes:
        for changed in change(asked):
            if changed.fits(model):
                return " ".join(changed.words)
    together = asked
    for change in changes:
        last = None
        for last in change(together):
            if last.fits(model):
                return " ".join(last.words)
        together = last or together
    return ""


def with_checkpointing(asked: Asked) -> Iterator[Asked]:
    if not asked.how.checkpointing:
        yield asked.but("--checkpointing on", how=dataclasses.replace(asked.how, checkpointing=True))


def in_half(asked: Asked) -> Iterator[Asked]:
    if not asked.how.half:
        yield asked.but("--precision bf16", how=dataclasses.replace(asked.how, half=True))


def without_average(asked: Asked) -> Iterator[Asked]:
    yield from _set(asked, "ema_decay", 0.0)


def smaller_batch(asked: Asked) -> Iterator[Asked]:
    for batch in BATCHES:
        yield from _set(asked, "batch", batch)


def fewer_trained(asked: Asked) -> Iterator[Asked]:
    for which in TRAINED:
        yield from _set(asked, "trained_parameters", which)


def _set(asked: Asked, name: str, value: Value) -> Iterator[Asked]:
    """The question with a setting: held by ``--fix`` where an arm searches it and may take that value, else by ``--set``."""
    space, words = asked.space, []
    if any(name in {p.name for p in arm.walk()} for arm in space.arms):
        try:
            space = space.fix({name: str(value)})
            words.append(f"--fix {name}={value}")
        except UsageError:  # no arm may take it
            space = asked.space
    held = with_setting(space, name, value)
    if held is not None:
        space = held
        words.append(f"--set {name}={value}")
    if words:
        yield asked.but(" ".join(words), space=space)
