"""Gradients written out as layers equal autograd's; noting what layers do changes nothing, and leaves nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainables.federated.perceptrons import Linear, Perceptron, noted


@pytest.mark.parametrize("net", [Perceptron(5, (7, 6), 3, True), Perceptron(5, (7, 6), 0, False), Linear(5, 4)])
def test_a_pullback_is_autograds_gradient_and_its_weights_get_what_a_second_derivative_gives(net: nn.Module) -> None:
    net = net.double()
    x = torch.randn(9, 5, dtype=torch.float64, requires_grad=True)
    value, pull = net.pullback(x)  # type: ignore[operator]
    cotangent = torch.randn_like(value)
    expected = torch.autograd.grad(net(x), x, cotangent, create_graph=True)[0]
    torch.testing.assert_close(value, net(x).detach())
    torch.testing.assert_close(pull(cotangent), expected)
    weights = [p for name, p in net.named_parameters() if name.endswith("weight")]
    found, second = (torch.autograd.grad(g.square().sum(), weights) for g in (pull(cotangent), expected))
    torch.testing.assert_close(found, second)


def test_noting_changes_no_value_and_ends() -> None:
    net, x = Perceptron(5, (7,), 3, False), torch.randn(4, 5)
    plain = net(x)
    with noted(net) as uses:
        assert torch.equal(net(x), plain)
        net.pullback(x)[1](torch.ones(4, 3))
    assert [(len(of_layer), [use.forward for use in of_layer]) for of_layer in uses.values()] == [
        (2, [True, False])
    ] * 2
    net(x)
    assert [len(of_layer) for of_layer in uses.values()] == [2, 2]


def test_a_layer_of_which_no_rows_gradient_would_be_known_is_refused() -> None:
    with (
        pytest.raises(ValueError, match=r"parameter 1\.weight is of no linear layer that notes its uses"),
        noted(nn.Sequential(Linear(3, 4), nn.LayerNorm(4))),
    ):
        pass
