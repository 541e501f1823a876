"""A Plan: everything a sweep will do, validated and printable before anything runs."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
import os
import re
import shutil
import socket
import subprocess
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.errors import UsageError, near
from sweep.plan import base_models, targets
from sweep.plan.datasets import check_data
from sweep.records import FIGURES, fact, run_folder, schemas
from sweep.records.claim import check_untaken, check_writable, claimed, free
from sweep.records.folder import write_json
from sweep.samplers.catalogue import check_installed
from sweep.space import Constraint, Objective, SearchSpace, find

SAMPLERS = ("nehvi", "tpe", "gp", "nsga2", "nsga3", "ax", "qmc", "random")
AUTO = "auto"
KEEP = ("all", "front")
CALIBRATION_SEEDS = 5
SEEDS_A_SWEEP = 1000


@dataclass(frozen=True)
class Plan:
    """One sweep. Everything that decides its figures is here; where it runs (`workers`, `address`) is too, but decides none."""

    space: str
    run_dir: str
    artifacts: str
    data: str = "digits"
    data_folder: str = ""
    image_size: int = 0
    data_limit: int = 0
    data_fingerprint: str = ""  # of the folder's files, when the run began
    forget: str = "3"
    seed: int = 0
    trials: int = 16
    baseline_trials: int = 8
    sampler: str = "nehvi"
    warm_start: tuple[str, ...] = ()  # earlier runs
    max_hours: float = 0.0  # of the search; 0: no limit
    max_core_hours: float = 0.0
    min_gain: float = 0.0  # share of the hypervolume
    gate_margin: float = 0.5  # share of a bound
    stopping: bool = False  # of trials under attack that the front dominates
    fid_budget: float | str = AUTO
    fid_features: str = "classifier"
    inception_weights: str = ""
    inception_sha256: str = ""
    base_size: str = "small"
    base_steps: int = 1300
    base: str = ""  # the folder or hub id of a pipeline; empty: trained here
    base_revision: str = ""
    base_classes: tuple[int, ...] = ()
    base_digest: str = ""  # SHA-256 of its files and the control's, once they have been read
    retrain_control: str = ""
    image_sampler: str = "ddim"
    sampling_steps: int = 10
    guidance: float = 1.0
    samples_forgotten: int = 128
    samples_per_retained: int = 50
    confirm_seeds: int = 3
    confirm_members: int = 3
    confirm_neighbours: int = 1
    keep: str = KEEP[0]  # which trials' artifacts
    shadow_models: int = 0
    target: str = ""  # what a question about the attacker attacks, in place of its own method: see sweep.target
    fix: tuple[tuple[str, str], ...] = ()
    workers: int = 2
    gpus_per_trial: float = 0.0
    gpu_type: str = ""  # Ray's name of it; empty: any
    address: str = ""
    in_process: bool = False
    trial_timeout: float = 3600.0  # seconds without a report after which a trial counts as hung; 0: never

    def question(self) -> SearchSpace:
        """The search space with the plan's target and pins applied."""
        return targets.aimed(find.load(self.space), self.target).fix(dict(self.fix))

    @property
    def confirm_samples(self) -> tuple[int, int]:
        """(forgotten, per retained condition) of the confirm phase: N is larger where the reported figure is made."""
        return math.ceil(1.5 * self.samples_forgotten), 2 * self.samples_per_retained

    @property
    def replicate_seeds(self) -> list[int]:
        """Seed of replicate 0 (search), 1, 2, … (confirm); two sweeps' seeds never meet, so a fresh seed is fresh."""
        return [self.seed * SEEDS_A_SWEEP + i for i in range(self.confirm_seeds + 1)]

    @property
    def calibration_seeds(self) -> list[int]:
        """Sampling seeds that the noise of fid_delta is measured over: the search's own, and some that nothing else uses."""
        first = self.replicate_seeds[0]
        return [first, *(first + SEEDS_A_SWEEP - i for i in range(1, CALIBRATION_SEEDS))]

    def budget_of(self, space: SearchSpace, arm: str) -> int:
        """How many trials an arm gets; baselines share `baseline_trials`."""
        baselines = [a.name for a in space.arms if a.baseline]
        mains = [a.name for a in space.arms if not a.baseline]
        group, total = (baselines, self.baseline_trials) if arm in baselines else (mains, self.trials)
        return total // len(group) + (group.index(arm) < total % len(group))

    def to_json(self) -> dict[str, Any]:
        """The plan with the question spelled out: what ``plan.json`` holds."""
        space = self.question()
        return {
            "plan": dataclasses.asdict(self),
            **{k: v for k, v in dataclasses.asdict(self).items() if k not in ("fix",)},
            "question": space.question,
            "references": list(space.references),
            "space_fingerprint": space.fingerprint(),
            "attacked": {a.name: {"method": a.method, "settings": dict(a.held)} for a in space.arms if a.attack},
            "main_arm": space.arms[0].name,
            "arms": {a.name: {"method": a.method, "baseline": a.baseline} for a in space.arms},
            "parameters": {a.name: [p.name for p in a.walk()] for a in space.arms},
            "objectives": [dataclasses.asdict(o) for o in space.objectives],
            "constraints": [dataclasses.asdict(c) for c in space.constraints],
            "attacks": {
                "search": [a.name for a in space.search_attacks],
                "confirm": [a.name for a in space.confirm_attacks],
            },
            "attack_settings": {a.name: dict(a.settings) for a in (*space.search_attacks, *space.confirm_attacks)},
            "rungs": list(space.rungs),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any], where: str) -> Plan:
        """The plan a ``plan.json`` holds; UsageError where it is not one, or its question has changed since."""
        plan = cls.recorded(values, where)
        if plan.question().fingerprint() != values["space_fingerprint"]:
            raise UsageError(f"{where}: the space {plan.space!r} has changed since this run began; start a new run")
        return plan

    @classmethod
    def recorded(cls, values: dict[str, Any], where: str) -> Plan:
        """The same, its question not looked at: a question is code, and whoever only reads a run runs none of it."""
        try:
            fields = dict(values["plan"])
            fields["fix"] = tuple((str(n), str(v)) for n, v in fields["fix"])
            fields.setdefault("gate_margin", 0.0)  # of runs that began before there was one
            fields["warm_start"] = tuple(fields.get("warm_start", ()))
            fields["base_classes"] = tuple(fields.get("base_classes", ()))
            plan, _ = cls(**fields), values["space_fingerprint"]
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{where}: not a plan of this version ({error})") from None
        return plan


