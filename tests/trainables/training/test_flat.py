"""Parameters as one vector: what a step, a norm and an average give is what one gets tensor by tensor."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers import UNet2DModel

from trainables.data import DATASETS
from trainables.denoisers.recipes import BaseModel
from trainables.fine_tuning import FineTuning, Optimisation
from trainables.training.device import Device
from trainables.training.flat import Flat

CPU = Device()


def model() -> UNet2DModel:
    torch.manual_seed(0)
    return UNet2DModel(**BaseModel(channels=(8, 16)).config(DATASETS["digits"]))


def loss(network: UNet2DModel, generator: torch.Generator) -> torch.Tensor:
    images = torch.randn(8, 1, 8, 8, generator=generator).to(network.dtype)
    predicted = network(images, torch.arange(8) * 100, class_labels=torch.arange(8)).sample
    return (predicted - images).square().mean()


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
@pytest.mark.parametrize("masked", [False, True])
def test_a_run_gives_what_torch_gives_tensor_by_tensor(optimiser: str, masked: bool) -> None:
    """Against torch's own optimisers on the separate parameters, ``clip_grad_norm_`` and an average of each.

    In double precision: Adam makes whole steps of gradients that are nothing but rounding, such as a bias's before a norm.
    """
    how = Optimisation(3e-3, 8, optimiser, grad_clip=0.1, ema_decay=0.5)
    ours, theirs = model().double(), model().double()
    parameters = list(theirs.parameters())
    coins = torch.Generator().manual_seed(3)
    masks = [(torch.rand(p.shape, generator=coins) < 0.5).double() for p in parameters] if masked else None
    run = FineTuning(ours, loss, how, 1, CPU, masks=masks)
    by_tensor: torch.optim.Optimizer = torch.optim.SGD(parameters, how.learning_rate)
    if optimiser == "adam":
        by_tensor = torch.optim.Adam(parameters, how.learning_rate, foreach=False, fused=False)
    averages = [p.detach().clone() for p in parameters]
    generator = torch.Generator().manual_seed(1)
    for step in range(1, 9):
        by_tensor.zero_grad()
        loss(theirs, generator).backward()
        for parameter, mask in zip(parameters, masks or [torch.ones(())] * len(parameters), strict=True):
            assert parameter.grad is not None
            parameter.grad.mul_(mask)
        assert torch.nn.utils.clip_grad_norm_(parameters, how.grad_clip) > how.grad_clip, "clipping is met"
        by_tensor.step()
        for average, parameter in zip(averages, parameters, strict=True):
            average.lerp_(parameter.detach(), 1 - min(0.5, (1 + step) / (10 + step)))
        run.advance(step)
    for one, other in zip(ours.parameters(), parameters, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)
    for one, average in zip(run.average, averages, strict=True):
        torch.testing.assert_close(one, average, rtol=1e-7, atol=1e-9)
    assert any(not torch.equal(p, q) for p, q in zip(model().double().parameters(), parameters, strict=True))


def test_parameters_keep_their_values_shapes_and_memory_format() -> None:
    network = model().to(memory_format=torch.channels_last)
    before = copy.deepcopy(network)
    flat = Flat(list(network.parameters()))
    for parameter, was in zip(network.parameters(), before.parameters(), strict=True):
        assert torch.equal(parameter, was) and parameter.stride() == was.stride()
    with torch.no_grad():
        flat.vector.mul_(2)
    for parameter, was in zip(network.parameters(), before.parameters(), strict=True):
        assert torch.equal(parameter, 2 * was), "they are parts of the vector"
    assert flat.vector.numel() == sum(p.numel() for p in network.parameters())


def test_gradients_that_are_tensors_of_their_own_are_gathered_and_missing_ones_are_0() -> None:
    layers = torch.nn.ModuleList([torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)])
    flat = Flat(list(layers.parameters()))
    flat.gradient.fill_(7)
    own = torch.arange(6.0).reshape(2, 3)
    layers[0].weight.grad = own
    flat.gather_gradient()
    assert torch.equal(flat.gradient, torch.cat([own.flatten(), torch.zeros(10)]))
    flat.clear_gradient()
    layers[1](torch.ones(1, 3)).sum().backward()
    assert torch.equal(flat.gradient, torch.cat([torch.zeros(8), torch.ones(8)])), "a backward pass adds in place"


def test_a_run_whose_gradient_was_freed_between_steps_goes_on_as_one_whose_was_not() -> None:
    whole, freed = (FineTuning(model(), loss, Optimisation(3e-3, 4), 1, CPU) for _ in range(2))
    whole.advance(4)
    for step in range(1, 5):
        freed.advance(step)
        freed.free_gradient()
        assert freed.flat.vector.grad is None and all(p.grad is None for p in freed.parameters)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters, freed.parameters, strict=True))
    assert not torch.equal(freed.flat.vector, Flat(list(model().parameters())).vector)


def test_parameters_of_two_precisions_are_refused() -> None:
    mixed = [torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(2, dtype=torch.bfloat16))]
    with pytest.raises(ValueError, match="one precision"):
        Flat(mixed)
