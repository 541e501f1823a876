"""A sweep undisturbed, and sweeps that one fault after another strikes until each has come to its end all the same."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import accounts
import strikes
from drivers import QUICK, ROOT, Drivers
from faults import DIES, GOES_ON, HALTS, Fault, Place, order_of

from sweep import records

SETTINGS = (
    "--base-steps", "60", "--sampling-steps", "4", "--samples-forgotten", "8", "--samples-per-retained", "4",
    "--confirm-seeds", "1", "--confirm-members", "1", "--confirm-neighbours", "0", "--fid-budget", "100000",
    "--sampler", "qmc", "--gate-margin", "1000000", "--trials", "6", "--baseline-trials", "3", "--workers", "2",
)  # fmt: skip
_ENDS_WITHIN_S = 1200  # a driver; on two busy cores a sweep takes minutes
_GONE_WITHIN_S = 180  # what a dead driver had started; Ray's agents try for a minute to tell its GCS, which is dead too
_MOST_DRIVES = 60
Row = dict[str, Any]


@dataclass
class Strike:
    """A fault that was ordered, where it struck, and what became of the driver."""

    fault: Fault
    at: str = ""
    said: str = ""
    did: str = ""
    wrong: list[str] | None = None


def undisturbed(
    folder: Path, settings: tuple[str, ...] = SETTINGS, lend: Callable[[Path], None] | None = None
) -> Place:
    """The sweep that the others are held against, in `folder`; found there if it was run before. `lend` fills its store."""
    place = Place(folder)
    if not (place.run / "report.html").exists():
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "disk").mkdir(parents=True)
        if lend:
            lend(folder / "disk" / "artifacts")
        driver = Drivers(place.faults).start([*_new(settings), "--in-process"], folder, folder / "log")
        while driver.exit_code is None:
            time.sleep(0.2)
        assert driver.exit_code == 0, driver.log.read_text()
    return place


def _new(settings: tuple[str, ...]) -> list[str]:
    return ["--space", str(QUICK), *settings, "--run-dir", "disk/run", "--artifacts", "disk/artifacts"]


@contextmanager
def struck_place(folder: Path, like: Place, own_disk: bool = True) -> Iterator[Place]:
    """A place for another such sweep, with what the undisturbed one had prepared in its store; its own disk needs root."""
    place = Place(folder)
    disk = folder / "disk"
    if disk.exists():  # of a harness that was killed
        subprocess.run(["umount", "-l", disk], capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)
    disk.mkdir(parents=True)
    place.faults.mkdir()
    if own_disk:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", disk], check=True)
    try:
        borrowed = records.read_json(like.run / "prepared.json")["keys"].values()  # found there, and not committed
        for key in {*_prepared(like), *borrowed}:
            for file in (Path(like.store.root) / key[:2]).glob(f"{key}.*"):
                target = Path(place.store.root) / key[:2] / file.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)
        key = records.read_json(like.run / "prepared.json")["keys"]["base score"]
        (place.faults / "base_score").write_text(str(Path(place.store.root).resolve() / key[:2] / f"{key}.json"))
        yield place
    finally:
        if own_disk:
            subprocess.run(["umount", "-l", disk], check=True)


def _prepared(place: Place) -> list[str]:
    """Keys of what had been made before the first trial was begun."""
    keys = []
    for point in accounts.points(place.faults):
        if point["point"] == "record":
            return keys
        if point["point"] == "committed":
            keys.append(point["key"])
    raise AssertionError("the undisturbed sweep began no trial")


def spare_trial(place: Place) -> str:
    """A trial that can fail without moving the front: it is on none."""
    on = {m for members in accounts.front(place.run).values() for m, _, _ in members}
    confirmed = {r["trial_id"] for r in records.rows(place.run, "replicates") if r["replicate"]}
    trials = sorted(t["trial_id"] for t in records.rows(place.run, "trials") if t["arm"] != "control")
    return next(t for t in trials if t not in on | confirmed and t.startswith("dimum"))


def strike(
    place: Place, like: Place, deck: list[Fault], rng: random.Random, on_ray: bool, settings: tuple[str, ...] = SETTINGS
) -> list[Strike]:
    """Run one sweep to its end, striking it with the faults of the deck in turn; those that struck are taken off the deck."""
    strikes_: list[Strike] = []
    for drive in range(_MOST_DRIVES):
        arguments = ["--resume", "disk/run"] if (place.run / "plan.json").exists() else _new(settings)
        arguments += [] if on_ray else ["--in-process"]
        driven = _Drive(place, deck, rng, arguments, place.folder / f"log.{drive}")
        driven.run()
        strikes_ += driven.struck
        driven.check()
        if driven.driver.exit_code == 0:
            break
        if not driven.struck and not driven.mended():
            raise AssertionError(f"a driver ended by itself: {driven.driver.log.read_text()[-2000:]}")
    else:
        raise AssertionError(f"the sweep did not end in {_MOST_DRIVES} drives")
    failed = _failed(place, strikes_)
    wrong = accounts.differences(place.run, like.run, failed) + accounts.twice(place.faults, place.store)
    for one in strikes_:
        one.wrong = (one.wrong or []) + wrong
    return strikes_


def _failed(place: Place, struck: list[Strike]) -> list[str]:
    """The trials that must have failed. One whose only row was damaged later is asked for again, and what failed it may be over."""
    trials = []
    for one in struck:
        where = one.fault.order.get("where", {}).get("trial")
        lost = where and any(f"records/trials/{where}.parquet" in other.did for other in struck)
        if one.fault.fails and not lost:
            trials.append(where or (place.faults / "nan").read_text())
    return trials


class _Drive:
    """One driver, from its start to its end."""

    def __init__(self, place: Place, deck: list[Fault], rng: random.Random, arguments: list[str], log: Path) -> None:
        self.place, self.deck, self.rng, self.arguments, self.log = place, deck, rng, arguments, log
        self.struck: list[Strike] = []
        self.started: set[int] = set()  # processes

    def run(self) -> None:
        fault = self.deck[0] if self.deck else None
        environment: dict[str, str] = {}
        if fault and fault.preload:
            (self.place.faults / "clock").write_text("+0")
            environment = {"FAKETIME_TIMESTAMP_FILE": str((self.place.faults / "clock").resolve()), "FAKETIME_NO_CACHE": "1",
                           "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}  # fmt: skip
        if fault and not self.arguments[0].startswith("--resume"):
            self.arguments += fault.options
        self._arm(fault)
        self.driver = Drivers(self.place.faults, environment).start(
            self.arguments, self.place.folder, self.log, fault.preload if fault else ""
        )
        begun = time.monotonic()
        while self.driver.exit_code is None:
            time.sleep(0.1)
            if self.driver.exit_code is None:
                self.started |= set(strikes.descendants(self.driver.pid))
            if fault and not fault.points and time.monotonic() - begun > fault.after:
                self._kill(fault)
                fault = None
            if fault and self._has_struck(fault):
                fault = next(filter(_can_follow, self.deck), None) if fault.then == GOES_ON else None
                self._arm(fault)
            if time.monotonic() - begun > _ENDS_WITHIN_S:
                os.kill(self.driver.pid, signal.SIGKILL)
                (self.struck or [Strike(Fault("none"))])[-1].did = "did not end"
        if fault:
            self._has_struck(fault)
        (self.place.faults / "order.json").unlink(missing_ok=True)

    def _arm(self, fault: Fault | None) -> None:
        for name in ("order.json", "struck.json"):
            (self.place.faults / name).unlink(missing_ok=True)
        if fault and fault.begin:
            fault.begin(self.place, self.rng)
        if fault and fault.points:
            (self.place.faults / "order.json").write_text(json.dumps(order_of(fault)))

    def _has_struck(self, fault: Fault) -> bool:
        path = self.place.faults / "struck.json"
        if not path.exists():
            return False
        at = json.loads(path.read_text())
        where = [at["at"], at.get("stage"), at.get("trial"), (at.get("key") or "")[:8]]
        self._note(fault, " ".join(str(w) for w in where if w))
        return True

    def _kill(self, fault: Fault) -> None:
        for pid in strikes.processes(fault.order["victim"], self.driver.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                if not self.struck or self.struck[-1].fault is not fault:
                    self._note(fault, f"after {fault.after:.1f} s")

    def _note(self, fault: Fault, at: str) -> None:
        self.struck.append(Strike(fault, at))
        self.deck.remove(fault)

    def check(self) -> None:
        """What must hold once the driver has ended, whatever ended it; then the mending, and damage to what it left."""
        wrong = self._left_behind() + self._ended_as_it_should()
        for one in self.struck:
            one.wrong = wrong + (one.wrong or [])
            if one.fault.mend:
                one.did += one.fault.mend(self.place, self.rng)
        if self.place.run.exists() and (self.place.run / "records").exists():
            wrong += accounts.unaccounted(self.place.run) + accounts.twice(self.place.faults, self.place.store)
        for one in self.struck:
            one.wrong = [*dict.fromkeys([*(one.wrong or []), *wrong])]
            if one.fault.between:
                one.did = one.fault.between(self.place, self.rng)
                if self.rng.random() < 0.5 and (self.place.run / "plan.json").exists():
                    repair = [sys.executable, "-m", "sweep.repair", str(self.place.run)]
                    done = subprocess.run(repair, cwd=ROOT, capture_output=True, text=True)
                    one.did += f"; sweep.repair: exit {done.returncode}"
                    if done.returncode not in (0, 1):
                        one.wrong.append(f"sweep.repair: {done.stderr.strip()[-300:]}")

    def _ended_as_it_should(self) -> list[str]:
        code, text = self.driver.exit_code, self.driver.log.read_text(errors="replace")
        last = self.struck[-1] if self.struck else None
        if last is None or last.fault.then == GOES_ON:
            return [] if code == 0 else [f"the driver ended with exit code {code}: {text[-1500:]}"]
        last.said = self.driver.last_line[:200]
        if last.fault.then == HALTS:
            errors = [line for line in text.splitlines() if line.startswith("error: ")]
            fine = code == 2 and len(errors) == 1 and "Traceback" not in text and "--resume" in errors[0]
            return [] if fine else [f"exit code {code}, {len(errors)} lines of error: {text[-1500:]}"]
        return [] if last.fault.then == DIES and code else [f"the driver ended with exit code {code}"]

    def mended(self) -> bool:
        """Whether the driver said that a file is damaged and how it is made again, and that was done."""
        if self.driver.exit_code != 2 or "python -m sweep.repair" not in self.driver.last_line:
            return False
        return subprocess.run([sys.executable, "-m", "sweep.repair", str(self.place.run)], cwd=ROOT).returncode in (
            0,
            1,
        )

    def _left_behind(self) -> list[str]:
        """Processes that outlive their driver: they must not, and are ended."""
        end = time.monotonic() + _GONE_WITHIN_S
        while (left := [pid for pid in self.started if _alive(pid)]) and time.monotonic() < end:
            time.sleep(0.5)
        names = [f"{pid} {strikes.command(pid)}" for pid in left]
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return [f"outlived their driver by {_GONE_WITHIN_S} s: {', '.join(names)}"] if left else []


def _can_follow(fault: Fault) -> bool:
    """Whether a fault can strike a driver that is at work already."""
    return not (fault.preload or fault.options or fault.begin)


def _alive(pid: int) -> bool:
    with suppress(OSError):
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
