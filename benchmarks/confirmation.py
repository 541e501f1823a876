"""What confirming costs, and how sure its answer is: ``python -m benchmarks.confirmation --runs 100``.

Sweeps of `dimum_robustness` are driven to their end by the sweep's own agenda, records and readers; only the trials are simulated:
each is one of the recorded settings that lie near the bounds (`benchmarks/search/recorded`), and its figures are that setting's
means with the noise that seeds have there. What a replicate costs is counted in core-seconds of the default sweep on two cores
(`benchmarks/first_run.md`). Run in an older checkout, with ``PYTHONPATH``, it holds two rules side by side on the same trials.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pyarrow.parquet as pq
from scipy.special import expit, logit

from sweep import records
from sweep.driver.agenda import Agenda
from sweep.errors import command
from sweep.jobs import Job
from sweep.plan.plan import Plan
from sweep.reading.ending import Ending
from sweep.reading.sweep import Sweep, read_sweep
from sweep.records.folder import write_json
from sweep.relearning.specs import Specs
from trainables.relearning.experiment import Experiment

RECORDING = Path(__file__).parent / "search" / "recorded" / "replicates.parquet"
BUDGET, SAMPLING_SD = 4.87, 0.95  # of the recording: its FID budget, and SD of fid_delta between sampling seeds
SEED_SD, TRIAL_SD = 0.45, 2.0  # of fid_delta between training seeds: what a seed does to all, and to one trial
LOGIT_SD = 0.28  # of shares between training seeds, beyond their samples' noise
SEARCHED, CONFIRMED = 128, 192  # N of what is forgotten, in the search and on fresh seeds
BEFORE, ATTACKS, CONTROL = (
    12.0,
    30.0,
    32.0,
)  # core-seconds: unlearning and its score, five attacks, a control with attacks


@dataclass(frozen=True)
class Truth:
    """A setting's figures over all seeds."""

    fid_delta: float
    robustness: float
    unlearning_accuracy: float


def near_the_bounds() -> list[Truth]:
    """The recorded settings on three seeds whose means lie below two budgets and have unlearned nine tenths."""
    by_trial: dict[str, list[dict[str, Any]]] = {}
    for row in pq.read_table(RECORDING).to_pylist():
        by_trial.setdefault(row["trial_id"], []).append(row)
    names = ("fid_delta", "robustness", "unlearning_accuracy")
    means = [[float(np.mean([r[n] for r in rows])) for n in names] for rows in by_trial.values() if len(rows) == 3]
    return [Truth(*m) for m in means if m[0] < 2 * BUDGET and m[2] >= 0.9]


class Simulated:
    """The trials of one run: which setting each is, and what a replicate of it shows. The same for the same `number`."""

    def __init__(self, number: int, settings: list[Truth]) -> None:
        self.number, self.settings = number, settings
        self.of_seed = np.random.default_rng([number, 1]).normal(0, SEED_SD, 100)

    def truth(self, job: Job) -> Truth:
        rng = np.random.default_rng([self.number, 2, len(job.arm), job.number])
        return self.settings[int(rng.integers(len(self.settings)))]

    def figures(self, job: Job) -> dict[str, float]:
        """What the replicate measures; of a control what θ₀ shows."""
        truth, seed = self.truth(job), job.spec.replicate
        rng = np.random.default_rng([self.number, 3, len(job.arm), job.number, seed])
        n = CONFIRMED if seed else SEARCHED
        if job.arm == "control":
            return {"fid_delta": 0.0, "robustness": 0.03, "unlearning_accuracy": 0.04}
        return {
            "fid_delta": truth.fid_delta + float(self.of_seed[seed]) + float(rng.normal(0, TRIAL_SD)),
            "robustness": _share(rng, truth.robustness, n),
            "unlearning_accuracy": _share(rng, truth.unlearning_accuracy, n),
        }


def _share(rng: np.random.Generator, share: float, n: int) -> float:
    at = expit(logit(min(max(share, 0.001), 0.999)) + rng.normal(0, LOGIT_SD))
    return float(rng.binomial(n, at)) / n


def run(number: int, settings: list[Truth], folder: Path) -> dict[str, Any]:
    """A sweep to its end: what its confirmation cost and what its answer is worth."""
    prepared = {"fid_budget": BUDGET, "fid_delta_sd": SAMPLING_SD}
    where = {"run_dir": str(folder / "run"), "artifacts": str(folder / "store")}
    plan: Plan[Any] = Plan.of(
        space="dimum_robustness", trials=16, baseline_trials=8, sampler="random", seed=number, **where
    )
    (folder / "run").mkdir()
    write_json(folder / "run" / "prepared.json", prepared)
    write_json(folder / "run" / "plan.json", plan.to_json())
    space = plan.question().bounded(prepared)
    agenda = Agenda(plan, space, Specs(plan, space, Experiment(store=plan.artifacts), SAMPLING_SD), prepared)
    simulated, truths, cost, replicates = Simulated(number, settings), dict[str, Truth](), 0.0, 0
    for job in _jobs(agenda):
        figures, truths[job.spec.trial_id] = simulated.figures(job), simulated.truth(job)
        given = {name: v for name, v in figures.items() if job.asked_for is None or name in job.asked_for}
        samples = CONFIRMED if job.spec.replicate else SEARCHED
        report = {"stage": None, "curves": [], "state": records.COMPLETE, "cause": None}
        agenda.take(job.name, report | {"figures": given | {"seed": job.spec.seed, "samples_forgotten": samples}})
        if job.phase == "confirm":
            replicates += 1
            cost += CONTROL if job.arm == "control" else BEFORE + (ATTACKS if job.spec.attacks else 0.0)
    agenda.close()
    return {"core_s": cost, "replicates": replicates} | _answer(read_sweep(plan.run_dir), truths)


