"""EDM's networks (Karras et al. 2022, arXiv 2206.00364): DDPM++ and NCSN++ (``SongUNet``), ADM (``DhariwalUNet``).

Taken are the tensors of ``EDMPrecond``, ``VPPrecond`` or ``VEPrecond``, whose D is defined at every σ and so at the σ_t of a
schedule of β; `trainables.denoisers.edm_unet` gives ε there. That schedule is DDPM's, its ends moved so that no σ_t lies beyond
those that the network was trained on or its authors sample at. ``iDDPMPrecond`` is not taken: its network knows the 1,000 noise
levels of a schedule of its own, and D rounds every other to one of them. Augmentation labels are 0, as in EDM's own sampling.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from trainables.denoisers.checkpoints import Denoiser, Tensors, Untold, register
from trainables.denoisers.checkpoints._shapes import Layout, fill
from trainables.denoisers.edm_unet import ADM, EDM, PRECONDITIONINGS, SONG, VE, VP, EDMUNet
from trainables.denoisers.weights import Unset

_DROPOUT = 0.13  # of its CIFAR-10 configurations
_INSIDE = "model."  # a preconditioning's name for its network
_BETAS = {
    EDM: (1e-4, 0.0173),
    VP: (1e-4, 0.01986),
    VE: (4e-4, 0.0179),
}  # σ from .01 to 80; to VP's at t = 1; from .02 to 100


@dataclass(frozen=True)
class Network:
    """What the tensors say of a network, as `EDMUNet` has it."""

    architecture: str
    size: int
    image_channels: int
    channels: int
    widths: tuple[int, ...]
    blocks: int
    attended: tuple[int, ...]
    noise_dim: int
    embedding_dim: int
    fourier: bool
    residual: bool
    classes: int

    @property
    def sides(self) -> list[int]:
        """Pixels a side of each level's maps."""
        return [self.size >> level for level in range(len(self.widths))]


@register("edm")
def convert(tensors: Tensors, untold: Untold) -> Denoiser:
    """The network and its preconditioning as an `EDMUNet`; with a row for the null condition where it was trained."""
    if untold.preconditioning not in PRECONDITIONINGS:
        raise ValueError(f"preconditioning {untold.preconditioning!r} is none of {', '.join(PRECONDITIONINGS)}")
    layout = Layout(_inside(tensors))
    network = network_of(layout)
    if untold.image_size not in (None, network.size):
        raise ValueError(f"its names say images of {network.size} pixels, not {untold.image_size}")
    if untold.null_condition and not network.classes:
        raise ValueError("it is unconditional, so that it has no null condition")
    resample_filter = _resample_filter(layout)
    weights = {**_embeddings(layout, network, untold.null_condition), **dict(_layers(layout, network))}
    layout.leave(["map_augment.weight"])
    layout.check()
    schedule = untold.schedule(*_BETAS[untold.preconditioning])
    config: dict[str, Any] = {
        "sample_size": network.size,
        "in_channels": network.image_channels,
        **{n: getattr(network, n) for n in ("architecture", "channels", "blocks", "noise_dim", "embedding_dim")},
        **{"widths": list(network.widths), "attended": list(network.attended), "fourier": network.fourier},
        **{"residual": network.residual, "resample_filter": resample_filter},
        "dropout": _DROPOUT if untold.dropout is None else untold.dropout,
        "num_class_embeds": network.classes + untold.null_condition or None,
        "preconditioning": untold.preconditioning,
        "sigma_data": untold.sigma_data,
        **{n: getattr(schedule, n) for n in ("num_train_timesteps", "beta_schedule", "beta_start", "beta_end")},
    }
    with Unset():
        model = EDMUNet(**config)
    fill(model, weights)
    return Denoiser(model, schedule, _said(network, untold, schedule.scheduler().alphas_cumprod))


def _inside(tensors: Tensors) -> Tensors:
    """The network's tensors, by their names in it."""
    if "u" in tensors:
        raise ValueError(
            "it is of iDDPMPrecond, which knows the noise levels of its own schedule alone and rounds others to them, so its ε "
            "on a schedule of β is not its own; EDMPrecond, VPPrecond and VEPrecond can be taken"
        )
    if tensors and all(name.startswith(_INSIDE) for name in tensors):
        return {name.removeprefix(_INSIDE): value for name, value in tensors.items()}
    return tensors


