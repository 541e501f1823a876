"""Every unlearning method at its default settings: ``python benchmarks/methods.py`` prints the tables of benchmarks/methods.md.

Each method runs on each seed through the stages that every sweep's trials run through, and is attacked by DiMRA and by
malicious fine-tuning; the untouched base model and the retrain control stand beside. Finished stages are found in the
artifact store, so a run that was stopped goes on, and a second one only prints.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from scipy.stats import t as student

from trainables.relearning.experiment import AttackPlan, Experiment, Samples, TrialSpec

SAMPLES = Samples(forgotten=192, per_retained=100)
RUNGS = (0, 1, 3, 7, 15, 31, 63)
ATTACKS = (
    AttackPlan("DiMRA retain 3e-4", "dimra", {"auxiliary": "retain", "learning_rate": 3e-4}),
    AttackPlan("DiMRA retain 1e-3", "dimra", {"auxiliary": "retain", "learning_rate": 1e-3}),
    AttackPlan("malicious", "malicious", {"auxiliary": "public_forgotten", "learning_rate": 3e-4}, counts=False),
)
CONTROLS = ("base", "retrain")


@dataclass(frozen=True)
class Question:
    """One thing to forget, and the methods held side by side on it; `settings` overrides a method's defaults."""

    name: str
    data: str
    forget: str
    methods: tuple[str, ...] = ()  # all that can forget it, where none is named
    shadow_models: int = 0


QUESTIONS = (
    Question("one class", "digits", "3"),
    Question("two classes", "digits", "3,7", ("dimum", "label_swap", "salun", "meta(dimum)")),
    Question("an attribute", "digits_attributes", "attribute:loop", ("dimum", "label_swap", "salun", "meta(dimum)")),
    Question("instances", "digits_duplicated", "instances:0,1,2"),
)


def methods_for(question: Question) -> list[str]:
    """The methods of a question's table: those named, or every registered one that can forget such a thing."""
    from trainables.unlearning import METHODS

    if question.methods:
        return list(question.methods)
    experiment = Experiment(store="", data=question.data, forget=question.forget)
    forgetting = experiment.forgetting
    names = [m for m in METHODS.names() if METHODS[m].can_forget(forgetting)]
    wrapped = [f"{wrapper}({inner})" for wrapper in METHODS.wrappers.names() for inner in ("dimum", "salun")]
    return names + (
        [w for w in wrapped if METHODS[w].can_forget(forgetting)] if forgetting.kind == "conditions" else []
    )


def prepare(experiment: Experiment, methods: Iterable[str], seeds: Iterable[int]) -> None:
    """Make what all of a question's trials share."""
    import torch

    from trainables.relearning import products
    from trainables.relearning.stages.score import make_score
    from trainables.unlearning import METHODS

    torch.set_num_threads(1)
    products.make_classifier(experiment)
    for which in CONTROLS:
        products.make_model(experiment, which)
    for number in range(experiment.shadow_models):
        products.make_shadow(experiment, number)
    products.make_reference(experiment)
    if experiment.shadow_models:
        products.make_shadows(experiment)
    for name in sorted({need for method in methods for need in METHODS[method].needs}):
        products.make_shared(experiment, name)
    for seed in seeds:
        make_score(experiment, products.model_key(experiment, "base"), SAMPLES, seed)


