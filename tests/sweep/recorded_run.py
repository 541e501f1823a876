"""A small, complete run folder with figures chosen by hand, written through the real writer and the real store.

    python tests/sweep/recorded_run.py FOLDER     writes it, and its page, to look at

Seed s = 0 is the search's; the confirm phase has seeds 101, 102, 103. Search figures of a trial are in TRIALS; its
confirmed ones are the centre in CONFIRMED shifted by SHIFTS, one a seed, so every mean is the centre itself.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from search_spaces.dimum_robustness import SPACE
from sweep.records import COMPLETE, FAIL, PRUNED, Writer, rows, schemas
from sweep.records.names import name_of
from sweep.space import Arm, Attack, Choice, Constraint, Float, Int, Objective, SearchSpace, stratified
from trainables.store import Store

RUNGS = (0, 1, 3, 7)
SEEDS = (101, 102, 103)
SHIFTS = (-0.02, 0.0, 0.02)  # added to robustness and, ten times as large, to fid_delta
BUDGET = 4.0
FID_BASE = 15.0
CAUSE = "RuntimeError: <script>alert(1)</script> loss is not finite at step 12"
GATE = "gate: fid_delta 20.0, 95 % lower bound 17.2 is above the budget 4.0"
START = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)

# trial -> state, robustness, fid_delta, unlearning accuracy (robustness None: never attacked)
TRIALS: dict[str, tuple[str, float | None, float | None, float | None]] = {
    "dimum-0000": (COMPLETE, 0.80, 2.0, 1.00),
    "dimum-0001": (COMPLETE, 0.90, 3.0, 1.00),
    "dimum-0002": (COMPLETE, 0.85, 3.5, 0.99),  # dominated by 0001
    "dimum-0003": (COMPLETE, 0.95, 9.0, 1.00),  # past the budget
    "dimum-0004": (PRUNED, None, 20.0, 1.00),
    "dimum-0005": (FAIL, None, None, None),
    "dimum-0006": (COMPLETE, 0.60, 1.0, 0.97),  # on the search front; fresh seeds show it dominated
    "label_swap-0000": (COMPLETE, 0.70, 3.0, 1.00),
    "label_swap-0001": (COMPLETE, 0.75, 3.8, 1.00),
    "label_swap-0002": (COMPLETE, 0.92, 30.0, 1.00),
    "label_swap-0003": (PRUNED, None, 1.0, 0.20),
}
CONFIRMED = {
    "dimum-0000": (0.79, 2.2),
    "dimum-0001": (0.88, 3.2),
    "dimum-0006": (0.55, 2.5),
    "label_swap-0000": (0.68, 3.1),
    "label_swap-0001": (0.74, 4.4),  # past the budget on fresh seeds
}
CONTROLS = {"control-base": (0.03, 0.0, 0.02), "control-retrain": (0.86, 1.1, 0.98)}
ATTACKS = {"retain": (True, "retain"), "synthetic": (True, "synthetic"), "public_all": (False, "public_all")}


def space() -> SearchSpace:
    """Two arms, a conditional parameter and a log scale: the smallest declaration that has everything."""
    return SearchSpace(
        name="recorded",
        question="Does matching the retained modes forget <more> robustly than swapping labels?",
        arms=(
            Arm("dimum", "dimum", (
                Float("lr", 1e-5, 1e-3, log=True, help="learning rate"),
                Choice("replacement", {"one_image": (), "noise": (Float("noise_scale", 0.1, 2.0),)}),
            )),
            Arm("label_swap", "label_swap", (Float("lr", 1e-5, 1e-3, log=True), Int("steps", 10, 200)), baseline=True),
        ),
        objectives=(Objective("robustness", "maximise"), Objective("fid_delta", "minimise")),
        constraints=(Constraint("fid_delta", at_most="fid_budget"), Constraint("unlearning_accuracy", at_least=0.9)),
        search_attacks=(Attack("retain", "dimra", {"auxiliary": "retain"}),),
        confirm_attacks=tuple(Attack(n, "dimra", {"auxiliary": a}, counts=c) for n, (c, a) in ATTACKS.items()),
        rungs=RUNGS,
    )  # fmt: skip


def relearning(robustness: float, step: int, attack: str) -> float:
    """Relearning accuracy rising with log2(k + 1) so that 1 - AURC@7 is `robustness`; `public_all` undoes .3 more.

    The base model, whose robustness is next to nothing, starts where it ends.
    """
    if robustness < 0.1:
        return 1 - robustness
    rise = np.log2(step + 1) / np.log2(RUNGS[-1] + 1)
    return float(min(1.0, 2 * (1 - robustness) * rise + (0.3 * rise if attack == "public_all" else 0.0)))


def write_run(folder: Path, artifacts: bool = True) -> Path:
    """Write the run to `folder`, its artifacts beside its records, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    question, store = space(), Store(folder / "artifacts")
    _write_json(folder, question)
    writer = Writer(folder, schemas(question))
    for trial_id in (*CONTROLS, *TRIALS):
        arm = trial_id.rpartition("-")[0] if trial_id in TRIALS else "control"
        state, robustness, fid_delta, unlearned = TRIALS.get(trial_id) or (COMPLETE, *CONTROLS[trial_id])
        same = {"trial_id": trial_id, "arm": arm, "method": arm if trial_id in TRIALS else "none", "state": state}
        same["cause"] = {PRUNED: GATE, FAIL: CAUSE}.get(state)
        figures = _figures(robustness, fid_delta, unlearned)
        attacks = ["retain"] if arm != "control" else list(ATTACKS)
        _replicate(writer, store if artifacts else None, same, figures, 0, 7, attacks)
        for i, seed in enumerate(SEEDS if trial_id in (*CONFIRMED, *CONTROLS) else ()):
            centre = CONFIRMED.get(trial_id) or CONTROLS[trial_id][:2]
            figures = _figures(centre[0] + SHIFTS[i], centre[1] + 10 * SHIFTS[i], unlearned)
            _replicate(writer, store if artifacts else None, same, figures, i + 1, seed, list(ATTACKS))
        writer.trial(_trial_row(same, robustness, fid_delta, unlearned))
    return folder


