"""What a sweep says at its end: the front, the winner, and the three commands that its reader wants next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sweep.errors import called
from sweep.reading.arm import unsure
from sweep.reading.arm_against_arm import standings
from sweep.reading.pick import in_short, picks
from sweep.reading.shortfalls import Shortfall, answer_lacks, shortfall_lines, shortfalls
from sweep.reading.sweep import Sweep
from sweep.reading.trial import Trial
from sweep.reading.words import interval, seeds_behind, settings
from sweep.records import COMPLETE

_ARMS_SHOWN = 5


@dataclass(frozen=True)
class Ending:
    """Of a front read after the run."""

    front: Sweep

    @cached_property
    def winner(self) -> Trial | None:
        """The best feasible member of all arms, by the first objective: confirmed where anything was; None: nothing is feasible.

        Each arm's was chosen by the search's figures and is told by the confirmed ones. One that may break a bound is none where
        another arm's surely does not; one that fresh seeds have not confirmed, or its bounds alone, is none where another is.
        """
        feasible = [s.member for s in standings(self.front) if s.member and s.member.feasible]
        sure = (m for m in feasible if m.fully_confirmed and not unsure(self.front.plan, m))
        return next(sure, feasible[0] if feasible else None)

    @cached_property
    def shortfalls(self) -> tuple[Shortfall, ...]:
        """What failed that the answer hangs on."""
        return shortfalls(self.front)

    @property
    def failure(self) -> str | None:
        """Why it ends with exit code 1; None where it does not."""
        return answer_lacks(self.shortfalls)

    def winner_text(self) -> str:
        """The winner with its intervals and settings, or why there is none."""
        if self.winner is None:
            which = "confirmed trial" if any(arm.confirmed for arm in self.front.arms.values()) else "trial"
            return f"none: no {which} is feasible ({self.front.reason})"
        member = self.winner
        how = (
            f"confirmed on {seeds_behind(self.front, [member])}"
            if member.fully_confirmed
            else "search only, one seed: not confirmed"
        )
        baseline = ", a baseline" if member.baseline else ""
        return f"{member.trial_id} ({member.arm}{baseline}; {how}): {self._figures(member)}; {settings(member)}"

    def doubt(self) -> str:
        """That the best by the first objective is not sure of its bounds, and which trial is; empty where it is or nobody knows."""
        every = picks(self.front)
        first = next((pick for pick in every if pick.best is not None and pick.best.feasible), None)
        return in_short(self.front, every) if first is not None and first.unsure else ""

    def commands(self) -> dict[str, str]:
        """By what it does, each command as a shell takes it."""
        run = self.front.run
        by_purpose = {
            "open the page": f"xdg-open {_quoted(run / 'report.html')}",
            "every trial as a table": f"{called('sweep.pareto')} {_quoted(run)} --format csv",
        }
        if self.winner is not None and self.front.procedure.export is None:
            asked = f"SELECT * FROM curves WHERE trial_id = '{self.winner.trial_id}'"
            by_purpose["the winner's curves"] = f'{called("sweep.query")} {_quoted(run)} "{asked}"'
        elif self.winner is not None:
            replicate = f" --replicate {self._replicate(self.winner)}" if self.winner.fully_confirmed else ""
            folder = run / f"{self.winner.trial_id}-model"
            by_purpose["keep the winner"] = (
                f"{called('sweep.export')} {_quoted(run)} {self.winner.trial_id}{replicate}{own_members(run)} "
                f"-o {_quoted(folder)}"
            )
        else:
            by_purpose["why each trial failed or stopped"] = (
                f"{called('sweep.query')} {_quoted(run)} 'SELECT trial_id, state, cause FROM trials'"
            )
        return by_purpose

    def _replicate(self, winner: Trial) -> int:
        """The first replicate on fresh seeds that there is a model of: one that failed left none."""
        rows = self.front.confirm_rows
        return min(r["replicate"] for r in rows if r["trial_id"] == winner.trial_id and r["state"] == COMPLETE)

    def text(self) -> str:
        """All of it for a terminal, short enough to be seen at once: every arm's best, what failed, the winner, what to type."""
        commands, run = self.commands(), _quoted(self.front.run)
        commands["all fronts, intervals and comparisons"] = f"{called('sweep.pareto')} {run}"
        commands["curves and samples"] = f"tensorboard --logdir {_quoted(self.front.run / 'tensorboard')}"
        wide = max(map(len, commands.values()))
        lines = [f"  {command:<{wide}}  # {what}" for what, command in commands.items()]
        doubt = self.doubt()
        winner = [f"winner  {self.winner_text()}", *([f"but     {doubt}"] if doubt else [])]
        return "\n".join(["", *self._bests(), *shortfall_lines(self.shortfalls), "", *winner, "", "next:", *lines])

    def _bests(self) -> Iterator[str]:
        """A line for the best of each arm, the best arms first, and for each control."""
        ranked = standings(self.front)
        controls = list(self.front.controls.values())
        wide = max((len(t.trial_id) for t in (*(s.member for s in ranked if s.member), *controls)), default=0)
        for standing in ranked[:_ARMS_SHOWN]:
            arm = self.front.arms[standing.arm]
            which = "confirmed front" if arm.confirmed else "search front"
            front = f"{which} {len(arm.front)} of {len(arm.members)} trials"
            if standing.member is None:
                yield f"best    {standing.arm}: nothing was scored"
            else:
                broken = "" if standing.member.feasible else "; breaks a bound"
                yield f"best    {standing.member.trial_id:<{wide}}  {self._figures(standing.member)}  ({front}{broken})"
        if len(ranked) > _ARMS_SHOWN:
            yield f"        and of {len(ranked) - _ARMS_SHOWN} more arms"
        for control in controls:
            yield f"control {control.trial_id:<{wide}}  {self._figures(control)}"

    def _figures(self, trial: Trial) -> str:
        return ", ".join(f"{o.metric} {interval(trial.at(o.metric))}" for o in self.front.objectives)


def own_members(run: Path) -> str:
    """`` --members RUN/members`` of a run that has members of its own, its data set perhaps; else empty. As a shell takes it."""
    folder = run / "members"
    return f" --members {_quoted(folder)}" if folder.is_dir() else ""


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
