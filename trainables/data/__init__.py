"""Data sets: one file each.

A data set's images come with their conditions, split three ways: `train` (the base model and the classifier), `public`
(images an attacker may own), `test` (held out for the classifier's accuracy). An embedded one is a function that returns
them; one on disk is a function that finds its files in a folder. `dataset` describes either, for little; only `load` reads
the images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np

from trainables.data._decoded import decoded
from trainables.data._facets import NOTHING, ROLES, Facet, check_prompts
from trainables.data._files.layout import FolderNeeded, Layout, choose, files_read, fingerprint, without
from trainables.data._images import Images, Splits, resize, together
from trainables.data._pixel_range import check_visible
from trainables.members import MemberFault, fault_of, file_of
from trainables.registry import Registry

__all__ = [
    "DATASETS",
    "NOTHING",
    "ROLES",
    "SIZES",
    "Dataset",
    "Facet",
    "FolderNeeded",
    "Images",
    "OnDisk",
    "Splits",
    "dataset",
    "layout_of",
    "member_of",
    "register",
    "register_on_disk",
    "together",
]

SIZES = range(8, 1025, 4)  # pixels a side: every halving in a UNet of up to three blocks leaves a whole number


@dataclass(frozen=True)
class Dataset:
    """A data set's description: `shape` is (C, H, W); its conditions are 0 … conditions - 1, the null condition follows.

    With `attributes` a condition is their vector: bit i says whether an image has attribute i, and `present` names the
    vectors that occur; otherwise `classes` may name the conditions. One condition means an unconditional model. `judged_by`
    is the data set whose classifier judges samples, for data whose own conditions do not tell images apart. `module` is
    whose code reads it, and `files` lists what that reads, by name; None where the images are embedded. Of those in a folder,
    `read` takes the files' fingerprint, `place` is where they are, and `notes` what there was taken for what, in words. `counts`
    are how many images each split has, None of embedded ones that do not say so.

    Of a text-to-image data set a condition is the number of one of its `prompts`, and `facets` say what an image made for it
    should show; the null condition is the empty prompt. `roles` (of `ROLES`) and `anchors` are the user's, one a prompt: what
    a prompt is to the question, and the prompt that stands for it when it is forgotten (`NOTHING`: none was named). `imaged` says
    of each prompt whether there are training images of it; empty: there are of all.
    """

    name: str
    conditions: int
    shape: tuple[int, int, int]
    read: Callable[..., Splits]
    attributes: tuple[str, ...] = ()
    present: tuple[int, ...] = ()
    judged_by: str = ""
    classes: tuple[str, ...] = ()
    module: str = ""
    files: Callable[[], dict[str, Path]] | None = None
    place: str = ""
    notes: tuple[tuple[str, str], ...] = ()
    counts: Callable[[], dict[str, int]] | None = None
    prompts: tuple[str, ...] = ()
    facets: tuple[Facet, ...] = ()
    roles: tuple[str, ...] = ()
    anchors: tuple[int, ...] = ()
    imaged: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        if len(self.shape) != 3:
            raise ValueError(f"data set {self.name!r}: shape={self.shape}: write (channels, height, width)")
        object.__setattr__(self, "present", self.present or tuple(range(self.conditions)))
        if self.classes and len(self.classes) != self.conditions:
            raise ValueError(f"data set {self.name!r}: {len(self.classes)} names for {self.conditions} conditions")
        try:
            check_prompts(self.conditions, self.prompts, self.facets, self.roles, self.anchors, self.imaged)
        except ValueError as error:
            raise ValueError(f"data set {self.name!r}: {error}") from None

    @property
    def unconditional(self) -> bool:
        return self.conditions == 1

    @property
    def has_images(self) -> bool:
        """Whether there are any, which of prompts need not be."""
        return not self.imaged or any(self.imaged)

    @property
    def judge(self) -> Dataset:
        """The data set that the judging classifier is trained on."""
        return dataset(self.judged_by, image_size=self.shape[1]) if self.judged_by else self

    def load(self, known_fingerprint: str = "") -> Splits:
        """The images; ValueError names the file that is damaged, or says that there is nothing to be seen in them.

        Those of a folder are decoded once on a machine (`trainables.data._decoded`), and known by the `fingerprint` of their
        files; where the caller knows that, they are not read for it.
        """
        if self.files is None:
            return _embedded(self)
        return _on_disk(self, known_fingerprint or self.fingerprint())

    def fingerprint(self) -> str:
        """SHA-256 over names and contents of the files read: the same wherever they lie. Empty where images are embedded."""
        return "" if self.files is None else fingerprint(self.files())


@cache
def _embedded(dataset: Dataset) -> Splits:
    with fault_of(f"data set {dataset.name!r}", dataset.module):
        splits = dataset.read()
    _check_splits(splits, dataset)
    check_visible(splits, dataset.name, dataset.classes)
    return splits


@cache
def _on_disk(dataset: Dataset, fingerprint: str) -> Splits:
    return dataset.read(fingerprint)


def _check_splits(splits: object, dataset: Dataset) -> None:
    """MemberFault unless these are splits of images as the data set declares them."""
    where = f"({file_of(dataset.module)})"
    if not isinstance(splits, Splits) or not all(isinstance(one, Images) for one in vars(splits).values()):
        raise MemberFault(f"data set {dataset.name!r}: return Splits(train, public, test), each of Images {where}")
    for split, images in vars(splits).items():
        if images.shape != dataset.shape:
            raise MemberFault(
                f"data set {dataset.name!r}: the {split} split's images are {images.shape}, and "
                f"shape={dataset.shape} is declared {where}"
            )
        strange = set(images.conditions.unique().tolist()) - set(range(dataset.conditions))
        if strange:
            raise MemberFault(
                f"data set {dataset.name!r}: the {split} split has condition {min(strange)}, and conditions={dataset.conditions} "
                f"are declared, from 0 {where}"
            )


@dataclass(frozen=True)
class OnDisk:
    """A data set of the user's: `lay_out(folder, option)` finds its files, raising ValueError where they are not as known.

    `folder` is where a system's package puts it, `option` what may follow its name after a colon.
    """

    name: str
    lay_out: Callable[[Path, str], Layout]
    folder: str = ""
    option: str = ""


DATASETS: Registry[Dataset | OnDisk] = Registry("data set", __name__)


def register(
    name: str,
    *,
    conditions: int,
    shape: tuple[int, int, int],
    attributes: tuple[str, ...] = (),
    present: tuple[int, ...] = (),
    judged_by: str = "",
    classes: tuple[str, ...] = (),
    prompts: tuple[str, ...] = (),
    facets: tuple[Facet, ...] = (),
    counts: Mapping[str, int] | None = None,
) -> Callable:
    """Register a function that reads an embedded data set; `classes` may name its conditions, or they are `prompts`.

    `counts` may say how many images each split has, so that a plan's cost needs not read them.
    """
    described = partial(
        Dataset, name, conditions, shape, attributes=attributes, present=present, judged_by=judged_by, classes=classes,
        prompts=prompts, facets=facets, counts=None if counts is None else partial(dict, counts),
    )  # fmt: skip
    return DATASETS.decorator(name, lambda read: described(read=read, module=read.__module__))


def register_on_disk(name: str, *, folder: str = "", option: str = "") -> Callable:
    """Register a function ``(folder, option) -> Layout``; see `OnDisk`."""
    return DATASETS.decorator(name, lambda lay_out: OnDisk(name, lay_out, folder, option))


def dataset(name: str, folder: str = "", image_size: int = 0, limit: int = 0, skipped: tuple[str, ...] = ()) -> Dataset:
    """The data set called `name`, found in `folder`; what an ``:option`` after the name means is the data set's own matter.

    `image_size`: pixels a side that images are resized to, with antialiasing (0: the data set's own). `limit`: at most so many
    images a split, conditions in proportion, always the same ones (0: all). `skipped`: pictures that are left out, by their
    names in the folder. ValueError where there is no such data set, or the folder does not hold it; FolderNeeded where
    that is not named or not there.
    """
    try:
        return _dataset(*member_of(name), name, folder, image_size, limit, skipped)
    except FolderNeeded as error:
        raise FolderNeeded(f"{name}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def member_of(name: str) -> tuple[Dataset | OnDisk, str]:
    """What is registered under a name, and the option that follows it; ValueError where it takes none."""
    kind, colon, option = name.partition(":")
    member = DATASETS[kind]
    known = member.option if isinstance(member, OnDisk) else ""
    if colon and not (option and known):
        or_option = f", or {kind}:{known}" if known else ""
        raise ValueError(f"write {kind}{or_option}")
    return member, option


@cache
def _dataset(
    member: Dataset | OnDisk, option: str, name: str, folder: str, image_size: int, limit: int, skipped: tuple[str, ...]
) -> Dataset:
    if image_size and image_size not in SIZES:
        raise ValueError(
            f"image size {image_size}: a UNet halves it twice; give a multiple of 4 from {SIZES[0]} to {SIZES[-1]}"
        )
    if limit < 0:
        raise ValueError(f"limit {limit}: must not be negative")
    if isinstance(member, OnDisk):
        return _described(member, name, without(layout_of(member, option, folder), skipped), image_size, limit, skipped)
    if folder or limit or skipped:
        raise ValueError("is embedded, so it takes neither a folder nor a limit")
    channels, height, _ = member.shape
    if image_size in (0, height):
        return member
    return replace(member, shape=(channels, image_size, image_size), read=partial(_resized, member, image_size))


def layout_of(member: OnDisk, option: str, folder: str) -> Layout:
    """A data set on disk as its folder holds it; ValueError where it does not."""
    if not (folder or member.folder):
        raise FolderNeeded("a folder is needed, the one that holds it")
    return member.lay_out(Path(folder or member.folder), option)


def _described(
    member: OnDisk, name: str, layout: Layout, image_size: int, limit: int, skipped: tuple[str, ...]
) -> Dataset:
    """The description of a data set on disk."""
    size = image_size or layout.size
    if size not in SIZES:
        raise ValueError(f"{layout.place}: its images are {size} pixels a side; give an image size of a multiple of 4")
    present: tuple[int, ...] = ()
    if layout.attributes:
        present = tuple(np.unique(layout.train.labels()[choose(layout, limit).train]).tolist())
    trained = set(layout.train.labels()[choose(layout, limit).train].tolist()) if layout.prompts else ()
    pixels = partial(decoded, layout, name, size, limit, skipped, member.lay_out.__module__)
    return Dataset(
        name=name,
        conditions=2 ** len(layout.attributes) if layout.attributes else len(layout.prompts or layout.classes),
        shape=(layout.channels, size, size),
        read=pixels if trained or not layout.prompts else partial(_no_images, layout.channels, size),
        attributes=layout.attributes,
        present=present,
        classes=layout.classes,
        module=member.lay_out.__module__,
        files=lambda: files_read(layout, choose(layout, limit)),
        place=str(layout.place),
        notes=layout.notes,
        counts=lambda: {split: len(indices) for split, indices in vars(choose(layout, limit)).items()},
        prompts=layout.prompts,
        facets=layout.facets,
        roles=layout.roles,
        anchors=layout.anchors,
        imaged=tuple(condition in trained for condition in range(len(layout.prompts))),
    )


def _no_images(channels: int, size: int, fingerprint: str) -> Splits:
    """The splits of prompts of which there are no images."""
    import torch

    nothing = Images(torch.empty(0, channels, size, size), torch.empty(0, dtype=torch.int64))
    return Splits(nothing, nothing, nothing)


def _resized(embedded: Dataset, size: int) -> Splits:
    splits = embedded.load()
    return Splits(*(Images(resize(s.images, size), s.conditions) for s in (splits.train, splits.public, splits.test)))
