"""The conditional DDPM of Selective Amnesia (Heng & Soh 2023, arXiv 2305.10120), as SalUn, EraseDiff, SFR-on and SFD have it.

It is DDIM's U-Net (Song et al. 2021, arXiv 2010.02502) with a second embedding. A residual block is told t and the condition by

    h + W [SiLU(τ(t)); SiLU(κ(c))] + b,    τ(t) = A₂ SiLU(A₁ s(t) + a₁) + a₂,    κ(c) = B₂ SiLU(B₁ e_c + b₁) + b₂

with sines and cosines s(t) ∈ R^C, e_c ∈ R^C the row of a class or of no class, and τ, κ ∈ R^4C. `UNet2DModel` adds one embedding
u ∈ R^8C by W SiLU(u) + b, so u = [τ(t); 0] + [0; κ(c)]: its time embedding is τ over zeros, its class table has the rows
[0; κ(c)], of no class the last. Every prediction is the original's. What training moves is not: rows of κ(c) stand where
the rows e_c and the layers behind them were. DDIM's own unconditional `Model`, which has neither, is taken too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import UNet2DModel

from trainables.denoisers.checkpoints import Denoiser, Tensors, Untold, register
from trainables.denoisers.checkpoints._shapes import Layout, fill
from trainables.denoisers.weights import Unset

GROUPS, EPS = 32, 1e-6  # of every group norm
_IMAGE_SIZE, _DROPOUT = 32, 0.1  # of its CIFAR-10 configurations
_BETAS = (1e-4, 0.02)
_UNUSED = "logvar"  # of a "bayesian" model: a bound's variances, which no prediction has to do with


@dataclass(frozen=True)
class Network:
    """What the tensors say of the network: widths of its levels, blocks in each, and at which levels attention is."""

    channels: int
    image_channels: int
    widths: tuple[int, ...]
    blocks: int
    attention: tuple[bool, ...]
    classes: int  # 0: unconditional

    @property
    def embedding_width(self) -> int:
        """Numbers that tell a residual block t and the condition."""
        return self.channels * (8 if self.classes else 4)

    def config(self, image_size: int, dropout: float) -> dict[str, Any]:
        """The arguments of `UNet2DModel`. A head is as wide as its map: None where these differ."""
        attended = {self.widths[-1]} | {w for w, a in zip(self.widths, self.attention, strict=True) if a}
        kinds = ["Attn" if attention else "" for attention in self.attention]
        return {
            "sample_size": image_size,
            "in_channels": self.image_channels,
            "out_channels": self.image_channels,
            "time_embedding_dim": self.embedding_width,
            "freq_shift": 1,
            "flip_sin_to_cos": False,
            "down_block_types": [f"{kind}DownBlock2D" for kind in kinds],
            "up_block_types": [f"{kind}UpBlock2D" for kind in reversed(kinds)],
            "block_out_channels": list(self.widths),
            "layers_per_block": self.blocks,
            "downsample_padding": 0,
            "dropout": dropout,
            "attention_head_dim": attended.pop() if len(attended) == 1 else None,
            "norm_num_groups": GROUPS,
            "norm_eps": EPS,
            "num_class_embeds": self.classes + 1 if self.classes else None,
        }


@register("sa-ddpm")
def convert(tensors: Tensors, untold: Untold) -> Denoiser:
    """The network as a stock `UNet2DModel`, whose row after the classes is the null condition."""
    layout = Layout(tensors)
    network = network_of(layout)
    size = untold.image_size or _IMAGE_SIZE
    halvings = len(network.widths) - 1
    if size % 2**halvings:
        raise ValueError(f"images of {size} pixels cannot be halved {halvings} times, as its {halvings + 1} levels ask")
    weights = {**_embeddings(layout, network), **dict(_layers(layout, network))}
    layout.leave([_UNUSED])
    layout.check()
    with Unset():
        model = UNet2DModel(**network.config(size, _DROPOUT if untold.dropout is None else untold.dropout))
    fill(model, weights)
    at = [f"{size >> level}×{size >> level}" for level, attention in enumerate(network.attention) if attention]
    said = (
        f"{network.image_channels}×{size}×{size} images, {network.classes or 'no'} classes"
        + (" and the null condition" if network.classes else ""),
        f"channels {', '.join(map(str, network.widths))}; {network.blocks} blocks a level; "
        f"attention at {', '.join([*at, 'the middle'])}",
    )
    return Denoiser(model, untold.schedule(*_BETAS), said)


def network_of(layout: Layout) -> Network:
    """What the tensors say of the network; ValueError where it is one that `UNet2DModel` cannot hold."""
    channels, image_channels = layout.shape("conv_in.weight", 4)[:2]
    levels, blocks = layout.levels("down."), layout.levels("down.0.block.")
    widths = tuple(layout.shape(f"down.{level}.block.0.conv1.weight", 4)[0] for level in range(levels))
    if not widths:
        raise ValueError("lacks down.0.block.0.conv1.weight, by which its layout is known")
    if widths[0] != channels:
        raise ValueError(
            f"its first level has {widths[0]} channels and its first convolution {channels}: diffusers' UNet2DModel has one "
            f"width for both, so this cannot be a pipeline"
        )
    for width in widths:
        if width % GROUPS:
            raise ValueError(
                f"a level has {width} channels, which its group norms cannot divide into {GROUPS}; not of this family"
            )
    attention = tuple(
        any(name.startswith(f"{way}.{level}.attn.") for way in ("down", "up") for name in layout.tensors)
        for level in range(levels)
    )
    classes = layout.shape("classes_emb.weight", 2)[0] if "classes_emb.weight" in layout else 0
    return Network(channels, image_channels, widths, blocks, attention, classes)


def _embeddings(layout: Layout, network: Network) -> dict[str, torch.Tensor]:
    """The time embedding, zeros below it where there are classes, and zeros before the classes' rows."""
    wide, embedding_width = 4 * network.channels, network.embedding_width
    first, second = _dense(layout, "temb", network.channels), _dense(layout, "temb", network.channels, second=True)
    weights = {
        "time_embedding.linear_1.weight": _padded(first[0], embedding_width, network.channels),
        "time_embedding.linear_1.bias": _padded(first[1], embedding_width),
        "time_embedding.linear_2.weight": _padded(second[0], embedding_width, embedding_width),
        "time_embedding.linear_2.bias": _padded(second[1], embedding_width),
    }
    if network.classes:
        rows = layout.take("classes_emb.weight", network.classes, network.channels)
        null = layout.take("null_classes_emb", network.channels)
        hidden = F.linear(torch.cat([rows, null[None]]).double(), *_double(_dense(layout, "cemb", network.channels)))
        table = F.linear(F.silu(hidden), *_double(_dense(layout, "cemb", network.channels, second=True))).float()
        weights["class_embedding.weight"] = torch.cat([torch.zeros(len(table), embedding_width - wide), table], dim=1)
    return weights


