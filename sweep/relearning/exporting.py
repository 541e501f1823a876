"""Save the unlearned model of a replicate as a diffusers pipeline, its card beside it."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from sweep import records
from sweep.errors import UsageError
from sweep.plan.members import FOLDER
from sweep.plan.plan import Plan
from sweep.procedures import Row
from sweep.reading.sweep import read_sweep
from sweep.relearning.experiments import experiment_of
from sweep.relearning.model_card import measured, metadata
from sweep.relearning.setup import Setup
from trainables.data import DATASETS
from trainables.relearning.export import save_pipeline
from trainables.store import CorruptArtifact, MissingArtifact, Store, is_key


def export(run: str, replicate: Row, folder: Path, artifacts: str = "") -> Path:
    """Save it in a new folder, which is returned. UsageError where there is no such model, or it cannot be saved there.

    `artifacts`: where the run's artifact store lies now, if it was moved.
    """
    key, trial_id = unlearned_key(run, replicate), replicate["trial_id"]
    where = records.run_folder(run) / "plan.json"
    plan = Plan.recorded(records.read_json(where), str(where))
    if artifacts:
        plan = plan.but(artifacts=artifacts)
    setup = plan.setup
    assert isinstance(setup, Setup)  # whose run this is, its procedure was asked by
    _check_data(setup.data, Path(run))
    artifact = Store(plan.artifacts).find(key)
    if artifact is None:
        raise UsageError(
            f"{plan.artifacts}: the unlearned model {key[:12]} is no longer there: "
            + (
                f"the run keeps its front; --resume {run} --confirm {trial_id} makes it on fresh seeds"
                if plan.keep == "front"
                else "say where the store lies now with --artifacts DIR, or run the sweep with --resume"
            )
        )
    sweep = read_sweep(run)
    trial = sweep.member(trial_id)

    def about(pipeline: str) -> tuple[str, str]:
        return metadata(sweep, trial, replicate["replicate"], pipeline), measured(sweep, trial, replicate["replicate"])

    setup = replace(setup, judge="", judge_digest="")  # nothing is judged any more, and its folder may be gone
    try:
        return save_pipeline(artifact, experiment_of(setup, plan.artifacts, plan.place), folder, about)
    except (ValueError, CorruptArtifact, MissingArtifact) as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error.strerror}") from error


def _check_data(source: str, run: Path) -> None:
    """UsageError where the data set is one that the run brought along: that is code, which runs only where it is named."""
    data = source.partition(":")[0]
    if data not in DATASETS.names():
        raise UsageError(
            f"--data {data}: is none of those that are shipped; if it is the run's own, look at that code, then add "
            f"--members {shlex.quote(str(run / FOLDER))}"
        )


def unlearned_key(run: str, replicate: Row) -> str:
    """The artifact key of a replicate's unlearned model; UsageError where it has none."""
    key, trial_id = replicate.get("unlearned_model"), replicate["trial_id"]
    if not key:
        raise UsageError(f"{run}: {trial_id} has no unlearned model: it is {replicate['state']}")
    if not is_key(key):
        raise UsageError(
            f"{run}: {trial_id}: its unlearned_model is no artifact key; the record was not written by a sweep"
        )
    return str(key)
