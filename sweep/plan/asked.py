"""What a sweep's and a track's command line ask for alike, as values of a plan."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from sweep.errors import UsageError
from sweep.plan import base_models
from sweep.plan import plan as planning
from sweep.plan.plan import Plan

if TYPE_CHECKING:
    pass


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
