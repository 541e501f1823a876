"""Where a sweep or a track runs, which decides none of its figures: trials at a time, GPUs, the cluster's address."""

from __future__ import annotations

import math
import os
import re
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sweep.errors import UsageError
from sweep.plan import flags
from sweep.plan.flags import WHERE, Words, at_least, finite, flag, one_of

CHECKPOINTING = ("auto", "on", "off")
_PATIENCE_S = 20.0  # with the driver's own tool
_LONGEST_SOCKET = 107  # bytes of a socket's path, on Linux
_SOCKET = "/ray/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store"  # a process has at most seven digits


def _gpus_wrong(number: float) -> str:
    if not math.isfinite(number):
        return "must be finite"
    if number < 0:
        raise UsageError(f"--gpus-per-trial {number:g}: must not be negative")
    return "a share of one GPU, up to 1, or whole GPUs" if number > 1 and number % 1 else ""


def _where(address: str, place: Place) -> str:
    return "in this process" if place.in_process else address or "Ray on this machine"


@dataclass(frozen=True)
class Place:
    """Where trials run. A resumed run may be given another."""

    address: str = flag(
        "",
        "--address",
        "an existing Ray cluster; 'auto' on its head node",
        WHERE,
        metavar="ADDR",
        words=Words("runs on", _where),
        beside_resume=True,
    )
    workers: int = flag(
        2,
        "--workers",
        "trials at a time (default: one a core, or what the GPUs take)",
        WHERE,
        metavar="N",
        ungiven=None,
        check=at_least(1),
        words=Words("runs on", lambda n, _: f"{n} trial{'s' if n != 1 else ''} at a time"),
        beside_resume=True,
    )
    gpus_per_trial: float = flag(
        0.0,
        "--gpus-per-trial",
        "share of a GPU a trial gets (default: 0, the CPU)",
        WHERE,
        metavar="F",
        check=_gpus_wrong,
        words=Words("runs on", lambda n, place: f"{n:g} {place.gpu_type or 'GPU'} each", joined=", "),
    )
    gpu_type: str = flag(  # empty: any
        "",
        "--gpu-type",
        "only GPUs of this type, by Ray's name: A10G, A100, H100, …",
        WHERE,
        metavar="TYPE",
        check=lambda name: "" if re.fullmatch(r"[\w.-]*", name) else "not a type of Ray's, such as A10G or H100",
    )
    gpu_memory: float = flag(
        0.0,
        "--gpu-memory",
        "GB of the GPU that the plan is for, of which a trial has its share: what cannot fit is refused, on a machine without "
        "one too (default: what this machine's GPUs have)",
        WHERE,
        metavar="GB",
        check=finite(at_least(0), "must be finite"),
        beside_resume=True,
    )
    checkpointing: str = flag(
        "auto",
        "--checkpointing",
        "gradient checkpointing of text-to-image models, the same figures in less memory and a third more time: auto, on or off "
        "(default: %(default)s, where a trial would not fit without)",
        WHERE,
        metavar="auto|on|off",
        check=one_of(lambda: CHECKPOINTING),
        beside_resume=True,
    )
    in_process: bool = flag(
        False, "--in-process", "the same trials in this very process, for a debugger", WHERE, beside_resume=True
    )
    trial_timeout: float = flag(
        3600.0,
        "--trial-timeout",
        "a trial without a report for S seconds is hung: its process is killed, it is recorded as FAIL; a task that prepares "
        "and computes nothing for as long is tried again, twice (default: %(default)g; 0: never)",
        WHERE,
        metavar="S",
        check=finite(at_least(0), "must be finite; 0 means never"),
    )

    def check(self) -> None:
        """UsageError for what can be wrong with a place: a flag, GPUs that are not here, an address where nothing answers."""
        flags.check(self)
        if self.gpu_type and not self.gpus_per_trial:
            raise UsageError(f"--gpu-type {self.gpu_type}: trials get no GPU; add --gpus-per-trial")
        if not self.gpu_memory:  # else of a GPU elsewhere, perhaps; asked once it is to run
            self.check_gpus()
        _check_address(self.address)
        if not (self.address or self.in_process):
            _check_temporary_folder()

    def check_gpus(self) -> None:
        """UsageError where trials that are to run here would wait for a GPU that is not here."""
        if self.gpus_per_trial and not self.address:
            have = local_gpus()
            if self.gpus_per_trial > have:
                raise UsageError(
                    f"--gpus-per-trial {self.gpus_per_trial:g}: this machine has {have} GPU(s); ask for fewer, or give --address"
                )


