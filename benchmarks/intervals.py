"""How intervals over seeds cover, moderated by other trials and not: simulated, and on recorded trials with a seed left out.

python -m benchmarks.intervals simulated        normal figures and shares, equal and unequal variances, 3 to 5 seeds
python -m benchmarks.intervals recorded         benchmarks/search/recorded: two seeds tell the third, 8 trials at a time
python -m benchmarks.intervals differences      of two trials of unequal damage, whose noise grows with it
python -m benchmarks.intervals control          of a trial and a control that varies less, as much, or more than trials do
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from scipy.special import expit, logit, stdtrit

from sweep.errors import command
from sweep.statistics.estimates import Estimate, estimate
from sweep.statistics.moderated import Moderated
from sweep.statistics.shares import Point, share_difference, share_estimate

Table = dict[str, dict[int, Point]]

BUDGET = 4.87  # the recording's FID budget
FIGURES = {
    "fid_delta": 0,
    "kid": 0,
    "robustness": 128,
    "unlearning_accuracy": 128,
    "retain_accuracy": 450,
}  # N of a share


def normal(rng: np.random.Generator, trials: int, seeds: int, shared: float, freedom: float) -> Table:
    """Trials of mean 0 and variance 1 on average: the part `shared` of a seed's, the rest of χ²-distributed precision."""
    variances = np.full(trials, 1 - shared)
    if math.isfinite(freedom):
        variances *= (freedom - 2) / rng.chisquare(freedom, trials)
    effects = rng.normal(0, math.sqrt(shared), seeds)
    values = effects + rng.normal(size=(trials, seeds)) * np.sqrt(variances)[:, None]
    return _table(values, 0)


def trended(rng: np.random.Generator, means: Sequence[float], seeds: int, shared: float, per: float = 20.0) -> Table:
    """Trials of these means whose noise grows with them, k² = 1 + (mean / per)², the seed's part as much as the rest."""
    k = np.sqrt(1 + (np.array(means) / per) ** 2)[:, None]
    effects = rng.normal(0, math.sqrt(shared), seeds)
    values = np.array(means)[:, None] + k * (effects + rng.normal(0, math.sqrt(1 - shared), (len(means), seeds)))
    return _table(values, 0)


def differences_covered(tables: Sequence[Table], one: str, other: str, truth: float) -> float:
    """In how many of the tables the interval of the paired difference of two trials holds the true one."""
    return float(np.mean([_holds(Moderated(table).difference(one, other), truth) for table in tables]))


def shares(rng: np.random.Generator, trials: int, seeds: int, share: float, noise: float, samples: int) -> Table:
    """Hits of `samples`, at shares that are normal on the logit scale with this standard deviation between seeds."""
    mean = _logit_mean(share, noise)
    chances = expit(mean + rng.normal(0, noise, (trials, seeds)))
    return _table(rng.binomial(samples, chances) / samples, samples)


def _logit_mean(share: float, noise: float) -> float:
    """The mean on the logit scale at which the share's own mean is `share`."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)
    weights = weights / weights.sum()
    low, high = logit(share) - 6, logit(share) + 6
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if weights @ expit(middle + noise * nodes) < share else (low, middle)
    return float(low)


def _table(values: np.ndarray, samples: int) -> Table:
    return {f"t{i}": {s: Point(float(v), samples) for s, v in enumerate(row)} for i, row in enumerate(values)}


def covered(tables: Sequence[Table], truth: float, share: bool) -> tuple[float, float, float, float]:
    """Of both intervals how many hold the truth, moderated first; the median of their widths' ratio, and its greatest tenth."""
    hits, plain_hits, ratios = [], [], []
    for table in tables:
        moderated = Moderated(table, share)
        for name, points in table.items():
            one = moderated.estimate(name)
            other = share_estimate(list(points.values())) if share else estimate(p.value for p in points.values())
            hits.append(_holds(one, truth))
            plain_hits.append(_holds(other, truth))
            ratios.append(_half(one) / _half(other))
    return float(np.mean(hits)), float(np.mean(plain_hits)), float(np.median(ratios)), float(np.quantile(ratios, 0.9))


def wrong_verdicts(rng: np.random.Generator, tables: int, trials: int, seeds: int, shared: float) -> float:
    """Of verdicts "feasible with P ≥ .95" the part that is wrong, of trials whose true means lie about a bound of 0 by one SD."""
    right = wrong = 0
    for _ in range(tables):
        means = rng.normal(0, 1, trials)
        noise = normal(rng, trials, seeds, shared, math.inf)
        table = {
            t: {s: Point(p.value + means[i], 0) for s, p in points.items()}
            for i, (t, points) in enumerate(noise.items())
        }
        moderated = Moderated(table)
        for i, t in enumerate(table):
            if (moderated.probability_below(t, 0.0) or 0.0) >= 0.95:
                right, wrong = right + (means[i] <= 0), wrong + (means[i] > 0)
    return wrong / max(right + wrong, 1)


