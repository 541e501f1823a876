"""Save the synthetic rows of a replicate as what the real ones are, with a card that says what their ε covers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from sweep import records
from sweep.errors import UsageError
from sweep.federated.card import card
from sweep.federated.setup import Setup
from sweep.plan.plan import Plan
from sweep.procedures import Row
from sweep.reading.sweep import read_sweep
from trainables.federated.accounting import Releases, Spent, epsilon_of_all
from trainables.federated.export import save_rows
from trainables.store import Artifact, CorruptArtifact, MissingArtifact, Store, is_key


def export(run: str, replicate: Row, folder: Path, artifacts: str = "") -> Path:
    """Save them in a new folder, which is returned. UsageError where there are none, or they cannot be saved there.

    `artifacts`: where the run's artifact store lies now, if it was moved.
    """
    key, trial_id = _key(run, replicate, "synthetic"), replicate["trial_id"]
    where = records.run_folder(run) / "plan.json"
    plan = Plan.recorded(records.read_json(where), str(where))
    setup, store = plan.setup, Store(artifacts or plan.artifacts)
    assert isinstance(setup, Setup)  # whose run this is, its procedure was asked by
    try:
        rows = torch.from_numpy(_artifact(store, key, run, trial_id).tensors()["rows"].copy())
        made = _artifact(store, _key(run, replicate, "synthesizer"), run, trial_id).facts
        sweep = read_sweep(run)
        together = _together(run, store, made["privacy"]["delta"]) if made["certified"] else None
        return save_rows(rows, setup.source, folder, card(sweep, replicate, made, together))
    except (ValueError, CorruptArtifact, MissingArtifact) as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error.strerror}") from error


def _key(run: str, replicate: Row, column: str) -> str:
    """The artifact key that a replicate's row holds; UsageError where it has none."""
    key, trial_id = replicate.get(column), replicate["trial_id"]
    if not key:
        why = "its rows are private ones" if trial_id == "control-real" else f"it is {replicate['state']}"
        raise UsageError(f"{run}: {trial_id} has no {column} that could be saved: {why}")
    if not is_key(key):
        raise UsageError(f"{run}: {trial_id}: its {column} is no artifact key; the record was not written by a sweep")
    return str(key)


def _artifact(store: Store, key: str, run: str, trial_id: str) -> Artifact:
    artifact = store.find(key)
    if artifact is None:
        raise UsageError(
            f"{store.name}: {trial_id}'s artifact {key[:12]} is no longer there: say where the store lies now with "
            f"--artifacts DIR, or make it again with --resume {run} --confirm {trial_id}"
        )
    return artifact


def _together(run: str, store: Store, delta: float) -> Spent | None:
    """ε of every training of the run under the same mechanism together, controls left out; None where one is no longer known."""
    spent: list[tuple[float, Releases]] = []
    for row in records.rows(records.run_folder(run), "replicates"):
        key: Any = row.get("synthesizer")
        if row["arm"] == "control" or not key:
            continue
        artifact = store.find(key) if is_key(key) else None
        if artifact is None:
            return None
        privacy = artifact.facts["privacy"]
        releases = Releases(privacy["sampling_rate"], privacy["steps"], privacy["groups"])
        spent.append((privacy["noise_multiplier"], releases))
    return epsilon_of_all(spent, delta) if spent else None
