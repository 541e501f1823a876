"""Real drivers of a small sweep: ``sweep.launch`` in a process of its own, which may be killed like any other.

Torch, Ray and the sweep are imported once, by the server that drivers are forked from: a driver then starts in a second.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = Path(__file__).parents[2]
QUICK = ROOT / "tests" / "questions" / "quick.py"
_HERE = Path(__file__).parent
_MODULES = (
    "sweep.launch",
    "sweep.relearning.experiments",
    "sweep.relearning.member_checks",
    "sweep.relearning.prepare",
    "sweep.driver.sweep",
    "sweep.driver.on_ray",
    "sweep.driver.here",
    "sweep.search.warm_start",
    "sweep.search.confirm",
    "sweep.driver.tune",
    "sweep.repair",
)
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "5",  # a driver whose GCS is gone waits no minute for it
    "SWEEP_PATIENCE_S": "20",
}


@dataclass
class Driver:
    """A driver at work, and what it has said so far."""

    process: BaseProcess | subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative where a signal ended it."""
        return self.process.poll() if isinstance(self.process, subprocess.Popen) else self.process.exitcode

    @property
    def last_line(self) -> str:
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else ""


@dataclass
class Drivers:
    """Starts drivers that all see the same folder of faults."""

    faults: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.faults.mkdir(parents=True, exist_ok=True)

    def start(self, arguments: Sequence[str], folder: Path, log: Path, preload: str = "") -> Driver:
        """Begin ``sweep.launch`` with these arguments in `folder`; `preload` is a library under all of it, as libfaketime."""
        variables = _ENVIRONMENT | self.environment | {
            "FAULTS": str(self.faults),
            "PYTHONPATH": os.pathsep.join([str(_HERE / "struck"), str(ROOT)]),
        }  # fmt: skip
        (self.faults / "driver.pid").unlink(missing_ok=True)
        if preload:
            with open(log, "wb") as file:
                process: BaseProcess | subprocess.Popen[bytes] = subprocess.Popen(
                    [sys.executable, str(_HERE / "drivers.py"), *arguments],
                    cwd=folder,
                    env=os.environ | variables | {"LD_PRELOAD": preload},
                    stdout=file,
                    stderr=subprocess.STDOUT,
                )
        else:
            process = _server().Process(target=drive, args=(list(arguments), str(folder), str(log), variables))
            process.start()
        return Driver(process, log)


def _server() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["strikes", "drivers", *_MODULES])
    return context


def drive(arguments: list[str], folder: str, log: str, variables: dict[str, str]) -> None:
    """What a forked driver does."""
    os.environ.update(variables)
    os.chdir(folder)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.exit(launch(arguments))


def launch(arguments: Sequence[str]) -> int:
    import strikes

    from sweep.launch import main

    (strikes.folder() / "driver.pid").write_text(str(os.getpid()))
    if "sitecustomize" not in sys.modules or not hasattr(sys.modules["sitecustomize"], "strikes"):
        strikes.arm()
    return main(arguments)


if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))
