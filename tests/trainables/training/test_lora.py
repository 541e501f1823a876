"""LoRA: its formula, what it leaves as it was, and plain weights at the end, of attacks and of unlearning methods."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from diffusers import UNet2DModel

from trainables.denoisers.models import build, parameters_to_train, trained_parameters
from trainables.denoisers.recipes import BaseModel
from trainables.denoisers.weights import whole_weights
from trainables.diffusion import predict
from trainables.relearning.experiment import AttackPlan, Experiment, TrialSpec
from trainables.relearning.products import Workbench, model_key
from trainables.relearning.trial import Pipeline
from trainables.training.lora import add_factors, displacement, effective_weights, merge, plain_parameters

RANK = 2


@pytest.fixture
def model() -> UNet2DModel:
    from trainables.data import DATASETS

    torch.manual_seed(0)
    return build(BaseModel(channels=(8, 16)).config(DATASETS["digits"])).double().eval()


def factored(model: UNet2DModel, rank: int = RANK) -> UNet2DModel:
    """A copy with factors neither of which is 0."""
    copy, generator = deepcopy(model), torch.Generator().manual_seed(1)
    for parameter in parameters_to_train(copy, "lora", rank, seed=0):
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator).double()
    return copy


def prediction(model: UNet2DModel) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(3, 1, 8, 8, generator=generator).double()
    return predict(model, images, torch.tensor([5, 400, 990]), torch.tensor([0, 3, 10]))


def test_new_factors_change_nothing_and_depend_on_the_seed_alone(model: UNet2DModel) -> None:
    copies = [deepcopy(model) for _ in range(3)]
    for copy, seed in zip(copies, (0, 0, 1), strict=True):
        torch.randn(1)
        add_factors(copy, RANK, seed)
        assert torch.equal(prediction(copy), prediction(model))
    same, again, other = (trained_parameters(c, "lora") for c in copies)
    assert all(torch.equal(same[n], again[n]) for n in same)
    assert all(torch.equal(same[n], other[n]) == n.endswith(".b") for n in same)


def test_a_weight_is_its_formula_for_linear_layers_and_convolutions(model: UNet2DModel) -> None:
    """W₀ + B A, kernels read as matrices."""
    copy = factored(model)
    for name, shape in (("time_embedding.linear_1", (32, 8)), ("down_blocks.1.resnets.0.conv1", (16, 8 * 9))):
        layer, before = copy.get_submodule(name), model.get_submodule(name).weight
        a, b = layer.low_rank.a, layer.low_rank.b
        assert (tuple(a.shape), tuple(b.shape)) == ((RANK, shape[1]), (shape[0], RANK))
        expected = before.reshape(shape) + torch.einsum("mr,rn->mn", b, a)
        torch.testing.assert_close(effective_weights(copy)[f"{name}.weight"].reshape(shape), expected)


LAYERS = {
    "linear": (torch.nn.Linear(6, 5), (3, 7, 6)),
    "linear without bias": (torch.nn.Linear(6, 5, bias=False), (3, 6)),
    "1d": (torch.nn.Conv1d(4, 6, 3), (2, 4, 9)),
    "2d": (torch.nn.Conv2d(4, 6, 3, stride=2, padding=1), (2, 4, 8, 8)),
    "2d reflected and dilated": (torch.nn.Conv2d(4, 6, (3, 1), padding=2, dilation=2, padding_mode="reflect"), (2, 4, 8, 8)),
    "2d in groups": (torch.nn.Conv2d(4, 6, 3, groups=2), (2, 4, 8, 8)),
    "3d": (torch.nn.Conv3d(2, 3, 2), (2, 2, 4, 4, 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_computes_what_its_materialised_weight_would_and_its_factors_have_the_same_gradients(name: str) -> None:
    """W₀ x + B (A x) = (W₀ + B A) x, of every kind of layer that gets factors, to float64's rounding."""
    plain, shape = LAYERS[name]
    layer, generator = torch.nn.Sequential(deepcopy(plain)).double(), torch.Generator().manual_seed(1)
    add_factors(layer, RANK, seed=0)
    factors = layer[0].low_rank
    factors.b.data = torch.randn(factors.b.shape, generator=generator).double()
    x = torch.randn(shape, generator=generator).double()
    a, b = (f.detach().clone().requires_grad_(True) for f in (factors.a, factors.b))
    weight = plain.weight.detach().double() + (b @ a).view(plain.weight.shape)
    others = {} if plain.bias is None else {"bias": plain.bias.double()}
    expected = torch.func.functional_call(deepcopy(plain).double(), {"weight": weight} | others, x)
    output = layer(x)
    torch.testing.assert_close(output, expected)
    assert not torch.allclose(output, deepcopy(plain).double()(x), rtol=1e-3)
    found = torch.autograd.grad(output.square().sum(), [factors.a, factors.b])
    for one, other in zip(found, torch.autograd.grad(expected.square().sum(), [a, b]), strict=True):
        torch.testing.assert_close(one, other)


