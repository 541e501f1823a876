"""Run a relearning track, or compare two: ``python -m sweep.track``. Parses, plans, runs, prints; has no logic of its own."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sweep.errors import Parser, UsageError, command, resumable
from sweep.plan import credentials, flags, folders, members
from sweep.plan.asked import artifacts_of, place_of, resumed
from sweep.plan.options import Call
from sweep.plan.paths import default_run_dir
from sweep.plan.place import Place
from sweep.plan.plan import pin
from sweep.plan.run import RunPlan
from sweep.plan.words import wrapped
from sweep.records import read_json
from sweep.records.claim import claimed
from sweep.records.folder import only_driver, write_json
from sweep.relearning import plan_words
from sweep.relearning.procedure import setup_class
from sweep.relearning.setup import Setup
from sweep.terminal.lines import Progress
from sweep.terminal.quiet import quiet
from sweep.track import plan as tracks
from sweep.track.plan import ALL, Entry, TrackPlan
from trainables.forgetting import class_text, parse_forget
from trainables.members import no_question
from trainables.registry import outside

TRACK = "track"
# Flags that a track has no use for, or that say something else in it: it has its own of the latter.
MOST_FAULTS = 20  # of one file that are told
OTHERWISE = {"target", "held_settings", "forget", "fid_budget", "confirm", "log_format"}

EPILOG = """\
examples:
  python -m sweep.track --methods dimum label_swap --forget 3 --seeds 3     two methods, every attack, one class
  python -m sweep.track --methods all --attacks all --forget all --seeds 3   the whole track
  python -m sweep.track --from runs/methods_vs_dimra-… --forget 3            the best settings a sweep found
  python -m sweep.track --model unlearned/ --forget 3                        a model of your own, unlearned elsewhere
  python -m sweep.track --resume runs/track-…                                go on with one that was stopped
  python -m sweep.track compare runs/track-A runs/track-B                    line by line, or why not
  python -m sweep.track validate results.json                                whether it is a track's results
  python -m sweep.track merge runs/track-A theirs.json merged/               one leaderboard of several
"""


def parser() -> argparse.ArgumentParser:
    p = Parser("python -m sweep.track", description="Run a relearning track.", epilog=EPILOG,
                                formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    what = p.add_argument_group(TRACK)
    what.add_argument(
        "--fix",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of every method of --methods, in place of its file's",
    )
    what.add_argument(
        "--methods", nargs="+", metavar="NAME", help="unlearning methods at their files' settings, or all"
    )
    what.add_argument(
        "--from", dest="sweep", metavar="RUN", help="the best confirmed settings of each arm of this sweep"
    )
    what.add_argument(
        "--model",
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="unlearned models of someone's own, as diffusers pipelines",
    )
    what.add_argument("--attacks", nargs="+", default=[ALL], metavar="NAME", help="attacks of the suite (default: all)")
    what.add_argument(
        "--forget",
        nargs="+",
        metavar="WHAT",
        help="what to forget, each in turn; all: every class (default: 3, or the data's own)",
    )
    parts = (TrackPlan, RunPlan, setup_class(), Place, Call)
    flags.add(p, parts, leave=OTHERWISE, titles={flags.QUESTION: TRACK})
    return p


def plan_of(args: argparse.Namespace, tell: Callable[[str], None] = lambda _: None) -> TrackPlan:
    """The track the arguments ask for; UsageError where they do not make one. `tell` hears how far a look at the data is."""
    if args.resume:
        return _resumed(args)
    if not (args.methods or args.sweep or args.model):
        raise UsageError("--methods NAME … is needed, or --from RUN, --model FOLDER or --resume RUN; try --methods all")
    no_question()
    brought = flags.values(RunPlan, args)["members"]
    members.use(brought)
    run_dir = args.run_dir or default_run_dir(args.storage, "track")
    kind = setup_class()
    asked = args.forget or [""]
    of_first = {} if ALL in asked else {"forget": asked[0]}
    setup = kind.asked(flags.values(kind, args, leave=OTHERWISE) | of_first, tell)
    run = RunPlan(run_dir, artifacts_of(args), args.seed, brought, place_of(args), setup=setup)
    forgets = _forgets(args.forget or [setup.forget], setup)
    entries = tracks.from_sweep(args.sweep) if args.sweep else []
    entries += [tracks.own_model(folder) for folder in args.model]
    settings = dict(_setting(text) for text in args.fix)
    changed = "".join(f", {name} {value}" for name, value in settings.items())
    names_brought = {one.name for one in outside()}
    methods = _methods(args.methods or [], run, forgets)
    for name in methods:
        entries.append(
            Entry(name, name, settings, source=("own file" if name in names_brought else "shipped") + changed)
        )
    return TrackPlan(run, tuple(entries), tracks.chosen_attacks(args.attacks), tuple(forgets), args.seeds, args.steps)


def _setting(text: str) -> tuple[str, Any]:
    """A setting's name and value: a number, true or false, or a word."""
    name, value = pin(text)
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _resumed(args: argparse.Namespace) -> TrackPlan:
    path = Path(args.resume) / "track.json"
    if not path.is_file():
        raise UsageError(f"--resume {args.resume}: is not a track's folder (it has no track.json)")
    plan = TrackPlan.from_json(read_json(path), str(path))
    return dataclasses.replace(plan, run=resumed(plan.run, Path(args.resume), args, parser()))


