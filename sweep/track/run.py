"""Run a track: prepare what each thing to forget needs, do every replicate, write the leaderboard."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sweep.driver.sweep import Shared, drive
from sweep.errors import UsageError, mistake_in
from sweep.jobs import Ended, View
from sweep.procedures import Execute, Task, Tasks, Tell
from sweep.procedures.making import make_all
from sweep.records import FAIL, read_json
from sweep.records.folder import write_json
from sweep.relearning.attacks import attack_plan
from sweep.relearning.experiments import experiment_of, pipeline
from sweep.relearning.member_checks import check_attack, check_judge
from sweep.relearning.prepare import of_facets
from sweep.relearning.watch import progress as progress_of
from sweep.terminal.lines import Progress
from sweep.track import leaderboard
from sweep.track.agenda import TrackAgenda
from sweep.track.plan import Entry, TrackPlan
from trainables.attacks import ATTACKS
from trainables.denoisers.recipes import Pretrained
from trainables.relearning import products
from trainables.relearning.experiment import Experiment, Samples
from trainables.relearning.origins import parts_of
from trainables.relearning.products import check_beside_base, imported_key, make_imported
from trainables.relearning.shared_products import (
    CLASSIFIER,
    MODELS,
    REFERENCE,
    SYNTHETIC,
    VAE,
    products_of,
    score_of,
)
from trainables.relearning.stages.score import scoring_code
from trainables.relearning.stages.trajectory import attack_code
from trainables.running.products import Product
from trainables.store import Store, machine
from trainables.unlearning import METHODS


class Told:
    """What the terminal hears of each replicate, and the leaderboard at the end."""

    name = "leaderboard"

    def __init__(self, run_dir: Path, agenda: TrackAgenda, tell: Tell) -> None:
        self.run_dir, self.agenda, self.tell = run_dir, agenda, tell

    def take(self, ended: Ended) -> None:
        row = ended.row
        figures = [f"{name} {row[f]:.3f}" for name, f in _SHOWN.items() if row.get(f) is not None]
        state = "FAILED" if row["state"] == FAIL else "done"
        cause = f"  {row['cause']}" if row["cause"] else ""
        self.tell(f"{self.agenda.ended}/{self.agenda.total} {ended.job.name} {state} {'  '.join(figures)}{cause}")

    def finish(self) -> None:
        self.tell("writing the leaderboard")
        leaderboard.write(self.run_dir)


_SHOWN = {
    "UA": "unlearning_accuracy",
    "retain": "retain_accuracy",
    "fid_delta": "fid_delta",
    "robustness": "robustness",
}


def run(plan: TrackPlan, progress: Progress) -> None:
    """Do the track in its run folder, going on from whatever is recorded there."""
    experiments = experiments_of(plan)

    def open_(execute: Execute) -> tuple[TrackAgenda, list[View]]:
        prepared = prepare_all(plan, list(experiments.values()), execute, progress.line)
        write_json(Path(plan.run_dir) / "prepared.json", prepared)
        agenda = TrackAgenda(plan, experiments, prepared["models"])
        progress.line(
            f"track: {agenda.total} replicates, {agenda.ended} of them recorded; {plan.place.workers} at a time"
        )
        return agenda, [Told(Path(plan.run_dir), agenda, progress.line)]

    each = list(experiments.values())
    graph, store = graph_of(plan, each), Store(each[0].store)
    shared = Shared(each[0].store, lambda waiting: progress_of(graph, store, waiting))
    drive(plan, open_, shared, progress)


def experiments_of(plan: TrackPlan) -> dict[str, Experiment]:
    """One experiment for each thing to forget, by its text."""
    artifacts, place, question = plan.run.artifacts, plan.place, plan.question
    experiments = {}
    for forget in plan.forgets:
        setup = plan.setup_of(forget)
        checkpointing = setup.checkpoints(question, place) if question else None
        experiments[forget] = experiment_of(setup, artifacts, place, checkpointing)
    return experiments


def refuse_other_code(plan: TrackPlan) -> None:
    """UsageError where what the track prepared, its scoring or an attack is of other code or libraries than ours.

    Its figures would mix with ours, under our code's name.
    """
    experiments = list(experiments_of(plan).values())
    _refuse_others(plan, identities(plan, experiments, _own_models(plan, experiments[0])))


def _refuse_others(plan: TrackPlan, ours: Mapping[str, Mapping[str, str]]) -> None:
    path = Path(plan.run_dir) / "prepared.json"
    recorded = read_json(path) if path.is_file() else {}
    others = [
        name
        for part, values in ours.items()
        for name, value in values.items()
        if recorded.get(part, {}).get(name, value) != value
    ]
    if others:
        raise UsageError(f"{path}: {', '.join(others)}: made by other code or libraries than these; start a new track")


def check_members(plan: TrackPlan) -> None:
    """UsageError where an entry's method or an attack refuses its settings, or a method cannot forget what it is to."""
    experiments = experiments_of(plan).values()
    for experiment in experiments:
        with mistake_in(f"--judge {experiment.judge}"):
            check_judge(experiment.judge, experiment.dataset, experiment.forgetting)
    for entry in plan.entries:
        with mistake_in(f"--model {entry.model}" if entry.model else f"--methods {entry.name}"):
            if entry.model:
                check_beside_base(next(iter(experiments)), _own_model(plan, entry, next(iter(experiments))))
                continue
            settings = METHODS[entry.method].configure(entry.settings)
            for experiment in experiments:
                METHODS[entry.method].check_forgets(experiment.forgetting, settings)
    for experiment in experiments:
        bench = products.Workbench(experiment)
        for attack in plan.suite:
            check_attack(bench, attack, f"attack {attack.name!r}, forget {experiment.forget}")


