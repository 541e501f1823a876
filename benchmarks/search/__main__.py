"""Compare samplers, the gate and stopping rules on simulated sweeps.

    python -m benchmarks.search run --problem mixed --strategy tpe tpe+gate+stop --seeds 20 --core-seconds 2000 -o OUT
    python -m benchmarks.search table OUT
    python -m benchmarks.search paired OUT --against tpe --at 300 600 1000
    python -m benchmarks.search arms --family alike --strategy nehvi+margin joint+margin --seeds 20 --core-seconds 4000 -o OUT
    python -m benchmarks.search gate --problem mixed --strategy random --margin 0.5
    python -m benchmarks.search ask --problem mixed --strategy nehvi --trials 100 5000
    python -m benchmarks.search best --problem mixed
    python -m benchmarks.search errors --recording RUN

`run` goes on where it was stopped: a (problem, strategy, seed) that is there is not run again.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import optuna

from benchmarks.search.problems import PROBLEMS, best_known, problem
from benchmarks.search.staged import Problem
from sweep.errors import UsageError, command
from sweep.plan.plan import Plan


@command
def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # it tells of every study that is made
    args.command(args)
    return 0


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        "python -m benchmarks.search", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = p.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="simulate sweeps and keep what they did")
    _add_problem(run)
    run.add_argument(
        "--strategy",
        nargs="+",
        required=True,
        metavar="SAMPLER[+gate][+glance][+stop][+bound][+warm…]",
        help="what to run",
    )
    run.add_argument("--seeds", type=_positive, default=20, metavar="N", help="so many seeds of each (default: 20)")
    run.add_argument("--first", type=int, default=0, metavar="SEED", help="the first of them (default: 0)")
    _add_limits(run)
    run.add_argument("--count-asking", action="store_true", help="let the clock run while a sampler chooses")
    run.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder of the runs")
    run.set_defaults(command=_run)

    table = commands.add_parser("table", help="runs as Markdown, with intervals and paired ratios")
    table.add_argument("folder", type=Path, metavar="DIR", help="folder of the runs")
    table.add_argument(
        "--baseline", default="tpe", metavar="STRATEGY", help="what the others are compared with (default: tpe)"
    )
    table.set_defaults(command=_table)

    paired = commands.add_parser(
        "paired", help="hypervolume found against another strategy's, seed by seed, after core-seconds or trials"
    )
    paired.add_argument("folder", type=Path, metavar="DIR", help="folder of the runs")
    paired.add_argument("--against", required=True, metavar="STRATEGY", help="what the others are held against")
    paired.add_argument(
        "--at", nargs="*", type=_seconds, default=[300.0, 600.0, 1000.0], metavar="S", help="core-seconds"
    )
    paired.add_argument("--trials", nargs="+", type=_positive, default=[], metavar="N", help="trials that have ended")
    paired.set_defaults(command=_paired)

    arms = commands.add_parser("arms", help="sweeps of several arms: simulate, keep and compare them")
    arms.add_argument("--family", required=True, metavar="NAME", help="alike, unlike or methods")
    arms.add_argument("--strategy", nargs="+", required=True, metavar="S", help="as of run; joint: nehvi, one model")
    arms.add_argument("--seeds", type=_positive, default=20, metavar="N", help="so many seeds of each (default: 20)")
    arms.add_argument("--first", type=int, default=0, metavar="SEED", help="the first of them (default: 0)")
    _add_limits(arms)
    arms.add_argument("--at", nargs="+", type=_seconds, default=[1000.0, 2000.0], metavar="S", help="core-seconds")
    arms.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder of the runs")
    arms.set_defaults(command=_arms)

    hunt = commands.add_parser("hunt", help="trials until the first feasible one, by ways of hunting for it")
    hunt.add_argument("--problem", nargs="+", default=["c2-dtlz2"], metavar="NAME", help="or an arm's, alike.ascend")
    hunt.add_argument("--seeds", type=_positive, default=20, metavar="N", help="(default: 20)")
    hunt.add_argument("--trials", type=_positive, default=100, metavar="N", help="at most (default: 100)")
    hunt.set_defaults(command=_hunt)

    literature = commands.add_parser("literature", help="constrained problems of the literature, with a switch each")
    literature.add_argument("--problem", nargs="+", default=["osy", "welded-beam"], metavar="NAME")
    literature.add_argument(
        "--sampler", nargs="+", default=["nehvi", "tpe"], metavar="NAME", help="the last: to compare"
    )
    literature.add_argument("--seeds", type=_positive, default=20, metavar="N", help="(default: 20)")
    literature.add_argument("--trials", type=_positive, default=100, metavar="N", help="of a run (default: 100)")
    literature.set_defaults(command=_literature)

    gate = commands.add_parser("gate", help="what the gate saves, and what it loses")
    _add_problem(gate)
    gate.add_argument("--strategy", default="random", metavar="SAMPLER", help="whose ungated trials (default: random)")
    gate.add_argument(
        "--members", type=_positive, default=300, metavar="N", help="of the fronts, at least (default: 300)"
    )
    gate.add_argument(
        "--margin",
        type=float,
        default=Plan.gate_margin,
        metavar="SHARE",
        help=f"of a bound that it lets pass (default: {Plan.gate_margin:g}, as a sweep's)",
    )
    gate.add_argument("--glance", action="store_true", help="let it look at a few samples first")
    _add_limits(gate)
    gate.set_defaults(command=_gate)

    ask = commands.add_parser("ask", help="how long a sampler takes to choose a trial, and what it keeps in memory")
    _add_problem(ask, required=False)
    ask.add_argument("--family", metavar="NAME", help="all arms of a family (see arms), which take turns")
    ask.add_argument("--strategy", default="nehvi", metavar="SAMPLER", help="who chooses (default: nehvi)")
    ask.add_argument(
        "--trials", type=_positive, nargs="+", default=[100, 1000, 5000], metavar="N", help="told before it chooses"
    )
    ask.add_argument("--asks", type=_positive, default=20, metavar="N", help="choices timed at each (default: 20)")
    ask.add_argument("--seed", type=int, default=0)
    ask.set_defaults(command=_ask)

    best = commands.add_parser("best", help="search a problem without noise, and keep its best hypervolume")
    _add_problem(best, required=False)
    best.add_argument("--family", metavar="NAME", help="every arm's of a family (see arms), instead of a problem's")
    best.add_argument("--evaluations", type=_positive, default=40_000, metavar="N", help="(default: 40000)")
    best.set_defaults(command=_best)

    errors = commands.add_parser("errors", help="the surrogate's held-out errors on a recording")
    errors.add_argument("--recording", type=Path, required=True, metavar="DIR", help="run folder, or folder of tables")
    errors.add_argument("--arm", default="", help="of the recording's question (default: its first)")
    errors.set_defaults(command=_errors)
    return p


def _add_problem(p: argparse.ArgumentParser, required: bool = True) -> None:
    p.add_argument(
        "--problem", required=required, default="", metavar="NAME", help=f"{', '.join(PROBLEMS)} or recorded"
    )
    p.add_argument(
        "--recording", type=Path, metavar="DIR", help="of --problem recorded: run folder, or folder of tables"
    )
    p.add_argument("--arm", default="", help="of the recording's question (default: its first)")


def _add_limits(p: argparse.ArgumentParser) -> None:
    p.add_argument("--workers", type=_positive, default=4, metavar="W", help="trials side by side (default: 4)")
    p.add_argument(
        "--core-seconds", type=_seconds, default=2000.0, metavar="S", help="of all workers together (default: 2000)"
    )
    p.add_argument("--trials", type=_positive, default=100_000, metavar="N", help="begun at most (default: no limit)")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < 1e9:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return number


def _chosen(args: argparse.Namespace) -> Problem:
    return problem(args.problem, args.recording, args.arm)


def _run(args: argparse.Namespace) -> None:
    from benchmarks.code_version import last_commit
    from benchmarks.search import results
    from benchmarks.search.clock import Limits
    from benchmarks.search.strategies import Strategy

    strategies = [Strategy.parse(name) for name in args.strategy]
    chosen = _chosen(args)
    limits = Limits(args.core_seconds, args.workers, args.trials, count_asking=args.count_asking)
    options = results.Options(
        chosen.name, chosen.identity, args.workers, args.core_seconds, args.trials, args.count_asking,
        chosen.reference, best_known(chosen), last_commit(*results.CODE),
    )  # fmt: skip
    for seed in range(args.first, args.first + args.seeds):
        for strategy in strategies:
            if results.there(args.output, options, strategy.name, seed):
                continue
            started = time.perf_counter()
            run = strategy.simulate(chosen, seed, limits)
            results.write(args.output, options, strategy.name, seed, run)
            took = time.perf_counter() - started
            print(f"{chosen.name} {strategy.name} seed {seed}: {len(run.events)} trials in {took:.1f} s", flush=True)


def _table(args: argparse.Namespace) -> None:
    from benchmarks.search import results

    print(results.comparison(args.folder, args.baseline))


def _paired(args: argparse.Namespace) -> None:
    from benchmarks.search import paired

    print(paired.table(args.folder, args.against, args.at, args.trials))


def _gate(args: argparse.Namespace) -> None:
    from benchmarks.search import gating, judges
    from benchmarks.search.clock import Limits
    from benchmarks.search.strategies import Strategy

    strategy = Strategy.parse(args.strategy)
    if strategy.name != strategy.sampler:
        raise UsageError(
            f"--strategy {args.strategy}: the trials are those of a sampler alone, such as {strategy.sampler}"
        )
    limits = Limits(args.core_seconds, args.workers, args.trials)
    chosen = _chosen(args)
    judge = judges.gate(chosen, args.margin)
    print(gating.table(gating.gate_alone(chosen, strategy.sampler, args.members, limits, judge, args.glance)))


def _ask(args: argparse.Namespace) -> None:
    from benchmarks.search import arms, asking
    from benchmarks.search.baselines import make
    from benchmarks.search.clock import stream

    most = max(args.trials) + args.asks
    if args.family:
        lanes = arms.lanes(arms.family(args.family), args.strategy, args.seed, most)
        choosers = [asking.Chooser(lane.problem, lane.sampler) for lane in lanes]
    else:
        chosen = _chosen(args)
        choosers = [asking.Chooser(chosen, make(args.strategy, chosen, stream("sampler", args.seed), most)[0])]
    print(asking.table(asking.measure(choosers, args.trials, args.asks, args.seed)))


def _arms(args: argparse.Namespace) -> None:
    from benchmarks.search import arms
    from benchmarks.search.clock import Limits

    chosen = arms.family(args.family)
    limits = Limits(args.core_seconds, args.workers, args.trials)
    for seed in range(args.first, args.first + args.seeds):
        for strategy in args.strategy:
            started = time.perf_counter()
            if arms.run(chosen, strategy, seed, limits, args.output):
                print(f"{chosen.name} {strategy} seed {seed}: {time.perf_counter() - started:.1f} s", flush=True)
    print(arms.table(chosen, args.output, args.strategy[0], args.at))


def _hunt(args: argparse.Namespace) -> None:
    from benchmarks.search import arms, hunting

    problems = [arms.arm_problem(name) if "." in name else problem(name) for name in args.problem]
    print(hunting.table(problems, args.seeds, args.trials))


def _literature(args: argparse.Namespace) -> None:
    from benchmarks.search import literature

    print(literature.table(args.problem, args.sampler, args.seeds, args.trials))


def _best(args: argparse.Namespace) -> None:
    from benchmarks.search import arms, best

    chosen = arms.family(args.family).problems if args.family else (_chosen(args),)
    of = f"--family {args.family}" if args.family else f"--problem {args.problem}"
    command = f"python -m benchmarks.search best {of} --evaluations {args.evaluations}"
    for one in chosen:
        print(f"{one.name}: best known hypervolume {best.record(one, args.evaluations, command):.6g}", flush=True)


def _errors(args: argparse.Namespace) -> None:
    from benchmarks.search import recording, surrogate

    read = recording.read_recording(args.recording, args.arm)
    print(
        f"{len(read.vectors)} settings, {int(read.attacked.sum())} attacked to the end, {read.seeds} replicates; {read.noise}\n"
    )
    print(surrogate.table(recording.errors(read)))


if __name__ == "__main__":
    sys.exit(main())