def network_of(layout: Layout) -> Network:
    """What names and shapes say of the network; ValueError where it is none of EDM's."""
    sides = sorted({int(match[1]) for name in layout.tensors if (match := re.match(r"enc\.(\d+)x\1_", name))})[::-1]
    if not sides or any(side != sides[0] >> level for level, side in enumerate(sides)):
        raise ValueError("has no enc.32x32_conv.weight or the like, by which EDM's networks are known")
    top = f"enc.{sides[0]}x{sides[0]}"
    channels, image_channels = layout.shape(f"{top}_conv.weight", 4)[:2]
    embedding_dim, noise_dim = layout.shape("map_layer0.weight", 2)
    widths = tuple(layout.shape(f"enc.{side}x{side}_block0.conv0.weight", 4)[0] for side in sides)
    blocks = len({name.split(".")[1] for name in layout.tensors if name.startswith(f"{top}_block")})
    attended = [
        side
        for side in sides
        if any(f"{way}.{side}x{side}_block{blocks - 1}.qkv.weight" in layout for way in ("enc", "dec"))
    ]
    return Network(
        ADM if "out_norm.weight" in layout else SONG,
        sides[0],
        image_channels,
        channels,
        widths,
        blocks,
        tuple(attended),
        noise_dim,
        embedding_dim,
        "map_noise.freqs" in layout,
        any("_aux_residual." in name for name in layout.tensors),
        layout.shape("map_label.weight", 2)[1] if "map_label.weight" in layout else 0,
    )


def _resample_filter(layout: Layout) -> list[float]:
    """The filter that every level is resampled by, whose outer product is kept with each; ValueError where they differ."""
    names = [name for name in layout.tensors if name.endswith(".resample_filter")]
    layout.leave(names)
    kept = [layout.tensors[name].float() for name in names]
    if not kept:
        return [0.5, 0.5]
    line = kept[0].reshape(kept[0].shape[-2:]).sum(dim=1)
    for name, one in zip(names, kept, strict=True):
        if one.shape != kept[0].shape or not torch.allclose(one[0, 0], line.outer(line)):
            raise ValueError(f"{name} is not the filter of the other levels")
    return line.tolist()


