"""The recorded problem: a real sweep's trials, read from its tables, between which `surrogate` says what would happen.

Recorded trials are seen as settings, each on one seed or more. fid_delta is fitted on an asinh scale (its tail is heavy, and
near the budget a unit is a unit), accuracies on the logit scale, stage costs as logs. Accuracies under attack are fitted to
the settings whose curves are whole; what a gate stopped has none, so a recording without a gate is the better one.
The truth of the simulation is the surrogate's prediction, transformed back.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.search.staged import FID, ROBUSTNESS, UNLEARNED, Means, Noise, Problem, aurc_weights
from benchmarks.search.surrogate import HeldOut, SoftForest, folds, held_out, held_out_of_two, logit
from benchmarks.search.tree import Encoding
from sweep.errors import UsageError
from sweep.plan.members import question_file
from sweep.records import FAIL, TABLES, read, read_json, run_folder
from sweep.space import Arm, Settings, find

_FEWEST = 5  # settings with whole curves; less is no surface. The table of errors says how good one is
_FEW_FAILURES = 5  # below it failing is one rate for all settings


@dataclass(frozen=True)
class Recording:
    """One arm's recorded settings. Rows are settings: `vectors` (n, d); means over seeds of fid_delta, unlearning_accuracy
    (n,), relearning accuracy (n, attacks, rungs - 1; NaN where never attacked) and log core-seconds of stages (n, stages; NaN
    where never run); `failed` (n,) the share of seeds that failed. `noise` is estimated from settings with several seeds."""

    arm: Arm
    encoding: Encoding
    vectors: np.ndarray
    fid_delta: np.ndarray
    unlearned: np.ndarray
    accuracy: np.ndarray
    log_core_s: np.ndarray
    failed: np.ndarray
    noise: Noise
    attacks: tuple[str, ...]
    rungs: tuple[int, ...]
    fid_budget: float
    gate_sd: float
    least_unlearned: float
    identity: str
    seeds: int

    @property
    def attacked(self) -> np.ndarray:
        return np.isfinite(self.accuracy).all(axis=(1, 2)) & np.isfinite(self.log_core_s).all(axis=1)

    @property
    def robustness(self) -> np.ndarray:
        """(n,) of the mean curves; NaN where never attacked."""
        return _robustness(self.unlearned, self.accuracy, self.rungs)


class Surrogate:
    """Forests fitted to some rows of a recording: `means` of any settings, with no noise in them."""

    def __init__(self, recording: Recording, rows: np.ndarray) -> None:
        self.recording = recording
        n, smooth = recording.noise.samples, recording.encoding.smooth
        scored = rows[np.isfinite(recording.fid_delta[rows])]
        attacked = rows[recording.attacked[rows]]
        vectors = recording.vectors
        self._fid_scale = recording.fid_budget / 2
        self._fid = SoftForest(
            vectors[scored], np.arcsinh(recording.fid_delta[scored] / self._fid_scale)[:, None], smooth
        )
        self._unlearned = SoftForest(vectors[scored], logit(recording.unlearned[scored], n)[:, None], smooth)
        curves = logit(recording.accuracy[attacked].reshape(len(attacked), -1), n)
        self._curves = SoftForest(vectors[attacked], curves, smooth)
        self._cost = SoftForest(vectors[attacked], recording.log_core_s[attacked], smooth)
        failed = recording.failed[rows]
        self._failed: SoftForest | float = float(failed.mean())
        if (failed > 0).sum() >= _FEW_FAILURES:
            self._failed = SoftForest(vectors[rows], failed[:, None], smooth, leaf=5)

    def means(self, settings: Settings) -> Means:
        return self.at(self.recording.encoding.vector(settings))

    def at(self, vector: np.ndarray) -> Means:
        recording = self.recording
        shape = (len(recording.attacks), len(recording.rungs) - 1)
        fails = self._failed if isinstance(self._failed, float) else float(np.clip(self._failed(vector)[0], 0, 1))
        return Means(
            float(self._fid_scale * np.sinh(self._fid(vector)[0])),
            float(_share(self._unlearned(vector)[0])),
            _share(self._curves(vector)).reshape(shape),
            np.exp(self._cost(vector)),
            fails,
        )


def recorded(folder: Path, arm: str = "") -> Problem:
    """The recording's problem; its corner is (0, fid_budget), as the real sweep's. UsageError where it cannot be read."""
    recording = read_recording(folder, arm)
    surrogate = Surrogate(recording, np.arange(len(recording.vectors)))
    return Problem(
        "recorded",
        recording.arm,
        surrogate.means,
        recording.fid_budget,
        (0.0, recording.fid_budget),
        recording.noise,
        recording.least_unlearned,
        recording.rungs,
        recording.attacks,
        recording.gate_sd,
        recording.identity,
    )


def errors(recording: Recording) -> list[HeldOut]:
    """Five-fold cross-validated errors: each setting is predicted by trees fitted without it."""
    n = len(recording.vectors)
    predicted: dict[str, np.ndarray] = {name: np.full(n, np.nan) for name in (FID, UNLEARNED, ROBUSTNESS, "core_s")}
    curves = np.full_like(recording.accuracy, np.nan)
    for fitted, left_out in folds(n):
        surrogate = Surrogate(recording, fitted)
        for i in left_out:
            means = surrogate.at(recording.vectors[i])
            predicted[FID][i], predicted[UNLEARNED][i] = means.fid_delta, means.unlearning_accuracy
            predicted["core_s"][i], curves[i] = means.core_s.sum(), means.accuracy
    predicted[ROBUSTNESS] = _robustness(predicted[UNLEARNED], curves, recording.rungs)
    found = [
        held_out(
            "fid_delta, asinh scale",
            *(np.arcsinh(2 * v / recording.fid_budget) for v in (recording.fid_delta, predicted[FID])),
        )
    ]
    near = recording.fid_delta <= 2 * recording.fid_budget
    found.append(held_out("fid_delta, settings below 2 budgets", recording.fid_delta[near], predicted[FID][near]))
    found.append(held_out("unlearning_accuracy", recording.unlearned, predicted[UNLEARNED]))
    found.append(held_out("robustness", recording.robustness, predicted[ROBUSTNESS]))
    for a, attack in enumerate(recording.attacks):
        for r in (0, len(recording.rungs) - 2):
            found.append(
                held_out(
                    f"relearning accuracy, {attack}@{recording.rungs[r + 1]}",
                    recording.accuracy[:, a, r],
                    curves[:, a, r],
                )
            )
    found.append(
        held_out("core-seconds of a whole trial", np.exp(recording.log_core_s).sum(axis=1), predicted["core_s"])
    )
    return [*found, _feasibility(recording, predicted)]


def _feasibility(recording: Recording, predicted: dict[str, np.ndarray]) -> HeldOut:
    scored = np.isfinite(recording.fid_delta) & np.isfinite(predicted[FID])
    true = (recording.fid_delta <= recording.fid_budget) & (recording.unlearned >= recording.least_unlearned)
    n = recording.noise.samples
    slack = np.minimum(
        (recording.fid_budget - predicted[FID]) / max(recording.gate_sd, 1e-9),
        logit(predicted[UNLEARNED], n) - logit(np.array(recording.least_unlearned), n),
    )
    return held_out_of_two("feasible", true[scored], slack[scored])


def read_recording(folder: Path, arm: str = "") -> Recording:
    """The recording in `folder`: what `record --tables` writes, or a sweep's run folder.

    The arm is the question's first unless named. UsageError where something is missing.
    """
    plan, prepared = facts(folder)
    space = find.load(question_file(plan["space"], str(folder / "plan.json")))
    tables = {name: _table(folder, name) for name in TABLES}
    chosen = space.arm(arm or space.arms[0].name)
    least = next(c.unit for c in space.constraints if c.metric == UNLEARNED)
    attacks = tuple(a.name for a in space.search_attacks if a.counts)
    told = json.dumps([[sorted((k, str(v)) for k, v in r.items()) for r in tables["replicates"]], chosen.name])
    identity = f"{chosen.name}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"
    by_settings = _seeds(chosen, tables, attacks, space.rungs)
    encoding = Encoding(chosen.parameters)
    rows = [
        r for r in by_settings.values() if any(np.isfinite(s.fid_delta) for s in r[1]) or any(s.failed for s in r[1])
    ]
    if sum(any(np.isfinite(s.accuracy).all() for s in seeds) for _, seeds in rows) < _FEWEST:
        raise UsageError(f"{folder}: fewer than {_FEWEST} settings of arm {chosen.name!r} were attacked to the end")
    mean = {
        name: np.array([_mean([getattr(s, name) for s in seeds]) for _, seeds in rows])
        for name in ("fid_delta", "unlearned", "accuracy", "log_core_s", "failed")
    }
    seeds = [s for _, s in rows]
    return Recording(
        chosen, encoding, np.array([encoding.vector(settings) for settings, _ in rows]), **mean,
        noise=_noise(seeds, prepared), attacks=attacks, rungs=space.rungs, fid_budget=prepared["fid_budget"],
        gate_sd=prepared["fid_delta_sd"], least_unlearned=least, identity=identity, seeds=sum(map(len, seeds)),
    )  # fmt: skip


def arms_of(folder: Path) -> list[str]:
    """The arms that were recorded."""
    return sorted({row["arm"] for row in _table(folder, "trials")})


def facts(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the recording was made under: its plan, and what was prepared; both are one file beside compacted tables."""
    if (folder / "facts.json").is_file():
        both = read_json(folder / "facts.json")
        return both, both
    run = run_folder(folder)
    return read_json(run / "plan.json"), read_json(run / "prepared.json")


