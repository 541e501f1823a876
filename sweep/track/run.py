"""Run a track: prepare what each thing to forget needs, do every replicate, write the leaderboard."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sweep import prepare as preparing
from sweep.errors import UsageError
from sweep.jobs import Ended, attack_plan
from sweep.plan import write_json
from sweep.prepare import Execute, Task
from sweep.progress import Progress
from sweep.records import FAIL, read_json
from sweep.run import drive
from sweep.track import leaderboard
from sweep.track.agenda import TrackAgenda
from sweep.track.plan import TrackPlan
from sweep.watch import task_name
from trainables.attacks import ATTACKS
from trainables.experiment import Experiment, Samples
from trainables.provenance import machine
from trainables.stages import prepare
from trainables.stages.attack import attack_code
from trainables.stages.score import make_score, scoring_code
from trainables.store import Store
from trainables.unlearning import METHODS


class Views:
    """What the terminal hears of each replicate, and the leaderboard at the end."""

    def __init__(self, plan: TrackPlan, progress: Progress) -> None:
        self.plan, self.progress = plan, progress

    def take(self, ended: Ended, agenda: TrackAgenda) -> None:
        row = ended.row
        told = [f"{name} {row[f]:.3f}" for name, f in _TOLD.items() if row.get(f) is not None]
        state = "FAILED" if row["state"] == FAIL else "done"
        cause = f"  {row['cause']}" if row["cause"] else ""
        self.progress.line(f"{agenda.ended}/{agenda.total} {ended.job.name} {state} {'  '.join(told)}{cause}")

    def finish(self) -> None:
        self.progress.line("writing the leaderboard")
        leaderboard.write(Path(self.plan.run_dir))


_TOLD = {"UA": "unlearning_accuracy", "retain": "retain_accuracy", "fid_delta": "fid_delta", "robustness": "robustness"}


def run(plan: TrackPlan, progress: Progress) -> Views:
    """Do the track in its run folder, going on from whatever is recorded there."""
    experiments = experiments_of(plan)

    def open_(execute: Execute) -> tuple[TrackAgenda, Views]:
        prepared = prepare_all(plan, list(experiments.values()), execute, progress)
        path = Path(plan.run_dir) / "prepared.json"
        if path.exists() and read_json(path)["keys"] != prepared["keys"]:
            raise UsageError(f"{path}: keys differ from this run's: code or libraries have changed; start a new track")
        write_json(path, prepared)
        agenda = TrackAgenda(plan, experiments)
        progress.line(f"track: {agenda.total} replicates, {agenda.ended} of them recorded; {plan.workers} at a time")
        return agenda, Views(plan, progress)

    return drive(plan, open_, list(experiments.values()), progress)


def experiments_of(plan: TrackPlan) -> dict[str, Experiment]:
    """One experiment for each thing to forget, by its text."""
    return {forget: preparing.experiment_of(plan.of(forget)) for forget in plan.forgets}


def check_members(plan: TrackPlan) -> None:
    """UsageError where an entry's method or an attack refuses its settings, or a method cannot forget what it is to."""
    for entry in plan.entries:
        with preparing.mistake_in(f"--methods {entry.name}"):
            METHODS[entry.method].configure(entry.settings)
            for experiment in experiments_of(plan).values():
                METHODS[entry.method].check_forgets(experiment.forgetting)
    for experiment in experiments_of(plan).values():
        bench = prepare.Workbench(experiment)
        for attack in plan.suite:
            preparing.check_attack(bench, attack, f"attack {attack.name!r}, forget {experiment.forget}")


def able(names: Sequence[str], experiments: Mapping[str, Experiment]) -> list[str]:
    """Of these methods, those that can forget all of it."""
    kinds = {e.forgetting.kind for e in experiments.values()}
    return [name for name in names if kinds <= set(METHODS[name].forgets)]


def prepare_all(
    plan: TrackPlan, experiments: Sequence[Experiment], execute: Execute, progress: Progress
) -> dict[str, Any]:
    """Find or make what replicates share; returns what ``prepared.json`` holds: the key of everything, and the machine."""
    start, first = time.monotonic(), experiments[0]
    keys = {"base model": prepare.model_key(first, "base"), "classifier": prepare.classifier_key(first)}
    keys |= {f"retrain control of {e.forget}": prepare.model_key(e, "retrain") for e in experiments}
    keys |= {f"reference statistics of {e.forget}": prepare.reference_key(e) for e in experiments}
    store = Store(first.store)
    missing = [name for name, key in keys.items() if store.find(key) is None]
    progress.line(f"prepare: {len(keys) - len(missing)} found; making {', '.join(missing) or 'nothing'}")

    def named(what: str, experiment: Experiment) -> str:
        return task_name(what, experiment, experiments)

    models: dict[str, tuple[Task, tuple[Any, ...]]] = {
        "classifier": (prepare.make_classifier, (first,)),
        "base model": (prepare.make_model, (first, "base")),
    }
    made = execute(models | {named("retrain control", e): (prepare.make_model, (e, "retrain")) for e in experiments})
    needs = sorted({need for entry in plan.entries for need in METHODS[entry.method].needs})
    once: dict[str, tuple[Task, tuple[Any, ...]]] = {
        named("reference statistics", e): (prepare.make_reference, (e,)) for e in experiments
    }
    once |= {named(f"shared {need}", e): (prepare.make_shared, (e, need)) for need in needs for e in experiments}
    execute(once)
    samples = Samples(plan.common.samples_forgotten, plan.common.samples_per_retained)
    base = keys["base model"]
    tasks: dict[str, tuple[Task, tuple[Any, ...]]] = {
        f"{named('base', e)} on seed {s}": (make_score, (e, base, samples, s))
        for e in experiments
        for s in plan.replicate_seeds
    }
    if any("synthetic" in ATTACKS[a.method].configure(a.settings).auxiliaries for a in plan.suite):
        tasks |= {named("synthetic set", e): (prepare.make_synthetic, (e,)) for e in experiments}
    execute(tasks)
    facts = made["classifier"].facts
    code = {"scoring": scoring_code(first)}
    code |= {f"attack {a.name}": attack_code(first, attack_plan(a)) for a in plan.suite}
    return {
        "keys": keys,
        "code": code,
        "classifier_accuracy": facts["held_out_accuracy"],
        "classifier_held_out": facts["held_out_images"],
        "machine": machine(),
        "seconds": {"prepare": time.monotonic() - start} | {n: a.facts.get("core_s", 0.0) for n, a in made.items()},
    }
