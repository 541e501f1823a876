"""ε against figures recorded from other accountants, and the authors' own; monotone, calibrated, one budget for all parties."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from trainables.federated import accounting
from trainables.federated.accounting import (
    Releases,
    Spent,
    check_delta,
    default_delta,
    epsilon,
    epsilon_of_all,
    noise_for,
)
from trainables.federated.generic_bound import claimed_epsilon, noise_claimed_for

# The seven settings of arXiv 2404.09722: N, B, T, δ, σ; the ε of its authors' accountant (autodp); of dp-accounting 0.6.0's PLD
# and of Opacus' PRV (ε error .05) under Poisson sampling, and of PLD for both parties' releases, σ/√2.
MNIST, ADULT = (60000, 64, 281100, 1e-5), (42960, 64, 40260, 1e-5)
RED, WHITE = (1599, 16, 15000, 5e-4), (4898, 32, 30000, 2e-4)
SETTINGS = [
    (*MNIST, 0.802, 9.993, 4.92, 4.97, 14.43),
    (*ADULT, 0.6128, 9.992, 5.51, 5.56, 23.34),
    (*ADULT, 0.8, 4.996, 2.46, 2.51, 7.48),
    (*RED, 1.39, 9.978, 3.42, 3.47, 6.33),
    (*RED, 2.348, 4.992, 1.63, 1.68, 2.62),
    (*WHITE, 1.34, 10.028, 3.54, 3.59, 6.60),
    (*WHITE, 2.253, 4.993, 1.71, 1.76, 2.73),
]
ROUNDED = 0.005  # of a recorded figure


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: f"{s[0]}-{s[4]}")
def test_the_published_settings(setting: tuple[float, ...]) -> None:
    rows, batch, steps, delta, sigma, claimed, pld, prv, pld_of_both = setting
    rate, steps = batch / rows, int(steps)
    assert claimed_epsilon(sigma, rate, steps, delta) == pytest.approx(claimed, abs=6e-4)
    one = epsilon(sigma, Releases(rate, steps), delta)
    assert one.epsilon == pytest.approx(prv, abs=0.01) and one.accountant.endswith("PRV")
    assert one.epsilon == pytest.approx(pld, abs=0.06)
    assert one.epsilon >= max(pld, prv) - ROUNDED, "never below what others give"
    both = epsilon(sigma, Releases(rate, steps, groups=2), delta)
    assert pld_of_both - ROUNDED <= both.epsilon <= pld_of_both + 0.06


@pytest.mark.parametrize(
    ("rows", "batch", "steps", "delta", "of_1", "of_3", "of_10"),
    [(1078, 64, 2500, 1e-5, 21.1, 7.85, 3.02), (2449, 128, 3000, 1e-5, 20.3, 7.58, 2.92)],
)
def test_the_noise_for_a_wanted_epsilon(
    rows: int, batch: int, steps: int, delta: float, of_1: float, of_3: float, of_10: float
) -> None:
    """The recorded σ of three groups are RDP's, which needs more noise than PRV."""
    releases = Releases(batch / rows, steps, groups=3)
    for wanted, recorded in ((1.0, of_1), (3.0, of_3), (10.0, of_10)):
        noise = noise_for(wanted, releases, delta)
        assert 0.8 * recorded < noise < 1.01 * recorded
        assert (1 - 0.015) * wanted <= epsilon(noise, releases, delta).epsilon <= wanted


def test_epsilon_grows_with_steps_rate_and_groups_and_falls_with_noise() -> None:
    base = epsilon(2.0, Releases(0.02, 500, 2), 1e-5).epsilon
    for larger in (Releases(0.02, 1000, 2), Releases(0.04, 500, 2), Releases(0.02, 500, 3)):
        assert epsilon(2.0, larger, 1e-5).epsilon > base
    assert epsilon(1.5, Releases(0.02, 500, 2), 1e-5).epsilon > base
    assert epsilon(2.0, Releases(0.02, 500, 2), 1e-6).epsilon > base
    assert epsilon(2.0 * math.sqrt(2), Releases(0.02, 500, 4), 1e-5).epsilon == pytest.approx(base)
    assert epsilon(0.0, Releases(0.02, 500), 1e-5) == Spent(math.inf, "no noise")