@dataclass(frozen=True)
class _Seed:
    """One replicate: its figures (NaN where it never got so far), accuracies (attacks, rungs - 1) and log costs (stages,)."""

    fid_delta: float
    unlearned: float
    accuracy: np.ndarray
    log_core_s: np.ndarray
    failed: bool
    samples: int


def _seeds(
    arm: Arm, tables: dict[str, list[dict[str, Any]]], attacks: tuple[str, ...], rungs: tuple[int, ...]
) -> dict[str, tuple[Settings, list[_Seed]]]:
    """Every replicate of the arm, by its settings."""
    settings: dict[str, Settings] = {}
    for row in (r for r in tables["trials"] if r["arm"] == arm.name):
        named = {p.name: row.get(f"param_{p.name}") for p in arm.walk()}
        settings[row["trial_id"]] = arm.check({k: v for k, v in named.items() if v is not None})
    curves: dict[tuple[str, int], dict[tuple[str, int], float]] = defaultdict(dict)
    for row in tables["curves"]:
        if row["metric"] == "relearning_accuracy" and row["attack"] in attacks:
            curves[row["trial_id"], row["replicate"]][row["attack"], row["attack_step"]] = row["value"]
    costs: dict[tuple[str, int], dict[str, float]] = defaultdict(dict)
    for row in tables["stages"]:
        if not row["found"]:  # what was found in the store cost nothing, which says nothing of its cost
            costs[row["trial_id"], row["replicate"]][row["stage"]] = row["core_s"]
    names = ["unlearn", "score", *(f"{a}@{k}" for a in attacks for k in rungs[1:])]
    found: dict[str, tuple[Settings, list[_Seed]]] = {}
    for row in (r for r in tables["replicates"] if r["trial_id"] in settings):
        key = row["trial_id"], row["replicate"]
        accuracy = np.array([[curves[key].get((a, k), np.nan) for k in rungs[1:]] for a in attacks], dtype=float)
        log_cost = np.log([max(costs[key].get(name, np.nan), 1e-3) for name in names])
        failed = row["state"] == FAIL  # what a failed trial was scored before is no sample of the trials that count
        fid, unlearned = (np.nan if failed or row[name] is None else float(row[name]) for name in (FID, UNLEARNED))
        seed = _Seed(fid, unlearned, accuracy, log_cost, failed, row["samples_forgotten"] or 0)
        these = settings[row["trial_id"]]
        found.setdefault(json.dumps(these, sort_keys=True), (these, []))[1].append(seed)
    return found


