"""EDM's networks and preconditionings, written again from the paper's appendix and what it takes its networks from, by its names.

Maps are resampled as signal processing has it: zeros between pixels and a filter, or a filter and every second pixel.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


def resampled(x: torch.Tensor, taps: tuple[float, ...], way: str, wider: bool = False) -> torch.Tensor:
    """Half as wide (``down``) or twice (``up``), by a filter along each side in turn; zeros around, unless x is `wider` already."""
    line = torch.tensor(taps, dtype=x.dtype) / sum(taps)
    before = (len(taps) - 1) // 2
    if way == "up":
        stuffed = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
        stuffed[:, :, ::2, ::2] = x
        x, line, before = stuffed, 2 * line, len(taps) - 1 - before
    after = len(taps) - 1 - before
    for side in (2, 3):
        if not wider:
            x = F.pad(x, (before, after, 0, 0) if side == 3 else (0, 0, before, after))
        n = x.shape[side] - len(taps) + 1
        x = sum(weight * x.narrow(side, i, n) for i, weight in enumerate(line))  # type: ignore[assignment]
    return x[:, :, ::2, ::2] if way == "down" else x


def groups(channels: int, eps: float) -> nn.GroupNorm:
    return nn.GroupNorm(min(32, channels // 4), channels, eps=eps)


def keep(module: nn.Module, taps: tuple[float, ...]) -> None:
    line = torch.tensor(taps) / sum(taps)
    module.register_buffer("resample_filter", torch.outer(line, line)[None, None])


class Block(nn.Module):
    def __init__(
        self, x: int, y: int, emb_channels: int, song: bool, taps: tuple[float, ...], way: str = "", heads: int = 0
    ):
        super().__init__()
        self.song, self.taps, self.way, self.heads, self.x, eps = song, taps, way, heads, x, 1e-6 if song else 1e-5
        self.norm0, self.norm1 = groups(x, eps), groups(y, eps)
        self.conv0, self.conv1 = nn.Conv2d(x, y, 3, padding=1), nn.Conv2d(y, y, 3, padding=1)
        self.affine = nn.Linear(emb_channels, y if song else 2 * y)
        if x != y or (way and song):
            self.skip = nn.Conv2d(x, y, 1)
        elif way:
            self.skip = nn.Module()
        if way:
            keep(self.conv0, taps)
            keep(self.skip, taps)
        if heads:
            self.norm2, self.qkv, self.proj = groups(y, eps), nn.Conv2d(y, 3 * y, 1), nn.Conv2d(y, y, 1)

    def forward(self, x: torch.Tensor, emb: torch.Tensor) -> torch.Tensor:
        scale = math.sqrt(0.5) if self.song else 1
        h = F.silu(self.norm0(x))
        h, beside = (resampled(one, self.taps, self.way) if self.way else one for one in (h, x))
        h, modulation = self.conv0(h), self.affine(emb)[:, :, None, None]
        if self.song:
            h = self.norm1(h + modulation)
        else:
            gain, shift = modulation.chunk(2, dim=1)
            h = self.norm1(h) * (gain + 1) + shift
        beside = self.skip(beside) if isinstance(getattr(self, "skip", None), nn.Conv2d) else beside
        x = (self.conv1(F.silu(h)) + beside) * scale
        if not self.heads:
            return x
        b, c = x.shape[:2]
        q, k, v = self.qkv(self.norm2(x)).reshape(b * self.heads, c // self.heads, 3, -1).unbind(2)
        among = torch.einsum("ncq,nck->nqk", q, k / math.sqrt(q.shape[1])).softmax(dim=2)
        return (self.proj(torch.einsum("nqk,nck->ncq", among, v).reshape(x.shape)) + x) * scale


class Network(nn.Module):
    """`kind` ``ddpmpp``, ``ncsnpp`` or ``adm``. Called with scaled x, c_noise (B,) and labels (B, n) or None."""

    def __init__(
        self, kind: str, size: int, channels: int, multiples: tuple[int, ...], blocks: int, attended: set[int], n: int
    ):
        super().__init__()
        song = kind != "adm"
        self.song, self.kind, self.channels = song, kind, channels
        taps = (1.0, 3.0, 3.0, 1.0) if kind == "ncsnpp" else (1.0, 1.0)
        noise, emb_channels = channels * (2 if kind == "ncsnpp" else 1), 4 * channels
        self.noise = noise
        if kind == "ncsnpp":
            self.map_noise = nn.Module()
            self.map_noise.register_buffer("freqs", torch.randn(noise // 2) * 16)
        if n:
            self.map_label = nn.Linear(n, noise if song else emb_channels, bias=song)
        self.map_augment = nn.Linear(9, noise, bias=False)
        self.map_layer0, self.map_layer1 = nn.Linear(noise, emb_channels), nn.Linear(emb_channels, emb_channels)

        def block(x: int, y: int, way: str = "", attends: bool = False) -> Block:
            return Block(x, y, emb_channels, song, taps, way, (1 if song else y // 64) if attends else 0)

        self.enc, self.dec = nn.ModuleDict(), nn.ModuleDict()
        x = channels if song else channels * multiples[0]
        made, beside = [x], 3
        for level, multiple in enumerate(multiples):
            at = f"{size >> level}x{size >> level}"
            if not level:
                self.enc[f"{at}_conv"] = nn.Conv2d(3, x, 3, padding=1)
            else:
                self.enc[f"{at}_down"] = block(x, x, "down")
                made.append(x)
                if kind == "ncsnpp":
                    self.enc[f"{at}_aux_residual"] = nn.Conv2d(beside, x, 3, padding=1)
                    keep(self.enc[f"{at}_aux_residual"], taps)
                    beside = x
            for i in range(blocks):
                self.enc[f"{at}_block{i}"] = block(x, channels * multiple, attends=size >> level in attended)
                x = channels * multiple
                made.append(x)
        for level in reversed(range(len(multiples))):
            at = f"{size >> level}x{size >> level}"
            if level == len(multiples) - 1:
                self.dec[f"{at}_in0"], self.dec[f"{at}_in1"] = block(x, x, attends=True), block(x, x)
            else:
                self.dec[f"{at}_up"] = block(x, x, "up")
            for i in range(blocks + 1):
                attends = size >> level in attended and (not song or i == blocks)
                self.dec[f"{at}_block{i}"] = block(x + made.pop(), channels * multiples[level], attends=attends)
                x = channels * multiples[level]
        if song:
            self.dec[f"{size}x{size}_aux_norm"] = groups(x, 1e-6)
            self.dec[f"{size}x{size}_aux_conv"] = nn.Conv2d(x, 3, 3, padding=1)
        else:
            self.out_norm, self.out_conv = groups(x, 1e-5), nn.Conv2d(x, 3, 3, padding=1)

    def embedding(self, noise: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        if self.kind == "ncsnpp":
            angles = noise[:, None] * self.map_noise.freqs * 2 * math.pi
        else:
            half = self.noise // 2
            last = half - 1 if self.song else half
            angles = noise[:, None] * torch.tensor([10000 ** (-i / last) for i in range(half)], dtype=noise.dtype)
        if self.song:
            emb = torch.cat([angles.sin(), angles.cos()], dim=1)
            emb = emb if labels is None else emb + self.map_label(labels * math.sqrt(labels.shape[1]))
            return F.silu(self.map_layer1(F.silu(self.map_layer0(emb))))
        emb = self.map_layer1(F.silu(self.map_layer0(torch.cat([angles.cos(), angles.sin()], dim=1))))
        return F.silu(emb if labels is None else emb + self.map_label(labels))

    def forward(self, x: torch.Tensor, noise: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        emb, aux, kept = self.embedding(noise, labels), x, []
        for name, block in self.enc.items():
            if "aux" in name:
                wide = resampled(F.conv2d(aux, block.weight, padding=2), (1.0, 3.0, 3.0, 1.0), "down", wider=True)
                x = kept[-1] = aux = (x + wide + block.bias[:, None, None]) / math.sqrt(2)
                continue
            x = block(x, emb) if isinstance(block, Block) else block(x)
            kept.append(x)
        for name, block in self.dec.items():
            if isinstance(block, Block):
                x = block(torch.cat([x, kept.pop()], dim=1) if "block" in name else x, emb)
            else:
                x = block(F.silu(x) if "conv" in name else x)
        return x if self.song else self.out_conv(F.silu(self.out_norm(x)))


def denoised(
    network: Any, preconditioning: str, x: torch.Tensor, sigma: torch.Tensor, labels: torch.Tensor | None
) -> torch.Tensor:
    """D(x; σ, labels) of images x = x₀ + σn; the table of EDM's paper, a row each."""
    s, data = sigma[:, None, None, None], 0.5
    if preconditioning == "vp":
        t = (torch.sqrt(0.1**2 + 2 * 19.9 * torch.log(1 + sigma**2)) - 0.1) / 19.9
        skip, out, scale, noise = 1, -s, 1 / torch.sqrt(s**2 + 1), 999 * t
    elif preconditioning == "ve":
        skip, out, scale, noise = 1, s, 1, torch.log(sigma / 2)
    else:
        skip, out = data**2 / (s**2 + data**2), s * data / torch.sqrt(s**2 + data**2)
        scale, noise = 1 / torch.sqrt(s**2 + data**2), torch.log(sigma) / 4
    return skip * x + out * network(scale * x, noise, labels)