def _forgets(asked: list[str], setup: Setup) -> list[str]:
    """What to forget, each in turn and once, in the one spelling that rows have.

    ``all``: every class or every attribute, of prompts every label of the first facet.
    """
    data = setup.dataset()
    if ALL in asked:
        if data.unconditional:
            raise UsageError(f"--forget all: {setup.data} has no classes; write instances:INDEX,…")
        labels = [f"{facet.name}:{label}" for facet in data.facets[:1] for label in facet.labels]
        asked = labels or [f"attribute:{a}" for a in data.attributes] or [class_text(c, data) for c in data.present]
    try:
        return list(dict.fromkeys(parse_forget(text, data).text for text in asked))
    except ValueError as error:
        raise UsageError(f"--forget {error}") from error


def _methods(asked: list[str], run: RunPlan[Setup], forgets: list[str]) -> list[str]:
    """The methods asked for; of all there are, those that can forget this, Meta-Unlearning around DiMUM among them."""
    if ALL not in asked:
        return asked
    from sweep.track.run import able, experiments_of
    from trainables.unlearning import METHODS

    experiments = experiments_of(TrackPlan(run, (), (), tuple(forgets)))
    return able([*METHODS.names(), *(f"{wrapper}(dimum)" for wrapper in METHODS.wrappers.names())], experiments)


def describe(plan: TrackPlan) -> str:
    """The whole track in words."""
    setup = plan.run.setup
    data = setup.dataset()
    data_facts = ", ".join(plan_words.data_facts(data, setup.data_limit, setup.data_folder))
    n = plan.seeds * len(plan.forgets) * (len(plan.entries) + len(tracks.CONTROLS))
    attacks = f"{len(plan.suite)} attack{'s' if len(plan.suite) != 1 else ''}"
    lines = [
        f"data        {data_facts}; seeds {', '.join(map(str, plan.replicate_seeds))}",
        *(line for heading, text in plan_words.folder_facts(data) for line in wrapped(heading, text)),
        *wrapped("forget", "; ".join(plan_words.forget_text(forget, data) for forget in plan.forgets)),
        *(wrapped("members", from_outside) if (from_outside := members.text()) else []),
        *wrapped("methods", ", ".join(f"{e.name} ({e.source})" for e in plan.entries)),
        *wrapped("attacks", ", ".join(a.name + ("" if a.counts else " (does not count)") for a in plan.suite)),
        f"rungs       {', '.join(map(str, plan.rungs))}",
        f"samples     {setup.samples_forgotten} of what is forgotten, {setup.samples_per_retained} of each "
        f"retained condition; features: {setup.fid_features}",
        f"replicates  {n}, controls included, {attacks} each; {plan.place.workers} at a time",
        f"artifacts   {plan.run.artifacts}",
        f"run         {plan.run_dir}",
    ]
    return "\n".join(lines)


@command
def main(argv: Sequence[str] | None = None) -> int:
    argv = list(sys.argv[1:] if argv is None else argv)
    with resumable("sweep.track") as begun:
        if argv[:1] and argv[0] in OF_RESULTS:
            return OF_RESULTS[argv[0]](argv[1:])
        args = parser().parse_args(argv)
        credentials.refuse(args)
        progress = Progress(verbose=args.verbose)
        plan = plan_of(args, progress.if_quiet)
        begun.plan = Path(plan.run_dir) / "track.json"
        tracks.validate(plan)
        print(describe(plan), flush=True)
        if args.resume:
            from sweep.driver.store_place import check_store

            if lost := check_store(Path(plan.run_dir), plan.run.artifacts, bool(args.artifacts)):
                print(lost, flush=True)
        folders.check_folders(plan.run, new=bool(args.run_dir), holds="track.json")
        plan = dataclasses.replace(plan, run=plan.run.but(setup=plan.run.setup.fingerprinted()))
        quiet(args.verbose)
        if args.dry_run:  # what it lets pass, runs: methods and data are asked too
            from sweep.track.run import check_members

            check_members(plan)
            return 0
        plan.place.check_gpus()
        plan = _begun(plan, args, progress)
        begun.plan = Path(plan.run_dir) / "track.json"
        return _run(plan, progress)


