"""A row of at_length.md once more, on seeds that it has not seen: ``python -m benchmarks.one_row NAME TRIAL``.

The trial's settings are held, its space and flags are the recording's, so the sweep has this trial alone: unlearned and attacked on
one seed, confirmed on fresh ones, controls beside. ``--seed`` says where seeds begin: the recording's own, 0, gives its figures
again where trials and their seeds are the same; the default is far from them. Base model, classifier and reference are the
recording's, made by the same seed. The time that it says first is that of ``--dry-run``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.at_length import AFTER, ARTIFACTS, KEPT, RECORDINGS, RUNS, Recording
from sweep.errors import UsageError, command
from sweep.reading.sweep import read_sweep
from sweep.reading.trial import Trial
from sweep.reading.words import interval, shown
from sweep.space import find
from sweep.space.parameters import word
from sweep.statistics.estimates import Estimate

FRESH = 1000  # no recording has used the seeds from here


def flags_of(recording: Recording, trial: Trial, seed: int) -> list[str]:
    """What `sweep.launch` is given for the trial alone. A baseline comes with an arm of the question's own: it needs one."""
    arms = {arm.name: arm for arm in find.load(recording.space).arms}
    beside = [name for name, arm in arms.items() if not arm.baseline][:1] if arms[trial.arm].baseline else []
    fixed = {"method": ",".join([*beside, trial.arm])} | {n: word(v) for n, v in trial.parameters.items()}
    given = [name for name in recording.flags if name == "--fix"]
    assert len(given) <= 1, "one --fix of the recording is a setting of each of its trials, and is among these"
    flags = list(recording.flags)
    if given:
        at = flags.index("--fix")
        del flags[at : at + 2]
    for name, value in fixed.items():
        flags += ["--fix", f"{name}={value}"]
    trials = ["--trials", "1", "--baseline-trials", "1" if beside else "0"]
    return ["--space", recording.space, *flags, *trials, "--seed", str(seed), "--sampler", "random"]


def comparison(kept: Trial, again: Trial, metrics: list[str]) -> Iterator[str]:
    """A row a figure: as it was kept, as it is now, and whether the new mean lies in the interval that was kept."""
    yield (
        "| figure | kept | seeds | again | seeds | new mean in the kept interval | intervals overlap |\n"
        + "|---" * 7
        + "|"
    )
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
    parser.add_argument("--kept", type=Path, default=KEPT, help=argparse.SUPPRESS)
    parser.add_argument("--dry-run", action="store_true", help="print the plan and its cost, and run nothing")
    args = parser.parse_args()
    kept = [name for name in names if (args.kept / name).is_dir()]
    if args.name not in kept:
        parser.error(f"{args.name}: is not kept; choose among {', '.join(kept)}")
    sweep = read_sweep(args.kept / args.name)
    confirmed = {trial.trial_id: trial for trial in sweep.members if trial.confirmed}
    if args.trial not in confirmed:
        parser.error(f"{args.trial}: is no confirmed trial of {args.name}; choose among {', '.join(sorted(confirmed))}")
    kept_trial = confirmed[args.trial]
    run_dir = RUNS / f"{args.name}-{args.trial}-seed{args.seed}"
    launch = [sys.executable, "-m", "sweep.launch"]
    flags = flags_of(names[args.name], kept_trial, args.seed)
    flags += ["--run-dir", str(run_dir), "--artifacts", str(ARTIFACTS)]
    subprocess.run([*launch, *flags, "--dry-run"], check=True)
    if args.dry_run:
        return 0
    RUNS.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    done = subprocess.run([*launch, *(["--resume", str(run_dir)] if (run_dir / "plan.json").exists() else flags)])
    if done.returncode:
        raise UsageError(f"{run_dir}: the sweep ended with exit code {done.returncode}; run this again to go on")
    again = read_sweep(run_dir)
    (trial,) = again.arms[kept_trial.arm].members
    metrics = [metric for metric in dict.fromkeys([*shown(sweep), *AFTER]) if sweep.has(metric)]
    print(f"\n{args.trial} of {args.name}, seeds from {args.seed} on; {(time.monotonic() - began) / 60:.1f} minutes\n")
    print("\n".join(comparison(kept_trial, trial, metrics)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(command(main)())
