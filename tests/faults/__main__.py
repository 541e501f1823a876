"""The long run: ``python tests/faults FOLDER [--faults N]`` strikes sweeps until N faults have struck; needs root on Linux.

Every sweep is seeded by its number; what struck it is added to ``benchmarks/faults.jsonl`` once it has ended, so that a run that
was stopped goes on. ``--table`` writes benchmarks/faults.md from those lines.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import shutil
import subprocess
import sys
import time
import traceback
from collections import defaultdict
from pathlib import Path
from typing import Any

import faults
import sweeps
from faults import Fault, Place

ROOT = Path(__file__).parents[2]
LINES = ROOT / "benchmarks" / "faults.jsonl"
TABLE = LINES.with_suffix(".md")
_MOST_A_SWEEP = 12
_LATE = ("compact", "exchange", "exchanged")  # boundaries of a sweep's end
Row = dict[str, Any]


def deck(rng: random.Random, victim: str, on_ray: bool) -> list[Fault]:
    """The faults of one sweep, in the order in which they strike: of every kind some, and one at most that fails a trial."""
    own, clocks = faults.trials_own(rng, victim, on_ray), faults.clocks(rng)
    kills, storage, damages = faults.kills(rng, on_ray), faults.storage(rng), faults.damages(rng)
    if on_ray:
        kills = [f for f in kills if "driver" not in f.name] + rng.sample([f for f in kills if "driver" in f.name], 2)
        chosen = rng.sample(kills, 7) + rng.sample(storage, 1)
    else:
        chosen = rng.sample(kills, 6) + rng.sample(storage, 2) + rng.sample(damages, 3)
    rng.shuffle(chosen)
    late = [f for f in chosen if f.points and f.points[0] in _LATE]
    first = rng.sample(own, 1) + (rng.sample(clocks, 1) if clocks and rng.random() < 0.3 else [])
    first = [f for f in first if f.options] + [f for f in first if not f.options]
    return (first + [f for f in chosen if f not in late] + late)[:_MOST_A_SWEEP]


def strike(number: int, folder: Path, like: Place) -> list[Row]:
    """What became of sweep `number`, a row for every fault that struck it. Every third is on Ray."""
    rng, on_ray = random.Random(number), number % 3 == 2
    begun, kept = time.monotonic(), folder / f"sweep-{number}.kept"
    cards = deck(rng, sweeps.spare_trial(like), on_ray)
    with sweeps.struck_place(folder / f"sweep-{number}", like) as place:
        try:
            strikes = sweeps.strike(place, like, cards, rng, on_ray)
        except Exception:
            strikes = [sweeps.Strike(Fault("the harness"), wrong=[traceback.format_exc()[-3000:]])]
        if any(s.wrong for s in strikes):
            _keep(place, kept)
    shared = {"sweep": number, "ray": on_ray, "commit": _commit(), "seconds": round(time.monotonic() - begun)}
    return [
        shared
        | {"fault": s.fault.name, "then": s.fault.then, "at": s.at, "did": s.did, "said": s.said, "wrong": s.wrong}
        for s in strikes
    ]


def _keep(place: Place, target: Path) -> None:
    """The struck sweep's disk and what was logged, for whoever asks what went wrong."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(place.folder, target, ignore=_unreadable, ignore_dangling_symlinks=True)


def _unreadable(folder: str, names: list[str]) -> list[str]:
    """What is not kept: pipes, which a copy would wait for, sockets, and the file that fills the disk."""
    return [n for n in names if n == "filler" or not ((f := Path(folder) / n).is_dir() or f.is_file())]


def _commit() -> str:
    """The commit that is checked out, with a + where files in it have been changed."""
    git = ["git", "describe", "--always", "--abbrev=7", "--dirty=+", "--exclude=*"]
    return subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def rows() -> list[Row]:
    return [json.loads(line) for line in LINES.read_text().splitlines()] if LINES.exists() else []


def table(found: list[Row]) -> str:
    """benchmarks/faults.md: by kind of fault how often it struck and what was wrong afterwards, then every strike."""
    by: dict[str, list[Row]] = defaultdict(list)
    for row in found:
        by[row["fault"]].append(row)
    wrong = [r for r in found if r["wrong"]]
    ray = len({r["sweep"] for r in found if r["ray"]})
    commits = ", ".join(dict.fromkeys(r["commit"] for r in found))
    lines = [
        "# Faults", "",
        f"`python tests/faults FOLDER --faults 100` (root, Linux, libfaketime): {len(found)} faults struck "
        f"{len({r['sweep'] for r in found})} sweeps of [quick.py](../tests/questions/quick.py), {ray} of them on Ray, the others "
        "in the driver's own process; one sweep is struck by several faults in turn and resumed after each that ends its driver. "
        "Afterwards every trial is in the records exactly once, no finished stage was begun again (by the log of boundaries that "
        "every process keeps), all figures, states and fronts are those of the undisturbed sweep, the Optuna journal agrees, and "
        f"no process was left behind. It did not hold for {len(wrong)}. At commit {commits}.", "",
        "| fault | struck | on Ray | wrong |", "|---|---|---|---|",
    ]  # fmt: skip
    kinds = faults.kinds()
    for fault in sorted(kinds.keys() | by.keys()):
        struck, never = by[fault], kinds.get(fault, "")
        lines.append(
            f"| {fault}{never and f': never, {never}'} | {len(struck)} | {sum(r['ray'] for r in struck)} "
            f"| {sum(bool(r['wrong']) for r in struck)} |"
        )
    lines += [
        "",
        "## Every strike",
        "",
        "| sweep | | fault | where | mended, damaged | last line of the driver |",
        "|---|---|---|---|---|---|",
    ]
    for r in found:
        said = r["said"].replace("|", "/")[:110]
        lines.append(
            f"| {r['sweep']} | {'Ray' if r['ray'] else 'here'} | {r['fault']} | {r['at']} | {r['did'] or ''} | {said} |"
        )
    for r in wrong:
        lines += ["", f"Sweep {r['sweep']}, {r['fault']}: {'; '.join(r['wrong'])[:500]}"]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser("python tests/faults", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the sweeps run")
    parser.add_argument(
        "--faults", type=int, default=100, metavar="N", help="stop once so many have struck (default: 100)"
    )
    parser.add_argument("--table", action="store_true", help="only write the table")
    args = parser.parse_args()
    if not args.table:
        like = sweeps.undisturbed(args.folder.resolve() / "undisturbed")
        while len(found := rows()) < args.faults:
            number = next(n for n in itertools.count() if all(r["sweep"] != n for r in found))
            struck = strike(number, args.folder.resolve(), like)
            with open(LINES, "a") as file:
                file.writelines(json.dumps(row) + "\n" for row in struck)
            print(f"sweep {number}: {len(struck)} faults, {sum(bool(r['wrong']) for r in struck)} wrong", flush=True)
    TABLE.write_text(table(rows()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