def by_quadrature(noise: float, rate: float, steps: int, delta: float) -> float:
    """ε of Rényi's divergences of the sampled Gaussian, each an integral of its definition: log E (1 - q + q p₁/p₀)^α / (α - 1)

    over p₀ = N(0, σ²), p₁ = N(1, σ²) (Mironov, Talwar and Zhang 2019, arXiv 1908.10530), and ε of them as Balle et al. 2020
    (arXiv 1905.09982, Theorem 21) have it.
    """
    epsilons = []
    for order in (1.05, *np.arange(1.1, 5, 0.1), *range(5, 65)):
        x, step = np.linspace(-12 * noise, order + 12 * noise, 40001, retstep=True)
        ratio = np.logaddexp(math.log1p(-rate), math.log(rate) + (2 * x - 1) / (2 * noise**2))
        moment = logsumexp(norm.logpdf(x, scale=noise) + order * ratio) + math.log(step)
        conversion = math.log1p(-1 / order) - math.log(delta * order) / (order - 1)
        epsilons.append(steps * moment / (order - 1) + conversion)
    return float(min(epsilons))


@pytest.mark.parametrize(
    ("noise", "rate", "steps"), [(1.1, 0.03, 200), (0.8, 0.001, 5000), (4.0, 0.2, 1000), (0.2, 0.1, 3000)]
)
def test_rdp_is_what_its_definition_says(noise: float, rate: float, steps: int) -> None:
    spending = epsilon_of_all([(noise, Releases(rate, steps))], 1e-5)
    assert spending.accountant == "opacus 1.6.0 RDP"
    assert spending.epsilon == pytest.approx(by_quadrature(noise, rate, steps, 1e-5), rel=1e-3)