def without_attacks(run: Path, trial_id: str, *replicates: int) -> None:
    """Of a trial's confirm phase these replicates, all unless some are named, as if run for the sake of its bounds alone."""
    writer = Writer(run, schemas(space()))
    for row in rows(run, "replicates"):
        if row["trial_id"] == trial_id and row["replicate"] and row["replicate"] in (replicates or (row["replicate"],)):
            name = name_of(row)
            curves = [point for point in rows(run, "curves", name) if point["attack"] == "none"]
            stages = [stage for stage in rows(run, "stages", name) if stage["kind"] in ("unlearn", "score")]
            writer.replicate(row | {"robustness": None}, curves, stages)


def write_asked(folder: Path, *objectives: tuple[str, str], artifacts: bool = False) -> Path:
    """The same run as if it had been asked for other objectives, each a figure and a direction."""
    run = write_run(folder, artifacts)
    plan = json.loads((run / "plan.json").read_text())
    plan["objectives"] = [{"metric": metric, "direction": direction} for metric, direction in objectives]
    (run / "plan.json").write_text(json.dumps(plan))
    return run


def _trial_row(
    same: dict[str, Any], robustness: float | None, fid_delta: float | None, unlearned: float | None
) -> dict[str, Any]:
    number = int(same["trial_id"][-4:]) if same["trial_id"] in TRIALS else 0
    row = (
        same
        | _figures(robustness, fid_delta, unlearned)
        | {"number": number, "core_s": 12.5, "asked_at": START, "told_at": START}
    )
    if fid_delta is not None and unlearned is not None:
        row |= {
            "excess_fid_delta": (fid_delta - BUDGET) / BUDGET,
            "excess_unlearning_accuracy": (0.9 - unlearned) / 0.9,
        }
        row["feasible"] = row["excess_fid_delta"] <= 0 and row["excess_unlearning_accuracy"] <= 0
    if same["arm"] == "dimum":
        row |= {"param_lr": 1e-4 * (1 + number), "param_replacement": "noise" if number % 2 else "one_image"}
        row |= {"param_noise_scale": 0.5} if number % 2 else {}
    if same["arm"] == "label_swap":
        row |= {"param_lr": 2e-4, "param_steps": 50 + number}
    settings = {name.removeprefix("param_"): value for name, value in row.items() if name.startswith("param_")}
    return row | {"settings": json.dumps(settings)}


