"""The paper's audits beside the one-run audit: ``python -m benchmarks.federated_audits`` prints the tables of federated_audits.md.

ASSD and ASIF (arXiv 2404.09722) train pairs of models of one seed, on a table with one row, the target, and on the table without
it, and a forest is to tell them apart: by synthetic rows, or by the parties' critics. The one-run audit (arXiv 2305.08846) reads
the first pair's model with the target, whose table has canaries, each in by its coin. Both see models of the same settings, and
as many synthetic rows. The target is chosen by the table alone, and printed before any model is trained.

What audits take of a trained model is kept in the artifact store, under the hash of its rows, settings, seed and code, so a run
that was stopped goes on, and a second one only attacks and prints.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.audited_models import CRITICS, PUBLISHED, Case, Model, Table, make, table, taken
from search_spaces import vflgan_privacy
from sweep.errors import UsageError, command, listen_to_signals
from trainables.federated.audits.intervals import auc_interval
from trainables.federated.audits.one_run import Run, views
from trainables.federated.audits.shadow_models import FEWEST_PAIRS, forest_attack
from trainables.federated.products.floors import drawn
from trainables.sampling.seeds import stream
from trainables.store import Store, Tensors

Result = dict[str, Any]
REAL, REPEATED = "real", "repeated"
FOREST_SEED = 1
PAIRS, STEPS, COPIES = 32, 300, 30
WITH, WITHOUT = "with", "without"
CLAIMED, PROVEN = (10.0,), (100.0,)
LADDER = tuple(point["target_epsilon"] for point in vflgan_privacy.VFLGAN.start_points)
CASES = (REAL, "none", REPEATED, "published", "record")  # in the order in which they are asked
DATA = {"breast_cancer": CASES, "digits": (REAL, "none"), "wine": CASES}  # with the cases that are usual of each
USUAL = ("breast_cancer", "digits")


def cases(
    data: Sequence[str], asked: Sequence[str], claimed: Sequence[float], proven: Sequence[float], steps: int
) -> list[Case]:
    """The cases `asked` for of each data set, or those that are usual of it."""
    listed = []
    for name in data:
        for case in [c for c in CASES if c in (asked or DATA[name])]:
            if case == REPEATED:
                listed.append(Case(name, "none", steps, copies=COPIES))
            else:
                epsilons = {"published": claimed, "record": proven}.get(case, [None])
                listed += [Case(name, case, steps, epsilon) for epsilon in epsilons]
    return listed


def models_of(case: Case, pairs: int) -> dict[str, list[Model]]:
    """Those with the target, and those without it, seed by seed."""
    seeds = range(1, pairs + 1)
    return {side: [Model(case, n, seed) for seed in seeds] for side, n in ((WITH, case.copies), (WITHOUT, 0))}


def train(root: str, case: Case, pairs: int, workers: int) -> list[str]:
    """Train what is not kept yet, and say of each that it ended; a line for each that failed."""
    models = [model for side in models_of(case, pairs).values() for model in side]
    failed = []
    for number, (model, cause) in enumerate(ended(root, models, workers), 1):
        said = f"seed {model.seed} {WITH if model.copies else WITHOUT} the target {cause}".strip()
        print(f"{case.name}: {number}/{len(models)} {said}", file=sys.stderr, flush=True)
        failed += [said] * bool(cause)
    return failed


def ended(root: str, models: Sequence[Model], workers: int) -> Iterator[tuple[Model, str]]:
    """Each model as it is trained, with why it failed: here, or in several processes."""
    if workers == 1:
        for model in models:
            yield model, make(root, model)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(make, root, model): model for model in models}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            pool.shutdown(cancel_futures=True)  # after Ctrl-C, what has not begun does not begin


def kept(store: Store, model: Model) -> tuple[Tensors, Result]:
    """What audits take of a trained model; or of private rows, as many of which are drawn as are in whatever the coins say."""
    if model.case.mechanism != REAL:
        artifact = store.get(model.key)
        return artifact.tensors(), artifact.facts
    seed = stream(model.seed, "published")
    return taken(model.table, drawn(model.table.rows(model.copies), model.table.canaries.fewest, seed), None)


def audit(store: Store, case: Case, pairs: int) -> Result:
    """A case whose models are trained: a row for each of the forest's attacks, and for each view of the one-run audit."""
    models = {side: [kept(store, model) for model in models] for side, models in models_of(case, pairs).items()}
    features = {side: [tensors for tensors, _ in of] for side, of in models.items()}
    facts = [facts for of in models.values() for _, facts in of]
    rows = [*shadow_rows(features, table(case.data).delta)]
    if case.copies == 1:  # canaries are in once, and tell nothing of what is in more often
        rows += one_run_rows(features[WITH][0], facts[0]["scores_s"], table(case.data))
    seconds = {name: sum(fact.get(name, 0.0) for fact in facts) for name in ("training_s", "features_s")}
    return result(case, pairs) | seconds | {"rows": rows, "privacy": facts[0].get("privacy")}


