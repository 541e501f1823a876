"""SDD against its formula: a student that is its own target, and a teacher that is its moving average."""

from __future__ import annotations

import pytest
import torch
from ddim import literal_chains
from diffusers import UNet2DModel
from formula import epsilon_of, in_float64, noised, start

from trainables.denoisers.models import trained_parameters
from trainables.fine_tuning import FineTuning
from trainables.relearning.products import Workbench
from trainables.unlearning import METHODS, Problem

BATCH, ERASED, KEPT = 8, 2, 6
GUIDANCE, STEPS, LAMBDA = 3.0, 4, 2.0
VALUES = {"batch": BATCH, "forget_share": 0.25, "condition_dropout": 0.5, "retain_weight": LAMBDA} | {
    "guidance": GUIDANCE,
    "chain_steps": STEPS,
    "steps": 4,
    "learning_rate": 1e-2,
    "ema_decay": 0.9,
    "trained_parameters": "all",
}


def begin(bench: Workbench, problem: Problem, double: bool = False, **values: object) -> FineTuning:
    model = start(bench).double() if double else start(bench)
    run = METHODS["sdd"].begin(model, problem, METHODS["sdd"].configure(VALUES | values), 0)
    assert isinstance(run, FineTuning)
    return run


def averaged(bench: Workbench, run: FineTuning, which: str) -> UNet2DModel:
    """Another model with the run's averaged weights."""
    model = start(bench).double()
    with torch.no_grad():
        for parameter, average in zip(trained_parameters(model, which).values(), run.average, strict=True):
            parameter.copy_(average)
    return model


@pytest.mark.parametrize("which", ["all", "condition"])
@pytest.mark.parametrize("retain_weight", [0.0, LAMBDA])
def test_the_loss_and_its_gradient_are_the_formulas(
    bench: Workbench, problem: Problem, retain_weight: float, which: str
) -> None:
    """‖sg ε_θ(z_t, ∅) - ε_θ(z_t, c_f)‖² + λ · DSM(D_r), z_t of the average of three steps' weights."""
    problem = in_float64(problem)
    run = begin(bench, problem, double=True, retain_weight=retain_weight, trained_parameters=which)
    run.advance(3)
    teacher, model = averaged(bench, run, which), run.model
    assert any(not torch.equal(a, b) for a, b in zip(teacher.parameters(), model.parameters(), strict=True))
    g = torch.Generator()
    g.set_state(run.generator.get_state())
    run.clear_gradient()
    value = run.gradient(run)

    n = ERASED if retain_weight else BATCH
    torch.randint(len(problem.forget), (n,), generator=g)  # which forgotten condition; here there is one
    c_f, null = torch.full((n,), 3), torch.full((n,), 10)
    z_t, t = literal_chains(teacher, c_f, STEPS, GUIDANCE, g)
    target = epsilon_of(model, z_t, t, null).detach()
    expected = ((target - epsilon_of(model, z_t, t, c_f)) ** 2).mean()
    if retain_weight:
        drawn = torch.randint(len(problem.retain), (KEPT,), generator=g)
        c = torch.where(torch.rand(KEPT, generator=g) < 0.5, torch.tensor(10), problem.retain.conditions[drawn])
        epsilon = torch.randn(KEPT, 1, 8, 8, generator=g).double()
        t = torch.randint(1000, (KEPT,), generator=g)
        predicted = epsilon_of(model, noised(problem.retain.images[drawn], epsilon, t), t, c)
        expected = expected + retain_weight * ((epsilon - predicted) ** 2).mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    found = torch.cat([p.grad.flatten() for p in run.parameters])
    written_out = torch.cat([g.flatten() for g in torch.autograd.grad(expected, run.parameters)])
    assert (found - written_out).norm() <= 1e-6 * written_out.norm()


def test_no_condition_is_not_pulled_towards_the_forgotten_one(bench: Workbench, problem: Problem) -> None:
    """The stop-gradient: without a retain term only the forgotten condition's row has a gradient."""
    run = begin(bench, problem, retain_weight=0.0)
    run.gradient(run)
    gradient = run.model.class_embedding.weight.grad.abs().sum(dim=1)
    assert gradient[3] > 0 and gradient[10] == 0


def test_a_continued_run_has_the_same_teacher(bench: Workbench, problem: Problem) -> None:
    run, continued = begin(bench, problem), begin(bench, problem)
    run.advance(2)
    continued.restore(run.state())
    teachers = [r.gradient.teacher(r) for r in (run, continued)]  # type: ignore[attr-defined]
    pairs = zip(*(teacher.parameters() for teacher in teachers), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(teachers[0].conv_in.weight, problem.base.conv_in.weight)
    assert not any(p.requires_grad for p in teachers[0].parameters())


def test_the_teacher_is_the_result(bench: Workbench, problem: Problem) -> None:
    run = begin(bench, problem)
    run.advance(4)
    teacher = run.gradient.teacher(run)  # type: ignore[attr-defined]
    for a, b in zip(teacher.parameters(), run.trained().parameters(), strict=True):
        assert torch.equal(a, b)


def test_there_is_no_teacher_without_an_average() -> None:
    with pytest.raises(ValueError, match="ema_decay is the teacher's"):
        METHODS["sdd"].configure({"ema_decay": 0.0})


def test_of_what_does_not_train_the_teacher_has_no_copy(bench: Workbench, problem: Problem) -> None:
    """At the size of Stable Diffusion a second one would be gigabytes beside a few trained weights."""
    run = begin(bench, problem, trained_parameters="condition")
    teacher = run.gradient.teacher(run)  # type: ignore[attr-defined]
    ours, theirs = (dict(m.named_parameters()) for m in (run.model, teacher))
    trained = set(trained_parameters(run.model, "condition"))
    assert {n for n in ours if ours[n].data_ptr() != theirs[n].data_ptr()} == trained
    assert not any(p.requires_grad for p in theirs.values()) and all(ours[n].requires_grad for n in trained)
