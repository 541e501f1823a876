"""From a command line to the plan that it asks for: new, or a run's own that goes on."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sweep import procedures, records
from sweep.errors import UsageError
from sweep.plan import flags, members
from sweep.plan.options import Call
from sweep.plan.paths import absolute, default_run_dir, in_storage, own_artifacts
from sweep.plan.place import Place, default_workers
from sweep.plan.plan import Plan
from sweep.plan.run import RunPlan
from sweep.procedures.setup import Setup, SetupT
from sweep.space import SearchSpace, find

LOGGERS = ("mlflow", "wandb")  # their flags, too, may stand beside --resume: no figure depends on them


def procedure_of(argv: Sequence[str] | None) -> str:
    """The procedure whose flags a command line is read by: that of its question, or of the run that goes on.

    UsageError where neither can be read. What is wrong with a path itself, or with both at once, is told once the command
    line is read.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    space, run = _value_of("--space", given), _value_of("--resume", given)
    wants_help = not {"-h", "--help"}.isdisjoint(given)
    elsewhere = bool(run and _value_of("--cluster", given))  # the run's folder is on the cluster
    if (space and run) or elsewhere or "\0" in space + run:
        return procedures.DEFAULT
    try:
        if space:
            return find.load(space).procedure
        if run:
            plan = records.read_json(records.run_folder(run) / "plan.json")
            name = plan.get("procedure", procedures.DEFAULT) if isinstance(plan, dict) else procedures.DEFAULT
            return procedures.named(str(name)).name
    except (OSError, ValueError):
        return procedures.DEFAULT
    except UsageError:
        if not wants_help:
            raise
    return procedures.DEFAULT


def with_preset(argv: Sequence[str] | None) -> list[str]:
    """The command line with the flags of its preset before it, so that what was typed wins. UsageError for an unknown preset.

    What is wrong with the question itself, or with a path, is told once the command line is read.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    preset, space = _value_of("--preset", given), _value_of("--space", given)
    if not (preset and space) or "\0" in space:
        return given
    return [*find.load(space).preset_named(preset).flags, *given]


def _value_of(option: str, given: Sequence[str]) -> str:
    """What stands behind an option on a command line that is not read yet; empty where it does not."""
    for word, after in zip(given, [*given[1:], ""], strict=False):
        name, equals, value = word.partition("=")
        if len(name) > 3 and option.startswith(name):  # the parser takes a beginning that is no other's too
            return value if equals else after
    return ""


def plan_of(
    args: argparse.Namespace, known: argparse.ArgumentParser, tell: Callable[[str], None] = lambda _: None
) -> Plan[Setup]:
    """The plan the arguments ask for; UsageError where they do not make one.

    `known` parsed them; `tell` hears how far it is where a look at the data takes long.
    """
    if args.resume and args.space:
        raise UsageError("--space beside --resume: the run's own plan holds; leave it out, or start a new run")
    if args.resume:
        folder = records.run_folder(args.resume)
        plan = Plan.from_json(records.read_json(folder / "plan.json"), str(folder / "plan.json"))
        return dataclasses.replace(plan, run=resumed(plan.run, folder, args, known))
    if args.confirm:
        raise UsageError("--confirm: is for a run that has searched; name it with --resume RUN")
    if not args.space:
        raise UsageError("--space NAME is needed (or --resume RUN); try --space dimum_robustness")
    values, brought = flags.values(Plan, args), flags.values(RunPlan, args)["members"]
    space = find.load(args.space).preset(args.preset)
    members.use(brought, args.space)
    kind = procedures.named(space.procedure).setup()
    setup = kind.asked(_questions_own(kind, space) | flags.values(kind, args), tell)
    question = setup.question(space).fix(dict(values["fix"]))
    values = _questions_own(Plan, question) | values
    values.setdefault("baseline_trials", int(values["trials"] * question.baseline_share))
    run_dir, artifacts = args.run_dir or default_run_dir(args.storage, args.space), artifacts_of(args)
    if args.keep == "front" and not args.artifacts:  # what is removed of a store of its own, nobody else misses
        artifacts = absolute(own_artifacts(args.storage, run_dir))
    run = RunPlan(run_dir, artifacts, args.seed, brought, place_of(args), setup=setup)
    return Plan(**values, run=run)


def resumed(
    plan: RunPlan[SetupT], folder: Path, args: argparse.Namespace, known: argparse.ArgumentParser
) -> RunPlan[SetupT]:
    """A run's own plan in the folder where it lies now, with what may be given anew; its figures stay the same."""
    refuse_flags_beside_resume(args, known, type(plan.setup))
    return plan.but(run_dir=str(folder.resolve()), **flags.again((RunPlan, Place, type(plan.setup)), args))


def refuse_flags_beside_resume(args: argparse.Namespace, known: argparse.ArgumentParser, setup: type[Setup]) -> None:
    """A resumed run keeps its plan: what decides figures cannot be changed in the middle, and is not silently ignored."""
    free = flags.free((RunPlan, Place, setup, Call)).union(LOGGERS)
    for action in known._actions:
        if action.dest in args.typed - free:
            option = "--" + action.dest.replace("_", "-")
            raise UsageError(f"{option} beside --resume: the run's own plan holds; leave it out, or start a new run")


def artifacts_of(args: argparse.Namespace) -> str:
    """The artifact store asked for, or the one that the runs of a storage share."""
    return absolute(args.artifacts or in_storage(args.storage, "artifacts"))


def place_of(args: argparse.Namespace) -> Place:
    """The place asked for, with as many trials at a time as this machine takes unless it is said."""
    if args.workers is None and args.address:
        raise UsageError("--address needs --workers N: how many trials at a time the cluster may grow to")
    values = flags.values(Place, args)
    if args.workers is None:
        values["workers"] = default_workers(args.gpus_per_trial)
    return Place(**values)


def _questions_own(part: Any, question: SearchSpace) -> dict[str, Any]:
    """What the question says of the fields of a part whose flags have no default, such as its trials and its data."""
    names = [name for name, declared in flags.flags_of(part) if declared.arguments["default"] is None]
    return {name: getattr(question, name) for name in names if hasattr(question, name)}
