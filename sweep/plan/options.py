"""The options of the commands that run something, by group. What each means is decided where its value is used."""

from __future__ import annotations

import argparse
from typing import Any

from sweep.plan import plan as planning
from sweep.plan.plan import Plan


def add_question(p: argparse.ArgumentParser) -> None:
    """The options that say what is asked, and of which data."""
    what = p.add_argument_group("question")
    what.add_argument("--space", metavar="NAME", help="a search space by name, or the path of a file of your own")
    what.add_argument(
        "--resume", metavar="RUN", help="go on with the sweep in this run folder; nothing finished runs again"
    )
    what.add_argument(
        "--data", metavar="NAME", help="data set, by the README's table (default: the question's own, mostly digits)"
    )
    add_data(what)
    what.add_argument(
        "--forget",
        metavar="WHAT",
        help="classes by name or number (dress or 3,7; a number that is a class's name is that class), attribute:NAME, or "
        "instances:INDEX,… of the training images (default: the question's own)",
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
    what.add_argument(
        "--target",
        default="",
        metavar="METHOD|RUN:TRIAL",
        help="the unlearned model that a search of the attack attacks (default: the question's own)",
    )


def add_search(p: argparse.ArgumentParser) -> Any:
    """The options that say who searches, for how long, and what is stopped; returns their group."""
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
        "--sampler",
        default=Plan.sampler,
        metavar="|".join(planning.SAMPLERS),
        help=f"who chooses the trials (default: {Plan.sampler})",
    )
    search.add_argument(
        "--warm-start",
        nargs="+",
        default=[],
        metavar="RUN",
        help="earlier runs of this question, on other data perhaps, as a prior: see the README",
    )
    search.add_argument(
        "--max-hours", type=float, default=0.0, metavar="H", help="begin no trial after H hours (default: no limit)"
    )
    search.add_argument(
        "--max-core-hours", type=float, default=0.0, metavar="H", help="nor after H core-hours (default: no limit)"
    )
    search.add_argument(
        "--min-gain",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="nor when the next trials are expected to add less than this share of the hypervolume; nehvi alone can say "
        "(default: 0, never)",
    )
    search.add_argument(
        "--gate-margin",
        type=float,
        default=Plan.gate_margin,
        metavar="SHARE",
        help="stop before the attack what surely breaks a bound by more than this share of it; 0 stops all that surely breaks "
        f"one, and suits samplers without a model of the figures (default: {Plan.gate_margin:g})",
    )
    search.add_argument(
        "--stop-dominated",
        action="store_true",
        help="stop under attack what the front surely dominates (default: attack to the last rung)",
    )
    return search


def add_confirm(search: Any) -> None:
    """The options that say what is feasible and what is confirmed, in the group `search`."""
    search.add_argument(
        "--fid-budget", default="auto", metavar="auto|FID", help="bound on fid_delta (default: auto, see --dry-run)"
    )
    search.add_argument(
        "--confirm-seeds", type=int, default=3, metavar="N", help="fresh seeds a member is confirmed on (default: 3)"
    )
    search.add_argument(
        "--confirm-members", type=int, metavar="N", help="members confirmed in each arm (default: the question's own)"
    )
    search.add_argument(
        "--confirm",
        nargs="+",
        default=[],
        metavar="TRIAL",
        help="beside --resume: run these trials again too, on the fresh seeds of the confirm phase, and where they failed there",
    )
    search.add_argument(
        "--confirm-neighbours",
        type=int,
        metavar="N",
        help="trials beside them that broke a constraint by no more than noise may (default: the question's own)",
    )


def add_data(what: Any) -> None:
    """The options that say where a data set lies and how much of it is used, in the group `what`."""
    what.add_argument(
        "--data-folder", default="", metavar="DIR", help="where it lies; beside --resume, where it lies now"
    )
    what.add_argument(
        "--image-size", type=int, default=0, metavar="N", help="resize to N×N pixels (default: the data set's own size)"
    )
    what.add_argument(
        "--data-limit", type=int, default=0, metavar="N", help="at most N images of each split (default: 0, all)"
    )


def add_figures(p: argparse.ArgumentParser) -> None:
    """The options that say of which models and samples figures are; a relearning track has them too."""
    models = p.add_argument_group("models and figures")
    models.add_argument(
        "--base-size",
        metavar="SIZE",
        help="small, medium or large base model, trained here (default: what fits the images)",
    )
    models.add_argument(
        "--base-steps", type=int, metavar="N", help="training steps of the base model (default: its size's own)"
    )
    models.add_argument(
        "--base", default="", metavar="FOLDER|ID", help="a diffusers pipeline as the base model: its folder or hub id"
    )
    models.add_argument("--base-revision", default="", metavar="REV", help="revision of a hub id (default: its newest)")
    models.add_argument(
        "--base-classes",
        default="",
        metavar="N,N,…",
        help="the pipeline's classes that the conditions are, in their order",
    )
    models.add_argument(
        "--retrain-control",
        default="",
        metavar="FOLDER",
        help="the pipeline of a model that never saw what is forgotten, for --base",
    )
    models.add_argument(
        "--image-sampler",
        default="ddim",
        metavar="NAME",
        help="ddim or dpm-solver++: how images are drawn (default: ddim)",
    )
    models.add_argument("--sampling-steps", type=int, default=10, metavar="N", help="its steps an image (default: 10)")
    models.add_argument(
        "--guidance", type=float, default=1.0, metavar="W", help="classifier-free guidance (default: 1, without)"
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
        "--fid-features",
        default="classifier",
        metavar="NAME",
        help="feature network: classifier, efficientnet or inception",
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


def add_place(p: argparse.ArgumentParser, run_dir: str) -> Any:
    """The options that say where it runs; returns their group."""
    where = p.add_argument_group("where it runs")
    where.add_argument(
        "--storage",
        default="",
        metavar="DIR|URI",
        help="folder, or object store such as s3://BUCKET/PREFIX, that runs and artifacts are kept in (default: runs)",
    )
    where.add_argument(
        "--run-dir", metavar="DIR", help=f"the run folder (default: {run_dir}, in --storage if a folder)"
    )
    where.add_argument(
        "--artifacts", default="", metavar="DIR|URI", help="artifact store (default: artifacts, in --storage)"
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
    where.add_argument(
        "--gpu-type", default="", metavar="TYPE", help="only GPUs of this type, by Ray's name: A10G, A100, H100, …"
    )
    where.add_argument("--address", default="", metavar="ADDR", help="an existing Ray cluster; 'auto' on its head node")
    where.add_argument("--in-process", action="store_true", help="the same trials in this very process, for a debugger")
    where.add_argument(
        "--trial-timeout",
        type=float,
        default=3600.0,
        metavar="S",
        help="a trial without a report for S seconds is hung: its process is killed, it is recorded as FAIL (default: 3600; "
        "0: never)",
    )
    return where
