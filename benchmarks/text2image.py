"""Every unlearning method on prompts: ``python -m benchmarks.text2image`` prints the tables of benchmarks/text2image.md.

Each method makes the small text-to-image model that is trained here forget a concept, on each seed, through the stages that every
sweep's trials run through; the untouched base model and the retrain control stand beside. Finished stages are found in the
artifact store, so a run that was stopped goes on, and a second one only prints.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.methods import CONTROLS, interval
from trainables.relearning.experiment import Experiment, Samples, TrialSpec

SAMPLES = Samples(forgotten=120, per_retained=1)  # of every forgotten prompt in turn, and of each retained prompt
TRAINED: dict[str, Any] = {"learning_rate": 1e-3, "steps": 150}
ANCHOR = {"alternative": "anchor"}
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {  # by the name of a row: the method, and what is not its default
    "fine_tune": ("fine_tune", TRAINED),
    "neg_grad_plus": ("neg_grad_plus", TRAINED),
    "label_swap": ("label_swap", TRAINED | ANCHOR),
    "salun": ("salun", TRAINED | ANCHOR),
    "dimum": ("dimum", TRAINED | {"replacement": "anchor"}),
    "concept_ablation, noise": ("concept_ablation", TRAINED | ANCHOR | {"variant": "noise"}),
    "concept_ablation, model": ("concept_ablation", TRAINED | ANCHOR),
    "esd-x": ("esd", TRAINED | {"trained_parameters": "cross_attention"}),
    "esd-x-strict": ("esd", TRAINED | {"trained_parameters": "cross_attention_kv"}),
    "esd-u": ("esd", TRAINED | {"trained_parameters": "rest"}),
    "esd, all": ("esd", TRAINED),
    "sdd": ("sdd", {"trained_parameters": "cross_attention"}),
    "erase_diff": ("erase_diff", TRAINED | ANCHOR),
    "scissorhands": ("scissorhands", TRAINED | ANCHOR),
    "selective_amnesia": ("selective_amnesia", TRAINED),
    "sfr_on": ("sfr_on", TRAINED),
    "uce, last": ("uce", {}),
    "uce, tail": ("uce", {"positions": "tail"}),
    "uce, all": ("uce", {"positions": "all"}),
    "uce, nothing kept": ("uce", {"preserve_scale": 0.0}),
    "rece": ("rece", {}),
    "meta(esd-x)": ("meta(esd)", TRAINED | {"trained_parameters": "cross_attention"}),
    "meta(uce)": ("meta(uce)", {"learning_rate": 3e-4, "steps": 60}),
}
FIGURES = ("unlearning_accuracy", "retain_accuracy", "cross_facet_accuracy", "fid_delta")


def experiment_on(store: str, data: str, forget: str) -> Experiment:
    """The small model of the data set's prompts, made to forget, drawn as its recipe says."""
    from trainables.data import dataset
    from trainables.denoisers.recipes import classifier_recipe
    from trainables.denoisers.text_to_image import TextToImage

    data_set = dataset(data)
    base = TextToImage()
    return Experiment(
        store=store,
        data=data,
        forget=forget,
        base=base,
        classifier=classifier_recipe(data_set),
        sampling_steps=base.sampling_steps,
        guidance=base.guidance,
        data_fingerprint=data_set.fingerprint(),
    )


def prepare(
    experiment: Experiment,
    seeds: Iterable[int],
    samples: Samples = SAMPLES,
    methods: Iterable[str] = tuple(method for method, _ in SETTINGS.values()),
) -> dict[str, Any]:
    """Make what all trials share; what the judge says of held-out images, and what was trained in how many core-seconds."""
    import torch

    from trainables.relearning import products
    from trainables.relearning.shared_products import CLASSIFIER, SYNTHETIC, products_of
    from trainables.relearning.stages.score import make_score
    from trainables.running.products import waves

    torch.set_num_threads(1)
    graph = products_of(experiment, {need for method in methods for need in needs_of(method)})
    del graph[SYNTHETIC]  # no attack here trains on it
    made = {p.name: p.make() for wave in waves(graph) for p in wave}
    for seed in seeds:
        make_score(experiment, products.model_key(experiment, "base"), samples, seed)
    seconds = {name: artifact.facts["core_s"] for name, artifact in made.items() if "core_s" in artifact.facts}
    return {"judge": made[CLASSIFIER].facts["facet_accuracy"], "core_s": seconds}


