"""The confirm phase: which replicates run on fresh seeds, first for all that were chosen, then where something is still open.

Every chosen trial has two fresh seeds, and every control as many as the plan says, before the trials, which are held against what
it shows. What trials would have had beyond two, had all the same, goes where it decides something
(`sweep.search.undecided`), in the cheapest form that does: a replicate need not give more than the figures that are in question
(`Specs.reduced`). What nothing needs narrows the intervals of each arm's best. Everything is asked of the records, so a run that
is gone on with goes on here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweep import records
from sweep.jobs import Job
from sweep.plan.plan import Plan
from sweep.procedures import Specs
from sweep.reading.sweep import read_sweep
from sweep.reading.trial import Trial
from sweep.records import COMPLETE, CONFIRMATION, RUNNING
from sweep.records.folder import write_json
from sweep.records.names import name_of, number_of, replicate_of
from sweep.records.tables import FIRST_SEEDS
from sweep.search.confirm import chosen_for_confirmation
from sweep.search.undecided import Undecided, too_wide, undecided
from sweep.space import CONTROL, SearchSpace


class Confirmation:
    """Chooses which trials of a run are run again, and on how many fresh seeds.

    It has `ended` once nothing more is to be confirmed than what was handed out.
    """

    def __init__(self, plan: Plan[Any], space: SearchSpace, specs: Specs) -> None:
        self.plan, self.space, self.specs = plan, space, specs
        self.run_dir = Path(plan.run_dir)
        self.ended = not plan.adaptive

    def control_jobs(self, *replicates: int) -> list[Job]:
        """What trials are held against on the same seeds: of replicate 0, the search's, or of those of the confirm phase."""
        specs = [self.specs.of_control(control, r) for r in replicates for control in self.specs.controls]
        return [Job(spec, CONTROL, 0, "confirm" if spec.replicate else "search", records.now()) for spec in specs]

    def first_jobs(self) -> list[Job]:
        """What all have: the controls, then trials seed by seed so that what is there is paired. Ended ones are among them."""
        members = chosen_for_confirmation(
            self.run_dir, self.space, self.plan.confirm_members, self.plan.confirm_neighbours
        )
        replicates = range(1, self.plan.confirm_seeds + 1)
        jobs = self.control_jobs(*replicates)
        for replicate in replicates:
            if replicate <= FIRST_SEEDS or not self.plan.adaptive:
                jobs += [self._job(member, replicate) for member in members]
        return jobs

    def further_jobs(self) -> list[Job]:
        """What is still open, on one more seed each, while replicates are left; without any, why is recorded, and it has ended.

        What was asked for already and has not ended, an earlier driver's or what failed and is to run again, comes first.
        """
        sweep = read_sweep(self.run_dir)
        members = {m.trial_id: m for arm in sweep.arms.values() for m in arm.confirmed_members}
        rows = [r for r in sweep.confirm_rows if r["trial_id"] in members and r["state"] != RUNNING]
        ended, asked_for = {name_of(r) for r in rows}, self._asked_for()
        if unfinished := [name for name in asked_for if name not in ended and replicate_of(name)[0] in members]:
            return [self._job(members[replicate_of(n)[0]], replicate_of(n)[1], asked_for[n]) for n in unfinished]
        left = self._replicates_left(members, rows)
        questions = undecided(sweep, self.plan.confirm_sure)
        jobs = self._affordable(questions, members, rows, left)
        if not jobs:
            wide = too_wide(sweep)
            questions, jobs = [*questions, *wide], self._affordable(wide, members, rows, left)
        asked_for |= {name: job.asked_for for name, job in jobs.items()}
        asked = {name: None if figures is None else sorted(figures) for name, figures in asked_for.items()}
        self.ended = not jobs
        another = [question for question in questions if self._has_a_seed_left(question, rows)]
        outcome = self._outcome(questions, another) if self.ended and members else {}
        if jobs or outcome:
            write_json(self.run_dir / CONFIRMATION, {"asked": asked} | outcome)
        return list(jobs.values())

    def _affordable(
        self, questions: list[Undecided], members: Mapping[str, Trial], rows: list[dict[str, Any]], left: float
    ) -> dict[str, Job]:
        """By name, one more seed for each question that has one left, as far as the replicates that are left pay for it."""
        following = {q: _next_seed(q, rows) for q in questions}
        another = [q for q in questions if self._has_a_seed_left(q, rows)]
        jobs: dict[str, Job] = {}
        for question in another:
            begun = {job.spec.trial_id for job in jobs.values()}
            if begun.intersection(question.trials):  # it waits: trials that are to be told apart need the same seeds
                continue
            more = [self._job(members[t], following[question], question.figures) for t in question.trials]
            cost = sum(self._part(job.spec, members[job.spec.trial_id], job.asked_for) for job in more)
            if cost <= left + 1e-9:
                jobs |= {job.name: job for job in more}
                left -= cost
        return jobs

    def _has_a_seed_left(self, question: Undecided, rows: list[dict[str, Any]]) -> bool:
        return _next_seed(question, rows) < len(self.plan.replicate_seeds)

    def _outcome(self, questions: list[Undecided], another: list[Undecided]) -> dict[str, Any]:
        """What ended the confirmation and what it leaves open, in words; of these questions `another` have a seed left."""
        ended_by = (
            f"every trial that may be on a front keeps its bounds with probability {self.plan.confirm_sure:g} or more, and "
            "nothing is left to narrow"
        )
        if another:
            ended_by = f"its replicates, as many as of {self.plan.confirm_seeds} seeds for each trial"
        elif questions:
            ended_by = f"its seeds: what is open has had all {len(self.plan.replicate_seeds) - 1}"
        return {"ended_by": ended_by, "open": [one.text for one in questions]}

    def _asked_for(self) -> dict[str, frozenset[str] | None]:
        """By its name every replicate that was asked for because something was open, and for the sake of which figures."""
        file = self.run_dir / CONFIRMATION
        asked = records.read_json(file).get("asked", {}) if file.exists() else {}
        return {name: None if figures is None else frozenset(figures) for name, figures in asked.items()}

    def _job(self, member: Trial, replicate: int, figures: frozenset[str] | None = None) -> Job:
        """A trial on a fresh seed; for the sake of some figures in the cheapest form that gives them."""
        arm = self.space.arm(member.arm)
        settings = arm.check(member.parameters)
        spec = self.specs.of(member.trial_id, replicate, arm, settings)
        if figures is not None:
            spec, part = self.specs.reduced(spec, arm, figures)
            figures = figures if part < 1 else None
        number = number_of(member.trial_id)
        return Job(spec, arm.name, number, "confirm", records.now(), settings, asked_for=figures)

    def _replicates_left(self, members: Mapping[str, Trial], rows: list[dict[str, Any]]) -> float:
        """Of the seeds beyond the first, for all trials, what those that ended have not cost yet; a reduced one costs its part."""
        spent, asked_for = 0.0, self._asked_for()
        for row in rows:
            if row["replicate"] > FIRST_SEEDS:
                member = members[row["trial_id"]]
                given = given_figures(self.space, row) if row["state"] == COMPLETE else asked_for.get(name_of(row))
                spent += 1.0 if given is None else self._part(None, member, given)
        return (self.plan.confirm_seeds - FIRST_SEEDS) * len(members) - spent

    def _part(self, spec: Any, member: Trial, figures: frozenset[str] | None) -> float:
        """What a replicate for the sake of these figures costs, as a part of a whole one."""
        if figures is None:
            return 1.0
        arm = self.space.arm(member.arm)
        spec = spec or self.specs.of(member.trial_id, 1, arm, arm.check(member.parameters))
        return self.specs.reduced(spec, arm, figures)[1]


def _next_seed(question: Undecided, rows: list[dict[str, Any]]) -> int:
    """The replicate after the last that any of its trials has had."""
    return 1 + max(row["replicate"] for row in rows if row["trial_id"] in question.trials)


def given_figures(space: SearchSpace, row: Mapping[str, Any]) -> frozenset[str] | None:
    """For whose sake a confirm replicate was run, by its row: the figures that it has; None where it has all that are asked for."""
    if row["replicate"] < 1 or row["state"] != COMPLETE:
        return None
    asked = {o.metric for o in space.objectives} | {c.metric for c in space.constraints}
    given = frozenset(metric for metric in asked if row.get(metric) is not None)
    return given if given < asked else None
