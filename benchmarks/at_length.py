"""The questions at full length, one sweep after the other: ``python -m benchmarks.at_length``.

Each is the command that its row of ``--list`` says, run as anybody would type it. One that was stopped goes on by itself; one that
has ended is kept in ``benchmarks/at_length/NAME`` and not run again: its tables, its plan and what was prepared, which every
reader of runs takes (``python -m sweep.pareto benchmarks/at_length/NAME``), and its front in words. ``--tables`` prints what the
kept ones say. ``--as-it-is`` keeps a sweep that was stopped, as far as it has come: its table says so, and a whole one takes its
place.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.code_version import last_commit
from sweep import records
from sweep.errors import UsageError, command
from sweep.reading.arm_against_arm import Standing, standings
from sweep.reading.dependence import dependences, level_text
from sweep.reading.sweep import Sweep, read_sweep
from sweep.reading.trial import Trial
from sweep.reading.words import cell, interval, number, settings, shown
from sweep.records import read_json
from sweep.records.folder import compact, write_json

KEPT = Path(__file__).parent / "at_length"
RUNS = Path("runs") / "at_length"
ARTIFACTS = Path("runs") / "artifacts"
CODE = ("trainables", "sweep", "search_spaces")
FILES = ("plan.json", "prepared.json", records.SEARCH, records.CONFIRMATION, "status.json")
# Beside what a question is about: what is left after the strongest attack that counts, and what the attack does to the rest.
AFTER = ("unlearning_accuracy", "attacked_relearning_accuracy", "attacked_retain_accuracy", "attacked_fid_delta")


@dataclass(frozen=True)
class Recording:
    """A sweep to be recorded: what it is called, and the flags that make it another than its space's default."""

    name: str
    space: str
    flags: tuple[str, ...] = ()

    def begin(self) -> list[str]:
        """The command that begins it."""
        return [
            *("--space", self.space, *self.flags),
            *("--run-dir", str(RUNS / self.name), "--artifacts", str(ARTIFACTS)),
        ]


FASHION = ("--data", "fashion_mnist", "--image-size", "16", "--data-limit", "10000")
CANCER = ("--data", "breast_cancer")
WINE = ("--data", "wine")
# Wine has 93 rows that are trained on, and a batch is a part of them: the larger ones of vflgan_privacy are refused.
SMALL_BATCH = ("--fix", "batch=64")
# What replacement data do is asked of all of them alike: a sampler that hurries to the best ones leaves few trials of the others.
SPREAD = ("--fix", "method=dimum", "--trials", "108", "--sampler", "qmc")
# The settings that the space's start points share, which forget: of the whole space few trials in a hundred do without damage.
HELD = tuple(
    word
    for name in (
        "learning_rate=7e-4",
        "steps=150",
        "forget_share=0.2",
        "trained_parameters=all",
        "ema_decay=0.9",
        "condition_dropout=0.05",
    )
    for word in ("--fix", name)
)

RECORDINGS = (
    *(
        Recording(f"{space}-{data}", space, flags)
        for data, flags in (("digits", ()), ("fashion_mnist", FASHION), ("breast_cancer", CANCER))
        for space in ("vflgan_privacy", "vflgan_quality")
    ),
    Recording("vflgan_privacy-wine", "vflgan_privacy", (*WINE, *SMALL_BATCH)),
    Recording("vflgan_quality-wine", "vflgan_quality", WINE),
    Recording("instances_vs_dimra-digits", "instances_vs_dimra"),
    *(Recording(f"dimra_strength-digits-{digit}", "dimra_strength", ("--forget", digit)) for digit in "38"),
    *(Recording(f"methods_vs_dimra-digits-{digit}", "methods_vs_dimra", ("--forget", digit)) for digit in "837"),
    *(Recording(f"meta_unlearning-digits-{digit}", "meta_unlearning", ("--forget", digit)) for digit in "38"),
    Recording("dimum_robustness-digits-8", "dimum_robustness", ("--forget", "8", *SPREAD)),
    *(
        Recording(f"replacement_data-digits-{digit}", "dimum_robustness", ("--forget", digit, *SPREAD, *HELD))
        for digit in "837"
    ),
    *(  # trousers and bags, as in the track
        Recording(f"dimum_robustness-fashion_mnist-{garment}", "dimum_robustness", (*FASHION, "--forget", garment))
        for garment in "18"
    ),
)