def default_workers(gpus_per_trial: float) -> int:
    """Trials at a time on this machine: one a core, or as many as the GPUs take."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, trials_on(local_gpus(), gpus_per_trial)) if gpus_per_trial > 0 else cores


def trials_on(gpus: int, gpus_per_trial: float) -> int:
    """How many trials a machine's GPUs take: a trial has a share of one GPU, or whole ones."""
    return gpus * int(1 / gpus_per_trial) if gpus_per_trial <= 1 else int(gpus / gpus_per_trial)


def local_gpus() -> int:
    """GPUs of this machine that CUDA_VISIBLE_DEVICES leaves visible, by the driver's own tool."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([d for d in visible.split(",") if d.strip() not in ("", "-1")])
    try:
        listed = _nvidia_smi("-L")
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"nvidia-smi -L: gives no answer within {_PATIENCE_S:g} s; see to the driver, or say which GPUs there are: "
            "CUDA_VISIBLE_DEVICES=0,1,…"
        ) from None
    return sum(line.startswith("GPU ") for line in listed.splitlines())


def gpu_memory() -> int:
    """Bytes of the smallest GPU of this machine, by the driver's own tool; 0 where it does not say."""
    try:
        sizes = _nvidia_smi("--query-gpu=memory.total", "--format=csv,noheader,nounits").split()
    except subprocess.TimeoutExpired:
        return 0
    return min((int(mebibytes) * 2**20 for mebibytes in sizes if mebibytes.isdigit()), default=0)


def _nvidia_smi(*arguments: str) -> str:
    """What the driver's own tool prints; nothing where it is not here. TimeoutExpired where it hangs, as on a driver that does."""
    if shutil.which("nvidia-smi") is None:
        return ""
    asked = ["nvidia-smi", *arguments]
    return subprocess.run(asked, capture_output=True, text=True, timeout=_PATIENCE_S, check=False).stdout


def _check_address(address: str) -> None:
    """UsageError where nothing answers at HOST:PORT; Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if not (colon and port.isdigit()) or "//" in address:
        return  # 'auto', or a form that only Ray can resolve
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise UsageError(f"--address {address}: nothing answers there ({error}); is the cluster up?") from None


def temporary_folder() -> Path:
    """Where a Ray of this machine keeps its sockets and logs, as Ray itself chooses it."""
    return Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp")


def _check_temporary_folder() -> None:
    """UsageError where Ray could not make its sockets: it would say so by a traceback, and only when it is started."""
    folder = temporary_folder()
    name = "RAY_TMPDIR" if os.environ.get("RAY_TMPDIR") else "TMPDIR"
    mend = f"set {name}=/tmp, say, or use --in-process"
    if not folder.is_dir():
        raise UsageError(f"{name} {folder}: no such folder, and Ray keeps its sockets there; {mend}")
    try:
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        said = error.strerror
        raise UsageError(
            f"{name} {folder}: cannot be written ({said}), and Ray keeps its sockets there; {mend}"
        ) from None
    longest = _LONGEST_SOCKET - len(_SOCKET)
    if len(os.fsencode(folder.absolute())) > longest:
        raise UsageError(
            f"{name} {folder}: is longer than the {longest} characters that leave room for the names of Ray's sockets; {mend}"
        )


def memory_here() -> int:
    """Bytes of memory of this machine, or what its container is allowed of it."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    return min(total, int(text)) if text.isdigit() else total
