"""A sweep's log as lines of JSON, for programs: ``python -m sweep.launch … --log-format json``.

Every line is one object with every key of FIELDS, null where the event has no such thing; nothing else is written to standard
output. A mistake of the user's remains one plain line on standard error, with exit code 2.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from sweep import procedures
from sweep.records import now
from sweep.records.for_json import for_json
from sweep.space import CONTROL, SearchSpace
from sweep.terminal.lines import Progress, ended_text, front_text
from sweep.terminal.tally import outcome

if TYPE_CHECKING:
    from sweep.jobs import Ended, Jobs, SweepJobs
    from sweep.reading.ending import Ending

EVENTS = {
    "plan": "the plan, in words, before anything runs",
    "message": "what begins, or is found",
    "running": "what runs, at least every 15 s while nothing else is told",
    "ended": "a trial, or a replicate of the confirm phase or of a control, is over and recorded",
    "front": "the search's front has changed",
    "result": "the last line: the reported front's winner, and commands to go on with",
}
FIELDS: dict[str, tuple[tuple[type, ...], str]] = {
    "time": ((str,), "when, ISO 8601 in UTC"),
    "elapsed_s": ((float,), "seconds since the start"),
    "event": ((str,), "one of: " + ", ".join(EVENTS)),
    "text": ((str,), "what a terminal shows of it"),
    "phase": ((str, type(None)), "search or confirm; null before either"),
    "counts": ((dict,), "trials: running, waiting, feasible, infeasible, gated, dominated, failed"),
    "front": ((list,), "the search's front so far: trial_id and the objectives of each member"),
    "core_hours": ((float,), "processor time spent"),
    "gpu_hours": ((float,), "GPU time held"),
    "left_s": ((float, type(None)), "seconds the phase may still take; null before anything ended"),
    "running": ((list, type(None)), "trial_id, replicate and stage of each; of running"),
    "trial_id": ((str, type(None)), "of ended, and the winner's of result"),
    "replicate": ((int, type(None)), "of ended: 0 is the search's seed"),
    "arm": ((str, type(None)), "of ended, and the winner's of result"),
    "state": ((str, type(None)), "of ended: COMPLETE, PRUNED or FAIL"),
    "outcome": ((str, type(None)), "of an ended trial of the search: feasible, infeasible, gated, dominated or failed"),
    "cause": ((str, type(None)), "of ended: why it was stopped or failed"),
    "figures": ((dict, type(None)), "of ended: each figure by its column's name; of result: the winner's"),
    "commands": ((dict, type(None)), "of result: what to type next, by what it does"),
    "shortfalls": (
        (list, type(None)),
        "of result: what failed that the answer hangs on, each with what, cause, commands, and fatal: then the exit code is 1",
    ),
}


class LogLines(Progress):
    """Tells what `Progress` tells, as objects."""

    def plan(self, text: str) -> None:
        self._tell("plan", text)

    def line(self, text: str) -> None:
        self._tell("message", text)

    def result(self, ending: Ending) -> None:
        winner = ending.winner
        figures = {n: winner.value(n) for n in winner.search if winner.value(n) is not None} if winner else None
        facts = {"trial_id": winner.trial_id, "arm": winner.arm} if winner else {}
        failed = [dataclasses.asdict(s) for s in ending.shortfalls]
        text, commands = ending.winner_text(), ending.commands()
        self._tell("result", text, figures=figures, commands=commands, shortfalls=failed, **facts)

    def _running(self, jobs: Jobs) -> None:
        running = list(jobs.running.values())
        stages = [
            {
                "trial_id": j.spec.trial_id,
                "replicate": j.spec.replicate,
                "stage": j.stages[-1]["stage"] if j.stages else None,
            }
            for j in running
        ]
        self._tell("running", f"{len(running)} running", running=stages)

    def _ended(self, ended: Ended, jobs: SweepJobs) -> None:
        job, row = ended.job, ended.row
        searched = job.phase == "search" and job.arm != CONTROL
        self._tell(
            "ended",
            ended_text(ended, jobs, self.tally.ended),
            trial_id=job.spec.trial_id,
            replicate=job.spec.replicate,
            arm=job.arm,
            state=row["state"],
            outcome=outcome(row) if searched else None,
            cause=row["cause"],
            figures={
                name: row[name]
                for name in procedures.named(jobs.space.procedure).columns().names
                if row.get(name) is not None
            },
        )

    def _front(self, space: SearchSpace) -> None:
        self._tell("front", front_text(self.tally.front, space))

    def _tell(self, event: str, text: str, **facts: Any) -> None:
        jobs, tally = self.tally.jobs, self.tally
        self._heard()
        objectives = [o.metric for o in jobs.space.objectives] if jobs else []
        event_facts: dict[str, Any] = dict.fromkeys(FIELDS) | {
            "time": now().isoformat(),
            "elapsed_s": round(self.elapsed(), 3),
            "event": event,
            "text": text,
            "phase": jobs.phase if jobs else None,
            "counts": tally.counts(),
            "front": [dict(zip(("trial_id", *objectives), point, strict=True)) for point in tally.front]
            if jobs
            else [],
            "core_hours": tally.core_hours(),
            "gpu_hours": tally.gpu_hours(),
            "left_s": tally.left_s(),
        }
        assert facts.keys() <= FIELDS.keys(), "every line has the same keys"
        self._print(json.dumps(for_json(event_facts | facts), ensure_ascii=False, allow_nan=False))
