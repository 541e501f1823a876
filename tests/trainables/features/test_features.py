"""Feature networks: Inception's path with a real TorchScript file of the same interface."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cleanfid.inception_torchscript import InceptionV3W
from cleanfid.resize import build_resizer
from torch import nn

from trainables.data import DATASETS, Images
from trainables.features import FEATURE_NETWORKS, FeatureNetwork, FeatureSource, conditions_by_distance
from trainables.members import MemberFault
from trainables.relearning.experiment import Experiment, Samples
from trainables.relearning.products import Workbench, make_reference, model_key, reference_key
from trainables.relearning.products.classifier import classifier_key, classifier_of
from trainables.relearning.products.features import features_of
from trainables.relearning.products.images import splits_of
from trainables.relearning.products.reference import reference_of
from trainables.relearning.shared_products import CLASSIFIER, REFERENCE, products_of
from trainables.relearning.stages.score import make_score, score_key
from trainables.store import Store


class Layers(nn.Module):
    """(N, 3, 299, 299) → (N, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(48, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(torch.nn.functional.adaptive_avg_pool2d(x, 4).flatten(1))


class Network(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = Layers(width)

    def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        return self.layers(x)


def write_weights(folder: Path, width: int) -> tuple[str, str]:
    """A TorchScript file under the name that clean-fid looks for, and its SHA-256."""
    torch.manual_seed(0)
    file = folder / "inception-2015-12-05.pt"
    torch.jit.script(Network(width).eval()).save(str(file))
    return str(file), hashlib.sha256(file.read_bytes()).hexdigest()


def inception(bench: Workbench, file: str, sha256: str) -> FeatureNetwork:
    return FEATURE_NETWORKS["inception"](FeatureSource(classifier_of(bench), "", file, sha256))


def test_a_file_with_another_hash_is_refused_before_it_is_loaded(bench: Workbench, tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(b"loading this would raise something else")
    for sha256 in ("", "0" * 64):
        with pytest.raises(ValueError, match="not loaded"):
            inception(bench, str(file), sha256)


def test_a_true_torchscript_file_is_refused_too_unless_its_hash_is_named(bench: Workbench, tmp_path: Path) -> None:
    file, sha256 = write_weights(tmp_path, 4)
    with pytest.raises(ValueError, match=sha256):
        inception(bench, file, "")
    assert inception(bench, file, sha256).weights_hash == sha256


def test_a_missing_file_is_an_error(bench: Workbench, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        inception(bench, str(tmp_path / "nowhere.pt"), "")


@pytest.mark.parametrize("channels", [1, 3])
def test_features_are_those_of_clean_fid(bench: Workbench, tmp_path: Path, channels: int) -> None:
    file, sha256 = write_weights(tmp_path, 2048)
    images = DATASETS["digits"].load().test.images[:35].expand(-1, channels, -1, -1).clone()
    if channels == 3:
        images[:, 1] *= -1
    features = inception(bench, file, sha256).extract(images)
    assert features.shape == (35, 2048) and features.dtype == np.float64

    resize, theirs = build_resizer("clean"), InceptionV3W(str(tmp_path), download=False)
    for index in (0, 31, 32, 34):
        pixels = np.clip(np.round((images[index].numpy() + 1) * 127.5), 0, 255).astype(np.uint8)
        pixels = np.repeat(pixels, 3 // channels, axis=0).transpose(1, 2, 0)
        with torch.no_grad():
            expected = theirs(torch.from_numpy(resize(pixels).transpose(2, 0, 1))[None])
        np.testing.assert_allclose(features[index], expected[0].numpy(), rtol=1e-4, atol=1e-5)


def test_the_classifiers_features_are_its_penultimate_layers(bench: Workbench) -> None:
    images = splits_of(bench).test.images[:5]
    features = features_of(bench).extract(images)
    assert features.dtype == np.float64
    with torch.no_grad():
        logits = classifier_of(bench).head(torch.from_numpy(features).float())
        torch.testing.assert_close(logits, classifier_of(bench)(images))


@pytest.mark.parametrize("features", ["classifier", "efficientnet", "inception"])
def test_every_feature_network_is_loaded_once_the_classifier_is_there(bench: Workbench, features: str) -> None:
    """Which loads every network's source; side by side on two workers, the reference was made before it."""
    graph = products_of(replace(bench.experiment, features=features, weights_sha256="0" * 64))
    assert CLASSIFIER in graph[REFERENCE].needs


def test_statistics_of_other_weights_that_no_key_knows_are_refused(another_store) -> None:
    """A classifier that was lost and came out otherwise: old scores and new ones would lie side by side."""
    own = another_store()
    make_reference(own)
    assert reference_of(Workbench(own)).mean.ndim == 1
    store = Store(own.store)
    made = store.get(classifier_key(own))
    store.put(made.key, made.kind, made.facts, {name: value + 1e-3 for name, value in made.tensors().items()})
    with pytest.raises(
        ValueError, match=r"its weights are other than those by which the scores in .* PINNED_SHA256 = '"
    ):
        reference_of(Workbench(own))


def test_figures_of_another_feature_network_have_other_keys(
    experiment: Experiment, another_store, tmp_path: Path
) -> None:
    file, sha256 = write_weights(tmp_path, 4)
    own = another_store()
    other = replace(own, features="inception", weights_file=file, weights_sha256=sha256)
    reference = make_reference(other)
    assert reference.key != reference_key(own)
    assert reference.facts == {"images": reference.facts["images"], "features": "inception", "weights_hash": sha256}

    base, samples = model_key(other, "base"), Samples(8, 4)
    assert base == model_key(own, "base"), "the model does not depend on how it is judged"
    score = make_score(other, base, samples, 0)
    assert score.key != score_key(own, base, samples, 0)
    ours, theirs = score.facts["figures"], own_score(own, base, samples)
    assert ours["unlearning_accuracy"] == theirs["unlearning_accuracy"] and ours["fid"] != theirs["fid"]
    assert score_key(replace(other, weights_sha256="0" * 64), base, samples, 0) != score.key


def own_score(experiment: Experiment, model: str, samples: Samples) -> dict[str, float]:
    return Workbench(experiment).store.get(score_key(experiment, model, samples, 0)).facts["figures"]


def no_network(source: FeatureSource) -> object:
    return lambda images: images


def flat(source: FeatureSource) -> FeatureNetwork:
    return FeatureNetwork("flat", "none", lambda images: images.flatten().numpy())


def of_another_size(source: FeatureSource) -> FeatureNetwork:
    return FeatureNetwork("of_another_size", "none", lambda images: images.reshape(7, -1).numpy())


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (no_network, "gives a function; return a FeatureNetwork"),
        (flat, r"gives \(128,\) of 2 images; \(2, d\) is asked for"),
        (of_another_size, r": RuntimeError: .* \(line \d+ of "),
    ],
)
def test_a_feature_network_that_gives_anything_else_is_named(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, load: Callable, said: str
) -> None:
    monkeypatch.setitem(FEATURE_NETWORKS._members, "odd", load)
    own = Workbench(replace(bench.experiment, features="odd"))
    classifier_of(own)
    with pytest.raises(MemberFault, match=rf"feature network 'odd'.*{said}.*test_features\.py"):
        features_of(own).extract(torch.zeros(2, 1, 8, 8))


def test_of_prompts_it_is_the_images_of_a_label_together_that_are_near_or_far() -> None:
    """Prompts 0 and 1 ask for one label, 2 and 3 for another: 1 and 2 lie nearest, but 3 is far, and so is its label."""
    level = torch.tensor([0.3, 0.1, 0.0, 1.0])
    retain = Images(level.view(-1, 1, 1, 1).expand(-1, 1, 2, 2), torch.arange(4))
    forget = Images(torch.zeros(2, 1, 2, 2), torch.tensor([4, 4]))

    def extract(images: torch.Tensor) -> np.ndarray:
        return images.flatten(1).double().numpy()

    assert conditions_by_distance(extract, forget, retain) == [2, 1, 0, 3]
    assert conditions_by_distance(extract, forget, retain, shown=(0, 0, 1, 1, 2)) == [0, 1, 2, 3]
