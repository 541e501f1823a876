"""What methods say that they hold in memory is what they hold: counted while they take steps on a small text U-Net."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import text_attacks
import torch
from text_problem import prompts, text_problem

from trainables.data import Images
from trainables.denoisers.cross_attention import keys_and_values
from trainables.denoisers.text_unet import TextUNet
from trainables.denoisers.unet_costs import _Live, _storage
from trainables.fine_tuning import FineTuning
from trainables.unlearning import METHODS, Problem

BATCH = 4
PROBLEM = text_problem()
METHODS_OF_PROMPTS = [n for n in METHODS.names() if METHODS[n].can_forget(PROBLEM.forgetting) and METHODS[n].gradient]
CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in METHODS_OF_PROMPTS),
    ("scissorhands", {"projection": True}),
    ("concept_ablation", {"variant": "noise"}),
    ("dimum", {"replacement": "generated"}),
    ("selective_amnesia", {"replay": "generated", "replay_images": 2}),
    ("meta(label_swap)", {"meta_inner_batch": 3}),
    ("meta(label_swap)", {"meta_inner_batch": 2, "meta_unrelated": 1.0}),
    ("meta(uce)", {"meta_inner_batch": 2}),
    ("meta(mace)", {"meta_inner_batch": 2, "attention_steps": 2, "concept_images": 2, "ridge": 1.0}),
]
# What trains factors alone, or the text encoders: beside the U-Net's weights there is no gradient of any.
OF_NO_WEIGHT: list[tuple[str, dict[str, Any]]] = [
    ("mace", {"attention_batch": 3, "attention_steps": 2, "concept_images": 4, "ridge": 1.0}),
    ("adv_unlearn", {"batch": 2, "retain_batch": 5, "warmup": 0, "attack_steps": 1, "chain_steps": 2, "steps": 2}),
    ("adv_unlearn", {"batch": 3, "retain_weight": 0.0, "attack_steps": 1, "chain_steps": 2, "steps": 2}),
]


class Asked:
    """The problem on a U-Net of which weights take far more memory than activations, and what was asked of θ₀."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = TextUNet(
            sample_size=8, in_channels=3, out_channels=3, layers_per_block=1, block_out_channels=(32, 128), norm_num_groups=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=2, cross_attention_dim=12,
        )  # fmt: skip
        self.model.prompts = prompts()
        self.exact = self.teacher = False
        self.base = deepcopy(self.model).requires_grad_(False).eval()

    def problem(self) -> Problem:
        def base() -> TextUNet:
            self.exact = True
            return self.base

        def teacher() -> TextUNet:
            self.teacher = True
            return self.base

        def generated(condition: int, n: int) -> torch.Tensor:
            teacher()
            return PROBLEM.generated(condition, n).float()

        ones = {name: torch.ones_like(p) for name, p in self.model.named_parameters()}
        forget, retain = (Images(s.images.float(), s.conditions) for s in (PROBLEM.forget, PROBLEM.retain))
        return replace(
            PROBLEM, base_model=base, teaching_model=teacher, forget=forget, retain=retain, generated=generated,
            shared=dict.fromkeys(("saliency", "fisher", "fisher_ratio"), ones),
        )  # fmt: skip


def begun(method: str, asked: Asked, **values: Any) -> FineTuning:
    usual = {"steps": 3, "batch": BATCH, "ema_decay": 0.5, "trained_parameters": "all"}
    settings = METHODS[method].configure(usual | values)
    run = METHODS[method].begin(deepcopy(asked.model), asked.problem(), settings, 0)
    assert isinstance(run, FineTuning)
    return run


def most(method: str, asked: Asked, **values: Any) -> tuple[int, int, int]:
    """(images that activations are kept of at a time, most bytes there are while a run is begun, and in its second step)."""
    with _Live(set()) as live:
        run = begun(method, asked, **values)
        beginning = live.most
        run.advance(1)  # the optimiser's moments are made at its end
        live.most = live.now
        return _images_of(run), beginning, live.most


def _images_of(run: FineTuning) -> int:
    """The images of a step that activations are kept of at a time; takes the second step."""
    alive = at_most = 0

    def after(module: Any, inputs: Any, kwargs: Any, output: Any) -> None:
        nonlocal alive, at_most
        if not output.sample.requires_grad:
            return
        n, state = len(output.sample), {"there": True}
        alive += n
        at_most = max(at_most, alive)

        def over(gradient: torch.Tensor) -> None:
            nonlocal alive
            alive, state["there"] = alive - n * state["there"], False

        output.sample.register_hook(over)

    run.model.register_forward_hook(after, with_kwargs=True)
    run.advance(2)
    return at_most


@pytest.mark.parametrize(("method", "values"), OF_NO_WEIGHT, ids=lambda v: v if isinstance(v, str) else "")
def test_a_footprint_is_what_a_step_holds_that_trains_no_weight_of_the_unet(
    method: str, values: dict[str, Any]
) -> None:
    asked, member = Asked(), METHODS[method]
    asked.model.prompts = asked.base.prompts = text_attacks.table(text_attacks.encoders())
    problem = replace(asked.problem(), texts=text_attacks.TEXTS, encoders=text_attacks.encoders)
    settings = member.configure(values)
    footprint = member.footprint(settings)
    model = deepcopy(asked.model)
    with _Live({_storage(p) for m in (asked.base, model) for p in m.parameters()}) as live:  # both are there already
        run = member.begin(model, problem, settings, 0)
        assert isinstance(run, FineTuning)
        run.advance(1)
        live.most = live.now
        images = _images_of(run)
    assert (asked.teacher, asked.exact) == (footprint.teacher, footprint.exact)
    assert images == footprint.images
    moved = 4 * sum(p.numel() for p in keys_and_values(asked.model).values()) if footprint.moves else 0
    activations = images * (plain_most(4)[1] - plain_most(2)[1]) / 2
    counted = footprint.copies * moved + activations
    assert 0.8 * counted < live.most < 1.2 * counted


@cache
def plain_most(batch: int) -> tuple[int, int]:
    """The same bytes of a method that holds nothing beside, with so many images."""
    return most("fine_tune", Asked(), batch=batch)[1:]


@pytest.mark.parametrize(("method", "values"), CASES, ids=lambda v: str(v) if isinstance(v, dict) else v)
def test_a_footprint_is_what_a_step_holds(method: str, values: dict[str, Any]) -> None:
    asked = Asked()
    footprint = METHODS[method].footprint(METHODS[method].configure({"batch": BATCH} | values))
    images, beginning, held = most(method, asked, **values)
    assert (asked.teacher, asked.exact) == (footprint.teacher, footprint.exact)
    assert images == (footprint.images or BATCH)
    size = 4 * sum(p.numel() for p in asked.model.parameters())
    plainly, plain = plain_most(max(images, 2))
    assert footprint.copies - 0.75 < (held - plain) / size < footprint.copies + 0.25
    assert footprint.begin - 1.25 < (beginning - plainly) / size < footprint.begin + 0.25