def validate(plan: Plan) -> SearchSpace:
    """Everything that can be wrong with a plan and needs nothing heavy to see. Returns its question."""
    space = plan.question()
    _check_choice("--sampler", plan.sampler, SAMPLERS)
    check_installed(plan.sampler)
    for earlier in plan.warm_start:
        run_folder(earlier)
    check_at_least(
        ("--trials", plan.trials, 1),
        ("--baseline-trials", plan.baseline_trials, 0),
        ("--max-hours", plan.max_hours, 0),
        ("--max-core-hours", plan.max_core_hours, 0),
        ("--min-gain", plan.min_gain, 0),
        ("--gate-margin", plan.gate_margin, 0),
        ("--confirm-seeds", plan.confirm_seeds, 0),
        ("--confirm-members", plan.confirm_members, 1),
        ("--confirm-neighbours", plan.confirm_neighbours, 0),
    )
    if plan.min_gain and plan.sampler != "nehvi":
        raise UsageError(f"--min-gain {plan.min_gain:g}: sampler {plan.sampler} expects nothing; use --sampler nehvi")
    if plan.confirm_seeds > SEEDS_A_SWEEP // 2:
        raise UsageError(f"--confirm-seeds {plan.confirm_seeds}: at most {SEEDS_A_SWEEP // 2}")
    _check_choice("--keep", plan.keep, KEEP)
    check_figures(plan)
    if len(space.objectives) != 2:
        raise UsageError(f"space {space.name!r}: a front is of two objectives, not {len(space.objectives)}")
    for metric in (*(o.metric for o in space.objectives), *(c.metric for c in space.constraints)):
        _check_choice(f"space {space.name!r}: metric", metric, [f.name for f in FIGURES])
    for objective in space.objectives:
        _check_objective(space, objective)
    for constraint in space.constraints:
        _check_bound(space, constraint)
    methods = [a for a in space.arms if not a.baseline]
    if plan.trials < len(methods):
        raise UsageError(
            f"--trials {plan.trials}: the question has {len(methods)} arms beside baselines, each of which needs a trial; "
            f"give at least {len(methods)}, or choose among them with --fix method=NAME,…"
        )
    for arm in space.arms:
        if arm.attack:
            _check_choice(f"space {space.name!r}, arm {arm.name!r}: attack", arm.attack, find.members("attacks"))
        try:
            find.check_method(arm.method)
        except UsageError as error:
            raise UsageError(f"space {space.name!r}, arm {arm.name!r}: method {error}") from None
    for attack in (*space.search_attacks, *space.confirm_attacks):
        _check_choice(f"space {space.name!r}, attack {attack.name!r}: method", attack.method, find.members("attacks"))
    schemas(space)  # every column has a name of its own, or no reader would open the run
    check_place(plan)
    return space


