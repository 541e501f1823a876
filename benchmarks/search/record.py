"""Record real trials that nothing stops: the tables that the simulator's recorded problems are made of.

    python -m benchmarks.search.record --run-dir runs/recording        200 settings, 50 of them on two seeds more
    python -m benchmarks.search.record --run-dir runs/recording        the same line goes on with one that was stopped
    python -m benchmarks.search.record --run-dir runs/recording --from benchmarks/search/recorded      elsewhere, with its tables
    python -m benchmarks.search.record --run-dir runs/recording --tables benchmarks/search/recorded    its tables, compacted
    python -m benchmarks.search.record --run-dir runs/methods --space methods_vs_dimra --trials 60 --repeated 12 \
        --arms dimum,salun,concept_ablation,esd,erase_diff         several arms: so many settings of each, in turn

Every trial is attacked to the last rung whatever it scored, so that what a gate or a stopping rule would have cost can be
counted. The first settings of an arm are its start points and a scrambled Sobol sequence;
the last ones are neighbours of the best so far, without which nine trials in ten would be far from any front. What is
best is judged by dominance alone, of no sampler's making. Then a part of them, half near the front and half anywhere,
runs again on fresh seeds with the same N: the noise.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from scipy.stats import qmc

from sweep import procedures, records
from sweep.driver.sweep import Shared, drive
from sweep.errors import UsageError, command
from sweep.jobs import Ended, Job, View, add_report, replicate_row
from sweep.plan.checks import validate
from sweep.plan.folders import check_folders, create_run_dir
from sweep.plan.paths import absolute
from sweep.plan.plan import Plan
from sweep.procedures import Execute, Task
from sweep.records import COMPLETE, FAIL, RUNNING, Writer
from sweep.records.folder import write_json
from sweep.records.names import trial_name
from sweep.relearning.attacks import attack_plan
from sweep.relearning.columns import columns
from sweep.relearning.experiments import experiment_of
from sweep.relearning.prepare import prepare_all
from sweep.relearning.setup import Setup
from sweep.space import Arm, Choice, Float, Int, Parameter, SearchSpace, Settings
from sweep.space.question import excesses
from sweep.statistics.estimates import nondominated
from sweep.terminal.lines import Progress
from sweep.terminal.quiet import quiet
from trainables.relearning.experiment import Experiment, Samples, TrialSpec
from trainables.relearning.stages.score import make_score

SPACE, ARMS = "dimum_robustness", "dimum"
ANYWHERE = 0.6  # of the settings; the others are neighbours of the best
PARENTS = 15
STEP = 0.15  # SD of a neighbour's step, as a share of each parameter's range
_TOLD = ("robustness", "fid_delta", "unlearning_accuracy")
_TABLES = ("trials", "replicates", "curves", "stages")


class Places:
    """Where one arm is recorded, by number: its start points, then anywhere in its tree, then neighbours of the best so far."""

    def __init__(self, arm: Arm, space: SearchSpace, count: int, seed: int, rows: Iterable[Mapping[str, Any]]) -> None:
        self.arm, self.space, self.seed = arm, space, seed
        self.trials = {r["number"]: r for r in rows if r["arm"] == arm.name}
        self._sobol = sobol(arm, int(ANYWHERE * count), seed)

    def at(self, number: int) -> Settings:
        """The settings an earlier driver had asked this number for, or new ones."""
        return self.known(number) or self._new(number)

    def known(self, number: int) -> Settings | None:
        row = self.trials.get(number)
        values = {p.name: row.get(f"param_{p.name}") for p in self.arm.walk()} if row else {}
        return self.arm.check({name: value for name, value in values.items() if value is not None}) if row else None

    def _new(self, number: int) -> Settings:
        if number < len(self.arm.start_points):
            return dict(self.arm.start_points[number])
        if number < len(self._sobol):
            return self._sobol[number]
        rng = np.random.default_rng([self.seed, number])
        best = self._ranked()[:PARENTS]
        if not best:  # every trial has failed so far
            return sobol(self.arm, number + 1, self.seed)[number]
        return _neighbour(self.arm, self.known(best[int(rng.integers(len(best)))]) or {}, rng)

    def _ranked(self) -> list[int]:
        """Numbers of the COMPLETE trials, best first: by layers of dominance among the feasible, then by violation."""
        rows = {n: r for n, r in self.trials.items() if r["state"] == COMPLETE}
        over = {n: sum(max(r[f"excess_{c.metric}"], 0.0) for c in self.space.constraints) for n, r in rows.items()}
        left, ranked = sorted(n for n in rows if over[n] <= 0), []
        while left:
            points = np.array([[rows[n][o.metric] for o in self.space.objectives] for n in left])
            layer = nondominated(points, [o.direction for o in self.space.objectives])
            ranked += [n for n, on in zip(left, layer, strict=True) if on]
            left = [n for n, on in zip(left, layer, strict=True) if not on]
        return ranked + sorted((n for n in rows if over[n] > 0), key=over.__getitem__)

    def repeated(self, count: int) -> list[int]:
        """Numbers of the settings that run on further seeds: half of them are the best, half are drawn from the others."""
        ranked = self._ranked()
        near, others = ranked[: count // 2], sorted(ranked[count // 2 :])
        drawn = np.random.default_rng(self.seed).permutation(others)[: count - len(near)]
        return sorted([*near, *map(int, drawn)])


class Recording:
    """Hands out every setting of every arm on the first seed, then some of them on further seeds. One process holds it."""

    def __init__(
        self, plan: Plan[Setup], space: SearchSpace, experiment: Experiment, repeated: int, seeds: int
    ) -> None:
        self.plan, self.space, self.experiment = plan, space, experiment
        self.repeated, self.seeds = repeated, seeds
        self.run_dir = Path(plan.run_dir)
        self.writer = Writer(self.run_dir, records.schemas(space))
        self._columns = frozenset(self.writer.schemas["replicates"].names)
        self.running: dict[str, Job] = {}
        rows = records.rows(self.run_dir, "trials")
        self.places_of_arm = plan.trials // len(space.arms)
        self.arms = [Places(arm, space, self.places_of_arm, plan.run.seed, rows) for arm in space.arms]
        self.done = {
            (r["trial_id"], r["replicate"]) for r in records.rows(self.run_dir, "replicates") if r["state"] != RUNNING
        }
        self._again: list[Job] | None = None

    @property
    def total(self) -> int:
        return len(self.arms) * (self.places_of_arm + self.repeated * (self.seeds - 1))

    @property
    def finished(self) -> bool:
        return self._again is not None and not self._again and not self.running

    def next_job(self) -> Job | None:
        """The next replicate; None where all are started, or the first seed must end before the repeats are chosen."""
        job = self._first()
        if job is None and not self.running and self._again is None:
            self._again = self._repeats()
        if job is None and self._again:
            job = self._again.pop(0)
        if job is not None:
            self.running[job.name] = job
        return job

    def take(self, name: str, report: Mapping[str, Any]) -> Ended | None:
        """Record a step's report; what became of the replicate if it is over."""
        job = self.running[name]
        add_report(job, report)
        return self._record(job, report["state"], report["cause"]) if report["state"] else None

    def fail(self, name: str, cause: str) -> Ended:
        """Record that a replicate's process was lost for good."""
        return self._record(self.running[name], FAIL, cause)

    def close(self) -> None:
        """Nothing is held open: every record is a file of its own."""

    def _record(self, job: Job, state: str, cause: str | None) -> Ended:
        del self.running[job.name]
        row = replicate_row(job, state, cause, self._columns)
        self.writer.replicate(row, job.curves, job.stages)
        self.done.add((job.spec.trial_id, job.spec.replicate))
        if job.spec.replicate == 0:
            self._places(job.arm).trials[job.number] = self._trial(job, state, cause)
        return Ended(job, row)

    def _places(self, arm: str) -> Places:
        return next(places for places in self.arms if places.arm.name == arm)

    def _trial(self, job: Job, state: str, cause: str | None) -> dict[str, Any]:
        over = excesses(self.space, job.figures)
        row = {"trial_id": job.spec.trial_id, "arm": job.arm, "method": job.spec.method, "number": job.number}
        row |= {"state": state, "cause": cause, "asked_at": job.asked_at}
        row |= {f"param_{name}": value for name, value in job.parameters.items()}
        row |= {k: v for k, v in job.figures.items() if k in columns().names} | {
            f"excess_{k}": v for k, v in over.items()
        }
        if state != RUNNING:
            row |= {"told_at": records.now(), "core_s": sum(s["core_s"] for s in job.stages)}
            row["feasible"] = all(e <= 0 for e in over.values()) if over else None
        self.writer.trial(row)
        return row

    def _first(self) -> Job | None:
        """The lowest number that has not ended on the first seed, arm by arm; its settings are recorded before it runs."""
        for number in range(self.places_of_arm):
            for places in self.arms:
                job = self._job(places.arm, number, {}, 0)
                if job.name not in self.running and (job.spec.trial_id, 0) not in self.done:
                    job = self._job(places.arm, number, places.at(number), 0)
                    places.trials[number] = self._trial(job, RUNNING, None)
                    return job
        return None

    def _repeats(self) -> list[Job]:
        """The repeated settings of every arm, seed by seed."""
        jobs = [
            self._job(places.arm, n, places.known(n) or {}, replicate)
            for replicate in range(1, self.seeds)
            for places in self.arms
            for n in places.repeated(self.repeated)
        ]
        return [j for j in jobs if (j.spec.trial_id, j.spec.replicate) not in self.done]

    def _job(self, arm: Arm, number: int, settings: Settings, replicate: int) -> Job:
        spec = TrialSpec(
            trial_id=trial_name(arm.name, number),
            replicate=replicate,
            experiment=self.experiment,
            method=arm.method,
            settings=dict(settings),
            seed=self.plan.replicate_seeds[replicate],
            attacks=tuple(attack_plan(a) for a in self.space.search_attacks),
            rungs=self.space.rungs,
            samples=Samples(self.plan.setup.samples_forgotten, self.plan.setup.samples_per_retained),
            attacked_per_retained=self.plan.setup.samples_per_retained,
        )
        return Job(spec, arm.name, number, "search" if replicate == 0 else "confirm", records.now(), settings)