def test_every_layer_of_the_model_that_has_a_matrix_or_kernel_gets_factors(model: UNet2DModel) -> None:
    copy = factored(model)
    matrices = {n for n, p in model.named_parameters() if p.ndim > 1 and not n.startswith("class_embedding")}
    assert {n.replace("low_rank.a", "weight") for n in trained_parameters(copy, "lora") if n.endswith(".a")} == matrices


def test_a_copy_and_what_it_is_of_are_merged_each_alone(model: UNet2DModel) -> None:
    first = factored(model)
    second, expected = deepcopy(first), prediction(first)
    merge(first)
    torch.testing.assert_close(prediction(second), expected)
    merge(second)
    torch.testing.assert_close(prediction(second), expected)
    torch.testing.assert_close(prediction(first), expected)


def test_a_rank_is_never_more_than_a_weights_smaller_side(model: UNet2DModel) -> None:
    copy = factored(model, rank=10_000)
    a = copy.conv_out.low_rank.a
    assert a.shape == (1, 8 * 9), "one channel comes out"


def test_merging_gives_the_same_model_in_plain_weights(model: UNet2DModel) -> None:
    copy = factored(model)
    before, used = prediction(copy), dict(effective_weights(copy))
    assert not torch.allclose(before, prediction(model), rtol=1e-3)
    merge(copy)
    assert copy.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(p, used[n]) for n, p in copy.named_parameters())
    torch.testing.assert_close(prediction(copy), before)
    state = {n: t.clone() for n, t in model.state_dict().items()}
    merge(model)
    assert all(torch.equal(t, state[n]) for n, t in model.state_dict().items()), "there is nothing to merge"


def test_the_gradient_of_a_plain_parameter_is_that_of_the_weight_in_use(model: UNet2DModel) -> None:
    copy, merged = factored(model), factored(model)
    merge(merged)
    found = torch.autograd.grad(prediction(copy).square().mean(), list(plain_parameters(copy).values()))
    expected = dict(
        zip(dict(merged.named_parameters()), torch.autograd.grad(prediction(merged).square().mean(),
                                                                 list(merged.parameters())), strict=True)
    )  # fmt: skip
    for name, gradient in zip(plain_parameters(copy), found, strict=True):
        torch.testing.assert_close(gradient, expected[name])


def test_a_displacement_is_how_far_the_weights_go_for_a_small_step(model: UNet2DModel) -> None:
    copy, generator, epsilon = factored(model), torch.Generator().manual_seed(3), 1e-6
    moves = {n: torch.randn(p.shape, generator=generator).double() for n, p in copy.named_parameters()}
    del moves["conv_in.bias"], moves["conv_out.low_rank.a"]
    found, before = displacement(copy, moves), {n: w.clone() for n, w in effective_weights(copy).items()}
    with torch.no_grad():
        for name, parameter in copy.named_parameters():
            if name in moves:
                parameter += epsilon * moves[name]
    for name, after in effective_weights(copy).items():
        torch.testing.assert_close((after - before[name]) / epsilon, found[name], rtol=1e-4, atol=1e-4)
    assert not found["conv_in.bias"].any()


def test_a_model_without_factors_has_none_to_train(model: UNet2DModel) -> None:
    with pytest.raises(ValueError, match="'lora': the model has no such parameters"):
        trained_parameters(model, "lora")


def test_a_trial_unlearns_and_attacks_by_low_rank_factors_and_leaves_a_plain_model(
    experiment: Experiment, make_spec: Callable[..., TrialSpec]
) -> None:
    low_rank = {"trained_parameters": "lora", "lora_rank": RANK}
    settings = {"steps": 3, "batch": 8, "learning_rate": 1e-2, "replacement": "one_image"} | low_rank
    attack = AttackPlan("low-rank", "dimra", {"batch": 8, "learning_rate": 1e-2} | low_rank)
    pipeline = Pipeline(make_spec(experiment, settings=settings, attacks=(attack,)))
    report = pipeline.step(seconds=0.01)  # stopped inside stages, and gone on from checkpoints
    rows = list(report.curves)
    while report.state is None:
        report = pipeline.step(seconds=0.01)
        rows += report.curves
    assert report.state == "COMPLETE"
    bench = Workbench(experiment)
    keys = pipeline.unlearned, model_key(experiment, "base")
    unlearned, base = (whole_weights(bench.store.get(key)) for key in keys)
    assert unlearned.keys() == base.keys()
    moved = {name for name in base if (unlearned[name] != base[name]).any()}
    assert "conv_in.weight" in moved and not any(n.endswith("bias") or n.startswith("class_emb") for n in moved)
    distance = {r["attack_step"]: r["value"] for r in rows if r["metric"] == "distance_unlearned"}
    assert distance[0] == 0 < distance[2] < distance[5]
