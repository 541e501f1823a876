"""What can befall a sweep: each fault says at which boundary it strikes, what it does, and what is to be mended afterwards."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import strikes

from sweep import records
from trainables.store import Store

GOES_ON, DIES, HALTS = "goes on", "dies", "halts"
MEMORY_GROUPS = Path("/sys/fs/cgroup/memory")  # control groups, version 1
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
_WORK = ("begin", "commit", "torn", "committed")  # in whichever process runs trials
_BOOKS = ("record", "recorded", "told")  # in the driver


@dataclass(frozen=True)
class Place:
    """A sweep that is to be struck: its folder, run folder, artifacts, and the folder of faults."""

    folder: Path

    @property
    def run(self) -> Path:
        return self.folder / "disk" / "run"

    @property
    def store(self) -> Store:
        return Store(self.folder / "disk" / "artifacts")

    @property
    def faults(self) -> Path:
        return self.folder / "faults"


Do = Callable[[Place, random.Random], str]
"""Does something to a sweep's files; returns what it did."""


@dataclass(frozen=True)
class Fault:
    """One fault. `then`: what the driver does: it goes on, dies with it, or halts with one line and exit code 2.

    `order`: what a process does to itself or to others at the `after`-th of these points. Without points it strikes after so
    many seconds. `between` is done to files while no driver runs, before the next one resumes; `mend` once it has ended.
    """

    name: str
    then: str = DIES
    points: tuple[str, ...] = ()
    after: float = 1
    order: dict[str, Any] = field(default_factory=dict)
    between: Do | None = None
    mend: Do | None = None
    begin: Do | None = None  # before the driver starts that is to be struck
    fails: bool = False  # it ends one trial as FAIL
    options: tuple[str, ...] = ()  # of the driver
    preload: str = ""


def kills(rng: random.Random, on_ray: bool) -> list[Fault]:
    """kill -9 at boundaries and at random moments: of the driver, and on Ray of a worker, its raylet and its GCS."""
    found = [
        Fault(f"kill -9 driver at {point}", DIES, (point,), rng.randint(1, 3), {"do": "kill", "victim": "driver"})
        for point in (*_WORK, *_BOOKS, "compact", "exchange", "exchanged")
    ]
    found.append(Fault("kill -9 driver at random", DIES, (), rng.uniform(0.3, 8), {"do": "kill", "victim": "driver"}))
    if on_ray:
        found += [
            Fault(
                f"kill -9 worker at {point}", GOES_ON, (point,), rng.randint(1, 4), {"do": "kill", "victim": "worker"}
            )
            for point in _WORK
        ]
        found.append(sick(rng.randint(1, 4)))
        for victim in ("raylet", "gcs"):
            order = {"do": "kill", "victim": victim}
            found += [
                Fault(f"kill -9 {victim} at {point}", DIES, (point,), rng.randint(1, 4), order) for point in _WORK
            ]
            found.append(Fault(f"kill -9 {victim} at random", DIES, (), rng.uniform(5, 25), order))
    return found


def sick(after: int) -> Fault:
    """A worker whose GPU breaks: its process is to end, and the trial goes on in another."""
    return Fault("broken GPU in a worker", GOES_ON, ("begin",), after, {"do": "sick"})


def storage(rng: random.Random) -> list[Fault]:
    """The disk that holds artifacts fills up, becomes read-only, stops answering or is slow."""
    found = []
    for what, command, points, mend in (
        ("disk full", "fill", ("commit", "begin"), _empty),
        ("artifacts read-only", "read-only artifacts", ("commit", "begin"), _writable),
        ("records read-only", "read-only records", ("record", "begin"), _writable),
        ("dead file system", "dead", ("recorded",), _alive),
    ):
        order = {"do": "run", "command": ["sh", "-c", _DISK[command]]}
        found.append(Fault(what, HALTS, points, rng.randint(2, 9), order, mend=mend))
    slow = {"do": "run", "command": ["sh", "-c", _DISK["slow"]]}
    found.append(Fault("slow file system", GOES_ON, ("commit",), rng.randint(1, 9), slow, mend=_fast))
    return found


# $FAULTS/../disk is the disk. Its artifacts' base score is what every trial reads; a pipe in its place answers nobody.
_READ_ONLY = "d=$FAULTS/../disk/{0}; mount --bind $d $d && mount -o remount,ro,bind $d"
_DISK = {
    "fill": "cat /dev/zero > $FAULTS/../disk/filler 2>/dev/null || true",
    "read-only artifacts": _READ_ONLY.format("artifacts"),
    "read-only records": _READ_ONLY.format("run/records/trials"),
    "dead": "f=$(cat $FAULTS/base_score); mv $f $f.kept; mkfifo $f",
    "slow": "echo 0.05 > $FAULTS/slow",
}


def _empty(place: Place, rng: random.Random) -> str:
    (place.folder / "disk" / "filler").unlink()
    return "the disk has room again"


def _writable(place: Place, rng: random.Random) -> str:
    for folder in ("artifacts", "run/records/trials"):
        path = place.folder / "disk" / folder
        while path.exists() and os.statvfs(path).f_flag & os.ST_RDONLY:
            subprocess.run(["umount", "-l", path], check=True)
    return "it can be written to again"


