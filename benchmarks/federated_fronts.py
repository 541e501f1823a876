"""VFLGAN against VertiGAN: ``python -m benchmarks.federated_fronts`` prints the tables of benchmarks/federated_fronts.md.

Both are trained by the same settings, the first start points of the spaces ``vflgan_quality`` and ``vflgan_privacy``, on each seed,
through the stages that every sweep's trials run through; the controls stand beside. A seed gives both the same rows, canaries and
coins, so their Fréchet distances are compared by seed. Finished stages are found in the artifact store, so a run that was stopped
goes on, and a second one only prints.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import t as student

from benchmarks.methods import interval
from search_spaces import vflgan_privacy, vflgan_quality
from sweep.errors import command
from trainables.federated.experiment import REAL, Experiment, TrialSpec
from trainables.federated.products.floors import BLIND, SHUFFLED
from trainables.federated.shared_products import FLOORS, JUDGE, PARTIES, products_of
from trainables.federated.sources import source
from trainables.running.products import waves

Result = dict[str, Any]
METHODS = ("vflgan", "vertigan")
CONTROLS = ("central", "independent", REAL)
EPSILONS = (10.0, 100.0)
SAMPLES = 1000
LARGEST_PART = 3  # a batch is a third of the rows that are trained on, at most
FIGURES = {  # decimals, by figure
    "fd": 2, "party_fd": 2, "dependence_error": 3, "cross_agreement": 3, "utility_gap": 3, "epsilon": 2, "audited_epsilon": 2,
    "audit_ceiling": 2, "training_s": 1,
}  # fmt: skip


@dataclass(frozen=True)
class Rows:
    """A data set, what of it is taken, and on how many seeds methods and controls are trained."""

    data: str
    seeds: int = 10
    control_seeds: int = 3
    image_size: int = 0
    data_limit: int = 0

    def experiment(self, store: str) -> Experiment:
        fingerprint = source(self.data, "", self.image_size, self.data_limit).fingerprint()
        return Experiment(store, self.data, "", self.image_size, self.data_limit, fingerprint)


DATA = {
    "digits": Rows("digits"),
    "wine": Rows("wine"),
    "breast_cancer": Rows("breast_cancer"),
    "fashion_mnist": Rows("fashion_mnist", image_size=16, data_limit=10_000),
}
QUESTIONS = (  # in the order in which they are asked: data set and mechanism
    ("digits", "none"),
    ("wine", "none"),
    ("breast_cancer", "none"),
    ("digits", "record"),
    ("fashion_mnist", "none"),
    ("fashion_mnist", "record"),
    ("breast_cancer", "record"),
    ("wine", "record"),
)


@dataclass(frozen=True)
class Contender:
    """A row of a table: a synthesizer under a mechanism, and the ε that it is trained for."""

    synthesizer: str
    epsilon: float | None = None

    @property
    def name(self) -> str:
        return self.synthesizer if self.epsilon is None else f"{self.synthesizer}, ε {self.epsilon:g}"

    def settings(self, rows: int) -> dict[str, Any]:
        """The space's start point, its batch a part of so many rows. Controls have VertiGAN's; real rows are not trained."""
        if self.synthesizer == REAL:
            return {}
        space = vflgan_quality if self.epsilon is None else vflgan_privacy
        arm = space.VFLGAN if self.synthesizer == "vflgan" else space.VERTIGAN
        points = [p for p in arm.start_points if p.get("target_epsilon") == self.epsilon]
        point = {**arm.held, **points[0]}
        return point | {"batch": min(point["batch"], rows // LARGEST_PART)}


def contenders(mechanism: str, epsilons: Sequence[float] = EPSILONS) -> list[Contender]:
    """The rows of a mechanism's table, under `record` for each ε."""
    if mechanism == "none":
        return [Contender(name) for name in (*METHODS, *CONTROLS)]
    return [Contender(name, epsilon) for epsilon in epsilons for name in METHODS]


def prepare(experiment: Experiment) -> str:
    """Make what all trials share, and say it: the fd of rows that nobody made, and how often judges of images are right."""
    made = {p.name: p.make() for wave in waves(products_of(experiment, SAMPLES)) for p in wave}
    fd = {kind: figures["fd"][0] for kind, figures in made[FLOORS].facts["floors"].items()}
    said = f"fd of private rows {fd[REAL]:.3g}, with parties shuffled {fd[SHUFFLED]:.3g}, of the schema alone {fd[BLIND]:.4g}"
    if JUDGE in made:
        parties = ", ".join(f"{accuracy:.3f}" for accuracy in made[PARTIES].facts["accuracies"])
        said += f"; the judge is right on {made[JUDGE].facts['accuracy']:.3f} of test rows, parties' on {parties}"
    return said


def run(experiment: Experiment, contender: Contender, seed: int) -> Result:
    """One row on one seed: its figures, and what became of it."""
    from trainables.federated.trial import Pipeline
    from trainables.training.failure import failure_report

    result: Result = {"row": contender.name, "seed": seed, "figures": {}}
    try:
        trained = contender.synthesizer in METHODS
        pipeline = Pipeline(
            TrialSpec(
                trial_id="benchmark",
                replicate=0,
                experiment=experiment,
                method=contender.synthesizer if trained else "none",
                settings=contender.settings(len(experiment.source.read()["private"])),
                seed=seed,
                samples=SAMPLES,
                synthesizer="" if trained else contender.synthesizer,
            )
        )
        while True:
            report = pipeline.step()
            result["figures"] |= report.figures
            if report.state:
                break
    except Exception:  # noise that cannot be found, or a training that diverged, is a row with its cause
        report = failure_report()
    return result | {"state": report.state, "cause": report.cause}


