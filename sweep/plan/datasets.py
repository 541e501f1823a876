"""Which data a plan is about, and whether they are still those that it began with. Imports no torch."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from sweep.errors import UsageError, near
from trainables.class_names import few
from trainables.data import DATASETS, Dataset, dataset
from trainables.forgetting import numbers_are_names, parse_forget

if TYPE_CHECKING:
    from sweep.plan.plan import Plan


def dataset_of(plan: Plan) -> Dataset:
    """The plan's data set; UsageError where there is none such, or its folder does not hold it. Imports no torch."""
    if (name := plan.data.partition(":")[0]) not in DATASETS.names():
        raise UsageError(f"--data {name}: unknown; {near(name, DATASETS.names())}")
    for flag, number in (("--image-size", plan.image_size), ("--data-limit", plan.data_limit)):
        if number < 0:
            raise UsageError(f"{flag} {number}: must be at least 0")
    try:
        return dataset(plan.data, plan.data_folder, plan.image_size, plan.data_limit)
    except (ValueError, OSError) as error:
        elsewhere = "a folder is needed" in str(error) or "no such folder" in str(error)
        raise UsageError(f"--data {error}{'; say where with --data-folder DIR' * elsewhere}") from error


def fingerprinted(plan: Plan) -> Plan:
    """The plan with the fingerprint of its data; UsageError where they are no longer those it was begun with."""
    try:
        found = dataset_of(plan).fingerprint()
    except ValueError as error:
        raise UsageError(f"--data {plan.data}: {error}") from error
    if plan.data_fingerprint and found != plan.data_fingerprint:
        raise UsageError(
            f"--data-folder {plan.data_folder or '(default)'}: not the files that this run began with; bring those back, or "
            f"start a new run"
        )
    return dataclasses.replace(plan, data_fingerprint=found)


def data_facts(plan: Plan) -> list[str]:
    """``fashion_mnist``, ``1×16×16``, ``at most 1000 images a split``, ``in DIR``."""
    facts = [plan.data, "×".join(map(str, dataset_of(plan).shape))]
    facts += [f"at most {plan.data_limit} images a split"] * bool(plan.data_limit)
    return facts + [f"in {plan.data_folder}"] * bool(plan.data_folder)


def data_text(plan: Plan) -> str:
    """``fashion_mnist (1×16×16, at most 1000 images a split, in DIR); forget 3 (dress)``."""
    name, *facts = data_facts(plan)
    return f"{name} ({', '.join(facts)}); forget {forget_text(plan)}"


def forget_text(plan: Plan) -> str:
    """``3 (dress)``, ``dress (condition 3)``; where numbers are names ``2 (named 2: condition 1 of 0 to 2)``."""
    data = dataset_of(plan)
    if not data.classes:
        return plan.forget
    conditions = parse_forget(plan.forget, data).conditions
    names, numbers = ", ".join(data.classes[c] for c in conditions), ", ".join(map(str, conditions))
    if numbers_are_names(data):
        return f"{plan.forget} (named {names}: condition {numbers} of 0 to {data.conditions - 1})"
    if names == numbers:
        return plan.forget
    return f"{plan.forget} ({f'condition {numbers}' if names == plan.forget else names})"


def found_facts(plan: Plan) -> list[tuple[str, str]]:
    """What in the plan's data folder was taken for what: headings with texts, for the plan. None where data are embedded.

    UsageError where the files that tell cannot be read.
    """
    data = dataset_of(plan)
    facts = list(data.found[:1])
    if data.classes:
        facts.append(("classes", f"{len(data.classes)}: {few(data.classes, 10)}"))
    if data.counts is not None:
        try:
            counts = data.counts()
        except ValueError as error:
            raise UsageError(f"--data {plan.data}: {error}") from error
        facts.append(("images", ", ".join(f"{n} {split}" for split, n in counts.items())))
    return facts + list(data.found[1:])


def check_data(plan: Plan) -> None:
    """UsageError where there is no such data set, or it has nothing of what is to be forgotten."""
    data = dataset_of(plan)
    try:
        parse_forget(plan.forget, data)
    except ValueError as error:
        raise UsageError(f"--forget {error}") from error
