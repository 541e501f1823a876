"""What relearning brings back of what a text-to-image model forgot: ``python -m benchmarks.relearning_text2image``.

Six methods, each as it is and within Meta-Unlearning, make the small text-to-image model that is trained here forget a concept or a
style, by the settings below, and are attacked for 200 steps, through the stages that every sweep's trials run through. `esd` is ESD
on all parameters with a retain term, which nobody published: the paper's ESD-x and ESD-u train a part, without one. A closed form
within Meta-Unlearning is trained after its edit, so it has a control: ``tuned(uce)`` has the steps, batches and rate of
``meta(uce)``, and of its loss what keeps D_ret and D_irt at θ alone. The retrain control θ* is attacked likewise, for what a
method shows beyond θ* on the same seed. Tables are printed, and every finished cell is
a row of ``benchmarks/relearning_text2image.json``, which is not run again, on whichever machine. Stages that were finished here are
found in the artifact store, so a trial that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.code_version import last_commit
from benchmarks.relearning_rows import KEPT, Key, Record, Row, read, tables
from benchmarks.text2image import experiment_on, prepare
from search_spaces.dimum_text2image import SMALL, attack, malicious
from sweep.errors import command, listen_to_signals
from sweep.procedures import START
from sweep.records.names import RETRAIN
from sweep.relearning.attacks import attack_plan
from sweep.relearning.columns import RELEARNED
from sweep.space import Attack, Settings
from trainables.relearning.experiment import AttackPlan, Experiment, Samples, TrialSpec

if TYPE_CHECKING:
    from trainables.relearning.workbench import Workbench

FILE = Path(__file__).with_suffix(".json")
DATA = "digits_styled"
TARGETS = ("concept:three", "style:sketch", "concept:eight")
SAMPLES = Samples(forgotten=120, per_retained=1)  # of every forgotten prompt in turn, and of each retained prompt
RUNGS = (0, 50, 100, 200)
# The start points that `search_spaces.meta_unlearning_text2image` had when this was first recorded; rows are of these for good.
TRAINED: Settings = {
    "learning_rate": 1e-3,
    "steps": 150,
    "trained_parameters": "all",
    "batch": 64,
    "ema_decay": 0.9,
    "forget_share": 0.2,
}
EDIT: Settings = {
    "ridge": 0.5,
    "erase_scale": 1.0,
    "preserve_scale": 1.0,
    "preserve": 0,
    "positions": "last",
    "target": "anchor",
}
ROUNDS: Settings = {"rounds": 3, "embedding_ridge": 0.1, "round_positions": "all", "around": "current"}
META: Settings = {"meta_weight": 0.03, "zeta": 0.1, "meta_inner_steps": 1, "meta_inner_learning_rate": 0.1}
AFTER_EDIT: Settings = {  # shorter and slower than what has to forget by training; κ keeps what is unrelated
    "learning_rate": 3e-4,
    "steps": 60,
    "trained_parameters": "all",
    "batch": 64,
    "meta_unrelated": 3.0,
}
OF_PLAIN: dict[str, Settings] = {
    "esd": TRAINED | {"retain_weight": 10.0},
    "uce": EDIT,
    "rece": EDIT | ROUNDS,
    "salun": TRAINED | {"alternative": "anchor", "lambda_ratio": 0.3},
    "concept_ablation": TRAINED | {"alternative": "anchor", "lambda_ratio": 0.3},
    "dimum": TRAINED | {"replacement": "anchor", "lambda_ratio": 0.3},
}
PLAIN = tuple(OF_PLAIN)
STARTS = OF_PLAIN | {
    f"meta({name})": settings | (AFTER_EDIT if name in ("uce", "rece") else {}) | META
    for name, settings in OF_PLAIN.items()
}
# Every loss of θ_FT counts up to a billionth, so none has a gradient; what is drawn, and from which θ, is as in meta(…).
WITHOUT_LOOKING_AHEAD: Settings = {"meta_cap": 1e-9}
TUNED = {
    f"tuned({name})": STARTS[f"meta({name})"] | WITHOUT_LOOKING_AHEAD
    for name, settings in OF_PLAIN.items()
    if settings.get("learning_rate") is None
}
METHODS = {name: STARTS[name] for plain in PLAIN for name in (plain, f"meta({plain})")} | TUNED
DIGITS = 12  # of hashes, which are there to be told apart
RATE = SMALL.attack_rates[1]
ATTACKS = {
    one.name: attack_plan(one)
    for one in (
        malicious(SMALL),
        attack(SMALL, "benign", "unrelated", RATE),
        attack(SMALL, "dimra", "retain", RATE),
        # Its own file's settings: five images of what was forgotten, under a new word, and 20 of the model's own.
        Attack("dreambooth-forgotten-1e-3", "dreambooth_forgotten", {"learning_rate": RATE}, counts=False),
    )
}


@dataclass(frozen=True)
class Trial:
    """A method, or the retrain control, on one seed, under the attacks whose cells are to be run."""

    experiment: Experiment
    method: str
    seed: int
    attacks: tuple[AttackPlan, ...]

    @property
    def spec(self) -> TrialSpec:
        control = self.method == RETRAIN
        return TrialSpec(
            trial_id="benchmark",
            replicate=0,
            experiment=self.experiment,
            method="none" if control else registered(self.method),
            settings={} if control else METHODS[self.method],
            seed=self.seed,
            attacks=self.attacks,
            rungs=RUNGS,
            samples=SAMPLES,
            attacked_per_retained=SAMPLES.per_retained,
            start="retrain" if control else "base",
        )

    def key(self, attack: AttackPlan) -> Key:
        """Which cell it has under an attack."""
        return self.experiment.forget, self.method, attack.name, self.seed

    def cells(self) -> dict[Key, str]:
        """The trial's cells, each with the key of its last rung, shortened: a hash of all settings and code behind its figures."""
        from trainables.relearning.stages.attack import attack_key
        from trainables.relearning.stages.unlearn import unlearned_key

        spec = self.spec
        model = unlearned_key(spec)
        return {self.key(plan): attack_key(spec, plan, RUNGS[-1], model)[:DIGITS] for plan in self.attacks}