def _figures(robustness: float | None, fid_delta: float | None, unlearned: float | None) -> dict[str, Any]:
    if fid_delta is None:
        return {}
    told = {"fid": FID_BASE + fid_delta, "fid_base": FID_BASE, "fid_delta": fid_delta, "unlearning_accuracy": unlearned}
    told |= {
        "retain_accuracy": 0.95,
        "forgotten_top_class": 8,
        "forgotten_top_share": 0.61,
        "forgotten_confidence": 0.83,
    }
    told |= {"kid": fid_delta / 1000, "precision": 0.71, "recall": 0.62}
    return told | {"robustness": robustness, "forgotten_diversity": 0.31, "forgotten_distance": 88.0}


def _replicate(
    writer: Writer,
    store: Store | None,
    same: dict[str, Any],
    figures: dict[str, Any],
    replicate: int,
    seed: int,
    attacks: list[str],
) -> None:
    at = {"trial_id": same["trial_id"], "replicate": replicate}
    curves: list[dict[str, Any]] = []
    if figures:
        start = {
            "attack": "none",
            "counts": False,
            "auxiliary": "none",
            "attack_step": 0,
            "metric": "relearning_accuracy",
        }
        curves.append(at | start | {"value": 1 - figures["unlearning_accuracy"], "samples": 100})
        retained = {"metric": "retain_accuracy", "value": figures["retain_accuracy"], "samples": 450}
        curves.append(at | start | retained)
    robustness = figures.get("robustness")
    for attack in attacks if robustness is not None else ():
        for step in RUNGS[1:]:
            value = relearning(robustness, step, attack)
            where = {
                "attack": attack,
                "counts": ATTACKS[attack][0],
                "auxiliary": ATTACKS[attack][1],
                "attack_step": step,
            }
            bounds = {"lower": max(0.0, value - 0.05), "upper": min(1.0, value + 0.05), "samples": 100}
            curves.append(at | where | {"metric": "relearning_accuracy", "value": value} | bounds)
        artifact = _samples(store, same["trial_id"], f"{attack}@7", replicate) if replicate <= 1 else None
        curves[-1] |= {"artifact": artifact}
        curves.append(at | where | {"metric": "fid", "value": figures["fid"] + 1, "samples": 900, "artifact": artifact})
    row = same | figures | {
        "replicate": replicate, "phase": "confirm" if replicate else "search", "seed": seed, "samples_forgotten": 100,
        "samples_per_retained": 50, "sampler": "ddim-20", "feature_network": "classifier",
        "feature_network_hash": "ab" * 32,
        "reference": "cd" * 32, "base_model": "ef" * 32, "code_version": "0123456789abcdef",
        "device": "cpu", "core_s": 12.5,
        "score": _samples(store, same["trial_id"], "score", replicate) if replicate <= 1 else None,
        "started_at": START, "finished_at": START,
    }  # fmt: skip
    if replicate:
        row |= {"state": COMPLETE, "cause": None}
    writer.replicate(row, curves, _stages(at, attacks if robustness is not None else []))


def _stages(at: dict[str, Any], attacks: list[str]) -> list[dict[str, Any]]:
    """Unlearning trains for 4 of 5 s; each other stage draws for 2 of 4 s and scores for 1."""
    common = {"key": "aa" * 32, "started_at": START, "finished_at": START, "core_s": 3.0, "pid": 1, "node": "n"}
    rows = [at | common | {"stage": "unlearn", "wall_s": 5.0, "training_s": 4.0, "sampling_s": 0.0, "scoring_s": 0.0}]
    rows += [
        at | common | {"stage": stage, "wall_s": 4.0, "training_s": 0.5, "sampling_s": 2.0, "scoring_s": 1.0}
        for stage in ("score", *(f"{a}@{k}" for a in attacks for k in RUNGS[1:]))
    ]
    return [
        row
        | {"kind": row["stage"].partition("@")[0], "found": row["stage"] == "score" and at["trial_id"] == "dimum-0000"}
        for row in rows
    ]


