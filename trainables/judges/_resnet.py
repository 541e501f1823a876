"""A judge of torchvision's: the ResNet-34 by which Selective Amnesia's line of work measures UA, as a folder that judges.

Heng & Soh 2023 (arXiv 2305.10120), and SalUn after them, fine-tune torchvision's ResNet-34 of ImageNet on CIFAR-10's images,
resized to 224 pixels a side, in [-1, 1]; its state dict is ``cifar10_resnet34.pth``. UA is the share of samples that it gives
another class. `trainables.judges.image_classifier` reads the folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from trainables.denoisers.checkpoints._files import read
from trainables.denoisers.checkpoints._shapes import Layout, fill
from trainables.denoisers.weights import Unset
from trainables.judges._folders import require_transformers

FAMILY = "sa-resnet34"
SIDE = 224  # pixels that it is shown
_STAGES = 4


def save_resnet(file: Path, folder: Path, classes: Sequence[str]) -> list[str]:
    """Save it in transformers' layout, these being its classes in their order; returns what it is, in words.

    ValueError, one line that begins with the file, where it is no ResNet of basic blocks (-18 and -34) with as many classes.
    """
    require_transformers("image_classifier")
    from transformers import ResNetConfig, ResNetForImageClassification, ViTImageProcessor

    tensors, _ = read(file)
    layout = Layout(tensors)
    try:
        outputs, width = layout.shape("fc.weight", 2)
        if outputs != len(classes):
            raise ValueError(f"it has {outputs} classes, and {len(classes)} names were given; name them by --classes")
        blocks = [layout.levels(f"layer{stage}.") for stage in range(1, _STAGES + 1)]
        widths = [layout.shape(f"layer{stage}.0.conv1.weight", 4)[0] for stage in range(1, _STAGES + 1)]
        weights = dict(_weights(layout, blocks, widths))
        weights |= {"classifier.1.weight": layout.take("fc.weight", outputs, width)}
        weights |= {"classifier.1.bias": layout.take("fc.bias", outputs)}
        layout.check()
    except ValueError as error:
        raise ValueError(f"{file}: as {FAMILY}, {error}") from None
    names = dict(enumerate(classes))
    config = ResNetConfig(
        embedding_size=widths[0], hidden_sizes=widths, depths=blocks, layer_type="basic",
        id2label=names, label2id={name: number for number, name in names.items()},
    )  # fmt: skip
    with Unset():
        model = ResNetForImageClassification(config)
    fill(model, weights)
    sees = ViTImageProcessor(size={"height": SIDE, "width": SIDE}, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as half:
        whole = Path(half) / folder.name
        model.save_pretrained(whole)
        sees.save_pretrained(whole)
        whole.replace(folder)
    return [f"{file.name}: a ResNet of {2 * sum(blocks) + 2} layers, {outputs} classes: {', '.join(classes)}"]


def _weights(layout: Layout, blocks: list[int], widths: list[int]) -> Iterator[tuple[str, torch.Tensor]]:
    """Everything before the last layer, by its name in transformers."""
    yield from _normed(layout, "resnet.embedder.embedder", "conv1", "bn1", widths[0], 3, 7)
    x = widths[0]
    for stage, (number, width) in enumerate(zip(blocks, widths, strict=True)):
        for block in range(number):
            here, there = f"resnet.encoder.stages.{stage}.layers.{block}", f"layer{stage + 1}.{block}"
            yield from _normed(layout, f"{here}.layer.0", f"{there}.conv1", f"{there}.bn1", width, x, 3)
            yield from _normed(layout, f"{here}.layer.1", f"{there}.conv2", f"{there}.bn2", width, width, 3)
            if block == 0 and (stage or x != width):
                below = f"{there}.downsample"
                yield from _normed(layout, f"{here}.shortcut", f"{below}.0", f"{below}.1", width, x, 1)
            x = width


def _normed(
    layout: Layout, here: str, convolution: str, norm: str, width: int, channels: int, side: int
) -> Iterator[tuple[str, torch.Tensor]]:
    """A convolution without a bias, and the batch norm behind it."""
    weight = layout.take(f"{convolution}.weight", width, channels, side, side)
    yield f"{here}.convolution.weight", weight
    for name in ("weight", "bias", "running_mean", "running_var"):
        yield f"{here}.normalization.{name}", layout.take(f"{norm}.{name}", width)
    batches = layout.take(f"{norm}.num_batches_tracked")
    yield f"{here}.normalization.num_batches_tracked", batches.long()
