"""Where a run's artifact store lies now: it may have been moved since the run began, alone or together with the run."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweep import records
from sweep.errors import UsageError
from sweep.records.folder import write_json

if TYPE_CHECKING:
    from trainables.store import Store


def check_store(run: Path, artifacts: str, given: bool) -> str:
    """What is to be told of the store that a run goes on with: nothing where it holds what the run made.

    `given`: ``--artifacts`` names it, so that it must hold something of that. UsageError where it does not, or, of the place
    that the run recorded, where there is no store any more: all that the run has would be made again.
    """
    from sweep.driver.keeping import keys_of  # it imports torch
    from trainables.store import Store

    keys, store = keys_of(run), Store(artifacts)
    if not keys or _holds_any(store, keys):
        return ""
    what = f"none of the {len(keys)} artifacts that {run} names"
    if given:
        raise UsageError(f"--artifacts {store.name}: holds {what}; name the store that was moved")
    if "://" not in artifacts and Path(artifacts).is_dir():
        return f"{store.name} holds {what}: they are made again"
    beside = _moved_along(run, artifacts)
    hint = f"perhaps --artifacts {beside}" if beside else "with --artifacts DIR"
    again = "" if "://" in artifacts else "; an empty folder there has everything made again"
    raise UsageError(f"{store.name}: holds {what}, or is gone; say where it lies now, {hint}{again}")


def check_named(store: Store, runs: Sequence[Path]) -> None:
    """UsageError where a store holds nothing of what these runs made: whatever is in it would be taken for nobody's."""
    from sweep.driver.keeping import keys_of

    keys = {key for run in runs for key in keys_of(run)}
    if keys and not _holds_any(store, keys):
        raise UsageError(
            f"{store.name}: holds none of the {len(keys)} artifacts that these runs name; say where they lie: --artifacts DIR"
        )


def _holds_any(store: Store, keys: Collection[str]) -> bool:
    from trainables.store import StoreUnusable

    try:
        return any(store.find(key) for key in sorted(keys))
    except (StoreUnusable, OSError, ValueError) as error:  # the latter two of a URI that Arrow does not take
        raise UsageError(f"--artifacts {store.name}: cannot be read: {' '.join(str(error).split())[:300]}") from None


def record_store(run: Path, artifacts: str, plan_file: str = "plan.json") -> None:
    """Have a run, which the caller holds, name the place where its store lies now."""
    values = records.read_json(run / plan_file)
    told = [
        values["plan"],
        *([values] if "artifacts" in values else []),
    ]  # a plan's own, and the facts that lie beside it
    if any(part["artifacts"] != artifacts for part in told):
        for part in told:
            part["artifacts"] = artifacts
        write_json(run / plan_file, values)


def _moved_along(run: Path, artifacts: str) -> str:
    """The folder that lies by the run as the store did by the place where the run began; empty where there is none."""
    if "://" in artifacts:
        return ""
    name = "track.json" if (run / "track.json").is_file() else "plan.json"
    began = str(records.read_json(run / name)["plan"]["run_dir"])
    place = Path(os.path.normpath(run.resolve() / os.path.relpath(artifacts, began)))
    return str(place) if place.is_dir() else ""
