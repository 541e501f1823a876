"""What of a search's core time is training, sampling and scoring: ``python -m benchmarks.orchestration FOLDER``.

The same trials, whole (no gate ends one), on a warm artifact store and one slot, by three programs in turn:

- ``optuna``: an ask-and-tell loop in one process, with the project's own pipeline; no records, no Ray: the limit of a core.
- ``tune``: a plain function trainable of Ray Tune with its OptunaSearch and its own loggers, in processes that are used again.
- ``sweep``: this project's driver on Ray, with its sampler, records, TensorBoard and journal.

Each run is a process of its own with a copy of the store. Told are elapsed time and the processor time of all of its processes,
Ray's own included, from when it knew all to start its first trial until its last had ended, and what of either was training,
sampling and scoring.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from sweep.records.folder import write_json

ACTIVITIES = ("training", "sampling", "scoring")
WORST = {"robustness": 0.0, "fid_delta": 1e6}  # told to a plain searcher of a trial that has no such figure
TICKS = os.sysconf("SC_CLK_TCK")

Row = dict[str, Any]


def processor_s() -> float:
    """Processor seconds of this process and of all that come from it, those that have ended included."""
    parents, times = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile, and counts with its parent
        parents[int(folder.name)] = int(words[1])
        times[int(folder.name)] = sum(map(int, words[11:15]))
    family = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(times[pid] for pid in family) / TICKS


@dataclass
class Measured:
    """When a search began and each of its trials ended, what had been spent by then, and the stages that it ran."""

    marks: list[tuple[float, float]] = field(default_factory=list)  # seconds since 1970, processor seconds
    stages: list[Row] = field(default_factory=list)

    def mark(self) -> None:
        self.marks.append((time.time(), processor_s()))


def plan_in(args: argparse.Namespace, run: Path, artifacts: Path) -> Any:
    """The plan of the question's own arms: every trial goes to its end, on one slot."""
    from sweep import launch
    from sweep.plan.asked import plan_of

    options = ["--space", args.space, "--trials", str(args.trials), "--baseline-trials", "0", "--sampler", "qmc",
               "--workers", "1", "--base-steps", str(args.base_steps), "--fid-budget", "1000", "--gate-margin", "1000",
               "--run-dir", str(run), "--artifacts", str(artifacts)]  # fmt: skip
    return plan_of(launch.parser().parse_args(options), launch.parser())


def question(plan: Any) -> Any:
    from sweep.space.shared import still_shared

    space = plan.question()
    arms = tuple(a for a in space.arms if not a.baseline)
    return replace(space, arms=arms, shared=still_shared([a.parameters for a in arms], space.shared))


def prepare(args: argparse.Namespace) -> None:
    """Make what all trials share, and write down the specs of the search's trials, controls first."""
    from sweep import procedures
    from sweep.driver.here import here
    from sweep.plan.folders import create_run_dir

    plan = plan_in(args, args.folder / "plan", args.folder / "artifacts")
    space = question(plan)
    create_run_dir(plan)
    preparing = procedures.named(space.procedure).preparing(plan)
    preparing.begin()
    prepared = preparing.prepare(space, here, print)
    write_json(args.folder / "prepared.json", prepared)
    write_json(Path(plan.run_dir) / "prepared.json", prepared)
    agenda = search_alone(plan, space, prepared)
    specs = [job.spec.to_json() for job in iter(agenda.next_job, None)]
    agenda.close()
    write_json(args.folder / "specs.json", specs)


def search_alone(plan: Any, space: Any, prepared: Row) -> Any:
    """An agenda that ends with its search."""
    from sweep import procedures
    from sweep.driver.agenda import Agenda

    class SearchAlone(Agenda):
        def next_job(self) -> Any:
            return super().next_job() if self.waiting else None

        @property
        def finished(self) -> bool:
            return not self.waiting and not self.running

    bounded = space.bounded(prepared)
    return SearchAlone(
        plan, bounded, procedures.named(space.procedure).preparing(plan).specs(bounded, prepared), prepared
    )