def result(case: Case, pairs: int) -> Result:
    return {"case": asdict(case), "name": case.name, "pairs": pairs, "rows": [], "failed": []}


def shadow_rows(features: Mapping[str, Sequence[Tensors]], delta: float) -> Iterator[Result]:
    """ASSD by each feature of published rows, ASIF by each of critics. Any may be quoted: their ε hold together."""
    names = [name for name in features[WITH][0] if name.partition("/")[0] in (PUBLISHED, CRITICS)]
    for view in (PUBLISHED, CRITICS):
        for name in [name for name in names if name.startswith(f"{view}/")]:
            began = time.process_time()
            with_row, without = (np.stack([tensors[name] for tensors in features[side]]) for side in (WITH, WITHOUT))
            attack = forest_attack(with_row, without, FOREST_SEED, delta, looks=len(names))
            yield {
                "audit": "ASSD" if view == PUBLISHED else "ASIF",
                "view": view,
                "by": name.partition("/")[2],
                "right": attack.right,
                "guesses": attack.models,
                "share": attack.accuracy,
                "interval": [attack.low, attack.high],
                "epsilon": attack.epsilon,
                "ceiling": attack.ceiling,
                "core_s": time.process_time() - began,
            }


def one_run_rows(tensors: Tensors, scores_s: float, table: Table) -> Iterator[Result]:
    """The one-run audit of one model, a row a view. Any may be quoted: their ε hold together.

    The AUC is of the view's first score, whichever gave the bound.
    """
    began, included = time.process_time(), table.canaries.included
    by_view: dict[str, dict[str, np.ndarray]] = {}
    for name, values in tensors.items():
        place, _, score = name.partition("/")
        if place.endswith(" score"):
            by_view.setdefault(place.removesuffix(" score"), {})[score] = values
    bounds = views({view: [Run(of, included)] for view, of in by_view.items()}, table.delta)
    seconds = (time.process_time() - began + scores_s) / len(by_view)
    for view in (view for view in (PUBLISHED, CRITICS) if view in by_view):
        first, bound = next(iter(by_view[view].values())), bounds[view]
        area, *interval = auc_interval(first[included], first[~included])
        yield {
            "audit": "one run",
            "view": view,
            "by": bound.score,
            "right": bound.right,
            "guesses": bound.guesses,
            "auc": area,
            "interval": interval,
            "epsilon": bound.epsilon,
            "ceiling": bound.ceiling,
            "core_s": seconds,
        }


def announced(case: Case, pairs: int) -> str:
    """What is settled before any model is trained."""
    rows = table(case.data)
    said = (
        f"{len(rows.members)} rows; {len(rows.canaries)} canaries, {int(rows.canaries.included.sum())} of them in. The target is "
        f"{rows.distance:.3g} from its nearest neighbour, rows' median {rows.median:.3g}. "
    )
    if case.mechanism == REAL:
        return f"{said}Published: {rows.canaries.fewest} of the rows; {pairs} draws with the target in the table, {pairs} without."
    schedule = case.recipe(len(rows.members)).schedule
    return f"{said}{pairs} pairs of models, {schedule.steps} critic steps, batch {schedule.batch}."


HEAD = ("audit", "of", "by", "right", "share right or AUC", "ε ≥", "at most", "core-s")


