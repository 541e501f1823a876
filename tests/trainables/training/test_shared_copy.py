"""A copy in the model's own memory: what it shares, and what it does not."""

from __future__ import annotations

import torch
from text_problem import text_unet

from trainables.training.shared_copy import shared_copy


def test_numbers_are_shared_but_for_those_set_apart_and_gradients_are_not() -> None:
    model = text_unet().requires_grad_(False)
    apart = dict(model.named_parameters())["conv_in.weight"]
    copy = shared_copy(model, [apart]).requires_grad_(True)
    here, there = dict(model.named_parameters()), dict(copy.named_parameters())
    assert here.keys() == there.keys() and copy.prompts is model.prompts
    assert {n for n in here if here[n].data_ptr() != there[n].data_ptr()} == {"conv_in.weight"}
    assert not any(here[n] is there[n] for n in here)

    x, t, c = torch.ones(1, 3, 8, 8).double(), torch.tensor([5]), torch.tensor([0])
    copy(x, t, class_labels=c).sample.sum().backward()
    assert not any(p.requires_grad for p in model.parameters()) and all(p.grad is None for p in model.parameters())
    with torch.no_grad():
        there["conv_in.weight"].zero_()
    assert here["conv_in.weight"].abs().sum() > 0
    assert not torch.equal(model(x, t, class_labels=c).sample, copy(x, t, class_labels=c).sample)
