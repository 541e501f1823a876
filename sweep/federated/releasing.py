"""Train a trial's synthesizer once more for a release, and save its rows with a card that says what they and the search cost."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from sweep import records
from sweep.errors import UsageError, called
from sweep.federated.card import Cost, Measured, release_card, rounded_up
from sweep.federated.exporting import artifact_of, key_of, spent_together
from sweep.federated.preparation import Preparation
from sweep.federated.question import CERTIFIED
from sweep.federated.setup import Setup
from sweep.plan import data_files, flags
from sweep.plan.place import memory_here
from sweep.plan.plan import Plan
from sweep.procedures import Release, Row, Tell
from sweep.reading.sweep import Sweep, read_sweep
from sweep.records import COMPLETE
from sweep.records.claim import check_takes_files
from sweep.space import CONTROL
from trainables.diffusion import Diverged
from trainables.federated.accounting import Releases
from trainables.federated.experiment import TrialSpec
from trainables.federated.export import save_card, save_rows
from trainables.federated.release import begin, measured, released_rows
from trainables.federated.training import Training
from trainables.store import CorruptArtifact, MissingArtifact, Store, StoreUnusable

_COPIES = 3  # of the synthetic rows' float32 numbers, while they are made
_MEASURED_COPIES = 5  # of those that are measured, in float64, beside one of all rows
_UNENDED = "measuring them did not come to its end"
_UNREAD = "the run's store could not be read"


def release(run: str, replicate: Row, folder: Path, asked: Release, tell: Tell) -> Path:
    """Train it, tell how far that is, save the rows in a new folder, which is returned, and measure them.

    UsageError where the trial's mechanism proves no ε, its private rows or the store cannot be had, or rows cannot be saved there.
    """
    _check_trial(run, replicate)
    plan = _plan(run, asked)
    check_takes_files(folder.absolute().parent, "-o")
    where = f"{run}: {replicate['trial_id']}"
    try:
        spec = _spec(run, replicate, plan, asked.device)
        tell(f"reading {plan.setup.data}")
        sweep, private = read_sweep(run), _private_rows(plan.setup)
        try:
            training = begin(spec, private)
        except ValueError as error:  # of the trial's settings on these rows
            raise UsageError(f"{where}: {error}") from error
        cost = _cost(sweep, training, spec)
        tell(_beginning(spec, training, cost))
        rows = released_rows(training, spec, tell)
    except Diverged as error:
        raise UsageError(f"{where}: {error}, and nothing was saved; release another trial") from error
    except (CorruptArtifact, MissingArtifact, StoreUnusable) as error:
        raise UsageError(str(error)) from error
    return _saved(sweep, spec, cost, rows, folder, tell)


def _saved(sweep: Sweep, spec: TrialSpec, cost: Cost, rows: torch.Tensor, folder: Path, tell: Tell) -> Path:
    """Save the rows, whose ε is spent, before anything else is looked at; then say on their card what is measured of them."""
    form = spec.experiment.source.schema or spec.experiment.source.shape
    assert form  # rows are a table's or images'
    try:
        save_rows(rows, form, folder, release_card(sweep, spec, cost, Measured({}, why_not=_UNENDED)))
    except ValueError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error.strerror}") from error
    found = _figures(spec, rows[: sweep.plan["samples"]], tell)
    try:
        save_card(folder, release_card(sweep, spec, cost, found))
    except OSError as error:
        raise UsageError(f"{folder}: its rows are saved, its card cannot be written: {error.strerror}") from error
    return folder


def _figures(spec: TrialSpec, rows: torch.Tensor, tell: Tell) -> Measured:
    """What is measured of rows (n, d), as many as a trial has: of more, a distance is smaller for that alone."""
    try:
        return Measured(measured(spec, rows), len(rows))
    except (CorruptArtifact, MissingArtifact, StoreUnusable) as error:  # a card is given away: it names no place
        tell(f"not measured, as the card says: {error}")
        return Measured({}, why_not=_UNREAD)


def _check_trial(run: str, replicate: Row) -> None:
    """UsageError unless it was searched, ended well, and is of a mechanism whose ε is proven."""
    where, state = f"{run}: {replicate['trial_id']}", replicate["state"]
    if replicate["arm"] == CONTROL:
        raise UsageError(f"{where} is a control, which has no mechanism; name a trial of the search")
    if state != COMPLETE:
        raise UsageError(f"{where} is {state}; name a trial that is {COMPLETE}")
    if replicate["mechanism"] not in CERTIFIED:
        command = f"{called('sweep.export')} {shlex.quote(run)} {replicate['trial_id']} -o DIR"
        raise UsageError(
            f"{where}: mechanism {replicate['mechanism']!r} proves no ε that a release could keep; save the trial's own rows: "
            f"{command}"
        )


def _plan(run: str, asked: Release) -> Plan[Setup]:
    """The run's, for so many rows, with its files and its store where they lie now. UsageError where the files are others."""
    where = records.run_folder(run) / "plan.json"
    plan: Plan[Any] = Plan.recorded(records.read_json(where), str(where))
    of_a_trial = plan.setup.samples
    changed = {"samples": asked.samples, "artifacts": asked.artifacts or None, "data_folder": asked.data_folder or None}
    plan = plan.but(**{name: value for name, value in changed.items() if value is not None})
    setup = plan.setup
    assert isinstance(setup, Setup)  # whose run this is, its procedure was asked by
    flags.check(setup, only=("samples",))
    _check_room(setup, of_a_trial)
    return plan.but(data_fingerprint=setup.fingerprinted().data_fingerprint)