def lines(audited: Result) -> Iterator[str]:
    """A case's table in Markdown, and what is `spent` of models."""
    yield "| " + " | ".join(HEAD) + " |"
    yield "|" + "---|" * len(HEAD)
    for row in audited["rows"]:
        estimate = f"AUC {row['auc']:.2f}" if "auc" in row else f"{row['share']:.2f}"
        low, high = row["interval"]
        cells = [row["audit"], row["view"], row["by"], f"{row['right']} of {row['guesses']}"]
        cells += [f"{estimate} [{low:.2f}, {high:.2f}]", *(f"{row[name]:.2f}" for name in ("epsilon", "ceiling"))]
        yield "| " + " | ".join([*cells, f"{row['core_s']:.1f}"]) + " |"
    if audited["privacy"]:
        yield ""
        yield from spent(audited)


def spent(audited: Result) -> Iterator[str]:
    """What a case's trainings cost, in time and in ε, and how many bounds exceed a proven ε."""
    yield (
        f"Besides, ASSD and ASIF took {2 * audited['pairs']} trainings, {audited['training_s']:.0f} core-s together, and "
        f"{audited['features_s']:.0f} core-s for their features; the one-run audit took no training of its own."
    )
    privacy = audited["privacy"]
    if privacy["noise_multiplier"] == 0:
        return
    proven, said = privacy["epsilon"], f"σ {privacy['noise_multiplier']:.3g}, δ {privacy['delta']:.2g}: "
    if proven is None:
        yield f"{said}ε {privacy['claimed_epsilon']:.2f} is claimed, and none proven."
        return
    above = sum(row["epsilon"] > proven for row in audited["rows"])
    yield f"{said}ε {proven:.2f} is proven; {above} of {len(audited['rows'])} bounds are above it."


def ask(root: str, case: Case, pairs: int, workers: int) -> Result:
    """One case, printed: what is settled before any training, the rest after all."""
    print(f"\n## {case.name}\n\n{announced(case, pairs)}\n", flush=True)
    failed = train(root, case, pairs, workers) if case.mechanism != REAL else []
    if failed:
        print(f"Not audited, for {len(failed)} of {2 * pairs} trainings failed: {failed[0]}", flush=True)
        return result(case, pairs) | {"failed": failed}
    audited = audit(Store(root), case, pairs)
    print("\n".join(lines(audited)), flush=True)
    return audited


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0] + ".")
    parser.add_argument("--artifacts", default="runs/artifacts", help="artifact store (default: %(default)s)")
    parser.add_argument(
        "--data", nargs="*", default=list(USUAL), choices=list(DATA), help=f"data sets (default: {', '.join(USUAL)})"
    )
    parser.add_argument(
        "--cases",
        nargs="*",
        default=[],
        choices=CASES,
        help=f"mechanisms, and controls in which there is something to be seen: {REAL}, private rows are published; {REPEATED}, "
        f"the target is in {COPIES} times (default: all, of digits {' and '.join(DATA['digits'])})",
    )
    parser.add_argument("--claimed", nargs="*", type=float, default=CLAIMED, help="ε of published (default: 10)")
    parser.add_argument(
        "--proven", nargs="*", type=float, default=PROVEN, choices=LADDER, help="ε of record (default: 100)"
    )
    parser.add_argument(
        "--pairs", type=int, default=PAIRS, help="models with the target, and without (default: %(default)s)"
    )
    parser.add_argument("--steps", type=int, default=STEPS, help="critic steps of each model (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="also write every figure as JSON")
    args = parser.parse_args()
    for name, least in (("pairs", FEWEST_PAIRS), ("steps", 1), ("workers", 1)):
        if getattr(args, name) < least:
            raise UsageError(f"--{name} {getattr(args, name)}: give {least} or more")
    for epsilon in args.claimed:
        if not 0 < epsilon < math.inf:
            raise UsageError(f"--claimed {epsilon:g}: give a positive, finite ε")
    listen_to_signals()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    root = os.path.abspath(args.artifacts)
    asked = cases(args.data, args.cases, args.claimed, args.proven, args.steps)
    results = [ask(root, case, args.pairs, args.workers) for case in asked]
    if args.json:
        Path(args.json).write_text(json.dumps(results, indent=1) + "\n")
    return int(any(result["failed"] for result in results))


if __name__ == "__main__":
    sys.exit(command(main)())
