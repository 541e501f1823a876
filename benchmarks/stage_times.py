"""Where a run's time went: ``python benchmarks/stage_times.py RUN`` prints the tables of benchmarks/stage_times.md."""

from __future__ import annotations

import datetime as dt
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from sweep import records


def main(run: Path) -> None:
    records.run_folder(run)
    plan, prepared = records.read_json(run / "plan.json"), records.read_json(run / "prepared.json")
    status = records.read_json(run / "status.json")
    phase_of = {(r["trial_id"], r["replicate"]): r["phase"] for r in records.rows(run, "replicates")}
    made = [s for s in records.rows(run, "stages") if not s["found"]]
    print_stages(made, phase_of)
    print_trials(records.rows(run, "trials"))
    print_share(plan, prepared, [s for s in made if phase_of[s["trial_id"], s["replicate"]] == "search"])
    start, end = (dt.datetime.fromisoformat(status[k]) for k in ("started_at", "finished_at"))
    print(f"\nwhole run: {(end - start).total_seconds():.0f} s after imports; prepare {prepared['seconds']['prepare']:.0f} s, "
          + ", ".join(f"{k} {v:.0f}" for k, v in prepared["seconds"].items() if v and k != "prepare") + " s")  # fmt: skip


def print_stages(made: list[dict[str, Any]], phase_of: dict[tuple[str, int], str]) -> None:
    """Median seconds of each kind of stage, by phase."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for stage in made:
        groups[phase_of[stage["trial_id"], stage["replicate"]], _kind(stage["stage"])].append(stage)
    print("| phase | stage | n | wall s | core s | training s | sampling s | scoring s |")
    print("|---|---|---|---|---|---|---|---|")
    columns = ("wall_s", "core_s", "training_s", "sampling_s", "scoring_s")
    for (phase, kind), stages in sorted(groups.items(), key=lambda g: (g[0][0] != "search", g[0][1])):
        medians = " | ".join(f"{statistics.median(s[c] for s in stages):.2f}" for c in columns)
        print(f"| {phase} | {kind} | {len(stages)} | {medians} |")


def print_trials(trials: list[dict[str, Any]]) -> None:
    """Core seconds of a trial by how it ended."""
    print("\n| trials | n | median core s | largest |\n|---|---|---|---|")
    for state in sorted({t["state"] for t in trials}):
        cores = [t["core_s"] for t in trials if t["state"] == state and t["core_s"]]
        if cores:
            print(f"| {state} | {len(cores)} | {statistics.median(cores):.1f} | {max(cores):.1f} |")


def print_share(plan: dict[str, Any], prepared: dict[str, Any], search: list[dict[str, Any]]) -> None:
    """Share of the search phase's core time (workers × elapsed, starting the workers included) in training and sampling."""
    begun = dt.datetime.fromisoformat(prepared["finished_at"])
    elapsed = (max(s["finished_at"] for s in search) - begun).total_seconds()
    available = elapsed * plan["workers"]
    print(f"\nsearch phase: {elapsed:.0f} s on {plan['workers']} cores = {available:.0f} core-s, of which")
    for part in ("training", "sampling", "scoring"):
        seconds = sum(s[f"{part}_s"] for s in search)
        print(f"- {part}: {seconds:.0f} s, {seconds / available:.1%}")
    useful = sum(s["training_s"] + s["sampling_s"] for s in search)
    first = min(s["started_at"] for s in search)
    print(f"- training and sampling together: {useful / available:.1%}")
    print(
        f"- before the first stage (starting workers, imports): {(first - begun).total_seconds() * plan['workers'] / available:.1%}"
    )


def _kind(stage: str) -> str:
    """``dimra-retain-1e-3@7`` → ``attack rung``; the last rung scores every condition and is told apart."""
    name, at, step = stage.partition("@")
    return f"rung @{step}" if at else name


if __name__ == "__main__":
    main(Path(sys.argv[1]))
