"""What a plan's model takes of memory and of disk, before anything runs, and whether this machine has it. Imports no torch.

    memory of a trial ≤ P · b · (weights + gradients + Adam's two moments + average + θ₀) = 6 P · b
    disk of a trial   ≤ P · b · (what of θᵤ differs + a checkpoint: weights, two moments, average) = 5 P · b

P are the base model's parameters and b bytes each, of float32 4. Activations, images and the judges come on top: beside models
that this is told of they are little. The average is there where `ema_decay` is above 0, and θ₀ where a method looks at it. A plan
is refused by what it takes at least: 4 P · b where an attack trains every parameter by Adam, else the weights alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sweep.errors import UsageError
from sweep.plan.place import Place, gpu_memory, memory_here
from sweep.space import Attack
from trainables.data import Dataset
from trainables.denoisers.parts import denoiser_weights
from trainables.denoisers.pipelines import fitted, read_pipeline
from trainables.denoisers.recipes import BaseModel
from trainables.denoisers.sizes import SIZES

_TOLD_FROM = 10**9  # bytes a trial: below, memory and disk are no matter
_BYTES = 4  # a parameter, in float32
_MOST, _BY_ADAM, _ON_DISK = 6, 4, 5  # copies of the weights; see above


@dataclass(frozen=True)
class Needs:
    """What a trial takes of a model of so many parameters."""

    parameters: int

    @property
    def model(self) -> int:
        """Bytes of the weights."""
        return _BYTES * self.parameters

    @property
    def worth_telling(self) -> bool:
        return _MOST * self.model >= _TOLD_FROM

    @property
    def text(self) -> str:
        """``.86 billion parameters: up to 20.6 GB of memory and 17.2 GB of disk a trial``."""
        return (
            f"{self.parameters / 1e9:.2g} billion parameters: up to {_MOST * self.model / 1e9:.1f} GB of memory and "
            f"{_ON_DISK * self.model / 1e9:.1f} GB of disk a trial"
        )

    def least(self, attacks: Iterable[Attack]) -> int:
        """Bytes of memory without which no trial under these attacks can run."""
        usual = {"trained_parameters": "all", "optimiser": "adam"}
        by_adam = any(usual.items() <= (usual | dict(attack.settings)).items() for attack in attacks)
        return self.model * (_BY_ADAM if by_adam else 1)


def needs_of(data: Dataset, size: str, source: str = "", classes: tuple[int, ...] = ()) -> Needs | None:
    """What a base model takes for this data: one of a size that is trained here, or these classes of the pipeline at `source`.

    None of the text-to-image model that is trained here, which takes next to nothing.
    """
    if not source and data.prompts:
        return None
    if not source:
        return Needs(parameters(BaseModel(**SIZES[size]), data))
    pretrained = fitted(read_pipeline(source, rows=classes), data)
    return Needs(sum(map(parameters_in, denoiser_weights(Path(pretrained.folder), pretrained.kind))))


def check_fits(needs: Needs, attacks: Iterable[Attack], place: Place) -> None:
    """UsageError, with the cheapest mend, where trials on this machine cannot have the memory, or that of a GPU, they need."""
    least = needs.least(attacks)
    takes = f"of {needs.parameters / 1e9:.2g} billion parameters a trial takes at least {least / 1e9:.1f} GB of memory"
    smaller = f"take a smaller model, or a machine that has {least / 1e9:.0f} GB"
    if not needs.worth_telling:
        return
    if place.gpus_per_trial or place.gpu_memory:
        of_one = place.gpu_memory * 1e9 or (0 if place.address else gpu_memory())
        part = min(place.gpus_per_trial or 1.0, 1.0)  # a trial computes on one GPU, however many it is given
        if of_one and least > of_one * part:
            share = math.ceil(100 * least / of_one) / 100
            mend = f"give it {share:g} of one" if share <= 1 else smaller
            asked = (
                f"--gpus-per-trial {place.gpus_per_trial:g}"
                if place.gpus_per_trial
                else f"--gpu-memory {place.gpu_memory:g}"
            )
            raise UsageError(f"{asked}: {takes}, and that is {of_one * part / 1e9:.1f} GB of a GPU; {mend}")
        return
    if place.address:
        return
    side_by_side, here = 1 if place.in_process else place.workers, memory_here()
    if least * side_by_side > here:
        mend = f"use --workers {here // least}" if here >= least else smaller
        raise UsageError(
            f"--workers {side_by_side}: {takes}, {side_by_side} of them {least * side_by_side / 1e9:.1f} GB, and this machine "
            f"has {here / 1e9:.1f} GB; {mend}"
        )


def parameters(base: BaseModel, dataset: Dataset) -> int:
    """Parameters of the `UNet2DModel` that a base model's recipe builds, counted layer by layer."""
    colours, height, _ = dataset.shape
    channels, layers = base.channels, base.layers_per_block
    embedding = 4 * channels[0]
    attends = [height >> level <= base.attention_below for level in range(len(channels))]
    total = 9 * colours * channels[0] + channels[0]
    total += channels[0] * embedding + embedding + embedding * embedding + embedding
    if dataset.attributes:
        total += (len(dataset.attributes) + 1) * embedding
    elif not dataset.unconditional:
        total += (dataset.conditions + 1) * embedding
    before, skips = channels[0], [channels[0]]
    for level, outputs in enumerate(channels):
        for _ in range(layers):
            total += _residual(before, outputs, embedding) + attends[level] * _attention(outputs)
            before = outputs
            skips.append(outputs)
        if level < len(channels) - 1:
            total += 9 * outputs * outputs + outputs
            skips.append(outputs)
    total += 2 * _residual(before, before, embedding) + _attention(before)
    for level in reversed(range(len(channels))):
        outputs = channels[level]
        for _ in range(layers + 1):
            total += _residual(before + skips.pop(), outputs, embedding) + attends[level] * _attention(outputs)
            before = outputs
        if level:
            total += 9 * outputs * outputs + outputs
    return total + 2 * channels[0] + 9 * channels[0] * colours + colours


def _residual(inputs: int, outputs: int, embedding: int) -> int:
    """Two norms, two convolutions of 3×3, the time embedding's projection, and 1×1 where the number of channels changes."""
    shortcut = inputs * outputs + outputs if inputs != outputs else 0
    convolutions = 9 * inputs * outputs + outputs + 9 * outputs * outputs + outputs
    return 2 * inputs + 2 * outputs + convolutions + embedding * outputs + outputs + shortcut


def _attention(channels: int) -> int:
    """A norm, and the four projections of self-attention."""
    return 2 * channels + 4 * (channels * channels + channels)


def parameters_in(file: Path) -> int:
    """Elements of all tensors of a safetensors file, by its header. UsageError where it has none that can be read."""
    try:
        with file.open("rb") as opened:
            header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
        return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise UsageError(f"{file}: cannot be read as safetensors ({type(error).__name__})") from None
