"""How much each parameter matters to each objective and to feasibility, and whether these trials can tell.

Of an arm with many trials: a random forest (Breiman 2001) learns the figure from the parameters of four fifths of them and is
judged on the rest: its score is the share of their variance that it explains (R²; of feasibility, 0 or 1, that is the Brier
skill score). A parameter's importance is what the score loses when that parameter's values are shuffled among the held-out
trials. Both are means over five folds with 95 % t intervals, whose variance is corrected for the folds sharing most of what
they learned from (Nadeau and Bengio 2003). Where the score's interval reaches 0, the trials cannot tell what matters.

Of few trials a forest says nothing: a parameter with two thirds of the variance to itself it seldom sees in 24 trials and nearly
always in 60. There the arms are taken together, and each parameter's rank correlation with the figure is told, within the arms,
with intervals that hold for all parameters and figures of a run at once: of 24 trials they nearly always show that one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import stdtrit

from sweep.reading.arm_against_arm import FEW_ARMS
from sweep.reading.sweep import Sweep
from sweep.reading.trial import values_of
from sweep.statistics.estimates import Estimate
from sweep.statistics.rank_correlations import FEWEST, Column, rank_correlations

FOREST = 60  # trials with the figure that a forest is grown of; of fewer, rank correlations are told
MOST = (
    400  # trials that are learned from; of more, evenly many from the whole search: the page of 100,000 takes seconds
)
FOLDS, TREES, SHUFFLES = 5, 40, 4
OPTION = 2  # trials with a word, and without it, below which its correlation is not asked for
FEASIBLE = "feasible"
LEVEL = 0.95  # of the intervals of a run's correlations, all together


@dataclass(frozen=True)
class Importance:
    """Of one figure, in one arm or in several: the forest's score and each parameter's importance, or each parameter's rank
    correlation, the strongest first.

    `reason` says why there is none, or why what there is tells nothing.
    """

    arms: tuple[str, ...]  # of several: by the parameters they share and each arm's own, the arm itself among them
    target: str
    trials: int
    measure: Literal["forest", "ranks"]
    score: Estimate | None  # the forest's
    parameters: dict[str, Estimate]
    reason: str | None

    @property
    def sure(self) -> dict[str, Estimate]:
        """The parameters whose interval excludes 0, where the trials tell anything."""
        return {} if self.reason else {n: e for n, e in self.parameters.items() if e.excludes_0}


def importances(sweep: Sweep) -> tuple[Importance, ...]:
    """Of each objective and of feasibility: in each arm with many trials of a run with few arms, else in arms together."""
    targets = (*(o.metric for o in sweep.objectives), FEASIBLE)
    every = []
    for target in targets:
        for arms, table, y in _groups(sweep, target):
            reason = None
            if len(y) < FEWEST:
                reason = f"too few trials: {len(y)} with this figure, at least {FEWEST} are needed"
            elif np.ptp(y) == 0:
                reason = f"the same in all {len(y)} trials"
            if reason is not None:
                every.append(Importance(arms, target, len(y), "ranks", None, {}, reason))
            elif len(y) >= FOREST:
                every.append(_forest(arms, target, table, y))
            else:
                every.append(_ranked(arms, target, table, y, 1 - (1 - LEVEL) / len(targets)))
    return tuple(every)


def _groups(sweep: Sweep, target: str) -> Iterator[tuple[tuple[str, ...], pa.Table, np.ndarray]]:
    """(arms, their trials that have the figure, the figures): each arm with many trials, and the others together."""
    table = sweep.trial_table.filter(pc.field("arm").isin(pa.array(list(sweep.arms), pa.string())))
    order = [("number", "ascending"), ("trial_id", "ascending")]
    table = table.take(pc.sort_indices(table, sort_keys=order))
    known = np.isfinite(values_of(table, target))
    table = table.filter(pa.array(known))
    of = np.array(table["arm"].to_pylist(), dtype=object)
    alone = [name for name in sweep.arms if (of == name).sum() >= FOREST and len(sweep.arms) <= FEW_ARMS]
    together = tuple(name for name in sweep.arms if name not in alone)
    for arms in (*((name,) for name in alone), *([together] if together else [])):
        table_of_group = table.filter(pa.array(np.isin(of, arms)))
        yield arms, table_of_group, values_of(table_of_group, target)


def _forest(arms: tuple[str, ...], target: str, table: pa.Table, y: np.ndarray) -> Importance:
    n = len(y)
    if n > MOST:
        kept = np.linspace(0, n - 1, MOST).astype(int)
        table, y = table.take(kept), y[kept]
    names = [name for name in table.column_names if name.startswith("param_")]
    if len(arms) > 1:  # of what arms share, lest "has this parameter" stand for the arm
        names = ["arm", *(name for name in names if table[name].null_count == 0)]
    blocks = {}
    for name in names:
        options = _columns(table, name)
        if options:
            blocks[name] = np.stack(list(options.values()), axis=1)
    if not blocks:
        return Importance(arms, target, n, "forest", None, {}, "no parameter varies")
    scores, losses = _folds(blocks, y)
    score = _corrected(scores, most=1.0)
    losses_of = {name.removeprefix("param_"): _corrected(loss) for name, loss in zip(blocks, losses.T, strict=True)}
    reason = None
    if score.lower is not None and score.lower <= 0:
        reason = (
            f"{n} trials do not tell: held-out trials are not surely predicted better than by their mean "
            f"(R² {score.mean:.2f} [{score.lower:.2f}, {score.upper:.2f}])"
        )
    return Importance(
        arms, target, n, "forest", score, dict(sorted(losses_of.items(), key=lambda t: -t[1].mean)), reason
    )


def _ranked(arms: tuple[str, ...], target: str, table: pa.Table, y: np.ndarray, level: float) -> Importance:
    """Rank correlations with the figure, each within the arms; the arm's own across them."""
    _, arm_of = np.unique(np.array(table["arm"].to_pylist(), dtype=str), return_inverse=True)
    columns = {}
    for name in ("arm", *(n for n in table.column_names if n.startswith("param_"))):
        groups = np.zeros(len(y), dtype=int) if name == "arm" else arm_of
        options = _columns(table, name)
        if len(options) == 2:  # of two words, the one says the other
            del options[next(iter(options))]
        for option, values in options.items():
            with_it = np.nansum(values)
            if not option or min(with_it, np.isfinite(values).sum() - with_it) >= OPTION:
                shown = name.removeprefix("param_") + (f" = {option}" if option else "")
                columns[shown] = Column(values, groups)
    n, estimates = len(y), rank_correlations(columns, y, level)
    estimates = dict(
        sorted(estimates.items(), key=lambda t: (not t[1].excludes_0, -abs(t[1].mean) * math.sqrt(t[1].n)))
    )
    reason = None
    if not estimates:
        reason = f"no parameter varies among {FEWEST} trials that have it"
    elif not any(e.excludes_0 for e in estimates.values()):
        reach = _reach(max(estimates.values(), key=lambda e: e.n))
        reason = (
            f"{n} trials do not tell: every interval holds 0, as it does where nothing matters; "
            f"a correlation beyond ±{reach:.2f} would have shown"
        )
    return Importance(arms, target, n, "ranks", None, estimates, reason)


