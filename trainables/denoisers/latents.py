"""A data set's latents as tensors of an artifact: each split's, scaled as the denoiser takes them, with its conditions."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL

from trainables.data import Images, Splits
from trainables.denoisers.dit import encode
from trainables.store import Artifact


def encoded_images(vae: AutoencoderKL, images: Images) -> Images:
    """Images as latents: the mode of each one's distribution."""
    return Images(torch.cat([encode(vae, part) for part in images.parts()]), images.conditions)


def latent_tensors(vae: AutoencoderKL, splits: Splits) -> dict[str, torch.Tensor]:
    """The latents of the splits by name, for `Store.put`: ``train`` (N, C, H, W) and ``train.conditions`` (N,), and so on."""
    tensors: dict[str, torch.Tensor] = {}
    for name, images in vars(splits).items():
        latents = encoded_images(vae, images)
        tensors |= {name: latents.images, f"{name}.conditions": latents.conditions}
    return tensors


def splits_in(artifact: Artifact) -> Splits:
    """The splits that `latent_tensors` made an artifact's tensors of."""
    tensors = {name: torch.from_numpy(array.copy()) for name, array in artifact.tensors().items()}
    names = Splits.__dataclass_fields__
    return Splits(**{name: Images(tensors[name], tensors[f"{name}.conditions"]) for name in names})
