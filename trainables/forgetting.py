"""What is to be forgotten: whole conditions (classes, prompts, or every condition that has an attribute), or single images.

Written as text, so that it travels in a plan and in artifact keys: ``3`` or ``3,7`` or ``cat,dog`` (classes),
``attribute:loop`` (whatever has that attribute), ``instances:12,40`` (images of the training split by index, each with all its
copies). A class is called by its name or its condition's number; where classes are *named* by other numbers, numbers are names
only, so that none means two things: of folders 1, 2 and 3, ``2`` is the one called 2.

Of prompts, ``concept:three`` or ``concept:three,seven`` or ``style:sketch``: every prompt that asks for such a label of that
facet. ``concept`` is the first facet whatever it is called, and is meant where there is a label alone. ``role:forget``: the
prompts that their author gave that role.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

from trainables.data import NOTHING, Dataset, Facet, Images
from trainables.data._class_names import few, guess, is_number
from trainables.data._facets import UNSEEN

if TYPE_CHECKING:
    import torch

CONDITIONS, INSTANCES = "conditions", "instances"
FIRST_FACET = "concept"  # what the first facet may be called by, whatever its name
ROLE, FORGET, RETAIN = "role", "forget", "retain"


@dataclass(frozen=True)
class Forget:
    """What is forgotten. `conditions` are all forgotten ones (empty for instances); `attribute` is a bit of a condition.

    `retained` are the conditions that stay, which for instances are all there are. `labels` are what a judge says of an image
    that shows what was forgotten: conditions, or of prompts the labels of their `facet`.

    Of prompts, which are conditions by number: `anchors` has for each of `conditions` the prompt that stands for it, the same
    words with another label; the number after the last is the empty prompt. `versions` has for each of `conditions` that prompt by
    every label of the facet. `shown` says of every prompt which label of the
    facet it asks for, `NOTHING` where it is none, and `roles` what each is to the question, of `trainables.data.ROLES`.
    """

    text: str
    conditions: tuple[int, ...]
    retained: tuple[int, ...]
    attribute: int | None = None
    instances: tuple[int, ...] = ()
    labels: tuple[int, ...] = ()
    facet: str = ""
    anchors: tuple[int, ...] = ()
    versions: tuple[tuple[int, ...], ...] = ()
    shown: tuple[int, ...] = ()
    roles: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """``conditions`` or ``instances``: what a method must be able to forget."""
        return INSTANCES if self.instances else CONDITIONS

    @property
    def prompts(self) -> tuple[int, ...]:
        """The conditions that ask for what was forgotten; an unconditional model is asked by its only one."""
        return self.conditions or self.retained

    @cached_property
    def anchor_of(self) -> Mapping[int, int]:
        """By each forgotten prompt, the one that stands for it, retained or the empty prompt; nothing of what are no prompts."""
        return dict(zip(self.conditions, self.anchors, strict=True)) if self.anchors else {}

    def version_of(self, condition: int, label: int) -> int:
        """The prompt that says what a forgotten one says but for the facet's label; of what are no prompts, the label itself.

        ValueError for `NOTHING`, which is no label.
        """
        if label == NOTHING:
            raise ValueError(f"{self.text}: a prompt that asks for no {self.facet} has no version of another")
        return self.versions[self.conditions.index(condition)][label] if self.versions else label

    def label_of(self, condition: int) -> int:
        """Which label of the facet a prompt asks for; of what are no prompts, the condition itself."""
        return self.shown[condition] if self.shown else condition

    @property
    def labelled(self) -> tuple[int, ...]:
        """The conditions that stay and say which label of the facet they ask for; of what are no prompts, all that stay."""
        return tuple(condition for condition in self.retained if self.label_of(condition) != NOTHING)

    def with_role(self, role: str) -> tuple[int, ...]:
        """The prompts of a role, by number."""
        return tuple(condition for condition, given in enumerate(self.roles) if given == role)

    def split(self, train: Images) -> tuple[Images, Images]:
        """(forget set, retain set) of the training images."""
        forgotten = self.mask(train)
        return train.where(forgotten), train.where(~forgotten & ~self.unseen(train.conditions))

    def unseen(self, conditions: torch.Tensor) -> torch.Tensor:
        """(N,) bool: which conditions ask for what the base model never saw, which is neither forgotten nor retained."""
        return _among(conditions, self.with_role(UNSEEN))

    def mask(self, train: Images) -> torch.Tensor:
        """(N,) bool: which training images are to be forgotten. A copy of a forgotten instance is forgotten with it."""
        import torch

        if not self.instances:
            return self.asked_by(train.conditions)
        if max(self.instances) >= len(train):
            raise ValueError(f"instance {max(self.instances)}: the training split has images 0 to {len(train) - 1}")
        instances = train.batch(torch.tensor(self.instances)).images.flatten(1)
        parts = [
            torch.stack([(part.flatten(1) == one).all(dim=1) for one in instances]).any(dim=0) for part in train.parts()
        ]
        return torch.cat(parts)

    def asked_by(self, conditions: torch.Tensor) -> torch.Tensor:
        """(N,) bool: which conditions ask for what was forgotten."""
        if self.attribute is not None:
            return (conditions >> self.attribute & 1).bool()
        return _among(conditions, self.conditions)

    def shown_by(self, labels: torch.Tensor) -> torch.Tensor:
        """(N,) bool: which of a judge's verdicts, labels of the forgotten facet, say that an image shows what was forgotten."""
        return _among(labels, self.labels)

    def held_out(self, images: Images) -> Images:
        """Of images outside the training split, those that nobody may call unrelated: of forgotten conditions, else all."""
        return images if self.instances else images.where(self.asked_by(images.conditions))

    def unrelated(self, images: Images) -> Images:
        """Of images outside the training split, those of retained conditions: no split holds an instance of another."""
        if self.instances:
            return images
        return images.where(~self.asked_by(images.conditions) & ~self.unseen(images.conditions))


