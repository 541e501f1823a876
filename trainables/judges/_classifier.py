"""A small convolutional classifier trained on the data set, whose penultimate layer is also a feature network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from trainables.data import Dataset, Images
from trainables.denoisers.recipes import ClassifierRecipe
from trainables.store import Artifact


class Classifier(nn.Module):
    """Images (N, C, H, W) in [-1, 1] → logits (N, conditions), or (N, attributes) where a condition is their vector.

    `features` gives (N, features), before the last rectifier.
    """

    def __init__(self, dataset: Dataset, recipe: ClassifierRecipe) -> None:
        super().__init__()
        channels, height, width = dataset.shape
        wide = recipe.width
        layers = [*_layer(channels, wide)]
        layers += _layer(wide, wide) if recipe.halvings == 1 else []
        layers += [nn.MaxPool2d(2), *_layer(wide, 2 * wide)]
        for _ in range(recipe.halvings - 1):
            layers += [nn.MaxPool2d(2), *_layer(2 * wide, 2 * wide)]
        self.body = nn.Sequential(
            *layers,
            nn.AdaptiveAvgPool2d((min(4, height // 2), min(4, width // 2))),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.LazyLinear(recipe.features),
        )
        self.attributes = len(dataset.attributes)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(recipe.features, self.attributes or dataset.conditions))
        self.body.eval()(torch.zeros(1, *dataset.shape))  # sizes the lazy layer

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return self.body(images)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(images))

    def loss(self, images: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """Cross-entropy with the conditions, binary for each attribute where they are vectors."""
        if not self.attributes:
            return F.cross_entropy(self(images), conditions)
        bits = conditions[:, None] >> torch.arange(self.attributes) & 1
        return F.binary_cross_entropy_with_logits(self(images), bits.float())


def _layer(channels: int, wide: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, wide, 3, padding=1), nn.BatchNorm2d(wide), nn.ReLU()]


def train_classifier(dataset: Dataset, images: Images, recipe: ClassifierRecipe, seed: int) -> Classifier:
    """A classifier of `images`, trained with small shifts and pixel noise; in evaluation mode."""
    torch.manual_seed(seed)
    model = Classifier(dataset, recipe).train()
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=1e-2, fused=True)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.learning_rate, total_steps=recipe.train_steps)
    for step in range(recipe.train_steps):
        drawn = images.batch(torch.randint(len(images), (recipe.batch,)))
        pixels = drawn.images
        if recipe.shift and step % 2:
            down, right = torch.randint(-recipe.shift, recipe.shift + 1, (2,)).tolist()
            pixels = torch.roll(pixels, (down, right), dims=(2, 3))
        loss = model.loss(pixels + recipe.noise * torch.randn_like(pixels), drawn.conditions)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate.step()
    return model.eval()


def load_classifier(artifact: Artifact, dataset: Dataset) -> Classifier:
    """The classifier of an artifact, on the CPU, in evaluation mode."""
    model = Classifier(dataset, ClassifierRecipe(**artifact.facts["recipe"]))
    model.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in artifact.tensors().items()})
    return model.eval()


def verdicts(model: Classifier, images: torch.Tensor, batch: int = 1024) -> tuple[torch.Tensor, torch.Tensor]:
    """(N,) the condition each image is given, and (N,) how sure of it: its probability, over attributes their mean one."""
    with torch.inference_mode():
        logits = torch.cat([model(part) for part in images.split(batch)])
    if not model.attributes:
        confidence, predicted = logits.softmax(dim=1).max(dim=1)
        return predicted, confidence
    has = logits > 0
    return (has << torch.arange(model.attributes)).sum(dim=1), logits.abs().sigmoid().mean(dim=1)


def accuracy(model: Classifier, images: Images) -> float:
    """Share of `images` given their condition, with all of its attributes."""
    given = torch.cat([verdicts(model, part)[0] for part in images.parts()])
    return float((given == images.conditions).float().mean())