def until_sure(
    rng: np.random.Generator, runs: int, spread: float, shared: float, first: int, most: int = 6, sure: float = 0.95
) -> tuple[float, float, float]:
    """Six trials a run whose true means lie about a bound of 0 by `spread` SDs, each on one more seed while it is open.

    Of verdicts "feasible" the part that is wrong, the part of trials that stay open, and the seeds a trial.
    """
    wrong, verdicts, left, seeds = 0, 0, 0, []
    for _ in range(runs):
        means = rng.normal(0, spread, 6)
        noise = normal(rng, 6, most, shared, math.inf)
        have = dict.fromkeys(noise, first)
        while True:
            table = {
                t: {s: Point(points[s].value + means[i], 0) for s in range(have[t])}
                for i, (t, points) in enumerate(noise.items())
            }
            moderated = Moderated(table)
            chances = {t: moderated.probability_below(t, 0.0) or 0.0 for t in table}
            undecided = [t for t in table if 1 - sure < chances[t] < sure and have[t] < most]
            if not undecided:
                break
            for t in undecided:
                have[t] += 1
        sure_ones = [chances[t] >= sure for t in table]
        verdicts += sum(sure_ones)
        wrong += sum(is_sure and means[i] > 0 for i, is_sure in enumerate(sure_ones))
        left += sum(1 - sure < chances[t] < sure for t in table)
        seeds += list(have.values())
    return wrong / max(verdicts, 1), left / (6 * runs), float(np.mean(seeds))


def until_narrow(
    rng: np.random.Generator, runs: int, width: float, shared: float, freedom: float, first: int = 2, most: int = 6
) -> tuple[float, float, float]:
    """Six trials a run on two seeds, of which two have one more while half of their interval is wider than `width` SDs.

    Of these two the part whose interval holds the truth, the part that are narrow in the end, and the seeds each.
    """
    held, narrow, seeds = [], [], []
    for _ in range(runs):
        noise = normal(rng, 6, most, shared, freedom)
        have = dict.fromkeys(noise, first)
        while True:
            moderated = Moderated({t: {s: points[s] for s in range(have[t])} for t, points in noise.items()})
            estimates = {t: moderated.estimate(t) for t in list(noise)[:2]}
            wide = [t for t, one in estimates.items() if _half(one) > width and have[t] < most]
            if not wide:
                break
            for t in wide:
                have[t] += 1
        held += [_holds(one, 0.0) for one in estimates.values()]
        narrow += [_half(one) <= width for one in estimates.values()]
        seeds += [have[t] for t in estimates]
    return float(np.mean(held)), float(np.mean(narrow)), float(np.mean(seeds))


