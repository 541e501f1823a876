"""What must hold of a sweep after faults: every trial once, no finished stage twice, and the figures of the undisturbed one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from optuna import load_study
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from sweep import records
from sweep.reading.sweep import read_sweep
from trainables.store import Store

_WHEN = {"asked_at", "told_at", "started_at", "finished_at", "core_s"}  # differ from run to run
Row = dict[str, Any]


def points(faults: Path) -> list[Row]:
    """The boundaries that were passed, in order; the last line may have been cut off by a kill."""
    path = faults / "points.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def twice(faults: Path, store: Store) -> list[str]:
    """Finished stages that were begun or made again, though nothing had damaged what they had made."""
    again, finished = [], set()
    damaged = Counter(name.partition(".")[0] for name in store.damaged() if name.endswith(".json"))
    for point in points(faults):
        key = point.get("key")
        if point["point"] in ("begin", "commit") and key in finished:
            if not damaged[key]:
                again.append(f"{point['point']} of {key[:12]} by {point['pid']}, though it was finished")
            damaged[key] -= 1
            finished.discard(key)
        if point["point"] == "committed":
            finished.add(key)
    return again


def unaccounted(run: Path) -> list[str]:
    """What is wrong with a run at any moment: a row twice, a replicate in one table and not in another."""
    wrong = []
    trials = Counter(r["trial_id"] for r in records.rows(run, "trials"))
    replicates = Counter((r["trial_id"], r["replicate"]) for r in records.rows(run, "replicates"))
    stages = Counter((r["trial_id"], r["replicate"], r["stage"]) for r in records.rows(run, "stages"))
    curves = Counter(tuple(r[n] for n in ("trial_id", "replicate", "attack", "attack_step", "metric"))
                     for r in records.rows(run, "curves"))  # fmt: skip
    for what, counted in (
        ("trial", trials),
        ("replicate", replicates),
        ("stage", stages),
        ("point of a curve", curves),
    ):
        wrong += [f"{what} {name} is recorded {n} times" for name, n in counted.items() if n > 1]
    ended = {t["trial_id"] for t in records.rows(run, "trials") if t["state"] != records.RUNNING}
    wrong += [f"trial {t} has ended, and its replicate is not recorded" for t in ended if not replicates[t, 0]]
    return wrong


def differences(run: Path, undisturbed: Path, but: Iterable[str] = ()) -> list[str]:
    """Where a finished run differs from the undisturbed one; `but`: trials that a fault was to end as FAIL."""
    wrong, but = [], set(but)
    if (state := records.read_json(run / "status.json")["state"]) != "finished":
        wrong.append(f"the run is {state}")
    for table in ("trials", "replicates", "curves"):
        ours, theirs = _facts(run, table), _facts(undisturbed, table)
        wrong += [f"{table}: {name} is not there" for name in sorted(theirs.keys() - ours.keys()) if name[0] not in but]
        wrong += [
            f"{table}: {name} should not be there" for name in sorted(ours.keys() - theirs.keys()) if name[0] not in but
        ]
        for name in sorted(ours.keys() & theirs.keys()):
            if name[0] not in but and ours[name] != theirs[name]:
                other = {c: (v, theirs[name][c]) for c, v in ours[name].items() if v != theirs[name][c]}
                wrong.append(f"{table}: {name} differs: {other}")
    for trial in records.rows(run, "trials"):
        if trial["trial_id"] in but and (trial["state"] != records.FAIL or not trial["cause"]):
            wrong.append(f"{trial['trial_id']} is {trial['state']}, and should have failed with a cause")
    if (ours_front := front(run)) != (theirs_front := front(undisturbed)):
        wrong.append(f"the front is {ours_front}, and should be {theirs_front}")
    return wrong + _journal(run)


def front(run: Path) -> dict[str, list[tuple[str, bool, bool]]]:
    """Every arm's members that are on its search front or on the front that is reported, and on which."""
    return {
        name: [(m.trial_id, m.on_search_front, m.on_front) for m in arm.members if m.on_search_front or m.on_front]
        for name, arm in read_sweep(run).arms.items()
    }


def _facts(run: Path, table: str) -> dict[tuple[Any, ...], Row]:
    identity = {"trials": ("trial_id",), "replicates": ("trial_id", "replicate")}
    names = identity.get(table, ("trial_id", "replicate", "attack", "attack_step", "metric"))
    return {
        tuple(r[n] for n in names): {k: v for k, v in r.items() if k not in _WHEN} for r in records.rows(run, table)
    }


def _journal(run: Path) -> list[str]:
    """Where the Optuna journal says otherwise than the records."""
    storage = JournalStorage(JournalFileBackend(str(run / "optuna.journal")))
    trials, wrong = records.rows(run, "trials"), []
    for arm in sorted({t["arm"] for t in trials} - {"control"}):
        told = {t.number: t.state.name for t in load_study(study_name=f"quick/{arm}", storage=storage).get_trials()}
        recorded = {t["number"]: t["state"] for t in trials if t["arm"] == arm}
        if told != recorded:
            wrong.append(f"the journal of {arm} says {told}, the records say {recorded}")
    return wrong
