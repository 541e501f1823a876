"""How a command names a recorded trial and a new folder to save in what is made of it: arguments and their checks."""

from __future__ import annotations

import argparse
from pathlib import Path

from sweep import records
from sweep.errors import UsageError, near
from sweep.procedures import Row


def add(p: argparse.ArgumentParser) -> None:
    """RUN, TRIAL and the folder, with or without ``-o``; where the store lies now, and members that the run is of.

    Such a line is read by `parse_intermixed_args`: the folder may come before the options or after them.
    """
    p.add_argument("run", metavar="RUN", help="the run folder")
    p.add_argument("trial", metavar="TRIAL", help="a trial's id, or a control's, such as control-base")
    p.add_argument("-o", "--output", metavar="DIR", help="a new folder to save it in; one that holds files is refused")
    p.add_argument("folder", metavar="DIR", nargs="?", help="the same, without -o")
    p.add_argument(
        "--artifacts", default="", metavar="DIR|URI", help="where the run's artifact store lies now, if it was moved"
    )
    p.add_argument(
        "--members",
        action="append",
        default=[],
        metavar="FILE|FOLDER",
        help="members of its own that the run is of, where one is its data set; the run's copies are RUN/members",
    )


def replicate_of(run: str, trial: str, replicate: int = 0) -> Row:
    """The row of a recorded replicate; UsageError where there is none."""
    rows = records.rows(records.run_folder(run), "replicates")
    trials = sorted({r["trial_id"] for r in rows})
    if trial not in trials:
        raise UsageError(f"{run}: no trial {trial}; {near(trial, trials)}")
    replicates = {r["replicate"]: r for r in rows if r["trial_id"] == trial}
    if replicate not in replicates:
        raise UsageError(
            f"{run}: {trial} has no replicate {replicate}; it has {', '.join(map(str, sorted(replicates)))}"
        )
    return replicates[replicate]


def new_folder(args: argparse.Namespace) -> Path:
    """The folder that was named. UsageError where none was, or two, or it is taken: found out before anything is loaded."""
    if bool(args.output) == bool(args.folder):
        raise UsageError("name one new folder to save it in: RUN TRIAL -o DIR")
    folder = Path(args.output or args.folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: exists and is not an empty folder; a trial is saved in one of its own")
    return folder