def _samples(store: Store | None, trial_id: str, stage: str, replicate: int) -> str | None:
    """A stored grid of blobs: one kind for the forgotten condition, another for a retained one."""
    if store is None:
        return None
    key = hashlib.sha256(f"{trial_id} {stage} {replicate}".encode()).hexdigest()
    rng = np.random.default_rng(replicate)  # the same noise for every model
    noise = rng.normal(0, 0.25, (8, 1, 8, 8))
    y, x = np.mgrid[-1:1:8j, -1:1:8j]
    ring = 1 - 8 * (np.hypot(x, y) - 0.6) ** 2
    bar = 1 - 8 * x**2
    keep = 1.0 if trial_id == "control-base" else 0.6 if stage.startswith("public_all") else 0.1
    forgotten = np.clip(keep * bar + (1 - keep) * ring + noise - 0.3, -1, 1).astype(np.float32)
    retained = np.clip(ring + noise - 0.3, -1, 1).astype(np.float32)
    store.put(key, "score", {"trial": trial_id}, {"forgotten": forgotten, "retained": retained})
    return key


def _write_json(folder: Path, question: SearchSpace) -> None:
    plan = {
        "space": question.name, "space_fingerprint": question.fingerprint(), "question": question.question,
        "data": "digits",
        "forget": "3", "seed": 7, "trials": 7, "baseline_trials": 4, "sampler": "tpe", "fid_budget": "auto",
        "rungs": list(RUNGS),
        "confirm_seeds": 3, "artifacts": str(folder / "artifacts"), "fid_features": "classifier",
        "main_arm": question.arms[0].name,
        "arms": {a.name: {"method": a.method, "baseline": a.baseline} for a in question.arms},
        "attacks": {
            "search": [a.name for a in question.search_attacks],
            "confirm": [a.name for a in question.confirm_attacks],
        },
        "constraints": [dataclasses.asdict(c) for c in question.constraints],
        "objectives": [dataclasses.asdict(o) for o in question.objectives],
        "parameters": {a.name: [p.name for p in a.walk()] for a in question.arms},
        "ranges": {n: [p.low, p.high] for n, p in question.parameters().items() if isinstance(p, Float | Int)},
    }  # fmt: skip
    prepared = {
        "fid_budget": BUDGET, "fid_budget_rule": "max(.25 x FID of the base, 2 SD of fid_delta)", "fid_base": FID_BASE,
        "fid_delta_sd": 1.2, "classifier_accuracy": 0.98, "classifier_held_out": 360, "base_accuracy": 0.96,
        "seconds": {"classifier": 12.0, "base": 80.0, "retrain": 75.0},
    }  # fmt: skip
    status = {
        "state": "finished",
        "cause": None,
        "started_at": START.isoformat(),
        "finished_at": START.isoformat(),
    }
    for name, content in (("plan", plan), ("prepared", prepared), ("status", status)):
        (folder / f"{name}.json").write_text(json.dumps(content))


MANY = 17


def many_arms() -> SearchSpace:
    """Seventeen methods, one arm each, and another first objective than robustness."""
    methods = {f"method_{i:02d}" if i else "meta(method_01)": (Float("lr", 1e-5, 1e-3, log=True),) for i in range(MANY)}
    attacks = (Attack("retain", "dimra", {}), Attack("harm", "malicious", {}, counts=False))
    return SearchSpace(
        name="many",
        question="Which of many?",
        arms=stratified(Choice("method", methods)),
        objectives=(Objective("malicious_robustness", "maximise"), Objective("fid_delta", "minimise")),
        constraints=(Constraint("fid_delta", at_most="fid_budget"),),
        search_attacks=attacks,
        confirm_attacks=attacks,
        rungs=RUNGS,
    )


