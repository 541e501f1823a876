"""The words of the printed plan that are relearning's: its headings, and texts of the data, what is forgotten and the attacks.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence

from sweep.errors import UsageError
from sweep.plan.flags import Line
from sweep.relearning.unseen import unseen_text
from sweep.space import Attack, SearchSpace, find
from trainables.data import Dataset
from trainables.data._class_names import few
from trainables.forgetting import numbers_are_names, parse_forget

# The headings of the printed plan that are relearning's, each by the one that it stands before.
HEADINGS = {
    "target": Line("search", wrap=False),
    "FID budget": Line("confirm", wrap=False),
    "FID": Line("confirm", wrap=False),
    "attacks": Line("confirm"),
    "samples": Line("confirm", wrap=False),
    "confirm attacks": Line("arms", label="", opening="attacked by "),
    "base model": Line("arms", wrap=False),
    "control": Line("arms", wrap=False),
    "audit": Line("runs on", wrap=False),
    "memory": Line("runs on"),
    "time": Line("runs on"),
}


def data_facts(data: Dataset, limit: int, folder: str) -> list[str]:
    """``fashion_mnist``, ``1×16×16``, ``at most 1000 images a split``, ``in DIR``; a limit of 0 is none."""
    facts = [data.name, "×".join(map(str, data.shape))]
    if limit:
        facts.append(f"at most {limit} images a split")
    if folder:
        facts.append(f"in {folder}")
    return facts


def data_text(data: Dataset, limit: int, folder: str) -> str:
    """``fashion_mnist (1×16×16, at most 1000 images a split, in DIR)``."""
    name, *facts = data_facts(data, limit, folder)
    return f"{name} ({', '.join(facts)})"


def base_text(base: str, revision: str) -> str:
    """``FOLDER``, or ``ID at REVISION``."""
    return f"{base} at {revision}" if revision else base


def control_text(control: str, data: Dataset) -> str:
    """The control's folder, or that there is none beside a base model that was trained elsewhere, and what stands in its place."""
    if control:
        return control
    anew = unseen_text(data)
    beside = f"; beside it {anew}, which the base model never saw, taught to it by the same attacks" if anew else ""
    return f"none: without --retrain-control nothing can be said in excess of it{beside}"


def forget_text(forget: str, data: Dataset) -> str:
    """``3 (dress)``, ``dress (condition 3)``; where numbers are names ``2 (named 2: condition 1 of 0 to 2)``.

    Of prompts ``concept:three (30 of 300 prompts)``.
    """
    if data.prompts:
        return f"{forget} ({len(parse_forget(forget, data).conditions)} of {len(data.prompts)} prompts)"
    if not data.classes:
        return forget
    conditions = parse_forget(forget, data).conditions
    names, numbers = ", ".join(data.classes[c] for c in conditions), ", ".join(map(str, conditions))
    if numbers_are_names(data):
        return f"{forget} (named {names}: condition {numbers} of 0 to {data.conditions - 1})"
    if names == numbers:
        return forget
    return f"{forget} ({f'condition {numbers}' if names == forget else names})"


def folder_facts(data: Dataset) -> list[tuple[str, str]]:
    """What in the data folder was taken for what: headings with texts. None where data are embedded.

    UsageError where the files that tell cannot be read.
    """
    facts = list(data.notes[:1])
    if data.classes:
        facts.append(("classes", f"{len(data.classes)}: {few(data.classes, 10)}"))
    for facet in data.facets:
        facts.append((f"{facet.name}s", f"{len(facet.labels)}: {few(facet.labels, 10)}"))
    if data.files is not None and data.counts is not None:
        try:
            counts = data.counts()
        except ValueError as error:
            raise UsageError(f"--data {data.name}: {error}") from error
        facts.append(("images", ", ".join(f"{n} {split}" for split, n in counts.items())))
    return facts + list(data.notes[1:])


def weightless_attacks() -> set[str]:
    """The attacks that move no weight: they change what a model is told, not the model."""
    return find.lacking("attacks", "moves_weights")


def suite_note(counts: bool, weights_stay: bool) -> str:
    """What stands in brackets behind an attack's name."""
    notes = [*([] if counts else ["does not count"]), *(["weights stay"] if weights_stay else [])]
    return f" ({'; '.join(notes)})" if notes else ""


def suite_text(space: SearchSpace, attacks: Sequence[Attack]) -> str:
    """The suite; of arms that search the attack, each trial has its own and only the controls the suite."""
    if not attacks:
        return "none: each trial is unlearned and scored"
    stay = weightless_attacks()
    names = ", ".join(attack.name + suite_note(attack.counts, attack.method in stay) for attack in attacks)
    return f"each trial by its own; the controls by {names}" if any(arm.attack for arm in space.arms) else names
