"""The judge: its recipe follows the images' size, and the digits' stays what their figures were made with."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
import torch
from torch import nn

from trainables.data import NOTHING, Facet, Images, dataset
from trainables.denoisers.recipes import ClassifierRecipe, classifier_recipe_of_shape
from trainables.judges._classifier import Classifier, accuracy, facet_accuracy, train_classifier, verdicts

SIZES = {8: 1, 12: 2, 16: 2, 28: 2, 32: 2, 64: 3, 128: 3}


def test_the_digits_recipe_and_network_are_those_of_the_default_run() -> None:
    expected = {"width": 32, "features": 32, "train_steps": 600, "batch": 128, "learning_rate": 5e-3, "noise": 0.1}
    assert asdict(classifier_recipe_of_shape((1, 8, 8))) == expected | {"halvings": 1, "shift": 1}
    torch.manual_seed(0)
    model = Classifier(dataset("digits"), ClassifierRecipe())
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.AdaptiveAvgPool2d((4, 4)), nn.Flatten(), nn.Dropout(0.3), nn.LazyLinear(32),
    )  # fmt: skip
    head = nn.Sequential(nn.ReLU(), nn.Linear(32, 10))
    body.eval()(torch.zeros(1, 1, 8, 8))  # sizes the lazy layer, as in the model
    theirs = {f"body.{k}": v for k, v in body.state_dict().items()} | {
        f"head.{k}": v for k, v in head.state_dict().items()
    }
    assert model.state_dict().keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_larger_images_are_halved_more_often(channels: int, size: int) -> None:
    recipe = classifier_recipe_of_shape((channels, size, size))
    assert recipe.halvings == SIZES[size] and (recipe.train_steps > 600) == (size > 8)
    data = replace(dataset("digits"), shape=(channels, size, size))
    model = Classifier(data, recipe).eval()
    images = torch.zeros(2, channels, size, size)
    assert model(images).shape == (2, 10) and model.features(images).shape == (2, recipe.features)
    assert sum(isinstance(layer, nn.MaxPool2d) for layer in model.body) == recipe.halvings
    with pytest.raises(ValueError, match="halvings 0, shift 0: must be" if size > 8 else "halvings 0"):
        replace(recipe, halvings=0)


def test_images_larger_than_it_looks_at_are_shrunk_first_and_cost_no_more_memory() -> None:
    recipe = classifier_recipe_of_shape((3, 512, 384))
    assert recipe == classifier_recipe_of_shape((3, 64, 48)), "as of what it looks at"
    data = replace(dataset("digits"), shape=(3, 512, 384))
    torch.manual_seed(0)
    model = Classifier(data, recipe).eval()
    images = torch.rand(2, 3, 512, 384) * 2 - 1
    widest = 0

    def told(module: nn.Module, given: object, made: torch.Tensor) -> None:
        nonlocal widest
        widest = max(widest, made.shape[2] * made.shape[3])

    model.body[0].register_forward_hook(told)
    small = torch.nn.functional.interpolate(images, size=(64, 48), mode="bilinear", antialias=True)
    torch.testing.assert_close(model(images), model(small))
    assert widest == 64 * 48 and model.features(images).shape == (2, recipe.features)


def test_larger_images_are_learned_too() -> None:
    data = dataset("digits", image_size=16)
    splits = data.load()
    recipe = replace(classifier_recipe_of_shape(data.shape), train_steps=80, width=8)
    assert accuracy(train_classifier(data, splits.train, recipe, seed=0), splits.test) > 0.7


def test_of_prompts_there_is_a_head_for_each_facet_and_its_accuracy_is_told_apart() -> None:
    data = dataset("digits_styled")
    splits = data.load()
    recipe = replace(classifier_recipe_of_shape(data.shape), train_steps=150, width=8)
    model = train_classifier(data, splits.train, recipe, seed=0)
    given = verdicts(model, splits.test.batch(torch.arange(60)).images)
    assert given.labels.shape == given.confidence.shape == (60, 2) and model.head[1].out_features == 10 + 6
    by_facet, together = facet_accuracy(model, splits.test), accuracy(model, splits.test)
    assert by_facet["style"] > 0.9 > 0.5 < by_facet["concept"]
    assert by_facet["concept"] + by_facet["style"] - 1 <= together + 1e-6 <= min(by_facet.values()) + 2e-6


def test_a_prompt_that_says_nothing_of_a_facet_is_no_lesson_in_it() -> None:
    """The gradient of the style's head is 0 where no prompt names a style, and the loss is that of the concept alone."""
    concept = Facet("concept", ("cat", "dog"), (0, 1, 0), (1, 0))
    style = Facet("style", ("oil", "ink"), (NOTHING, NOTHING, 1), (1, 0))
    data = replace(
        dataset("digits"), conditions=3, present=(), prompts=("cat", "dog", "cat, ink"), facets=(concept, style)
    )
    model = Classifier(data, ClassifierRecipe(width=4, features=4)).eval()
    images = Images(torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 1, 0]))
    loss = model.loss(images.images, images.conditions)
    logits = model(images.images)
    assert torch.allclose(loss, nn.functional.cross_entropy(logits[:, :2], images.conditions))
    loss.backward()
    assert model.head[1].weight.grad[2:].abs().max() == 0 < model.head[1].weight.grad[:2].abs().max()
    told = model.loss(images.images, torch.tensor([0, 1, 1, 2]))
    expected = nn.functional.cross_entropy(logits[:, :2], torch.tensor([0, 1, 1, 0]))
    expected = expected + nn.functional.cross_entropy(logits[3:, 2:], torch.tensor([1]))
    assert torch.allclose(told, expected)
    assert list(facet_accuracy(model, images)) == ["concept"], "of the other nothing is known"
