"""Main effects against plain least squares with dummies and HC3 written out, and how often their intervals hold."""

import numpy as np
import pytest
from scipy.special import stdtr

from sweep.statistics.main_effects import MainEffects, Unfitted, main_effects

KINDS = tuple("abcdefghi")
EFFECTS = np.array([0.4, 0.1, -0.1, -0.4, 0.0, 0.2, -0.2, 0.3, -0.3])
MEANS = {"x0": np.array([0.156, 0.834, 0.578]), "x1": np.array([1, 3, 5]) / 6}  # of what numbers add, by third


def drawn(n: int, seed: int, scale: float = 1.0) -> tuple[list[str], dict[str, np.ndarray], np.ndarray]:
    """n trials: a kind of nine, six numbers of which two matter, one as a hump; noise that grows where the figure is low."""
    rng = np.random.default_rng(seed)
    kind, numbers = rng.integers(0, len(KINDS), n), rng.random((n, 6))
    figure = scale * EFFECTS[kind] + np.exp(-(((numbers[:, 0] - 0.6) / 0.25) ** 2)) + numbers[:, 1]
    y = figure + 0.3 * np.exp(-EFFECTS[kind]) * rng.normal(0, 1, n)
    return [KINDS[k] for k in kind], {f"x{i}": numbers[:, i] for i in range(6)}, y


def test_they_are_those_of_plain_least_squares_with_dummies_hc3_and_bell_and_mccaffreys_freedom() -> None:
    """In another coding, a constant a kind and two thirds beside the first; variances a trial at a time, freedom by its definition.

    All twelve intervals are at one level, which lies between Bonferroni's and that of one interval alone.
    """
    kinds, numbers, y = drawn(120, 0)
    kinds = ["j"] * 4 + kinds[4:]  # a kind that few have
    fit = main_effects({"kind": kinds}, {"x": numbers["x1"]}, y)
    third = np.argsort(np.argsort(numbers["x1"])) * 3 // len(y)
    every = [*KINDS, "j"]
    design = np.column_stack([*([float(k == kind) for k in kinds] for kind in every), third == 1, third == 2]).astype(
        float
    )
    pseudo = np.linalg.pinv(design)
    coefficients, outside = pseudo @ y, np.eye(len(y)) - design @ pseudo
    residuals, inverse = outside @ y, np.linalg.inv(design.T @ design)
    of_kind = np.column_stack([np.eye(10) - 1 / 10, np.zeros((10, 2))])
    of_third = np.column_stack([np.zeros((3, 10)), np.eye(3)[:, 1:] - 1 / 3])
    assert list(fit.effects["kind"]) == every
    levels, freedoms = [], []
    effects = [*fit.effects["kind"].values(), *fit.effects["x"].values()]
    for effect, contrast in zip(effects, np.concatenate([of_kind, of_third]), strict=True):
        assert effect.mean == pytest.approx(contrast @ coefficients, abs=1e-9)
        scaled = residuals / outside.diagonal()
        meat = sum(np.outer(row, row) * r**2 for row, r in zip(design, scaled, strict=True))
        white = contrast @ inverse @ meat @ inverse @ contrast
        classical = residuals @ residuals / (120 - 12) * (contrast @ inverse @ contrast)
        ma = outside @ np.diag(((contrast @ pseudo) / outside.diagonal()) ** 2)
        freedoms.append(np.trace(ma) ** 2 / np.trace(ma @ ma))
        assert effect.upper is not None
        t = (effect.upper - effect.mean) / np.sqrt(max(white, classical))
        levels.append(2 * (1 - stdtr(freedoms[-1], t)))
    assert levels == pytest.approx([levels[0]] * 13, rel=1e-6) and 0.05 / 13 * 0.9 < levels[0] < 0.01
    assert freedoms[9] == min(freedoms) < 6 and freedoms[-1] > 50
    parts = [part for part in fit.effects["x"] if isinstance(part, tuple)]
    assert [numbers["x1"][third == t].max() for t in range(3)] == [high for _, high in parts]
    assert fit.trials == 120 and fit.effects["kind"]["j"].n == 4


