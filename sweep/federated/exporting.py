"""Save the synthetic rows of a replicate as what the real ones are, with a card that says what their ε covers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from sweep import records
from sweep.errors import UsageError
from sweep.federated.card import card
from sweep.federated.sections import REAL
from sweep.federated.setup import Setup
from sweep.plan.plan import Plan
from sweep.procedures import Row
from sweep.reading.sweep import Sweep, read_sweep
from sweep.space import CONTROL
from trainables.federated.accounting import Releases, Spent, epsilon_of_all
from trainables.federated.export import save_rows
from trainables.federated.schema import Schema
from trainables.store import Artifact, CorruptArtifact, MissingArtifact, Store, is_key


def export(run: str, replicate: Row, folder: Path, artifacts: str = "") -> Path:
    """Save them in a new folder, which is returned. UsageError where there are none, or they cannot be saved there.

    `artifacts`: where the run's artifact store lies now, if it was moved.
    """
    key, trial_id = key_of(run, replicate, "synthetic"), replicate["trial_id"]
    where = records.run_folder(run) / "plan.json"
    plan = Plan.recorded(records.read_json(where), str(where))
    setup, store = plan.setup, Store(artifacts or plan.artifacts)
    assert isinstance(setup, Setup)  # whose run this is, its procedure was asked by
    try:
        rows = torch.from_numpy(artifact_of(store, key, run, trial_id).tensors()["rows"].copy())
        made = artifact_of(store, key_of(run, replicate, "synthesizer"), run, trial_id).facts
        sweep = read_sweep(run)
        together = spent_together(run, store, made["privacy"]["delta"]) if made["certified"] else None
        return save_rows(rows, _form(sweep, setup), folder, card(sweep, replicate, made, together))
    except (ValueError, CorruptArtifact, MissingArtifact) as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error.strerror}") from error


def key_of(run: str, replicate: Row, column: str) -> str:
    """The artifact key that a replicate's row holds; UsageError where it has none."""
    key, trial_id = replicate.get(column), replicate["trial_id"]
    if not key:
        why = "its rows are private ones" if trial_id == REAL else f"it is {replicate['state']}"
        raise UsageError(f"{run}: {trial_id} has no {column} that could be saved: {why}")
    if not is_key(key):
        raise UsageError(f"{run}: {trial_id}: its {column} is no artifact key; the record was not written by a sweep")
    return str(key)


def artifact_of(store: Store, key: str, run: str, trial_id: str) -> Artifact:
    """What a trial left in the store; UsageError where it is no longer there."""
    artifact = store.find(key)
    if artifact is None:
        raise UsageError(
            f"{store.name}: {trial_id}'s artifact {key[:12]} is no longer there: say where the store lies now with "
            f"--artifacts DIR, or make it again with --resume {run} --confirm {trial_id}"
        )
    return artifact


def _form(sweep: Sweep, setup: Setup) -> Schema | tuple[int, int, int]:
    """What a row is: a table's schema, or images' (C, H, W), as when the run began.

    A run that has not recorded it goes by the files, if they are those that it began with; UsageError where they are not.
    """
    recorded = sweep.prepared.get("rows", {})
    if recorded.get("schema"):
        return Schema.from_json(recorded["schema"])
    if recorded.get("shape"):
        channels, height, width = recorded["shape"]
        return channels, height, width
    try:
        described = setup.source
        same = described.fingerprint() == setup.data_fingerprint
    except (UsageError, ValueError):
        same = False
    if not same:
        raise UsageError(
            f"{sweep.run}: its rows are told by the files of {setup.data_folder or setup.data}, which are no longer those that it "
            "began with; bring those back"
        )
    form = described.schema or described.shape
    assert form  # rows are a table's or images'
    return form


def spent_together(run: str, store: Store, delta: float, beside: Iterable[tuple[float, Releases]] = ()) -> Spent | None:
    """ε of the searched trials' trainings together, and of those `beside` them, by noise and releases, on the same rows.

    Infinite where one is of no proven ε, None where one is not known. Controls, which have no mechanism, are left out. A trial
    without a synthesizer may have trained before it failed.
    """
    spent = list(beside)
    certified = True
    for row in records.rows(records.run_folder(run), "replicates"):
        if row["arm"] == CONTROL:
            continue
        key: Any = row.get("synthesizer")
        artifact = store.find(key) if key and is_key(key) else None
        if artifact is None:
            return None
        certified = certified and artifact.facts["certified"]
        privacy = artifact.facts["privacy"]
        releases = Releases(privacy["sampling_rate"], privacy["steps"], privacy["groups"])
        spent.append((privacy["noise_multiplier"], releases))
    return epsilon_of_all(spent, delta) if certified else Spent(math.inf, "some are of a mechanism that proves none")
