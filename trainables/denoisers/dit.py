"""DiT (Peebles & Xie 2022, arXiv 2212.09748): a transformer that denoises a VAE's latents, and the VAE.

diffusers' own classes, with the interface that losses and samplers expect of a UNet: ``model(x_t, t, class_labels)``.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from diffusers import AutoencoderKL, DiTTransformer2DModel
from diffusers.models.modeling_outputs import Transformer2DModelOutput

from trainables.denoisers.weights import Unset, fill
from trainables.store import Artifact

_VAE_PIXELS = 16 * 256 * 256  # a pass: a decoder at 256 pixels needs a hundred times what the transformer does
_VAE_IMAGES = 256


class DiT(DiTTransformer2DModel):
    """A DiT whose output is ε alone: (B, C, H, W) latents, (B,) or () timesteps, (B,) classes → (B, C, H, W).

    Learned variances are dropped, as deterministic samplers and the simple loss do. Its own label dropout is off: it would
    draw from the global generator, and every recipe here drops conditions itself.
    """

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        for embedder in class_tables(self).values():
            embedder.dropout_prob = 0.0

    @property
    def class_embedding(self) -> torch.nn.Embedding:
        """The first block's table of class rows; every block has one."""
        return next(iter(class_tables(self).values())).embedding_table

    def forward(
        self, sample: torch.Tensor, timestep: torch.Tensor, class_labels: torch.Tensor
    ) -> Transformer2DModelOutput:
        timesteps = timestep.to(sample.device).expand(len(sample))
        both = super().forward(sample, timestep=timesteps, class_labels=class_labels).sample
        return Transformer2DModelOutput(sample=both[:, : sample.shape[1]])


def class_tables(model: torch.nn.Module) -> dict[str, Any]:
    """The class embedders of a DiT's blocks, by the name of the module."""
    return {name: module for name, module in model.named_modules() if name.endswith("norm1.emb.class_embedder")}


def load_vae(artifact: Artifact, device: str) -> AutoencoderKL:
    """The VAE of an artifact, frozen, in evaluation mode."""
    with Unset():
        vae = AutoencoderKL(**artifact.facts["vae"])
    fill(vae, artifact)
    return vae.requires_grad_(False).to(device).eval()


@torch.inference_mode()
def encode(vae: AutoencoderKL, images: torch.Tensor) -> torch.Tensor:
    """Images (N, C, H, W) in [-1, 1] → latents, on the CPU: each distribution's mode, scaled as the denoiser was trained.

    Peers train on a draw from each distribution; a mode needs no seed, and of Stable Diffusion's VAE the spread is small.
    """
    device = next(vae.parameters()).device
    parts = [
        vae.encode(part.to(device)).latent_dist.mode().cpu() for part in images.split(vae_batch(*images.shape[-2:]))
    ]
    return torch.cat(parts) * vae.config.scaling_factor


@torch.inference_mode()
def decode(vae: AutoencoderKL, latents: torch.Tensor) -> torch.Tensor:
    """Latents → images (N, C, H, W) in [-1, 1], on the device of the latents.

    In float32, whatever is computed around it, unless the VAE's file says ``force_upcast`` false: SDXL's overflows below.
    """
    device = next(vae.parameters()).device
    scaled = latents.to(device).float() / vae.config.scaling_factor
    smaller = 2 ** (len(vae.config.block_out_channels) - 1)
    parts = scaled.split(vae_batch(*(smaller * side for side in latents.shape[-2:])))
    whole = torch.autocast(device.type, enabled=False) if vae.config.force_upcast else nullcontext()
    with whole:
        return torch.cat([vae.decode(part).sample.float().clamp(-1, 1) for part in parts]).to(latents.device)


def vae_batch(height: int, width: int) -> int:
    """Images that a VAE takes in one pass: 16 at 256 pixels a side, 4 at 512, 1 at 1024."""
    return max(1, min(_VAE_IMAGES, _VAE_PIXELS // (height * width)))
