"""Is robustness saturated? ``python benchmarks/saturation.py RUN 24``: quasi-random trials of a run's question, no gate.

Prints the share of trials below .9, of all and of those that had unlearned. Uses the run's artifacts, one core.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import optuna

from sweep import records
from sweep.driver.agenda import Agenda
from sweep.plan.plan import Plan
from sweep.records.folder import write_json
from sweep.relearning.experiments import experiment_of
from trainables.relearning.trial import Pipeline

LINE = 0.9


def main(run: Path, trials: int) -> None:
    warnings.filterwarnings("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    plan = Plan.from_json(records.read_json(run / "plan.json"), str(run / "plan.json"))
    space = plan.question()
    main_arm = replace(space.arms[0], start_points=())
    space = replace(space, arms=(main_arm,), constraints=())  # without constraints there is nothing to gate
    prepared = records.read_json(run / "prepared.json")
    with tempfile.TemporaryDirectory() as folder:
        plan = plan.but(run_dir=folder, sampler="qmc", trials=trials, baseline_trials=0)
        write_json(Path(folder) / "plan.json", {})
        agenda = Agenda(plan, space.bounded(prepared), experiment_of(plan.setup, plan.artifacts, plan.place), prepared)
        found, bench = [], None
        while len(found) < trials and (job := agenda.next_job()):
            pipeline = Pipeline(job.spec, bench)
            bench, ended = pipeline.bench, None
            while ended is None:
                ended = agenda.take(job.name, pipeline.step().to_json())
            if job.arm == main_arm.name:
                found.append(ended.row)
                print(f"{job.name} robustness {ended.row['robustness']:.3f} unlearning accuracy "
                      f"{ended.row['unlearning_accuracy']:.3f} fid_delta {ended.row['fid_delta']:.1f}", flush=True)  # fmt: skip
    for what, rows in (("all", found), ("unlearned (≥ .95)", [r for r in found if r["unlearning_accuracy"] >= 0.95])):
        below = sum(r["robustness"] < LINE for r in rows)
        print(f"{what}: {below} of {len(rows)} below {LINE}" + (f" ({below / len(rows):.0%})" if rows else ""))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