class Told:
    """What the terminal hears of each replicate."""

    name = "terminal"

    def __init__(self, agenda: Recording, progress: Progress) -> None:
        self.agenda, self.progress = agenda, progress

    def take(self, ended: Ended) -> None:
        told = [f"{k} {ended.row[k]:.3f}" for k in _TOLD if ended.row.get(k) is not None]
        said = "  ".join([ended.row["state"], *told, *filter(None, [ended.row["cause"]])])
        self.progress.line(f"{len(self.agenda.done)}/{self.agenda.total} {ended.job.name} {said}")

    def finish(self) -> None:
        self.progress.line("recorded")


def sobol(arm: Arm, n: int, seed: int) -> list[Settings]:
    """The first `n` points of a scrambled Sobol sequence over the arm's parameters, which must be unconditional."""
    parameters = list(arm.walk())
    sequence = qmc.Sobol(len(parameters), rng=np.random.default_rng(seed))
    points = sequence.random_base2(int(np.ceil(np.log2(max(n, 2)))))[:n]
    return [{p.name: _value(p, u) for p, u in zip(parameters, map(float, point), strict=True)} for point in points]


def _neighbour(arm: Arm, parent: Settings, rng: np.random.Generator) -> Settings:
    """The parent with half of its parameters moved: numbers by a step, words drawn anew."""
    child = dict(parent)
    for p in arm.walk():
        if rng.random() < 0.5:
            step = rng.random() if isinstance(p, Choice) else _place(p, parent[p.name]) + STEP * rng.normal()
            u = float(np.clip(step, 0, 1 - 1e-9))
            child[p.name] = _value(p, u)
    return child