def _begun(plan: TrackPlan, args: argparse.Namespace, progress: Progress) -> TrackPlan:
    """The track checked by its methods and data, in the folder that it got; a resumed one has its own."""
    progress.line("loading torch and Ray")
    from sweep.driver.store_place import record_store
    from sweep.relearning.experiments import experiment_of, resolved
    from sweep.track.run import check_members, refuse_other_code

    with progress.while_busy(lambda: progress.line("checking methods and data")):
        check_members(plan)
    if args.resume:
        with only_driver(Path(plan.run_dir)):  # a driver that is refused changes nothing
            refuse_other_code(plan)
            record_store(Path(plan.run_dir), plan.run.artifacts, "track.json")
        return plan
    setup = plan.run.setup
    run = plan.run.but(setup=resolved(setup, experiment_of(setup, plan.run.artifacts, plan.place)))
    with claimed(Path(plan.run_dir), "track.json", named=bool(args.run_dir)) as folder:
        placed = dataclasses.replace(plan, run=folders.placed(run, folder))
        members.keep(folder)
        write_json(folder / "track.json", placed.to_json())
    if placed.run_dir != plan.run_dir:
        progress.line(f"run: {plan.run_dir} was taken meanwhile; this one is {placed.run_dir}")
    return placed


def _run(plan: TrackPlan, progress: Progress) -> int:
    from sweep.track import leaderboard, run

    run.run(plan, progress)
    return leaderboard.show(Path(plan.run_dir))


def _compare(argv: Sequence[str]) -> int:
    p = Parser(
        "python -m sweep.track compare", description="Compare two tracks line by line, or say why they cannot be."
    )
    p.add_argument("a", metavar="A", help="a track's folder")
    p.add_argument("b", metavar="B", help="another's")
    args = p.parse_args(argv)
    from sweep.track import leaderboard

    print(leaderboard.compare(Path(args.a), Path(args.b)), end="")
    return 0


def _validate(argv: Sequence[str]) -> int:
    p = Parser(
        "python -m sweep.track validate",
        description="Say whether files are a track's results, as sweep/track/results.schema.json has them.",
    )
    p.add_argument("files", nargs="+", metavar="FILE", help="a results.json, or a track's folder")
    from sweep.track import results_file

    wrong = 0
    for place in p.parse_args(argv).files:
        path = results_file.file_of(place)
        try:
            results = results_file.content(path)
            faults = results_file.faults(results)
        except UsageError as error:
            print(error, file=sys.stderr)
            wrong += 1
            continue
        for fault in faults[:MOST_FAULTS]:
            print(f"{path}: {fault}", file=sys.stderr)
        if len(faults) > MOST_FAULTS:
            print(f"{path}: and {len(faults) - MOST_FAULTS} more", file=sys.stderr)
        if not faults:
            print(f"{path}: {results_file.summary(results)}")
        wrong += bool(faults)
    if wrong:
        raise UsageError(f"{wrong} of the files named {'is' if wrong == 1 else 'are'} no track's results")
    return 0


def _merge(argv: Sequence[str]) -> int:
    p = Parser(
        "python -m sweep.track merge", description="Make one leaderboard of several tracks' results, or say why not."
    )
    p.add_argument("files", nargs="+", metavar="FILE", help="a results.json, or a track's folder; two at least")
    p.add_argument("folder", metavar="OUT", help="a new folder for the leaderboard; one that holds files is refused")
    args = p.parse_args(argv)
    folder = Path(args.folder)
    if len(args.files) < 2:
        raise UsageError("name two files at least, and the new folder: merge A B … OUT")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: exists and is not an empty folder; a leaderboard is written in one of its own")
    from sweep.track import leaderboard

    print(leaderboard.merge(args.files, folder), end="")
    return 0


OF_RESULTS = {"compare": _compare, "validate": _validate, "merge": _merge}


if __name__ == "__main__":
    sys.exit(main())
