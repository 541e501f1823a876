"""The card of exported rows: how they were made, what their ε covers and what it does not, and what was measured of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from sweep.procedures import Row
from sweep.reading.sweep import Sweep
from sweep.reading.words import cell, number
from trainables.federated.accounting import Spent

_MEASURED = (
    "fd", "party_fd", "dependence_error", "within_error", "cross_agreement", "synthetic_accuracy", "utility_gap",
    "audited_epsilon", "audit_ceiling",
)  # fmt: skip


def card(sweep: Sweep, replicate: Row, made: Mapping[str, Any], together: Spent | None) -> str:
    """Markdown. `made` are the facts of the synthesizer; `together` is ε of the searched trials' trainings, on the same rows."""
    privacy = made["privacy"]
    title = f"# Synthetic rows of {sweep.plan['data']}"
    what = (
        f"{replicate['synthetic_rows']} rows that `{made['synthesizer']}` made of noise, after training on rows of "
        f"`{sweep.plan['data']}` whose columns parties hold apart ({replicate['split']})."
    )
    facts = {
        "trial": f"{replicate['trial_id']}, replicate {replicate['replicate']}",
        "synthesizer": made["synthesizer"],
        "mechanism": replicate["mechanism"],
        "ε": _epsilon(privacy, made["certified"]),
        "δ": f"{privacy['delta']:.3g}",
        "σ of a group": number(privacy["noise_multiplier"]),
        "sampling rate, rounds": f"{privacy['sampling_rate']:.3g}, {privacy['steps']}",
        "accountant": privacy["accountant"],
    }
    table = "\n".join(f"| {name} | {cell(str(value))} |" for name, value in facts.items())
    covered = "\n".join(f"- {line}" for line in _covered(made, together, sweep.prepared.get("rows", {})))
    return f"{title}\n\n{what}\n\n| | |\n|---|---|\n{table}\n\n## What ε covers\n\n{covered}\n\n{_measured(sweep, replicate)}"


def _epsilon(privacy: Mapping[str, Any], certified: bool) -> str:
    if certified:
        return f"{number(privacy['epsilon'])}, proven"
    claimed = privacy["claimed_epsilon"]
    return (
        f"{number(claimed)} claimed by the mechanism's authors, none proven"
        if claimed is not None
        else "infinite: no mechanism"
    )


def _covered(made: Mapping[str, Any], together: Spent | None, rows: Mapping[str, Any]) -> Iterator[str]:
    if not made["certified"]:
        yield "Nothing: no ε is proven of these rows. Treat them as you would the rows that were trained on."
        return
    yield (
        "Covered: these rows, the generators and the critics, against whoever sees them: one row more or less of the private "
        "table, all parties' parts of it together, changes what they see by a factor of e^ε at most, but for δ."
    )
    yield "Not covered: the protocol. In every round the server sees features of named real rows, and sends gradients back."
    yield f"Not covered: the choice among trials, each of which looked at the same private rows; {_all_spent(together)}."
    yield "Not covered: the controls, which have no mechanism: show them to nobody to whom an ε is promised."
    public = f"{rows['public_rows']} public and {rows['test_rows']} test rows" if rows else "public and test rows"
    yield (
        f"Not covered: {public}, which were used without a mechanism; of a single file they are two fifths, unless files private, "
        "public and test say which."
    )
    yield (
        "Not covered: who knows the seeds, with which noise and coins can be drawn again. This run's stand in its plan.json, so "
        "its ε is a figure for research, and no promise for a release."
    )
    yield "Not covered: how many rows there are, which decides batches and noise, and counts as public."
    yield (
        "Figures against public rows look at no private row again, but a choice by them is made of all trials, and costs the ε of "
        "all; fd_private and the audits are of private rows, and no part of ε."
    )


def _all_spent(together: Spent | None) -> str:
    """ε of all of them, in words."""
    what = "ε of the searched trials' trainings together is"
    if together is None:
        return f"{what} not known: one has left no synthesizer, or its artifact was removed"
    if math.isinf(together.epsilon):
        return f"{what} infinite: {together.accountant}"
    return f"{what} {together.epsilon:.4g} ({together.accountant})"


def _measured(sweep: Sweep, replicate: Row) -> str:
    rows = [
        f"| {name} | {number(replicate[name])} | {cell(sweep.columns.fact(name, 'description'))} |"
        for name in _MEASURED
        if replicate.get(name) is not None
    ]
    return "## What was measured\n\n| figure | value | what it is |\n|---|---|---|\n" + "\n".join(rows) + "\n"
