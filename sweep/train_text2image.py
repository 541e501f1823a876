"""Train a small text-to-image model: ``python -m sweep.train_text2image OUT``. Saves it as a diffusers pipeline.

OUT is a folder that ``StableDiffusionPipeline.from_pretrained`` loads (or SDXL's), and that ``sweep.launch --base`` takes: VAE,
CLIP text encoder and tokenizer, U-Net, all trained here on captioned images. They are kept in the artifact store as they are made,
where a sweep of the same data finds them, and a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.errors import Parser, UsageError, command, listen_to_signals, need
from sweep.plan.paths import absolute, in_storage
from sweep.plan.place import Place
from sweep.relearning.flag_values import data_wrong
from sweep.relearning.setup import Setup
from sweep.terminal.lines import Progress
from trainables.sampling.noise_schedule import EPSILON, PREDICTIONS

if TYPE_CHECKING:  # torch is imported once nothing is wrong with what was asked
    from trainables.relearning.experiment import Experiment

SAMPLES = 300  # that the judge is shown


def parser() -> Parser:
    p = Parser(
        "python -m sweep.train_text2image",
        description="Train a small text-to-image model on captioned images, and save it as a diffusers pipeline.",
        epilog="Stopped, it goes on where it was when it is run again with the same arguments.",
    )
    p.add_argument("folder", metavar="OUT", help="a new folder to save it in; one that holds files is refused")
    p.add_argument(
        "--data",
        default="digits_styled",
        metavar="NAME",
        help="data set of prompts: digits_styled or fashion_mnist_styled (default: %(default)s)",
    )
    p.add_argument("--data-folder", default="", metavar="DIR", help="where it lies (default: the data set's own place)")
    p.add_argument("--xl", action="store_true", help="a second text encoder and its pooled embedding, as SDXL has")
    p.add_argument(
        "--prediction",
        choices=PREDICTIONS,
        default=EPSILON,
        help="what the U-Net predicts (default: %(default)s)",
    )
    p.add_argument(
        "--without",
        default="",
        metavar="WHAT",
        help="what its U-Net is never shown, such as concept:three: the retrain control of unlearning that",
    )
    p.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is trained (default: %(default)s)")
    p.add_argument(
        "--minutes",
        type=float,
        default=None,
        metavar="M",
        help="train the U-Net for so long, as measured once on this machine (default: the recipe's own number of steps)",
    )
    p.add_argument(
        "--artifacts",
        default="",
        metavar="DIR|URI",
        help="artifact store of what it is made of (default: runs/artifacts, as a sweep's)",
    )
    p.add_argument(
        "--workers",
        type=int,
        default=min(2, os.cpu_count() or 1),
        metavar="N",
        help="what is trained at a time, each on a core (default: %(default)s)",
    )
    return p


@command
def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    folder, setup = Path(args.folder), _setup(args)
    _check(args, folder)
    progress = Progress()
    progress.line(f"reading {args.data}")
    setup = setup.fingerprinted()
    experiment = _experiment(args, setup)
    from trainables.store import CorruptArtifact, StoreUnusable

    listen_to_signals()
    try:
        print(_train(args, experiment, folder, progress))
    except KeyboardInterrupt as stop:
        stop.args = ("run it again to go on",)
        raise
    except (StoreUnusable, CorruptArtifact) as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: {error.strerror}") from None
    return 0


def _setup(args: argparse.Namespace) -> Setup:
    """The data, and what the model is never shown: of a model of everything, nothing that is looked at. UsageError as a sweep's."""
    data_wrong(args.data)
    folder = args.data_folder and absolute(args.data_folder)
    data = Setup(data=args.data, data_folder=folder).dataset()
    if not data.prompts:
        raise UsageError(f"--data {args.data}: it has no prompts; take digits_styled or fashion_mnist_styled")
    first = data.facets[0]
    forget = args.without or f"{first.name}:{first.labels[0]}"
    try:
        setup = Setup.asked({"data": args.data, "data_folder": folder, "forget": forget})
        setup.check()
    except UsageError as error:
        raise UsageError(str(error).replace("--forget", "--without")) from None
    return setup


def _check(args: argparse.Namespace, folder: Path) -> None:
    """UsageError for what can be seen to be wrong before anything is trained."""
    need("transformers", extra="text2image")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: exists and is not an empty folder; a pipeline is saved in one of its own")
    if args.minutes is not None and not (math.isfinite(args.minutes) and args.minutes > 0):
        raise UsageError(f"--minutes {args.minutes:g}: must be a positive number")
    for option, value, least in (("--workers", args.workers, 1), ("--seed", args.seed, 0)):
        if value < least:
            raise UsageError(f"{option} {value}: must be at least {least}")
    try:
        folder.mkdir(parents=True, exist_ok=True)  # before minutes are spent on what could not be saved
    except OSError as error:
        raise UsageError(f"{folder}: cannot be made ({error.strerror}); name another folder") from None


def _experiment(args: argparse.Namespace, setup: Setup) -> Experiment:
    """What is trained, as a sweep of the same data trains it."""
    from sweep.relearning.experiments import experiment_of
    from trainables.denoisers.sizes import TEXT_SIZES
    from trainables.denoisers.text_to_image import TextToImage
    from trainables.relearning.whole_pipeline import steps_in

    recipe = TextToImage(**TEXT_SIZES["text-xl" if args.xl else "text"] | {"prediction_type": args.prediction})
    experiment = experiment_of(
        setup, absolute(args.artifacts or in_storage("", "artifacts")), Place(workers=args.workers)
    )
    experiment = dataclasses.replace(experiment, base=recipe, base_seed=args.seed)
    if args.minutes is None:
        return experiment
    steps = steps_in(experiment, args.minutes)
    return dataclasses.replace(experiment, base=dataclasses.replace(recipe, train_steps=steps))


def _train(args: argparse.Namespace, experiment: Experiment, folder: Path, progress: Progress) -> Path:
    """Make what is not there yet, say what the judge says of it, and save it in the folder, which is returned."""
    from sweep.driver.processes import side_by_side
    from sweep.procedures.making import make_all
    from sweep.relearning.watch import progress as how_far
    from trainables.relearning.origins import parts_of
    from trainables.relearning.shared_products import CLASSIFIER, MODELS, products_of
    from trainables.relearning.whole_pipeline import obeyed, save_whole
    from trainables.store import Store

    which = "retrain" if args.without else "base"
    model = next(name for name, of in MODELS.items() if of == which)
    everything, store = products_of(experiment), Store(experiment.store)
    graph = {name: everything[name] for name in (CLASSIFIER, *parts_of(experiment), model)}
    store.check()
    missing = [name for name, product in graph.items() if store.whole(product.key()) is None]
    progress.line(f"training {', '.join(missing)}" if missing else "all is there")

    def tell(waiting: Sequence[str]) -> None:
        progress.line(how_far(graph, store, waiting))

    made = make_all(graph, side_by_side(args.workers, tell), store)
    times = (f"{name} {made[name].facts['core_s']:.0f}" for name in graph if "core_s" in made[name].facts)
    progress.line(f"core-seconds: {', '.join(times)}")
    verdict = [one.text for one in obeyed(experiment, which, SAMPLES, args.seed)]
    for text in verdict:
        progress.line(text)
    steps = f"The U-Net was trained for {graph[model].steps} steps, on seed {args.seed}."
    measured = "\n".join(
        ["## What was measured\n", steps, f"Drawn with {experiment.sampler}:\n", *(f"- {t}" for t in verdict), ""]
    )
    try:
        return save_whole(experiment, which, folder, measured)
    except ValueError as error:
        raise UsageError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
