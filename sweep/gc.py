"""Remove artifacts that no run needs: ``python -m sweep.gc [--artifacts DIR] RUN… [--delete]``; without --delete it only counts.

**The runs that are named are those that count.** Kept is what their records and preparation name; and, where one of them has not
finished, whatever was made since it began, for it may not have recorded it yet. Whatever else lies in the store goes: what
other runs made, too, so name every run of a shared store that is still of use. Nothing younger than --age is touched: a run
that is not named may be writing it. With the artifacts go checkpoints of stages that nobody goes on with, and files that a
killed writer left half-written. What was set aside in ``damaged/`` stays, and so does any file that is not a store's own.
"""

from __future__ import annotations

import datetime as dt
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sweep import records
from sweep.errors import Parser, UsageError
from sweep.plan.paths import absolute
from sweep.records.damage import damaged_files
from sweep.records.folder import only_driver

if TYPE_CHECKING:
    from trainables.store import Store, StoredFile

AGE_H = 24.0


@dataclass(frozen=True)
class Found:
    """The files that are not needed, by what they are, and the bytes of the files that are."""

    artifacts: list[StoredFile]
    others: list[StoredFile]  # checkpoints, half-written files
    kept: list[StoredFile]

    @property
    def text(self) -> str:
        keys, size = len({f.key for f in self.artifacts}), sum(f.size for f in (*self.artifacts, *self.others))
        what = Counter("checkpoints" if f.what == "partial" else "half-written files" for f in self.others)
        rest = "".join(f", {n} {name}" for name, n in sorted(what.items()))
        return f"{keys} artifacts{rest}: {size} bytes; kept: {sum(f.size for f in self.kept)} bytes"


def store_of(runs: Sequence[Path], given: str) -> Store:
    """The store that was named, or the one that all the runs have. UsageError where they have several."""
    from trainables.store import Store

    if given:
        return Store(absolute(given))
    roots = {str(records.read_json(run / _plan(run))["plan"]["artifacts"]) for run in runs}
    if len(roots) > 1:
        raise UsageError(
            f"the runs have {len(roots)} artifact stores: {', '.join(sorted(roots))}; name one with --artifacts"
        )
    return Store(roots.pop())


def unneeded(store: Store, runs: Sequence[Path], before: float) -> Found:
    """What of the store none of the runs needs, of what was written before a time (seconds since 1970)."""
    from sweep.driver.keeping import keys_of

    needed = {key for run in runs for key in keys_of(run)}
    before = min([before, *(began for run in runs if (began := _unfinished_since(run)) is not None)])
    files = store.files()
    whole = {f.key for f in files if f.what == "json"}
    found = Found([], [], [])
    for file in files:
        artifact = file.what in ("json", "safetensors")
        if file.modified >= before or (artifact and file.key in needed and file.key in whole):
            found.kept.append(file)
        elif artifact and file.key in whole:
            found.artifacts.append(file)
        else:
            found.others.append(file)
    young = {
        f.key for f in found.kept if f.what == "json"
    }  # a sidecar is written last: its tensors may look old enough
    spared = [f for f in found.artifacts if f.key in young]
    return Found([f for f in found.artifacts if f.key not in young], found.others, found.kept + spared)


def delete(store: Store, found: Found) -> None:
    """Remove it, every artifact's sidecar first: whenever this is stopped, what is left is whole, or no artifact."""
    for key in dict.fromkeys(f.key for f in found.artifacts):
        store.delete(key)
    for file in found.others:
        store.remove(file.path)


def _plan(run: Path) -> str:
    return "track.json" if (run / "track.json").is_file() else "plan.json"


def _unfinished_since(run: Path) -> float | None:
    """When a run began that may have made what it has not recorded; None of a finished one."""
    status = records.read_json(run / "status.json") if (run / "status.json").is_file() else {}
    if status.get("state") == "finished":
        return None
    return dt.datetime.fromisoformat(status["started_at"]).timestamp() if "started_at" in status else 0.0


def _check(run: Path) -> None:
    """UsageError where it is no run, or its records are damaged: what they named would be taken for nobody's."""
    if not (run / "track.json").is_file():
        records.run_folder(run)
    if damaged := damaged_files(run):
        raise UsageError(f"{run / damaged[0].file}: damaged; mend the run first: python -m sweep.repair {run}")


def parser() -> Parser:
    p = Parser("python -m sweep.gc", description="Remove artifacts of a store that none of the named runs needs.")
    p.add_argument(
        "runs", nargs="+", metavar="RUN", help="run folders that count; what no record of theirs names may go"
    )
    p.add_argument("--artifacts", default="", metavar="DIR|URI", help="artifact store (default: the one of the runs)")
    p.add_argument(
        "--age", type=float, default=AGE_H, metavar="H", help=f"spare what is younger, in hours (default: {AGE_H:g})"
    )
    p.add_argument("--delete", action="store_true", help="remove it; else it is only counted")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code: 0, or 2 with one line on stderr for a mistake of the user's."""
    args = parser().parse_args(argv)
    runs = [Path(run) for run in args.runs]
    try:
        if not args.age >= 0:
            raise UsageError(f"--age {args.age:g}: must be at least 0")
        for run in runs:
            _check(run)
        store = store_of(runs, args.artifacts)
        from trainables.store import StoreUnusable

        with ExitStack() as held:
            for run in {run.resolve(): run for run in runs}.values():
                held.enter_context(only_driver(run))
            try:
                found = unneeded(store, runs, time.time() - args.age * 3600)
                if args.delete:
                    delete(store, found)
            except (StoreUnusable, OSError, ValueError) as error:
                raise UsageError(f"{store.name}: {error}") from None
        print(f"{store.name}: {'removed' if args.delete else 'not needed'}: {found.text}")
        if not args.delete and (found.artifacts or found.others):
            print("nothing was removed; add --delete")
        return 0
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