def _among(values: torch.Tensor, these: Sequence[int]) -> torch.Tensor:
    import torch

    return torch.isin(values, torch.tensor(these, dtype=values.dtype, device=values.device))


def usual_forget(dataset: Dataset) -> str:
    """What is forgotten where nobody says: the prompts that their author calls so, else the class or label number 3."""
    return f"{ROLE}:{FORGET}" if FORGET in dataset.roles else "3"


@cache
def parse_forget(text: str, dataset: Dataset) -> Forget:
    """What `text` says is to be forgotten of `dataset`; ValueError where it says nothing that the data set has."""
    kind, colon, rest = text.partition(":")
    if dataset.prompts:
        return _prompts(text, dataset)
    if not colon:
        return _classes(text, dataset)
    if kind == "attribute":
        return _attribute(rest, dataset)
    if kind == "instances":
        if dataset.conditions > 1:
            raise ValueError(
                f"{text}: instances are forgotten by an unconditional model; {dataset.name} has conditions"
            )
        numbers = tuple(sorted(set(_numbers(rest, text))))
        return Forget(f"instances:{','.join(map(str, numbers))}", (), dataset.present, instances=numbers)
    raise ValueError(f"{text}: neither classes (3,7) nor attribute:NAME nor instances:INDEX,…")


def _classes(text: str, dataset: Dataset) -> Forget:
    if dataset.attributes:
        raise ValueError(
            f"{text}: {dataset.name} has attributes; write attribute:NAME with {_listed(dataset.attributes)}"
        )
    if dataset.conditions == 1:
        raise ValueError(
            f"{text}: {dataset.name} has no conditions; write instances:INDEX,… for what is to be forgotten"
        )
    parts = text.split(",") if dataset.classes else list(map(str, _numbers(text, text)))
    chosen = tuple(sorted({_class(part.strip(), text, dataset) for part in parts}))
    if len(chosen) == len(dataset.present):
        raise ValueError(f"{text}: nothing of {dataset.name} would be left")
    spelled = ",".join(class_text(condition, dataset) for condition in chosen)
    return Forget(spelled, chosen, tuple(c for c in dataset.present if c not in chosen), labels=chosen)


def class_text(condition: int, dataset: Dataset) -> str:
    """The one spelling of a class, which `parse_forget` reads back: its condition's number, or its name where numbers are names."""
    return dataset.classes[condition] if numbers_are_names(dataset) else str(condition)


def numbers_are_names(dataset: Dataset) -> bool:
    """Whether a class is named by a number that is not its condition's, so that numbers name classes and count none."""
    return any(is_number(name) and name != str(condition) for condition, name in enumerate(dataset.classes))


def _class(part: str, text: str, dataset: Dataset) -> int:
    """The condition that a class's name or number means."""
    names = dataset.classes
    if part in names:
        return names.index(part)
    if is_number(part) and not numbers_are_names(dataset):
        if int(part) not in dataset.present:
            raise ValueError(f"{text}: {dataset.name} has conditions 0 to {dataset.conditions - 1}")
        return int(part)
    same = [i for i, name in enumerate(names) if is_number(part) and is_number(name) and int(name) == int(part)]
    if len(same) == 1:  # 1 for a class named 01
        return same[0]
    raise ValueError(f"{text}: {dataset.name} has no class {part!r}; {guess(part, names)}it has {few(names, 10)}")


