"""Real hosts on one machine: network namespaces with a switch between them, each with its own processes and `sshd`.

A host shares the machine's file system but for the folders that Ray keeps a machine's state in, which are its own: the
temporary folder, the home, /dev/shm and /run. Nothing of the machine's own network is touched, and no packet leaves: the switch is
in a namespace too, and leads nowhere. Needs root, and Debian's iproute2, openssh-server and rsync.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

NETWORK = "10.77.0"
HOME = "/root"
_OWN = ("/tmp", HOME, "/run", "/dev/shm")
_PREFIX = "sweep"
_ROOT = Path(__file__).parents[1]

SSHD = """\
ListenAddress 0.0.0.0
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
"""


def missing() -> str:
    """Why hosts cannot be made here; empty where they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    tools = ("ip", "unshare", "nsenter", "setpriv", "rsync", "ssh", "/usr/sbin/sshd")
    absent = [tool for tool in tools if not shutil.which(tool)]
    return f"not installed: {', '.join(absent)} (Debian: iproute2 openssh-server rsync)" if absent else ""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@dataclass
class Host:
    """One host: its namespace's name, its address, and the process that all of its own descend from."""

    name: str
    address: str
    init: int

    def command(self, *command: str, env: Mapping[str, str] = {}) -> list[str]:
        """The command line that runs a command on it."""
        setting = [f"{k}={v}" for k, v in {"HOME": HOME, "PATH": os.environ["PATH"], "TERM": "dumb", **env}.items()]
        namespaces = ["--mount", "--uts", "--net", "--pid"]
        return [
            "nsenter",
            "--target",
            str(self.init),
            *namespaces,
            "--wd=" + str(_ROOT),
            "env",
            "-i",
            *setting,
            *command,
        ]

    def run(self, *command: str, env: Mapping[str, str] = {}, timeout: float = 300) -> str:
        """What a command on it prints; AssertionError with all of it where it fails."""
        done = subprocess.run(
            self.command(*command, env=env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, f"{shlex.join(command)} on {self.name}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def processes(self) -> list[str]:
        """Command lines of what runs on it, this question apart."""
        listed = self.run("sh", "-c", "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done")
        return [line for line in listed.splitlines() if line.strip() and "/proc/[0-9]" not in line]

    def cut(self) -> None:
        """Take its network away; its processes go on."""
        ip("-n", self.name, "link", "set", "eth0", "down")

    def kill(self) -> None:
        """End all of its processes at once, as a power cut does."""
        os.kill(self.init, signal.SIGKILL)


@contextmanager
def hosts(folder: Path, count: int) -> Iterator[list[Host]]:
    """`count` hosts that see each other and nothing else; `folder`, this checkout and its Python are the same on all of them.

    Their processes and namespaces are gone afterwards. Where this process is killed its hosts die with it, and the next one
    removes what is left of their namespaces.
    """
    _remove_orphans()
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("host_key", "key"):
        if not (folder / name).exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "sshd_config").write_text(SSHD.format(folder=folder))
    prefix = f"{_PREFIX}{os.getpid()}"
    with ExitStack() as stack:
        _namespace(f"{prefix}-switch", stack)
        ip("-n", f"{prefix}-switch", "link", "add", "switch", "type", "bridge")
        ip("-n", f"{prefix}-switch", "link", "set", "switch", "up")
        same = {p for p in (folder, _ROOT, Path(sys.prefix), Path(sys.base_prefix)) if str(p).startswith(_OWN)}
        yield [_host(f"{prefix}-{i}", f"{NETWORK}.{10 + i}", folder, sorted(same), stack) for i in range(count)]


def _remove_orphans() -> None:
    """Delete the namespaces of processes that were killed before they could."""
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout
    for name in re.findall(rf"^{_PREFIX}\d+-\w+", listed, re.MULTILINE):
        maker = re.findall(r"\d+", name)[0]
        if not Path(f"/proc/{maker}").exists():
            ip("netns", "del", name)


def _namespace(name: str, stack: ExitStack) -> None:
    ip("netns", "add", name)
    stack.callback(ip, "netns", "del", name)
    ip("-n", name, "link", "set", "lo", "up")


def _host(name: str, address: str, folder: Path, same: list[Path], stack: ExitStack) -> Host:
    switch, _, number = name.rpartition("-")
    switch += "-switch"
    _namespace(name, stack)
    ip("link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", f"port{number}", "netns", switch)
    ip("-n", switch, "link", "set", f"port{number}", "master", "switch", "up")
    ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
    ip("-n", name, "link", "set", "eth0", "up")
    ip(
        "-n", name, "route", "add", "default", "via", f"{NETWORK}.1"
    )  # of no machine: Ray asks which address it leads from
    log = stack.enter_context((folder / f"{name}.log").open("w"))
    unshare = ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", name, *unshare, "bash", "-c", _boot(name, folder, same)],
        stdout=log, stderr=log, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    stack.callback(process.wait)
    stack.callback(process.kill)
    return Host(name, address, _child(process, folder / f"{name}.log"))


def _boot(name: str, folder: Path, same: list[Path]) -> str:
    """Its start: folders of its own in place of the machine's, those that are the same on all hosts back in place, sshd."""
    lines = ["set -e", "mount --make-rprivate /", f"hostname {name}", "mount -t tmpfs tmpfs /mnt"]
    for i, path in enumerate(same):
        lines += [f"mkdir /mnt/{i}", f"mount --rbind {shlex.quote(str(path))} /mnt/{i}"]
    lines += [f"mount -t tmpfs tmpfs {own}" for own in _OWN]
    for i, path in enumerate(same):
        lines += [f"mkdir -p {shlex.quote(str(path))}", f"mount --rbind /mnt/{i} {shlex.quote(str(path))}"]
    lines += [
        "umount -R /mnt/*",
        "mkdir /run/sshd /mnt/shared",
        f"mount --bind {shlex.quote(str(folder / 'shared'))} /mnt/shared",
    ]
    (folder / "shared").mkdir(exist_ok=True)
    return "\n".join([*lines, f"exec /usr/sbin/sshd -D -e -f {shlex.quote(str(folder / 'sshd_config'))}"])


def _child(process: subprocess.Popen, log: Path) -> int:
    """The namespace's first process, once sshd listens."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children and "Server listening" in log.read_text():
            return int(children[0])
        time.sleep(0.1)
    raise AssertionError(f"sshd did not start: {log.read_text()}")
