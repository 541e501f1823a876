"""What a sweep of very many trials costs its driver: ``python -m benchmarks.driver FOLDER --nodes 50 --trials 1000``.

A cluster of simulated nodes on this machine, each a raylet with one slot, and a driver of its own process:
`sweep.driver.sweep.drive` with the agenda, sampler, records, TensorBoard and status of `sweep.launch`. Only the trainable is
another. It needs no torch: it sleeps where a trial would compute, reports the same stages, curves and figures, made up, and
stores the same sample grids.

Told are the processor time and memory of the driver's process as trials end, and how busy the slots were, by the records.
"""

from __future__ import annotations

import argparse
import cProfile
import hashlib
import json
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune

from trainables.running.pipeline import STEP_SECONDS
from trainables.running.report import Report
from trainables.running.steps import reports_of_a_step
from trainables.store import Store, artifact_key

METRICS = ("relearning_accuracy", "retain_accuracy", "fid", "kid", "precision", "recall")  # of every point of a curve
BUDGET, FID_BASE, GRID = 4.0, 15.0, (16, 1, 8, 8)
MIB = 2**20


def key_of(*what: object) -> str:
    """An artifact's key, as those of real ones are."""
    return artifact_key("slept", {"of": [str(w) for w in what]}, {}, "")


def pictures(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A sample grid as a score keeps one: (16, 1, 8, 8) float32 in [-1, 1] of what was forgotten, and of the rest."""
    return {name: rng.uniform(-1, 1, GRID).astype(np.float32) for name in ("forgotten", "retained")}


class Sleeper(tune.Trainable):  # type: ignore[misc]
    """A trial that takes `seconds` and no processor: steps as `trainables.trial` makes them, of reports as a real trial's."""

    seconds = 1.0

    def setup(self, config: dict[str, Any]) -> None:
        import ray

        self.node = ray.get_runtime_context().get_node_id()
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.spec, self.every_stage = json.loads(new_config["spec"]), new_config["every_stage"]
        self.attacks = {a["name"]: a for a in self.spec["attacks"]}
        rungs = [f"{name}@{k}" for name in self.attacks for k in self.spec["rungs"][1:]]
        self.stages = [*["unlearn"] * (self.spec["method"] != "none"), "score", *rungs]
        self.left, self.store = list(self.stages), Store(self.spec["experiment"]["store"])
        self.figures: dict[str, Any] = {}
        self.name = f"{self.spec['trial_id']}-r{self.spec['replicate']}"
        self.rng = np.random.default_rng(list(hashlib.sha256(self.name.encode()).digest()))
        return True

    def step(self) -> dict[str, Any]:
        reports = [asdict(report) for report in reports_of_a_step(self._run, STEP_SECONDS, self.every_stage)]
        return {"reports": json.dumps(reports), "done": not self.left}

    def _run(self, seconds: float) -> Report:
        started, stage = time.time(), self.left.pop(0)
        time.sleep(self.seconds / len(self.stages))
        attack, _, rung = stage.partition("@")
        curves: list[dict[str, Any]] = []
        if stage == "score":
            curves = self._curves("none", 0, self._kept(stage))
            self._score(curves)
        elif rung:
            last = int(rung) == self.spec["rungs"][-1]
            curves = self._curves(attack, int(rung), self._kept(stage) if last else key_of(self.name, stage))
        if not self.left:
            self.figures |= {
                "robustness": self.rng.uniform(),
                "attacked_retain_accuracy": 0.9,
                "attacked_fid_delta": 2.0,
            }
        row = {"stage": stage, "kind": stage.partition("@")[0], "key": key_of(self.name, stage), "found": False}
        row |= {"pid": os.getpid(), "node": self.node}
        row |= {"started_at": started, "finished_at": time.time(), "wall_s": time.time() - started, "core_s": 0.01}
        row |= dict.fromkeys(("training_s", "sampling_s", "scoring_s"), 0.0)
        state = None if self.left else "COMPLETE"
        return Report(stage=row, curves=curves, figures=self.figures, state=state)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing is kept: a trial that was lost begins anew."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """See `save_checkpoint`."""

    def _kept(self, stage: str) -> str:
        key = key_of(self.name, stage)
        self.store.put(key, "slept", {}, pictures(self.rng))
        return key

    def _curves(self, attack: str, step: int, artifact: str) -> list[dict[str, Any]]:
        of = self.attacks.get(attack)
        row = {"attack": attack, "counts": of is None or of["counts"], "attack_step": step, "samples": 128}
        row |= {"auxiliary": of["settings"].get("auxiliary") if of else None, "lower": 0.0, "upper": 1.0}
        return [row | {"metric": m, "value": self.rng.uniform(), "artifact": artifact} for m in METRICS]

    def _score(self, curves: list[dict[str, Any]]) -> None:
        """The figures of a score and what they depend on; about half of all trials are feasible."""
        delta, samples = self.rng.uniform(0, 2 * BUDGET), self.spec["samples"]
        self.figures = {row["metric"]: row["value"] for row in curves if row["metric"] != "relearning_accuracy"}
        self.figures |= {"fid": FID_BASE + delta, "fid_base": FID_BASE, "fid_delta": delta, "unlearning_accuracy": 0.97}
        self.figures |= {"seed": self.spec["seed"], "sampler": "none", "feature_network": "none", "device": "cpu"}
        self.figures |= {"samples_forgotten": samples["forgotten"], "samples_per_retained": samples["per_retained"]}
        self.figures |= {
            name: key_of(name) for name in ("feature_network_hash", "reference", "base_model", "base_score")
        }
        self.figures |= {"unlearned_model": key_of(self.name, "unlearn"), "score": key_of(self.name, "score")}
        self.figures |= {"code_version": "slept"}


@dataclass(frozen=True)
class Mark:
    """What the driver's process has spent when so many trials of the search have ended: seconds, processor seconds, bytes."""

    trials: int
    wall_s: float
    cpu_s: float
    rss: int

    @staticmethod
    def now(trials: int) -> Mark:
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return Mark(trials, time.monotonic(), time.process_time(), resident)


class Marked:
    """Marks of the driver every so many trials, and the steps of all; the last of a sweep's views, to have what they cost."""

    name = "marks"

    def __init__(self, every: int) -> None:
        self.every, self.ended, self.steps = every, 0, 0
        self.marks = [Mark.now(0)]

    def take(self, ended: Any) -> None:
        if ended.job.phase == "search" and ended.job.arm != "control":
            self.ended += 1
            if self.ended % self.every == 0:
                self.marks.append(Mark.now(self.ended))

    def finish(self) -> None:
        """Marks are of trials alone."""


def drive(args: argparse.Namespace) -> Marked:
    """Drive the sweep from this process, on the cluster at ``args.address``."""
    from sweep import launch
    from sweep.driver import sweep
    from sweep.driver.agenda import Agenda
    from sweep.driver.views import views_of
    from sweep.jobs import Ended, View
    from sweep.plan import folders
    from sweep.plan.asked import plan_of
    from sweep.records.folder import write_json
    from sweep.relearning.specs import Specs
    from sweep.space.shared import still_shared
    from sweep.terminal.lines import Progress
    from sweep.terminal.quiet import quiet
    from trainables.relearning.experiment import Experiment

    options = ["--space", args.space, "--trials", str(args.trials), "--baseline-trials", "0", "--sampler", args.sampler,
               "--workers", str(args.nodes), "--address", args.address, "--run-dir", str(args.folder / "run"),
               "--artifacts", str(args.folder / "artifacts")]  # fmt: skip
    options += ["--stop-dominated"] if args.stop_dominated else []
    plan = plan_of(launch.parser().parse_args(options), launch.parser())
    space = plan.question()
    arms = tuple(a for a in space.arms if not a.baseline)
    space = replace(space, arms=arms, shared=still_shared([a.parameters for a in arms], space.shared))
    folders.check_folders(plan.run, new=True)
    folders.create_run_dir(plan)
    quiet(False)
    experiment = Experiment(store=plan.artifacts)
    prepared = {
        "fid_budget": BUDGET,
        "fid_delta_sd": 0.3,
        "fid_base": FID_BASE,
        "fid_budget_rule": "made up",
        "keys": {},
    }
    prepared |= {"classifier_accuracy": 1.0, "classifier_held_out": 1, "seconds": {}}
    write_json(Path(plan.run_dir) / "prepared.json", prepared)

    marked: list[Marked] = []

    def open_(execute: Any) -> tuple[Agenda, list[View]]:
        Store(plan.artifacts).put(key_of("base_score"), "slept", {}, pictures(np.random.default_rng(0)))
        marks = Marked(args.every)

        class Counted(Agenda):
            def take(self, name: str, *reports: Mapping[str, Any]) -> Ended | None:
                marks.steps += self.running[name].phase == "search"
                return super().take(name, *reports)

        agenda = Counted(plan, space.bounded(prepared), Specs(plan, space.bounded(prepared), experiment, 0.3), prepared)
        progress.begin(agenda)
        marked.append(marks)
        return agenda, [*views_of(plan, agenda, progress), *marked]

    class Trial(Sleeper):
        seconds = args.seconds

    with (args.folder / "progress.txt").open("w") as stream:
        progress = Progress(stream)
        sweep.drive(plan, open_, sweep.Shared(plan.artifacts, str), progress, Trial)
    return marked[0]


@dataclass(frozen=True)
class Busy:
    """Of the time between a moment and the last trial's hand-out, on all slots: the share busy, and where the rest went."""

    share: float
    idle: dict[str, float]
    seconds: float
    slots: int


def busy(run_dir: Path, warm: bool) -> Busy:
    """By the search's records: from its first stage on, or with `warm` from when every slot had its first trial."""
    from sweep import records

    stages = [s for s in records.rows(run_dir, "stages") if not s["replicate"]]
    slots: dict[str, list[dict[str, Any]]] = {}
    for stage in sorted(stages, key=lambda s: s["started_at"]):
        slots.setdefault(stage["node"], []).append(stage)
    until: datetime = max(r["asked_at"] for r in records.rows(run_dir, "trials") if r["arm"] != "control")
    since = (max if warm else min)(of[0]["started_at"] for of in slots.values())
    spent: Counter[str] = Counter()
    for of in slots.values():
        at, before = since, None
        for stage in of:
            same = before is not None and before["trial_id"] == stage["trial_id"]
            idle = (
                "between two stages of a trial"
                if same
                else "between two trials"
                if before
                else "before its first trial"
            )
            for what, end in ((idle, stage["started_at"]), ("busy", stage["finished_at"])):
                end = min(max(end, at), until)
                spent[what] += (end - at).total_seconds()
                at = end
            before = stage
        spent["after its last trial"] += (until - at).total_seconds()
    total = spent.total()
    share = spent.pop("busy") / total
    return Busy(share, {k: v / total for k, v in spent.items()}, (until - since).total_seconds(), len(slots))


def told(marked: Marked, run_dir: Path) -> str:
    """The tables, as benchmarks/driver.md has them."""
    marks = marked.marks
    lines = [
        "| trials | driver CPU ms a trial, since the line before | driver memory MiB | elapsed s |",
        "|---|---|---|---|",
    ]
    for before, mark in zip([marks[0], *marks], marks, strict=False):
        each = f"{1000 * (mark.cpu_s - before.cpu_s) / (mark.trials - before.trials):.1f}" if mark.trials else "–"
        lines.append(f"| {mark.trials} | {each} | {mark.rss / MIB:.0f} | {mark.wall_s - marks[0].wall_s:.0f} |")
    all_ms = 1000 * (marks[-1].cpu_s - marks[0].cpu_s) / marks[-1].trials
    share = (marks[-1].cpu_s - marks[0].cpu_s) / (marks[-1].wall_s - marks[0].wall_s)
    end = Mark.now(0)
    lines += ["", f"driver CPU a trial, over all: {all_ms:.1f} ms, {share:.0%} of a core; {marks[0].cpu_s:.1f} s before the first "
              f"trial, {end.cpu_s - marks[-1].cpu_s:.1f} s after the last (confirm phase, page, compaction)"]  # fmt: skip
    lines.append(f"{marked.steps / marked.ended:.1f} steps of Tune's a trial of the search, controls among them")
    for warm in (False, True):
        use = busy(run_dir, warm)
        rest = ", ".join(f"{share:.1%} {what}" for what, share in use.idle.items() if share >= 0.0005)
        of = "from when every slot had its first trial" if warm else "from the first start"
        lines += [f"{use.slots} slots busy, {of}: {use.share:.1%} of {use.seconds:.0f} s; idle: {rest or 'nothing'}"]
    return "\n".join(
        [*lines, f"load at the end: {' '.join(f'{x:.1f}' for x in os.getloadavg())}; {os.cpu_count()} cores"]
    )


@contextmanager
def simulated_nodes(count: int) -> Iterator[str]:
    """The address of a cluster of so many nodes on this machine, with one slot each, and a head without any."""
    from ray.cluster_utils import Cluster

    store = {"object_store_memory": 78 * MIB, "include_dashboard": False}
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        os.environ["RAY_TMPDIR"] = folder  # Ray notes there that a cluster runs, and other programs would join it
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0} | store)
        try:
            for _ in range(count):
                cluster.add_node(wait=False, num_cpus=1, **store)
            cluster.wait_for_nodes(600)
            yield cluster.address
        finally:
            cluster.shutdown()


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("python -m benchmarks.driver", description=__doc__.split(":")[0] + ".")
    p.add_argument("folder", type=Path, metavar="FOLDER", help="a new folder for the run and its artifacts")
    p.add_argument("--nodes", type=int, default=50, metavar="N", help="simulated nodes, one slot each (default: 50)")
    p.add_argument("--trials", type=int, default=1000, metavar="N", help="trials of the search (default: 1000)")
    p.add_argument("--seconds", type=float, default=15.0, metavar="S", help="a trial sleeps so long (default: 15)")
    p.add_argument("--sampler", default="qmc", help="who chooses the trials (default: qmc)")
    p.add_argument(
        "--space", default="dimum_robustness", metavar="NAME", help="the question (default: dimum_robustness)"
    )
    p.add_argument(
        "--every", type=int, default=100, metavar="N", help="trials a line of the table is of (default: 100)"
    )
    p.add_argument(
        "--stop-dominated", action="store_true", help="whether a trial goes on is decided after each of its stages"
    )
    p.add_argument("--address", default="", help="a cluster that runs already (default: one is started and ended)")
    p.add_argument("--profile", action="store_true", help="profile the driver's main thread, which makes it slower")
    return p


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    args.folder.mkdir(parents=True, exist_ok=True)
    if not args.address:
        arguments = sys.argv[1:] if argv is None else argv
        begun = time.monotonic()
        with simulated_nodes(args.nodes) as address:
            print(f"{args.nodes} nodes are up after {time.monotonic() - begun:.0f} s", flush=True)
            # A process of its own, whose processor time and memory are the driver's alone.
            return subprocess.run(
                [sys.executable, "-m", "benchmarks.driver", *arguments, "--address", address]
            ).returncode
    profile = cProfile.Profile(time.thread_time)  # processor time of the main thread: what it waits for costs nothing
    marked = profile.runcall(drive, args) if args.profile else drive(args)
    print(told(marked, args.folder / "run"), flush=True)
    if args.profile:
        profile.dump_stats(args.folder / "driver.profile")
        pstats.Stats(profile).sort_stats("cumulative").print_stats(70)
    return 0


if __name__ == "__main__":
    sys.exit(main())
