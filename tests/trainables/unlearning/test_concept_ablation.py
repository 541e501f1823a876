"""Concept Ablation against its formulas, both variants; its anchors."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from formula import epsilon_of, in_float64, noised, start

from trainables.data import DATASETS, Images
from trainables.forgetting import parse_forget
from trainables.relearning.products import Workbench
from trainables.unlearning import METHODS, Problem

BATCH, ABLATED, KEPT, ANCHORS = 8, 2, 6, 5
VALUES = {"batch": BATCH, "forget_share": 0.25, "lambda_ratio": 3.0, "condition_dropout": 0.5} | {
    "alternative": "class_fixed",
    "anchor_images": ANCHORS,
}


def two_forgotten(problem: Problem) -> Problem:
    """Classes 3 and 7 to be forgotten."""
    two = parse_forget("3,7", DATASETS["digits"])
    both = Images(
        torch.cat([problem.forget.images, problem.retain.images]),
        torch.cat([problem.forget.conditions, problem.retain.conditions]),
    )
    forget, retain = two.split(both)
    return replace(problem, forgetting=two, forget=forget, retain=retain)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("variant", ["noise", "model"])
def test_the_loss_and_its_gradient_are_the_formulas(
    bench: Workbench, problem: Problem, variant: str, seed: int
) -> None:
    """λ_f · ‖ε_θ(x_t, c_f) - (ε or ε₀(x_t, c_alt))‖² on θ₀'s images of c_alt + λ_r · DSM(D_r): 3 and 7 anchored at 4 and 8."""
    problem, model = in_float64(two_forgotten(problem)), start(bench).double()
    with torch.no_grad():
        model.conv_in.weight.mul_(1.1)  # no longer θ₀
    settings = METHODS["concept_ablation"].configure(VALUES | {"variant": variant})
    value = METHODS["concept_ablation"].loss(problem, settings)(model, torch.Generator().manual_seed(seed))

    images = {c: problem.generated(c, ANCHORS) for c in (4, 8)}
    g = torch.Generator().manual_seed(seed)
    c_f = problem.forget.conditions[torch.randint(len(problem.forget), (ABLATED,), generator=g)]
    which = torch.randint(ANCHORS, (ABLATED,), generator=g)
    epsilon_f = torch.randn(ABLATED, 1, 8, 8, generator=g).double()
    t_f = torch.randint(1000, (ABLATED,), generator=g)
    x = torch.stack([images[int(c) + 1][i] for c, i in zip(c_f, which, strict=True)])
    x_t = noised(x, epsilon_f, t_f)
    target = epsilon_f if variant == "noise" else epsilon_of(problem.base, x_t, t_f, c_f + 1)
    ablate = ((epsilon_of(model, x_t, t_f, c_f) - target) ** 2).mean()
    drawn = torch.randint(len(problem.retain), (KEPT,), generator=g)
    c = torch.where(torch.rand(KEPT, generator=g) < 0.5, torch.tensor(10), problem.retain.conditions[drawn])
    epsilon = torch.randn(KEPT, 1, 8, 8, generator=g).double()
    t = torch.randint(1000, (KEPT,), generator=g)
    predicted = epsilon_of(model, noised(problem.retain.images[drawn], epsilon, t), t, c)
    expected = 0.75 * ablate + 0.25 * ((epsilon - predicted) ** 2).mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    parameters = list(model.conv_in.parameters())
    pairs = zip(torch.autograd.grad(value, parameters), torch.autograd.grad(expected, parameters), strict=True)
    for found, written_out in pairs:
        assert (found - written_out).norm() <= 1e-6 * written_out.norm()


def test_one_anchor_of_two_conditions_is_generated_once(problem: Problem) -> None:
    asked: list[int] = []

    def generated(condition: int, n: int) -> torch.Tensor:
        asked.append(condition)
        return problem.generated(condition, n)

    settings = METHODS["concept_ablation"].configure(VALUES | {"alternative": "class_nearest"})
    METHODS["concept_ablation"].loss(replace(two_forgotten(problem), generated=generated), settings)
    assert len(asked) == 1 and asked[0] not in (3, 7)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"alternative": "class_random"}, "alternative 'class_random' is no anchor"),
        ({"alternative": "grumpy"}, "alternative 'grumpy' is none of"),
        ({"variant": "both"}, "variant 'both' is none of noise, model"),
        ({"anchor_images": 0}, "anchor_images must be at least 1"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        METHODS["concept_ablation"].configure(values)
