"""What trains is in float32 and what is frozen in bf16, in models, checkpoints and artifacts; predictions stay as they were."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import UNet2DModel
from text_problem import text_problem, text_unet

from trainables.attacks import ATTACKS, Target
from trainables.data import DATASETS, Images
from trainables.denoisers.dit import DiT
from trainables.denoisers.models import parameters_to_train, trained_parameters
from trainables.denoisers.recipes import BaseModel
from trainables.denoisers.weights import changed_weights, weights_of
from trainables.fine_tuning import FineTuning
from trainables.relearning.diagnostics import Landmarks, diagnose
from trainables.store import Store
from trainables.training.device import Device
from trainables.training.lora import add_factors, merge
from trainables.training.precision import check_trained, lower, raise_to
from trainables.unlearning import METHODS, Problem

HALF = Device(precision="bf16")
STEPS = 2
DIT: dict[str, Any] = {
    "num_attention_heads": 2, "attention_head_dim": 8, "in_channels": 4, "num_layers": 2, "sample_size": 8, "patch_size": 2,
    "num_embeds_ada_norm": 10,
}  # fmt: skip
NORMS = (torch.nn.GroupNorm, torch.nn.LayerNorm, torch.nn.Embedding)


def single(problem: Problem, device: Device) -> Problem:
    """The problem in float32, on a device; every weight matters alike to what methods need of it."""
    forget, retain = (Images(s.images.float(), s.conditions) for s in (problem.forget, problem.retain))
    base = deepcopy(problem.base).float()
    teacher = lower(deepcopy(base)) if device.in_half else base
    ones = {name: torch.ones_like(p) for name, p in base.named_parameters()}
    generated = problem.generated
    return replace(
        problem, base_model=lambda: base, teaching_model=lambda: teacher, forget=forget, retain=retain, device=device,
        shared=dict.fromkeys(("saliency", "fisher", "fisher_ratio"), ones),
        generated=lambda condition, n: generated(condition, n).float(),
    )  # fmt: skip


PROBLEM = text_problem()
TRAINED = [name for name in METHODS.names() if METHODS[name].can_forget(PROBLEM.forgetting) and METHODS[name].gradient]
WRAPPED = ["meta(salun)", "meta(uce)"]
MACES = ["mace", "meta(mace)"]


def run_of(method: str, device: Device, **values: Any) -> FineTuning:
    problem = single(PROBLEM, device)
    usual = {
        "steps": STEPS,
        "batch": 6,
        "learning_rate": 1e-3,
        "ema_decay": 0.5,
        "trained_parameters": "cross_attention",
    }
    if method in WRAPPED:
        usual |= {"meta_cap": 100.0}  # a model that has learned nothing is beyond the usual one
    settings = METHODS[method].configure(usual | values)
    run = METHODS[method].begin(deepcopy(problem.base), problem, settings, 1)
    assert isinstance(run, FineTuning)
    return run


def mace_run(method: str, device: Device) -> FineTuning:
    """A run of MACE, which has no settings of fine-tuning, or of meta around it, which has."""
    problem = single(PROBLEM, device)
    values: dict[str, Any] = {"attention_steps": STEPS, "attention_learning_rate": 1e-2, "concept_images": 4}
    values |= {"ridge": 1.0, "attention_batch": 2}
    if method != "mace":
        values |= {"steps": STEPS, "batch": 4, "learning_rate": 1e-3, "ema_decay": 0.0, "meta_cap": 100.0}
        values |= {"trained_parameters": "cross_attention", "meta_inner_batch": 2}
    run = METHODS[method].begin(deepcopy(problem.base), problem, METHODS[method].configure(values), 1)  # type: ignore[arg-type]
    assert isinstance(run, FineTuning)
    return run


@pytest.mark.parametrize(
    "model",
    [
        lambda: text_unet().float(),
        lambda: text_unet(pooled=True).float(),
        lambda: UNet2DModel(**BaseModel().config(DATASETS["digits"])),
        lambda: DiT(**DIT),
    ],
    ids=["text", "pooled text", "classes", "DiT"],
)
def test_a_lowered_model_predicts_the_same_to_the_bit(model: Any) -> None:
    torch.manual_seed(0)
    exact = model().eval()
    held = lower(deepcopy(exact))
    size = exact.config["sample_size"]
    x = torch.randn(3, exact.config["in_channels"], size, size)
    with torch.no_grad(), HALF.autocast():
        ours, theirs = (m(x, torch.tensor([1, 500, 999]), class_labels=torch.arange(3)).sample for m in (held, exact))
    assert torch.equal(ours, theirs)
    lowered = sum(p.numel() for p in held.parameters() if p.dtype == torch.bfloat16)
    assert lowered > 0.8 * sum(p.numel() for p in held.parameters()), "the test can fail"
    for module in held.modules():
        if isinstance(module, NORMS):
            assert all(p.dtype == torch.float32 for p in module.parameters(recurse=False))


@pytest.mark.parametrize("method", [*TRAINED, *WRAPPED])
def test_what_trains_is_in_float32_and_what_is_frozen_in_bf16(method: str) -> None:
    """In the model and in its checkpoint; and the weights end near those of float32 throughout."""
    run, exact = run_of(method, HALF), run_of(method, Device())
    start = {name: p.detach().clone() for name, p in run.model.named_parameters()}
    assert run.advance(STEPS) and exact.advance(STEPS)
    moved = trained_parameters(run.model, "cross_attention")
    frozen = {name: p for name, p in run.model.named_parameters() if name not in moved}
    assert {p.dtype for p in moved.values()} == {torch.float32}
    lowered = [name for name, p in frozen.items() if p.dtype == torch.bfloat16]
    assert len(lowered) > 0.5 * len(frozen)
    assert all(torch.equal(frozen[name], start[name].bfloat16()) for name in lowered)
    state = run.state()
    assert not any(value.dtype == torch.bfloat16 for value in state.values())
    assert {n.removeprefix("model.") for n in state if n.startswith("model.")} == set(moved)
    raise_to(run.model, start)
    ours, theirs = (
        torch.cat(
            [(p - start[name]).flatten() for name, p in trained_parameters(r.trained(), "cross_attention").items()]
        )
        for r in (run, exact)
    )
    assert torch.nn.functional.cosine_similarity(ours, theirs, dim=0) > 0.9
    assert 0.8 < ours.norm() / theirs.norm() < 1.25


@pytest.mark.parametrize("method", MACES)
def test_mace_is_edited_trained_and_fused_in_float32(method: str) -> None:
    """As a stage takes it: the weights are given their exact numbers back, then the products of the factors are fused."""
    runs = mace_run(method, HALF), mace_run(method, Device())
    start = {name: p.detach().clone() for name, p in single(PROBLEM, HALF).base.named_parameters()}
    moved = []
    for run in runs:
        assert run.advance(run.steps)
        raise_to(run.model, start)
        ends = trained_parameters(run.trained(), "cross_attention")
        assert {p.dtype for p in ends.values()} == {torch.float32}
        moved.append(torch.cat([(p.detach() - start[name]).flatten() for name, p in ends.items()]))
    assert torch.nn.functional.cosine_similarity(moved[0], moved[1], dim=0) > 0.99 and moved[1].norm() > 0.1


@pytest.mark.parametrize("method", MACES)
def test_mace_is_the_same_with_checkpointing(method: str) -> None:
    equal_with_checkpointing(*(mace_run(method, device) for device in (Device(checkpointing=True), Device())))


def test_a_delta_holds_what_trained_alone_and_in_float32(tmp_path: Any) -> None:
    store, run = Store(tmp_path), run_of("fine_tune", HALF)
    start = store.put("0" * 64, "model", {}, weights_of(single(PROBLEM, HALF).base))
    run.advance(STEPS)
    names = set(trained_parameters(run.model, "cross_attention"))
    changed, _ = changed_weights(run.trained(), start)
    assert set(changed) == names and {v.dtype for v in changed.values()} == {torch.float32}
    with torch.no_grad():
        run.model.mid_block.resnets[0].conv1.weight.mul_(2)  # in bf16, which nothing may do
    with pytest.raises(
        ValueError, match=r"mid_block\.resnets\.0\.conv1\.weight: a frozen weight in torch\.bfloat16 is not"
    ):
        raise_to(run.model, start.mapped())


def test_low_rank_factors_are_added_to_the_exact_weights(tmp_path: Any) -> None:
    run = run_of("fine_tune", HALF, trained_parameters="lora", ema_decay=0.0)
    start = {name: p.detach().clone() for name, p in single(PROBLEM, HALF).base.named_parameters()}
    run.advance(STEPS)
    with pytest.raises(ValueError, match="cannot be added to a weight in torch"):
        merge(run.model)
    raise_to(run.model, start)
    product = run.model.mid_block.resnets[0].conv1.low_rank.product(start["mid_block.resnets.0.conv1.weight"].shape)
    merged = dict(run.trained().named_parameters())
    assert torch.equal(merged["mid_block.resnets.0.conv1.weight"], start["mid_block.resnets.0.conv1.weight"] + product)


def test_trained_parameters_in_bf16_are_refused() -> None:
    model = lower(text_unet().float())
    add_factors(model, 2, 0)
    with pytest.raises(
        ValueError, match=r"trained parameters are in torch\.bfloat16: small updates of them would vanish"
    ):
        check_trained(parameters_to_train(model, "attention", 2, 0))
    with pytest.raises(ValueError, match="is none of fp32, bf16"):
        Device(precision="fp16")


@pytest.mark.parametrize("trained", ["cross_attention", "lora"])
def test_distances_of_a_model_with_lowered_weights_are_those_of_its_exact_ones(trained: str) -> None:
    """θᵤ differs from θ₀ in every weight by less than bf16 tells; the attack trains some of them."""
    problem, g = single(PROBLEM, HALF), torch.Generator().manual_seed(0)
    unlearned = deepcopy(problem.base)
    with torch.no_grad():
        for p in unlearned.parameters():
            p.mul_(1 + 1e-4 * torch.randn(p.shape, generator=g))
    landmarks = Landmarks(
        dict(problem.base.state_dict()), deepcopy(dict(unlearned.state_dict())), problem.retain, problem.schedule
    )
    target = Target(problem.retain, BaseModel(), problem.null_condition, HALF)
    figures = []
    for device in (HALF, Device()):
        settings = ATTACKS["dimra"].configure({"trained_parameters": trained, "batch": 4, "learning_rate": 1e-5})
        run = ATTACKS["dimra"].begin(deepcopy(unlearned), replace(target, device=device), settings, STEPS, 0)
        run.advance(STEPS)
        figures.append(diagnose(run, landmarks, 4)[0])
    assert figures[0]["distance_base"] == pytest.approx(figures[1]["distance_base"], rel=2e-2)
    assert figures[0]["distance_unlearned"] == pytest.approx(figures[1]["distance_unlearned"], rel=0.1)
    assert figures[0]["retain_gradient_norm"] == pytest.approx(figures[1]["retain_gradient_norm"], rel=0.1)


def equal_with_checkpointing(run: Any, plain: Any) -> None:
    assert run.advance(STEPS) and plain.advance(STEPS)
    assert run.model.is_gradient_checkpointing and not plain.model.is_gradient_checkpointing
    ours, theirs = run.trained().state_dict(), plain.trained().state_dict()
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < 1e-6
    assert run.last_loss == pytest.approx(plain.last_loss, rel=1e-5)


@pytest.mark.parametrize("method", [*TRAINED, *WRAPPED])
def test_unlearning_is_the_same_with_checkpointing(method: str) -> None:
    device = Device(checkpointing=True)
    equal_with_checkpointing(*(run_of(method, on, trained_parameters="all") for on in (device, Device())))


@pytest.mark.parametrize("trained", ["all", "attention", "lora"])
def test_an_attack_is_the_same_with_checkpointing(trained: str) -> None:
    problem, runs = single(PROBLEM, Device()), []
    for device in (Device(checkpointing=True), Device()):
        target = Target(problem.retain, BaseModel(), problem.null_condition, device)
        settings = ATTACKS["dimra"].configure({"trained_parameters": trained, "batch": 4})
        runs.append(ATTACKS["dimra"].begin(deepcopy(problem.base), target, settings, STEPS, 0))
    equal_with_checkpointing(*runs)


def test_checkpointing_saves_less_for_the_backward_pass() -> None:
    saved = []
    for device in (Device(checkpointing=True), Device()):
        run, kept = run_of("fine_tune", device, trained_parameters="all"), {}

        def pack(tensor: torch.Tensor, kept: dict[int, int] = kept) -> torch.Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            x = run.model(torch.randn(4, 3, 8, 8), torch.zeros(4), torch.zeros(4, dtype=torch.int64)).sample
        assert x.requires_grad
        saved.append(sum(kept.values()))
    assert saved[0] < 0.5 * saved[1]
