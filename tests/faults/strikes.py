"""Within a process of the sweep: which boundaries it passes is written down, and at the one that was ordered the fault strikes.

A boundary is a moment between two steps of a stage, of an artifact's commit, of a record, of a compaction. The folder that
FAULTS names holds ``points.jsonl``, a line for every boundary that any process of the sweep passed, and ``order.json``, what is
to happen at which. An order is carried out once, by one process, unless it says ``always``.
"""

from __future__ import annotations

import fcntl
import functools
import importlib.abc
import importlib.util
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

BOUNDARIES = (
    "begin", "commit", "torn", "committed", "checkpoint", "record", "recorded", "told", "compact", "exchange", "exchanged"
)  # fmt: skip
_begun: set[str] = set()


def folder() -> Path:
    return Path(os.environ["FAULTS"])


def passed(point: str, **facts: Any) -> None:
    """Write down that this process is at a boundary; carry out what is ordered for it."""
    with _locked():
        line = {"point": point, "pid": os.getpid(), "driver": os.getpid() == driver(), "time": time.monotonic()} | facts
        with open(folder() / "points.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")
        order = _due(point, facts)
    if order:
        _carry_out(order, facts)


def driver() -> int:
    path = folder() / "driver.pid"
    return int(path.read_text()) if path.exists() else 0


@contextmanager
def _locked() -> Any:
    with open(folder() / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _due(point: str, facts: dict[str, Any]) -> dict[str, Any] | None:
    """The order that is to be carried out now; one that waits for more boundaries has waited for this one."""
    path = folder() / "order.json"
    if not path.exists():
        return None
    order = json.loads(path.read_text())
    if point not in order["points"] or any(facts.get(name) != value for name, value in order.get("where", {}).items()):
        return None
    if order.get("always"):
        (folder() / "struck.json").write_text(json.dumps(order | {"at": point} | facts))
        return order
    order["after"] -= 1
    if order["after"] > 0:
        _replace(path, order)
        return None
    _replace(folder() / "struck.json", order | {"at": point} | facts)
    path.unlink()
    return order


def _replace(path: Path, values: Any) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(values))
    os.replace(temporary, path)


def _carry_out(order: dict[str, Any], facts: dict[str, Any]) -> None:
    what = order["do"]
    if what == "kill":
        victims = processes(order["victim"], driver())
        for pid in victims:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if order["victim"] != "worker" and os.getpid() != driver():
            time.sleep(20)  # a boundary is not passed by who is about to lose its raylet or its driver
    elif what == "run":
        subprocess.run(order["command"], check=True)
    elif what == "sleep":
        time.sleep(order["seconds"])
    elif what == "sick":
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nas a broken GPU has it")
    elif what == "exhaust":
        _exhaust_memory()
    elif what == "outgrow":
        _outgrow_group()
    else:
        raise ValueError(f"no such fault: {what}")


def processes(which: str, of: int) -> list[int]:
    """Process ids of this one, the driver, its raylet or its GCS: only what the driver itself has started."""
    if which == "worker":
        return [os.getpid()]
    if which == "driver":
        return [of]
    name = {"raylet": "raylet", "gcs": "gcs_server"}[which]
    return [pid for pid in descendants(of) if command(pid) == name]


def descendants(of: int) -> list[int]:
    """All processes that this one has started, and that those have."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [of]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def command(pid: int) -> str:
    """The name of the program a process runs."""
    with suppress(OSError):
        return (Path("/proc") / str(pid) / "comm").read_text().strip()
    return ""


def _exhaust_memory() -> None:
    """Ask for memory until there is no more: MemoryError, in this stage."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 256 * 2**20, limits[1]))
    try:
        held = [bytearray(32 * 2**20) for _ in range(64)]
        raise AssertionError(f"{len(held)} blocks fitted")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def _outgrow_group() -> None:
    """Grow past the limit of a control group: the kernel kills this process. Needs the right to make one."""
    group = Path("/sys/fs/cgroup/memory") / f"faults-{os.getpid()}"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(128 * 2**20))
    (group / "cgroup.procs").write_text(str(os.getpid()))
    held = [bytes(os.urandom(2**20)) * 16 for _ in range(64)]
    raise AssertionError(f"{len(held)} blocks fitted")


