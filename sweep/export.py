"""Save a trial's unlearned model as a diffusers pipeline: ``python -m sweep.export RUN TRIAL -o DIR``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sweep import records
from sweep.errors import Parser, UsageError, command, near
from sweep.plan.plan import Plan
from trainables.store import is_key


def parser() -> argparse.ArgumentParser:
    p = Parser("python -m sweep.export", description=__doc__.split(":")[0] + ".")
    p.add_argument("run", metavar="RUN", help="the run folder")
    p.add_argument("trial", metavar="TRIAL", help="a trial's id, or control-base or control-retrain")
    p.add_argument(
        "-o", "--output", metavar="DIR", help="a new folder for the pipeline; one that holds files is refused"
    )
    p.add_argument("folder", metavar="DIR", nargs="?", help="the same, without -o")
    p.add_argument(
        "--replicate", type=int, default=0, metavar="N", help="0: the search's seed; 1, 2, …: the confirm phase's"
    )
    return p


def unlearned_key(run: str, trial: str, replicate: int) -> str:
    """The artifact key of a recorded trial's unlearned model; UsageError where there is no such trial, or it has none."""
    rows = records.rows(records.run_folder(run), "replicates")
    trials = sorted({r["trial_id"] for r in rows})
    if trial not in trials:
        raise UsageError(f"{run}: no trial {trial}; {near(trial, trials)}")
    found = {r["replicate"]: r for r in rows if r["trial_id"] == trial}
    if replicate not in found:
        raise UsageError(f"{run}: {trial} has no replicate {replicate}; it has {', '.join(map(str, sorted(found)))}")
    key = found[replicate].get("unlearned_model")
    if not key:
        raise UsageError(f"{run}: {trial} has no unlearned model: it is {found[replicate]['state']}")
    if not is_key(key):
        raise UsageError(
            f"{run}: {trial}: its unlearned_model is no artifact key; the record was not written by a sweep"
        )
    return key


def output(args: argparse.Namespace) -> Path:
    """The folder that was named. UsageError where none was, or two, or it is taken: found out before anything is loaded."""
    if bool(args.output) == bool(args.folder):
        raise UsageError("name one new folder for the pipeline: RUN TRIAL -o DIR")
    folder = Path(args.output or args.folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: exists and is not an empty folder; a pipeline is saved in one of its own")
    return folder


@command
def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_intermixed_args(argv)  # a folder may come before the options or after them
    folder = output(args)
    key = unlearned_key(args.run, args.trial, args.replicate)
    where = records.run_folder(args.run) / "plan.json"
    plan = Plan.recorded(records.read_json(where), str(where))
    from sweep.reading.sweep import read_sweep
    from sweep.relearning.model_card import measured, metadata
    from sweep.relearning.prepare import experiment_of
    from trainables.relearning.export import save_pipeline
    from trainables.store import Store

    artifact = Store(plan.artifacts).find(key)
    if artifact is None:
        raise UsageError(
            f"{plan.artifacts}: the unlearned model {key[:12]} is no longer there: "
            + (
                f"the run keeps its front; --resume {args.run} --confirm {args.trial} makes it on fresh seeds"
                if plan.keep == "front"
                else "run the sweep with --resume"
            )
        )
    sweep = read_sweep(args.run)
    trial = sweep.member(args.trial)

    def about(pipeline: str) -> tuple[str, str]:
        return metadata(sweep, trial, args.replicate, pipeline), measured(sweep, trial, args.replicate)

    try:
        saved = save_pipeline(artifact, experiment_of(plan), folder, about)
    except ValueError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error.strerror}") from error
    print(saved)
    return 0


if __name__ == "__main__":
    sys.exit(main())