def _own_models(plan: TrackPlan, experiment: Experiment) -> dict[str, Pretrained]:
    """The pipelines of entries that are models of someone's own, by the entries' names."""
    return {entry.name: _own_model(plan, entry, experiment) for entry in plan.entries if entry.model}


def _own_model(plan: TrackPlan, entry: Entry, experiment: Experiment) -> Pretrained:
    """The pipeline of an entry; UsageError where its files have changed since the track was planned."""
    pretrained = pipeline("--model", entry.model, "", plan.run.setup, experiment)
    if pretrained.digest != entry.digest:
        raise UsageError(f"--model {entry.model}: its files have changed since this track began; start a new one")
    return pretrained


def able(names: Sequence[str], experiments: Mapping[str, Experiment]) -> list[str]:
    """Of these methods, those that can forget all of it."""
    return [name for name in names if all(METHODS[name].can_forget(e.forgetting) for e in experiments.values())]


OF_ANY_FORGET = (
    "base model",
    CLASSIFIER,
    VAE,
)  # products that know nothing of what is forgotten; so are a model's parts


def graph_of(plan: TrackPlan, experiments: Sequence[Experiment]) -> dict[str, Product]:
    """What replicates share: of each thing to forget its own, and once what knows nothing of that."""
    needs = sorted({need for entry in plan.entries if not entry.model for need in METHODS[entry.method].needs})
    of_any = (*OF_ANY_FORGET, *parts_of(experiments[0]))
    synthetic = any("synthetic" in ATTACKS[a.method].configure(a.settings).auxiliaries for a in plan.suite)
    graph: dict[str, Product] = {}
    for experiment in experiments:
        products = products_of(experiment, needs)
        if not synthetic:
            del products[SYNTHETIC]
        names = {name: name if name in of_any else f"{name} of {experiment.forget}" for name in products}
        for name, product in products.items():
            needed = tuple(names[need] for need in product.needs)
            graph[names[name]] = dataclasses.replace(product, name=names[name], needs=needed)
    return graph


def identities(
    plan: TrackPlan, experiments: Sequence[Experiment], own_models: Mapping[str, Pretrained]
) -> dict[str, dict[str, str]]:
    """By what ``prepared.json`` knows what figures are made with: the keys of models, the code of scoring and of attacks.

    Makes nothing.
    """
    first, kept = experiments[0], (*MODELS, CLASSIFIER, REFERENCE)
    graph = graph_of(plan, experiments)
    attacks = {f"attack {a.name}": attack_code(first, attack_plan(a)) for a in plan.suite}
    return {
        "keys": {name: product.key() for name, product in graph.items() if name.partition(" of ")[0] in kept},
        "code": {"scoring": scoring_code(first), **attacks},
        "models": {name: imported_key(first, pretrained) for name, pretrained in own_models.items()},
    }


def prepare_all(plan: TrackPlan, experiments: Sequence[Experiment], execute: Execute, tell: Tell) -> dict[str, Any]:
    """Find or make what replicates share; returns what ``prepared.json`` holds: the key of everything, and the machine."""
    start, first = time.monotonic(), experiments[0]
    graph = graph_of(plan, experiments)
    own_models, store = _own_models(plan, first), Store(first.store)
    known = identities(plan, experiments, own_models)
    _refuse_others(plan, known)  # once more, by the process that drives: others are refused from here on
    keys = known["keys"]
    missing = [name for name, key in keys.items() if store.find(key) is None]
    tell(f"prepare: {len(keys) - len(missing)} found; making {', '.join(missing) or 'nothing'}")
    if first.without_control:
        tell(f"prepare: no retrain control: {first.without_control}")
    made = make_all(graph, execute, store)
    samples = Samples(plan.run.setup.samples_forgotten, plan.run.setup.samples_per_retained)
    scores = [
        score_of(e, f"base of {e.forget} on seed {s}", "base", samples, s)
        for e in experiments
        for s in plan.replicate_seeds
    ]
    tasks: Tasks = {score.name: Task(score.make) for score in scores}
    execute(
        tasks | {f"model {name}": Task(make_imported, (first, pretrained)) for name, pretrained in own_models.items()}
    )
    facts = made[CLASSIFIER].facts
    return {
        **known,
        "shared": sorted({product.key() for product in graph.values()}),
        "without_control": first.without_control,
        "classifier_accuracy": facts["held_out_accuracy"],
        "classifier_held_out": facts["held_out_images"],
        **of_facets(first, facts),
        "machine": machine(),
        "seconds": {"prepare": time.monotonic() - start}
        | {name: a.facts["core_s"] for name, a in made.items() if "core_s" in a.facts},
    }
