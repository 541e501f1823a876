"""Run a track: prepare what each thing to forget needs, do every replicate, write the leaderboard."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sweep.driver.sweep import drive
from sweep.errors import UsageError
from sweep.jobs import Ended, Tell, View, attack_plan
from sweep.records import FAIL, read_json
from sweep.records.folder import write_json
from sweep.relearning import prepare as preparing
from sweep.relearning.prepare import Execute, Tasks
from sweep.relearning.watch import task_name
from sweep.terminal.lines import Progress
from sweep.track import leaderboard
from sweep.track.agenda import TrackAgenda
from sweep.track.plan import Entry, TrackPlan
from trainables.attacks import ATTACKS
from trainables.denoisers.recipes import Pretrained
from trainables.relearning import products
from trainables.relearning.experiment import Experiment, Samples
from trainables.relearning.products import check_beside_base, imported_key, make_imported
from trainables.relearning.stages.score import make_score, scoring_code
from trainables.relearning.stages.trajectory import attack_code
from trainables.store import Store, machine
from trainables.unlearning import METHODS


class Told:
    """What the terminal hears of each replicate, and the leaderboard at the end."""

    name = "leaderboard"

    def __init__(self, run_dir: Path, agenda: TrackAgenda, tell: Tell) -> None:
        self.run_dir, self.agenda, self.tell = run_dir, agenda, tell

    def take(self, ended: Ended) -> None:
        row = ended.row
        told = [f"{name} {row[f]:.3f}" for name, f in _TOLD.items() if row.get(f) is not None]
        state = "FAILED" if row["state"] == FAIL else "done"
        cause = f"  {row['cause']}" if row["cause"] else ""
        self.tell(f"{self.agenda.ended}/{self.agenda.total} {ended.job.name} {state} {'  '.join(told)}{cause}")

    def finish(self) -> None:
        self.tell("writing the leaderboard")
        leaderboard.write(self.run_dir)


_TOLD = {"UA": "unlearning_accuracy", "retain": "retain_accuracy", "fid_delta": "fid_delta", "robustness": "robustness"}


def run(plan: TrackPlan, progress: Progress) -> None:
    """Do the track in its run folder, going on from whatever is recorded there."""
    experiments = experiments_of(plan)

    def open_(execute: Execute) -> tuple[TrackAgenda, list[View]]:
        prepared = prepare_all(plan, list(experiments.values()), execute, progress.line)
        path = Path(plan.run_dir) / "prepared.json"
        if path.exists() and read_json(path)["keys"] != prepared["keys"]:
            raise UsageError(f"{path}: keys differ from this run's: code or libraries have changed; start a new track")
        write_json(path, prepared)
        agenda = TrackAgenda(plan, experiments, prepared["models"])
        progress.line(
            f"track: {agenda.total} replicates, {agenda.ended} of them recorded; {plan.place.workers} at a time"
        )
        return agenda, [Told(Path(plan.run_dir), agenda, progress.line)]

    drive(plan, open_, list(experiments.values()), progress)


def experiments_of(plan: TrackPlan) -> dict[str, Experiment]:
    """One experiment for each thing to forget, by its text."""
    return {forget: preparing.experiment_of(plan.of(forget)) for forget in plan.forgets}


def check_members(plan: TrackPlan) -> None:
    """UsageError where an entry's method or an attack refuses its settings, or a method cannot forget what it is to."""
    experiments = experiments_of(plan).values()
    for entry in plan.entries:
        with preparing.mistake_in(f"--model {entry.model}" if entry.model else f"--methods {entry.name}"):
            if entry.model:
                check_beside_base(next(iter(experiments)), _own_model(plan, entry, next(iter(experiments))))
                continue
            METHODS[entry.method].configure(entry.settings)
            for experiment in experiments:
                METHODS[entry.method].check_forgets(experiment.forgetting)
    for experiment in experiments:
        bench = products.Workbench(experiment)
        for attack in plan.suite:
            preparing.check_attack(bench, attack, f"attack {attack.name!r}, forget {experiment.forget}")


def _own_model(plan: TrackPlan, entry: Entry, experiment: Experiment) -> Pretrained:
    """The pipeline of an entry; UsageError where its files have changed since the track was planned."""
    found = preparing.pipeline("--model", entry.model, "", plan.common.setup, experiment)
    if found.digest != entry.digest:
        raise UsageError(f"--model {entry.model}: its files have changed since this track began; start a new one")
    return found


def able(names: Sequence[str], experiments: Mapping[str, Experiment]) -> list[str]:
    """Of these methods, those that can forget all of it."""
    kinds = {e.forgetting.kind for e in experiments.values()}
    return [name for name in names if kinds <= set(METHODS[name].forgets)]


def prepare_all(plan: TrackPlan, experiments: Sequence[Experiment], execute: Execute, tell: Tell) -> dict[str, Any]:
    """Find or make what replicates share; returns what ``prepared.json`` holds: the key of everything, and the machine."""
    start, first = time.monotonic(), experiments[0]
    keys = {"base model": products.model_key(first, "base"), "classifier": products.classifier_key(first)}
    controlled = [e for e in experiments if not e.without_control]
    keys |= {f"retrain control of {e.forget}": products.model_key(e, "retrain") for e in controlled}
    keys |= {f"reference statistics of {e.forget}": products.reference_key(e) for e in experiments}
    store = Store(first.store)
    missing = [name for name, key in keys.items() if store.find(key) is None]
    tell(f"prepare: {len(keys) - len(missing)} found; making {', '.join(missing) or 'nothing'}")

    def named(what: str, experiment: Experiment) -> str:
        return task_name(what, experiment, experiments)

    models: Tasks = {
        "classifier": (products.make_classifier, (first,)),
        "base model": (products.make_model, (first, "base")),
    }
    made = execute(models | {named("retrain control", e): (products.make_model, (e, "retrain")) for e in controlled})
    if first.without_control:
        tell(f"prepare: no retrain control: {first.without_control}")
    needs = sorted({need for entry in plan.entries if not entry.model for need in METHODS[entry.method].needs})
    once: Tasks = {named("reference statistics", e): (products.make_reference, (e,)) for e in experiments}
    once |= {named(f"shared {need}", e): (products.make_shared, (e, need)) for need in needs for e in experiments}
    execute(once)
    samples = Samples(plan.common.setup.samples_forgotten, plan.common.setup.samples_per_retained)
    base = keys["base model"]
    tasks: Tasks = {
        f"{named('base', e)} on seed {s}": (make_score, (e, base, samples, s))
        for e in experiments
        for s in plan.replicate_seeds
    }
    if any("synthetic" in ATTACKS[a.method].configure(a.settings).auxiliaries for a in plan.suite):
        tasks |= {named("synthetic set", e): (products.make_synthetic, (e,)) for e in experiments}
    own = {e.name: _own_model(plan, e, first) for e in plan.entries if e.model}
    tasks |= {f"model {name}": (make_imported, (first, pretrained)) for name, pretrained in own.items()}
    execute(tasks)
    facts = made["classifier"].facts
    code = {"scoring": scoring_code(first)}
    code |= {f"attack {a.name}": attack_code(first, attack_plan(a)) for a in plan.suite}
    return {
        "keys": keys,
        "code": code,
        "models": {name: imported_key(first, pretrained) for name, pretrained in own.items()},
        "without_control": first.without_control,
        "classifier_accuracy": facts["held_out_accuracy"],
        "classifier_held_out": facts["held_out_images"],
        "machine": machine(),
        "seconds": {"prepare": time.monotonic() - start} | {n: a.facts.get("core_s", 0.0) for n, a in made.items()},
    }
