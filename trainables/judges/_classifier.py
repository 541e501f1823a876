"""A small convolutional classifier trained on the data set, whose penultimate layer is also a feature network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from trainables.data import NOTHING, Dataset, Images
from trainables.denoisers.recipes import CLASSIFIER_SIDE, ClassifierRecipe
from trainables.judges import Verdicts
from trainables.store import Artifact


class Classifier(nn.Module):
    """Images (N, C, H, W) in [-1, 1] → logits (N, conditions), or (N, attributes) where a condition is their vector.

    Where conditions are prompts, logits (N, labels of all facets): a head for each facet, in their order, on one trunk.
    `features` gives (N, features), before the last rectifier. Images of more than `CLASSIFIER_SIDE` pixels a side are shrunk to it
    first: what a class is, it shows, and a large image's own maps take gigabytes.
    """

    def __init__(self, dataset: Dataset, recipe: ClassifierRecipe) -> None:
        super().__init__()
        channels, height, width = dataset.shape[0], *shrunk_size(*dataset.shape[1:])
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
        self.facets = dataset.facets
        self.labels = [len(facet.labels) for facet in dataset.facets]  # of each head
        self.shown = torch.tensor([facet.shown for facet in dataset.facets])  # (facets, prompts)
        outputs = self.attributes or sum(self.labels) or dataset.conditions
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(recipe.features, outputs))
        self.body.eval()(torch.zeros(1, channels, height, width))  # sizes the lazy layer

    def features(self, images: torch.Tensor) -> torch.Tensor:
        size = shrunk_size(*images.shape[2:])
        if size != tuple(images.shape[2:]):
            images = F.interpolate(images, size=size, mode="bilinear", antialias=True)
        return self.body(images)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images))

    def loss(self, images: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """Cross-entropy with the conditions, binary for each attribute where they are vectors.

        Of prompts, the sum over facets of the mean cross-entropy with the labels that are asked for, where one is.
        """
        if self.facets:
            heads = zip(self(images).split(self.labels, dim=1), self.shown[:, conditions], strict=True)
            return torch.stack([_mean_cross_entropy(logits, asked) for logits, asked in heads]).sum()
        if not self.attributes:
            return F.cross_entropy(self(images), conditions)
        bits = conditions[:, None] >> torch.arange(self.attributes) & 1
        return F.binary_cross_entropy_with_logits(self(images), bits.float())


def shrunk_size(height: int, width: int) -> tuple[int, int]:
    """(height, width) with the longer side at most `CLASSIFIER_SIDE`, in the same proportion."""
    scale = min(1.0, CLASSIFIER_SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _mean_cross_entropy(logits: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
    """Over those of (B,) that ask for a label; 0 where none does."""
    total = F.cross_entropy(logits, asked, ignore_index=NOTHING, reduction="sum")
    return total / (asked != NOTHING).sum().clamp(min=1)


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


def verdicts(model: Classifier, images: torch.Tensor, batch: int = 1024) -> Verdicts:
    """What the classifier gives each of (N, C, H, W), and its probability of that; over attributes the mean one."""
    with torch.inference_mode():
        logits = torch.cat([model(part) for part in images.split(batch)])
    if model.attributes:
        has = logits > 0
        labels, confidence = (has << torch.arange(model.attributes)).sum(dim=1), logits.abs().sigmoid().mean(dim=1)
        return Verdicts(labels[:, None], confidence[:, None])
    heads = logits.split(model.labels or [logits.shape[1]], dim=1)
    confidences, predictions = zip(*(head.softmax(dim=1).max(dim=1) for head in heads), strict=True)
    return Verdicts(torch.stack(predictions, dim=1), torch.stack(confidences, dim=1))


def accuracy(model: Classifier, images: Images) -> float:
    """Share of `images` given their condition, with all of its attributes; of prompts, every label that theirs asks for."""
    right, asked = _right(model, images)
    return float((right | ~asked).all(dim=1).float().mean())


def facet_accuracy(model: Classifier, images: Images) -> dict[str, float]:
    """By facet, the share of `images` given the label that their prompt asks for, of those whose asks for one."""
    right, asked = _right(model, images)
    of_facets = zip(model.facets, right.T, asked.T, strict=True)
    return {facet.name: float(given[told].float().mean()) for facet, given, told in of_facets if told.any()}


def _right(model: Classifier, images: Images) -> tuple[torch.Tensor, torch.Tensor]:
    """Of images and facets (N, F): whether the right label is given, and whether one is asked for."""
    given = torch.cat([verdicts(model, part).labels for part in images.parts()])
    asked = model.shown[:, images.conditions].T if model.facets else images.conditions[:, None]
    return given == asked, asked != NOTHING
