"""Membership audits: on planted losses, on known cases, and on a real model that has learned sixteen images by heart."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import UNet2DModel

from trainables.audits import AUDITS, MOST, Audited, Shadows, auc, audit, first_alike, image_losses
from trainables.audits.denoising_loss import denoising_loss, true_positive_rate
from trainables.audits.shadow import LIKELIHOOD_MODELS, likelihood_ratio, per_image, shadow
from trainables.data import DATASETS, Images
from trainables.denoisers.models import build
from trainables.denoisers.recipes import BaseModel
from trainables.diffusion import Diverged, noise_schedule
from trainables.diffusion import denoising_loss as dsm
from trainables.fine_tuning import FineTuning, Optimisation
from trainables.relearning.products import Workbench
from trainables.relearning.products.images import forget_set_of, strangers_of
from trainables.training.device import Device
from trainables.unlearning import Problem

N = 300  # not more than an audit looks at


def distinct(n: int, first: int = 0) -> Images:
    """n images of which no two are alike."""
    return Images(torch.arange(first, first + n).float()[:, None, None, None].expand(n, 1, 8, 8), torch.zeros(n).long())


def planted(members: np.ndarray, strangers: np.ndarray, shadows: Shadows | None = None) -> Audited:
    """An audit of a model whose losses are these."""
    images = distinct(len(members)), distinct(len(strangers), len(members))
    audited = Audited(None, None, *images, Device(), shadows)  # type: ignore[arg-type]
    audited.__dict__["losses"] = members, strangers
    return audited


def normal(n: int, mean: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 0.1, n)


def test_who_was_never_trained_on_cannot_be_told_from_a_stranger() -> None:
    """θ*: members and strangers have losses of one distribution."""
    figures = denoising_loss(planted(normal(N, 1, 0), normal(N, 1, 1)))
    assert figures["membership_auc"] == pytest.approx(0.5, abs=0.05)
    assert figures["membership_tpr"] == pytest.approx(0.05, abs=0.03)
    assert figures["denoising_gap"] == pytest.approx(0, abs=0.03)


def test_members_with_lower_losses_are_found() -> None:
    figures = denoising_loss(planted(normal(N, 0.8, 0), normal(N, 1, 1)))
    assert figures["membership_auc"] == pytest.approx(0.921, abs=0.02), "Φ(.2 / (.1 √2))"
    assert figures["membership_tpr"] == pytest.approx(0.639, abs=0.07), "Φ(2 - 1.645)"
    assert figures["denoising_gap"] == pytest.approx(0.2, abs=0.02)
    over = denoising_loss(planted(normal(N, 1.2, 0), normal(N, 1, 1)))
    assert over["membership_auc"] < 0.1 and over["denoising_gap"] < 0, "forgotten so hard that it shows"


def test_the_auc_counts_pairs() -> None:
    rng = np.random.default_rng(0)
    members, strangers = rng.integers(0, 6, 23).astype(float), rng.integers(0, 5, 31).astype(float)
    pairs = [(m > s) + 0.5 * (m == s) for m in members for s in strangers]
    assert auc(members, strangers) == pytest.approx(np.mean(pairs))
    assert auc(np.ones(3), np.ones(4)) == 0.5


@pytest.mark.parametrize(("strangers", "allowed"), [(100, 5), (39, 1), (19, 0)])
def test_at_most_a_twentieth_of_the_strangers_is_taken_for_members(strangers: int, allowed: int) -> None:
    scores = np.arange(strangers, dtype=float)
    assert true_positive_rate(scores, scores, 0.05) == pytest.approx(allowed / strangers)
    assert true_positive_rate(np.array([strangers - 0.5, -1.0]), scores, 0.05) == 0.5
    assert true_positive_rate(np.zeros(7), np.zeros(strangers), 0.05) == 0, "a tie finds nobody"


def planted_shadows(models: int, shift: float, seed: int = 0, images: int = 2 * N) -> tuple[Shadows, np.ndarray]:
    """Shadow models of images of very unequal difficulty, whose log loss falls by `shift` where trained on; and it."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(0, 1, images)
    trained_on = rng.random((models, images)) < 0.5
    log_loss = difficulty + rng.normal(0, 0.1, (models, images)) - shift * trained_on
    return Shadows(np.exp(log_loss), trained_on), difficulty


@pytest.mark.parametrize("models", [4, 16])
def test_shadow_models_take_difficulty_out(models: int) -> None:
    """The loss alone hardly tells; calibrated by what shadow models say of the same image, it does."""
    shadows, difficulty = planted_shadows(models, shift=0.3)
    noise = np.random.default_rng(1).normal(0, 0.1, 2 * N)
    betrayed = np.exp(difficulty + noise - 0.3 * (np.arange(2 * N) < N))
    audited = planted(betrayed[:N], betrayed[N:], shadows)
    assert denoising_loss(audited)["membership_auc"] < 0.65
    assert shadow(audited)["shadow_auc"] > 0.93
    forgotten = np.exp(difficulty + noise)
    never = shadow(planted(forgotten[:N], forgotten[N:], shadows))["shadow_auc"]
    assert never == pytest.approx(0.5, abs=0.06)