def _embeddings(layout: Layout, network: Network, null: bool) -> dict[str, torch.Tensor]:
    """The layers that read noise and class; of a one-hot label a row each, and of none what its zeros are projected to."""
    song, n = network.architecture == SONG, network.classes
    weights = dict(_linear(layout, "linear_1", "map_layer0", network.embedding_dim, network.noise_dim))
    weights |= _linear(layout, "linear_2", "map_layer1", network.embedding_dim, network.embedding_dim)
    if network.fourier:
        weights["frequencies"] = layout.take("map_noise.freqs", network.noise_dim // 2)
    if n:
        label_width = network.noise_dim if song else network.embedding_dim
        rows = layout.take("map_label.weight", label_width, n).T
        of_none = layout.take("map_label.bias", label_width) if song else torch.zeros(label_width)
        rows = rows * math.sqrt(n) + of_none if song else rows
        weights["class_embedding.weight"] = torch.cat([rows, of_none[None]]) if null else rows.contiguous()
    return weights


def _layers(layout: Layout, network: Network) -> Iterator[tuple[str, torch.Tensor]]:
    """Everything else, by its name in `EDMUNet`."""
    song, image, sides = network.architecture == SONG, network.image_channels, network.sides
    x = network.channels
    yield from _linear(layout, "conv_in", f"enc.{sides[0]}x{sides[0]}_conv", x, image, 3, 3)
    made, number, beside = [x], 0, image
    for level, (side, width) in enumerate(zip(sides, network.widths, strict=True)):
        attends = side in network.attended
        if level:
            yield from _block(layout, network, f"down_blocks.{number}", f"enc.{side}x{side}_down", x, x, resampled=True)
            if network.residual:
                there = f"enc.{side}x{side}_aux_residual"
                yield from _linear(layout, f"residuals.{level - 1}", there, x, beside, 3, 3)
                beside = x
            number += 1
            made.append(x)
        for block in range(network.blocks):
            there = f"enc.{side}x{side}_block{block}"
            yield from _block(layout, network, f"down_blocks.{number}", there, x, width, attends)
            number, x = number + 1, width
            made.append(x)
    deepest = f"dec.{sides[-1]}x{sides[-1]}"
    yield from _block(layout, network, "mid_block.0", f"{deepest}_in0", x, x, attends=True)
    yield from _block(layout, network, "mid_block.1", f"{deepest}_in1", x, x)
    number = 0
    for level, side in reversed(list(enumerate(sides))):
        width = network.widths[level]
        if level < len(sides) - 1:
            yield from _block(layout, network, f"up_blocks.{number}", f"dec.{side}x{side}_up", x, x, resampled=True)
            number += 1
        for block in range(network.blocks + 1):
            attends = side in network.attended and (block == network.blocks or not song)
            there = f"dec.{side}x{side}_block{block}"
            yield from _block(layout, network, f"up_blocks.{number}", there, x + made.pop(), width, attends)
            number, x = number + 1, width
    norm, conv = (f"dec.{sides[0]}x{sides[0]}_aux_norm", f"dec.{sides[0]}x{sides[0]}_aux_conv")
    yield from _linear(layout, "conv_norm_out", norm if song else "out_norm", x)
    yield from _linear(layout, "conv_out", conv if song else "out_conv", image, x, 3, 3)


def _block(
    layout: Layout,
    network: Network,
    here: str,
    there: str,
    channels: int,
    width: int,
    attends: bool = False,
    resampled: bool = False,
) -> Iterator[tuple[str, torch.Tensor]]:
    song = network.architecture == SONG
    yield from _linear(layout, f"{here}.norm1", f"{there}.norm0", channels)
    yield from _linear(layout, f"{here}.conv1", f"{there}.conv0", width, channels, 3, 3)
    modulation_width = width if song else 2 * width
    yield from _linear(layout, f"{here}.time_emb_proj", f"{there}.affine", modulation_width, network.embedding_dim)
    yield from _linear(layout, f"{here}.norm2", f"{there}.norm1", width)
    yield from _linear(layout, f"{here}.conv2", f"{there}.conv1", width, width, 3, 3)
    if channels != width or (song and resampled):
        yield from _linear(layout, f"{here}.conv_shortcut", f"{there}.skip", width, channels, 1, 1)
    if attends:
        yield from _linear(layout, f"{here}.attn1.norm", f"{there}.norm2", width)
        yield from _linear(layout, f"{here}.attn1.qkv", f"{there}.qkv", 3 * width, width, 1, 1)
        yield from _linear(layout, f"{here}.attn1.proj", f"{there}.proj", width, width, 1, 1)


def _linear(layout: Layout, here: str, there: str, *shape: int) -> Iterator[tuple[str, torch.Tensor]]:
    """A layer's weight of this shape, and its bias."""
    yield f"{here}.weight", layout.take(f"{there}.weight", *shape)
    yield f"{here}.bias", layout.take(f"{there}.bias", shape[0])


def _said(network: Network, untold: Untold, alphas_cumprod: torch.Tensor) -> tuple[str, ...]:
    name = "ADM" if network.architecture == ADM else "NCSN++" if network.residual else "DDPM++"
    sigma = ((1 - alphas_cumprod.double()) / alphas_cumprod.double()).sqrt()
    classes = f"{network.classes or 'no'} classes" + (" and the null condition" if untold.null_condition else "")
    at = [f"{side}×{side}" for side in network.attended]
    return (
        f"{name}: {network.image_channels}×{network.size}×{network.size} images, {classes}",
        f"channels {', '.join(map(str, network.widths))}; {network.blocks} blocks a level; "
        f"attention at {', '.join([*at, 'the middle'])}",
        f"preconditioning {untold.preconditioning}; noise levels σ from {float(sigma[0]):.3g} to {float(sigma[-1]):.3g}",
    )
