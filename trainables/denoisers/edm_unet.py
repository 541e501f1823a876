"""EDM's networks (Karras et al. 2022, arXiv 2206.00364) as denoisers that are told a timestep and give ε.

A network F is made a denoiser D of x = x₀ + σn by its preconditioning; here x_t = √ᾱ_t x with σ_t = √((1 - ᾱ_t) / ᾱ_t), so

    D(x; σ, c) = c_skip(σ) x + c_out(σ) F(c_in(σ) x; c_noise(σ), c)
    ε(x_t, t, c) = (x - D(x; σ_t, c)) / σ_t = (1 - c_skip) / σ_t · x_t / √ᾱ_t - c_out / σ_t · F(c_in x_t / √ᾱ_t; c_noise, c)

whatever σ_t a schedule of β has: EDM trains on a continuum. diffusers' `UNet2DModel` holds neither: its blocks have no scaled sums,
it scales no input by t, and its ε is its output. F is DDPM++ or NCSN++ (Song et al. 2021, arXiv 2011.13456; ``song``) or ADM
(Dhariwal & Nichol 2021, arXiv 2105.05233; ``adm``), with EDM's parameters; its class table holds the projections of one-hot labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.unets.unet_2d import UNet2DOutput
from torch import nn

from trainables.sampling.noise_schedule import NoiseSchedule

SONG, ADM = ("song", "adm")
EDM, VP, VE = PRECONDITIONINGS = ("edm", "vp", "ve")
_BETA_D, _BETA_MIN, _STEPS = 19.9, 0.1, 1000  # VP's, of all its models
_HEAD = 64  # channels a head of ADM


class EDMUNet(ModelMixin, ConfigMixin):
    """(B, C, H, W) x_t, () or (B,) whole timesteps, (B,) classes or None → ε of that shape.

    `widths` are its levels' channels, `attended` the sides of the maps that attend; `resample_filter` adds up to 1.
    """

    @register_to_config
    def __init__(
        self,
        sample_size: int,
        in_channels: int,
        architecture: str,
        channels: int,
        widths: Sequence[int],
        blocks: int,
        attended: Sequence[int],
        noise_dim: int,
        embedding_dim: int,
        fourier: bool = False,
        residual: bool = False,
        resample_filter: Sequence[float] = (0.5, 0.5),
        dropout: float = 0.0,
        num_class_embeds: int | None = None,
        preconditioning: str = EDM,
        sigma_data: float = 0.5,
        num_train_timesteps: int = 1000,
        beta_schedule: str = "linear",
        beta_start: float = 1e-4,
        beta_end: float = 0.0173,
    ) -> None:
        super().__init__()
        song = architecture == SONG
        if fourier:
            self.register_buffer("frequencies", torch.zeros(noise_dim // 2))
        self.linear_1, self.linear_2 = nn.Linear(noise_dim, embedding_dim), nn.Linear(embedding_dim, embedding_dim)
        rows = noise_dim if song else embedding_dim
        self.class_embedding = None if num_class_embeds is None else nn.Embedding(num_class_embeds, rows)
        kind: dict[str, Any] = {
            "embedding_width": embedding_dim,
            "song": song,
            "dropout": dropout,
            "resample_filter": tuple(resample_filter),
        }

        self.conv_in = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.down_blocks, self.up_blocks = nn.ModuleList(), nn.ModuleList()
        self.residuals = nn.ModuleList()  # of NCSN++, what is added to each map that was halved
        made = self._add_way_down(kind)
        deepest = widths[-1]
        self.mid_block = nn.ModuleList([Block(deepest, deepest, attends=True, **kind), Block(deepest, deepest, **kind)])
        self._add_way_up(kind, made)
        self.conv_norm_out = group_norm(widths[0], song)
        self.conv_out = nn.Conv2d(widths[0], in_channels, 3, padding=1)
        schedule = NoiseSchedule(num_train_timesteps, beta_schedule, beta_start, beta_end)
        table = preconditioned(schedule.scheduler().alphas_cumprod, preconditioning, sigma_data)
        self.register_buffer("table", table, persistent=False)

    def _add_way_down(self, kind: dict[str, Any]) -> list[int]:
        """Add the blocks of the way down; returns the channels of every map that the way up is handed."""
        config, x, beside = self.config, self.config.channels, self.config.in_channels
        made = [x]
        for level, width in enumerate(config.widths):
            if level:
                self.down_blocks.append(Block(x, x, resample=-1, **kind))
                made.append(x)
                if config.residual:
                    self.residuals.append(Halved(beside, x, kind["resample_filter"]))
                    beside = x
            for _ in range(config.blocks):
                self.down_blocks.append(Block(x, width, attends=self._attends(level), **kind))
                x = width
                made.append(x)
        return made

    def _add_way_up(self, kind: dict[str, Any], made: list[int]) -> None:
        """Add the blocks of the way up; DDPM++ and NCSN++ attend behind the last of a level, ADM behind each."""
        config, x = self.config, self.config.widths[-1]
        for level in reversed(range(len(config.widths))):
            if level < len(config.widths) - 1:
                self.up_blocks.append(Block(x, x, resample=1, **kind))
            for number in range(config.blocks + 1):
                attends = self._attends(level) and (number == config.blocks or not kind["song"])
                width = config.widths[level]
                self.up_blocks.append(Block(x + made.pop(), width, attends=attends, takes_skip=True, **kind))
                x = width

    def _attends(self, level: int) -> bool:
        return self.config.sample_size >> level in self.config.attended

    def forward(
        self, sample: torch.Tensor, timestep: torch.Tensor, class_labels: torch.Tensor | None = None
    ) -> UNet2DOutput:
        timesteps = torch.as_tensor(timestep, device=sample.device).long().expand(len(sample))
        row = self.table[timesteps]
        embedding = self._embedding(row[:, 1], class_labels, sample.dtype)
        scale_in, _, skip, scale_out = row.to(sample.dtype).T[:, :, None, None, None]
        return UNet2DOutput(sample=skip * sample + scale_out * self._network(scale_in * sample, embedding))

    def _embedding(self, noise: torch.Tensor, classes: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor:
        """(B, embedding_dim) of c_noise (B,) and the classes, behind its last activation; angles are in float64, being large."""
        config = self.config
        song = config.architecture == SONG
        if config.fourier:
            angles = noise.outer(2 * math.pi * self.frequencies.to(noise.dtype))
        else:
            half = config.noise_dim // 2
            powers = torch.arange(half, device=noise.device, dtype=noise.dtype) / (half - song)
            angles = noise.outer(10000**-powers)
        waves = [angles.sin(), angles.cos()] if song else [angles.cos(), angles.sin()]
        x = torch.cat(waves, dim=1).to(dtype)
        row = 0 if self.class_embedding is None else self.class_embedding(classes)
        if song:
            return F.silu(self.linear_2(F.silu(self.linear_1(x + row))))
        return F.silu(self.linear_2(F.silu(self.linear_1(x))) + row)

    def _network(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """F, of its scaled input and the embedding of its noise and class."""
        beside, residuals = x, iter(self.residuals)
        x = self.conv_in(x)
        kept = [x]
        for block in self.down_blocks:
            x = block(x, embedding)
            if block.resample and self.config.residual:
                x = beside = (x + next(residuals)(beside)) / math.sqrt(2)
            kept.append(x)
        for block in self.mid_block:
            x = block(x, embedding)
        for block in self.up_blocks:
            x = block(torch.cat([x, kept.pop()], dim=1) if block.takes_skip else x, embedding)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class Block(nn.Module):
    """A residual block, resampled by a half (-1) or doubled (1), with attention behind it where it `attends`.

    DDPM++ and NCSN++ add the embedding and halve each sum's variance; ADM scales and shifts the second norm by it.
    """

    resample_filter: torch.Tensor

    def __init__(
        self,
        channels: int,
        width: int,
        embedding_width: int,
        song: bool,
        dropout: float,
        resample_filter: tuple[float, ...],
        resample: int = 0,
        attends: bool = False,
        takes_skip: bool = False,
    ) -> None:
        super().__init__()
        self.song, self.resample, self.takes_skip = song, resample, takes_skip
        self.scale = math.sqrt(0.5) if song else 1.0
        self.norm1, self.norm2 = group_norm(channels, song), group_norm(width, song)
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1)
        self.time_emb_proj = nn.Linear(embedding_width, width if song else 2 * width)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        has_shortcut = channels != width or (song and resample)
        self.conv_shortcut = nn.Conv2d(channels, width, 1) if has_shortcut else None
        self.attn1 = Attention(width, song) if attends else None
        if resample:
            self.register_buffer("resample_filter", _square(resample_filter), persistent=False)

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        h = self.conv1(self._resampled(F.silu(self.norm1(x))))
        modulation = self.time_emb_proj(embedding)[:, :, None, None]
        if self.song:
            h = F.silu(self.norm2(h + modulation))
        else:
            scale, shift = modulation.chunk(2, dim=1)
            h = F.silu(self.norm2(h) * (1 + scale) + shift)
        beside = self._resampled(x)
        beside = beside if self.conv_shortcut is None else self.conv_shortcut(beside)
        x = (self.conv2(self.dropout(h)) + beside) * self.scale
        return x if self.attn1 is None else (self.attn1(x) + x) * self.scale

    def _resampled(self, x: torch.Tensor) -> torch.Tensor:
        if not self.resample:
            return x
        weights = self.resample_filter.to(x.dtype).expand(x.shape[1], 1, -1, -1)
        padding = (weights.shape[-1] - 1) // 2
        if self.resample > 0:
            return F.conv_transpose2d(x, 4 * weights, groups=x.shape[1], stride=2, padding=padding)
        return F.conv2d(x, weights, groups=x.shape[1], stride=2, padding=padding)


class Attention(nn.Module):
    """Self-attention (B, C, H, W) → (B, C, H, W); EDM's q, k and v of a head lie between one another, channel by channel."""

    def __init__(self, channels: int, song: bool) -> None:
        super().__init__()
        self.heads = 1 if song else channels // _HEAD
        self.norm = group_norm(channels, song)
        self.qkv, self.proj = nn.Conv2d(channels, 3 * channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, channels, *sides = x.shape
        qkv = self.qkv(self.norm(x)).reshape(batch, self.heads, channels // self.heads, 3, -1)
        q, k, v = qkv.transpose(2, 4).unbind(3)  # each (B, heads, places, channels of a head)
        among = F.scaled_dot_product_attention(q, k, v)
        return self.proj(among.transpose(2, 3).reshape(batch, channels, *sides))


class Halved(nn.Module):
    """A convolution, then a map half as wide: NCSN++'s path beside its blocks."""

    resample_filter: torch.Tensor

    def __init__(self, channels: int, width: int, resample_filter: tuple[float, ...]) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(width, channels, 3, 3)), nn.Parameter(torch.zeros(width))
        self.register_buffer("resample_filter", _square(resample_filter), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = self.resample_filter.to(x.dtype).expand(len(self.weight), 1, -1, -1)
        wide = F.conv2d(x, self.weight, padding=1 + (weights.shape[-1] - 1) // 2)
        return F.conv2d(wide, weights.to(wide.dtype), groups=len(self.weight), stride=2) + self.bias[:, None, None]


def group_norm(channels: int, song: bool) -> nn.GroupNorm:
    """32 groups, fewer where there are not four channels for each."""
    return nn.GroupNorm(min(32, channels // 4), channels, eps=1e-6 if song else 1e-5)


def preconditioned(alphas_cumprod: torch.Tensor, preconditioning: str, sigma_data: float) -> torch.Tensor:
    """(T, 4) float64: by what x_t is multiplied for F, c_noise, and ε's shares of x_t and of F. ValueError for another name."""
    variance = 1 / alphas_cumprod.double()  # of x / x's own, 1 + σ²
    sigma = (variance - 1).sqrt()
    one = torch.ones_like(sigma)
    if preconditioning == EDM:
        of_both = (sigma**2 + sigma_data**2).sqrt()
        columns = [
            variance.sqrt() / of_both,
            sigma.log() / 4,
            sigma / of_both**2 * variance.sqrt(),
            -sigma_data / of_both,
        ]
    elif preconditioning == VP:
        t = ((_BETA_MIN**2 + 2 * _BETA_D * variance.log()).sqrt() - _BETA_MIN) / _BETA_D
        columns = [one, (_STEPS - 1) * t, 0 * one, one]
    elif preconditioning == VE:
        columns = [variance.sqrt(), (sigma / 2).log(), 0 * one, -one]
    else:
        raise ValueError(f"preconditioning {preconditioning!r} is none of {', '.join(PRECONDITIONINGS)}")
    return torch.stack(columns, dim=1)


def _square(resample_filter: tuple[float, ...]) -> torch.Tensor:
    """(1, 1, n, n): the filter along both sides."""
    line = torch.tensor(resample_filter)
    return line.outer(line)[None, None]