def table(results: list[Result], rows: Sequence[Contender]) -> Iterator[str]:
    """A Markdown table: means over seeds with 95 % t intervals; then the distances' ratio of each pair of methods."""
    shown = [name for name in FIGURES if any(r["figures"].get(name) is not None for r in results)]
    head = ["", *(name if name != "training_s" else "core-s" for name in shown), "seeds"]
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        row_results = [r for r in results if r["row"] == row.name]
        ended, failed = (
            [r for r in row_results if (r["state"] == "COMPLETE") == complete] for complete in (True, False)
        )
        cells = [
            interval([r["figures"].get(name) for r in ended], FIGURES[name], spread=name != "training_s")
            for name in shown
        ]
        cells.append(f"{len(ended)}" + (f"; {len(failed)} failed: {failed[0]['cause']}" if failed else ""))
        yield "| " + " | ".join([row.name, *cells]) + " |"
    for epsilon in sorted({row.epsilon for row in rows}, key=lambda e: e or 0.0):
        vflgan, vertigan = (Contender(method, epsilon).name for method in METHODS)
        yield ""
        yield f"fd({vertigan}) / fd({vflgan}): {ratio(paired(results, vertigan, vflgan))}"


def paired(results: list[Result], above: str, below: str) -> list[float]:
    """The ratio of two rows' fd on each seed that both have."""
    distances = {(r["row"], r["seed"]): r["figures"]["fd"] for r in results if r["state"] == "COMPLETE"}
    seeds = sorted({seed for _, seed in distances})
    both = [seed for seed in seeds if (above, seed) in distances and (below, seed) in distances]
    return [distances[above, seed] / distances[below, seed] for seed in both]


def ratio(values: list[float]) -> str:
    """Geometric mean [95 % t interval of the logarithms, over seeds]."""
    if len(values) < 2:
        return f"{len(values)} pairs, no interval"
    logs = [math.log(value) for value in values]
    middle = statistics.fmean(logs)
    half = student.ppf(0.975, len(logs) - 1) * statistics.stdev(logs) / len(logs) ** 0.5
    low, high = math.exp(middle - half), math.exp(middle + half)
    return f"**{math.exp(middle):.2f}** [{low:.2f}, {high:.2f}], {len(logs)} seeds"


def refuted(results: list[Result]) -> str:
    """Of the trials with a proven ε, in how many the audit's lower bound is above it."""
    excesses = [e for r in results if (e := r["figures"].get("audited_epsilon_excess")) is not None]
    above = sum(e > 0 for e in excesses)
    return f"audited_epsilon above epsilon in {above} of {len(excesses)} trials with a proven one"


def ask(store: str, data: str, rows: Sequence[Contender], seeds: int) -> list[Result]:
    """One table, printed; each of its trials is told of as it ends."""
    experiment = DATA[data].experiment(store)
    private = any(row.epsilon for row in rows)
    print(f"\n## {data}, {'record' if private else 'none'}\n\n{prepare(experiment)}\n", flush=True)
    results: list[Result] = []
    for seed in range(1, (seeds or DATA[data].seeds) + 1):
        for row in rows:
            if row.synthesizer in CONTROLS and seed > DATA[data].control_seeds:
                continue
            last = run(experiment, row, seed)
            said = ", ".join(f"{n} {last['figures'][n]:.4g}" for n in FIGURES if last["figures"].get(n) is not None)
            print(
                f"{data} {row.name} seed {seed} {last['state']} {said or last['cause']}",
                file=sys.stderr,
                flush=True,
            )
            results.append(last)
    print("\n".join(table(results, rows)), flush=True)
    if private:
        print(f"\n{refuted(results)}", flush=True)
    return results


def main() -> int:
    import torch

    parser = argparse.ArgumentParser(description=__doc__.split(":")[0] + ".")
    parser.add_argument("--artifacts", default="runs/artifacts", help="artifact store (default: %(default)s)")
    parser.add_argument("--data", nargs="*", default=list(DATA), choices=list(DATA), help="data sets (default: all)")
    parser.add_argument(
        "--mechanisms", nargs="*", default=["none", "record"], choices=["none", "record"], help="(default: both)"
    )
    parser.add_argument(
        "--epsilons", nargs="*", type=float, default=EPSILONS, choices=EPSILONS, help="of record (default: both)"
    )
    parser.add_argument("--seeds", type=int, default=0, help="seeds 1 … N (default: 10, of controls 3)")
    parser.add_argument("--json", metavar="FILE", help="also write every figure as JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)
    everything = {
        f"{data}, {mechanism}": ask(
            os.path.abspath(args.artifacts), data, contenders(mechanism, args.epsilons), args.seeds
        )
        for data, mechanism in QUESTIONS
        if data in args.data and mechanism in args.mechanisms
    }
    if args.json:
        Path(args.json).write_text(json.dumps(everything, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(command(main)())
