"""How long reading takes where a run has very many trials: ``python benchmarks/many_records.py FOLDER [--trials 100000]``.

Writes synthetic records with the real schema (two arms; every fifth trial pruned; robustness and fid_delta on a noisy trade-off;
four members confirmed on three seeds; one attack of seven rungs; a retrain control), compacted, and as small files `--small` of
them, and times commands in processes of their own: elapsed and processor seconds, and the most memory held.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from search_spaces.dimum_robustness import SPACE
from sweep.records import COMPLETE, PRUNED, TABLES, Writer, schemas
from sweep.records.files import compact
from sweep.records.names import BASE, RETRAIN, trial_name

RUNGS, SEEDS, BUDGET, FID_BASE = (0, 1, 3, 7, 15, 31, 63), (1, 2, 3), 4.0, 15.0
START = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
# The kernel's mark of this image's memory: ru_maxrss would also count the parent's, from before the exec.
_TIMED = """
import re, runpy, sys
sys.argv, status = sys.argv[1:], 0
try:
    runpy.run_module(sys.argv[0], run_name="__main__")
except SystemExit as end:
    status = end.code
sys.stdout.flush()
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1], file=sys.stderr)
sys.exit(status)
"""
METRICS = ("relearning_accuracy", "retain_accuracy", "fid")
ATTACKED = "dimra-retain-3e-4"


def table(schema: pa.Schema, columns: dict[str, Any], length: int) -> pa.Table:
    """A table of the schema from the columns given, constants included; null elsewhere."""
    filled = []
    for field in schema:
        found = columns.get(field.name)
        plain = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if isinstance(found, np.ndarray | pa.Array):
            column = pa.array(found, plain, from_pandas=True)
        else:
            column = pa.nulls(length, plain) if found is None else pa.repeat(pa.scalar(found, plain), length)
        filled.append(column.dictionary_encode() if pa.types.is_dictionary(field.type) else column)
    return pa.Table.from_arrays([c.cast(f.type) for c, f in zip(filled, schema, strict=True)], schema=schema)


def tables(trials: int, seed: int = 0) -> dict[str, pa.Table]:
    """The four tables of so many trials."""
    rng, known = np.random.default_rng(seed), schemas(SPACE)
    arms = [arm.name for arm in SPACE.arms][:2]
    arm = np.array([arms[i * len(arms) // trials] for i in range(trials)] + ["control"] * 2, dtype=object)
    number = np.concatenate([np.arange(trials) % -(-trials // len(arms)), [0, 0]])
    ids = np.array([trial_name(a, n) for a, n in zip(arm[:-2], number[:-2], strict=True)] + [BASE, RETRAIN])
    ids = ids.astype(object)
    fid_delta = rng.gamma(2.0, 4.0, trials + 2)
    robustness = np.clip(1 - 0.5 * np.exp(-fid_delta / 2) - rng.gamma(1.0, 0.15, trials + 2), 0, 1)
    pruned = (np.arange(trials + 2) % 5 == 4) & (arm != "control")
    robustness[pruned] = np.nan
    state = np.where(pruned, PRUNED, COMPLETE).astype(object)
    figures = {
        "robustness": robustness, "fid": FID_BASE + fid_delta, "fid_base": FID_BASE, "fid_delta": fid_delta,
        "kid": fid_delta / 1000,
        "unlearning_accuracy": np.clip(rng.normal(0.97, 0.04, trials + 2), 0, 1), "retain_accuracy": 0.95,
    }  # fmt: skip
    same = {"trial_id": ids, "arm": arm, "method": arm, "state": state, "core_s": 12.5} | figures
    over = (fid_delta - BUDGET) / BUDGET
    kept = (0.9 - figures["unlearning_accuracy"]) / 0.9
    own = {
        "number": number,
        "asked_at": START,
        "told_at": START,
        "excess_fid_delta": over,
        "excess_unlearning_accuracy": kept,
    }
    real = [f.name for f in known["trials"] if f.name.startswith("param_") and f.type == pa.float64()]
    own |= {name: rng.uniform(size=trials + 2) for name in real}
    own |= {"feasible": (over <= 0) & (kept <= 0) & ~pruned}
    facts = {
        "samples_forgotten": 192, "samples_per_retained": 100, "sampler": "ddim-10", "feature_network": "classifier",
        "feature_network_hash": "ab" * 32, "reference": "cd" * 32, "base_model": "ef" * 32, "code_version": "01" * 8,
        "device": "cpu", "started_at": START, "finished_at": START,
    }  # fmt: skip
    # replicate 0 of every trial, then the confirm phase's of both controls and of the two most robust feasible of each arm
    good = [np.flatnonzero((arm == a) & own["feasible"]) for a in arms]
    chosen = np.concatenate([*(g[np.argsort(-robustness[g])[:2]] for g in good), [trials, trials + 1]])
    row = np.concatenate([np.arange(trials + 2), np.repeat(chosen, len(SEEDS))])
    replicate = np.concatenate([np.zeros(trials + 2, int), np.tile(np.arange(1, len(SEEDS) + 1), len(chosen))])
    replicates = {k: v[row] if isinstance(v, np.ndarray) else v for k, v in same.items()} | facts
    replicates |= {
        "replicate": replicate,
        "seed": replicate,
        "phase": np.where(replicate > 0, "confirm", "search").astype(object),
    }
    curve = np.repeat(np.flatnonzero(~pruned[row]), len(RUNGS) * len(METRICS))
    several = len(curve) // (len(RUNGS) * len(METRICS))
    step = np.tile(np.repeat(RUNGS, len(METRICS)), several)
    metric = np.tile(np.array(METRICS, dtype=object), several * len(RUNGS))
    curves = {
        "trial_id": ids[row[curve]], "replicate": replicate[curve], "attack": np.where(step > 0, ATTACKED, "none").astype(object),
        "counts": step > 0, "auxiliary": "retain", "attack_step": step, "metric": metric,
        "value": rng.uniform(size=len(curve)), "samples": 192,
    }  # fmt: skip
    stage = np.repeat(np.arange(len(row)), 3)
    stages = {
        "trial_id": ids[row[stage]], "replicate": replicate[stage], "key": "aa" * 32, "found": False, "wall_s": 4.0, "core_s": 4.0,
        "training_s": 2.0, "sampling_s": 1.0, "scoring_s": 0.5, "pid": 1, "node": "n", "started_at": START, "finished_at": START,
        "stage": np.tile(np.array(["unlearn", "score", f"{ATTACKED}@63"], dtype=object), len(row)),
        "kind": np.tile(np.array(["unlearn", "score", ATTACKED], dtype=object), len(row)),
    }  # fmt: skip
    columns = {
        "trials": (same | own, trials + 2),
        "replicates": (replicates, len(row)),
        "curves": (curves, len(curve)),
        "stages": (stages, len(stage)),
    }
    return {name: table(known[name], *columns[name]) for name in TABLES}


def write_json(run: Path) -> None:
    arms = SPACE.arms[:2]
    plan = {
        "space": SPACE.name, "question": SPACE.question, "data": "digits", "forget": "3", "seed": 1, "rungs": list(RUNGS),
        "artifacts": str(run / "artifacts"), "main_arm": arms[0].name, "fid_features": "classifier",
        "arms": {a.name: {"method": a.method, "baseline": a.baseline} for a in arms},
        "attacks": {"search": [ATTACKED], "confirm": [ATTACKED]},
        "constraints": [
            {"metric": "fid_delta", "at_most": "fid_budget", "at_least": None},
            {"metric": "unlearning_accuracy", "at_most": None, "at_least": 0.9},
        ],
        "objectives": [{"metric": "robustness", "direction": "maximise"}, {"metric": "fid_delta", "direction": "minimise"}],
        "parameters": {a.name: [p.name for p in a.walk()] for a in arms}, "sampler": "random", "trials": 1, "baseline_trials": 1,
        "confirm_seeds": 3, "space_fingerprint": SPACE.fingerprint(),
    }  # fmt: skip
    prepared = {"fid_budget": BUDGET, "fid_base": FID_BASE, "seconds": {}}
    for name, content in (("plan", plan), ("prepared", prepared), ("status", {"state": "finished"})):
        (run / f"{name}.json").write_text(json.dumps(content))


def write_compacted(run: Path, trials: int) -> None:
    Writer(run, schemas(SPACE))
    for name, found in tables(trials).items():
        folder = run / "records" / name
        pq.write_table(found, folder / "written.parquet")
        compact(folder)
    write_json(run)


def write_small(run: Path, trials: int) -> None:
    """The same rows through the writer that a sweep has."""
    writer, found = Writer(run, schemas(SPACE)), {n: t.to_pylist() for n, t in tables(trials).items()}
    grouped: dict[str, dict[tuple[str, int], list[dict[str, Any]]]] = {"curves": {}, "stages": {}}
    for name, groups in grouped.items():
        for row in found[name]:
            groups.setdefault((row["trial_id"], row["replicate"]), []).append(row)
    for row in found["replicates"]:
        at = row["trial_id"], row["replicate"]
        writer.replicate(row, grouped["curves"].get(at, []), grouped["stages"].get(at, []))
    for row in found["trials"]:
        writer.trial(row)
    write_json(run)


def timed(label: str, command: list[str]) -> None:
    """Run in a process of its own and print a row: elapsed, processor seconds, peak memory."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, "-c", _TIMED, *command], capture_output=True, text=True)
    after, elapsed = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr}")
    core = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"| {label} | {elapsed:.1f} | {core:.1f} | {int(done.stderr.split()[-1]) / 1024:.0f} |", flush=True)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("folder", type=Path, help="a new folder for the runs")
    p.add_argument("--trials", type=int, default=100_000)
    p.add_argument("--small", type=int, default=1_000, help="trials of the run that is not compacted")
    p.add_argument("--page", action="store_true", help="time the page too")
    args = p.parse_args()
    runs = {"one file a table": (write_compacted, args.trials), "small files": (write_small, args.small)}
    print("| command | elapsed s | core s | peak MiB |\n|---|---|---|---|")
    for i, (kind, (write, trials)) in enumerate(runs.items()):
        run = args.folder / f"run{i}"
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir(parents=True)
        write(run, trials)
        what = f"{trials:,} trials, {kind}"
        timed(f"sweep.pareto, {what}", ["sweep.pareto", str(run)])
        timed(f"sweep.pareto --format csv, {what}", ["sweep.pareto", str(run), "--format", "csv"])
        timed(
            f"sweep.query over trials, {what}",
            ["sweep.query", str(run), "SELECT arm, max(robustness) FROM trials GROUP BY arm"],
        )
        timed(
            f"sweep.query over curves, {what}",
            ["sweep.query", str(run), "SELECT attack_step, avg(value) FROM curves GROUP BY 1"],
        )
        if args.page:
            timed(f"sweep.report, {what}", ["sweep.report", str(run), "-o", str(run / "page.html")])
        if kind == "small files":
            timed(f"sweep.compact, {what}", ["sweep.compact", str(run)])


if __name__ == "__main__":
    main()