def _dense(layout: Layout, embedding: str, channels: int, second: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    wide, name = 4 * channels, f"{embedding}.dense.{int(second)}"
    return layout.take(f"{name}.weight", wide, wide if second else channels), layout.take(f"{name}.bias", wide)


def _double(layer: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """In float64: a table that is computed once is rounded once."""
    return layer[0].double(), layer[1].double()


def _padded(tensor: torch.Tensor, *shape: int) -> torch.Tensor:
    """The tensor in the first corner of zeros."""
    whole = torch.zeros(shape)
    whole[tuple(slice(side) for side in tensor.shape)] = tensor
    return whole


def _layers(layout: Layout, network: Network) -> Iterator[tuple[str, torch.Tensor]]:
    """Everything behind the embeddings, by its name in `UNet2DModel`."""
    widths, last = network.widths, len(network.widths) - 1
    first, image = network.channels, network.image_channels
    yield from _layer(layout, "conv_in", "conv_in", first, image, 3, 3)
    made = [first]  # channels of what each block of the way down hands to the way up
    for level, width in enumerate(widths):
        for block in range(network.blocks):
            here, there = f"down_blocks.{level}", f"down.{level}"
            yield from _resnet(layout, network, f"{here}.resnets.{block}", f"{there}.block.{block}", made[-1], width)
            if network.attention[level]:
                yield from _attention(layout, f"{here}.attentions.{block}", f"{there}.attn.{block}", width)
            made.append(width)
        if level < last:
            yield from _layer(
                layout, f"down_blocks.{level}.downsamplers.0.conv", f"down.{level}.downsample.conv", width, width, 3, 3
            )
            made.append(width)
    deepest = widths[-1]
    yield from _resnet(layout, network, "mid_block.resnets.0", "mid.block_1", deepest, deepest)
    yield from _attention(layout, "mid_block.attentions.0", "mid.attn_1", deepest)
    yield from _resnet(layout, network, "mid_block.resnets.1", "mid.block_2", deepest, deepest)
    above = deepest
    for level in reversed(range(len(widths))):
        width, here, there = widths[level], f"up_blocks.{last - level}", f"up.{level}"
        for block in range(network.blocks + 1):
            taken = above + made.pop()
            yield from _resnet(layout, network, f"{here}.resnets.{block}", f"{there}.block.{block}", taken, width)
            if network.attention[level]:
                yield from _attention(layout, f"{here}.attentions.{block}", f"{there}.attn.{block}", width)
            above = width
        if level:
            yield from _layer(layout, f"{here}.upsamplers.0.conv", f"{there}.upsample.conv", width, width, 3, 3)
    yield from _layer(layout, "conv_norm_out", "norm_out", first)
    yield from _layer(layout, "conv_out", "conv_out", image, first, 3, 3)


def _layer(layout: Layout, here: str, there: str, *shape: int) -> Iterator[tuple[str, torch.Tensor]]:
    """A layer's weight of this shape, and its bias."""
    yield f"{here}.weight", layout.take(f"{there}.weight", *shape)
    yield f"{here}.bias", layout.take(f"{there}.bias", shape[0])


def _resnet(
    layout: Layout, network: Network, here: str, there: str, channels: int, width: int
) -> Iterator[tuple[str, torch.Tensor]]:
    projection = "temb_cemb_proj" if network.classes else "temb_proj"
    yield from _layer(layout, f"{here}.norm1", f"{there}.norm1", channels)
    yield from _layer(layout, f"{here}.conv1", f"{there}.conv1", width, channels, 3, 3)
    yield from _layer(layout, f"{here}.time_emb_proj", f"{there}.{projection}", width, network.embedding_width)
    yield from _layer(layout, f"{here}.norm2", f"{there}.norm2", width)
    yield from _layer(layout, f"{here}.conv2", f"{there}.conv2", width, width, 3, 3)
    if channels != width:
        yield from _layer(layout, f"{here}.conv_shortcut", f"{there}.nin_shortcut", width, channels, 1, 1)


def _attention(layout: Layout, here: str, there: str, width: int) -> Iterator[tuple[str, torch.Tensor]]:
    """Self-attention of one head, whose convolutions of one pixel are linear layers here."""
    yield from _layer(layout, f"{here}.group_norm", f"{there}.norm", width)
    for ours, theirs in (("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")):
        yield f"{here}.{ours}.weight", layout.take(f"{there}.{theirs}.weight", width, width, 1, 1)[:, :, 0, 0]
        yield f"{here}.{ours}.bias", layout.take(f"{there}.{theirs}.bias", width)