def run(experiment: Experiment, method: str, seed: int) -> dict[str, Any]:
    """One method on one seed: its figures, its curves and what became of it."""
    from trainables.relearning.trial import Pipeline
    from trainables.training.failure import failure_report

    start = method if method in CONTROLS else "base"
    attacks = ATTACKS if experiment.forgetting.kind == "conditions" else ATTACKS[:2]
    spec = TrialSpec(
        trial_id="benchmark",
        replicate=0,
        experiment=experiment,
        method="none" if method in CONTROLS else method,
        settings={},
        seed=seed,
        attacks=attacks,
        rungs=RUNGS,
        samples=SAMPLES,
        attacked_per_retained=SAMPLES.per_retained,
        start=start,
    )
    result: dict[str, Any] = {"method": method, "seed": seed, "curves": [], "unlearn_s": None}
    try:
        pipeline = Pipeline(spec)
        while True:
            report = pipeline.step()
            if report.stage and report.stage["stage"] == "unlearn":
                facts = pipeline.bench.store.get(report.stage["key"]).facts
                result["unlearn_s"] = facts["core_s"]  # as it was when it was made, found now or not
            result["curves"] += report.curves
            if report.state:
                break
    except Exception:  # a method that diverges has a row of its own: what it ended with
        report = failure_report()
    return result | {"state": report.state, "cause": report.cause, "figures": report.figures}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0] + ".")
    parser.add_argument("--artifacts", default="runs/artifacts", help="artifact store (default: runs/artifacts)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds 1 … N (default: 3)")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each (default: 2)")
    parser.add_argument(
        "--questions", nargs="*", default=[q.name for q in QUESTIONS], help="which tables (default: all)"
    )
    parser.add_argument("--methods", nargs="*", help="only these methods (default: all that can)")
    parser.add_argument("--base-steps", type=int, help="training steps of the base model (default: the recipe's)")
    parser.add_argument("--json", metavar="FILE", help="also write every figure and curve as JSON")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    seeds = range(1, args.seeds + 1)
    everything: dict[str, list[dict[str, Any]]] = {}
    with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
        for question in (q for q in QUESTIONS if q.name in args.questions):
            methods = [m for m in methods_for(question) if not args.methods or m in args.methods]
            experiment = Experiment(
                store=os.path.abspath(args.artifacts),
                data=question.data,
                forget=question.forget,
                shadow_models=question.shadow_models,
            )
            if args.base_steps:
                experiment = replace(experiment, base=replace(experiment.base, train_steps=args.base_steps))
            pool.submit(prepare, experiment, methods, seeds).result()
            waiting = [pool.submit(run, experiment, m, s) for m in (*CONTROLS, *methods) for s in seeds]
            results = []
            for done in as_completed(waiting):
                results.append(done.result())
                said = f"{question.name}: {results[-1]['method']} seed {results[-1]['seed']} {results[-1]['state']}"
                print(f"{len(results)}/{len(waiting)} {said}", file=sys.stderr, flush=True)
            everything[question.name] = results
            print("\n".join(table(question, results, [*CONTROLS, *methods])), flush=True)
    if args.json:
        Path(args.json).write_text(json.dumps(everything, indent=1) + "\n")
    return 0


def table(question: Question, results: list[dict[str, Any]], order: list[str]) -> list[str]:
    """A Markdown table of means over seeds, with 95 % t intervals where noise matters."""
    by_method: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for result in sorted(results, key=lambda r: r["seed"]):
        by_method[result["method"]].append(result)
    malicious = any(r["figures"].get("malicious_robustness") is not None for r in results)
    head = ["method", "unlearning accuracy", "retain accuracy", "fid_delta", "unlearn core-s", "robustness (DiMRA)"]
    head += ["1 - AURC malicious"] * malicious + ["membership AUC", "after DiMRA 1e-3", "seeds"]
    lines = [f"\n## {question.name}: {question.data}, forget {question.forget}\n", "| " + " | ".join(head) + " |"]
    lines.append("|" + "---|" * len(head))
    for method in order:
        ended = [r for r in by_method[method] if r["state"] == "COMPLETE"]
        failed = [r for r in by_method[method] if r["state"] != "COMPLETE"]
        cells = [method]
        for figure in ("unlearning_accuracy", "retain_accuracy", "fid_delta"):
            values = [r["figures"].get(figure) for r in ended]
            cells.append(interval(values, 1) if figure == "fid_delta" else interval(values, 3, share=True))
        cells.append(interval([r["unlearn_s"] for r in ended], 1, spread=False))
        cells.append(interval([r["figures"].get("robustness") for r in ended], 3, share=True))
        if malicious:
            cells.append(interval([r["figures"].get("malicious_robustness") for r in ended], 3, share=True))
        cells.append(interval([r["figures"].get("membership_auc") for r in ended], 2, share=True))
        cells.append(interval([after(r, "DiMRA retain 1e-3", "membership_auc") for r in ended], 2, share=True))
        cells.append(f"{len(ended)}" + (f"; {len(failed)} failed: {failed[0]['cause']}" if failed else ""))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def after(result: dict[str, Any], attack: str, metric: str) -> float | None:
    """A figure after the last step of an attack."""
    rows = [r for r in result["curves"] if (r["attack"], r["metric"]) == (attack, metric) and r["attack_step"]]
    return max(rows, key=lambda r: r["attack_step"])["value"] if rows else None


def interval(values: list[float | None], digits: int, spread: bool = True, share: bool = False) -> str:
    """Mean [95 % t interval over seeds], a share's within [0, 1]; a dash where there is no figure."""
    known = [v for v in values if v is not None]
    if not known:
        return "-"
    mean = statistics.fmean(known)
    if len(known) < 2 or not spread:
        return f"{mean:.{digits}f}"
    half = student.ppf(0.975, len(known) - 1) * statistics.stdev(known) / len(known) ** 0.5
    low, high = (max(mean - half, 0.0), min(mean + half, 1.0)) if share else (mean - half, mean + half)
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


if __name__ == "__main__":
    sys.exit(main())
