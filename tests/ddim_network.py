"""The U-Net of DDIM's code and the conditional one of Selective Amnesia's, written again from its description, with its names.

Levels of residual blocks, attention of one head behind each at some of them; 32 groups, ε = 1e-6; a stride-2 convolution over
maps padded below and to the right; nearest-neighbour upsampling and a convolution; sines, then cosines, of
10000^(-i / (C/2 - 1)) t.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn


def norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels, eps=1e-6)


class Residual(nn.Module):
    def __init__(self, channels: int, width: int, embedding_width: int, conditional: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(channels), norm(width)
        self.conv1, self.conv2 = nn.Conv2d(channels, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.projection = "temb_cemb_proj" if conditional else "temb_proj"
        setattr(self, self.projection, nn.Linear(embedding_width, width))
        if channels != width:
            self.nin_shortcut = nn.Conv2d(channels, width, 1)

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        h = self.conv1(F.silu(self.norm1(x))) + getattr(self, self.projection)(F.silu(embedding))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class Attention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = norm(channels)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.norm(x)
        q, k, v = (layer(h).flatten(2) for layer in (self.q, self.k, self.v))
        among = (torch.einsum("bci,bcj->bij", q, k) / math.sqrt(q.shape[1])).softmax(dim=2)
        return x + self.proj_out(torch.einsum("bij,bcj->bci", among, v).reshape(x.shape))


def dense(channels: int) -> nn.Module:
    layers = nn.Module()
    layers.dense = nn.ModuleList([nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, 4 * channels)])
    return layers


def through(layers: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return layers.dense[1](F.silu(layers.dense[0](x)))


class Network(nn.Module):
    """`classes` 0: DDIM's own. Called with t (B,) and, of classes, c (B,) in which -1 is no class."""

    def __init__(
        self, channels: int, multiples: tuple[int, ...], blocks: int, attended: set[int], size: int, classes: int
    ):
        super().__init__()
        self.channels, self.classes = channels, classes
        widths = [channels * m for m in multiples]
        embedding_width = (8 if classes else 4) * channels
        self.temb = dense(channels)
        if classes:
            self.classes_emb = nn.Embedding(classes, channels)
            self.null_classes_emb = nn.Parameter(torch.randn(channels))
            self.cemb = dense(channels)
        self.conv_in = nn.Conv2d(3, channels, 3, padding=1)
        self.down, made, x = nn.ModuleList(), [channels], channels
        for level, width in enumerate(widths):
            stage = nn.Module()
            stage.block, stage.attn = nn.ModuleList(), nn.ModuleList()
            for _ in range(blocks):
                stage.block.append(Residual(x, width, embedding_width, bool(classes)))
                if size >> level in attended:
                    stage.attn.append(Attention(width))
                x = width
                made.append(x)
            if level < len(widths) - 1:
                stage.downsample = nn.Module()
                stage.downsample.conv = nn.Conv2d(x, x, 3, stride=2)
                made.append(x)
            self.down.append(stage)
        self.mid = nn.Module()
        self.mid.block_1, self.mid.block_2 = (Residual(x, x, embedding_width, bool(classes)) for _ in range(2))
        self.mid.attn_1 = Attention(x)
        up = []
        for level in reversed(range(len(widths))):
            stage, width = nn.Module(), widths[level]
            stage.block, stage.attn = nn.ModuleList(), nn.ModuleList()
            for _ in range(blocks + 1):
                stage.block.append(Residual(x + made.pop(), width, embedding_width, bool(classes)))
                if size >> level in attended:
                    stage.attn.append(Attention(width))
                x = width
            if level:
                stage.upsample = nn.Module()
                stage.upsample.conv = nn.Conv2d(x, x, 3, padding=1)
            up.append(stage)
        self.up = nn.ModuleList(reversed(up))
        self.norm_out, self.conv_out = norm(x), nn.Conv2d(x, 3, 3, padding=1)

    def embedding(self, t: torch.Tensor, c: torch.Tensor | None) -> torch.Tensor:
        half = self.channels // 2
        angles = t.to(self.conv_in.weight.dtype)[:, None] * torch.exp(
            -math.log(10000) / (half - 1) * torch.arange(half, dtype=self.conv_in.weight.dtype)
        )
        time = through(self.temb, torch.cat([angles.sin(), angles.cos()], dim=1))
        if c is None:
            return time
        rows = torch.where((c < 0)[:, None], self.null_classes_emb, self.classes_emb(c.clamp(min=0)))
        return torch.cat([time, through(self.cemb, rows)], dim=1)

    def forward(self, x: torch.Tensor, t: torch.Tensor, c: torch.Tensor | None = None) -> torch.Tensor:
        embedding, h = self.embedding(t, c), self.conv_in(x)
        kept = [h]
        for stage in self.down:
            for number, block in enumerate(stage.block):
                h = block(h, embedding)
                h = stage.attn[number](h) if len(stage.attn) else h
                kept.append(h)
            if hasattr(stage, "downsample"):
                h = stage.downsample.conv(F.pad(h, (0, 1, 0, 1)))
                kept.append(h)
        h = self.mid.block_2(self.mid.attn_1(self.mid.block_1(h, embedding)), embedding)
        for stage in reversed(self.up):
            for number, block in enumerate(stage.block):
                h = block(torch.cat([h, kept.pop()], dim=1), embedding)
                h = stage.attn[number](h) if len(stage.attn) else h
            if hasattr(stage, "upsample"):
                h = stage.upsample.conv(F.interpolate(h, scale_factor=2.0, mode="nearest"))
        return self.conv_out(F.silu(self.norm_out(h)))