@pytest.mark.parametrize(
    "fault", [RuntimeError("Discrete mean differs"), ValueError("no root"), FloatingPointError("x"), -1.0]
)
def test_where_prv_fails_rdp_stands_in_and_is_named(fault: Exception | float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exceptions, and an ε that is none. Another fault than of its arithmetic is no answer, and goes on."""
    from opacus.accountants import PRVAccountant

    def fails(self: object, *_: object, **__: object) -> float:
        if isinstance(fault, Exception):
            raise fault
        return fault

    releases = Releases(0.03, 200)
    monkeypatch.setattr(PRVAccountant, "get_epsilon", fails)
    accounting._spent.cache_clear()
    fallback = epsilon(1.1, releases, 1e-5)
    assert fallback == epsilon_of_all([(1.1, releases)], 1e-5) and fallback.accountant == "opacus 1.6.0 RDP"
    monkeypatch.undo()
    accounting._spent.cache_clear()
    prv = epsilon(1.1, releases, 1e-5)
    assert prv.accountant == "opacus 1.6.0 PRV" and 0.8 * fallback.epsilon < prv.epsilon < fallback.epsilon


@pytest.mark.parametrize(("noise", "steps", "small"), [(20.0, 200, True), (0.7, 200, False)])
def test_prv_may_round_by_a_twentieth_of_a_small_epsilon_and_by_five_hundredths_of_a_large_one(
    noise: float, steps: int, small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opacus.accountants import PRVAccountant

    asked: list[float] = []
    get_epsilon = PRVAccountant.get_epsilon

    def noted(self: PRVAccountant, delta: float, *, eps_error: float) -> float:
        asked.append(eps_error)
        return get_epsilon(self, delta, eps_error=eps_error)

    monkeypatch.setattr(PRVAccountant, "get_epsilon", noted)
    accounting._spent.cache_clear()
    releases = Releases(0.05, steps)
    by_rdp = epsilon_of_all([(noise, releases)], 1e-5).epsilon
    spent = epsilon(noise, releases, 1e-5)
    assert (by_rdp < 1) == small and spent.accountant == "opacus 1.6.0 PRV" and 0 < spent.epsilon < by_rdp
    assert asked == [pytest.approx(by_rdp / 20 if small else 0.05)]


def test_a_fault_that_is_not_prvs_arithmetic_is_not_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from opacus.accountants import PRVAccountant

    def fails(self: object, *_: object, **__: object) -> float:
        raise TypeError("get_epsilon() got an unexpected keyword argument")

    monkeypatch.setattr(PRVAccountant, "get_epsilon", fails)
    accounting._spent.cache_clear()
    with pytest.raises(TypeError, match="unexpected keyword"):
        epsilon(1.1, Releases(0.03, 200), 1e-5)
    accounting._spent.cache_clear()


def test_a_large_epsilon_is_accounted_for_all_the_same() -> None:
    """In thousands, where PRV's grid would be too long: by RDP, to a thousandth of what its definition gives."""
    spent = epsilon(0.2, Releases(0.1, 3000), 1e-5)
    assert spent.accountant == "opacus 1.6.0 RDP"
    assert spent.epsilon == pytest.approx(by_quadrature(0.2, 0.1, 3000, 1e-5), rel=1e-3) and spent.epsilon > 1000
    releases = Releases(64 / 1078, 300, 3)
    assert 98 <= epsilon(noise_for(100.0, releases, 1e-5), releases, 1e-5).epsilon <= 100


def test_an_epsilon_is_never_below_0(monkeypatch: pytest.MonkeyPatch) -> None:
    """Much noise over few steps: the conversion from Rényi's divergence gives a bound of less than 0, which proves ε = 0."""
    noise, releases, delta = 100.0, Releases(0.01, 1), 0.4
    assert by_quadrature(noise, 0.01, 1, delta) < 0
    assert epsilon(noise, releases, delta).epsilon == 0 == epsilon_of_all([(noise, releases)], delta).epsilon
    monkeypatch.setattr(accounting, "MOST_POINTS", 0)  # RDP alone, which falls to 0 at once
    wanted = noise_for(0.01, Releases(0.1, 5), 0.4)
    assert 0 <= epsilon(wanted, Releases(0.1, 5), 0.4).epsilon <= 0.01


def test_a_sweeps_epsilon_is_of_all_its_trainings() -> None:
    one = (3.0, Releases(0.05, 300, 3))
    alone, twice = epsilon_of_all([one], 1e-5), epsilon_of_all([one, (5.0, Releases(0.02, 900, 2))], 1e-5)
    assert alone.epsilon >= epsilon(*one, 1e-5).epsilon and twice.epsilon > alone.epsilon
    doubled = epsilon_of_all([(3.0, Releases(0.05, 600, 3))], 1e-5)
    assert epsilon_of_all([one, one], 1e-5).epsilon == pytest.approx(doubled.epsilon)
    assert epsilon_of_all([one, (0.0, one[1])], 1e-5).epsilon == math.inf
    assert epsilon_of_all([], 1e-5).epsilon == 0


def test_delta_at_which_publishing_a_row_would_be_private_is_refused() -> None:
    assert default_delta(1078) == 1e-5 and default_delta(60000) == pytest.approx(1.67e-6, rel=0.01)
    check_delta(1e-4, 1000)
    for delta in (0.0, 1e-3, 0.5):
        with pytest.raises(ValueError, match=r"is not between 0 and 1/N = 0\.001"):
            check_delta(delta, 1000)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Releases(1.0, 10), "sampling rate 1: a batch is a part of the rows"),
        (lambda: Releases(0.1, 0), "ε is of one step and one group at least"),
        (lambda: noise_for(0.0, Releases(0.1, 10), 1e-5), "epsilon 0: must be a positive, finite number"),
        (lambda: noise_for(1e-9, Releases(0.1, 10), 1e-5), "no noise gives epsilon 1e-09"),
    ],
)
def test_what_cannot_be_accounted_for_is_refused_in_a_line(make, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=said):
        make()


def test_without_opacus_there_is_one_line_that_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opacus.accountants", None)
    with pytest.raises(
        ValueError, match=r"opacus, which accounts for ε, is not installed: pip install .*\[federated\]"
    ):
        epsilon(1.234, Releases(0.1234, 10), 1e-5)


def test_the_claimed_epsilon_is_monotone_and_goes_to_none_with_the_noise() -> None:
    claims = [claimed_epsilon(sigma, 0.01, 1000, 1e-4) for sigma in (0.5, 1.0, 5.0, 1000.0)]
    assert claims == sorted(claims, reverse=True) and claims[-1] < 0.2
    assert claimed_epsilon(0.0, 0.01, 1000, 1e-4) == math.inf
    assert claimed_epsilon(noise_claimed_for(2.0, 0.01, 1000, 1e-4), 0.01, 1000, 1e-4) == pytest.approx(2, rel=5e-3)
    with pytest.raises(ValueError, match="no noise claims epsilon 1e-05"):
        noise_claimed_for(1e-5, 0.01, 1000, 1e-4)
