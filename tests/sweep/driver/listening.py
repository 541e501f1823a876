"""Which of a process and its descendants listen for TCP connections, and where, read from /proc."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from pathlib import Path


def descendants(of: int) -> set[int]:
    """The process and all below it, now."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended meanwhile
            continue
    found, new = {of}, {of}
    while new := {pid for pid, parent in parents.items() if parent in new} - found:
        found |= new
    return found


def addresses(family: set[int]) -> dict[tuple[str, int], str]:
    """(address, port) on which one of the processes listens for TCP, and its command."""
    owners: dict[str, int] = {}
    for pid in family:
        try:
            handles = list(Path(f"/proc/{pid}/fd").iterdir())
        except OSError:  # the process has ended
            continue
        for handle in handles:
            with suppress(OSError):  # closed meanwhile
                owners[os.readlink(handle)] = pid
    found = {}
    for version in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{version}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] != "0A" or (pid := owners.get(f"socket:[{words[9]}]")) is None:
                continue
            host, port = words[1].split(":")
            found[_address(host), int(port, 16)] = _command(pid)
    return found


def _address(text: str) -> str:
    """As the kernel writes it: groups of four bytes, each in the machine's order."""
    data = b"".join(struct.pack("=I", int(text[i : i + 8], 16)) for i in range(0, len(text), 8))
    return socket.inet_ntop(socket.AF_INET6 if len(data) == 16 else socket.AF_INET, data)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:120]
    except OSError:
        return "ended"