# ---- where boundaries are


def arm() -> None:
    """Have the boundaries marked, in modules that are there and in those that will be imported."""
    for module, mark in _MARKS.items():
        if module in sys.modules:
            mark(sys.modules[module])
    sys.meta_path.insert(0, _Marker())


class _Marker(importlib.abc.MetaPathFinder):
    """Marks a module's boundaries right after it has been imported."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name not in _MARKS:
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        if spec and spec.loader:
            load = spec.loader.exec_module

            def exec_module(module: Any) -> None:
                load(module)
                _MARKS[name](module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _around(owner: Any, name: str, before: Callable[..., Any] | None, after: Callable[..., Any] | None = None) -> None:
    original = getattr(owner, name)
    if hasattr(original, "marked"):
        return

    @functools.wraps(original)
    def marked(*args: Any, **kwargs: Any) -> Any:
        if before:
            before(*args, **kwargs)
        result = original(*args, **kwargs)
        if after:
            after(*args, **kwargs)
        return result

    marked.marked = True  # type: ignore[attr-defined]
    setattr(owner, name, marked)


def _mark_store(module: Any) -> None:
    store = module.Store

    def torn(self: Any, path: str, data: bytes) -> None:
        if path.endswith(".json") and os.path.exists(path.removesuffix("json") + "safetensors"):
            passed("torn", key=Path(path).stem)

    _around(store, "put", lambda self, key, *a, **k: passed("commit", key=key),
            lambda self, key, *a, **k: passed("committed", key=key))  # fmt: skip
    _around(store, "_write", torn)
    _around(store, "_read", lambda self, path: _pass_storage())
    _around(store, "save_partial", None, lambda self, key, tensors: passed("checkpoint", key=key))


def _pass_storage() -> None:
    """A slow file system is slow at every read; reads are no boundaries."""
    slow = folder() / "slow"
    if slow.exists():
        time.sleep(float(slow.read_text()))


def _mark_stage(module: Any) -> None:
    for name in ("UnlearnStage", "ScoreStage", "AttackStage", "GlanceStage"):
        stage = getattr(module, name, None)
        if stage is not None and "advance" in vars(stage):
            _around(stage, "advance", _begin)


def _begin(stage: Any, *args: Any) -> None:
    name = f"{os.getpid()} {stage.key}"
    if name not in _begun:
        _begun.add(name)
        spec = getattr(stage, "spec", None) or getattr(getattr(stage, "trajectory", None), "spec", None)
        where = {
            "key": stage.key,
            "stage": stage.name,
            "trial": spec and spec.trial_id,
            "replicate": spec and spec.replicate,
        }
        passed("begin", **where)
        if stage.name == "unlearn" and (folder() / "nan").exists() and where["trial"] == (folder() / "nan").read_text():
            passed("nan", **where)
            for parameter in stage.run.model.parameters():
                parameter.data.fill_(float("nan"))


def _mark_records(module: Any) -> None:
    for method in ("trial", "replicate"):
        _around(
            module.Writer,
            method,
            lambda self, row, *a: passed("record", trial=row["trial_id"], state=row["state"]),
            lambda self, row, *a: passed("recorded", trial=row["trial_id"], state=row["state"]),
        )


def _mark_search(module: Any) -> None:
    _around(module.ArmSearch, "tell", None, lambda self, *a, **k: passed("told"))


def _mark_parts(module: Any) -> None:
    _around(module, "compact", lambda *a: passed("compact"))
    _around(module, "_exchange", lambda *a: passed("exchange"), lambda *a: passed("exchanged"))


_MARKS: dict[str, Callable[[Any], None]] = {
    "trainables.store": _mark_store,
    "trainables.relearning.stages.unlearn": _mark_stage,
    "trainables.relearning.stages.score": _mark_stage,
    "trainables.relearning.stages.attack": _mark_stage,
    "trainables.relearning.stages.glance": _mark_stage,
    "sweep.records": _mark_records,
    "sweep.search.arm": _mark_search,
    "sweep.records.files": _mark_parts,
}
