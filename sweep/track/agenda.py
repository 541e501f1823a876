"""What a track does next: every entry and both controls, on every thing to forget and every seed. Knows no Ray."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweep import records
from sweep.jobs import Ended, Job, add_report, fault, replicate_row, with_past
from sweep.records import FAIL, RUNNING, Writer
from sweep.records.names import control_name, name_of
from sweep.relearning.attacks import attack_plan
from sweep.space import CONTROL
from sweep.track.plan import CONTROLS, Entry, TrackPlan, safe
from sweep.track.scoring import BEFORE
from sweep.track.tables import schemas
from trainables.relearning.experiment import Experiment, Samples, TrialSpec

PHASE = "track"


class TrackAgenda:
    """Hands out replicates, seed by seed so that what is there is paired, and records their reports."""

    def __init__(
        self, plan: TrackPlan, experiments: Mapping[str, Experiment], models: Mapping[str, str] | None = None
    ) -> None:
        """`models` are the artifact keys of the entries that are models of someone's own."""
        self.plan, self.experiments, self.models = plan, experiments, models or {}
        self.run_dir = Path(plan.run_dir)
        self.writer = Writer(self.run_dir, schemas())
        self._columns = frozenset(self.writer.schemas["replicates"].names)
        self.running: dict[str, Job] = {}
        jobs = self._jobs()
        ended = {name_of(r) for r in records.rows(self.run_dir, "replicates") if r["state"] != RUNNING}
        self.total, self.ended = len(jobs), len(ended)
        self._waiting = [with_past(self.run_dir, job) for job in jobs if job.name not in ended]

    @property
    def finished(self) -> bool:
        return not self._waiting and not self.running

    def next_job(self) -> Job | None:
        """The next replicate to start, or None where all are started. See `finished`."""
        if not self._waiting:
            return None
        job = self._waiting.pop(0)
        self.running[job.name] = job
        self._record(job, RUNNING, None)
        return job

    def take(self, name: str, *reports: Mapping[str, Any]) -> Ended | None:
        """Record what a step's stages reported; what became of the replicate if it is over."""
        job = self.running[name]
        state, cause = None, None
        for report in reports:
            add_report(job, report)
            state, cause = report["state"], report["cause"]
        faulty = self._fault(job, state) if state and state != FAIL else ""
        if faulty:
            state, cause = FAIL, faulty
        row = self._record(job, state or RUNNING, cause)
        return self._end(job, row) if state else None

    def fail(self, name: str, cause: str) -> Ended:
        """Record that a replicate's process was lost for good."""
        job = self.running[name]
        return self._end(job, self._record(job, FAIL, cause))

    def close(self) -> None:
        """Nothing is held open: every record is a file of its own."""

    def _fault(self, job: Job, state: str) -> str:
        """See `fault`: of robustness, by which lines are ranked, and of what else the leaderboard has if it was measured."""
        asked = [name for name in BEFORE if job.figures.get(name) is not None]
        if any(attack.counts for attack in self.plan.suite):
            asked.append("robustness")
        return fault(job, state, asked, "the leaderboard")

    def _end(self, job: Job, row: dict[str, Any]) -> Ended:
        del self.running[job.name]
        self.ended += 1
        return Ended(job, row)

    def _jobs(self) -> list[Job]:
        controlled = not any(e.without_control for e in self.experiments.values())
        starts = CONTROLS if controlled else CONTROLS[:1]
        return [
            job
            for replicate in range(1, self.plan.seeds + 1)
            for forget in self.plan.forgets
            for job in (
                *(self._job(Entry(control_name(start), "none"), forget, replicate, CONTROL, start) for start in starts),
                *(self._job(e, forget, replicate, e.name, self.models.get(e.name, "base")) for e in self.plan.entries),
            )
        ]

    def _job(self, entry: Entry, forget: str, replicate: int, arm: str, start: str) -> Job:
        setup = self.plan.run.setup
        spec = TrialSpec(
            trial_id=f"{safe(entry.name)}-forget-{safe(forget)}",
            replicate=replicate,
            experiment=self.experiments[forget],
            method=entry.method,
            settings=dict(entry.settings),
            seed=self.plan.replicate_seeds[replicate - 1],
            attacks=tuple(attack_plan(a) for a in self.plan.suite),
            rungs=self.plan.rungs,
            samples=Samples(setup.samples_forgotten, setup.samples_per_retained),
            attacked_per_retained=setup.samples_per_retained,
            start=start,
        )
        return Job(spec, arm, 0, PHASE, records.now())

    def _record(self, job: Job, state: str, cause: str | None) -> dict[str, Any]:
        forget = {"forget": job.spec.experiment.forget}
        row = replicate_row(job, state, cause, self._columns) | forget
        self.writer.replicate(row, [c | forget for c in job.curves], [s | forget for s in job.stages])
        return row
