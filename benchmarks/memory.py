"""Estimated memory against measured peaks: ``python -m benchmarks.memory FOLDER`` prints the table.

A text U-Net of Stable Diffusion's shapes at two fifths of its widths, 138 million parameters of random weights, with a text
encoder of 1.4's size. Each row is a process of its own that loads what a trial loads and takes two steps of unlearning, or of an
attack on θ₀, on a CPU; its peak is VmHWM. The estimate is what ``--dry-run`` counts of the same settings, on the meta device.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import large_model

WIDTH, LATENTS, BATCH = 128, 16, 8
# (method, or an attack; what trains; gradient checkpointing)
ROWS = (
    ("fine_tune", "all", False),
    ("fine_tune", "all", True),
    ("label_swap", "all", False),
    ("esd", "cross_attention", True),
    ("fine_tune", "lora", False),
    ("dimra", "all", False),
    ("erase_diff", "all", True),
    ("fine_tune", "cross_attention", False),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where data and artifacts go; what is there already is taken")
    parser.add_argument("--row", type=int, help="what a process of its own does; asked by the benchmark itself")
    args = parser.parse_args()
    if args.row is not None:
        run_row(args, *ROWS[args.row])
        return 0
    if not (args.folder / "store").is_dir():
        large_model.write_prompts(_arguments(args))
        large_model.prepare(_arguments(args))
    print("| | trains | checkpointing | estimate, GB | measured, GB | ratio |\n|---|---|---|---|---|---|")
    for number, (name, trained, checkpointing) in enumerate(ROWS):
        command = [sys.executable, "-m", "benchmarks.memory", str(args.folder.resolve()), "--row", str(number)]
        done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"| {name} | {trained} | {checkpointing} | fails: {done.stderr.strip().splitlines()[-1][:120]} | | |")
            continue
        measurement = json.loads(done.stdout.splitlines()[-1])
        ratio = measurement["estimate"] / measurement["peak"]
        figures = f"{measurement['estimate'] / 1e9:.2f} | {measurement['peak'] / 1e9:.2f} | {ratio:.2f}"
        print(f"| {name} | {trained} | {'on' if checkpointing else 'off'} | {figures} |", flush=True)
    return 0


def _arguments(args: argparse.Namespace, **changes: Any) -> argparse.Namespace:
    how = {"width": WIDTH, "latents": LATENTS, "batch": BATCH, "text": True, "trained": "all", "checkpointing": False}
    return argparse.Namespace(**{"folder": args.folder, "method": "fine_tune"} | how | changes)


def run_row(args: argparse.Namespace, name: str, trained: str, checkpointing: bool) -> None:
    import torch

    from sweep.relearning.text_memory import How, Run, TextModel
    from trainables.attacks import ATTACKS
    from trainables.relearning.experiment import AttackPlan
    from trainables.relearning.products import Workbench, model_key
    from trainables.relearning.stages.trajectory import Trajectory
    from trainables.relearning.stages.unlearn import UnlearnStage

    torch.set_num_threads(1)
    attacks = name in ATTACKS.names()
    values = _arguments(args, trained=trained, checkpointing=checkpointing, method="fine_tune" if attacks else name)
    spec = large_model.spec_of(values)
    bench = Workbench(spec.experiment)
    if attacks:
        settings = {"trained_parameters": trained, "batch": BATCH, "learning_rate": 1e-5}
        plan = AttackPlan(name, name, settings)
        Trajectory(bench, replace(spec, rungs=(0, 2)), plan, model_key(spec.experiment, "base")).run.advance(2)
    else:
        settings = spec.settings
        UnlearnStage(bench, spec).run.advance(2)
    peak = large_model.status("VmHWM") * 1024
    model = TextModel(spec.experiment.base, images=1, guided=True)
    run, how = Run(name, name, settings, attacks), How(checkpointing=checkpointing)
    kept = {part: size for part, size in model.kept([run], how).items() if part != "VAE"}  # no row draws a sample
    estimate = model.peak(run, how, kept)
    print(json.dumps({"peak": peak, "estimate": estimate.bytes, "parts": dict(estimate.parts)}))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
