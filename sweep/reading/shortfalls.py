"""Which arms, confirmations and controls of a sweep failed, how much of each, and what to do next.

The exit code, the last lines on a terminal and for programs, `sweep.pareto` and the page all take it from here.
"""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sweep.errors import called
from sweep.reading.asked import Asked
from sweep.reading.sweep import Sweep
from sweep.reading.trial import Row
from sweep.reading.words import listed
from sweep.records import COMPLETE, FAIL
from sweep.records.names import name_of

_WIDTH = 80
_LONGEST = 300  # characters of a cause


@dataclass(frozen=True)
class Shortfall:
    """One thing that failed: what and how much of it, the first cause, and commands to go on with, by what they do."""

    what: str
    cause: str
    commands: dict[str, str] = field(default_factory=dict)
    fatal: bool = False  # without it the run has no answer: exit code 1

    def __str__(self) -> str:
        return f"{self.what}; the first: {self.cause}"


def shortfalls(sweep: Sweep) -> tuple[Shortfall, ...]:
    """Of a sweep, as far as it is recorded: the gravest first; empty where nothing failed that anything hangs on."""
    every = [*_arms(sweep), *_confirmation(sweep), *_controls(sweep)]
    if sweep.status.get("state") != "finished":
        every = [replace(s, what=f"so far, {s.what}") for s in every]
    return tuple(sorted(every, key=lambda s: not s.fatal))


def shortfall_lines(every: Sequence[Shortfall]) -> Iterator[str]:
    """For a terminal: what failed, within its width, and the commands that follow, each once and whole, as a shell takes them."""
    if every:
        yield ""
    for shortfall in every:
        yield from textwrap.wrap(
            f"{'failed':<12} {shortfall}", _WIDTH, subsequent_indent=" " * 13, break_on_hyphens=False
        )
    for command, what in dict.fromkeys((c, what) for s in every for what, c in s.commands.items()):
        yield f"  {command}  # {what}"


def answer_lacks(every: Sequence[Shortfall]) -> str | None:
    """Why a run ends with exit code 1, in one line; None where it does not."""
    return "; ".join(map(str, (s for s in every if s.fatal))) or None