def run(recording: Recording) -> Path:
    """Run the sweep to its end, from where it was stopped; UsageError where it did not get there, or other code began it."""
    folder = RUNS / recording.name
    if not (folder / "plan.json").exists():
        RUNS.mkdir(parents=True, exist_ok=True)
        folder.with_name(f"{folder.name}.commit").write_text(last_commit(*CODE))
    if begun_by(folder) != last_commit(*CODE):
        raise UsageError(
            f"{folder}: was begun by {begun_by(folder)}, and this is {last_commit(*CODE)}; remove it, or check that out"
        )
    if not is_finished(folder):
        flags = ["--resume", str(folder)] if (folder / "plan.json").exists() else recording.begin()
        done = subprocess.run([sys.executable, "-m", "sweep.launch", *flags])
        if not is_finished(folder):
            raise UsageError(
                f"{recording.name}: the sweep ended with exit code {done.returncode}; run it again to go on"
            )
    return folder


def begun_by(run_dir: Path) -> str:
    """The commit whose code began a run here. UsageError where that was not written down: the run is somebody else's."""
    file = run_dir.with_name(f"{run_dir.name}.commit")
    if not file.exists():
        raise UsageError(f"{run_dir}: no {file.name} beside it, so nobody knows which code began it; move the run away")
    return file.read_text()


def is_finished(run_dir: Path) -> bool:
    """Whether the sweep came to its end, with an answer or, all trials having failed, without."""
    status = run_dir / "status.json"
    return status.exists() and read_json(status)["state"] == "finished"


def keep(recording: Recording, run_dir: Path, kept: Path) -> None:
    """Copy what readers of the run need into ``kept/NAME``, whole or not at all, without the paths of where it was made."""
    whole, part = kept / recording.name, kept / f".{recording.name}.part"
    code = begun_by(run_dir)
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(run_dir / "records", part / "records")
    for name in FILES:
        if (run_dir / name).exists():
            shutil.copy(run_dir / name, part)
    plan = read_json(part / "plan.json")
    for holder in (plan, plan["plan"]):
        places = {"run_dir": str(RUNS / recording.name), "artifacts": str(ARTIFACTS)}
        holder |= {name: place for name, place in places.items() if name in holder}
    write_json(part / "plan.json", plan)
    made_by = {"flags": recording.begin(), "commit": code, "core_s": round(core_s(read_sweep(run_dir)))}
    (part / "recording.json").write_text(json.dumps(made_by, indent=1) + "\n")
    pareto = [sys.executable, "-m", "sweep.pareto", str(run_dir), "--format", "markdown"]
    front = subprocess.run(pareto, capture_output=True, text=True, check=True).stdout
    (part / "front.md").write_text(front.replace(str(Path.cwd()) + os.sep, ""))
    compact(part)
    shutil.rmtree(whole, ignore_errors=True)  # of a recording that had been kept before its end
    part.rename(whole)


def core_s(sweep: Sweep) -> float:
    """Core-seconds of every stage that the run made, not of those that it found in the store."""
    return sum(stage["core_s"] or 0.0 for stage in sweep.stages if not stage["found"])


def tables(kept: Path) -> Iterator[str]:
    """Of each kept sweep: what it asked, what it cost, and every arm's first and front members, the best arms first."""
    for recording in RECORDINGS:
        folder = kept / recording.name
        if folder.is_dir():
            yield from table(recording, read_sweep(folder), read_json(folder / "recording.json"))


def table(recording: Recording, sweep: Sweep, made_by: dict[str, Any]) -> Iterator[str]:
    """One sweep's."""
    flags = " ".join(["--space", recording.space, *recording.flags])
    bounds = ", ".join(f"{name} {value:.2f}" for name, value in sweep.bounds.items())
    yield f"## {recording.name}\n"
    yield (
        f"`python -m sweep.launch {flags}`; {len(sweep.members)} trials; "
        f"{made_by['core_s'] / 3600:.2f} core-hours of stages; code {made_by['commit']}"
        + (f"; {bounds}" if bounds else "")
        + ("" if sweep.status["state"] == "finished" else "; **stopped before its end**")
        + ".\n"
    )
    metrics = [metric for metric in dict.fromkeys([*shown(sweep), *AFTER]) if sweep.has(metric)]
    yield "| arm | member | " + " | ".join(metrics) + " | seeds | feasible trials | settings |"
    yield "|---" * (len(metrics) + 5) + "|"
    for standing in standings(sweep):
        for cells in rows(sweep, standing, metrics):
            yield "| " + " | ".join(cells) + " |"
    for control in sweep.controls.values():
        yield "| " + " | ".join(["control", *figures_of(control, metrics), "", ""]) + " |"
    yield ""
    yield from dependence_table(sweep)