def registered(name: str) -> str:
    """The method that a row's name stands for: ``meta(uce)``, by other settings, for ``tuned(uce)``."""
    return name.replace("tuned(", "meta(")


def settings_of(experiment: Experiment) -> dict[str, Any]:
    """What every row of a file depends on besides its method, attack, seed and what is forgotten."""
    from trainables.relearning.products.judge import judge_identity

    return {
        "data": experiment.data,
        "judge": judge_identity(experiment),
        "classifier": asdict(experiment.classifier),
        "base model": asdict(experiment.base) | {"seed": experiment.base_seed},
        "sampler": experiment.sampler,
        "samples": asdict(SAMPLES),
        "rungs": RUNGS,
        "features": experiment.features,
        "device": experiment.device_kind,
    }


def methods_as_values() -> dict[str, Any]:
    """The methods by name, with all of their settings."""
    from trainables.unlearning import METHODS as REGISTERED

    return {name: asdict(REGISTERED[registered(name)].configure(settings)) for name, settings in METHODS.items()}


def attacks_as_values() -> dict[str, Any]:
    """The attacks by name, with all of their settings."""
    from trainables.attacks import ATTACKS as REGISTERED

    settings = {name: REGISTERED[plan.method].configure(plan.settings) for name, plan in ATTACKS.items()}
    return {name: {"attack": ATTACKS[name].method} | asdict(settings[name]) for name in ATTACKS}


def run(trial: Trial) -> list[Row]:
    """The trial's cells; where it fails, those without figures have its cause."""
    from trainables.relearning.products import model_key
    from trainables.relearning.trial import Pipeline
    from trainables.training.failure import failure_report

    bench, seconds = bench_of(trial.experiment), dict.fromkeys(("unlearn", *ATTACKS), 0.0)
    curves: list[dict[str, Any]] = []
    try:
        pipeline = Pipeline(trial.spec, bench)
        while True:
            report = pipeline.step()
            curves += report.curves
            if report.stage and report.stage["kind"] in seconds:  # as they were when it was made, found now or not
                seconds[report.stage["kind"]] += bench.store.get(report.stage["key"]).facts["core_s"]
            if report.state:
                break
    except Exception:  # a method that diverges has rows of its own: what it ended with
        report = failure_report()
    base = bench.store.get(model_key(trial.experiment, "base")).sha256 or ""
    rows = []
    for key, artifact in trial.cells().items():
        attack = key[2]
        row = Row(
            *key,
            unlearn_core_s=round(seconds["unlearn"], 1),
            attack_core_s=round(seconds[attack], 1),
            base=base[:DIGITS],
            artifact=artifact,
            commit=last_commit("trainables", "search_spaces"),
        )
        figures = figures_of(curves, attack)
        rows.append(replace(row, **figures) if figures else replace(row, cause=report.cause or "ended without figures"))
    return rows


def figures_of(curves: Sequence[Mapping[str, Any]], attack: str) -> dict[str, Any]:
    """A row's figures from the curves of a trial; none where a rung of the attack is missing."""
    at = {(c["metric"], c["attack_step"]): c for c in curves if c["attack"] == (attack if c["attack_step"] else START)}
    if any((RELEARNED, step) not in at for step in RUNGS):
        return {}
    ends = {name: [at.get((name, step)) for step in (0, RUNGS[-1])] for name in KEPT}
    return {
        "relearned": tuple(at[RELEARNED, step]["value"] for step in RUNGS),
        "kept": {name: tuple(c["value"] for c in both) for name, both in ends.items() if None not in both},
        "samples": {"forgotten": at[RELEARNED, 0]["samples"], "retained": at[KEPT[0], 0]["samples"]},
    }