def _check_room(setup: Setup, of_a_trial: int) -> None:
    """UsageError where so many rows, or measuring as many as a trial has, do not fit in memory: before one is trained for."""
    made = setup.samples * torch.float32.itemsize
    measuring = min(setup.samples, of_a_trial) * torch.float64.itemsize * _MEASURED_COPIES
    needed = setup.source.parties.width * max(made * _COPIES, made + measuring)
    there = memory_here()
    if needed > there:
        raise UsageError(
            f"--samples {setup.samples}: so many rows take {needed / 1e9:.3g} GB of this machine's {there / 1e9:.3g}; ask for fewer"
        )


def _spec(run: str, replicate: Row, plan: Plan[Setup], device: str) -> TrialSpec:
    """The trial as it was asked for, by its synthesizer's own words."""
    trial_id = replicate["trial_id"]
    made = artifact_of(Store(plan.artifacts), key_of(run, replicate, "synthesizer"), run, trial_id).facts
    experiment = Preparation(plan).experiment
    experiment = replace(experiment, device_name=_device(device or experiment.device_name))
    seed, samples = replicate["seed"], plan.setup.samples
    return TrialSpec(trial_id, 0, experiment, made["synthesizer"], made["settings"], seed, samples)


def _device(name: str) -> str:
    """The device of this name; UsageError where there is none such here."""
    if name == "cpu":
        return name
    named = re.fullmatch(r"cuda(?::(\d{1,3}))?", name)
    if not named:
        raise UsageError(f"--device {name}: is none of cpu, cuda, cuda:1, …")
    if int(named[1] or 0) >= torch.cuda.device_count():
        raise UsageError(f"--device {name}: there is no such GPU here; name another, or --device cpu")
    return name


def _private_rows(setup: Setup) -> torch.Tensor:
    """(N, d) all that there are."""
    try:
        return setup.source.read()["private"].rows
    except (ValueError, OSError) as error:
        raise data_files.cannot_be_had(error) from error


def _cost(sweep: Sweep, training: Training, spec: TrialSpec) -> Cost:
    """What the training will have cost, by itself and with the search's, all of them on the same rows."""
    privacy = training.privacy(spec.experiment.delta_of(training.rows))
    releases = privacy.noise_multiplier, Releases(privacy.sampling_rate, privacy.steps, privacy.groups)
    store, run = Store(spec.experiment.store), str(sweep.run)
    return Cost(
        training.rows,
        privacy,
        sum(row["arm"] != CONTROL for row in sweep.replicates),
        spent_together(run, store, privacy.delta),
        spent_together(run, store, privacy.delta, [releases]),
    )


def _beginning(spec: TrialSpec, training: Training, cost: Cost) -> str:
    """What begins, and its ε."""
    together = (
        f"{rounded_up(cost.together.epsilon)} with the search's" if cost.together else "the search's is not known"
    )
    spent = f"ε {rounded_up(cost.epsilon)} at δ {cost.privacy.delta:.3g}, {together}"
    return f"training {spec.method} for {training.steps} steps on {cost.private_rows} private rows: {spent}"
