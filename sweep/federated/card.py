"""The card of exported or released rows: how they were made, what their ε covers and what not, and what was measured of them."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sweep.procedures import Row
from sweep.reading.sweep import Sweep
from sweep.reading.words import cell, number
from trainables.federated.accounting import Spent

if TYPE_CHECKING:
    from trainables.federated.experiment import TrialSpec
    from trainables.federated.mechanisms import Privacy

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
    covered = _covered(made, together, sweep.prepared.get("rows", {}))
    return _written(title, what, facts, covered, _measured(sweep, replicate))


@dataclass(frozen=True)
class Cost:
    """What a release costs: its training, on so many private rows; the search's trainings; and all of them together.

    None is not known.
    """

    private_rows: int
    privacy: Privacy
    trainings: int
    searched: Spent | None
    together: Spent | None

    @property
    def epsilon(self) -> float:
        """Of its training alone."""
        assert self.privacy.epsilon is not None  # its mechanism proves one
        return self.privacy.epsilon


@dataclass(frozen=True)
class Measured:
    """What was measured of the first so many of a release's rows, or why nothing was."""

    figures: Mapping[str, float]
    rows: int = 0
    why_not: str = ""


def release_card(sweep: Sweep, spec: TrialSpec, cost: Cost, found: Measured) -> str:
    """Markdown of a release."""
    privacy, recipe = cost.privacy, spec.recipe
    title = f"# Synthetic rows of {sweep.plan['data']}, released"
    what = (
        f"{spec.samples} rows that `{spec.method}` made of noise, after training on all {cost.private_rows} private rows of "
        f"`{sweep.plan['data']}`, whose columns parties hold apart ({spec.experiment.source.split}). It was trained once more for "
        "this release, by settings that a search had chosen; no canary was among the rows, and no coin left one out."
    )
    facts = {
        "trained on": f"{cost.private_rows} private rows, {dt.datetime.now(dt.UTC).date()}",
        "settings of": f"trial {spec.trial_id}",
        "synthesizer": spec.method,
        "mechanism": recipe.mechanism,
        "settings": ", ".join(f"{name} {_setting(value)}" for name, value in sorted(spec.settings.items())),
        "ε": f"{rounded_up(cost.epsilon)}, proven",
        "δ": f"{privacy.delta:.3g}",
        "σ of a group": number(privacy.noise_multiplier),
        "sampling rate, rounds": f"{privacy.sampling_rate:.3g}, {privacy.steps}",
        "accountant": privacy.accountant,
        f"ε of the search's {cost.trainings} trainings": _spent(cost.searched),
        "ε of both together": _spent(cost.together),
    }
    covered = _release_covered(cost, sweep.prepared.get("rows", {}))
    of = (
        ""
        if found.rows == spec.samples
        else f"Of the first {found.rows} rows, as many as a trial of the search has.\n\n"
    )
    return _written(title, what, facts, covered, _measured(sweep, found.figures, of, found.why_not))


def rounded_up(epsilon: float) -> str:
    """ε with three decimals, and never less than it is."""
    return f"{math.ceil(epsilon * 1000) / 1000:.3f}" if math.isfinite(epsilon) else "infinite"


def _written(title: str, what: str, facts: Mapping[str, Any], covered: Iterable[str], measured: str) -> str:
    table = "\n".join(f"| {name} | {cell(str(value))} |" for name, value in facts.items())
    lines = "\n".join(f"- {line}" for line in covered)
    return f"{title}\n\n{what}\n\n| | |\n|---|---|\n{table}\n\n## What ε covers\n\n{lines}\n\n{measured}"