def dependence_table(sweep: Sweep) -> Iterator[str]:
    """What a parameter's values do to a figure, of every parameter that surely does anything; nothing where no arm is fitted."""
    fitted = [dependence for dependence in dependences(sweep) if dependence.fit]
    if not fitted:
        return
    yield "Effects with the other parameters held, of the search's figures; the intervals of a figure in an arm hold together:\n"
    yield "| arm | figure, at the mean of all | trials | parameter | what each value adds |\n|---|---|---|---|---|"
    for dependence in fitted:
        assert dependence.fit
        head = f"| {dependence.arm} | {dependence.target}, {number(dependence.fit.mean)} | {dependence.fit.trials} |"
        for parameter, levels in dependence.certain.items():
            effects = "; ".join(f"{cell(level_text(level))} {interval(effect)}" for level, effect in levels.items())
            yield f"{head} {parameter} | {effects} |"
        others = [parameter for parameter in dependence.effects if parameter not in dependence.certain]
        if others:
            yield f"{head} {', '.join(others)} | nothing shown |"
    yield ""


def rows(sweep: Sweep, standing: Standing, metrics: Sequence[str]) -> Iterator[list[str]]:
    """An arm's: the member that the search's seed put first, and all others of its confirmed front."""
    arm, first = sweep.arms[standing.arm], standing.member
    feasible = f"{sum(bool(member.feasible) for member in arm.members)} of {len(arm.members)}"
    if first is None:
        yield [standing.arm, cell(standing.reason or "none was scored"), *([""] * (len(metrics) + 1)), feasible, ""]
        return
    for member in (first, *(member for member in arm.front if member.trial_id != first.trial_id)):
        yield [standing.arm, *figures_of(member, metrics, arm.front), feasible, cell(settings(member))]


def figures_of(trial: Trial, metrics: Sequence[str], front: Sequence[Trial] | None = None) -> list[str]:
    """A trial's cells, from its name to how many fresh seeds its figures have, from the fewest to the most.

    What it is beside the front, if it is not on it, stands behind its name.
    """
    estimates = [trial.at(metric) for metric in metrics]
    seeds = sorted({estimate.n for estimate in estimates if estimate is not None}) if trial.fully_confirmed else []
    remarks = [
        *(["not confirmed"] if not trial.fully_confirmed else []),
        *(["breaks a bound"] if trial.feasible is False else []),
        *(
            ["dominated by its arm's front"]
            if front is not None and trial.trial_id not in {m.trial_id for m in front}
            else []
        ),
    ]
    ends = dict.fromkeys((seeds[0], seeds[-1])) if seeds else [0]  # for a bound's sake a seed may be without attacks
    return [", ".join([trial.trial_id, *remarks]), *map(interval, estimates), " to ".join(map(str, ends))]


def _mark(kept: Path) -> str:
    """What a listing says of a recording."""
    if is_finished(kept):
        return "kept"
    return "in part" if kept.is_dir() else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0] + ".")
    names = [recording.name for recording in RECORDINGS]
    parser.add_argument(
        "--only", nargs="+", default=names, choices=names, metavar="NAME", help="these alone; see --list"
    )
    parser.add_argument("--kept", type=Path, default=KEPT, help="where they are kept (default: benchmarks/at_length)")
    parser.add_argument(
        "--as-it-is", action="store_true", help="run nothing: keep those of --only as far as they have come"
    )
    parser.add_argument("--list", action="store_true", help="print their names, commands and which are kept, and exit")
    parser.add_argument("--tables", action="store_true", help="print what the kept ones say, and exit")
    args = parser.parse_args()
    if args.as_it_is and (lost := [name for name in args.only if not (RUNS / name / "plan.json").exists()]):
        parser.error(f"--as-it-is: no run in {RUNS / lost[0]}; name those that have one by --only")
    if args.tables:
        print("\n".join(tables(args.kept)), flush=True)
        return 0
    for recording in RECORDINGS:
        done = is_finished(args.kept / recording.name)
        if args.list:
            print(
                f"{_mark(args.kept / recording.name):<8}  {recording.name:<28} python -m sweep.launch {' '.join(recording.begin())}"
            )
        elif recording.name in args.only and not done:
            keep(recording, RUNS / recording.name if args.as_it_is else run(recording), args.kept)
            print(f"kept {args.kept / recording.name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(command(main)())
