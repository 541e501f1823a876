"""What every unlearning method must do, whoever wrote it: each check takes a method's name and a problem it can forget."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, replace

import pytest
import safetensors.torch
import torch
from diffusers import UNet2DModel

from trainables.data import Images
from trainables.denoisers.models import LORA, trained_parameters
from trainables.diffusion import Diverged, noise_schedule
from trainables.fine_tuning import FineTuning, Run
from trainables.forgetting import CONDITIONS, INSTANCES
from trainables.training.device import Device
from trainables.unlearning import METHODS, MethodSettings, Problem

BATCH, STEPS = 8, 4

OF_THE_RETAIN_SET_ALONE = {"fine_tune"}

Check = Callable[[str, Problem], None]


def settings_of(method: str, **values: object) -> MethodSettings:
    usual = {} if METHODS[method].closed_form else {"steps": STEPS, "batch": BATCH, "learning_rate": 1e-2}
    return METHODS[method].configure(usual | values)


def copy_of(model: UNet2DModel) -> UNet2DModel:
    """A copy of a model, to be trained."""
    return deepcopy(model).requires_grad_(True)


def begin(method: str, problem: Problem, seed: int = 1, **values: object) -> Run:
    return METHODS[method].begin(copy_of(problem.base), problem, settings_of(method, **values), seed)


def weights(run: Run) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in run.trained().state_dict().items()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def everything_in(problem: Problem) -> dict[str, torch.Tensor]:
    tensors = {f"base.{k}": v for k, v in problem.base.state_dict().items()}
    for name, images in (("forget", problem.forget), ("retain", problem.retain)):
        tensors |= {f"{name}.images": images.images, f"{name}.conditions": images.conditions}
    for name, shared in problem.shared.items():
        tensors |= {f"{name}.{k}": v for k, v in shared.items()}
    return {k: v.clone() for k, v in tensors.items()}


def its_seed_alone_decides_its_weights(method: str, problem: Problem) -> None:
    results = []
    for seed in (1, 1, 2):
        run = begin(method, problem, seed)
        torch.randn(3)  # nothing may come from the global generator
        assert run.advance(run.steps)
        results.append(weights(run))
    assert equal(results[0], results[1]), "one seed gave two results"
    assert not equal(results[0], results[2]), "two seeds gave one result"
    assert not equal(results[0], dict(problem.base.state_dict())), "the start model moves"


def it_leaves_the_problem_as_it_was(method: str, problem: Problem) -> None:
    before = everything_in(problem)
    run = begin(method, problem)
    run.advance(run.steps)
    run.trained()
    assert equal(before, everything_in(problem)), "θ₀, the sets and the shared artifacts are not its to change"
    assert not any(p.requires_grad for p in problem.base.parameters())
    assert all(p.grad is None for p in problem.base.parameters())


def it_goes_on_from_a_checkpoint_to_the_same_weights(method: str, problem: Problem) -> None:
    """Stop at half, continue in a new run with another seed from the checkpoint's bytes: equal weights, equal state."""
    for values in ({}, {"ema_decay": 0.9}):
        whole = begin(method, problem, **values)
        whole.advance(whole.steps)
        half = begin(method, problem, **values)
        assert half.advance(STEPS // 2)
        stored = safetensors.torch.load(safetensors.torch.save(half.state()))
        continued = begin(method, problem, seed=99, **values)
        continued.restore(stored)
        assert continued.step == STEPS // 2
        assert continued.advance(continued.steps)
        ends = whole.state(), continued.state()
        assert ends[0].keys() == ends[1].keys()
        for name in ends[0]:
            assert ends[0][name].numpy().tobytes() == ends[1][name].numpy().tobytes(), f"{name} was not restored"
        assert equal(weights(whole), weights(continued))


def it_stops_at_a_deadline_and_still_gets_on(method: str, problem: Problem) -> None:
    run = begin(method, problem)
    for step in range(1, STEPS):
        assert not run.advance(run.steps, deadline=-math.inf)
        assert run.step == step
    assert run.advance(run.steps, deadline=-math.inf) and run.step == STEPS


def a_loss_that_is_not_finite_is_a_divergence_with_its_step(method: str, problem: Problem) -> None:
    """Also where the run is stopped and continued elsewhere between the step and the next look at the loss."""
    for restarted in (False, True):
        run = begin(method, problem)
        assert run.advance(2)
        with torch.no_grad():
            next(p for p in run.model.parameters() if p.requires_grad).fill_(float("nan"))
        if restarted:
            assert not run.advance(run.steps, deadline=-math.inf)
            stored, run = run.state(), begin(method, problem)
            run.restore(stored)
        with pytest.raises(Diverged, match=f"step 3 of {STEPS}"):
            run.advance(run.steps)


def only_its_trained_parameters_move(method: str, problem: Problem) -> None:
    run = begin(method, problem, trained_parameters="rest")
    run.advance(run.steps)
    base, now = dict(problem.base.named_parameters()), dict(run.trained().named_parameters())
    moved = {name for name in base if not torch.equal(base[name], now[name])}
    assert moved and moved <= set(trained_parameters(problem.base, "rest"))


def it_trains_low_rank_factors_or_refuses_to(method: str, problem: Problem) -> None:
    """Its product is a plain model, in which linear and convolution weights moved; also from a checkpoint, and averaged."""
    values = {"trained_parameters": LORA, "lora_rank": 2, "ema_decay": 0.9}
    if METHODS[method].needs:
        with pytest.raises(ValueError, match=r"which low-rank factors have none of; choose other parameters"):
            settings_of(method, **values)
        return
    whole, half = (begin(method, problem, **values) for _ in range(2))
    assert whole.advance(whole.steps) and half.advance(STEPS // 2)
    continued = begin(method, problem, seed=99, **values)
    continued.restore(half.state())
    assert continued.advance(continued.steps)
    now, base = weights(whole), dict(problem.base.state_dict())
    assert equal(now, weights(continued))
    assert now.keys() == base.keys()
    matrices = (torch.nn.Linear, torch.nn.Conv2d)
    factored = {f"{n}.weight" for n, m in problem.base.named_modules() if isinstance(m, matrices)}
    moved = {name for name in base if not torch.equal(base[name], now[name])}
    assert moved and moved <= factored


def its_step_is_a_mean(method: str, problem: Problem) -> None:
    """Larger batches do not make the loss larger."""
    means = []
    for batch in (16, 256):
        run = begin(method, problem, batch=batch)
        assert isinstance(run, FineTuning)
        values = []
        for _ in range(4):
            run.clear_gradient()
            values.append(run.gradient(run).item())
        means.append(sum(values) / len(values))
    assert 0.5 < means[1] / means[0] < 2, f"of batches of 16 and of 256 the loss is {means}"


def its_shapes_are_right_without_values(method: str, problem: Problem) -> None:
    """On the meta device there are shapes and nothing else: no step may look at a value, which would make a GPU wait."""
    elsewhere = on_meta(problem)
    settings = settings_of(method)
    member = METHODS[method]
    run = member.begin(copy_of(problem.base).to("meta"), elsewhere, settings, 0)
    assert isinstance(run, FineTuning)
    loss = run.gradient(run)
    assert loss.shape == () and loss.device.type == "meta"
    with_gradient = [p for p in run.parameters if p.grad is not None]
    assert with_gradient and all(p.grad is not None and p.grad.shape == p.shape for p in with_gradient)


def on_meta(problem: Problem) -> Problem:
    base = copy_of(problem.base).to("meta").requires_grad_(False)
    shared = {name: {k: v.to("meta") for k, v in tensors.items()} for name, tensors in problem.shared.items()}
    schedule = noise_schedule()  # of its own: a scheduler moves its table to whatever device it last saw
    return replace(problem, base_model=lambda: base, device=Device("meta"), shared=shared, schedule=schedule)


def its_settings_are_checked_and_travel(method: str, problem: Problem) -> None:
    member = METHODS[method]
    settings = member.configure({})
    assert member.configure(json.loads(json.dumps(asdict(settings)))) == settings
    with pytest.raises(ValueError, match=r"has no setting learning_rat; it has .*learning_rate"):
        member.configure({"learning_rat": 1e-3})
    for values in ({"learning_rate": 0.0}, {"steps": -1}, {"batch": 1}, {"trained_parameters": "none"}):
        with pytest.raises(ValueError):
            member.configure(values)


def it_refuses_what_it_cannot_forget(method: str, problem: Problem) -> None:
    member = METHODS[method]
    assert problem.forgetting.kind in member.forgets
    for kind in {CONDITIONS, INSTANCES} - set(member.forgets):
        other = replace(problem.forgetting, instances=() if kind == CONDITIONS else (0,))
        with pytest.raises(ValueError, match=f"forgets {member.forgets[0]}, not"):
            member.check_forgets(other)


def it_forgets_several_conditions_at_once(method: str, problem: Problem) -> None:
    """Every forgotten condition is trained on: the embedding row of each moves, or none does."""
    if problem.forgetting.kind == INSTANCES:
        pytest.skip("an unconditional model has no rows")
    from trainables.data import DATASETS
    from trainables.forgetting import parse_forget

    two = parse_forget("3,7", DATASETS["digits"])
    both = Images(
        torch.cat([problem.forget.images, problem.retain.images]),
        torch.cat([problem.forget.conditions, problem.retain.conditions]),
    )
    forget, retain = two.split(both)
    # The problem's own shared artifacts are those of one condition; of these, every weight matters alike.
    shared = {name: {k: torch.ones_like(v) for k, v in tensors.items()} for name, tensors in problem.shared.items()}
    run = begin(method, replace(problem, forgetting=two, forget=forget, retain=retain, shared=shared), batch=64)
    run.advance(run.steps)
    row, base = run.model.class_embedding.weight, problem.base.class_embedding.weight
    assert torch.equal(row[3], base[3]) == torch.equal(row[7], base[7])


def what_is_to_be_forgotten_decides_its_weights(method: str, problem: Problem) -> None:
    """Another class, of images of noise, is to be forgotten, and what is to be kept is the same: other weights."""
    if problem.forgetting.kind == INSTANCES:
        pytest.skip("of an unconditional model there is no other class")
    if method in OF_THE_RETAIN_SET_ALONE:
        pytest.skip("it hopes that what is not rehearsed is forgotten")
    from trainables.data import DATASETS
    from trainables.forgetting import parse_forget

    noise = torch.randn(problem.forget.images.shape, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    other = Images(noise, torch.full_like(problem.forget.conditions, 7))
    results = []
    for asked in (problem, replace(problem, forget=other, forgetting=parse_forget("7", DATASETS["digits"]))):
        run = begin(method, asked)
        assert run.advance(run.steps)
        results.append(weights(run))
    assert not equal(*results), "whatever is to be forgotten, its weights are the same"


def its_edit_is_the_same_whatever_its_seed(method: str, problem: Problem) -> None:
    results = []
    for seed in (1, 2):
        run = begin(method, problem, seed)
        torch.randn(3)
        assert run.advance(run.steps)
        results.append(weights(run))
    assert equal(*results) and not equal(results[0], dict(problem.base.state_dict()))


def its_edit_goes_on_from_every_step(method: str, problem: Problem) -> None:
    """Stopped after each step in turn, continued from the checkpoint's bytes in a new run: equal weights, state and facts."""
    whole = begin(method, problem)
    assert whole.advance(whole.steps)
    for step in range(whole.steps + 1):
        half, continued = begin(method, problem), begin(method, problem, seed=99)
        assert half.advance(step)
        continued.restore(safetensors.torch.load(safetensors.torch.save(half.state())))
        assert continued.step == step and continued.advance(continued.steps)
        assert equal(dict(whole.state()), dict(continued.state())) and whole.facts == continued.facts
        assert equal(weights(whole), weights(continued)) and whole.last_loss == continued.last_loss


def its_edits_settings_travel(method: str, problem: Problem) -> None:
    member = METHODS[method]
    settings = member.configure({})
    assert member.configure(json.loads(json.dumps(asdict(settings)))) == settings
    with pytest.raises(ValueError, match="has no setting steps; it has"):
        member.configure({"steps": 3})


CHECKS: tuple[Check, ...] = (
    its_seed_alone_decides_its_weights,
    it_leaves_the_problem_as_it_was,
    it_goes_on_from_a_checkpoint_to_the_same_weights,
    it_stops_at_a_deadline_and_still_gets_on,
    a_loss_that_is_not_finite_is_a_divergence_with_its_step,
    only_its_trained_parameters_move,
    it_trains_low_rank_factors_or_refuses_to,
    its_settings_are_checked_and_travel,
    it_refuses_what_it_cannot_forget,
    it_forgets_several_conditions_at_once,
    what_is_to_be_forgotten_decides_its_weights,
)
STEP_CHECKS: tuple[Check, ...] = (its_step_is_a_mean, its_shapes_are_right_without_values)
"""For methods whose run is fine-tuning: one that begins a run of its own has more than one loss and answers for itself."""

EDIT_CHECKS: tuple[Check, ...] = (
    its_edit_is_the_same_whatever_its_seed,
    it_leaves_the_problem_as_it_was,
    its_edit_goes_on_from_every_step,
    its_edits_settings_travel,
    it_refuses_what_it_cannot_forget,
)
"""For closed forms, on prompts: a run of theirs draws nothing and is not fine-tuned."""
