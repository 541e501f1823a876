"""What the records said of a replicate, from its artifacts: its stages are found one after the other, and none is made.

Their sidecars hold the figures, and when and how long each was made. Which process made it, on which node, is in no sidecar.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sweep import procedures
from sweep.jobs import Job, add_report
from trainables.running.procedures import pipeline_of
from trainables.store import Store


def replay(job: Job, bench: Any = None) -> tuple[str | None, str | None, Any]:
    """Add to the job what its artifacts say. Returns its state and cause, both None where a stage is not there, and the bench.

    With the bench of another job of the same experiment what they share is loaded once.
    """
    pipeline = pipeline_of(job.spec.to_json(), bench)
    activities = [field.name for field in procedures.named(job.spec.procedure).columns().activities]
    store, known = pipeline.bench.store, {s["key"]: s for s in job.stages}
    while (key := pipeline.next_key) and store.whole(key):
        report = pipeline.step().to_json()
        stage = report["stage"]
        if stage and stage["key"] not in known:
            report["stage"] = stage | _as_made(store, stage["key"], activities)
        add_report(job, report)
        if report["state"]:
            return report["state"], report["cause"], pipeline.bench
    return None, None, pipeline.bench


def _as_made(store: Store, key: str, activities: Sequence[str]) -> dict[str, Any]:
    """A stage's row as whoever made it wrote it, as far as its sidecar knows."""
    artifact = store.get(key)
    times = {name: artifact.facts.get(name) for name in ("wall_s", "core_s")}
    times |= {name: artifact.facts.get(name, 0.0) for name in activities}
    made_at = artifact.made_at or 0.0
    return times | {"found": False, "pid": None, "node": None, "finished_at": made_at,
                    "started_at": made_at - (times["wall_s"] or 0.0), "core_s": times["core_s"] or 0.0}  # fmt: skip