def test_the_likelihood_ratio_is_two_normal_densities() -> None:
    from scipy.stats import norm

    rng = np.random.default_rng(0)
    losses, trained_on = rng.normal(0, 1, (8, 5)), rng.random((8, 5)) < 0.5
    loss = rng.normal(0, 1, 5)

    def pooled(those: np.ndarray) -> tuple[np.ndarray, float]:
        means = np.array([losses[those[:, i], i].mean() for i in range(5)])
        residuals = [losses[those[:, i], i] - means[i] for i in range(5)]
        freedom = sum(len(r) - 1 for r in residuals)
        return means, np.sqrt(sum((r**2).sum() for r in residuals) / freedom)

    (mean_in, sd_in), (mean_out, sd_out) = pooled(trained_on), pooled(~trained_on)
    expected = norm.logpdf(loss, mean_in, sd_in) - norm.logpdf(loss, mean_out, sd_out)
    assert likelihood_ratio(loss, losses, trained_on) == pytest.approx(expected)


@pytest.mark.parametrize("models", [LIKELIHOOD_MODELS - 1, LIKELIHOOD_MODELS])
def test_images_that_no_shadow_model_left_out_do_not_count(models: int) -> None:
    """Nor do those that none was trained on, for the ratio: the figure is that of the others alone."""
    shadows, difficulty = planted_shadows(models, shift=0.3)
    trained_on, losses = shadows.trained_on.copy(), np.exp(difficulty)
    trained_on[:, :100] = True  # a hundred members, and below a hundred strangers
    trained_on[:, N : N + 100] = True
    if models == LIKELIHOOD_MODELS:
        trained_on[:, 100:150] = False
    whole = shadow(planted(losses[:N], losses[N:], Shadows(shadows.losses, trained_on)))
    scrambled = losses.copy()
    scrambled[:100], scrambled[N : N + 100] = 1e-9, 1e9
    if models == LIKELIHOOD_MODELS:
        scrambled[100:150] = 1e-9
    again = shadow(planted(scrambled[:N], scrambled[N:], Shadows(shadows.losses, trained_on)))
    assert whole == again and 0.4 < whole["shadow_auc"] < 0.6


@pytest.mark.parametrize("models", [4, 16])
def test_without_anyone_to_tell_apart_there_is_no_shadow_figure(models: int) -> None:
    shadows, difficulty = planted_shadows(models, shift=0.3)
    losses = np.exp(difficulty)
    assert shadow(planted(losses[:N], losses[N:], None)) == {}
    seen = shadows.trained_on.copy()
    seen[:, :N] = True
    assert shadow(planted(losses[:N], losses[N:], replace(shadows, trained_on=seen))) == {}


def test_shadow_models_of_other_images_are_refused() -> None:
    shadows, difficulty = planted_shadows(4, 0.3)
    with pytest.raises(ValueError, match=f"asked about {2 * N} images, not these {2 * N - 1}"):
        shadow(planted(np.exp(difficulty[:N]), np.exp(difficulty[N:-1]), shadows))


def test_copies_are_one_image() -> None:
    images = Images(torch.tensor([5.0, 1, 5, 1, 7])[:, None, None, None], torch.tensor([0, 0, 0, 0, 0]))
    assert first_alike(images).tolist() == [0, 1, 0, 1, 4]
    others = replace(images, conditions=torch.tensor([0, 0, 1, 0, 0]))
    assert first_alike(others).tolist() == [0, 1, 2, 1, 4], "the same pixels under another condition are another image"


