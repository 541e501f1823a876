"""What the tables of relearning hold beside every procedure's: figures of samples, what they depend on, attacks and rungs."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import pyarrow as pa

from sweep.errors import UsageError
from sweep.procedures import START, Columns, Counts, Row, column
from sweep.procedures.columns import WORD, figures_of
from sweep.records import names_of_every_run
from sweep.records.migrations import FIGURES_OF_2
from sweep.space.find import family_folder
from trainables.figures import Figure, check_samples
from trainables.registry import outside

FID_BUDGET = "fid_budget"  # a bound that the prepare phase finds
FAMILIES = ("metrics", "audits")  # every file of which declares figures
TRIAL = "relearning/outcomes.py"  # what a whole trial says beyond its samples

# What a figure that is a share of independent samples is a share of: the `samples` of its column.
FORGOTTEN, RETAINED, AFTER_ATTACK = "forgotten", "retained", "retained, after an attack"
COUNTED_BY = "retain_accuracy"  # the curve whose N is that of all retained conditions; replicates tell N of each
RELEARNED = "relearning_accuracy"  # of curves alone: a share of the samples of what was forgotten

# Figures that a replicate without attacks has not.
UNDER_ATTACK = frozenset({
    "robustness", "malicious_robustness", "attacked_relearning_accuracy", "attacked_retain_accuracy", "attacked_fid_delta",
})  # fmt: skip

SHOWN = {
    "robustness": "robustness",
    "fid_delta": "fid_delta",
    "unlearning_accuracy": "UA",
    "retain_accuracy": "retain",
}
QUALITY = ("fid", "kid", "precision", "recall", "attacked_retain_accuracy", "attacked_fid_delta")
SIGNED = ("fid_delta", "attacked_fid_delta")

_COMPARED, _ARTIFACT = {"compares": "must"}, {"artifact": "yes"}
_DEPENDENCIES = (
    column("samples_forgotten", pa.int32(), "N of the forgotten condition", "images", **_COMPARED),
    column("samples_per_retained", pa.int32(), "N of each retained condition", "images", **_COMPARED),
    column("sampler", WORD, "sampler and number of steps", **_COMPARED),
    column("judge", WORD, "what says which samples show what was forgotten", **_COMPARED),
    column("feature_network", WORD, "features of the Fréchet distance", **_COMPARED),
    column("feature_network_hash", pa.string(), "SHA-256 of its weights", **_COMPARED),
    column("reference", pa.string(), "artifact key of the reference statistics", **_COMPARED, **_ARTIFACT),
    column(
        "base_model", pa.string(), "artifact key of the model unlearning started from", compares="told", **_ARTIFACT
    ),
    column("unlearned_model", pa.string(), "artifact key of the unlearned model", **_ARTIFACT),
    column("score", pa.string(), "artifact key of the score before the attack, sample grid included", **_ARTIFACT),
    column("base_score", pa.string(), "artifact key of the base model's score on the same noise", **_ARTIFACT),
)
_AXES = (
    column("attack", WORD, f"name in the space's suite; {START!r} before any attack"),
    column("counts", pa.bool_(), "enters robustness"),
    column("auxiliary", WORD, "what the attack trains on"),
    column("attack_step", pa.int32(), "k, optimiser steps of the attack, a personalisation's included", "steps"),
)
_ACTIVITIES = (
    column("training_s", pa.float64(), "of wall_s: gradient steps", "seconds"),
    column("sampling_s", pa.float64(), "of wall_s: drawing images", "seconds"),
    column("scoring_s", pa.float64(), "of wall_s: classifier, features, distances", "seconds"),
)


def columns() -> Columns:
    """The columns, their figures in the order of schema 2, then those that came later, by name; of members in use from outside too.

    UsageError naming the file where declarations cannot be read, or two files declare the same figure.
    """
    return _columns(tuple((one.name, one.member.figures) for one in outside() if one.family in FAMILIES))


@cache
def _columns(others: tuple[tuple[str, tuple[Figure, ...]], ...]) -> Columns:
    """`others` are the members from outside, by name, with what they declare."""
    folders = [family_folder(family) for family in FAMILIES]
    files = [file for folder in folders for file in sorted(folder.glob("*.py")) if not file.stem.startswith("_")]
    figures = figures_of((*files, folders[0].parent / TRIAL))
    for figure in figures:
        try:
            check_samples(figure)
        except ValueError as error:
            raise UsageError(str(error)) from None
    for member, declared in others:
        for figure in declared:
            if figure.name in (known.name for known in figures):
                raise UsageError(
                    f"--members: {member}: figure {figure.name!r} is declared in another file too; rename one of them"
                )
            if figure.name in names_of_every_run():
                raise UsageError(
                    f"--members: {member}: figure {figure.name!r} is called as a column of the tables is; rename it"
                )
            figures.append(figure)
    early = {name: place for place, (name, _) in enumerate(FIGURES_OF_2)}
    figures.sort(key=lambda figure: (early.get(figure.name, len(early)), figure.name))
    return Columns(
        tuple(figures), _DEPENDENCIES, _AXES, "attack", "attack_step", _ACTIVITIES, COUNTED_BY, SHOWN, QUALITY, SIGNED
    )


def audit_names() -> tuple[str, ...]:
    """The figures that are of an audit."""
    return columns().of("audited")


def counts_of(replicates: Iterable[Row], curves: Iterable[Row]) -> Counts:
    """N of every kind of samples, by replicate, from rows of the replicates table and the curves of COUNTED_BY."""
    counts = {(row["trial_id"], row["replicate"]): {FORGOTTEN: row["samples_forgotten"] or 0} for row in replicates}
    for row in curves:
        least = counts.get((row["trial_id"], row["replicate"]))
        if least is not None and row["metric"] == COUNTED_BY and row["samples"]:
            kind = RETAINED if row["attack"] == START else AFTER_ATTACK
            least[kind] = min(least.get(kind, row["samples"]), row["samples"])
    return counts
