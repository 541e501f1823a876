"""Run a sweep: ``python -m sweep.launch --space dimum_robustness``. Parses, plans, runs, prints; has no logic of its own."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence

from sweep import catalogue, records
from sweep import plan as planning
from sweep.errors import UsageError
from sweep.plan import Plan

EPILOG = """\
examples:
  python -m sweep.launch --space dimum_robustness                 the embedded default, on this machine
  python -m sweep.launch --space dimum_robustness --dry-run       the whole plan and its cost, then exit
  python -m sweep.launch --resume runs/dimum_robustness-…         go on with a run that was stopped
  python -m sweep.launch --space dimum_robustness --address auto --gpus-per-trial 0.5    on a cluster
"""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("python -m sweep.launch", description=__doc__.split(":")[0] + ".", epilog=EPILOG,
                                formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    what = p.add_argument_group("question")
    what.add_argument("--space", metavar="NAME", help="a search space by name, or the path of a file of your own")
    what.add_argument(
        "--resume", metavar="RUN", help="go on with the sweep in this run folder; nothing finished runs again"
    )
    what.add_argument(
        "--data", default="digits", metavar="NAME", help="data set, by the README's table (default: digits, embedded)"
    )
    what.add_argument(
        "--data-folder", default="", metavar="DIR", help="where it lies; beside --resume, where it lies now"
    )
    what.add_argument(
        "--image-size", type=int, default=0, metavar="N", help="resize to N×N pixels (default: the data set's own size)"
    )
    what.add_argument(
        "--data-limit", type=int, default=0, metavar="N", help="at most N images of each split (default: 0, all)"
    )
    what.add_argument(
        "--forget",
        default="3",
        metavar="WHAT",
        help="classes (3 or 3,7), attribute:NAME, or instances:INDEX,… of the training images (default: 3)",
    )
    what.add_argument(
        "--seed", type=int, default=0, help="first seed; confirm replicates use the ones after it (default: 0)"
    )
    what.add_argument(
        "--fix",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="hold a parameter at one value; method=NAME,… keeps only these arms",
    )
    search = p.add_argument_group("search")
    search.add_argument(
        "--trials",
        type=int,
        metavar="N",
        help="trials of all arms but baselines together (default: the question's own)",
    )
    search.add_argument(
        "--baseline-trials",
        type=int,
        metavar="N",
        help="trials of the baselines together (default: the question's own)",
    )
    search.add_argument(
        "--sampler", default="tpe", metavar="|".join(planning.SAMPLERS), help="Optuna sampler (default: tpe)"
    )
    search.add_argument(
        "--fid-budget", default="auto", metavar="auto|FID", help="bound on fid_delta (default: auto, see --dry-run)"
    )
    search.add_argument(
        "--confirm-seeds", type=int, default=3, metavar="N", help="fresh seeds a member is confirmed on (default: 3)"
    )
    search.add_argument(
        "--confirm-members", type=int, metavar="N", help="members confirmed in each arm (default: the question's own)"
    )
    models = p.add_argument_group("models and figures")
    models.add_argument(
        "--base-steps", type=int, default=1300, metavar="N", help="training steps of the base model (default: 1300)"
    )
    models.add_argument(
        "--samples-forgotten",
        type=int,
        default=128,
        metavar="N",
        help="images of the forgotten condition a score is over",
    )
    models.add_argument(
        "--samples-per-retained", type=int, default=50, metavar="N", help="images of each retained condition"
    )
    models.add_argument(
        "--fid-features", default="classifier", metavar="NAME", help="feature network: classifier, or inception"
    )
    models.add_argument(
        "--inception-weights", default="", metavar="FILE", help="inception-2015-12-05.pt, for --fid-features inception"
    )
    models.add_argument(
        "--inception-sha256", default="", metavar="HEX", help="its SHA-256, if it is not the published file"
    )
    models.add_argument(
        "--shadow-models",
        type=int,
        default=0,
        metavar="N",
        help="shadow models of the membership audit, each trained like the base model (default: 0, without)",
    )
    where = p.add_argument_group("where it runs")
    where.add_argument("--run-dir", metavar="DIR", help="the run folder (default: runs/SPACE-DATE-TIME)")
    where.add_argument(
        "--artifacts", default="runs/artifacts", metavar="DIR|URI", help="artifact store (default: runs/artifacts)"
    )
    where.add_argument(
        "--workers", type=int, metavar="N", help="trials at a time (default: one a core, or what the GPUs take)"
    )
    where.add_argument(
        "--gpus-per-trial",
        type=float,
        default=0.0,
        metavar="F",
        help="share of a GPU a trial gets (default: 0, the CPU)",
    )
    where.add_argument("--address", default="", metavar="ADDR", help="an existing Ray cluster; 'auto' on its head node")
    where.add_argument("--in-process", action="store_true", help="the same trials in this very process, for a debugger")
    where.add_argument(
        "--dry-run", action="store_true", help="print the whole plan with an estimate of its cost and exit"
    )
    where.add_argument("--verbose", action="store_true", help="let Ray, Optuna and warnings speak")
    return p


def plan_of(args: argparse.Namespace) -> Plan:
    """The plan the arguments ask for; UsageError where they do not make one."""
    if args.resume and args.space:
        raise UsageError("--space beside --resume: the run's own plan holds; leave it out, or start a new run")
    if args.resume:
        folder = records.run_folder(args.resume)
        plan = Plan.from_json(records.read_json(folder / "plan.json"), str(folder / "plan.json"))
        _refuse_flags_beside_resume(args)
        data_folder = args.data_folder and planning.absolute(args.data_folder)
        return planning.moved(plan, str(folder.resolve()), args.workers, args.address, args.in_process, data_folder)
    if not args.space:
        raise UsageError("--space NAME is needed (or --resume RUN); try --space dimum_robustness")
    fix = tuple(_pin(text) for text in args.fix)
    question = catalogue.load(args.space).fix(dict(fix))
    trials = question.trials if args.trials is None else args.trials
    return Plan(
        space=planning.absolute(args.space) if args.space.endswith(".py") else args.space,
        run_dir=args.run_dir or planning.default_run_dir(args.space),
        artifacts=planning.absolute(args.artifacts),
        data=args.data,
        data_folder=args.data_folder and planning.absolute(args.data_folder),
        image_size=args.image_size,
        data_limit=args.data_limit,
        forget=args.forget,
        seed=args.seed,
        trials=trials,
        baseline_trials=int(trials * question.baseline_share) if args.baseline_trials is None else args.baseline_trials,
        sampler=args.sampler,
        fid_budget=planning.parse_budget(args.fid_budget),
        fid_features=args.fid_features,
        inception_weights=args.inception_weights and planning.absolute(args.inception_weights),
        inception_sha256=args.inception_sha256,
        base_steps=args.base_steps,
        samples_forgotten=args.samples_forgotten,
        samples_per_retained=args.samples_per_retained,
        confirm_seeds=args.confirm_seeds,
        confirm_members=question.confirm_members if args.confirm_members is None else args.confirm_members,
        shadow_models=args.shadow_models,
        fix=fix,
        workers=_workers(args),
        gpus_per_trial=args.gpus_per_trial,
        address=args.address,
        in_process=args.in_process,
    )


def _refuse_flags_beside_resume(args: argparse.Namespace) -> None:
    """A resumed run keeps its plan: what decides figures cannot be changed in the middle, and is not silently ignored."""
    free = {"resume", "workers", "address", "in_process", "dry_run", "verbose", "data_folder"}
    for name, default in vars(parser().parse_args([])).items():
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
    try:
        plan = plan_of(args)
        space = planning.validate(plan)
        print(planning.describe(plan, space), flush=True)
        if args.dry_run:
            return 0
        planning.check_folders(plan, new=not args.resume)
        plan = planning.fingerprinted(plan)
        _quiet(args.verbose)
        # Heavy imports come this late on purpose: every mistake above costs a second, not twenty.
        from sweep.progress import Progress

        progress = Progress()
        progress.line("loading torch, Ray and Optuna")
        from sweep.prepare import check_members
        from sweep.run import run

        check_members(plan, space)
        if not args.resume:
            planning.create_run_dir(plan)
        return run(plan, space, progress).show()
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nstopped; go on with: python -m sweep.launch --resume {plan.run_dir}", file=sys.stderr)
        return 130


def _quiet(verbose: bool) -> None:
    if verbose:
        return
    warnings.filterwarnings("ignore")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    import logging

    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray").setLevel(logging.ERROR)


def _pin(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise UsageError(f"--fix {text}: write NAME=VALUE")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