def _attribute(name: str, dataset: Dataset) -> Forget:
    if name not in dataset.attributes:
        raise ValueError(f"attribute:{name}: {dataset.name} has {_listed(dataset.attributes) or 'no attributes'}")
    bit = dataset.attributes.index(name)
    having = tuple(c for c in dataset.present if c >> bit & 1)
    lacking = tuple(c for c in dataset.present if not c >> bit & 1)
    if not having or not lacking:
        which = "every" if having else "no"
        raise ValueError(
            f"attribute:{name}: {which} training image of {dataset.name} has it, so nothing would be left to "
            f"{'retain' if having else 'forget'}; take more images or another attribute"
        )
    shown = tuple(c for c in range(dataset.conditions) if c >> bit & 1)  # a judge may say what no image has
    return Forget(f"attribute:{name}", having, lacking, attribute=bit, labels=shown)


def _prompts(text: str, dataset: Dataset) -> Forget:
    """What is forgotten of a data set of prompts: those that ask for labels of a facet, or those of the role ``forget``."""
    if text == f"{ROLE}:{FORGET}":
        return _by_role(text, dataset)
    facet = _facet(text, dataset)
    names = text.partition(":")[2] if ":" in text else text
    labels = tuple(sorted({_label(name.strip(), text, facet, dataset) for name in names.split(",")}))
    asking = tuple(c for c, label in enumerate(facet.shown) if label in labels)
    # What the base model never saw is forgotten only where nothing else is asked for: see `sweep.relearning.unseen`.
    forgotten = tuple(c for c in asking if c not in _unseen(dataset)) or asking
    if not forgotten:
        raise ValueError(f"{text}: no prompt of {dataset.name} asks for it, so nothing would show that it is forgotten")
    spelled = ",".join(facet.labels[label] for label in labels)
    return _of_facet(f"{facet.name}:{spelled}", forgotten, labels, facet, dataset)


def _by_role(text: str, dataset: Dataset) -> Forget:
    """The prompts of the role ``forget``; ValueError where no facet tells their images from those of the prompts that stay."""
    forgotten = tuple(c for c, role in enumerate(dataset.roles) if role == FORGET)
    if not forgotten:
        raise ValueError(f"{text}: {dataset.name} gives no prompt that role; {_facets_listed(dataset)}")
    stay = set(range(dataset.conditions)) - set(forgotten)
    for facet in dataset.facets:
        labels = {facet.shown[c] for c in forgotten}
        if NOTHING not in labels and not labels & {facet.shown[c] for c in stay}:
            return _of_facet(text, forgotten, tuple(sorted(labels)), facet, dataset)
    raise ValueError(
        f"{text}: prompts of other roles ask for the same {' and '.join(f.name for f in dataset.facets)} as those of the role "
        f"forget, so no judge could tell them apart; {_facets_listed(dataset)}"
    )


def _of_facet(text: str, forgotten: tuple[int, ...], labels: tuple[int, ...], facet: Facet, dataset: Dataset) -> Forget:
    gone, unseen = set(forgotten), _unseen(dataset)
    retained = tuple(c for c in dataset.present if c not in gone and c not in unseen)
    if not retained:
        raise ValueError(f"{text}: nothing of {dataset.name} would be left")
    versions = _versions(forgotten, facet, dataset)
    return Forget(
        text=text,
        conditions=forgotten,
        retained=retained,
        labels=labels,
        facet=facet.name,
        anchors=_anchors(forgotten, labels, facet, versions, dataset),
        versions=versions,
        shown=facet.shown,
        roles=_roles(gone, dataset),
    )


def _facet(text: str, dataset: Dataset) -> Facet:
    """The facet that stands before the colon; the first one where there is none."""
    name, colon, _ = text.partition(":")
    for facet in dataset.facets:
        if name == facet.name:
            return facet
    if not colon or name == FIRST_FACET:
        return dataset.facets[0]
    names = [facet.name for facet in dataset.facets]
    near = guess(name, [*names, ROLE])
    raise ValueError(f"{text}: {dataset.name} has no facet {name!r}; {near}{_facets_listed(dataset)}")


