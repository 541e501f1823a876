"""The confirm phase: which replicates run on fresh seeds, first for all that were chosen, then where something is still open.

Every control has as many fresh seeds as the plan says, before the trials, which are held against what it shows. Of the chosen
trials most turn out to break a bound, or are reported by no one: so all have two seeds of what is bounded alone, where that
is cheaper than the whole (`Specs.reduced`), and whole replicates, on the seeds that controls have too, go to
those that each arm would report: one to each, a second to its best. What trials would have had beyond two, had all the same,
goes where it decides something (`sweep.search.undecided`), in the cheapest form that does. What nothing needs narrows the
intervals of each arm's best. Everything is asked of the records, so a run that is gone on with goes on here too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from sweep import records
from sweep.jobs import Job
from sweep.plan.plan import NARROWED, Plan
from sweep.procedures import Specs
from sweep.reading.sweep import Sweep, read_sweep
from sweep.reading.trial import Trial
from sweep.records import COMPLETE, CONFIRMATION, RUNNING
from sweep.records.folder import write_json
from sweep.records.names import name_of, number_of, replicate_of
from sweep.records.tables import FIRST_SEEDS
from sweep.search.confirm import chosen_for_confirmation, named
from sweep.search.undecided import Undecided, open_bounds, open_order, too_wide, whole_replicates
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
        jobs = self.control_jobs(*range(1, self.plan.confirm_seeds + 1))
        if not self.plan.adaptive:
            return jobs + [self._job(m, r) for r in range(1, self.plan.confirm_seeds + 1) for m in members]
        for seed in range(1, FIRST_SEEDS + 1):
            jobs += [self._first_job(member, seed) for member in members]
        return jobs

    def _first_job(self, member: Trial, seed: int) -> Job:
        """What is bounded alone, on a seed after those that whole replicates have; where that saves nothing, a whole one."""
        bounded = frozenset(c.metric for c in self.space.constraints)
        if bounded and len(self.space.objectives) > 1:  # one objective ranks what is reported, so all that are need it
            job = self._job(member, FIRST_SEEDS + seed, bounded)
            if job.asked_for is not None:
                return job
        return self._job(member, seed)

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
        left, seeds = self._replicates_left(members, rows), self.plan.confirm_seeds
        questions = open_bounds(sweep, self.plan.confirm_sure)
        jobs = self._affordable(questions, members, rows, left, 2 * seeds) or self._whole_jobs(sweep, members, ended)
        if not jobs:
            questions += open_order(sweep)
            jobs = self._affordable(questions, members, rows, left, 2 * seeds)
        another = [question for question in questions if _seeds_had(question, rows) < 2 * seeds]
        if not jobs:
            wide = too_wide(sweep)
            questions, jobs = [*questions, *wide], self._affordable(wide, members, rows, left, NARROWED * seeds)
            another += [question for question in wide if _seeds_had(question, rows) < NARROWED * seeds]
        asked_for |= {name: job.asked_for for name, job in jobs.items()}
        asked = {name: None if figures is None else sorted(figures) for name, figures in asked_for.items()}
        self.ended = not jobs
        outcome = self._outcome(questions, another) if self.ended and members else {}
        if jobs or outcome:
            write_json(self.run_dir / CONFIRMATION, {"asked": asked} | outcome)
        return list(jobs.values())

    def _whole_jobs(self, sweep: Sweep, members: Mapping[str, Trial], ended: Collection[str]) -> dict[str, Job]:
        """By name, the whole replicates that are not there yet: of what each arm would report, and of trials that were named."""
        asked = [(trial, r) for trial in named(self.run_dir) if trial in members for r in range(1, FIRST_SEEDS + 1)]
        jobs = [self._job(members[trial], replicate) for trial, replicate in (*whole_replicates(sweep), *asked)]
        return {job.name: job for job in jobs if job.name not in ended}

    def _affordable(
        self,
        questions: list[Undecided],
        members: Mapping[str, Trial],
        rows: list[dict[str, Any]],
        left: float,
        most: int,
    ) -> dict[str, Job]:
        """By name, one more seed for each question whose trials have had fewer than `most`, as far as what is left pays for it."""
        following = {q: _next_seed(q, rows) for q in questions}
        another = [q for q in questions if _seeds_had(q, rows) < most and following[q] < len(self.plan.replicate_seeds)]
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

    def _outcome(self, questions: list[Undecided], another: list[Undecided]) -> dict[str, Any]:
        """What ended the confirmation and what it leaves open, in words; of these questions `another` have a seed left."""
        ended_by = (
            f"every trial that may be on a front keeps its bounds with probability {self.plan.confirm_sure:g} or more, and "
            "nothing is left to narrow"
        )
        if another:
            ended_by = f"its replicates, as many as of {self.plan.confirm_seeds} seeds for each trial"
        elif questions:
            ended_by = "its seeds: what is open has had as many as a trial may have"
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
            if row["replicate"] > FIRST_SEEDS and name_of(row) in asked_for:
                member = members[row["trial_id"]]
                given = given_figures(self.space, row) if row["state"] == COMPLETE else asked_for[name_of(row)]
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


def _seeds_had(question: Undecided, rows: list[dict[str, Any]]) -> int:
    """How many fresh seeds that one of its trials has had that had most."""
    return max(Counter(row["trial_id"] for row in rows if row["trial_id"] in question.trials).values())


def given_figures(space: SearchSpace, row: Mapping[str, Any]) -> frozenset[str] | None:
    """For whose sake a confirm replicate was run, by its row: the figures that it has; None where it has all that are asked for."""
    if row["replicate"] < 1 or row["state"] != COMPLETE:
        return None
    asked = {o.metric for o in space.objectives} | {c.metric for c in space.constraints}
    given = frozenset(metric for metric in asked if row.get(metric) is not None)
    return given if given < asked else None
