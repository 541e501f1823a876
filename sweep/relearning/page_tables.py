"""Tables of the page that are of relearning alone: what the forgotten condition yields, what audits find, excess recovery."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence
from typing import Any

from sweep.procedures.panels import Cell, Heading, Table
from sweep.procedures.sections import Excess
from sweep.reading.arm_against_arm import Comparison, standings
from sweep.reading.sweep import Sweep
from sweep.reading.trial import Trial
from sweep.records import COMPLETE
from sweep.relearning.columns import audit_names
from sweep.relearning.curves import attacked

YIELDS = ("forgotten_top_share", "forgotten_confidence", "forgotten_diversity", "forgotten_distance")
_TOP = "forgotten_top_class"


def yields(sweep: Sweep, trials: Sequence[Trial]) -> Table:
    """What samples of the forgotten condition show, of each of these trials."""
    rows = sweep.rows_of("replicates", [m.trial_id for m in trials], ("trial_id", "replicate", "state", _TOP))
    searched = {r["trial_id"]: [r] for r in rows if r["replicate"] == 0 and r["state"] == COMPLETE}
    fresh: dict[str, list[dict[str, object]]] = {}
    for row in sweep.confirm_rows:
        if row["state"] == COMPLETE:
            fresh.setdefault(row["trial_id"], []).append(row)
    rows_of_trials, labels = [], sweep.prepared.get("labels", ())
    for trial in trials:
        replicates = (fresh if trial.fully_confirmed else searched).get(trial.trial_id, [])
        tops = collections.Counter(r[_TOP] for r in replicates if r[_TOP] is not None)
        named = ((_named(c, labels), n) for c, n in tops.most_common(2))
        top = ", ".join(f"{c} ({n} of {sum(tops.values())} seeds)" for c, n in named) or "—"
        rows_of_trials.append((trial.trial_id, top, *(trial.at(name) for name in YIELDS)))
    names = ("its share", "confidence", "diversity", "distance to retained images")
    return Table(
        yields_now(sweep),
        (Heading("trial", "trial"), Heading("top class", "words"), *map(Heading, names)),
        tuple(rows_of_trials),
    )


def yields_now(sweep: Sweep) -> str:
    """The heading over what samples of the forgotten show."""
    several = bool(sweep.prepared.get("labels"))
    return "What the forgotten prompts yield now" if several else "What the forgotten condition yields now"


def forgotten(sweep: Sweep) -> str:
    """``condition 3``, or of prompts ``concept:three``."""
    return str(sweep.plan["forget"]) if sweep.prepared.get("labels") else f"condition {sweep.plan['forget']}"


def _named(number: Any, labels: Sequence[str]) -> str:
    """A class's number; of prompts, the label's name, of which -1 is none."""
    if not labels:
        return str(number)
    return labels[number] if 0 <= number < len(labels) else "none of the labels"


def audits(sweep: Sweep) -> Iterator[Table]:
    """What the membership audit finds in each arm's best member and the controls, where anything was audited."""
    rows = tuple(_audited(sweep))
    if rows:
        names = (name.replace("_", " ") for name in audit_names())
        yield Table(
            "What the model betrays of the forget set",
            (Heading("trial", "words"), Heading("when", "words"), *map(Heading, names)),
            rows,
            "Membership audit: the forget set against held-out images of the same kind. An AUC of .5, a share found of .05 and "
            "a gap of 0 betray nothing. After the attack: the attack under which membership_auc ends farthest from .5: below "
            "it the model betrays the forget set as well.",
            "What the model betrays of the forget set",
        )


def _audited(sweep: Sweep) -> Iterator[tuple[Cell, ...]]:
    """The audit's figures before the attack, and at its worst.

    The worst attack is the one after whose last step membership_auc is farthest from .5: below it the model betrays the
    forget set too, by what it denoises worse than anything like it.
    """
    names = audit_names()
    best = [s.member for s in standings(sweep) if s.member is not None]
    for member in (*best, *sweep.controls.values()):
        if any(member.at(name) is not None for name in names):  # a one-step generator has no denoising loss to audit
            yield (member.trial_id, "before any attack", *(member.at(name) for name in names))
        # A trial of a searched attack is attacked by its own alone, which is called as its arm is.
        own = member.arm in sweep.plan.get("attacked", {})
        attacks = [member.arm] if own else sweep.plan["attacks"]["confirm"]
        after = {a: attacked(sweep, member, a, names[0]) for a in attacks}
        means = {a: e.mean for a, e in after.items() if e is not None}
        if worst := max(means, key=lambda a: abs(means[a] - 0.5), default=None):
            yield (member.trial_id, f"after {worst}", *(attacked(sweep, member, worst, name) for name in names))


def excess(sweep: Sweep, pair: Comparison) -> list[Table]:
    """How much more two arms relearn than the retrain control, under attacks whose data hold what was forgotten."""
    title = f"In excess of the retrain control: {pair.arm} against {pair.baseline_arm}"
    return list(_excess_table(sweep, title, pair.excess))


def excess_of_bests(sweep: Sweep) -> Iterator[Table]:
    """How much more each arm's best trial relearns than the retrain control, whatever it is compared with."""
    best = [s.member for s in standings(sweep) if s.member is not None]
    rows = [row for trial in best for row in sweep.sections.excess(sweep, trial)]
    yield from _excess_table(sweep, "In excess of the retrain control: each arm's best", rows)


def _excess_table(sweep: Sweep, title: str, rows: Sequence[Excess]) -> Iterator[Table]:
    """Rows at the last step, those of the steps before folded away; nothing without any."""
    if not rows:
        return
    steps, names = sweep.plan["rungs"][1:-1], ("relearning accuracy", "retrain control", "excess")
    between = tuple(_excess(row) for row in rows if row.step in steps)
    yield Table(
        title,
        (Heading("trial", "words"), Heading("attack", "words"), *map(Heading, names)),
        tuple(_excess(row) for row in rows if row.step not in steps),
        "Attacks whose data hold what was forgotten: relearning accuracy in excess of the retrain control, paired by seed. "
        "At or below 0: no easier to teach again than to a model that never knew it.",
        folded=between,
        summary=f"In excess at every step before the last, {len(between)} rows",
    )


def _excess(row: Excess) -> tuple[Cell, ...]:
    return row.trial_id, f"{row.series}@{row.step}", row.member, row.control, row.difference