def _jobs(agenda: Agenda) -> Iterator[Job]:
    while True:
        job = agenda.next_job()
        if job is None:
            return
        yield job


def _answer(sweep: Sweep, truths: dict[str, Truth]) -> dict[str, Any]:
    """How wide the winner's interval of fid_delta is and whether it holds the truth, and how sure the fronts are."""
    winner = Ending(sweep).winner
    members = [m for arm in sweep.arms.values() for m in arm.front]
    sure = [m for m in members if m.chance is not None and m.chance >= 0.95]
    kept = [truths[m.trial_id] for m in sure]
    answer: dict[str, Any] = {
        "members": len(members),
        "sure": len(sure),
        "wrongly_sure": sum(t.fid_delta > BUDGET or t.unlearning_accuracy < 0.95 for t in kept),
    }
    once = [m for m in members if m.fully_confirmed and (m.confirmed or {})["robustness"].n == 1]
    answer |= {"attacked_once": len(once), "attacked_once_covered": []}
    for member in once:
        estimate = (member.confirmed or {})["robustness"]
        if estimate.lower is not None and estimate.upper is not None:
            truth = truths[member.trial_id].robustness
            answer["attacked_once_covered"].append(bool(estimate.lower <= truth <= estimate.upper))
    if winner is not None and winner.fully_confirmed and winner.confirmed is not None:
        for figure in ("fid_delta", "robustness"):
            estimate, truth = winner.confirmed[figure], getattr(truths[winner.trial_id], figure)
            assert estimate.lower is not None and estimate.upper is not None, (
                "a winner has two seeds or others' variance"
            )
            answer[f"{figure}_half"] = (estimate.upper - estimate.lower) / 2
            answer[f"{figure}_covered"] = bool(estimate.lower <= truth <= estimate.upper)
            answer[f"{figure}_seeds"] = estimate.n
    return answer


def table(runs: list[dict[str, Any]]) -> Iterator[str]:
    """Markdown: means over the runs, the interval's half-width as a median, with 95 % intervals of what is a share of runs."""
    told = [r for r in runs if "fid_delta_half" in r]
    half = np.array([r["fid_delta_half"] for r in told]) / BUDGET
    cost = np.array([r["core_s"] for r in runs])
    sure, wrong = sum(r["sure"] for r in runs), sum(r["wrongly_sure"] for r in runs)
    rows = {
        "runs": f"{len(runs)}, {len(told)} with a winner",
        "core-seconds of the confirmation": f"{cost.mean():.0f} ± {1.96 * cost.std(ddof=1) / math.sqrt(len(cost)):.0f}",
        "replicates": f"{np.mean([r['replicates'] for r in runs]):.1f}",
        "members of the fronts": f"{np.mean([r['members'] for r in runs]):.2f}",
        "of them with P ≥ .95": f"{sure / max(sum(r['members'] for r in runs), 1):.2f}",
        "of these truly infeasible": f"{wrong} of {sure}",
        "winner's fid_delta: half-width / budget, median": f"{np.median(half):.3f}",
        "at most a third": f"{np.mean(half <= 1 / 3):.2f}",
        "covered": f"{np.mean([r['fid_delta_covered'] for r in told]):.3f}",
        "seeds": f"{np.mean([r['fid_delta_seeds'] for r in told]):.1f}",
        "winner's robustness: half-width, median": f"{np.median([r['robustness_half'] for r in told]):.4f}",
        "covered (robustness)": f"{np.mean([r['robustness_covered'] for r in told]):.3f}",
    }
    covered = [c for r in runs for c in r.get("attacked_once_covered", ())]
    once = sum(r.get("attacked_once", 0) for r in runs)
    rows["members attacked on one seed"] = f"{once}, {len(covered)} with an interval of robustness"
    rows["covered (theirs)"] = f"{np.mean(covered):.3f}" if covered else "—"
    yield from ("| | |", "|---|---|")
    yield from (f"| {name} | {value} |" for name, value in rows.items())


@command
def main() -> int:
    parser = argparse.ArgumentParser(description="What confirming costs, and how sure its answer is.")
    parser.add_argument("--runs", type=int, default=100, help="simulated sweeps (default: %(default)s)")
    parser.add_argument(
        "-o", "--output", type=Path, help="the runs' figures as JSON, a line each; goes on with what is there"
    )
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    there = args.output.read_text().splitlines() if args.output and args.output.exists() else []
    runs, settings = [json.loads(line) for line in there], near_the_bounds()
    for number in range(len(runs), args.runs):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(run(number, settings, Path(folder)))
        if args.output:
            args.output.write_text("".join(json.dumps(r) + "\n" for r in runs))
    print("\n".join(table(runs[: args.runs])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
