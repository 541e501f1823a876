"""Main effects against plain least squares with dummies and HC3 written out, and how often their intervals hold."""

from collections.abc import Callable

import numpy as np
import pytest

from sweep.statistics.main_effects import QUANTILES, MainEffects, Unfitted, main_effects

KINDS = tuple("abcdefghi")
EFFECTS = np.array([0.4, 0.1, -0.1, -0.4, 0.0, 0.2, -0.2, 0.3, -0.3])


def drawn(
    n: int, seed: int, scale: float = 1.0, noise: float = 0.3
) -> tuple[list[str], dict[str, np.ndarray], np.ndarray]:
    """n trials: a kind of nine, six numbers of which two matter, one as a hump; noise that grows where the figure is low."""
    rng = np.random.default_rng(seed)
    kind, numbers = rng.integers(0, len(KINDS), n), rng.random((n, 6))
    figure = scale * EFFECTS[kind] + np.exp(-(((numbers[:, 0] - 0.6) / 0.25) ** 2)) + numbers[:, 1]
    y = figure + noise * np.exp(-EFFECTS[kind]) * rng.normal(0, 1, n)
    return [KINDS[k] for k in kind], {f"x{i}": numbers[:, i] for i in range(6)}, y


def test_they_are_those_of_plain_least_squares_with_dummies_and_hc3() -> None:
    """In another coding, with a constant a kind and none besides; contrasts of its coefficients, a trial's residual at a time."""
    kinds, numbers, y = drawn(80, 0)
    fit = main_effects({"kind": kinds}, {"x": numbers["x1"]}, y)
    n, x = len(y), (np.argsort(np.argsort(numbers["x1"])) + 0.5) / len(y)
    design = np.column_stack([*([float(k == kind) for k in kinds] for kind in KINDS), x, x**2])
    coefficients = np.linalg.lstsq(design, y, rcond=None)[0]
    pseudo = np.linalg.pinv(design)
    meat = np.zeros((design.shape[1], design.shape[1]))
    for row, hat, residual in zip(design, (design @ pseudo).diagonal(), y - design @ coefficients, strict=True):
        meat += np.outer(row, row) * (residual / (1 - hat)) ** 2
    inverse = np.linalg.inv(design.T @ design)
    covariance = inverse @ meat @ inverse
    contrasts = {}
    for i, kind in enumerate(KINDS):
        contrasts["kind", kind] = np.concatenate([np.eye(len(KINDS))[i] - 1 / len(KINDS), [0, 0]])
    for q, at in zip(QUANTILES, np.quantile(numbers["x1"], QUANTILES, method="inverted_cdf"), strict=True):
        contrasts["x", float(at)] = np.array([0] * len(KINDS) + [q - x.mean(), q**2 - (x**2).mean()])
    reaches = []
    for (factor, level), contrast in contrasts.items():
        effect = fit.effects[factor][level]
        assert effect.mean == pytest.approx(contrast @ coefficients, abs=1e-9)
        assert effect.upper is not None
        reaches.append((effect.upper - effect.mean) / np.sqrt(contrast @ covariance @ contrast))
    assert reaches == pytest.approx([reaches[0]] * len(reaches)), "all hold together: one reach for all"
    assert 2.5 < reaches[0] < 3.6, "of Student's 1.99 for one alone and Bonferroni's 3.0 for twelve"
    assert fit.trials == n and fit.effects["kind"]["a"].n == kinds.count("a")


def held(fit: MainEffects, truth: Callable[[str], float]) -> bool:
    levels = fit.effects["kind"]
    mean = np.mean([truth(str(kind)) for kind in levels])
    return all(
        e.lower is not None and e.upper is not None and e.lower <= truth(str(kind)) - mean <= e.upper
        for kind, e in levels.items()
    )


def test_intervals_hold_together_and_say_nothing_where_nothing_decides() -> None:
    """Noise that is not equal, a hump that a curve of second degree misses; nominal 95 of 100."""
    draws = range(100)
    fits = [main_effects({"kind": kinds}, numbers, y) for kinds, numbers, y in (drawn(90, seed) for seed in draws)]
    assert sum(held(fit, lambda kind: float(EFFECTS[KINDS.index(kind)])) for fit in fits) >= 92
    idle = [drawn(90, seed, scale=0.0) for seed in draws]
    claims = [main_effects({"kind": kinds}, numbers, y).effects["kind"] for kinds, numbers, y in idle]
    assert sum(any(e.lower * e.upper > 0 for e in of_kind.values() if e.lower and e.upper) for of_kind in claims) <= 8


def test_what_decides_is_found_whatever_its_scale() -> None:
    kinds, numbers, y = drawn(150, 3, noise=0.1)
    fit = main_effects({"kind": kinds}, numbers, y)
    logged = main_effects({"kind": kinds}, numbers | {"x1": np.exp(20 * numbers["x1"])}, y)
    low, _, high = fit.effects["x1"].values()
    assert high.lower and high.lower > 0 and low.upper and low.upper < 0
    assert [e.mean for e in logged.effects["x1"].values()] == pytest.approx(
        [e.mean for e in fit.effects["x1"].values()]
    )
    assert all(e.lower is not None and e.lower < 0 for e in fit.effects["x5"].values()), "it has no say"


def test_a_number_of_few_values_is_taken_value_by_value_and_a_rare_word_left_out() -> None:
    kinds, numbers, y = drawn(120, 4)
    kinds = ["rare", "rare", *kinds[2:]]
    fit = main_effects({"kind": kinds}, {"ema": np.tile([0.0, 0.9, 0.97], 40), "x": numbers["x0"]}, y)
    assert list(fit.effects["ema"]) == [0.0, 0.9, 0.97] and fit.effects["ema"][0.9].n in (39, 40)
    assert "rare" not in fit.effects["kind"] and (fit.trials, fit.left_out) == (118, 2)


def test_what_cannot_be_told_is_said() -> None:
    kinds, numbers, y = drawn(30, 5)
    with pytest.raises(Unfitted, match="too few trials: "):
        main_effects({"kind": kinds}, numbers, y)
    kinds, numbers, y = drawn(90, 5)
    with pytest.raises(Unfitted, match="move together"):
        main_effects({"kind": kinds, "twin": [k.upper() for k in kinds]}, {}, y)
    with pytest.raises(Unfitted, match="no parameter varies"):
        main_effects({"kind": ["a"] * 90}, {"x": np.ones(90)}, y)
