"""Images with their conditions, as floats or as rows of an array that all subsets, and all processes of a machine, share.

A byte b stands for b / 127.5 - 1. Floats are made of bytes for the images asked for and no others, on the device.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PART = 1024  # images that are floats at a time; a multiple of the batches they are looked at in, which it leaves as they are
GPU_SHARE = 1 / 8  # of a GPU's memory that an array may take, for trials may share it; a larger one stays on the CPU


class Held:
    """An array (M, C, H, W), uint8 or float32 in [-1, 1], that subsets share; put on a GPU once, if it fits there."""

    def __init__(self, array: torch.Tensor) -> None:
        self.array = array
        self._placed = {"cpu": array}

    def on(self, device: str) -> torch.Tensor:
        """The array on this device, or on the CPU where it does not fit."""
        if device not in self._placed:
            fits = _fits(self.array.nbytes, device)
            self._placed[device] = self.array.to(device) if fits else self.array
        return self._placed[device]


def _fits(size: int, device: str) -> bool:
    import torch

    free, total = torch.cuda.mem_get_info(device)
    return size <= min(GPU_SHARE * total, free / 2)


@dataclass(frozen=True, eq=False)
class Rows:
    """N rows of a held array: image i is ``held[index[i]]``. `index` (N,) int64 is on the CPU, floats come on `device`."""

    held: Held
    index: torch.Tensor
    device: str = "cpu"

    def __len__(self) -> int:
        return len(self.index)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.held.array.shape[1:])

    def floats(self, chosen: torch.Tensor) -> torch.Tensor:
        """(n, C, H, W) float32 in [-1, 1] on the device, of these of the rows, an index (n,)."""
        import torch

        array, index = self.held.on(self.device), self.index[chosen.cpu()]
        if self.device == "cpu":
            return _floats(array.index_select(0, index))
        if array.is_cuda:
            return _floats(array.index_select(0, index.to(array.device, non_blocking=True)))
        batch = torch.empty((len(index), *self.shape), dtype=array.dtype, pin_memory=True)
        torch.index_select(array, 0, index, out=batch)
        return _floats(batch.to(self.device, non_blocking=True))


def _floats(pixels: torch.Tensor) -> torch.Tensor:
    import torch

    if pixels.dtype != torch.uint8:
        return pixels
    if pixels.is_cuda:
        return _levels(str(pixels.device))[pixels.int()]
    return pixels.float().div_(127.5).sub_(1)


@cache
def _levels(device: str) -> torch.Tensor:
    """(256,) what each byte stands for. By a division on a GPU it would be another float: PyTorch multiplies by 1 / 127.5."""
    import torch

    return torch.arange(256).float().div(127.5).sub(1).to(device)


@dataclass(frozen=True)
class Images:
    """Images (N, C, H, W) float32 in [-1, 1] with their `conditions` (N,) int64.

    `pixels` are the images themselves, or rows of an array that stands for them. A subset of rows copies no pixels, and the
    images are made when they are asked for: `batch` some of them, `parts` all in turn, `images` all at once.
    """

    pixels: torch.Tensor | Rows
    conditions: torch.Tensor

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def images(self) -> torch.Tensor:
        """All images at once: of a large data set, more than a process should hold."""
        if not isinstance(self.pixels, Rows):
            return self.pixels
        import torch

        whole = torch.empty((len(self), *self.shape), device=self.pixels.device)
        for start, part in enumerate(self.parts()):
            whole[start * PART : start * PART + len(part)] = part
        return whole

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W)."""
        return self.pixels.shape if isinstance(self.pixels, Rows) else tuple(self.pixels.shape[1:])

    def placed(self, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor on the device of these images and of their type."""
        import torch

        if isinstance(self.pixels, Rows):
            return tensor.to(self.pixels.device, torch.float32)
        return tensor.to(self.pixels)

    def where(self, mask: torch.Tensor) -> Images:
        """The images under a boolean mask or an index (N,)."""
        chosen = mask.to(self.conditions.device)
        if isinstance(self.pixels, Rows):
            rows = replace(self.pixels, index=self.pixels.index[mask.cpu()])
            return Images(rows, self.conditions[chosen])
        return Images(self.pixels[mask], self.conditions[chosen])

    def of(self, condition: int) -> Images:
        """The images of one condition."""
        return self.where(self.conditions == condition)

    def to(self, device: str) -> Images:
        """The same on a device; of rows, their floats will be."""
        on_device = replace(self.pixels, device=device) if isinstance(self.pixels, Rows) else self.pixels.to(device)
        return Images(on_device, self.conditions.to(device))

    def batch(self, index: torch.Tensor) -> Images:
        """The images under an index (n,), as floats on the device."""
        conditions = self.conditions[index.to(self.conditions.device)]
        if isinstance(self.pixels, Rows):
            return Images(self.pixels.floats(index), conditions)
        return Images(self.pixels.index_select(0, index.to(self.pixels.device)), conditions)

    def parts(self, size: int = PART) -> Iterator[torch.Tensor]:
        """All images in turn, (n, C, H, W), at most `size` at a time."""
        import torch

        if not isinstance(self.pixels, Rows):
            yield from self.pixels.split(size)
            return
        for rows in torch.arange(len(self)).split(size):
            yield self.pixels.floats(rows)

    def draw(self, n: int, generator: torch.Generator) -> Images:
        """n images drawn with replacement, by a generator on the CPU."""
        return self.batch(self._drawn(n, generator))

    def draw_conditions(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """The conditions (n,) of what `draw` would draw."""
        return self.conditions[self._drawn(n, generator).to(self.conditions.device)]

    def _drawn(self, n: int, generator: torch.Generator) -> torch.Tensor:
        import torch

        return torch.randint(len(self), (n,), generator=generator)


def together(*sets: Images) -> Images:
    """The images of all sets in turn; rows of one array stay such."""
    import torch

    conditions = torch.cat([images.conditions for images in sets])
    rows = [images.pixels for images in sets if isinstance(images.pixels, Rows)]
    if len(rows) == len(sets) and all((r.held, r.device) == (rows[0].held, rows[0].device) for r in rows):
        return Images(replace(rows[0], index=torch.cat([r.index for r in rows])), conditions)
    return Images(torch.cat([images.images for images in sets]), conditions)


@dataclass(frozen=True)
class Splits:
    """The three splits of a data set; no image of the files is in two of them."""

    train: Images
    public: Images
    test: Images


def resize(images: torch.Tensor, size: int) -> torch.Tensor:
    """Images (N, C, H, W) as (N, C, size, size), antialiased; bilinear, so that no value leaves [-1, 1]."""
    import torch.nn.functional as F

    if images.shape[-1] == size:
        return images
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)
