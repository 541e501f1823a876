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
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep import records
from sweep.jobs import Job
from sweep.plan.plan import NARROWED, Plan
from sweep.procedures import Specs
from sweep.reading.asked import Asked, first_figures
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
        bounded = first_figures(len(self.space.objectives), (c.metric for c in self.space.constraints))
        if bounded is not None:
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
        past = _Past(rows, asked_of(self.run_dir))
        ended, asked_for = {name_of(r) for r in rows}, dict(past.asked.recorded)
        if unfinished := [name for name in asked_for if name not in ended and replicate_of(name)[0] in members]:
            return [self._job(members[replicate_of(n)[0]], replicate_of(n)[1], asked_for[n]) for n in unfinished]
        left, seeds = self._replicates_left(members, rows), self.plan.confirm_seeds
        questions = open_bounds(sweep, self.plan.confirm_sure)
        jobs = self._affordable(questions, members, past, left, 2 * seeds) or self._whole_jobs(sweep, members, ended)
        if not jobs:
            questions += open_order(sweep)
            jobs = self._affordable(questions, members, past, left, 2 * seeds)
        another = [question for question in questions if past.seeds_had(question) < 2 * seeds]
        if not jobs:
            wide = too_wide(sweep)
            questions, jobs = [*questions, *wide], self._affordable(wide, members, past, left, NARROWED * seeds)
            another += [question for question in wide if past.seeds_had(question) < NARROWED * seeds]
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
        past: _Past,
        left: float,
        most: int,
    ) -> dict[str, Job]:
        """By name, one more seed for each question whose trials have had fewer than `most`, as far as what is left pays for it."""
        following = {q: past.next_seed(q) for q in questions}
        another = [q for q in questions if past.seeds_had(q) < most and following[q] < len(self.plan.replicate_seeds)]
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
        spent, asked_for = 0.0, asked_of(self.run_dir).recorded
        for row in rows:
            if row["replicate"] > FIRST_SEEDS and name_of(row) in asked_for:
                spent += self._part(None, members[row["trial_id"]], asked_for[name_of(row)])
        return (self.plan.confirm_seeds - FIRST_SEEDS) * len(members) - spent

    def _part(self, spec: Any, member: Trial, figures: frozenset[str] | None) -> float:
        """What a replicate for the sake of these figures costs, as a part of a whole one."""
        if figures is None:
            return 1.0
        arm = self.space.arm(member.arm)
        spec = spec or self.specs.of(member.trial_id, 1, arm, arm.check(member.parameters))
        return self.specs.reduced(spec, arm, figures)[1]


@dataclass(frozen=True)
class _Past:
    """The replicates of the chosen trials on fresh seeds that ended, and what each was run for."""

    rows: Sequence[Mapping[str, Any]]
    asked: Asked

    def next_seed(self, question: Undecided) -> int:
        """The replicate after the last that any of its trials has had."""
        return 1 + max(row["replicate"] for row in self.rows if row["trial_id"] in question.trials)

    def seeds_had(self, question: Undecided) -> int:
        """How many fresh seeds that one of its trials has had that had most: of its figures, for others leave it as open."""
        rows = [row for row in self.rows if row["trial_id"] in question.trials]
        had = Counter(row["trial_id"] for row in rows if self._is_of(row, question.figures))
        return max(had.values(), default=0)

    def _is_of(self, row: Mapping[str, Any], figures: frozenset[str]) -> bool:
        """Whether a replicate has the figures, or would have them, had it not failed."""
        asked = self.asked.figures(name_of(row))
        return asked is None or figures <= asked or all(row.get(metric) is not None for metric in figures)


def asked_of(run_dir: Path) -> Asked:
    """What was asked of the replicates of a run's confirm phase, by its plan and what is recorded of it."""
    file = run_dir / CONFIRMATION
    return Asked.of(records.read_json(run_dir / "plan.json"), records.read_json(file) if file.exists() else {})


def given_figures(space: SearchSpace, row: Mapping[str, Any]) -> frozenset[str] | None:
    """Which of the figures that are asked for a confirm replicate has, by its row; None where it has them all."""
    if row["replicate"] < 1 or row["state"] != COMPLETE:
        return None
    asked = {o.metric for o in space.objectives} | {c.metric for c in space.constraints}
    given = frozenset(metric for metric in asked if row.get(metric) is not None)
    return given if given < asked else None
