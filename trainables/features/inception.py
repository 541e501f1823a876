"""Inception-v3 as clean-fid runs it (Parmar et al. 2022, arXiv 2104.11222), from a local TorchScript file.

A TorchScript file is code: it is loaded only if its SHA-256 is the pinned one, or one the user names. clean-fid's own
download has no such check and races between parallel trials, so it is never called.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import torch

from trainables.features import FeatureNetwork, FeatureSource, register

# ``inception-2015-12-05.pt`` as distributed with StyleGAN2-ADA, which clean-fid uses; k-diffusion pins the same digest.
PINNED_SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"


@register("inception")
def inception(source: FeatureSource) -> FeatureNetwork:
    """(N, 2048) pool features. Raises ValueError where the file's hash is not the expected one."""
    from cleanfid.resize import build_resizer

    code = checked_weights(source.weights_file, source.weights_sha256 or PINNED_SHA256)
    network = torch.jit.load(io.BytesIO(code), map_location=source.device).eval()
    resize = build_resizer("clean")  # PIL bicubic to 299×299, one image at a time, as clean-fid's "clean" mode

    def extract(images: torch.Tensor) -> np.ndarray:
        features = []
        for part in images.split(32):
            pixels = ((part + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).expand(-1, 3, -1, -1)
            resized = np.stack([resize(image.permute(1, 2, 0).numpy()) for image in pixels])
            with torch.inference_mode():
                # `layers` skips the module's own resizing, as clean-fid does; it expects pixels scaled this way.
                scaled = (torch.from_numpy(resized).permute(0, 3, 1, 2) - 128) / 128
                features.append(network.layers(scaled.to(source.device)).flatten(1).double().cpu())
        return torch.cat(features).numpy()

    return FeatureNetwork("inception", hashlib.sha256(code).hexdigest(), extract)


def checked_weights(file: str, expected: str) -> bytes:
    """The file's content if its SHA-256 is the expected one: what was hashed is what is loaded, whatever the file is by then.

    ValueError otherwise, FileNotFoundError where there is no file.
    """
    content = Path(file).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != expected:
        raise ValueError(
            f"{file}: SHA-256 is {digest}, not {expected}; a TorchScript file runs code, so it is not loaded"
        )
    return content
