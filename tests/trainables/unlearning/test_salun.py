"""SalUn against its published formula (arXiv 2310.12508) and a sort."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from formula import epsilon_of, in_float64, noised, start

from trainables.relearning.products import Workbench
from trainables.unlearning import METHODS, Problem
from trainables.unlearning.salun import SalUn, salient

BATCH, FORGOTTEN, KEPT = 8, 2, 6
VALUES = {"batch": BATCH, "forget_share": 0.25, "condition_dropout": 0.5, "lambda_ratio": 3.0}


@pytest.mark.parametrize("variant", ["random_label", "gradient_ascent"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_loss_is_its_formula(bench: Workbench, problem: Problem, seed: int, variant: str) -> None:
    """Published: MSE(ε_θ(x_f, c_f), sg ε_θ(x_f, c_alt)) + α Σ-scale DSM(D_r); per element α = λ_r / λ_f = 1/3."""
    problem, model = in_float64(problem), start(bench).double()
    member = METHODS["salun"]
    settings = member.configure(VALUES | {"variant": variant})
    with torch.no_grad():
        value = member.loss(problem, settings)(model, torch.Generator().manual_seed(seed))

        g = torch.Generator().manual_seed(seed)
        x_f = problem.forget.images[torch.randint(len(problem.forget), (FORGOTTEN,), generator=g)]
        epsilon_f = torch.randn(FORGOTTEN, 1, 8, 8, generator=g).double()
        t_f = torch.randint(1000, (FORGOTTEN,), generator=g)
        drawn = torch.randint(len(problem.retain), (KEPT,), generator=g)
        c_r = torch.where(torch.rand(KEPT, generator=g) < 0.5, torch.tensor(10), problem.retain.conditions[drawn])
        epsilon_r = torch.randn(KEPT, 1, 8, 8, generator=g).double()
        t_r = torch.randint(1000, (KEPT,), generator=g)

        x_t = noised(x_f, epsilon_f, t_f)
        output = epsilon_of(model, x_t, t_f, torch.full((FORGOTTEN,), 3))
        pseudo = epsilon_of(model, x_t, t_f, torch.full((FORGOTTEN,), 4))
        predicted = epsilon_of(model, noised(problem.retain.images[drawn], epsilon_r, t_r), t_r, c_r)
        pixels = 64
        retain_sum = (epsilon_r - predicted).square().sum(dim=(1, 2, 3)).mean()
        if variant == "random_label":  # a mean and a sum over pixels, as published
            alpha = (1 / 3) / pixels
            published = (pseudo - output).square().mean() + alpha * retain_sum
            expected = 0.75 * published
        else:  # both are sums
            published = -(epsilon_f - output).square().sum(dim=(1, 2, 3)).mean() + (1 / 3) * retain_sum
            expected = 0.75 * published / pixels
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_target_is_not_moved(bench: Workbench, problem: Problem) -> None:
    """The stop-gradient: with no image of condition 4 to retain, its row has no gradient."""
    model, member = start(bench), METHODS["salun"]
    only_fives = problem.retain.where(problem.retain.conditions == 5)
    settings = member.configure({"batch": BATCH, "condition_dropout": 0.0})
    member.loss(replace(problem, retain=only_fives), settings)(model, torch.Generator().manual_seed(0)).backward()
    gradient = model.class_embedding.weight.grad.abs().sum(dim=1)
    assert gradient[3] > 0 and gradient[4] == 0


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 1.0])
def test_the_mask_is_the_most_salient_share_of_all_weights_together(problem: Problem, fraction: float) -> None:
    saliency = problem.shared["saliency"]
    mask = salient(saliency, fraction)
    values = np.concatenate([s.numpy().ravel() for s in saliency.values()])
    chosen = np.concatenate([m.numpy().ravel() for m in mask.values()]).astype(bool)
    assert chosen.sum() == int(fraction * len(values))
    if 0 < fraction < 1:
        assert values[chosen].min() >= values[~chosen].max()
        shares = {m.mean().item() for m in mask.values()}
        assert len(shares) > 5, "over all layers, not layer by layer"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("fraction", [0.0, 1e-3, 0.37, 0.5, 0.999, 1.0])
def test_the_mask_is_what_a_stable_sort_chooses(fraction: float, dtype: torch.dtype) -> None:
    """To the bit, of equal weights the first: half are 0, as where no gradient goes, and the others have few values."""
    g = torch.Generator().manual_seed(0)
    shapes = {"a": (40, 7), "b": (3,), "c": (5, 4, 3, 3), "d": (400,)}
    saliency = {
        n: (torch.randn(s, generator=g).abs() * 4).round().sub(3).relu().to(dtype) / 7 for n, s in shapes.items()
    }
    flat = torch.cat([s.flatten() for s in saliency.values()])
    order = torch.argsort(flat, descending=True, stable=True)
    expected = torch.zeros_like(flat).index_fill(0, order[: int(fraction * len(flat))], 1)
    mask = salient(saliency, fraction)
    assert {name: m.shape for name, m in mask.items()} == {name: s.shape for name, s in saliency.items()}
    assert torch.equal(torch.cat([m.flatten() for m in mask.values()]), expected) and expected.dtype == dtype


@pytest.mark.parametrize("trained", ["all", "rest"])
def test_only_salient_weights_move(bench: Workbench, problem: Problem, trained: str) -> None:
    member = METHODS["salun"]
    settings = member.configure({"batch": BATCH, "steps": 3, "mask_fraction": 0.2, "trained_parameters": trained})
    run = member.begin(start(bench), problem, settings, 0)
    run.advance(3)
    mask = salient(problem.shared["saliency"], 0.2)
    moved = {n: p != dict(problem.base.named_parameters())[n] for n, p in run.trained().named_parameters()}
    assert not any((m & (mask[n] == 0)).any() for n, m in moved.items()), "no other weight moves"
    share = sum(m.sum() for m in moved.values()) / sum(mask[n].sum() for n in moved)
    assert share > 0.8, "and the salient ones do"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"variant": "relabel"}, "variant 'relabel' is none of random_label, gradient_ascent"),
        ({"mask_fraction": 1.5}, "mask_fraction must be from 0 to 1"),
        ({"alternative": "next"}, "alternative 'next' is none of"),
    ],
)
def test_settings_are_checked(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SalUn(**values)
