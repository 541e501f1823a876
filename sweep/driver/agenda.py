"""What a sweep does next: the arms' trials side by side, controls where a worker would idle, then the confirm phase. Knows no Ray.

Controls wait for no trial's figures: on the confirm phase's seeds too they run while the search's last trials end. A worker that
idles there loses its process, and with it what the next trial would find in memory.

The agenda turns reports of trials into records, and records into what Optuna is told: recorded first, told second. Given
the records of an earlier driver it goes on where that one was stopped.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from sweep import procedures, records
from sweep.driver.confirmation import Confirmation
from sweep.jobs import Ended, Job, add_report, fault, replicate_row, settings_of, trial_row, with_past
from sweep.plan.plan import Plan
from sweep.procedures import Setup, Spec, Specs
from sweep.records import DOMINATION, FAIL, GATE, PRUNED, RUNNING, SEARCH, Writer
from sweep.records.folder import write_json
from sweep.records.names import control_name, name_of, replicate_name, trial_name
from sweep.samplers import Observation
from sweep.samplers.catalogue import make, tasks
from sweep.search import warm_start
from sweep.search.arm import ArmSearch, Past
from sweep.search.dominated import dominated, present_front
from sweep.search.journal import Journal, confirmed_attributes, journal_in_place, open_journal
from sweep.search.limits import Spent, StopRule
from sweep.search.observations import observation, possible, question_of
from sweep.space import CONTROL, Arm, SearchSpace


class Agenda:
    """Hands out jobs and takes their reports. One process holds it. The question's bounds are numbers by now."""

    def __init__(self, plan: Plan[Setup], space: SearchSpace, specs: Specs, prepared: Mapping[str, Any]) -> None:
        self.plan, self.space, self.specs = plan, space, specs
        self.confirmation = Confirmation(plan, space, specs)
        self.knowledge = procedures.named(space.procedure).knowledge(space, prepared, plan.flat())
        self.run_dir = Path(plan.run_dir)
        self.writer = Writer(self.run_dir, records.schemas(space))
        self._replicate_columns = frozenset(self.writer.schemas["replicates"].names)  # other figures are the curves'
        self.running: dict[str, Job] = {}
        self._on_record: set[str] = set()  # of those that run, what has a row of its own
        self.phase = "search"
        self.ended_by = ""  # what ended the search
        self.rule = StopRule(plan.max_hours, plan.max_core_hours, plan.min_gain)
        self._began, self._core_s = time.monotonic(), 0.0
        self._waiting: list[Job] = []
        self._controls_ahead: list[Job] | None = None  # those on fresh seeds; None: the search has not come to its end
        self._asked: Counter[str] = Counter()
        self._begins_with: dict[tuple[str, int], str] = {}  # by arm and replicate: see `Specs.begins_with`
        self._made: set[str] = set()  # of those products, what some job has made or found
        self.resumed = ""
        self.arms: dict[str, ArmSearch] = {}
        self.budgets = {arm.name: plan.budget_of(space, arm.name) for arm in space.arms}
        self._restore()

    @property
    def total(self) -> int:
        """Trials of all arms that the search will run."""
        return sum(self.budgets.values())

    @property
    def waiting(self) -> int:
        """What this phase has still to begin: trials of the search, or replicates that confirm."""
        if self.phase == "search" and not self.ended_by:
            return len(self._waiting) + max(0, self.total - self._asked.total())
        return len(self._waiting)

    def next_job(self) -> Job | None:
        """The next job to start, or None where nothing can start before a running one reports or ends. See `finished`."""
        job = self._ask() if self.phase == "search" else None
        if job is None:  # in the search the controls: no trial is held against them before it ends
            job = self._first_free(self._waiting)
        if job is None and self.phase == "search" and self._searches():
            job = self._control_ahead()
        elif job is None and self.phase == "search":
            self.phase = "confirm"
            self._end_search(self.ended_by or f"trials: all {self.total}")
            self._waiting = self._unfinished(self.confirmation.first_jobs())
            return self.next_job()
        if job is None and self.phase == "confirm" and not self.running and not self.confirmation.ended:
            self._waiting = self._unfinished(self.confirmation.further_jobs())
            return self.next_job() if self._waiting else None
        if job is not None:
            self.running[job.name] = job
            if job.phase == "search":
                job.asked_at = self._asked_at.get(job.spec.trial_id, job.asked_at)
                self.writer.trial(trial_row(job, self.space, RUNNING, None))
        return job

    def _searches(self) -> bool:
        """Whether a trial of the search, or a control beside it, is still running."""
        return any(job.phase == "search" for job in self.running.values())

    def _control_ahead(self) -> Job | None:
        """A control on a fresh seed, while the search ends; None once each has been begun or waits."""
        if self._controls_ahead is None:
            fresh = range(1, self.plan.confirm_seeds + 1)
            self._controls_ahead = self._unfinished(self.confirmation.control_jobs(*fresh))
        return self._first_free(self._controls_ahead)

    def _first_free(self, jobs: list[Job]) -> Job | None:
        """Take out the first of them that waits for no other; None without any."""
        free = next((job for job in jobs if not self._waits(job)), None)
        if free is not None:
            jobs.remove(free)
        return free

    def _waits(self, job: Job) -> bool:
        """Whether a job would begin with what one that runs is making for both, and has not reported yet.

        So does a control on a fresh seed beside the leading one, and a trial whose arm has its first product in common.
        Other trials don't wait: of what they find made they have other stages before it.
        """
        if job.arm != CONTROL:
            return self._being_made(job.arm, job.spec.replicate)
        leading = self.specs.leading_control
        if not job.spec.replicate or leading is None:
            return False
        first = self.running.get(replicate_name(control_name(leading), job.spec.replicate))
        return first is not None and not first.stages

    def _being_made(self, arm: str, replicate: int) -> bool:
        """Whether a job that runs began with the product that a trial of this arm would, and nobody has reported it yet."""
        key = self._first_product(arm, replicate)
        if not key or key in self._made:
            return False
        others = (job for job in self.running.values() if job.arm != CONTROL)
        return any(self._first_product(job.arm, job.spec.replicate) == key for job in others)

    def _first_product(self, arm: str, replicate: int) -> str:
        """The key of what every trial of this arm makes or finds first in this replicate; empty where each has its own.

        What `Specs.begins_with` says, asked once.
        """
        if (arm, replicate) not in self._begins_with:
            self._begins_with[arm, replicate] = self.specs.begins_with(self.space.arm(arm), replicate)
        return self._begins_with[arm, replicate]

    @property
    def finished(self) -> bool:
        return self.phase == "confirm" and not self._waiting and not self.running and self.confirmation.ended

    def take(self, name: str, *reports: Mapping[str, Any]) -> Ended | None:
        """Record what a step's stages reported; tell the search if the trial is over, and return what became of it."""
        job = self.running[name]
        for report in reports:
            add_report(job, report)
            if job.stages and job.arm != CONTROL:
                self._made.add(self._first_product(job.arm, job.spec.replicate))
            state, cause = report["state"], report["cause"]
            beaten = self._beaten(job) if state is None else None
            if beaten:
                state, cause, job.stopped_by = PRUNED, beaten, DOMINATION
            elif state == PRUNED:
                job.stopped_by = GATE
            if state is not None:
                del self.running[name]
                return self._end(job, state, cause)
        self._record_going_on(job)
        return None

    def fail(self, name: str, cause: str) -> Ended:
        """Record that a job's process was lost for good."""
        return self._end(self.running.pop(name), FAIL, cause)

    def spec_of(self, row: Mapping[str, Any]) -> Spec:
        """What a trial of the search was, by its row."""
        arm = self.space.arm(row["arm"])
        return self.specs.of(row["trial_id"], 0, arm, settings_of(arm, row), gate=True)

    def close(self) -> None:
        with ExitStack() as every:
            for arm in self.arms.values():
                every.callback(arm.close)

    def _ask(self) -> Job | None:
        """A trial of the arm that is furthest behind its share; None once every arm has had its trials, or the rule ends it.

        None too where every arm that has some left waits for a product of a trial that runs.
        """
        unfinished = [a for a, search in self.arms.items() if search.unfinished]
        if unfinished:
            begins = next((arm for arm in unfinished if not self._being_made(arm, 0)), None)
            return None if begins is None else self._begin(begins)
        if self.ended_by:
            return None
        behind = self._behind()
        if behind and (why := self.rule.ended_by(self._spent(), self._gains(behind))):
            self._end_search(why)
            return None
        free = [arm for arm in behind if not self._being_made(arm, 0)]
        return self._begin(min(free, key=behind.__getitem__)) if free else None

    def _behind(self) -> dict[str, float]:
        """Of every arm that has trials left, the share that it has had."""
        return {a: self._asked[a] / budget for a, budget in self.budgets.items() if self._asked[a] < budget}

    def _begin(self, arm: str) -> Job:
        self._asked[arm] += 1
        number, settings = self.arms[arm].ask()
        behind = self._behind()
        if behind:
            self.arms[min(behind, key=behind.__getitem__)].look_ahead()  # it is the next to begin one
        spec = self.specs.of(trial_name(arm, number), 0, self.space.arm(arm), settings, gate=True)
        job = Job(spec, arm, number, "search", records.now(), settings, every_stage=self.plan.stopping)
        return with_past(self.run_dir, job)

    def _spent(self) -> Spent:
        return Spent(time.monotonic() - self._began, self._core_s)

    def _gains(self, behind: Iterable[str]) -> dict[str, Callable[[], float | None]]:
        """How to ask what the next batch would add, of every arm of the question's own that has trials left."""
        arms = [a for a in behind if not self.space.arm(a).baseline]
        each = max(1, self.plan.place.workers // max(len(arms), 1))
        return {a: partial(self.arms[a].expected_gain, each) for a in arms}

    def _end_search(self, why: str) -> None:
        """Record what ended the search: a resumed run does not take it up again."""
        if not (self.run_dir / SEARCH).exists():
            self.ended_by = why
            write_json(
                self.run_dir / SEARCH, {"ended_by": why, "core_s": self._core_s, "ended_at": records.now().isoformat()}
            )

    def _end(self, job: Job, state: str, cause: str | None) -> Ended:
        faulty = "" if state == FAIL else self._fault(job, state)
        if faulty:
            state, cause, job.stopped_by = FAIL, faulty, None
        self._on_record.discard(job.name)
        row = self._record(job, state, cause)
        if job.phase == "search":
            row = trial_row(job, self.space, state, cause)
            self.writer.trial(row)
            self._core_s += row["core_s"]
            if job.arm != CONTROL:
                self.arms[job.arm].tell(self._observed(job.number, job.parameters, row, job.curves), cause)
        return Ended(job, row)

    def _beaten(self, job: Job) -> str | None:
        """Why a trial can no longer be on its arm's front; None to go on. Only what is searched is stopped."""
        if not job.every_stage:
            return None
        front = present_front(self.space.objectives, self.arms[job.arm].observed.values())
        return dominated(self.space.objectives, possible(self.space, job.figures, job.curves, self.knowledge), front)

    def _fault(self, job: Job, state: str) -> str:
        """See `fault`: of the figures that the question asks for. No control needs to keep a constraint."""
        asked = [o.metric for o in self.space.objectives]
        asked += [c.metric for c in self.space.constraints if job.arm != CONTROL]
        asked = [metric for metric in asked if job.asked_for is None or metric in job.asked_for]
        return fault(job, state, asked, "the question")

    def _record_going_on(self, job: Job) -> None:
        """Once that it runs, then only what it has made: a process that takes it up again reports its curves anew.

        Its row and curves are written when it ends. Written at every step they would be most of what a driver has to do.
        """
        if job.name in self._on_record:
            self.writer.stages(job.name, job.stages)
        else:
            self._on_record.add(job.name)
            self._record(job, RUNNING, None)

    def _record(self, job: Job, state: str, cause: str | None) -> dict[str, Any]:
        row = replicate_row(job, state, cause, self._replicate_columns)
        self.writer.replicate(row, job.curves, job.stages)
        return row

    def _restore(self) -> None:
        """Go on from the records: finished trials are in the studies again, unfinished ones are asked for first."""
        rows = records.rows(self.run_dir, "trials")
        ended = {r["trial_id"] for r in rows if r["state"] != RUNNING}
        self._asked_at = {r["trial_id"]: r["asked_at"] for r in rows if r["state"] == RUNNING}
        self._core_s = sum(r["core_s"] or 0.0 for r in rows)
        if (self.run_dir / SEARCH).exists():
            self.ended_by = records.read_json(self.run_dir / SEARCH)["ended_by"]
        elif any(r["replicate"] and r["arm"] != CONTROL for r in records.rows(self.run_dir, "replicates")):
            self.ended_by = f"not known: {SEARCH} is gone, and the confirmation had begun"
        self._waiting = [
            with_past(self.run_dir, j) for j in self.confirmation.control_jobs(0) if j.spec.trial_id not in ended
        ]
        past = self._past_of_arms(rows)
        storage = open_journal(self.run_dir)
        earlier = warm_start.read(self.run_dir)
        task_of = tasks(self.plan.sampler, self.space)
        for i, arm in enumerate(self.space.arms):
            budget = self.budgets[arm.name]
            studies = earlier.get(arm.name, [])
            question = question_of(arm, self.space, budget)
            sampler = make(self.plan.sampler, question, self.plan.run.seed + i, studies, task_of.get(arm.name))
            journal = Journal(arm, self.space, storage)
            ahead = self.plan.place.workers > 1 and not self.plan.place.in_process
            warm = warm_start.warmed(arm, self.space, studies)
            self.arms[arm.name] = ArmSearch(warm, sampler, journal, budget, past[arm.name], ahead)
            self._asked[arm.name] = sum(p.state != RUNNING for p in past[arm.name])
        if rows:
            trials = [p for of_arm in past.values() for p in of_arm]
            unfinished = sum(p.state == RUNNING for p in trials)
            self.resumed = f"{len(trials) - unfinished} finished trials kept, {unfinished} unfinished ones go on"

    def write_confirmed(self) -> None:
        """The journal once more, with what was confirmed: Optuna changes no trial that has ended. For when all jobs have."""
        past = self._past_of_arms(records.rows(self.run_dir, "trials"))
        if not any(p.confirmed for of_arm in past.values() for p in of_arm):
            return
        with journal_in_place(self.run_dir) as storage:
            for arm in self.space.arms:
                ended = [(p.observation, p.cause) for p in past[arm.name] if p.observation]
                unfinished = {p.number: p.settings for p in past[arm.name] if not p.observation}
                confirmed = {p.number: p.confirmed for p in past[arm.name]}
                Journal(arm, self.space, storage).rebuild(ended, unfinished, confirmed)

    def _past_of_arms(self, rows: list[dict[str, Any]]) -> dict[str, list[Past]]:
        confirmed = confirmed_attributes(self.run_dir)
        curves: dict[str, list[dict[str, Any]]] = {row["trial_id"]: [] for row in rows}
        for point in records.rows(self.run_dir, "curves"):  # at once: a look for each trial's lists the folder for each
            if not point["replicate"] and point["trial_id"] in curves:
                curves[point["trial_id"]].append(point)
        return {arm.name: self._past(arm, rows, curves, confirmed) for arm in self.space.arms}

    def _past(
        self,
        arm: Arm,
        rows: list[dict[str, Any]],
        curves: Mapping[str, Sequence[Mapping[str, Any]]],
        confirmed: Mapping[str, Mapping[str, Any]],
    ) -> list[Past]:
        past = []
        for row in (r for r in rows if r["arm"] == arm.name):
            settings, of_it = settings_of(arm, row), curves[row["trial_id"]]
            observed = None if row["state"] == RUNNING else self._observed(row["number"], settings, row, of_it)
            past.append(Past(row["number"], settings, observed, row["cause"], confirmed.get(row["trial_id"], {})))
        return past

    def _observed(
        self, number: int, settings: Mapping[str, Any], row: Mapping[str, Any], curves: Sequence[Mapping[str, Any]]
    ) -> Observation:
        """What the sampler is told of a trial that ended, from its row and its curves."""
        return observation(
            self.space,
            number,
            dict(settings),
            row["state"],
            row,
            curves,
            self.knowledge,
            row["core_s"] or 0.0,
        )

    def _unfinished(self, jobs: Iterable[Job]) -> list[Job]:
        begun = {
            name_of(r) for r in records.rows(self.run_dir, "replicates") if r["state"] != RUNNING
        } | self.running.keys()
        return [with_past(self.run_dir, job) for job in jobs if job.name not in begun]
