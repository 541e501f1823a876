"""Whether the trials of a text-to-image base model fit where they are to run, and what would mend it where they do not."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property

from sweep.errors import UsageError
from sweep.plan.place import Place, gpu_memory, memory_here
from sweep.relearning import mends
from sweep.relearning.flag_values import AUTO
from sweep.relearning.mends import Asked
from sweep.relearning.text_memory import How, Peak, Run, TextModel, runs_of, text_model
from sweep.space import SearchSpace
from trainables.data import Dataset

GB = 10**9
# Operations a second that are assumed of one core in float32, and of a GPU in bf16: about a sixth of an A100's most.
RATES = {False: 2e10, True: 5e13}


@dataclass(frozen=True)
class Fit:
    """A question's trials of one model, as they are computed on a place that gives each so many bytes; 0: nobody knows."""

    model: TextModel
    space: SearchSpace
    place: Place
    plain: How  # without checkpointing, where that is left to the estimate
    limit: float

    @cached_property
    def how(self) -> How:
        """How they are computed: with checkpointing where that is asked for, or they may not fit without."""
        if self.place.checkpointing != AUTO:
            return dataclasses.replace(self.plain, checkpointing=self.place.checkpointing == "on")
        fits = self.limit > 0 and Asked(self.space, self.plain, self.limit).fits(self.model)
        return dataclasses.replace(self.plain, checkpointing=not fits)

    @cached_property
    def runs(self) -> list[Run]:
        return list(runs_of(self.space))

    @property
    def time_text(self) -> str:
        """What the time of the plan is counted from."""
        flops = self.model.costs(self.plain.half).flops
        what, rate = "a GPU" if self.plain.on_gpu else "a core", RATES[self.plain.on_gpu]
        return f"{flops / 1e12:.2g} TFLOP a forward pass of an image; taken for {rate / 1e12:g} TFLOP/s of {what}"

    @cached_property
    def largest(self) -> Peak:
        return Asked(self.space, self.how, self.limit).largest(self.model)

    @property
    def text(self) -> str:
        """What the largest trial takes, of what it may have, and how; and how much of disk."""
        of = f" of {self.limit / GB:.1f}" if self.limit else ""
        on = " of a GPU" if self.plain.on_gpu else ""
        how = ", with gradient checkpointing" if self.how.checkpointing else ""
        disk = self.model.disk(self.runs) / GB
        return (
            f"{self.model.parameters / 1e9:.2g} billion parameters{how}; {self.largest.text}{of}{on}; up to {disk:.1f} GB of "
            "disk a trial"
        )

    def check(self) -> None:
        """UsageError, with the cheapest mend, where a trial cannot have the memory that it needs."""
        if not self.limit or self.largest.bytes <= self.limit:
            return
        asked = Asked(self.space, self.how, self.limit)
        mend = self._fewer_at_a_time() or mends.cheapest(asked, self.model, self._changes())
        needs = self.largest.bytes / GB
        mend = (
            mend
            or f"take a smaller model, or {'a GPU' if self.plain.on_gpu else 'a machine'} of {needs:.0f} GB a trial"
        )
        raise UsageError(
            f"{self._flag()}: {self.largest.text}, and may take {self.limit / GB:.1f}; cheapest mend: {mend}"
        )

    def _changes(self) -> list[mends.Change]:
        """In the order of what they cost; bf16 saves nothing that a CPU would be glad of."""
        half = [mends.in_half] if self.plain.on_gpu else []
        return [mends.with_checkpointing, *half, mends.without_average, mends.smaller_batch, mends.fewer_trained]

    def _fewer_at_a_time(self) -> str:
        """The words by which fewer trials share a GPU or this machine, where that is enough."""
        share = self.place.gpus_per_trial
        if self.plain.on_gpu:
            if 0 < share < 1 and self.largest.bytes <= (whole := self.limit / share):
                enough = next(s for s in (0.25, 0.33, 0.5, 1) if self.largest.bytes <= whole * s)
                return f"--gpus-per-trial {enough:g}"
            return ""
        here = memory_here()
        return f"--workers {here // int(self.largest.bytes)}" if self.largest.bytes <= here else ""

    def _flag(self) -> str:
        if not self.plain.on_gpu:
            return f"--workers {_at_a_time(self.place)}"
        if self.place.gpu_memory:
            return f"--gpu-memory {self.place.gpu_memory:g}"
        return f"--gpus-per-trial {self.place.gpus_per_trial:g}"


def fit_of(
    source: str,
    data: Dataset,
    rows: tuple[int, ...],
    images: int,
    guided: bool,
    space: SearchSpace,
    place: Place,
    precision: str,
    forgotten: int = 1,
    judge: int = 0,
) -> Fit | None:
    """How trials of the pipeline at `source` fit; None where it is not told prompts, or there is none yet."""
    model = text_model(source, data, rows, images, guided, forgotten, judge)
    if model is None:
        return None
    on_gpu = bool(place.gpus_per_trial or place.gpu_memory)
    half = on_gpu if precision == AUTO else precision == "bf16"
    return Fit(model, space, place, How(on_gpu, half), _limit(place))


def _limit(place: Place) -> float:
    """Bytes that a trial may have there; 0 where nobody knows."""
    if place.gpu_memory or place.gpus_per_trial:
        card = place.gpu_memory * GB or (0 if place.address else gpu_memory())
        return card * min(place.gpus_per_trial or 1, 1)
    return 0 if place.address else memory_here() / _at_a_time(place)


def _at_a_time(place: Place) -> int:
    return 1 if place.in_process else place.workers
