"""What of an artifact store no run needs, and its removal: `sweep.gc` says which runs count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sweep import records
from sweep.errors import UsageError
from sweep.plan.paths import absolute
from sweep.records.damage import damaged_files

if TYPE_CHECKING:
    from trainables.store import Store, StoredFile


@dataclass(frozen=True)
class Found:
    """The files that are not needed, by what they are, and the bytes of the files that are."""

    artifacts: list[StoredFile]
    others: list[StoredFile]  # checkpoints, half-written files
    kept: list[StoredFile]

    @property
    def text(self) -> str:
        keys, size = len({f.key for f in self.artifacts}), sum(f.size for f in (*self.artifacts, *self.others))
        what = Counter("checkpoint" if f.what == "partial" else "half-written file" for f in self.others)
        rest = "".join(f", {n} {name}{'s' if n != 1 else ''}" for name, n in sorted(what.items()))
        return f"{keys} artifact{'s' if keys != 1 else ''}{rest}: {size} bytes; kept: {sum(f.size for f in self.kept)} bytes"


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
    from sweep.driver.keeping import (  # it imports torch, and a mistake costs no more than a second
        keys_of,
        unfinished_since,
    )

    needed = {key for run in runs for key in keys_of(run)}
    for run in runs:
        began = unfinished_since(run)
        if began is not None:
            before = min(before, began)
    files = store.files()
    whole = {f.key for f in files if f.what == "json"}
    by_need = Found([], [], [])
    for file in files:
        artifact = file.what in ("json", "safetensors")
        if file.modified >= before or (artifact and file.key in needed and file.key in whole):
            by_need.kept.append(file)
        elif artifact and file.key in whole:
            by_need.artifacts.append(file)
        else:
            by_need.others.append(file)
    rested_on = _rested_on(store, {f.key for f in by_need.kept if f.what == "json"})
    by_need = Found(
        [f for f in by_need.artifacts if f.key not in rested_on],
        by_need.others,
        by_need.kept + [f for f in by_need.artifacts if f.key in rested_on],
    )
    young = {
        f.key for f in by_need.kept if f.what == "json"
    }  # a sidecar is written last: its tensors may look old enough
    spared = [f for f in by_need.artifacts if f.key in young]
    return Found([f for f in by_need.artifacts if f.key not in young], by_need.others, by_need.kept + spared)


def delete(store: Store, files: Found) -> None:
    """Remove it, every artifact's sidecar first: whenever this is stopped, what is left is whole, or no artifact."""
    for key in dict.fromkeys(f.key for f in files.artifacts):
        store.delete(key)
    for file in files.others:
        store.remove(file.path)


def _rested_on(store: Store, kept: set[str]) -> set[str]:
    """The artifacts without which those that are kept are of no use, and those without which these are not.

    One may hold only what differs of another; a text-to-image model is read with its prompts.
    """
    rested_on: set[str] = set()
    while kept:
        artifacts = [store.find(key) for key in sorted(kept)]
        kept = {key for artifact in artifacts if artifact for key in artifact.read_with} - rested_on
        rested_on |= kept
    return rested_on


def _plan(run: Path) -> str:
    return "track.json" if (run / "track.json").is_file() else "plan.json"


def check(run: Path) -> None:
    """UsageError where it is no run, or its records are damaged: what they named would be taken for nobody's."""
    if not (run / "track.json").is_file():
        records.run_folder(run)
    if damaged := damaged_files(run):
        raise UsageError(f"{run / damaged[0].file}: damaged; mend the run first: python -m sweep.repair {run}")
