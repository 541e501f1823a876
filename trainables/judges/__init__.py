"""Judges: which samples show what was forgotten. One file each, all ``(Evidence) -> (N,) bool``.

A judge says what kind of forgetting it can tell: whole ``conditions``, or single ``instances``. Unless a sweep names one, the
judge of its kind is asked (`BY_KIND`). What a sample shows decides unlearning and relearning accuracy, and with them robustness.

What is seen in samples is said by the classifier that is trained on the data set; or by a judge that has weights of its own, a
`Reader`, read from files that lie beside its name: ``image_classifier:FOLDER``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from trainables.data import NOTHING, Dataset, Facet, Images
from trainables.data._class_names import few
from trainables.data._files.layout import fingerprint
from trainables.members import MemberFault, fault_of, file_of
from trainables.registry import Registry

BY_KIND = {"conditions": "classifier", "instances": "copies"}


@dataclass(frozen=True)
class Verdicts:
    """What images show, facet by facet: `labels` (N, F) int64, `NOTHING` for none of the facet's, and `confidence` (N, F).

    The F facets are those of a data set of prompts, in its order. Other data have one, whose labels are the conditions. `facets`
    are the facets that the judge can tell: all of them, where it is empty.
    """

    labels: torch.Tensor
    confidence: torch.Tensor
    facets: tuple[int, ...] = ()

    def of(self, facet: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(N,) the label of one facet, and (N,) how sure it is."""
        return self.labels[:, facet], self.confidence[:, facet]


@dataclass(frozen=True)
class Evidence:
    """What a judge is shown: samples, and what is known of them.

    `images` (N, C, H, W) in [-1, 1]; `predicted` (N,) the condition the data set's classifier gives each, of prompts the label
    of the forgotten facet, and `confidence` (N,) how sure it is; `asks` says of such (N,) which are what was forgotten, (N,)
    bool. `forgotten` and `retained` are the training images, read when they are first asked for.
    """

    images: torch.Tensor
    predicted: torch.Tensor
    confidence: torch.Tensor
    asks: Callable[[torch.Tensor], torch.Tensor]
    forgotten: Callable[[], Images]
    retained: Callable[[], Images]


class Reader(Protocol):
    """What a judge with weights of its own says of images, facet by facet.

    It is made of the place of its files, the facets that it is to tell, and which of them is forgotten: ValueError where files
    are missing or know not every label of that one. Nothing is loaded by it but what it takes to say so; `files` are all that
    determine its verdicts, by their names in that place.
    """

    def __init__(self, place: Path, facets: tuple[Facet, ...], forgotten: int) -> None: ...
    @property
    def files(self) -> Mapping[str, Path]: ...
    def load(self, device: str) -> Callable[[torch.Tensor], Verdicts]:
        """What gives verdicts of images (N, C, H, W) in [-1, 1] on the CPU."""
        ...


@dataclass(frozen=True)
class Judge:
    """A registered judge: the kinds of forgetting that it can tell, and what says which samples show it.

    Of one with weights of its own, `reader` is the kind of `Reader` that it is, and `option` what stands after its name.
    """

    name: str
    kinds: tuple[str, ...]
    shows: Callable[[Evidence], torch.Tensor]
    module: str
    reader: type[Reader] | None = None
    option: str = ""

    def __call__(self, evidence: Evidence) -> torch.Tensor:
        """(N,) bool; MemberFault where the judge gives anything else."""
        with fault_of(f"judge {self.name!r}", self.module):
            shows = self.shows(evidence)
        is_tensor = isinstance(shows, torch.Tensor)
        if not is_tensor or shows.dtype != torch.bool or shows.shape != (len(evidence.images),):
            given = f"{tuple(shows.shape)} of {shows.dtype}" if is_tensor else f"a {type(shows).__name__}"
            raise MemberFault(
                f"judge {self.name!r} gives {given}; ({len(evidence.images)},) of bool is asked for ({file_of(self.module)})"
            )
        return shows


