"""Where runs and artifacts are kept: folders as every process finds them, and places in an object store."""

from __future__ import annotations

import datetime as dt
import os
import uuid
from pathlib import Path

from sweep.records.claim import free


def absolute(artifacts: str) -> str:
    """A folder as every process finds it, whatever its working directory; a URI as it is."""
    return artifacts if "://" in artifacts else os.path.abspath(artifacts)


def in_storage(storage: str, name: str) -> str:
    """A place in ``--storage``: in its folder, or under its URI's prefix, before the options that a URI may end with."""
    base, question, options = storage.partition("?") if "://" in storage else (storage, "", "")
    return f"{(base or 'runs').rstrip('/')}/{name}{question}{options}"


def default_run_dir(storage: str, space: str) -> str:
    """A fresh run folder; beside an object store a local one, for a run's files are locked and replaced by name."""
    stamp = dt.datetime.now().strftime("%Y%m%d-%H%M%S")
    return str(free(Path(in_storage("" if "://" in storage else storage, f"{Path(space).stem}-{stamp}"))))


def own_artifacts(storage: str, run_dir: str) -> str:
    """The place of a run's own artifact store: in its folder, or, where runs' artifacts go to an object store, under its name.

    There a number is added: runs of two machines may have the same name, and one would remove what the other needs.
    """
    if "://" not in storage:
        return f"{run_dir}/artifacts"
    return in_storage(storage, f"{Path(run_dir).name}-{uuid.uuid4().hex[:8]}/artifacts")