def holds(fit: MainEffects, scale: float = 1.0) -> bool:
    """Whether all intervals do of kinds and of the two numbers that act."""
    truth = dict(zip(KINDS, scale * EFFECTS, strict=True))
    mean = np.mean([truth[str(kind)] for kind in fit.effects["kind"]])
    pairs = [(effect, truth[str(kind)] - mean) for kind, effect in fit.effects["kind"].items()]
    for name, means in MEANS.items():
        pairs += zip(fit.effects[name].values(), means - means.mean(), strict=True)
    return all(e.lower is not None and e.upper is not None and e.lower <= true <= e.upper for e, true in pairs)


def test_intervals_hold_together_and_claim_nothing_where_nothing_acts() -> None:
    """Noise that is not equal, and a hump; nominal 95 of 100."""
    fits = [
        main_effects({"kind": kinds}, numbers, y) for kinds, numbers, y in (drawn(110, seed) for seed in range(100))
    ]
    assert sum(map(holds, fits)) >= 92
    idle = [drawn(110, seed, scale=0.0) for seed in range(100)]
    of_kinds = [main_effects({"kind": kinds}, numbers, y).effects["kind"] for kinds, numbers, y in idle]
    assert sum(any(e.excludes_0 for e in effects.values()) for effects in of_kinds) <= 8


def test_what_acts_is_found_and_no_unit_or_logarithm_changes_it() -> None:
    kinds, numbers, y = drawn(300, 3)
    fit = main_effects({"kind": kinds}, numbers, y)
    low, _, high = fit.effects["x1"].values()
    assert low.upper is not None and high.lower is not None and low.upper < 0 < high.lower
    assert not any(e.excludes_0 for e in fit.effects["x5"].values()), "it has no say"
    logged = main_effects({"kind": kinds}, numbers | {"x1": np.exp(20 * numbers["x1"])}, y)
    assert list(logged.effects["x1"].values()) == list(fit.effects["x1"].values())


def test_equal_values_are_in_one_part_and_none_is_said_of_an_empty_one() -> None:
    kinds, numbers, y = drawn(150, 4)
    tied = np.where(np.arange(150) % 5 < 3, 1.0, 1 + numbers["x1"])  # three fifths are the same
    parts = main_effects({"kind": kinds}, {"rank": tied}, y).effects["rank"]
    assert next(iter(parts)) == (1.0, 1.0)
    assert [effect.n for effect in parts.values()] == [90, 10, 50], "up to the first third, up to the second, beyond"
    most = np.where(np.arange(150) % 10 < 9, 1.0, 1 + numbers["x1"])
    assert [e.n for e in main_effects({"kind": kinds}, {"rank": most}, y).effects["rank"].values()] == [135, 15]


def test_a_number_of_few_values_is_taken_value_by_value_and_a_rare_level_left_out() -> None:
    kinds, numbers, y = drawn(120, 4)
    kinds = ["rare", "rare", *kinds[2:]]
    fit = main_effects({"kind": kinds}, {"ema": np.tile([0.0, 0.9, 0.97], 40), "x": numbers["x0"]}, y)
    assert list(fit.effects["ema"]) == [0.0, 0.9, 0.97] and fit.effects["ema"][0.9].n == 39
    assert "rare" not in fit.effects["kind"] and (fit.trials, fit.left_out) == (118, 2)


def test_what_cannot_be_told_is_said() -> None:
    kinds, numbers, y = drawn(30, 5)
    with pytest.raises(Unfitted, match=r"too few trials: \d+ with this figure, \d+ more at rare levels, at least "):
        main_effects({"kind": kinds[:27] + list("xyz")}, {}, y)
    with pytest.raises(Unfitted, match="too few trials: 0 with this figure, at least "):
        main_effects({"kind": []}, {}, np.array([]))
    kinds, numbers, y = drawn(120, 5)
    with pytest.raises(Unfitted, match="move together"):
        main_effects({"kind": kinds, "twin": [k.upper() for k in kinds]}, {}, y)
    with pytest.raises(Unfitted, match="no parameter varies"):
        main_effects({"kind": ["a"] * 120}, {"x": np.ones(120)}, y)
    for same in (0.0, 1.0, 0.1):
        with pytest.raises(Unfitted, match="the same in all 120 trials"):
            main_effects({"kind": kinds}, numbers, np.full(120, same))
    with pytest.raises(Unfitted, match="leaves nothing over"):
        main_effects({"kind": kinds}, {}, np.array([EFFECTS[KINDS.index(k)] for k in kinds]))