def write_many(folder: Path) -> Path:
    """Two trials an arm, the first confirmed: arm i withstands .5 + .02 i; the last two arms break the budget or fail."""
    folder.mkdir(parents=True, exist_ok=True)
    question = many_arms()
    writer = Writer(folder, schemas(question))
    _write_json(folder, question)
    trials = {f"{arm.name}-{n:04d}": (i, n, arm) for i, arm in enumerate(question.arms) for n in (0, 1)}
    for trial_id, (i, n, arm) in trials.items():
        fails, beyond = i == MANY - 1, 10.0 * (i == MANY - 2)
        same = {"trial_id": trial_id, "arm": arm.name, "method": arm.method, "state": FAIL if fails else COMPLETE}
        same["cause"] = CAUSE if fails else None
        level = 0.5 + 0.02 * i - 0.1 * n
        figures = {} if fails else _other_figures(level, 1 + 0.15 * i + beyond)
        _replicate(writer, None, same, figures, 0, 7, ["retain"])
        for j, seed in enumerate(SEEDS if n == 0 and not fails else ()):
            again = _other_figures(level + SHIFTS[j], 1 + 0.15 * i + beyond + 10 * SHIFTS[j])
            _replicate(writer, None, same, again, j + 1, seed, ["retain"])
        row = same | figures | {"number": n, "core_s": 1.0, "asked_at": START, "told_at": START, "param_lr": 1e-4}
        writer.trial(row | ({} if fails else {"excess_fid_delta": (beyond - 1) / BUDGET, "feasible": not beyond}))
    for name in CONTROLS:
        same = {"trial_id": name, "arm": "control", "method": "none", "state": COMPLETE, "cause": None}
        figures = _other_figures(0.6, 0.0)
        _replicate(writer, None, same, figures, 0, 7, ["retain"])
        for j, seed in enumerate(SEEDS):
            _replicate(writer, None, same, figures, j + 1, seed, ["retain"])
        writer.trial(same | figures | {"number": 0, "core_s": 1.0, "asked_at": START, "told_at": START})
    return folder


def _other_figures(level: float, fid_delta: float) -> dict[str, Any]:
    audits = {"membership_auc": 0.4 + level / 4, "membership_tpr": 0.1, "denoising_gap": 0.01}
    return _figures(0.9, fid_delta, 1.0) | {"malicious_robustness": level} | audits


DEFAULT = {"dimum": 16, "label_swap": 8}  # trials of each arm in a sweep of the default size


def by_learning_rate(settings: Mapping[str, Any]) -> float:
    """From 0 to .5 over the learning rate's range."""
    return 0.5 * float(np.log(settings["learning_rate"] / 1e-4) / np.log(20))


def write_default(
    folder: Path, decides: Callable[[Mapping[str, Any]], float] = by_learning_rate, seed: int = 0, named: str = "dimum"
) -> Path:
    """The default question and size, parameters drawn at random: robustness follows `decides`, fid_delta nothing.

    Every fifth trial was gated, the first two of each arm are confirmed; `named` is what the main arm is called.
    """
    import optuna

    folder.mkdir(parents=True, exist_ok=True)
    main, baseline = SPACE.arms
    arms, known = (dataclasses.replace(main, name=named), baseline), space()
    attacks = {"search_attacks": known.search_attacks, "confirm_attacks": known.confirm_attacks, "rungs": known.rungs}
    question, rng = dataclasses.replace(SPACE, arms=arms, **attacks), np.random.default_rng(seed)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    writer = Writer(folder, schemas(question))
    _write_json(folder, question)
    for arm, number in ((arm, n) for arm, count in zip(arms, DEFAULT.values(), strict=True) for n in range(count)):
        gated, settings = number % 5 == 4, arm.suggest(study.ask())
        level = 0.3 + decides(settings) + rng.normal(0, 0.05)
        over = float(rng.gamma(2.0, 1.5)) + (BUDGET if gated else 0.0)
        same = {"trial_id": f"{arm.name}-{number:04d}", "arm": arm.name, "method": arm.method}
        same |= {"state": PRUNED if gated else COMPLETE, "cause": GATE if gated else None}
        figures = _figures(None if gated else level, over, 1.0)
        _replicate(writer, None, same, figures, 0, 7, ["retain"])
        for i, fresh in enumerate(SEEDS if number < 2 else ()):
            again = _figures(level + SHIFTS[i], over + 10 * SHIFTS[i], 1.0)
            _replicate(writer, None, same, again, i + 1, fresh, list(ATTACKS))
        excess = (over - BUDGET) / BUDGET
        row = same | figures | {"number": number, "core_s": 12.5, "asked_at": START, "told_at": START}
        row |= {f"param_{name}": value for name, value in settings.items()} | {"settings": json.dumps(settings)}
        writer.trial(row | {"excess_fid_delta": excess, "excess_unlearning_accuracy": -0.05, "feasible": excess <= 0})
    return folder


if __name__ == "__main__":
    from sweep import report

    run = write_run(Path(sys.argv[1]))
    sys.exit(report.main([str(run)]))
