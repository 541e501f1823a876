"""Base models by recipe: ``python -m benchmarks.base_models FOLDER --recipe 1300,128,4e-3 1300,64,1e-2 --seeds 0 1``.

Trains the digits' small base model with so many steps, images a batch and learning rate, and scores it as the default question
does in a search: 50 of each retained condition and 128 of class 3, DDIM-10, classifier features, three sampling seeds. Recipes take
turns. The classifier and the reference statistics lie in FOLDER/artifacts; the models are not kept.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from trainables.denoisers.models import training_run
from trainables.denoisers.recipes import BaseModel
from trainables.relearning.experiment import Experiment, Samples
from trainables.relearning.products import make_classifier, make_reference
from trainables.relearning.stages.score import Sampling, measured
from trainables.relearning.workbench import Workbench

SAMPLING_SEEDS = range(3)
FIGURES = ("fid", "retain_accuracy", "relearning_accuracy")


def recipe(text: str) -> BaseModel:
    """``STEPS,BATCH,RATE`` as a recipe. ValueError for anything else."""
    steps, batch, rate = text.split(",")
    return BaseModel(train_steps=int(steps), batch=int(batch), learning_rate=float(rate))


def trained_and_scored(bench: Workbench, base: BaseModel, seed: int) -> tuple[float, np.ndarray]:
    """Core-seconds of training, and the figures of each sampling seed, (3, 3)."""
    experiment = bench.experiment
    start = time.process_time()
    run = training_run(base, experiment.dataset, experiment.splits().train, seed, experiment.device)
    run.advance(base.train_steps)
    model, core_s = run.trained(), time.process_time() - start
    figures = []
    for sampling_seed in SAMPLING_SEEDS:
        sampling = Sampling(bench, model, Samples(), sampling_seed)
        sampling.advance()
        scored = measured(bench, sampling)
        figures.append([scored[name] for name in FIGURES])
    return core_s, np.array(figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--recipe", nargs="+", type=recipe, required=True, metavar="STEPS,BATCH,RATE")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="N", help="of training (default: 0)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    bench = Workbench(Experiment(store=str(args.folder / "artifacts")))
    make_classifier(bench.experiment)
    make_reference(bench.experiment)
    print(
        "| steps | batch | learning rate | seed | core-s | FID, mean of three (each) | retain accuracy | of class 3 |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for seed in args.seeds:
        for base in args.recipe:
            core_s, figures = trained_and_scored(bench, base, seed)
            fid, retained, forgotten = figures.mean(axis=0)
            each = ", ".join(f"{value:.1f}" for value in figures[:, 0])
            cells = [
                base.train_steps,
                base.batch,
                f"{base.learning_rate:g}",
                seed,
                f"{core_s:.0f}",
                f"{fid:.1f} ({each})",
            ]
            print(f"| {' | '.join(map(str, cells))} | {retained:.3f} | {forgotten:.3f} |", flush=True)


if __name__ == "__main__":
    main()