def _label(name: str, text: str, facet: Facet, dataset: Dataset) -> int:
    """The label that a name means, or a number where no label is named by one."""
    if name in facet.labels:
        return facet.labels.index(name)
    if is_number(name) and not any(map(is_number, facet.labels)):
        if int(name) < len(facet.labels):
            return int(name)
        raise ValueError(f"{text}: {dataset.name} has the {facet.name}s 0 to {len(facet.labels) - 1}")
    raise ValueError(
        f"{text}: {dataset.name} has no {facet.name} {name!r}; {guess(name, facet.labels)}it has {few(facet.labels, 10)}"
    )


def _facets_listed(dataset: Dataset) -> str:
    """``write concept:NAME with zero, one, … or style:NAME with photo, …``."""
    return "write " + " or ".join(f"{facet.name}:NAME with {few(facet.labels, 10)}" for facet in dataset.facets)


def _anchors(
    forgotten: tuple[int, ...],
    labels: tuple[int, ...],
    facet: Facet,
    versions: tuple[tuple[int, ...], ...],
    dataset: Dataset,
) -> tuple[int, ...]:
    """Of each forgotten prompt the one that stands for it.

    That is the anchor its author named, if that is retained; else its version with the anchor of its label; else the empty prompt.
    """
    gone, anchors = {*forgotten, *_unseen(dataset)}, []
    for condition, by_label in zip(forgotten, versions, strict=True):
        named = dataset.anchors[condition] if dataset.anchors else NOTHING
        if named != NOTHING and named not in gone:
            anchors.append(named)
            continue
        stand_in = _stand_in(facet.shown[condition], labels, facet)
        anchors.append(dataset.conditions if stand_in == NOTHING else by_label[stand_in])
    return tuple(anchors)


def _versions(forgotten: tuple[int, ...], facet: Facet, dataset: Dataset) -> tuple[tuple[int, ...], ...]:
    """Of each forgotten prompt, by every label of the facet, the prompt that says that label and of all other facets the same.

    The k-th such one for the k-th of those that ask for the same as it does, so that of templates the words are the same. Where
    no prompt says the same beside it, the k-th of all with that label; else the empty prompt. What the base model never
    saw is none.
    """
    alike: dict[tuple[int, ...], list[int]] = defaultdict(list)  # prompts by what they ask for in every facet
    of_label: dict[int, list[int]] = defaultdict(list)
    kth_of: dict[int, int] = {}  # how many prompts before it ask for the same
    passed_over = _unseen(dataset) - set(forgotten)
    for condition in dataset.present:
        if condition in passed_over:
            continue
        same = alike[_asked(condition, dataset)]
        kth_of[condition] = len(same)
        same.append(condition)
        of_label[facet.shown[condition]].append(condition)
    place = dataset.facets.index(facet)
    versions = []
    for condition in forgotten:
        asked, kth = _asked(condition, dataset), kth_of[condition]
        by_label = []
        for label in range(len(facet.labels)):
            beside = alike.get((*asked[:place], label, *asked[place + 1 :])) or of_label.get(label, [])
            by_label.append(beside[kth % len(beside)] if beside else dataset.conditions)
        versions.append(tuple(by_label))
    return tuple(versions)


def _unseen(dataset: Dataset) -> set[int]:
    """The prompts whose images the base model never saw."""
    return {condition for condition, role in enumerate(dataset.roles) if role == UNSEEN}


def _asked(condition: int, dataset: Dataset) -> tuple[int, ...]:
    """What a prompt asks for, by facet."""
    return tuple(facet.shown[condition] for facet in dataset.facets)


def _stand_in(label: int, forgotten: tuple[int, ...], facet: Facet) -> int:
    """The retained label that stands for a forgotten one: its anchor, or that one's where it is forgotten too, and so on.

    Where anchors lead around among forgotten labels only, the next retained one in the facet's order. `NOTHING`: the empty prompt.
    """
    anchor = label
    for _ in facet.labels:
        anchor = facet.anchors[anchor]
        if anchor == NOTHING or anchor not in forgotten:
            return anchor
    others = [other for other in range(len(facet.labels)) if other not in forgotten]
    after = [other for other in others if other > label]
    return (after or others or [NOTHING])[0]


def _roles(forgotten: set[int], dataset: Dataset) -> tuple[str, ...]:
    """What each prompt is: to be forgotten, or as its author says; one that he would forget and nobody asked for is retained."""
    given = dataset.roles or (RETAIN,) * dataset.conditions
    return tuple(FORGET if c in forgotten else RETAIN if role == FORGET else role for c, role in enumerate(given))


def _numbers(text: str, whole: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"{whole}: {text!r} is not a list of whole numbers such as 3 or 3,7")
    return [int(part) for part in parts]


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)