@cache
def bench_of(experiment: Experiment) -> Workbench:
    """What a process keeps in memory between trials that forget the same."""
    from trainables.relearning.workbench import Workbench

    return Workbench(experiment)


def trials_of(
    experiments: Sequence[Experiment], methods: Sequence[str], attacks: Sequence[str], seeds: int
) -> list[Trial]:
    """All trials in the order in which they are run: θ* first, then each method as it is, within Meta-Unlearning, and tuned."""
    forms = [name for method in methods for name in (method, f"meta({method})", f"tuned({method})")]
    names = [RETRAIN, *(name for name in forms if name in METHODS)]
    plans = tuple(ATTACKS[name] for name in attacks)
    return [
        Trial(experiment, name, seed, plans)
        for experiment in experiments
        for seed in range(1, seeds + 1)
        for name in names
    ]


def record_in(path: Path, experiment: Experiment) -> Record:
    """The file's record, or a new one. UsageError where its rows were recorded by other settings."""
    facts = settings_of(experiment), methods_as_values(), attacks_as_values()
    return read(path).going_on(*facts) if path.exists() else Record(path, *facts)


def missing(record: Record, trials: Sequence[Trial]) -> list[Trial]:
    """The trials whose cells the record lacks, each under the attacks that it lacks."""
    lacking = []
    for trial in trials:
        attacks = tuple(plan for plan in trial.attacks if trial.key(plan) not in record.done)
        if attacks:
            lacking.append(replace(trial, attacks=attacks))
    return lacking


def record_all(record: Record, trials: Sequence[Trial], workers: int) -> None:
    """Run what the record lacks, one thing to forget after the other and seed by seed, and write each trial as it ends."""
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            for experiment in dict.fromkeys(trial.experiment for trial in trials):
                own = [trial for trial in trials if trial.experiment == experiment]
                methods = [trial.spec.method for trial in own if trial.method != RETRAIN]
                prepared = pool.submit(prepare, experiment, sorted({t.seed for t in own}), SAMPLES, methods).result()
                print(f"{experiment.forget}: {json.dumps(prepared)}", file=sys.stderr, flush=True)
                waiting = [pool.submit(run, trial) for trial in own]
                for number, done in enumerate(as_completed(waiting), 1):
                    record.add(done.result())
                    print(f"{number}/{len(own)} {said_of(done.result())}", file=sys.stderr, flush=True)
        except BaseException:  # what is under way would be waited for, and what waits would be run
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def said_of(rows: Sequence[Row]) -> str:
    """What became of a trial, in a line."""
    first = rows[0]
    shown = [
        f"{row.attack} {row.cause or ' '.join(f'{share:.2f}' for share in row.relearned)} ({row.attack_core_s:.0f} s)"
        for row in rows
    ]
    return f"{first.target} {first.method} seed {first.seed} ({first.unlearn_core_s:.0f} core-s): {'; '.join(shown)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0] + ".")
    parser.add_argument("--file", type=Path, default=FILE, help="the rows (default: %(default)s)")
    parser.add_argument("--tables", action="store_true", help="print the tables of what is recorded, and run nothing")
    parser.add_argument("--artifacts", default="runs/artifacts", help="artifact store (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds 1 … N (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each (default: %(default)s)")
    parser.add_argument("--mix-code", action="store_true", help="go on with a file whose rows other code made")
    for name, known, what in (
        ("--targets", TARGETS, "what is forgotten, one after the other"),
        ("--methods", PLAIN, "each as it is, within meta(…), and tuned(…) where there is that control"),
        ("--attacks", tuple(ATTACKS), "attacks"),
    ):
        shown = f"{what} (default: {' '.join(known)})"
        parser.add_argument(name, nargs="+", default=known, choices=known, metavar="NAME", help=shown)
    args = parser.parse_args()
    if args.tables:
        print("\n".join(tables(read(args.file))), flush=True)
        return 0
    os.environ["OMP_NUM_THREADS"] = "1"
    experiments = [experiment_on(os.path.abspath(args.artifacts), DATA, target) for target in args.targets]
    trials = trials_of(experiments, args.methods, args.attacks, args.seeds)
    record = record_in(args.file, experiments[0])
    if not args.mix_code:
        record.check_code({key: artifact for trial in trials for key, artifact in trial.cells().items()})
    listen_to_signals()
    record_all(record, missing(record, trials), args.workers)
    print("\n".join(tables(record)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(command(main)())