def brief(cause: str | None) -> str:
    """A cause in one line."""
    text = " ".join((cause or "no cause recorded").split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _arms(sweep: Sweep) -> Iterator[Shortfall]:
    """Arms of which every trial failed; where all did, one line of all."""
    failed = [a for a in sweep.arms.values() if len(a.members) and a.counts.get(FAIL, 0) == len(a.members)]
    why = {"every cause": _causes(sweep.run, "trials")}
    if failed and len(failed) == sum(bool(len(a.members)) for a in sweep.arms.values()):
        yield Shortfall("every trial failed", brief(failed[0].members[0].cause), why, fatal=True)
        return
    for arm in failed:
        trials = f"all {len(arm.members)} trials" if len(arm.members) > 1 else "its one trial"
        what = f"arm {arm.name}{', a baseline' if arm.baseline else ''}: {trials} failed"
        yield Shortfall(what, brief(arm.members[0].cause), why, fatal=not arm.baseline)


def _confirmation(sweep: Sweep) -> Iterator[Shortfall]:
    """Trials whose replicates on fresh seeds failed, all of them, all whole ones, which alone give every objective, or some."""
    ended = _ended(r for r in sweep.confirm_rows if r["trial_id"] not in sweep.controls)
    failed = {t: [r for r in rows if r["state"] == FAIL] for t, rows in ended.items()}
    lost = [t for t, rows in failed.items() if len(rows) == len(ended[t])]
    if lost and len(lost) == len(ended):
        n = sum(map(len, ended.values()))
        what = f"confirmation of {listed(lost)}: {all_of(n)} failed, so nothing is confirmed"
        yield Shortfall(what, _first(failed, lost), _again(sweep), fatal=True)
        return
    bounds_alone = {t: rows for t, rows in _without_whole(sweep, failed).items() if t not in lost}
    partly = [t for t, rows in failed.items() if rows and t not in lost and t not in bounds_alone]
    if lost:
        n, have = sum(len(failed[t]) for t in lost), "it has" if len(lost) == 1 else "they have"
        what = f"confirmation of {listed(lost)}: {all_of(n)} failed, so {have} only the search's one seed"
        yield Shortfall(what, _first(failed, lost), _again(sweep))
    if bounds_alone:
        nothing = not any(arm.confirmed for arm in sweep.arms.values())
        n, whose = sum(map(len, bounds_alone.values())), "its" if len(bounds_alone) == 1 else "their"
        so = "nothing is confirmed" if nothing else f"{whose} bounds alone are confirmed"
        what = f"confirmation of {listed(list(bounds_alone))}: {all_of(n, 'whole ')} failed, so {so}"
        yield Shortfall(what, _first(bounds_alone, list(bounds_alone)), _again(sweep), fatal=nothing)
    if partly:
        n, of = (sum(len(rows[t]) for t in partly) for rows in (failed, ended))
        what = f"confirmation of {listed(partly)}: {n} of {of} replicates failed, so intervals are over fewer seeds"
        yield Shortfall(what, _first(failed, partly), _again(sweep))


def _without_whole(sweep: Sweep, failed: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """By trial that fresh seeds have not shown every objective of, the whole replicates that failed."""
    asked = Asked.of(sweep.plan, sweep.confirmation)
    confirmed = {m.trial_id for arm in sweep.arms.values() for m in arm.confirmed_members if m.fully_confirmed}
    whole = {
        t: [r for r in rows if asked.figures(name_of(r)) is None] for t, rows in failed.items() if t not in confirmed
    }
    return {t: rows for t, rows in whole.items() if rows}


def _controls(sweep: Sweep) -> Iterator[Shortfall]:
    """Controls that failed, on the search's seed or on fresh ones: what is held against them is missing there."""
    ended = _ended(r for r in sweep.confirm_rows if r["trial_id"] in sweep.controls)
    for name, control in sweep.controls.items():
        rows = ended.get(name, [])
        failed = [r for r in rows if r["state"] == FAIL]
        if failed:
            how = all_of(len(failed)) if len(failed) == len(rows) else f"{len(failed)} of {len(rows)} replicates"
            what = f"{name}: {how} on fresh seeds failed, so what is held against it lacks those seeds"
            yield Shortfall(what, brief(failed[0]["cause"]), _again(sweep))
        if control.state == FAIL:
            what = f"{name}: it failed on the search's seed, so nothing of that seed is held against it"
            yield Shortfall(what, brief(control.cause), {"every cause": _causes(sweep.run, "trials")})


def _ended(rows: Iterator[Row]) -> dict[str, list[Row]]:
    """By trial, the replicates that are over, in the order of their seeds."""
    by_trial: dict[str, list[Row]] = {}
    for row in rows:
        if row["state"] in (COMPLETE, FAIL):
            by_trial.setdefault(row["trial_id"], []).append(row)
    return {t: sorted(of_trial, key=lambda r: r["replicate"]) for t, of_trial in sorted(by_trial.items())}


def _first(failed: dict[str, list[Row]], trials: Sequence[str]) -> str:
    return brief(failed[trials[0]][0]["cause"])


def all_of(n: int, which: str = "") -> str:
    return f"all {n} {which}replicates" if n > 1 else f"the one {which}replicate"


def _causes(run: Path, table: str) -> str:
    replicate = ", replicate" if table == "replicates" else ""
    sql = f"SELECT trial_id{replicate}, cause FROM {table} WHERE state = 'FAIL'"
    return f'{called("sweep.query")} {shlex.quote(str(run))} "{sql}"'


def _again(sweep: Sweep) -> dict[str, str]:
    """The same of all that failed on fresh seeds: one command runs it all again."""
    failed = dict.fromkeys(r["trial_id"] for r in sweep.confirm_rows if r["state"] == FAIL)
    resume = f"{called('sweep.launch')} --resume {shlex.quote(str(sweep.run))} --confirm {' '.join(failed)}"
    return {"every cause": _causes(sweep.run, "replicates"), "run the failed replicates again": resume}