def test_a_model_that_was_trained_on_any_copy_was_trained_on_the_image() -> None:
    trained_on = np.array([[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], dtype=bool)
    members = Images(torch.tensor([5.0, 1, 5])[:, None, None, None], torch.zeros(3).long())
    audited = Audited(None, None, members, distinct(1), Device())  # type: ignore[arg-type]
    losses, seen = per_image(Shadows(np.arange(12.0).reshape(3, 4), trained_on), audited)
    assert seen.tolist() == [[1, 0, 0], [0, 0, 1], [1, 0, 0]]
    assert losses.tolist() == [[0, 1, 3], [4, 5, 7], [8, 9, 11]]


def test_of_many_images_some_are_looked_at_from_first_to_last() -> None:
    audited = Audited(None, None, distinct(3 * MOST), distinct(MOST), Device())  # type: ignore[arg-type]
    members, strangers = audited.distinct
    assert len(members) == len(strangers) == MOST and (members[0], members[-1]) == (0, 3 * MOST - 1)
    assert set(np.diff(members).tolist()) <= {2, 3, 4}
    assert strangers.tolist() == list(range(MOST))


def test_copies_do_not_count_as_independent(problem: Problem, bench: Workbench) -> None:
    """Three members, one of them a hundred times: the figures are those of three."""
    three, strangers = problem.forget.where(torch.arange(3)), strangers_of(bench)
    repeated = problem.forget.where(torch.tensor([0, 1, 2] + [1] * 100))
    once, often = (
        audit(Audited(problem.base, problem.schedule, members, strangers, Device())) for members in (three, repeated)
    )
    assert set(once) == {"membership_auc", "membership_tpr", "denoising_gap"}
    assert often == pytest.approx(once)


def test_no_members_or_no_strangers_no_figures(problem: Problem, bench: Workbench) -> None:
    none = strangers_of(bench).where(torch.zeros(len(strangers_of(bench)), dtype=torch.bool))
    assert audit(Audited(problem.base, problem.schedule, none, strangers_of(bench), Device())) == {}
    assert audit(Audited(problem.base, problem.schedule, forget_set_of(bench), none, Device())) == {}


def test_image_losses_are_their_formula(problem: Problem) -> None:
    """Mean over t of ‖ε - ε_θ(x_t, t, c)‖² with one ε for each t, written out, an image and a timestep at a time."""
    images = problem.retain.where(torch.tensor([0, 5, 9]))
    losses = image_losses(problem.base, problem.schedule, images, Device(), draws=4)
    epsilon = torch.randn((4, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0)
    for image, condition, loss in zip(images.images, images.conditions, losses, strict=True):
        parts = []
        for t, e in zip((125, 375, 625, 875), epsilon, strict=True):
            x_t = alpha_bar[t].sqrt() * image + (1 - alpha_bar[t]).sqrt() * e
            with torch.no_grad():
                predicted = problem.base(x_t[None], torch.tensor([t]), class_labels=condition[None]).sample
            parts.append(((e - predicted) ** 2).mean().item())
        assert loss == pytest.approx(np.mean(parts), rel=1e-5)


def test_a_model_whose_denoising_loss_is_not_finite_has_diverged(problem: Problem) -> None:
    broken = copy.deepcopy(problem.base)
    with torch.no_grad():
        broken.conv_out.weight.fill_(1e30)
    with pytest.raises(Diverged, match=r"^3 of 3 images' denoising losses are not finite$"):
        image_losses(broken, problem.schedule, problem.retain.where(torch.arange(3)), Device(), draws=2)


def test_an_images_loss_depends_neither_on_the_others_nor_on_the_batch(problem: Problem) -> None:
    images = problem.forget.where(torch.arange(7))
    whole = image_losses(problem.base, problem.schedule, images, Device(), draws=3)
    parts = image_losses(problem.base, problem.schedule, images, Device(), draws=3, batch=5)
    alone = image_losses(problem.base, problem.schedule, images.where(torch.tensor([4])), Device(), draws=3)
    assert whole.shape == (7,) and whole.dtype == np.float64 and (whole > 0).all()
    assert parts == pytest.approx(whole, rel=1e-5) and alone[0] == pytest.approx(whole[4], rel=1e-5)
    assert image_losses(problem.base, problem.schedule, images.where(torch.arange(0)), Device()).shape == (0,)


def test_a_model_that_learned_sixteen_images_by_heart_betrays_them() -> None:
    """A real model overfitted on 16 digits, against 60 it never saw; a fresh one tells nothing."""
    data = DATASETS["digits_duplicated"]
    splits, schedule = data.load(), noise_schedule()
    members, strangers = splits.train.where(torch.arange(16)), splits.test.where(torch.arange(60))
    torch.manual_seed(0)  # initial weights draw from the global generator
    model = build(BaseModel(channels=(16, 16)).config(data))

    def figures() -> dict[str, float]:
        return audit(Audited(model, schedule, members, strangers, Device()))

    fresh = figures()

    def by_heart(model: UNet2DModel, generator: torch.Generator) -> torch.Tensor:
        return dsm(model, schedule, members.images, members.conditions, generator)

    FineTuning(model, by_heart, Optimisation(1e-2, 350, schedule="one-cycle"), 0, Device()).advance(350)
    learned = figures()
    assert learned["membership_auc"] > 0.97 and learned["membership_tpr"] > 0.8 and learned["denoising_gap"] > 0.02
    assert abs(fresh["membership_auc"] - 0.5) < 0.2


def test_every_audits_figures_are_named_by_the_audits() -> None:
    assert AUDITS.names() == ["denoising_loss", "shadow"]
