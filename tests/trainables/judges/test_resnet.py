"""torchvision's ResNet, by which Selective Amnesia measures UA, as a judge in a folder: its verdicts are the network's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from disk_formats import write_cifar10
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet, resnet34
from torchvision.transforms import v2

from sweep import import_checkpoint
from trainables.data import NOTHING, Facet, dataset
from trainables.judges import reader_of
from trainables.judges.image_classifier import ImageClassifier

pytest.importorskip("transformers")

NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def resnet(blocks: tuple[int, ...] = (1, 2, 1, 1), kind: type = BasicBlock, classes: int = 10) -> ResNet:
    """With random weights and statistics, so that images differ in their classes."""
    torch.manual_seed(0)
    network = ResNet(kind, list(blocks), num_classes=classes).eval()
    with torch.no_grad():
        for name, value in network.named_buffers():
            if name.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif name.endswith("running_mean"):
                value.normal_()
        network.fc.weight *= 20
    return network


def imported(network: ResNet, folder: Path, *flags: str) -> int:
    torch.save(network.state_dict(), folder / "cifar10_resnet34.pth")
    return import_checkpoint.main(
        [str(folder / "cifar10_resnet34.pth"), str(folder / "judge"), "--family=sa-resnet34", *flags]
    )


@torch.no_grad()
def test_its_verdicts_are_the_networks_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = resnet()
    patches = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(0))  # which no stride averages out
    images = (255 * patches * patches[:, :, :1, :1]).byte().repeat_interleave(4, 2).repeat_interleave(4, 3)
    seen = v2.functional.resize(images, [224, 224], antialias=True).float() / 127.5 - 1  # as pictures are shown to it
    network.fc.bias -= network(seen).mean(dim=0)
    assert imported(network, tmp_path) == 0
    assert "a ResNet of 12 layers, 10 classes: airplane, automobile" in capsys.readouterr().out
    logits = network(seen)
    facet = Facet("class", NAMES, tuple(range(10)), (NOTHING,) * 10)
    said = ImageClassifier(tmp_path / "judge", (facet,), 0).load("cpu")(images.float() / 127.5 - 1)
    labels = said.labels[:, 0].tolist()
    assert labels == logits.argmax(dim=1).tolist() and len(set(labels)) > 2
    torch.testing.assert_close(said.confidence[:, 0], logits.softmax(dim=1).amax(dim=1), rtol=0, atol=1e-4)


def test_a_sweep_names_it_as_the_judge_of_cifar10(tmp_path: Path) -> None:
    assert imported(resnet(), tmp_path) == 0
    batches = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3072), np.uint8)
    write_cifar10(tmp_path, dict.fromkeys(batches, np.arange(4)), dict.fromkeys(batches, pixels), binary=True)
    reader = reader_of(f"image_classifier:{tmp_path / 'judge'}", dataset("cifar10", str(tmp_path)), "")
    assert isinstance(reader, ImageClassifier) and reader.classes[0] == tuple(range(10))


def test_every_tensor_of_a_whole_resnet_34_finds_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert imported(resnet34(num_classes=2), tmp_path, "--classes", "cat, dog") == 0
    assert "a ResNet of 34 layers, 2 classes: cat, dog" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("network", "flags", "said"),
    [
        (resnet(classes=3), [], "it has 3 classes, and 10 names were given; name them by --classes"),
        (resnet(kind=Bottleneck), [], "as sa-resnet34, has layer1.0.bn3.bias, "),
    ],
    ids=["other classes", "of bottlenecks"],
)
def test_another_network_is_refused_in_one_line(
    network: ResNet, flags: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert imported(network, tmp_path, *flags) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and said in error and not (tmp_path / "judge").exists()