def _reach(estimate: Estimate) -> float:
    """The correlation beyond which an interval of this width on Fisher's scale excludes 0."""
    if estimate.upper is None or estimate.upper >= 1:
        return 1.0
    return math.tanh(math.atanh(estimate.upper) - math.atanh(estimate.mean))


def _columns(table: pa.Table, name: str) -> dict[str, np.ndarray]:
    """A parameter's columns (n,): itself, named "", or one a word; NaN where a trial has none. Empty where it never varies."""
    column = table[name]
    if not (pa.types.is_dictionary(column.type) or pa.types.is_string(column.type)):
        numbers = values_of(table, name)
        return {"": numbers} if len(np.unique(numbers[np.isfinite(numbers)])) > 1 else {}
    words = np.array(column.to_pylist(), dtype=object)
    has = np.array([w is not None for w in words.tolist()], dtype=bool)
    options = sorted(set(words[has].tolist()))
    if len(options) < 2:  # none at all where every trial failed
        return {}
    return {option: np.where(has, (words == option).astype(float), math.nan) for option in options}


def _folds(blocks: dict[str, np.ndarray], y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R² on the held-out trials of each fold (f,), and what it loses by each parameter's shuffling (f, p)."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import KFold

    x = np.concatenate(list(blocks.values()), axis=1)
    ends = np.cumsum([b.shape[1] for b in blocks.values()])
    scores, losses = [], []
    for fold, (learned, kept) in enumerate(KFold(FOLDS, shuffle=True, random_state=0).split(x)):
        forest = RandomForestRegressor(TREES, min_samples_leaf=2, random_state=fold).fit(x[learned], y[learned])
        rng, variance = np.random.default_rng(fold), y.var()
        error = ((forest.predict(x[kept]) - y[kept]) ** 2).mean()
        lost = []
        for end, block in zip(ends, blocks.values(), strict=True):
            shuffled = np.repeat(x[kept][None], SHUFFLES, axis=0)
            has = np.flatnonzero(
                np.isfinite(block[kept]).all(axis=1)
            )  # a conditional parameter: among trials that have it
            for copy in shuffled:
                copy[has, end - block.shape[1] : end] = block[kept][rng.permutation(has)]
            worse = forest.predict(shuffled.reshape(-1, x.shape[1])).reshape(SHUFFLES, -1)
            lost.append((((worse - y[kept]) ** 2).mean() - error) / variance)
        scores.append(1 - error / variance)
        losses.append(lost)
    return np.array(scores), np.array(losses)


def _corrected(values: Sequence[float] | np.ndarray, most: float = math.inf) -> Estimate:
    """Mean over folds with its t interval, the variance corrected for their overlap: 1/f + held out/learned from.

    None of the values can be more than `most`.
    """
    scores = np.asarray(values, dtype=float)
    spread = scores.std(ddof=1) * math.sqrt(1 / len(scores) + 1 / (FOLDS - 1))
    half = float(stdtrit(len(scores) - 1, 0.975)) * float(spread)
    mean = float(scores.mean())
    return Estimate(mean, mean - half, min(mean + half, most), len(scores))
