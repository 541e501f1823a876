"""A row of at_length.md once more, on seeds that it has not seen: ``python -m benchmarks.one_row NAME TRIAL``.

The trial's settings are held in a sweep of the recording's space and flags that has no other trial: it is unlearned and attacked
on one seed and confirmed on fresh ones, controls beside, and its figures are printed beside those that are kept. A baseline's row
has one trial of the question's own beside it, for a sweep needs one. ``--seed`` says where seeds begin, by default far from the
recordings'. Base model and classifier are made by seeds of their own, the same for every ``--seed``; an automatic FID budget is
measured anew. The plan and how long it may take are printed first. The code is today's: the recording's commit stands beside.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.at_length import (
    AFTER,
    ARTIFACTS,
    CODE,
    KEPT,
    RECORDINGS,
    RUNS,
    Recording,
    begun_by,
    core_s,
    is_finished,
)
from benchmarks.code_version import last_commit
from sweep.errors import UsageError, command
from sweep.reading.sweep import Sweep, read_sweep
from sweep.reading.trial import Trial
from sweep.reading.words import interval, shown
from sweep.records import read_json
from sweep.space import find
from sweep.space.parameters import word
from sweep.statistics.estimates import Estimate

FRESH = 1000  # no recording has used the seeds from here


def flags_of(recording: Recording, trial: Trial, seed: int) -> list[str]:
    """What `sweep.launch` is given for the trial alone. A baseline comes with an arm of the question's own: it needs one."""
    arms = {arm.name: arm for arm in find.load(recording.space).arms}
    beside = [name for name, arm in arms.items() if not arm.baseline][:1] if arms[trial.arm].baseline else []
    fixed = {"method": ",".join([*beside, trial.arm])} | {n: word(v) for n, v in trial.parameters.items()}
    flags = list(recording.flags)
    while "--fix" in flags:  # what a recording held is among the settings of each of its trials
        at = flags.index("--fix")
        del flags[at : at + 2]
    for name, value in fixed.items():
        flags += ["--fix", f"{name}={value}"]
    trials = ["--trials", "1", "--baseline-trials", "1" if beside else "0"]
    return ["--space", recording.space, *flags, *trials, "--seed", str(seed), "--sampler", "random"]


def comparison(kept: Trial, again: Trial, metrics: list[str]) -> Iterator[str]:
    """A row a figure: as it was kept, as it is now, and whether the new mean lies in the interval that was kept."""
    yield "| figure | kept | seeds | again | seeds | new mean in the kept interval | intervals overlap |"
    yield "|---" * 7 + "|"
    for metric in metrics:
        was, now = kept.at(metric), again.at(metric)
        if was is not None and now is not None:
            cells = [metric, interval(was), str(was.n), interval(now), str(now.n), within(was, now), overlap(was, now)]
            yield "| " + " | ".join(cells) + " |"


def within(was: Estimate, now: Estimate) -> str:
    """Whether the mean of `now` lies in the interval of `was`."""
    if was.lower is None or was.upper is None:
        return "—"
    return "yes" if was.lower <= now.mean <= was.upper else "no"


def overlap(was: Estimate, now: Estimate) -> str:
    """Whether two intervals have a value in common."""
    if was.lower is None or was.upper is None or now.lower is None or now.upper is None:
        return "—"
    return "yes" if was.lower <= now.upper and now.lower <= was.upper else "no"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.one_row",
        description=__doc__.split(":")[0] + ".",
        epilog="Names: --list of at_length.",
    )
    names = {recording.name: recording for recording in RECORDINGS}
    parser.add_argument("name", metavar="NAME", help="a kept recording")
    parser.add_argument("trial", metavar="TRIAL", help="a confirmed trial of it, dimum-0004 say")
    parser.add_argument("--seed", type=int, default=FRESH, help=f"where its seeds begin (default: {FRESH})")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and its cost, and run nothing")
    args = parser.parse_args()
    kept = [name for name in names if (KEPT / name).is_dir()]
    if args.name not in kept:
        parser.error(f"{args.name}: is not kept; choose among {', '.join(kept)}")
    sweep = read_sweep(KEPT / args.name)
    confirmed = {trial.trial_id: trial for trial in sweep.members if trial.fully_confirmed}
    if args.trial not in confirmed:
        parser.error(f"{args.trial}: is no confirmed trial of {args.name}; choose among {', '.join(sorted(confirmed))}")
    run_dir = RUNS / f"{args.name}-{args.trial}-seed{args.seed}"
    if not is_finished(run_dir):
        flags = flags_of(names[args.name], confirmed[args.trial], args.seed)
        code = run(run_dir, flags, args.dry_run)
        if code or args.dry_run:
            return code
    return print_row(args.name, sweep, confirmed[args.trial], run_dir)


def run(run_dir: Path, flags: list[str], dry_run: bool) -> int:
    """Run it, or go on with it, plan and cost first; 0 once it has ended, with an answer or without. Launch says what is wrong."""
    RUNS.mkdir(parents=True, exist_ok=True)
    launch = [sys.executable, "-m", "sweep.launch"]
    places = ["--run-dir", str(run_dir), "--artifacts", str(ARTIFACTS)]
    begun = (run_dir / "plan.json").exists()
    launch += ["--resume", str(run_dir)] if begun else [*flags, *places]
    if dry_run:
        return subprocess.run([*launch, "--dry-run"]).returncode
    if begun and begun_by(run_dir) != last_commit(*CODE):
        raise UsageError(
            f"{run_dir}: was begun by {begun_by(run_dir)}, and this is {last_commit(*CODE)}; remove it to run anew"
        )
    if not begun:
        run_dir.with_name(f"{run_dir.name}.commit").write_text(last_commit(*CODE))
    began = time.monotonic()
    code = subprocess.run(launch).returncode
    print(f"\n{(time.monotonic() - began) / 60:.1f} minutes", flush=True)
    return 0 if is_finished(run_dir) else code


def print_row(name: str, sweep: Sweep, kept: Trial, run_dir: Path) -> int:
    """Print the row beside the kept one; 1 where the trial was not confirmed this time, with the cause."""
    again = read_sweep(run_dir)
    (trial,) = again.arms[kept.arm].members
    if not trial.fully_confirmed:
        print(f"{run_dir}: its trial {trial.trial_id} was not confirmed: {trial.cause or trial.state}", file=sys.stderr)
        return 1
    metrics = [metric for metric in dict.fromkeys([*shown(sweep), *AFTER]) if sweep.has(metric)]
    recorded = read_json(KEPT / name / "recording.json")["commit"]
    print(f"\n{kept.trial_id} of {name}, recorded by {recorded}; again by {begun_by(run_dir)}, in {core_s(again):.0f} "
          f"core-seconds of stages, models that were found not counted; {run_dir}\n")  # fmt: skip
    print("\n".join(comparison(kept, trial, metrics)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(command(main)())