def _noise(settings: list[list[_Seed]], prepared: dict[str, Any]) -> Noise:
    """Between-seed noise, pooled over the settings with at least two scored seeds; the gate's SD where there is none.

    fid_delta: variances are s₀² + (s₁·mean)²; s₀ is pooled over means within 2 budgets, s₁ is what larger ones have beyond.
    Accuracies: variance beyond the binomial's, on the logit scale, by moments over rungs (≥ 0).
    """
    samples = int(np.median([s.samples for seeds in settings for s in seeds if s.samples]))
    groups = [np.array([s.fid_delta for s in seeds if np.isfinite(s.fid_delta)]) for seeds in settings]
    groups = [g for g in groups if len(g) > 1]
    low = [g for g in groups if abs(g.mean()) <= 2 * prepared["fid_budget"]]
    high = [g for g in groups if abs(g.mean()) > 2 * prepared["fid_budget"]]
    base = _pooled(low) if low else prepared["fid_delta_sd"]
    relative = np.sqrt(max(0.0, np.mean([(g.var(ddof=1) - base**2) / g.mean() ** 2 for g in high]))) if high else 0.0
    beyond, weight = 0.0, 0.0
    for seeds in settings:
        whole = [s for s in seeds if np.isfinite(s.accuracy).all() and s.samples]
        if len(whole) < 2:
            continue
        p = np.mean([s.accuracy for s in whole], axis=0)
        binomial = np.mean([p * (1 - p) / s.samples for s in whole], axis=0)
        variance = np.var([s.accuracy for s in whole], axis=0, ddof=1)
        beyond += float((variance - binomial).sum())
        weight += float(((p * (1 - p)) ** 2).sum())
    logit_sd = float(np.sqrt(max(0.0, beyond / weight))) if weight else Noise.logit_sd
    cost = [np.array([s.log_core_s for s in seeds if np.isfinite(s.log_core_s).all()]) for seeds in settings]
    cost_sd = (
        _pooled([c - c.mean(axis=0) for c in cost if len(c) > 1]) if any(len(c) > 1 for c in cost) else Noise.cost_sd
    )
    return Noise(float(base), float(relative), logit_sd, float(cost_sd), samples)


def _pooled(groups: list[np.ndarray]) -> float:
    """The standard deviation within groups, of rows, pooled."""
    squares = sum(float(((g - g.mean(axis=0)) ** 2).sum()) for g in groups)
    return float(np.sqrt(squares / sum((len(g) - 1) * (g.size // len(g)) for g in groups)))


def _robustness(unlearned: np.ndarray, accuracy: np.ndarray, rungs: tuple[int, ...]) -> np.ndarray:
    start = np.repeat((1 - unlearned)[:, None, None], accuracy.shape[1], axis=1)
    return 1 - (np.concatenate([start, accuracy], axis=2) @ aurc_weights(rungs)).max(axis=1)


def _share(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(logits)))


def _mean(values: list[Any]) -> Any:
    """The mean of the values that are there, elementwise; NaN where none is."""
    stacked = np.array(values, dtype=float)
    known = np.isfinite(stacked)
    count = known.sum(axis=0)
    return np.where(known, stacked, 0).sum(axis=0) / np.where(count > 0, count, np.nan)


def _table(folder: Path, name: str) -> list[dict[str, Any]]:
    whole = folder / f"{name}.parquet"
    return pq.read_table(whole).to_pylist() if whole.is_file() else read(folder, name).to_pylist()