def check_at_least(*given: tuple[str, float, float]) -> None:
    """UsageError naming the first flag whose number is below the least it may be."""
    for flag, number, least in given:
        if number < least:
            raise UsageError(f"{flag} {number}: must be at least {least}")


def check_figures(plan: Plan) -> None:
    """What can be wrong with the data, the models, the samples and the seed."""
    _check_choice("--fid-features", plan.fid_features, find.members("features"))
    if plan.fid_features == "inception":
        _check_file("--inception-weights", plan.inception_weights)
    check_data(plan)
    base_models.check(plan)
    check_at_least(
        ("--shadow-models", plan.shadow_models, 0),
        ("--base-steps", plan.base_steps, 1),
        ("--samples-forgotten", plan.samples_forgotten, 2),
        ("--samples-per-retained", plan.samples_per_retained, 2),
    )
    if not 0 <= plan.seed < 2**31:
        raise UsageError(f"--seed {plan.seed}: must be from 0 to {2**31 - 1}")


def check_place(plan: Plan) -> None:
    """What can be wrong with where it runs."""
    check_at_least(("--workers", plan.workers, 1), ("--trial-timeout", plan.trial_timeout, 0))
    if not math.isfinite(plan.trial_timeout):
        raise UsageError(f"--trial-timeout {plan.trial_timeout}: must be finite; 0 means never")
    if not math.isfinite(plan.gpus_per_trial):
        raise UsageError(f"--gpus-per-trial {plan.gpus_per_trial}: must be finite")
    if plan.gpus_per_trial < 0:
        raise UsageError(f"--gpus-per-trial {plan.gpus_per_trial:g}: must not be negative")
    if plan.gpus_per_trial > 1 and plan.gpus_per_trial % 1:
        raise UsageError(f"--gpus-per-trial {plan.gpus_per_trial:g}: a share of one GPU, up to 1, or whole GPUs")
    if plan.gpu_type and not plan.gpus_per_trial:
        raise UsageError(f"--gpu-type {plan.gpu_type}: trials get no GPU; add --gpus-per-trial")
    if not re.fullmatch(r"[\w.-]*", plan.gpu_type):
        raise UsageError(f"--gpu-type {plan.gpu_type}: not a type of Ray's, such as A10G or H100")
    if plan.gpus_per_trial and not plan.address:
        have = local_gpus()
        if plan.gpus_per_trial > have:
            raise UsageError(
                f"--gpus-per-trial {plan.gpus_per_trial:g}: this machine has {have} GPU(s); ask for fewer, or give --address"
            )
    _check_address(plan.address)


def moved(plan: Plan, run_dir: str, workers: int | None, address: str, in_process: bool, data_folder: str = "") -> Plan:
    """The same plan for a run folder or data that have been moved, or run elsewhere; its figures stay the same."""
    return dataclasses.replace(
        plan,
        run_dir=run_dir,
        workers=plan.workers if workers is None else workers,
        address=address or plan.address,
        in_process=in_process,
        data_folder=data_folder or plan.data_folder,
    )


def default_workers(gpus_per_trial: float) -> int:
    """Trials at a time on this machine: one a core, or as many as the GPUs take."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, trials_on(local_gpus(), gpus_per_trial)) if gpus_per_trial > 0 else cores


def trials_on(gpus: int, gpus_per_trial: float) -> int:
    """How many trials a machine's GPUs take: a trial has a share of one GPU, or whole ones."""
    return gpus * int(1 / gpus_per_trial) if gpus_per_trial <= 1 else int(gpus / gpus_per_trial)


def absolute(artifacts: str) -> str:
    """A folder as every process finds it, whatever its working directory; a URI as it is."""
    return artifacts if "://" in artifacts else os.path.abspath(artifacts)


def parse_budget(text: str) -> float | str:
    """``auto`` or a positive number; UsageError for anything else."""
    if text == AUTO:
        return AUTO
    try:
        budget = float(text)
    except ValueError:
        raise UsageError(f"--fid-budget {text}: neither 'auto' nor a number") from None
    if not math.isfinite(budget) or budget <= 0:
        raise UsageError(f"--fid-budget {text}: must be a positive, finite distance")
    return budget


def default_run_dir(storage: str, space: str) -> str:
    """A fresh run folder; beside an object store a local one, for a run's files are locked and replaced by name."""
    stamp = dt.datetime.now().strftime("%Y%m%d-%H%M%S")
    return str(free(Path(in_storage("" if "://" in storage else storage, f"{Path(space).stem}-{stamp}"))))