def _alive(place: Place, rng: random.Random) -> str:
    for kept in (place.folder / "disk").rglob("*.kept"):
        os.replace(kept, kept.with_suffix(""))
    return "it answers again"


def _fast(place: Place, rng: random.Random) -> str:
    (place.faults / "slow").unlink(missing_ok=True)
    return ""


def damages(rng: random.Random) -> list[Fault]:
    """A file is cut off, or one of its bits flipped, while no driver runs: a driver is killed first."""
    order = {"do": "kill", "victim": "driver"}
    return [
        Fault(f"{how} {what}", DIES, ("recorded",), rng.randint(3, 9), order, between=_damage(what, how == "truncated"))
        for what in ("shared artifact", "trial's artifact", "sidecar", "journal", "trials", "replicates", "curves", "stages",
                     "status.json", "prepared.json")
        for how in ("truncated", "bit-flipped")
    ]  # fmt: skip


def _damage(what: str, cut: bool) -> Do:
    def damage(place: Place, rng: random.Random) -> str:
        files = _files(place, what)
        if not files:
            return "nothing there yet"
        file = rng.choice(files)
        data = bytearray(file.read_bytes())
        at = rng.randrange(len(data))
        if cut:
            data = data[:at]
        else:
            data[at] ^= 1 << rng.randrange(8)
        file.write_bytes(data)
        return f"{file.relative_to(place.folder)} at byte {at} of {len(data)}"

    return damage


def _files(place: Place, what: str) -> list[Path]:
    """The files of this kind, sorted by name."""
    root = Path(place.store.root)
    tensors = sorted(f for f in root.rglob("*.safetensors") if f.parent.name not in ("damaged", "partial"))
    kinds = {f: records.read_json(f.with_suffix(".json"))["kind"] for f in tensors if f.with_suffix(".json").exists()}
    if what == "trial's artifact":
        return [f for f, kind in kinds.items() if kind == "unlearned"]
    if what == "shared artifact":
        return [f for f, kind in kinds.items() if kind in ("model", "classifier", "reference")]
    if what == "sidecar":
        return sorted(f for f in root.rglob("*.json") if f.parent.name != "damaged")
    if what == "journal":
        return [f for f in (place.run / "optuna.journal",) if f.exists() and f.stat().st_size]
    if what.endswith(".json"):
        return [f for f in (place.run / what,) if f.exists()]
    return sorted(f for f in (place.run / "records" / what).glob("[!.]*.parquet"))


def trials_own(rng: random.Random, victim: str, on_ray: bool) -> list[Fault]:
    """A trial that becomes NaN, hangs or runs out of memory. It ends as FAIL, with its cause; a killed process is started again."""
    where = {"trial": victim, "replicate": 0}
    begin = ("begin",)
    found = [
        Fault("NaN in a trial", GOES_ON, ("nan",), 1, {"do": "sleep", "seconds": 0}, begin=_poison(victim), fails=True),
    ]
    exhaust = {"do": "exhaust", "where": where, "always": True}
    found.append(Fault("out of memory in a trial", GOES_ON, begin, 1, exhaust, fails=True))
    if on_ray:
        hang = {"do": "sleep", "seconds": 10000, "where": where, "always": True}
        found.append(Fault("hung trial", GOES_ON, begin, 1, hang, fails=True, options=("--trial-timeout", "15")))
        if _groups_memory():
            outgrow = {"do": "outgrow"}
            found.append(Fault("worker killed by the kernel for memory", GOES_ON, begin, 2, outgrow, mend=_ungroup))
    return found


def _groups_memory() -> bool:
    return os.access(MEMORY_GROUPS / "cgroup.procs", os.W_OK)


def _ungroup(place: Place, rng: random.Random) -> str:
    for group in MEMORY_GROUPS.glob("faults-*"):
        if not (group / "cgroup.procs").read_text():
            group.rmdir()
    return ""


def _poison(victim: str) -> Do:
    def poison(place: Place, rng: random.Random) -> str:
        (place.faults / "nan").write_text(victim)
        return ""

    return poison


def clocks(rng: random.Random) -> list[Fault]:
    """The clock of every process jumps, forward or back, while trials run (libfaketime under all of them)."""
    if not FAKETIME.exists():
        return []
    return [
        Fault(
            f"clock jumps {jump} s",
            GOES_ON,
            ("committed",),
            rng.randint(2, 6),
            {"do": "run", "command": ["sh", "-c", f"echo {jump} > $FAULTS/clock"]},
            preload=str(FAKETIME),
        )
        for jump in ("+7200", "-7200", "-86400")
    ]


def kinds() -> dict[str, str]:
    """Every kind of fault by name, and why it can't strike on this machine; empty where it can."""
    rng = random.Random(0)
    here = (*kills(rng, True), *storage(rng), *damages(rng), *trials_own(rng, "", True), *clocks(rng))
    names = dict.fromkeys((fault.name for fault in here), "")
    if not FAKETIME.exists():
        names["clock jumps"] = "libfaketime is not installed"
    if not _groups_memory():
        names["worker killed by the kernel for memory"] = f"no control groups can be made in {MEMORY_GROUPS}"
    return names


def order_of(fault: Fault) -> dict[str, Any]:
    return {"points": list(fault.points), "after": fault.after} | fault.order


assert set(_WORK) | set(_BOOKS) < set(strikes.BOUNDARIES)