JUDGES: Registry[Judge] = Registry("judge", __name__)


def register(name: str, kinds: tuple[str, ...] = ("conditions",)) -> Callable:
    """Register a function ``(Evidence) -> (N,) bool`` with the kinds of forgetting that it can tell."""
    return JUDGES.decorator(name, lambda shows: Judge(name, kinds, shows, shows.__module__))


def register_reader(name: str, option: str) -> Callable[[type[Reader]], type[Reader]]:
    """Register a `Reader`: a sample shows what was forgotten where its label of that facet does. `option`: ``FOLDER``, say."""
    return JUDGES.decorator(
        name, lambda reader: Judge(name, ("conditions",), by_label, reader.__module__, reader, option)
    )


def by_label(evidence: Evidence) -> torch.Tensor:
    """(N,) bool: those whose condition, or label of the forgotten facet, is what was forgotten, however sure that is."""
    return evidence.asks(evidence.predicted)


def judge_of(kind: str, text: str = "") -> Judge:
    """The judge of this name, or that of the kind of forgetting; ValueError where it cannot tell that kind.

    `text` is a name, followed by ``:PLACE`` where the judge has files of its own.
    """
    name, _, place = text.partition(":")
    judge = JUDGES[name or BY_KIND[kind]]
    if kind not in judge.kinds:
        able = ", ".join(other for other in JUDGES.names() if kind in JUDGES[other].kinds)
        raise ValueError(f"{judge.name} cannot tell {kind}; {able} can")
    if bool(place) != (judge.reader is not None):
        option = f":{judge.option}" if judge.reader else ""
        raise ValueError(f"{text or judge.name}: write {judge.name}{option}")
    return judge


def reader_of(text: str, dataset: Dataset, facet: str) -> Reader | None:
    """The reader that a judge's text asks for; None where the trained classifier is asked. ValueError where it can't tell these.

    `facet` is the one that is forgotten of prompts.
    """
    name, _, place = text.partition(":")
    if not name or JUDGES[name].reader is None:
        return None
    facets = dataset.facets or (_of_classes(dataset),)
    reader = JUDGES[name].reader
    assert reader is not None
    return reader(Path(place), facets, [f.name for f in facets].index(facet) if dataset.facets else 0)


def digest_of(reader: Reader) -> str:
    """SHA-256 over names and contents of a reader's files: the same wherever they lie."""
    return fingerprint(dict(reader.files))


def check_trained(dataset: Dataset, facet: str) -> None:
    """ValueError where the trained classifier could not tell the labels of the facet that is forgotten."""
    forgotten = next((one for one in dataset.facets if one.name == facet), None)
    if forgotten is None:
        return
    imaged = dataset.imaged or (True,) * dataset.conditions
    seen = {label for label, has_images in zip(forgotten.shown, imaged, strict=True) if has_images}
    unseen = [name for label, name in enumerate(forgotten.labels) if label in forgotten.shown and label not in seen]
    fault = f"have no image of the {facet} {few(unseen)}" if unseen else ""
    if len(forgotten.labels) == 1:
        fault = f"know no {facet} but {forgotten.labels[0]}"
    if fault:
        readers = (f"{name}:{JUDGES[name].option}" for name in JUDGES.names() if JUDGES[name].reader)
        raise ValueError(
            f"a classifier trained on {dataset.name} would {fault}; mend that, or name a judge that is trained already, "
            f"{' or '.join(readers)}"
        )


def _of_classes(dataset: Dataset) -> Facet:
    """The classes of a data set as its one facet; ValueError where they have no names to be told by."""
    if not dataset.classes:
        raise ValueError(f"the conditions of {dataset.name} have no names that a judge's labels could be matched with")
    return Facet("class", dataset.classes, tuple(range(dataset.conditions)), (NOTHING,) * dataset.conditions)