def own_artifacts(storage: str, run_dir: str) -> str:
    """The place of a run's own artifact store: in its folder, or, where runs' artifacts go to an object store, under its name.

    There a number is added: runs of two machines may have the same name, and one would remove what the other needs.
    """
    if "://" not in storage:
        return f"{run_dir}/artifacts"
    return in_storage(storage, f"{Path(run_dir).name}-{uuid.uuid4().hex[:8]}/artifacts")


def placed(plan: Plan, run_dir: Path) -> Plan:
    """The plan in the run folder that it got; an artifact store that is to lie in the run folder goes along."""
    own = plan.artifacts == absolute(own_artifacts("", plan.run_dir))
    artifacts = absolute(own_artifacts("", str(run_dir))) if own else plan.artifacts
    return dataclasses.replace(plan, run_dir=str(run_dir), artifacts=artifacts)


def in_storage(storage: str, name: str) -> str:
    """A place in ``--storage``: in its folder, or under its URI's prefix, before the options that a URI may end with."""
    base, question, options = storage.partition("?") if "://" in storage else (storage, "", "")
    return f"{(base or 'runs').rstrip('/')}/{name}{question}{options}"


def check_folders(plan: Plan, new: bool, holds: str = "plan.json") -> None:
    """UsageError where the run folder is taken, or it or the artifact store is unwritable or on a full disk."""
    folder = Path(plan.run_dir)
    if new:
        check_untaken(folder, holds)
    check_writable(folder, "--run-dir")
    if "://" not in plan.artifacts:
        check_writable(Path(plan.artifacts), "--artifacts")
    else:
        _check_store(plan.artifacts)


def _check_store(uri: str) -> None:
    """UsageError where the object store cannot be written and read from here. What the URI's options hold is not repeated."""
    from trainables.store import Store, StoreUnusable

    try:
        Store(uri).check()
    except (StoreUnusable, OSError, ValueError) as error:  # the latter two of a URI that Arrow does not take
        said = " ".join(str(error).split())[:300]
        raise UsageError(f"--artifacts {uri.partition('?')[0]}: cannot be used: {said}") from None


def create_run_dir(plan: Plan, named: bool = True, others: Callable[[Path], None] | None = None) -> Plan:
    """Claim the run folder and write ``plan.json`` into it, after what `others` writes; the plan in the folder that it got.

    `named`: see `sweep.records.claim.claimed`.
    """
    with claimed(Path(plan.run_dir), "plan.json", named) as folder:
        plan = placed(plan, folder)
        if others:
            others(folder)
        write_json(folder / "plan.json", plan.to_json())
    return plan


def local_gpus() -> int:
    """GPUs of this machine that CUDA_VISIBLE_DEVICES leaves visible, by the driver's own tool."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([d for d in visible.split(",") if d.strip() not in ("", "-1")])
    if shutil.which("nvidia-smi") is None:
        return 0
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=False)
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def _check_address(address: str) -> None:
    """UsageError where nothing answers at HOST:PORT; Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if not (colon and port.isdigit()) or "//" in address:
        return  # 'auto', or a form that only Ray can resolve
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise UsageError(f"--address {address}: nothing answers there ({error}); is the cluster up?") from None


def _check_choice(what: str, name: str, known: Any) -> None:
    if name not in known:
        raise UsageError(f"{what} {name}: unknown; {near(name, known)}")


def _check_objective(space: SearchSpace, objective: Objective) -> None:
    """UsageError where a front of it has no far corner, or the search never learns it."""
    where, metric = f"space {space.name!r}, objective {objective.metric!r}", objective.metric
    side = "at_least" if objective.direction == "maximise" else "at_most"
    if fact(metric, "unit") != "share" and (metric, side) not in ((c.metric, c.side) for c in space.constraints):
        raise UsageError(
            f"{where}: it has no worst value to measure a front from; bound it by Constraint({metric!r}, {side}=…)"
        )
    if metric == "malicious_robustness" and all(a.counts for a in space.search_attacks):
        raise UsageError(f"{where}: it needs a search attack whose data hold what was forgotten (counts=False)")


def _check_bound(space: SearchSpace, constraint: Constraint) -> None:
    """UsageError for a bound that no share can keep: every trial would be infeasible."""
    bound = constraint.bound
    if bound is None or fact(constraint.metric, "unit") != "share":
        return
    if (constraint.side == "at_least" and bound > 1) or (constraint.side == "at_most" and bound < 0):
        raise UsageError(
            f"space {space.name!r}, constraint {constraint.metric!r}: {constraint.side} {bound:g} is out of reach of a share, "
            "which lies between 0 and 1"
        )


def _check_file(flag: str, path: str) -> None:
    if not path:
        raise UsageError(f"{flag}: needed with --fid-features inception; give the path of inception-2015-12-05.pt")
    if not Path(path).is_file():
        raise UsageError(f"{flag} {path}: no such file")
