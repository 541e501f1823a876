"""Clusters: ``python -m sweep.cluster check FILE`` before `ray up`; ``drain`` on each spot worker."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from sweep.cluster import drain, files
from sweep.cluster.check import findings
from sweep.errors import command


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("python -m sweep.cluster", description="Check a cluster file; drain a spot worker.")
    commands = p.add_subparsers(dest="command", required=True, metavar="check|drain")
    check = commands.add_parser(
        "check", help="say what is wrong with cluster files, and how to mend it, before they cost money"
    )
    check.add_argument("files", nargs="+", metavar="FILE", help="for `ray up`, or KubeRay manifests")
    drain.add_arguments(
        commands.add_parser("drain", help="wait for the notice that this node will be taken, and have Ray leave it")
    )
    return p


@command
def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code: 0 where nothing is wrong, 2 where something is."""
    args = parser().parse_args(argv)
    return drain.run(args) if args.command == "drain" else check(args.files)


def check(paths: Sequence[str]) -> int:
    """Print the findings of each file; 2 where there are any."""
    wrong = 0
    for path in paths:
        every = findings(files.read(path))
        wrong += len(every)
        for finding in every:
            print(finding)
        print(f"{path}: {len(every)} to mend" if every else f"{path}: nothing to mend")
    return 2 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