def simulated(draws: int) -> Iterator[str]:
    yield "| figure | trials | seeds | seed's part | variances | covers | t covers | width, of t's | greatest tenth |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for trials in (1, 2, 4, 8):
        for seeds in (3, 5):
            for shared in (0.0, 0.1, 0.5, 0.9):
                for freedom in (math.inf, 4.0):
                    rng = np.random.default_rng(0)
                    tables = [normal(rng, trials, seeds, shared, freedom) for _ in range(draws // trials)]
                    kind = "equal" if math.isinf(freedom) else "χ² of 4"
                    yield _row("normal", trials, seeds, f"{shared:.1f}", kind, covered(tables, 0.0, False))
    for share, noise, samples in ((0.5, 0.28, 128), (0.9, 0.28, 128), (0.98, 0.28, 192), (0.995, 0.5, 192)):
        for trials in (1, 4, 8):
            for seeds in (3, 5):
                rng = np.random.default_rng(0)
                tables = [shares(rng, trials, seeds, share, noise, samples) for _ in range(draws // trials)]
                what = f"share {share:g}, N = {samples}"
                yield _row(what, trials, seeds, "0", f"logit SD {noise:g}", covered(tables, share, True))
    yield ""
    for seeds in (3, 5):
        wrong = wrong_verdicts(np.random.default_rng(1), draws // 8, 8, seeds, 0.1)
        yield f'of "feasible with P ≥ .95" wrong, 8 trials about the bound, {seeds} seeds: {wrong:.3f}'
    for spread in (1.0, 2.0):
        for shared in (0.1, 0.5):
            wrong, left, mean = until_sure(np.random.default_rng(1), draws // 12, spread, shared, 2)
            what = (
                f"six trials about the bound by {spread:g} SD, seed's part {shared:g}, from 2 seeds on until sure or 6"
            )
            yield f"{what}: wrong {wrong:.3f}, open {left:.2f}, seeds {mean:.2f}"

    for shared in (0.1, 0.5):
        for freedom in (math.inf, 4.0):
            held, narrow, mean = until_narrow(np.random.default_rng(2), draws // 12, 0.94, shared, freedom)
            kind = "equal variances" if math.isinf(freedom) else "variances χ² of 4"
            what = f"two of six trials until ± .94 SD, seed's part {shared:g}, {kind}, from 2 seeds on or 6"
            yield f"{what}: covers {held:.3f}, narrow {narrow:.2f}, seeds {mean:.2f}"


def _row(what: str, trials: int, seeds: int, shared: str, kind: str, figures: tuple[float, ...]) -> str:
    one, plain, ratio, worst = figures
    return f"| {what} | {trials} | {seeds} | {shared} | {kind} | {one:.3f} | {plain:.3f} | {ratio:.2f} | {worst:.2f} |"


def recorded(folder: Path, draws: int) -> Iterator[str]:
    """Of recorded trials with a fid_delta below twice the budget, `trials` at a time, as a run confirms them."""
    table = pq.read_table(folder / "replicates.parquet").to_pylist()
    rows: dict[str, dict[int, dict[str, float]]] = {}
    for row in table:
        rows.setdefault(row["trial_id"], {})[row["replicate"]] = row
    whole = {t: seeds for t, seeds in rows.items() if len(seeds) == 3}
    near = [t for t in whole if np.mean([r["fid_delta"] for r in whole[t].values()]) < 2 * BUDGET]
    yield f"{len(whole)} trials on 3 seeds, {len(near)} of them with fid_delta below {2 * BUDGET:g}"
    yield ""
    heads = "figure | trials | the third seed lies within | t's | width at 3 seeds, of t's: median | greatest tenth"
    yield f"| {heads} | greatest | half-width, median | t's |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for figure, samples in FIGURES.items():
        for names, count in ((near, 8), (near, 4), (list(whole), 8)):
            rng = np.random.default_rng(0)
            hits, plain_hits, ratios, halves, plain = [], [], [], [], []
            for _ in range(draws):
                of = [names[i] for i in rng.choice(len(names), count, replace=False)]
                every = {t: {s: Point(r[figure], samples) for s, r in whole[t].items()} for t in of}
                left = int(rng.integers(3))
                two = {t: {s: p for s, p in points.items() if s != left} for t, points in every.items()}
                for t in of:
                    hit, plain_hit = _third(two, t, every[t][left].value, samples > 0)
                    hits.append(hit)
                    plain_hits.append(plain_hit)
                moderated = Moderated(every, samples > 0)
                for t in of:
                    halves.append(_half(moderated.estimate(t)))
                    points = list(every[t].values())
                    plain.append(_half(share_estimate(points) if samples else estimate(p.value for p in points)))
                    if plain[-1] > 0:
                        ratios.append(halves[-1] / plain[-1])
            kind = "near" if names is near else "all"
            yield (
                f"| {figure} | {count}, {kind} | {np.mean(hits):.3f} | {np.mean(plain_hits):.3f} | {np.median(ratios):.2f} "
                f"| {np.quantile(ratios, 0.9):.2f} | {max(ratios):.1f} | {np.median(halves):.3g} | {np.median(plain):.3g} |"
            )


def _holds(interval: Estimate | None, truth: float) -> bool:
    assert interval is not None and interval.lower is not None and interval.upper is not None
    return interval.lower <= truth <= interval.upper


def _half(interval: Estimate | None) -> float:
    assert interval is not None and interval.lower is not None and interval.upper is not None
    return (interval.upper - interval.lower) / 2


def _third(two: Table, trial: str, value: float, share: bool) -> tuple[bool, bool]:
    """Whether a third seed's value lies where two seeds' mean and variance foretell it, moderated and by Student's t."""
    values = [p.value for p in two[trial].values()]
    gap = abs(value - float(np.mean(values)))
    variance = Moderated(two, share).variance(trial)
    assert variance is not None
    students = float(np.std(values, ddof=1)) * math.sqrt(1.5) * float(stdtrit(1, 0.975))
    return gap <= variance.over(1 / 3).reach() + 1e-12, gap <= students + 1e-12


MEANS = (1.0, 2.0, 3.0, 4.0, 30.0, 45.0)  # of fid_delta: four trials that are hardly damaged, two that are


def differences(draws: int) -> Iterator[str]:
    """Coverage of paired differences, of the least with the most damaged trial and with one as little damaged, 3 seeds."""
    yield "| a seed's part of the variance | means 1 and 45 | means 1 and 2 |"
    yield "|---|---|---|"
    for shared in (0.1, 0.5, 0.9):
        rng = np.random.default_rng(11)
        tables = [trended(rng, MEANS, 3, shared) for _ in range(draws)]
        unlike = differences_covered(tables, "t0", "t5", MEANS[0] - MEANS[5])
        yield f"| {shared:g} | {unlike:.3f} | {differences_covered(tables, 't0', 't1', MEANS[0] - MEANS[1]):.3f} |"


CONTROL_SHARE, TRIAL_SHARE, SAMPLES = 0.3, 0.05, 128  # relearning accuracy of θ* and of trials, and N
LOGIT_NOISE = 0.28  # of shares between seeds, as recorded


def against_control(draws: int) -> Iterator[str]:
    """Coverage of trial − control, moderated with the control among the trials and as t, and the median ratio of widths.

    The control's noise between seeds has so many times the trials' standard deviation. Shares: trials of .05, a control of .3.
    """
    ratios = (0.5, 1.0, 2.0, 4.0)
    head = ["figure", "trials", "seeds", "seed's part", *(f"SD × {ratio:g}" for ratio in ratios)]
    yield f"| {' | '.join([*head, 't', 'width, moderated / t'])} |"
    yield "|" + "---|" * (6 + len(ratios))
    rng = np.random.default_rng(17)
    for trials in (2, 4, 8):
        for seeds in (2, 3, 5):
            for shared in (0.1, 0.5, 0.9):
                tables = [[with_control(rng, trials, seeds, shared, r) for _ in range(draws)] for r in ratios]
                yield _control_row("normal", trials, seeds, f"{shared:g}", tables, 0.0, share=False)
            tables = [[share_with_control(rng, trials, seeds, r) for _ in range(draws)] for r in ratios]
            truth = TRIAL_SHARE - CONTROL_SHARE
            yield _control_row(
                f"share {TRIAL_SHARE:g}, {CONTROL_SHARE:g}", trials, seeds, "—", tables, truth, share=True
            )


def with_control(rng: np.random.Generator, trials: int, seeds: int, shared: float, ratio: float) -> Table:
    """Trials and a control of mean 0, the part `shared` of the variance a seed's; the control's own SD `ratio` times theirs."""
    own = math.sqrt(1 - shared) * np.array([1.0] * trials + [ratio])[:, None]
    values = rng.normal(0, math.sqrt(shared), seeds) + own * rng.normal(size=(trials + 1, seeds))
    return _named(_table(values, 0))


def share_with_control(rng: np.random.Generator, trials: int, seeds: int, ratio: float) -> Table:
    """Shares of trials and of a control whose SD on the logit scale is `ratio` times theirs."""
    table = shares(rng, trials, seeds, TRIAL_SHARE, LOGIT_NOISE, SAMPLES)
    (control,) = shares(rng, 1, seeds, CONTROL_SHARE, LOGIT_NOISE * ratio, SAMPLES).values()
    return table | {"control": control}


def _named(table: Table) -> Table:
    *trials, last = table
    return {name: table[name] for name in trials} | {"control": table[last]}


def _control_row(
    figure: str, trials: int, seeds: int, shared: str, tables: Sequence[Sequence[Table]], truth: float, share: bool
) -> str:
    """A line of the table: coverage at each of the control's noises, that of t over all, and the widths' ratio."""
    covers, students, widths = [], [], []
    for of_ratio in tables:
        hits = []
        for table in of_ratio:
            moderated = Moderated(table, share).difference("t0", "control")
            plain = share_difference(table["t0"], table["control"])
            hits.append(_holds(moderated, truth))
            students.append(_holds(plain, truth))
            widths.append(_half(moderated) / _half(plain))
        covers.append(f"{np.mean(hits):.3f}")
    cells = [figure, str(trials), str(seeds), shared, *covers, f"{np.mean(students):.3f}", f"{np.median(widths):.2f}"]
    return f"| {' | '.join(cells)} |"


@command
def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("python -m benchmarks.intervals", description="How intervals over seeds cover.")
    p.add_argument("what", choices=("simulated", "recorded", "differences", "control"))
    p.add_argument("--draws", type=int, metavar="N", help="trials simulated (default: 4000), or draws (default: 400)")
    p.add_argument("--recording", type=Path, default=Path("benchmarks/search/recorded"), metavar="FOLDER")
    args = p.parse_args(argv)
    lines = {
        "simulated": lambda: simulated(args.draws or 4000),
        "recorded": lambda: recorded(args.recording, args.draws or 400),
        "differences": lambda: differences(args.draws or 400),
        "control": lambda: against_control(args.draws or 400),
    }
    for line in lines[args.what]():
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