def needs_of(method: str) -> tuple[str, ...]:
    """The shared artifacts that a method needs."""
    from trainables.unlearning import METHODS

    return METHODS[method].needs


def run(experiment: Experiment, row: str, seed: int) -> dict[str, Any]:
    """One row's method on one seed: its figures, and what became of it."""
    from trainables.relearning.trial import Pipeline
    from trainables.training.failure import failure_report

    method, settings = ("none", {}) if row in CONTROLS else SETTINGS[row]
    spec = TrialSpec(
        trial_id="benchmark",
        replicate=0,
        experiment=experiment,
        method=method,
        settings=settings,
        seed=seed,
        attacks=(),
        rungs=(0, 1),
        samples=SAMPLES,
        start=row if row in CONTROLS else "base",
    )
    result: dict[str, Any] = {"row": row, "seed": seed, "unlearn_s": None}
    try:
        pipeline = Pipeline(spec)
        while True:
            report = pipeline.step()
            if report.stage and report.stage["stage"] == "unlearn":
                result["unlearn_s"] = pipeline.bench.store.get(report.stage["key"]).facts["core_s"]
            if report.state:
                break
    except Exception:  # a method that diverges has a row of its own: what it ended with
        report = failure_report()
    return result | {"state": report.state, "cause": report.cause, "figures": report.figures}


def table(results: list[dict[str, Any]], rows: Iterable[str]) -> list[str]:
    """A Markdown table: means over seeds with 95 % t intervals."""
    head = [
        "method",
        "unlearning accuracy",
        "retain accuracy",
        "cross-facet accuracy",
        "fid_delta",
        "unlearn core-s",
        "seeds",
    ]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        of_row = sorted((r for r in results if r["row"] == row), key=lambda r: r["seed"])
        ended = [r for r in of_row if r["state"] == "COMPLETE"]
        failed = [r for r in of_row if r["state"] != "COMPLETE"]
        cells = [row]
        for figure in FIGURES:
            values = [r["figures"].get(figure) for r in ended]
            cells.append(interval(values, 1) if figure == "fid_delta" else interval(values, 3, share=True))
        cells.append(interval([r["unlearn_s"] for r in ended], 1, spread=False))
        cells.append(f"{len(ended)}" + (f"; {len(failed)} failed: {failed[0]['cause']}" if failed else ""))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0] + ".")
    parser.add_argument("--artifacts", default="runs/artifacts", help="artifact store (default: %(default)s)")
    parser.add_argument("--data", default="digits_styled", help="data set of prompts (default: %(default)s)")
    parser.add_argument("--forget", default="concept:three", help="what is forgotten (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds 1 … N (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each (default: %(default)s)")
    parser.add_argument(
        "--rows",
        nargs="*",
        default=list(SETTINGS),
        choices=list(SETTINGS),
        metavar="ROW",
        help="only these rows (default: all)",
    )
    parser.add_argument("--json", metavar="FILE", help="also write every figure as JSON")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    seeds, rows = range(1, args.seeds + 1), [*CONTROLS, *args.rows]
    experiment = experiment_on(os.path.abspath(args.artifacts), args.data, args.forget)
    with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
        prepared = pool.submit(prepare, experiment, seeds).result()
        print(json.dumps(prepared), flush=True)
        waiting = [pool.submit(run, experiment, row, seed) for row in rows for seed in seeds]
        results = []
        for done in as_completed(waiting):
            results.append(done.result())
            last = results[-1]
            said = ", ".join(f"{name} {last['figures'][name]:.3f}" for name in FIGURES if name in last["figures"])
            print(
                f"{len(results)}/{len(waiting)} {last['row']} seed {last['seed']} {last['state']} {said}",
                file=sys.stderr,
                flush=True,
            )
    print("\n".join(table(results, rows)), flush=True)
    if args.json:
        Path(args.json).write_text(json.dumps({"prepared": prepared, "results": results}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
