"""Run a sweep: ``python -m sweep.launch --space dimum_robustness``. Parses, plans, runs, prints; has no logic of its own."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep import base_models, catalogue, credentials, loggers, options, records, targets
from sweep import plan as planning
from sweep.cluster import remote
from sweep.compact import only_driver
from sweep.datasets import fingerprinted
from sweep.describe import describe
from sweep.errors import Parser, UsageError
from sweep.loggers import Chosen
from sweep.plan import Plan
from sweep.space import SearchSpace

if TYPE_CHECKING:
    from sweep.progress import Progress

EPILOG = """\
examples:
  python -m sweep.launch --space dimum_robustness                 the embedded default, on this machine
  python -m sweep.launch --space dimum_robustness --dry-run       the whole plan and its cost, then exit
  python -m sweep.launch --resume runs/dimum_robustness-…         go on with a run that was stopped
  python -m sweep.launch --space dimum_robustness --address auto --gpus-per-trial 0.5    on a cluster
"""


def parser() -> Parser:
    p = Parser("python -m sweep.launch", description=__doc__.split(":")[0] + ".", epilog=EPILOG,
                                formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    options.add_question(p)
    options.add_confirm(options.add_search(p))
    options.add_figures(p)
    where = options.add_place(p, "runs/SPACE-DATE-TIME")
    remote.add_arguments(p)
    where.add_argument(
        "--dry-run", action="store_true", help="print the whole plan with an estimate of its cost and exit"
    )
    where.add_argument(
        "--verbose", action="store_true", help="let Ray, Optuna and warnings speak; lines, no live table"
    )
    where.add_argument(
        "--log-format",
        default="auto",
        choices=("auto", "lines", "json"),
        help="auto: a live table on a terminal, else plain lines; json: one object a line, for programs (default: auto)",
    )
    where.add_argument(
        "--keep",
        default=planning.KEEP[0],
        choices=planning.KEEP,
        help="front: of trials that are neither on the front nor confirmed only the figures stay; the artifacts lie in the "
        "run folder unless --artifacts is given (default: all)",
    )
    loggers.add_options(p)
    return p


def plan_of(args: argparse.Namespace) -> Plan:
    """The plan the arguments ask for; UsageError where they do not make one."""
    if args.resume and args.space:
        raise UsageError("--space beside --resume: the run's own plan holds; leave it out, or start a new run")
    if args.resume:
        folder = records.run_folder(args.resume)
        plan = Plan.from_json(records.read_json(folder / "plan.json"), str(folder / "plan.json"))
        refuse_flags_beside_resume(args, parser())
        data_folder = args.data_folder and planning.absolute(args.data_folder)
        return planning.moved(plan, str(folder.resolve()), args.workers, args.address, args.in_process, data_folder)
    if args.confirm:
        raise UsageError("--confirm: is for a run that has searched; name it with --resume RUN")
    if not args.space:
        raise UsageError("--space NAME is needed (or --resume RUN); try --space dimum_robustness")
    fix = tuple(pin(text) for text in args.fix)
    target = _absolute_target(args.target)
    question = targets.aimed(catalogue.load(args.space), target).fix(dict(fix))
    trials = _or(args.trials, question.trials)
    run_dir = args.run_dir or planning.default_run_dir(args.storage, args.space)
    if args.keep == "front" and not args.artifacts:  # what is removed of a store of its own, nobody else misses
        args.artifacts = planning.own_artifacts(args.storage, run_dir)
    plan = Plan(
        space=planning.absolute(args.space) if args.space.endswith(".py") else args.space,
        run_dir=run_dir,
        data=args.data or question.data,
        forget=args.forget or question.forget,
        trials=trials,
        baseline_trials=_or(args.baseline_trials, int(trials * question.baseline_share)),
        sampler=args.sampler,
        warm_start=tuple(planning.absolute(run) for run in args.warm_start),
        max_hours=args.max_hours,
        max_core_hours=args.max_core_hours,
        min_gain=args.min_gain,
        gate_margin=args.gate_margin,
        stopping=args.stop_dominated,
        fid_budget=planning.parse_budget(args.fid_budget),
        confirm_seeds=args.confirm_seeds,
        confirm_members=_or(args.confirm_members, question.confirm_members),
        confirm_neighbours=_or(args.confirm_neighbours, question.confirm_neighbours),
        target=target,
        keep=args.keep,
        fix=fix,
        **shared_values(args),
    )
    return with_base_model(plan, args)


def _or(given: int | None, usual: int) -> int:
    return usual if given is None else given


def _absolute_target(target: str) -> str:
    """``RUN:TRIAL`` with the run as every process finds it."""
    run, colon, trial = target.rpartition(":")
    return f"{planning.absolute(run)}:{trial}" if colon else target


def with_base_model(plan: Plan, args: argparse.Namespace) -> Plan:
    """The plan with the size and steps of a base model that is trained here, unless a pretrained one is given."""
    if args.base and (args.base_size or args.base_steps):
        raise UsageError("--base-size, --base-steps: are for a base model trained here; leave them out with --base")
    return base_models.sized(plan, args.base_size, args.base_steps)


def shared_values(args: argparse.Namespace) -> dict[str, Any]:
    """The plan's values that `add_figures` and `add_place` ask for."""
    return {
        "artifacts": planning.absolute(args.artifacts or planning.in_storage(args.storage, "artifacts")),
        "data_folder": args.data_folder and planning.absolute(args.data_folder),
        "image_size": args.image_size,
        "data_limit": args.data_limit,
        "seed": args.seed,
        "fid_features": args.fid_features,
        "inception_weights": args.inception_weights and planning.absolute(args.inception_weights),
        "inception_sha256": args.inception_sha256,
        "base": _place(args.base),
        "base_revision": args.base_revision,
        "base_classes": _numbers(args.base_classes),
        "retrain_control": _place(args.retrain_control),
        "image_sampler": args.image_sampler,
        "sampling_steps": args.sampling_steps,
        "guidance": args.guidance,
        "samples_forgotten": args.samples_forgotten,
        "samples_per_retained": args.samples_per_retained,
        "shadow_models": args.shadow_models,
        "workers": _workers(args),
        "gpus_per_trial": args.gpus_per_trial,
        "gpu_type": args.gpu_type,
        "address": args.address,
        "in_process": args.in_process,
        "trial_timeout": args.trial_timeout,
    }