def _value(parameter: Parameter, u: float) -> Any:
    """The parameter's value at `u` in [0, 1) of its range, on its own scale."""
    if isinstance(parameter, Choice):
        options = list(parameter.branches)
        return options[int(u * len(options))]
    low, high = _ends(parameter)
    value = low + u * (high - low)
    value = float(np.exp(value)) if parameter.log else value
    if isinstance(parameter, Int):
        return int(np.clip(round(value), parameter.low, parameter.high))
    return float(np.clip(value, parameter.low, parameter.high))


def _place(parameter: Float | Int, value: Any) -> float:
    low, high = _ends(parameter)
    return ((np.log(value) if parameter.log else value) - low) / ((high - low) or 1.0)


def _ends(parameter: Float | Int) -> tuple[float, float]:
    ends = parameter.low, parameter.high
    return (float(np.log(ends[0])), float(np.log(ends[1]))) if parameter.log else (float(ends[0]), float(ends[1]))


def write_tables(run_dir: Path, folder: Path) -> None:
    """Every table of the recording as one file, with what it was made under beside them; no path is in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for table in _TABLES:
        pq.write_table(records.read(run_dir, table), folder / f"{table}.parquet", compression="zstd")
    plan, prepared = (records.read_json(run_dir / f"{name}.json") for name in ("plan", "prepared"))
    facts = {k: plan[k] for k in ("space", "space_fingerprint", "data", "forget", "seed", "base_size", "base_steps",
                                  "samples_forgotten", "samples_per_retained", "fid_features", "rungs")}  # fmt: skip
    facts |= {
        k: prepared[k] for k in ("fid_budget", "fid_budget_rule", "fid_delta_sd", "fid_base", "classifier_accuracy")
    }
    write_json(folder / "facts.json", facts)


def take_up(folder: Path, run_dir: Path, space: SearchSpace) -> None:
    """Begin a run folder with what was recorded elsewhere: every replicate that ended, and its trial."""
    rows = {table: pq.read_table(folder / f"{table}.parquet").to_pylist() for table in _TABLES}
    writer = Writer(run_dir, records.schemas(space))
    ended = {(r["trial_id"], r["replicate"]): r for r in rows["replicates"] if r["state"] != RUNNING}
    for trial in rows["trials"]:
        if (trial["trial_id"], 0) in ended:
            writer.trial(trial)
    for at, replicate in ended.items():
        own = ([r for r in rows[table] if (r["trial_id"], r["replicate"]) == at] for table in ("curves", "stages"))
        writer.replicate(replicate, *own)


def same_question(folder: Path, prepared: Mapping[str, Any]) -> None:
    """UsageError where a recording was made of other models or noise: its figures are not of this question then."""
    facts = records.read_json(folder / "facts.json")
    for fact in ("fid_budget", "fid_delta_sd", "fid_base"):
        if abs(facts[fact] - prepared[fact]) > 1e-6 * abs(facts[fact]):
            raise UsageError(
                f"--from {folder}: {fact} was {facts[fact]} there and is {prepared[fact]} here; record anew, without --from"
            )


@command
def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("python -m benchmarks.search.record", description="Record trials that nothing stops.")
    p.add_argument(
        "--run-dir", required=True, metavar="DIR", help="the recording's run folder; goes on where it exists"
    )
    p.add_argument("--space", default=SPACE, metavar="NAME", help=f"the question (default: {SPACE})")
    p.add_argument("--arms", default=ARMS, metavar="A,B", help=f"the question's arms to record (default: {ARMS})")
    p.add_argument("--trials", type=int, default=200, metavar="N", help="settings of each arm (default: 200)")
    p.add_argument(
        "--repeated", type=int, default=50, metavar="N", help="of each arm's run on further seeds (default: 50)"
    )
    p.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds of those, the first included (default: 3)")
    p.add_argument("--artifacts", default="runs/artifacts", metavar="DIR", help="artifact store")
    p.add_argument("--workers", type=int, default=2, metavar="N", help="trials at a time (default: 2)")
    p.add_argument("--from", dest="taken", type=Path, metavar="FOLDER", help="tables of a recording to go on with")
    p.add_argument(
        "--tables", type=Path, metavar="FOLDER", help="write the recording's tables there, and do nothing else"
    )
    args = p.parse_args(argv)
    run_dir = Path(args.run_dir)
    if args.tables:
        write_tables(records.run_folder(run_dir), args.tables)
        return 0
    old = (run_dir / "plan.json").exists()
    if old:
        plan = Plan.from_json(records.read_json(run_dir / "plan.json"), str(run_dir / "plan.json"))
        plan = plan.but(workers=args.workers)
    else:
        arms = args.arms.split(",")
        plan = Plan.of(
            space=args.space, run_dir=args.run_dir, trials=args.trials * len(arms), baseline_trials=0, sampler="qmc",
            fix=(("method", args.arms),), confirm_seeds=args.seeds - 1, artifacts=absolute(args.artifacts),
            workers=args.workers,
        )  # fmt: skip
    space = validate(plan)
    check_folders(plan.run, new=not old)
    quiet(False)
    progress = Progress()
    if not old:
        create_run_dir(plan)
        if args.taken:
            take_up(args.taken, run_dir, space)
    experiment = experiment_of(plan.setup, plan.artifacts, plan.place)

    def open_(execute: Execute) -> tuple[Recording, list[View]]:
        prepared = prepare_all(plan, space, experiment, execute, progress.line)
        if args.taken:
            same_question(args.taken, prepared)
        base, samples = (
            prepared["keys"]["base model"],
            Samples(plan.setup.samples_forgotten, plan.setup.samples_per_retained),
        )
        progress.line("prepare: the base model on the repeats' seeds, with the search's N")
        execute(
            {
                f"base on seed {s}": Task(make_score, (experiment, base, samples, s))
                for s in plan.replicate_seeds[1 : args.seeds]
            }
        )
        write_json(run_dir / "prepared.json", prepared)
        agenda = Recording(plan, space.bounded(prepared), experiment, args.repeated, args.seeds)
        progress.line(f"recording: {agenda.total} replicates, {len(agenda.done)} of them there")
        return agenda, [Told(agenda, progress)]

    drive(plan, open_, Shared(experiment.store, procedures.named(space.procedure).preparing(plan).progress), progress)
    return 0


if __name__ == "__main__":
    sys.exit(main())
