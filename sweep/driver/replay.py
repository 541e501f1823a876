"""What the records said of a replicate, from its artifacts: its stages are found one after the other, and none is made.

Their sidecars hold the figures, and when and how long each was made. Which process made it, on which node, is in no sidecar.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sweep.jobs import Job, add_report
from trainables.relearning.products import Workbench
from trainables.relearning.trial import Pipeline
from trainables.store import Store

_TIMES = ("wall_s", "core_s", "training_s", "sampling_s", "scoring_s")


def replay(job: Job, bench: Workbench | None = None) -> tuple[str | None, str | None, Workbench]:
    """Add to the job what its artifacts say. Returns its state and cause, both None where a stage is not there, and the bench.

    With the bench of another job of the same experiment what they share is loaded once.
    """
    pipeline = Pipeline(job.spec, bench)
    store, known = pipeline.bench.store, {s["key"]: s for s in job.stages}
    while (key := pipeline.next_key) and store.whole(key):
        report = pipeline.step().to_json()
        stage = report["stage"]
        if stage and stage["key"] not in known:
            report["stage"] = stage | _as_made(store, stage["key"])
        add_report(job, report)
        if report["state"]:
            return report["state"], report["cause"], pipeline.bench
    return None, None, pipeline.bench


def parameters_of(store: Store, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the sampler chose for a trial of a method, by its replicate's row: its unlearned model's sidecar has it."""
    found = store.find(row["unlearned_model"]) if row.get("unlearned_model") else None
    settings = found.facts.get("settings") if found else None
    return dict(settings) if isinstance(settings, dict) else None


def _as_made(store: Store, key: str) -> dict[str, Any]:
    """A stage's row as whoever made it wrote it, as far as its sidecar knows."""
    artifact = store.get(key)
    times = {name: artifact.facts.get(name) for name in _TIMES}
    made_at = artifact.made_at or 0.0
    return times | {"found": False, "pid": None, "node": None, "finished_at": made_at,
                    "started_at": made_at - (times["wall_s"] or 0.0), "core_s": times["core_s"] or 0.0}  # fmt: skip