@cache
def bench_of() -> list[Any]:
    """What this process keeps from trial to trial."""
    return [None]


def run_trial(spec: Row) -> tuple[Row, list[Row]]:
    """The figures and the stages of a trial, run in this process."""
    from trainables.running.procedures import pipeline_of

    bench = bench_of()
    pipeline = pipeline_of(spec, bench[0])
    bench[0], stages = pipeline.bench, []
    while True:
        report = pipeline.step()
        stages += [report.stage] if report.stage else []
        if report.state is not None:
            return report.figures, stages


def by_optuna(specs: list[Row], measured: Measured) -> None:
    """Ask, run, tell."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=["maximize", "minimize"])
    for number in range(len(specs)):
        study.enqueue_trial({"trial": number})
    measured.mark()
    for _ in specs:
        trial = study.ask()
        figures, stages = run_trial(specs[trial.suggest_categorical("trial", range(len(specs)))])
        study.tell(trial, [objective(figures, name) for name in WORST])
        measured.stages += stages
        measured.mark()


def objective(figures: Mapping[str, Any], name: str) -> float:
    return float(WORST[name] if figures.get(name) is None else figures[name])


def by_tune(specs: list[Row], measured: Measured, folder: Path) -> None:
    """As its documentation has it: a function, a space, a searcher."""
    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    def trainable(config: Row) -> None:
        from benchmarks.orchestration import run_trial

        figures, stages = run_trial(specs[config["trial"]])
        tune.report({name: objective(figures, name) for name in WORST} | {"stages": json.dumps(stages)})

    class Ends(tune.Callback):  # type: ignore[misc]
        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            measured.mark()

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    searcher = OptunaSearch(
        {"trial": tune.choice(list(range(len(specs))))},
        metric=list(WORST),
        mode=["max", "min"],
        points_to_evaluate=[{"trial": number} for number in range(len(specs))],
    )
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        tune_config=tune.TuneConfig(
            search_alg=searcher, num_samples=len(specs), max_concurrent_trials=1, reuse_actors=True
        ),
        run_config=tune.RunConfig(name="tune", storage_path=str(folder), callbacks=[Ends()], verbose=0),
    )
    measured.mark()
    results = tuner.fit()
    if results.errors:
        raise results.errors[0]
    measured.stages = [stage for result in results for stage in json.loads(result.metrics["stages"])]
    ray.shutdown()


def by_sweep(args: argparse.Namespace, measured: Measured, folder: Path) -> None:
    """As `sweep.launch` drives it, from when all is prepared."""
    from sweep import records
    from sweep.driver import sweep
    from sweep.driver.views import views_of
    from sweep.plan.folders import create_run_dir
    from sweep.terminal.lines import Progress

    class Ends:
        name = "ends"

        def take(self, ended: Any) -> None:
            measured.mark()

        def finish(self) -> None:
            """The search has ended before."""

    plan = plan_in(args, folder / "run", folder / "artifacts")
    create_run_dir(plan)
    prepared = records.read_json(args.folder / "prepared.json")
    write_json(Path(plan.run_dir) / "prepared.json", prepared)
    with (folder / "progress.txt").open("w") as stream:
        progress = Progress(stream)

        def open_(execute: Any) -> Any:
            agenda = search_alone(plan, question(plan), prepared)
            progress.begin(agenda)
            views = [*views_of(plan, agenda, progress), Ends()]
            measured.mark()
            return agenda, views

        sweep.drive(plan, open_, sweep.Shared(plan.artifacts, str), progress)
    measured.stages = [
        row | {at: row[at].timestamp() for at in ("started_at", "finished_at")}
        for row in records.rows(folder / "run", "stages")
    ]


CONTESTANTS: dict[str, Callable[..., None]] = {"optuna": by_optuna, "tune": by_tune, "sweep": by_sweep}


def contest(args: argparse.Namespace) -> None:
    """Have one program run all trials, in this process and those it starts."""
    folder = args.folder / f"{args.only}-{args.round}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copytree(args.folder / "artifacts", folder / "artifacts")
    specs = json.loads((args.folder / "specs.json").read_text())
    for spec in specs:
        spec["experiment"]["store"] = str(folder / "artifacts")
    measured = Measured()
    if args.only == "optuna":
        by_optuna(specs, measured)
    elif args.only == "tune":
        by_tune(specs, measured, folder)
    else:
        by_sweep(args, measured, folder)
    write_json(folder / "measured.json", asdict(measured))


@dataclass(frozen=True)
class Spent:
    """Seconds between two marks, and what of them was training, sampling and scoring."""

    elapsed: float
    processor: float
    useful_elapsed: float
    useful_processor: float  # of each stage's processor time as large a share as of its elapsed time

    @classmethod
    def between(cls, measured: Measured, first: int, last: int) -> Spent:
        (since, before), (until, after) = measured.marks[first], measured.marks[last]
        useful, useful_processor = 0.0, 0.0
        for stage in (s for s in measured.stages if since <= s["finished_at"] <= until):
            active = sum(stage[f"{activity}_s"] for activity in ACTIVITIES)
            useful += active
            useful_processor += stage["core_s"] * active / stage["wall_s"]
        return cls(until - since, after - before, useful, useful_processor)


COLUMNS = (
    "round",
    "program",
    "trials",
    "elapsed s",
    "share training, sampling, scoring",
    "processor s",
    "share training, sampling, scoring",
    "trials per hour",
    "trials per core-hour",
)


def table(folder: Path, rounds: int) -> Iterator[str]:
    """The whole search, then what followed its first trial: what it takes to start is once a search."""
    for title, first in (("From the search's begin:", 0), ("From the end of its first trial:", 1)):
        yield from ("", title, "", f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS))
        for number in range(1, rounds + 1):
            for name in CONTESTANTS:
                measured = Measured(**json.loads((folder / f"{name}-{number}" / "measured.json").read_text()))
                spent, trials = Spent.between(measured, first, -1), len(measured.marks) - 1 - first
                yield (
                    f"| {number} | {name} | {trials} | {spent.elapsed:.1f} | {spent.useful_elapsed / spent.elapsed:.1%} | "
                    f"{spent.processor:.1f} | {spent.useful_processor / spent.processor:.1%} | "
                    f"{3600 * trials / spent.elapsed:.1f} | {3600 * trials / spent.processor:.1f} |"
                )


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("python -m benchmarks.orchestration", description=__doc__.split(":")[0] + ".")
    p.add_argument(
        "folder", type=Path, metavar="FOLDER", help="a folder for stores and runs; a prepared one is gone on with"
    )
    p.add_argument(
        "--space", default="dimum_robustness", metavar="NAME", help="the question (default: dimum_robustness)"
    )
    p.add_argument("--trials", type=int, default=4, metavar="N", help="trials beside the two controls (default: 4)")
    p.add_argument("--rounds", type=int, default=1, metavar="N", help="runs of each program, in turn (default: 1)")
    p.add_argument("--base-steps", type=int, default=600, metavar="N", help="steps of the base model (default: 600)")
    p.add_argument("--only", choices=tuple(CONTESTANTS), help="have this program run, in this process")
    p.add_argument("--round", type=int, default=1, help=argparse.SUPPRESS)
    return p


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    args.folder = args.folder.resolve()
    args.folder.mkdir(parents=True, exist_ok=True)
    if args.only:
        contest(args)
        return 0
    if not (args.folder / "specs.json").exists():
        prepare(args)
    for number in range(1, args.rounds + 1):
        for name in CONTESTANTS:
            command = [sys.executable, "-m", "benchmarks.orchestration", *(sys.argv[1:] if argv is None else argv)]
            subprocess.run([*command, "--only", name, "--round", str(number)], check=True)
            print(f"round {number}: {name} done, load {os.getloadavg()[0]:.1f}", flush=True)
    print("\n".join(table(args.folder, args.rounds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
