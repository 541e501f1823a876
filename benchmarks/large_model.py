"""A model of 892 million parameters through a trial's own stages: ``python -m benchmarks.large_model FOLDER`` prints the table.

A class-conditional UNet2DModel with random weights, as near to Stable Diffusion 1.4's as that class comes: its widths (320, 640,
1280, 1280), and three layers a block for two, which make up for the transformers that it lacks. Images are random, 8 pixels a
side. Every row is a process of its own: what all trials share is prepared; unlearning takes one of its two steps, leaves its
checkpoint and is killed by SIGKILL; another process goes on with the second; the model is scored; and attacked for two steps,
with a rung after each. Peak memory is VmHWM; bytes written are those handed to write calls.

``--text`` takes Stable Diffusion 1.4's own U-Net, 860 million parameters, VAE and text encoder instead, of random weights too, in
a pipeline's folder by diffusers: latents of 8×8, images of 64×64, a few prompts.

``--code DIR`` measures another checkout of this repository, by a copy of this file. ``--width 160`` halves the widths. A process
that takes more memory than ``--gib`` is killed, so that what does not fit fails alone.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STAGES = ("prepare", "unlearn, killed", "unlearn, resumed", "score", "attack, step 1", "attack, step 2")
SIDE, CLASSES, PICTURES = 8, 3, 10
PROMPTS = (  # prompt, role, concept
    ("a photo of a cat", "forget", "cat"),
    ("a drawing of a cat", "forget", "cat"),
    ("a photo of a dog", "retain", "dog"),
    ("a photo of a house", "retain", "house"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where data and artifacts go; what is there of an earlier run goes")
    parser.add_argument("--code", type=Path, default=Path(__file__).parents[1], help="the checkout to measure")
    parser.add_argument("--width", type=int, default=320, help="channels of the first level")
    parser.add_argument("--trained", default="all", help="which parameters unlearning and the attack train")
    parser.add_argument("--text", action="store_true", help="Stable Diffusion 1.4's own U-Net, which is told prompts")
    parser.add_argument("--batch", type=int, default=2, help="images a step")
    parser.add_argument("--latents", type=int, default=8, help="with --text, a side of the latents")
    parser.add_argument("--method", default="label_swap", help="how it unlearns")
    parser.add_argument("--checkpointing", action="store_true", help="gradient checkpointing")
    parser.add_argument("--gib", type=float, default=20.0, help="memory that a process may take")
    parser.add_argument(
        "--begin", choices=STAGES, default=STAGES[0], help="go on in a folder in which those before are done"
    )
    parser.add_argument("--stage", choices=STAGES, help="what a process of its own does; asked by the benchmark itself")
    args = parser.parse_args()
    if args.stage:
        run_stage(args)
        return 0
    if args.begin == STAGES[0]:
        shutil.rmtree(args.folder, ignore_errors=True)
        write_prompts(args) if args.text else write_pictures(args.folder / "pictures")
    print("| stage | peak memory, GB | bytes written, GB | s |\n|---|---|---|---|")
    for stage in STAGES[STAGES.index(args.begin) :]:
        figures = measured(args, stage)
        print(f"| {stage} | {figures} |", flush=True)
        if "fails" in figures:
            return 1
    kept = sum(f.stat().st_size for f in (args.folder / "store").rglob("*") if f.is_file())
    print(f"\nin the store at the end: {kept / 1e9:.2f} GB")
    return 0


def measured(args: argparse.Namespace, stage: str) -> str:
    """A stage's figures, in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), str(args.folder.resolve()), "--stage", stage]
    command += ["--width", str(args.width), "--trained", args.trained]
    if args.text or args.checkpointing:  # another checkout may not know these
        command += ["--batch", str(args.batch), "--latents", str(args.latents), "--method", args.method]
        command += ["--text"] * args.text + ["--checkpointing"] * args.checkpointing
    process = subprocess.Popen(
        command,
        cwd=args.code,
        env=os.environ | {"PYTHONPATH": str(args.code.resolve()), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None:
        if status("VmRSS", process.pid) > args.gib * 2**20:
            process.kill()
            process.wait()
            return f"fails: takes more than {args.gib:g} GiB | |"
        time.sleep(0.1)
    output, error = process.communicate()
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    wanted = -signal.SIGKILL if stage.endswith("killed") else 0
    if process.returncode != wanted or not lines:
        return f"fails: {(error.strip().splitlines() or ['killed'])[-1][:160]} | |"
    figures = lines[-1]
    return f"{figures['peak'] / 1e9:.2f} | {figures['written'] / 1e9:.2f} | {figures['seconds']:.0f}"


def run_stage(args: argparse.Namespace) -> None:
    began = time.monotonic()
    Path("/proc/self/oom_score_adj").write_text(
        "1000"
    )  # should the machine run out of memory, it is this process that goes
    if args.stage == "prepare":
        prepare(args)
    else:
        from trainables.relearning.trial import Pipeline

        pipeline = Pipeline(spec_of(args))
        for report in finished(pipeline, one_step=args.stage.endswith("killed")):
            if report.stage and not report.stage["found"]:
                break
    print(json.dumps({"peak": status("VmHWM") * 1024, "written": io("wchar"), "seconds": time.monotonic() - began}))
    sys.stdout.flush()
    if args.stage.endswith("killed"):
        os.kill(os.getpid(), signal.SIGKILL)


def finished(pipeline: Any, one_step: bool) -> Iterator[Any]:
    """The reports of steps until the first stage that had to be made; with `one_step`, of one training step alone."""
    if one_step:
        yield pipeline.step(0.0)
        return
    while True:
        report = pipeline.step(3600.0)
        yield report
        if report.state:
            return


def status(name: str, pid: int | str = "self") -> int:
    """Kibibytes that the kernel says of a process; 0 of one that has ended."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


def io(name: str) -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


def write_pictures(folder: Path) -> None:
    """Random pictures of each class, the same every time."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for split, pictures in (("train", PICTURES), ("test", PICTURES)):
        for name in range(CLASSES):
            (folder / split / f"class{name}").mkdir(parents=True)
            for number in range(pictures):
                pixels = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / f"class{name}" / f"{number}.png")


def write_prompts(args: argparse.Namespace) -> None:
    """A pipeline of random weights, and a table of prompts with a few random pictures of each."""
    import numpy as np
    from PIL import Image

    from benchmarks.text_pipeline import save_pipeline

    save_pipeline(args.folder / "pipeline", args.width, args.latents)
    data, rng, side = args.folder / "prompts", np.random.default_rng(0), 8 * args.latents
    (data / "train").mkdir(parents=True)
    table, captions = ["prompt,role,concept"], ["file_name,text"]
    for number, row in enumerate(PROMPTS):
        table.append(",".join(row))
        for copy in range(PICTURES):
            name = f"{number}-{copy}.png"
            Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(data / "train" / name)
            captions.append(f"{name},{row[0]}")
    (data / "prompts.csv").write_text("\n".join(table))
    (data / "train" / "metadata.csv").write_text("\n".join(captions))


def experiment_of(args: argparse.Namespace) -> Any:
    return text_experiment(args) if args.text else class_experiment(args)


def text_experiment(args: argparse.Namespace) -> Any:
    from dataclasses import replace

    from trainables.data import dataset
    from trainables.denoisers.digests import hashed
    from trainables.denoisers.pipelines import fitted, read_pipeline
    from trainables.denoisers.recipes import ClassifierRecipe
    from trainables.relearning.experiment import Experiment

    folder, side = str(args.folder / "prompts"), 8 * args.latents
    data = dataset("prompts", folder, side)
    base = fitted(read_pipeline(str(args.folder / "pipeline")), data)
    digest = args.folder / "digest.json"  # of gigabytes, taken once
    if not digest.is_file():
        pretrained = hashed(base)
        digest.write_text(json.dumps({"digest": pretrained.digest, "text_digest": pretrained.text_digest}))
    return Experiment(
        store=str(args.folder / "store"),
        data="prompts",
        data_folder=folder,
        image_size=side,
        forget="concept:cat",
        base=replace(base, **json.loads(digest.read_text())),
        classifier=ClassifierRecipe(width=4, features=8, train_steps=5, batch=8),
        sampling_steps=2,
        guidance=2.0,
        data_fingerprint=data.fingerprint(),
        checkpointing=args.checkpointing,
    )


def class_experiment(args: argparse.Namespace) -> Any:
    from dataclasses import replace

    from trainables.denoisers.recipes import BaseModel, ClassifierRecipe
    from trainables.relearning.experiment import Experiment

    base = BaseModel(
        channels=(args.width, 2 * args.width, 4 * args.width, 4 * args.width),
        layers_per_block=3,
        norm_groups=32,
        attention_below=SIDE,
        train_steps=0,
        ema_decay=0.0,
        batch=2,
    )
    experiment = Experiment(
        store=str(args.folder / "store"),
        data="image_folder",
        data_folder=str(args.folder / "pictures"),
        image_size=SIDE,
        forget="class1",
        base=base,
        classifier=ClassifierRecipe(width=4, features=8, train_steps=5, batch=8),
        sampling_steps=2,
    )
    return replace(experiment, data_fingerprint=experiment.dataset.fingerprint())


def spec_of(args: argparse.Namespace) -> Any:
    from trainables.relearning.experiment import AttackPlan, Samples, TrialSpec

    how = {"batch": args.batch, "trained_parameters": args.trained}
    return TrialSpec(
        trial_id="large",
        replicate=0,
        experiment=experiment_of(args),
        method=args.method,
        settings={"steps": 2, "learning_rate": 1e-5, "ema_decay": 0.0} | how,
        seed=0,
        attacks=(AttackPlan("dimra", "dimra", {"learning_rate": 1e-5} | how),),
        rungs=(0, 1, 2),
        samples=Samples(forgotten=4, per_retained=4),
        attacked_per_retained=2,
    )


def prepare(args: argparse.Namespace) -> None:
    from trainables.relearning.origins import parts_of
    from trainables.relearning.products import make_classifier, make_model, make_reference, model_key
    from trainables.relearning.stages.score import make_score

    experiment = experiment_of(args)
    make_classifier(experiment)
    for part in parts_of(experiment).values():
        part.make()
    make_model(experiment, "base")
    make_reference(experiment)
    spec = spec_of(args)
    make_score(experiment, model_key(experiment, "base"), spec.samples, spec.seed)


if __name__ == "__main__":
    sys.exit(main())
