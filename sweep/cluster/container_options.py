"""Options of ``docker run`` (and podman's): those that are known to open neither a port nor the machine.

An option that is not listed here is a finding, whatever it does: Docker has a hundred, and gets new ones.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence

_FLAGS = ("--init", "--rm", "--read-only", "--no-healthcheck", "--detach", "--interactive", "--tty", "-d", "-i", "-t")
_VALUES = (
    "--add-host", "--dns", "--dns-search",
    "--blkio-weight", "--cidfile", "--cpu-shares", "--cpus", "--cpuset-cpus", "--cpuset-mems", "--entrypoint", "--env",
    "--env-file", "--gpus", "--hostname", "--label", "--log-driver", "--log-opt", "--memory", "--memory-reservation",
    "--memory-swap", "--memory-swappiness", "--name", "--oom-score-adj", "--pids-limit", "--platform", "--pull", "--restart",
    "--shm-size", "--stop-signal", "--stop-timeout", "--tmpfs", "--ulimit", "--user", "--workdir",
    "-e", "-h", "-l", "-m", "-u", "-w", "-c",
)  # fmt: skip
_ONLY = {  # options of which some values are known to be safe
    "--cap-add": r"(CAP_)?(SYS_PTRACE|IPC_LOCK|SYS_NICE)",  # for py-spy, RDMA and priorities, within the container
    "--cap-drop": r".*",
    "--device": r"/dev/(nvidia[\w-]*|infiniband[\w/]*|fuse)(:.*)?",
    "--ipc": r"|none|private|shareable|host",  # host: NCCL's shared memory, among users of the machine
    "--net": r"host|none",  # host: Ray says so itself, and what listens is looked at elsewhere
    "--network": r"host|none",
    "--runtime": r"nvidia|runc",
    "--security-opt": r"no-new-privileges(:true|=true)?",
}
_FOLDERS = ("mnt", "home", "data", "datasets", "scratch", "shared", "storage", "nfs", "efs", "fsx", "lustre", "tmp", "dev/shm",
            "opt", "srv")  # fmt: skip
"""Folders of the machine that may be mounted: data's. The rest holds its sockets, devices, settings and logs."""


def unsafe(words: Sequence[tuple[int, str]], until_image: bool = False) -> Iterator[tuple[int, str]]:
    """Each option that is not known to be safe: the item it is in, and what is wrong. `words`: (item, word) in order.

    `until_image`: a whole command, whose options end at the first word that is none.
    """
    rest = list(words)
    while rest:
        item, word = rest.pop(0)
        if not word.startswith("-"):
            if until_image:
                return
            yield item, f"{word}: no option of docker run that is known to be safe"
            continue
        for option, value in _options(word):
            if option in _FLAGS:
                continue
            if option in ("-P", "--publish-all", "--privileged"):
                yield item, f"{option} {_WHY[option]}"
                continue
            if value is None:
                value = rest.pop(0)[1] if rest else ""
            if why := _wrong(option, value):
                yield item, why


_WHY = {
    "-P": "publishes the container's ports to whoever reaches the machine",
    "--publish-all": "publishes the container's ports to whoever reaches the machine",
    "--privileged": "gives the container the machine",
}


def _options(word: str) -> Iterator[tuple[str, str | None]]:
    """The options of one word, each with its value where the word has it: ``--a=b``, ``-p80:80``, ``-itp``."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        yield name, value if equals else None
        return
    for i, letter in enumerate(word[1:], 1):
        if f"-{letter}" in _FLAGS or letter == "P":
            yield f"-{letter}", None
            continue
        yield f"-{letter}", word[i + 1 :].removeprefix("=") or None
        return


def _wrong(option: str, value: str) -> str:
    """Why an option with this value is not known to be safe; nothing where it is."""
    if option in ("-p", "--publish"):
        return f"{option} {value} publishes a port of the container to whoever reaches the machine"
    if option in ("-v", "--volume"):
        return _mounted(option, value.partition(":")[0])
    if option == "--mount":
        fields = dict(field.partition("=")[::2] for field in value.split(","))
        if fields.get("type", "volume") in ("volume", "tmpfs"):
            return ""
        return _mounted(option, fields.get("source") or fields.get("src") or "")
    if option in _ONLY:
        return "" if re.fullmatch(_ONLY[option], value) else f"{option} {value}: not known to be safe"
    return "" if option in _VALUES else f"{option}: no option of docker run that is known to be safe"


def _mounted(option: str, source: str) -> str:
    home = re.sub(r"^(~|\$HOME|\$\{HOME\})(?=/|$)", "/home/user", source)
    if re.fullmatch(r"[\w.-]+", home) and home not in (".", ".."):
        return ""  # a volume of docker's own
    folder = posixpath.normpath(home) if home else ""
    if any(folder == f"/{name}" or folder.startswith(f"/{name}/") for name in _FOLDERS) and "$" not in folder:
        return "" if not folder.endswith(".sock") else f"{option} {source} gives the container a socket of the machine"
    if "docker.sock" in folder:
        return f"{option} {source} gives the container docker, and with it the machine"
    return f"{option} {source or 'nothing'}: not among the folders that may be mounted ({', '.join(_FOLDERS)})"