def refuse_flags_beside_resume(args: argparse.Namespace, known: argparse.ArgumentParser) -> None:
    """A resumed run keeps its plan: what decides figures cannot be changed in the middle, and is not silently ignored."""
    free = {"resume", "workers", "address", "in_process", "dry_run", "verbose", "log_format", "data_folder", "confirm"}
    free |= {"mlflow", "wandb"}  # no figure depends on them
    for name, default in vars(known.parse_args([])).items():
        if name not in free and getattr(args, name) != default:
            flag = "--" + name.replace("_", "-")
            raise UsageError(f"{flag} beside --resume: the run's own plan holds; leave it out, or start a new run")


def _workers(args: argparse.Namespace) -> int:
    if args.workers is not None:
        return args.workers
    if args.address:
        raise UsageError("--address needs --workers N: how many trials at a time the cluster may grow to")
    return planning.default_workers(args.gpus_per_trial)


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    plan: Plan | None = None
    try:
        credentials.refuse(args)
        if remote.wanted(args):
            return remote.run(args, parser())
        plan = plan_of(args)
        space = planning.validate(plan)
        from sweep.progress import progress_for

        progress = progress_for(args.log_format, args.verbose)
        run_dir = Path(plan.run_dir)
        to = loggers.choose(run_dir, args.mlflow, args.wandb, space.name)
        progress.plan(describe(plan, space) + (f"\nloggers     {to.text(run_dir)}" if to else ""))
        if args.dry_run:
            return 0
        planning.check_folders(plan, new=bool(args.run_dir))  # a name of our own is taken when the run begins
        plan = fingerprinted(plan)
        quiet(args.verbose)
        # Heavy imports come this late on purpose: every mistake above costs a second, not twenty.
        from sweep.confirm import name_trials
        from sweep.reopening import without_controls

        if args.confirm:
            with only_driver(run_dir):  # a refused second driver changes nothing
                name_trials(run_dir, without_controls(run_dir, args.confirm))
        with progress:
            progress.line("loading torch, Ray and Optuna")
            from sweep.run import run

            plan = _begun(plan, space, args, to, progress)
            outputs = run(plan, space, progress)
        return outputs.show()
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return interrupted("sweep.launch", Path(plan.run_dir) / "plan.json" if plan else None)


def _begun(plan: Plan, space: SearchSpace, args: argparse.Namespace, to: Chosen | None, progress: Progress) -> Plan:
    """The plan checked by its methods and data, in the run folder that it got; a resumed one has its own."""
    from sweep.prepare import check_members, resolved
    from sweep.reopening import reopen
    from sweep.warm_start import gather, write

    check_members(plan, space)
    if args.resume:
        with only_driver(Path(plan.run_dir)):
            loggers.keep(Path(plan.run_dir), to)
            for told in reopen(Path(plan.run_dir), space, args.confirm):
                progress.line(told)
        return plan
    plan, earlier = resolved(plan), gather(plan.warm_start, space)

    def others(folder: Path) -> None:
        write(folder, earlier)
        loggers.keep(folder, to)

    placed = planning.create_run_dir(plan, bool(args.run_dir), others)
    if placed.run_dir != plan.run_dir:
        progress.line(f"run: {plan.run_dir} was taken meanwhile; this one is {placed.run_dir}")
    return placed


def interrupted(command: str, plan: Path | None) -> int:
    """Say how to go on with what was stopped, where its plan is written; returns the exit code."""
    how = f"go on with: python -m {command} --resume {plan.parent}" if plan and plan.exists() else "nothing was begun"
    print(f"\nstopped; {how}", file=sys.stderr)
    return 130


def quiet(verbose: bool) -> None:
    if verbose:
        return
    warnings.filterwarnings("ignore")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    import logging

    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray").setLevel(logging.ERROR)


def _place(source: str) -> str:
    """A pipeline's folder as every process finds it; a hub id as it is."""
    return planning.absolute(source) if os.path.isdir(source) else source


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise UsageError(f"--base-classes {text}: write whole numbers such as 0,217,482") from None


def pin(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise UsageError(f"--fix {text}: write NAME=VALUE")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
