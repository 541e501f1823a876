"""What a verdict costs by which sampler, and whether it ranks settings as the public protocol does.

    python -m benchmarks.verdict train OUT                       12 settings that pass the gate, unlearned and attacked
    python -m benchmarks.verdict draw OUT --by ancestral-1000                    the reference and its retest; resumable
    python -m benchmarks.verdict draw OUT --by ddim-20 ddim-10 dpmsolver++-5
    python -m benchmarks.verdict table OUT --against dpmsolver++-25

A verdict is one setting unlearned, attacked along the ladder (DiMRA on retained images, 1e-3, K = 63) and scored: fid_delta and
unlearning accuracy of θᵤ, and 1 - AURC@63. The reference draws as the field's CIFAR code does, by 1,000 ancestral steps
(Ho et al. 2020, arXiv 2006.11239), N = 1,000 images a setting: 100 of what was forgotten and 50 of each retained condition from θᵤ,
75 of what was forgotten at each of six rungs. Other samplers draw what a trial of a search draws: 128, 50 and 128.

``OUT/settings.jsonl`` holds settings and seconds of training, ``OUT/verdicts.jsonl`` a line a verdict, ``OUT/models`` the weights,
which are trained again where they are missing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from diffusers import DDPMScheduler, UNet2DModel
from scipy.stats import kendalltau

from benchmarks.search.record import sobol
from sweep.space.find import load
from trainables.denoisers.recipes import BaseModel
from trainables.diffusion import predict, starting_noise
from trainables.metrics import aurc
from trainables.relearning.experiment import AttackPlan, Experiment, Limit, Samples, TrialSpec, stream
from trainables.relearning.products import make_classifier, make_model, make_reference, model_key
from trainables.relearning.products.models import base_of
from trainables.relearning.stages.score import Sampling, make_score, measured
from trainables.relearning.stages.trajectory import Trajectory
from trainables.relearning.trial import Pipeline
from trainables.relearning.workbench import Workbench
from trainables.running.report import Report

SPACE, ARM, SETTINGS = "dimum_robustness", "dimum", 12
RUNGS = (0, 1, 3, 7, 15, 31, 63)
ATTACK = AttackPlan("dimra-retain-1e-3", "dimra", {"auxiliary": "retain", "learning_rate": 1e-3})
REFERENCE = "ancestral-1000"
FIGURES = ("fid_delta", "unlearning_accuracy", "robustness")
Networks = dict[int, UNet2DModel]  # by rung, θᵤ at 0
Draws = dict[int, dict[str, dict[str, float]]]  # by sampling seed, each figure by setting


@dataclass(frozen=True)
class Counts:
    """Images of a verdict: of what was forgotten and of each retained condition from θᵤ, and at every later rung."""

    forgotten: int
    per_retained: int
    rung: int


SEARCH, PUBLIC = Counts(128, 50, 128), Counts(100, 50, 75)


class Bench:
    """The default question's experiment with its products, kept under OUT, and the settings' models."""

    def __init__(self, out: Path) -> None:
        torch.set_num_threads(1)
        self.out = out
        (out / "models").mkdir(parents=True, exist_ok=True)
        self.experiment = Experiment(store=str(out / "artifacts"))
        make_classifier(self.experiment)
        make_model(self.experiment, "base")
        make_reference(self.experiment)

    def spec(self, name: str, settings: dict[str, Any], gate: tuple[Limit, ...], sd: float) -> TrialSpec:
        return TrialSpec(name, 0, self.experiment, ARM, settings, 0, (), RUNGS, gate=gate, fid_delta_sd=sd)

    def settings(self) -> list[dict[str, Any]]:
        """What `train` has found: name, settings, and core-seconds of unlearning and of attacking."""
        return list(lines(self.out / "settings.jsonl"))

    def networks(self, name: str) -> Networks:
        """The models of a setting, or θ₀ under the name ``base``."""
        bench = Workbench(self.experiment)
        if name == "base":
            return {0: base_of(bench)}
        networks = {}
        if not (self.out / "models" / f"{name}@{RUNGS[-1]}.safetensors").exists():
            (row,) = [row for row in self.settings() if row["name"] == name]
            spec = self.spec(name, row["settings"], (), 0.0)
            _attacked(self, spec, _unlearned(spec)[0].unlearned)
        for rung in RUNGS:
            networks[rung] = UNet2DModel(**BaseModel().config(self.experiment.dataset)).eval()
            networks[rung].load_state_dict(
                safetensors.torch.load_file(self.out / "models" / f"{name}@{rung}.safetensors")
            )
        return networks


def train(bench: Bench) -> None:
    """Settings of the arm, quasi-random, until so many have passed the gate; each is unlearned and attacked."""
    base = make_score(bench.experiment, model_key(bench.experiment, "base"), Samples(), 0).facts["figures"]["fid"]
    fids = [
        make_score(bench.experiment, model_key(bench.experiment, "base"), Samples(), s).facts["figures"]["fid"]
        for s in range(5)
    ]
    bound, noise = 0.25 * base, 2**0.5 * float(np.std(fids, ddof=1))
    gate = (Limit("fid_delta", bound, True, bound / 2), Limit("unlearning_accuracy", 0.95, False, 0.475))
    arm = next(arm for arm in load(SPACE).arms if arm.name == ARM)
    found = {row["name"]: row for row in bench.settings()}
    for number, settings in enumerate(sobol(arm, 256, 0)):
        if sum(row["passed"] for row in found.values()) == SETTINGS:
            break
        name = f"{ARM}-{number:03d}"
        if name not in found:
            found[name] = _trained(bench, bench.spec(name, settings, gate, noise))
            append(bench.out / "settings.jsonl", found[name])
            print(found[name], flush=True)


def _unlearned(spec: TrialSpec) -> tuple[Pipeline, Report]:
    """The trial run to its end, or to where the gate stops it."""
    pipeline = Pipeline(spec)
    report = pipeline.step()
    while report.state is None:
        report = pipeline.step()
    return pipeline, report


def _trained(bench: Bench, spec: TrialSpec) -> dict[str, Any]:
    """Unlearn, ask the gate, and keep the model at each rung of the attack."""
    pipeline, report = _unlearned(spec)
    row = {
        "name": spec.trial_id,
        "settings": spec.settings,
        "passed": report.state == "COMPLETE",
        "cause": report.cause,
    }
    if not row["passed"]:
        return row
    unlearned = Workbench(bench.experiment).store.get(pipeline.unlearned)
    row["unlearn_core_s"] = unlearned.facts["core_s"]
    return row | {"attack_core_s": _attacked(bench, spec, pipeline.unlearned)}


def _attacked(bench: Bench, spec: TrialSpec, unlearned: str) -> float:
    """Keep the model at each rung of the attack on the unlearned one of this key; its core-seconds."""
    run, start = Trajectory(Workbench(bench.experiment), spec, ATTACK, unlearned).begin(), time.process_time()
    name = spec.trial_id
    for rung in RUNGS:
        run.advance(rung)
        weights = {k: v.detach().clone() for k, v in run.model.state_dict().items()}
        safetensors.torch.save_file(weights, bench.out / "models" / f"{name}@{rung}.safetensors")
    return time.process_time() - start


def draw(bench: Bench, samplers: Iterable[str], seeds: Iterable[int]) -> None:
    """The verdict on every setting by every sampler, once for each sampling seed; what is there is not drawn again."""
    path = bench.out / "verdicts.jsonl"
    done = {(row["by"], row["repeat"], row["name"]) for row in lines(path)}
    names = ["base", *(row["name"] for row in bench.settings() if row["passed"])]
    for repeat in seeds:
        for name in names:  # samplers in turn, so that a machine's moods are shared
            for by in samplers:
                if (by, repeat, name) not in done:
                    row = {"by": by, "repeat": repeat, "name": name} | verdict(bench, bench.networks(name), by, repeat)
                    append(path, row)
                    print(row, flush=True)


def verdict(bench: Bench, networks: Networks, by: str, repeat: int) -> dict[str, Any]:
    """Figures and core-seconds of drawing and scoring."""
    counts = PUBLIC if by == REFERENCE else SEARCH
    kind, _, steps = by.rpartition("-")
    start, accuracy, figures = time.process_time(), {}, {}
    for rung, network in networks.items():
        samples = Samples(counts.rung, 0) if rung else Samples(counts.forgotten, counts.per_retained)
        if by == REFERENCE:
            sampling = Sampling(Workbench(bench.experiment), network, samples, 1000 + repeat)
            sampling.done = [ancestral(bench.experiment, network, sampling, stream(repeat, "ancestral", str(rung)))]
        else:
            kinds = {"ddim": "ddim", "dpmsolver++": "dpm-solver++"}
            experiment = replace(bench.experiment, image_sampler=kinds[kind], sampling_steps=int(steps))
            sampling = Sampling(Workbench(experiment), network, samples, repeat)
            sampling.advance()
        scored = measured(sampling.bench, sampling)
        accuracy[rung] = scored["relearning_accuracy"]
        if not rung:
            figures = {name: scored[name] for name in ("fid", "retain_accuracy", "relearning_accuracy")}
    return figures | {"accuracy_at": accuracy, "core_s": time.process_time() - start}


def ancestral(experiment: Experiment, network: UNet2DModel, sampling: Sampling, seed: int) -> torch.Tensor:
    """(N, C, H, W) images by 1,000 ancestral steps (Ho et al. 2020, Algorithm 2), σ² the smaller of its two choices."""
    scheduler = DDPMScheduler.from_config(experiment.noise_schedule().config, variance_type="fixed_small")
    scheduler.set_timesteps(scheduler.config["num_train_timesteps"])
    generator = torch.Generator().manual_seed(seed)
    images = starting_noise(tuple(sampling.noise.shape), seed)
    with torch.inference_mode():
        for timestep in scheduler.timesteps:
            predicted = predict(network, images, timestep, sampling.conditions)
            images = scheduler.step(predicted, timestep, images, generator=generator).prev_sample
    return images.clamp(-1, 1)


def table(bench: Bench, against: str) -> None:
    """Costs, and Kendall's τ of each figure with each draw by the sampler `against`, whose own are compared with one another.

    No two draws that begin with the same noise are compared: the reference's is its own, of two other samplers one seed's is one.
    """
    rows = list(lines(bench.out / "verdicts.jsonl"))
    training = {r["name"]: r["unlearn_core_s"] + r["attack_core_s"] for r in bench.settings() if r["passed"]}
    figures = {
        by: {repeat: _figures(rows, by, repeat) for repeat in sorted({r["repeat"] for r in rows if r["by"] == by})}
        for by in dict.fromkeys(r["by"] for r in rows)
    }
    print("| by | core-s a verdict, training included | without | " + " | ".join(f"τ of {f}" for f in FIGURES) + " |")
    print("|---|---|---|" + "---|" * len(FIGURES))
    for by, draws in figures.items():
        drawn = np.mean([r["core_s"] for r in rows if r["by"] == by and r["name"] != "base"])
        cells = [f"{drawn + np.mean(list(training.values())):.1f}", f"{drawn:.2f}"]
        for figure in FIGURES:
            pairs = list(_pairs(draws, figures.get(against, {}), by == against, against == REFERENCE))
            taus = [_tau(one[figure], other[figure]) for one, other in pairs]
            known = [tau for tau in taus if not np.isnan(tau)]  # a draw that has just begun ranks nothing
            fewest = min((len(one[figure].keys() & other[figure].keys()) for one, other in pairs), default=0)
            cells.append(f"{np.mean(known):.2f} ({len(known)} × {fewest})" if known else "–")
        print(f"| {by} | {' | '.join(cells)} |")


def _pairs(draws: Draws, reference: Draws, same: bool, own_noise: bool) -> Iterator[tuple[Any, Any]]:
    """A sampler's draws, each with each of the reference's that begins with other noise; of itself, one with another."""
    for repeat, one in draws.items():
        for other_repeat, other in reference.items():
            if (repeat < other_repeat) if same else (own_noise or repeat != other_repeat):
                yield one, other


def _figures(rows: list[dict[str, Any]], by: str, repeat: int) -> dict[str, dict[str, float]]:
    """The verdicts of one draw: each figure by setting."""
    mine = {r["name"]: r for r in rows if r["by"] == by and r["repeat"] == repeat}
    base = mine.pop("base", {"fid": 0.0})["fid"]  # one number for all: ranks do not depend on it
    figures: dict[str, dict[str, float]] = {figure: {} for figure in FIGURES}
    for name, row in mine.items():
        figures["fid_delta"][name] = row["fid"] - base
        figures["unlearning_accuracy"][name] = 1 - row["relearning_accuracy"]
        figures["robustness"][name] = 1 - aurc({int(k): v for k, v in row["accuracy_at"].items()})
    return figures


def _tau(one: dict[str, float], other: dict[str, float]) -> float:
    """Kendall's τ_b over the settings that both have."""
    names = sorted(one.keys() & other.keys())
    return float(kendalltau([one[n] for n in names], [other[n] for n in names]).statistic)


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file of JSON lines; none where there is no file."""
    if path.exists():
        yield from (json.loads(line) for line in path.read_text().splitlines())


def append(path: Path, row: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "draw", "table"))
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument(
        "--by", nargs="+", default=["ddim-10"], metavar="SAMPLER", help=f"ddim-N, dpmsolver++-N or {REFERENCE}"
    )
    parser.add_argument(
        "--seeds",
        nargs="+",
        type=int,
        default=[0, 1],
        metavar="N",
        help="of sampling (default: 0 1), a process each perhaps",
    )
    parser.add_argument(
        "--against", default=REFERENCE, metavar="SAMPLER", help="the table's reference (default: %(default)s)"
    )
    args = parser.parse_args()
    bench = Bench(args.out)
    if args.what == "train":
        train(bench)
    elif args.what == "draw":
        draw(bench, args.by, args.seeds)
    else:
        table(bench, args.against)


if __name__ == "__main__":
    main()
