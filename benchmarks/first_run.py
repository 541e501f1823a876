"""The default sweep of two checkouts in turn, from nothing: time to the first trial and to the end, core-seconds, the answer.

``python benchmarks/first_run.py OLD NEW FOLDER --seeds 0 1 2`` runs ``sweep.launch --space dimum_robustness --seed S``
in each checkout, the older first on every second seed, with an artifact store of its own (nothing is found), and prints its
tables. A run that FOLDER holds already is not made again. Times are from the command's start,
imports included; core-seconds are those of the whole machine (Linux's /proc/stat): nothing else may run beside it, not even with
``nice``, for Ray's workers are nice themselves.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SPACE = "dimum_robustness"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args(argv)
    checkouts = {"old": options.old.resolve(), "new": options.new.resolve()}
    options.folder.mkdir(parents=True, exist_ok=True)
    pairs = []
    for number, seed in enumerate(options.seeds):
        order = ("new", "old") if number % 2 == 0 else ("old", "new")
        runs = {name: measured(checkouts[name], options.folder.resolve() / f"{name}-{seed}", seed) for name in order}
        pairs.append((seed, runs))
        print_tables(pairs)


def measured(checkout: Path, folder: Path, seed: int) -> dict[str, Any]:
    """What one run took and found; made only where the folder has none that was finished."""
    figures, commit = folder / "figures.json", head_of(checkout)
    if figures.exists():
        read: dict[str, Any] = json.loads(figures.read_text())
        if read.get("commit", commit) != commit:
            raise SystemExit(f"{figures}: is of commit {read['commit']}, not of {commit}; name another folder")
        return read
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    run, artifacts = folder / "run", folder / "artifacts"
    command = [sys.executable, "-m", "sweep.launch", "--space", SPACE, "--seed", str(seed), "--log-format", "json"]
    command += ["--run-dir", str(run), "--artifacts", str(artifacts)]
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    busy, began = busy_core_s(), time.monotonic()
    lines = []
    with subprocess.Popen(command, cwd=checkout, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(json.loads(line) | {"after_s": time.monotonic() - began})
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} in {checkout} ended with exit code {process.returncode}")
    took, busy = time.monotonic() - began, busy_core_s() - busy
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    answer = subprocess.run(
        [sys.executable, "-m", "sweep.pareto", str(run), "--format", "json"],
        cwd=checkout,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    (folder / "pareto.json").write_text(answer)
    result = {"commit": commit} | figures_of(lines, took, busy) | answer_of(json.loads(answer))
    figures.write_text(json.dumps(result, indent=1))
    return result


def busy_core_s() -> float:
    """Processor time of the whole machine since it started, in seconds."""
    user, nice, system = (int(field) for field in Path("/proc/stat").read_text().split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def figures_of(lines: list[dict[str, Any]], took: float, busy: float) -> dict[str, Any]:
    """Seconds to the first trial and to the end, core-seconds, and the winner."""
    trials = [line for line in lines if line["event"] == "ended" and line["phase"] == "search" and line["outcome"]]
    result = lines[-1]
    return {
        "first_trial_s": trials[0]["after_s"],
        "first_complete_s": next(line["after_s"] for line in trials if line["state"] == "COMPLETE"),
        "end_s": took,
        "core_s": busy,
        "stages_core_s": 3600 * result["core_hours"],
        "trials": len(trials),
        "replicates": sum(line["event"] == "ended" for line in lines) - len(trials),
        "winner": result["text"],
    }


def answer_of(sweep: dict[str, Any]) -> dict[str, Any]:
    """The FID budget, and each arm's front with its fid_delta, robustness and the probability that each bound is kept."""
    members = [
        {
            "trial": m["trial_id"],
            "within": m["within"],
            "fid_delta": m["confirmed"]["fid_delta"],
            "robustness": m["confirmed"]["robustness"],
        }
        for arm in sweep["arms"].values()
        for m in arm["members"]
        if m["on_front"] and m["confirmed"]
    ]
    return {"fid_budget": sweep["fid_budget"], "front": members}


def head_of(checkout: Path) -> str:
    """The commit that is checked out there."""
    asked = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


def print_tables(pairs: list[tuple[int, dict[str, dict[str, Any]]]]) -> None:
    """A row a run, and the ratios new/old pair by pair."""
    columns = ("first_trial_s", "first_complete_s", "end_s", "core_s", "stages_core_s", "trials", "replicates")
    print("\n| seed | checkout | " + " | ".join(columns) + " |")
    print("|---|---|" + "---|" * len(columns))
    for seed, runs in pairs:
        for name in ("old", "new"):
            print(f"| {seed} | {name} | " + " | ".join(f"{runs[name][c]:.0f}" for c in columns) + " |")
    for column in columns[:5]:
        ratios = [runs["new"][column] / runs["old"][column] for _, runs in pairs]
        print(
            f"new/old, {column}: " + ", ".join(f"{r:.2f}" for r in ratios) + f"; median {statistics.median(ratios):.2f}"
        )
    for seed, runs in pairs:
        for name in ("old", "new"):
            print(f"\nseed {seed}, {name}: {runs[name]['winner']}")
            for member in runs[name].get("front", []):
                fid, budget = member["fid_delta"], runs[name]["fid_budget"]
                half = "—" if fid["lower"] is None else f"{(fid['upper'] - fid['lower']) / 2 / budget:.2f}"
                kept = ", ".join(f"P({bound}) {chance:.3f}" for bound, chance in member["within"].items())
                print(f"  {member['trial']}: half-width / budget {half} on {fid['n']} seeds, {kept}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
