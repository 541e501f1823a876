"""An image classifier in a folder, ViT or ResNet-50 or any that transformers classifies images with: what papers judge by.

UnlearnCanvas (arXiv 2402.11846) has two ViTs, of objects and of styles, UnlearnDiffAtk (arXiv 2310.11868) and RECE a ResNet-50 of
ImageNet. A sample is given the class of the largest probability among all that the classifier knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

import torch

from trainables.data import NOTHING, Facet
from trainables.data._class_names import few
from trainables.judges import Verdicts, register_reader
from trainables.judges._folders import (
    BATCH,
    CONFIG,
    load_quietly,
    preprocessing,
    processors_in,
    read_json,
    require_transformers,
    weights_in,
)


@register_reader("image_classifier", "FOLDER")
class ImageClassifier:
    """Its classes are found by their names, ``id2label`` of its ``config.json``; small letters, and ``_`` is a space.

    Of ImageNet's ``tench, Tinca tinca`` each name will do. It tells the facets of which it knows every label, the forgotten one
    among them; a class that is none of a facet's labels is `NOTHING` there.
    """

    def __init__(self, place: Path, facets: tuple[Facet, ...], forgotten: int) -> None:
        require_transformers("image_classifier")
        config = read_json(place, CONFIG)
        architectures = config.get("architectures") or ["none"]
        if not str(architectures[0]).endswith("ForImageClassification"):
            raise ValueError(f"{place / CONFIG}: is of a {architectures[0]}, which classifies no images")
        names = config.get("id2label")
        if not isinstance(names, dict) or not all(str(number).isdigit() for number in names):
            raise ValueError(f"{place / CONFIG}: id2label is missing, the names of its classes by their numbers")
        self.place, self.facets = place, facets
        processors_in(place)
        self.weights = weights_in(place)
        classes_of = _classes_by_name({int(number): str(name) for number, name in names.items()})
        self.classes: dict[int, tuple[int, ...]] = {}  # by facet, of each label the classifier's class
        for number, facet in enumerate(facets):
            missing = [label for label in facet.labels if _plain(label) not in classes_of]
            if missing and number == forgotten:
                known = few(list(names.values()), 10)
                raise ValueError(f"{place}: has no class for the {facet.name} {few(missing)}; its classes are {known}")
            if not missing:
                self.classes[number] = tuple(_only(label, classes_of, place) for label in facet.labels)

    @cached_property
    def files(self) -> Mapping[str, Path]:
        return {name: self.place / name for name in (CONFIG, *processors_in(self.place), *self.weights)}

    def load(self, device: str) -> Callable[[torch.Tensor], Verdicts]:
        model = load_quietly("AutoModelForImageClassification", self.place).to(device)
        pixel_values = preprocessing(self.place)

        def verdicts(images: torch.Tensor) -> Verdicts:
            with torch.inference_mode():
                parts = [model(pixel_values(part).to(device)).logits.float().cpu() for part in images.split(BATCH)]
            return self.read(torch.cat(parts))

        return verdicts

    def read(self, logits: torch.Tensor) -> Verdicts:
        """Verdicts of logits (N, classes): in each facet among all classes but those that are another facet's labels."""
        labels = torch.full((len(logits), len(self.facets)), NOTHING)
        confidence = torch.zeros(len(logits), len(self.facets))
        for facet, classes in self.classes.items():
            others = [c for other, own in self.classes.items() if other != facet for c in own if c not in classes]
            in_facet = logits.clone()
            in_facet[:, others] = -torch.inf
            confidence[:, facet], given = in_facet.softmax(dim=1).max(dim=1)
            label_of = torch.full((logits.shape[1],), NOTHING)
            label_of[list(classes)] = torch.arange(len(classes))
            labels[:, facet] = label_of[given]
        return Verdicts(labels, confidence, tuple(self.classes))


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").split())


def _classes_by_name(names: Mapping[int, str]) -> dict[str, list[int]]:
    """Classes by their whole names, and by each of those that stand side by side in one."""
    classes: dict[str, list[int]] = {}
    for number, name in sorted(names.items()):
        for one in dict.fromkeys(map(_plain, (name, *name.split(",")))):
            classes.setdefault(one, []).append(number)
    return classes


def _only(label: str, classes: Mapping[str, list[int]], place: Path) -> int:
    """The class of a label; ValueError where two have its name."""
    numbers = classes[_plain(label)]
    if len(numbers) > 1:
        raise ValueError(
            f"{place}: {label!r} may be its class {numbers[0]} or {numbers[1]}; give the label the whole name"
        )
    return numbers[0]