def _setting(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _spent(spent: Spent | None) -> str:
    """ε, with who says so."""
    if spent is None:
        return "not known: a training has left no synthesizer, or its artifact was removed"
    return f"{rounded_up(spent.epsilon)} ({spent.accountant})"


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
    yield _proven_of("the private rows that were trained on")
    yield _PROTOCOL
    yield f"Not covered: the choice among trials, each of which looked at the same private rows; {_all_spent(together)}."
    yield _CONTROLS
    yield _public(rows)
    yield (
        "Not covered: who knows the seeds, with which noise and coins can be drawn again. This run's stand in its plan.json, so "
        "its ε is a figure for research, and no promise for a release; `sweep.release` trains one, by noise that nobody knows."
    )
    yield _NUMBER
    yield (
        "Figures against public rows look at no private row again, but a choice by them is made of all trials, and costs the ε of "
        "all; fd_private and the audits are of private rows, and no part of ε."
    )


def _release_covered(cost: Cost, rows: Mapping[str, Any]) -> Iterator[str]:
    yield _proven_of("the private table")
    yield (
        "Batches and noise came from the system's entropy, step by step, and are kept nowhere: nobody can draw them again, or "
        "repeat this training."
    )
    yield _PROTOCOL
    yield (
        f"Not covered by this training's ε alone: the choice of its settings, for the search's {cost.trainings} trainings looked "
        f"at the same private rows. Theirs together is {_spent(cost.searched)}, and with this one's {_spent(cost.together)}. "
        "Theirs holds against whoever does not know the seeds of the search, which stand in its run folder and are soon guessed: "
        "keep its rows, figures and page to yourself."
    )
    yield f"{_CONTROLS} Nor is a choice covered that went by figures of private rows: fd_private, audits, shuffled rows."
    yield _public(rows)
    yield _NUMBER
    yield (
        "Not covered: other trainings on the same rows, such as another run, one that this search was warm-started from, or "
        "another release. Each adds its own ε, one that was made and thrown away for what it showed too."
    )
    yield "Not covered: how floats round. ε is accounted for real numbers, and noise is drawn by Philox, which is no cipher."
    yield "Figures below are against public rows: they look at no private row, and are no part of ε."


def _proven_of(rows: str) -> str:
    """What ε is proven of. Which rows a trial is trained on, its audit's coins decide; a release is of the whole table."""
    return (
        f"Covered: these rows, the generators and the critics, against whoever sees them: one row more or less of {rows}, all "
        "parties' parts of it together, changes what they see by a factor of e^ε at most, but for δ."
    )


_PROTOCOL = (
    "Not covered: the protocol. In every round the server sees features of named real rows, and sends gradients back."
)
_CONTROLS = "Not covered: the controls, which have no mechanism: show them to nobody to whom an ε is promised."
_NUMBER = "Not covered: how many rows there are, which decides batches and noise, and counts as public."


def _public(rows: Mapping[str, Any]) -> str:
    public = f"{rows['public_rows']} public and {rows['test_rows']} test rows" if rows else "public and test rows"
    return (
        f"Not covered: {public}, which were used without a mechanism; of a single file they are two fifths, unless files private, "
        "public and test say which."
    )


def _all_spent(together: Spent | None) -> str:
    """ε of all of them, in words."""
    what = "ε of the searched trials' trainings together is"
    if together is None:
        return f"{what} not known: one has left no synthesizer, or its artifact was removed"
    if math.isinf(together.epsilon):
        return f"{what} infinite: {together.accountant}"
    return f"{what} {together.epsilon:.4g} ({together.accountant})"


def _measured(sweep: Sweep, figures: Row, of: str = "", why_not: str = "") -> str:
    rows = [
        f"| {name} | {number(figures[name])} | {cell(sweep.columns.fact(name, 'description'))} |"
        for name in _MEASURED
        if figures.get(name) is not None
    ]
    if not rows:
        why_not = why_not or "what public rows are held against is no longer in the run's store, or other code made it"
        return f"## What was measured\n\nNothing: {why_not}.\n"
    return f"## What was measured\n\n{of}| figure | value | what it is |\n|---|---|---|\n" + "\n".join(rows) + "\n"
