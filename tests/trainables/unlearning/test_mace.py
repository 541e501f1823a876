"""MACE against literal transcriptions of its three steps, and its run from checkpoint to fused weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from least_squares import kv_names
from text_problem import ANCHORS, CELLS, FORGOTTEN, LENGTH, NULL, ROWS, TEXTS, text_problem, text_unet
from torch.utils._python_dispatch import TorchDispatchMode

from trainables.denoisers.text_unet import TextUNet
from trainables.fine_tuning import FineTuning
from trainables.forgetting import Forget
from trainables.unlearning import METHODS, Problem
from trainables.unlearning._concept_attention import looked_at
from trainables.unlearning.mace import Erasure, concept_positions, focal_timesteps

RIDGE, P, FUSED, STEPS = 0.6, 0.3, 0.2, 3
VALUES = {
    "ridge": RIDGE, "preserve_scale": P, "fuse_preserve_scale": FUSED, "attention_steps": STEPS, "attention_learning_rate": 1e-2,
    "attention_batch": 2, "attention_rank": 2, "concept_images": 5,
}  # fmt: skip


def begin(problem: Problem, seed: int = 3, **values: Any) -> Erasure:
    member = METHODS["mace"]
    run = member.begin(text_unet(seed=1), problem, member.configure(VALUES | values), seed)
    assert isinstance(run, Erasure)
    return run


def around(row: int, anchor: int) -> list[tuple[int, int]]:
    """Which positions of a prompt stand beside which of its anchor's, as one would point at them: all but the object's own."""
    template, _, _ = CELLS[row]
    size, other = (len([w for w in TEXTS[r] if w in ("snea", "ker", "bag", "coat")]) for r in (row, anchor))
    at = 5 if template == 0 else 2
    before = [(i, i) for i in range(at)]
    return before + [(i, i - size + other) for i in range(at + size, LENGTH) if i - size + other < LENGTH]


def tokens(model: TextUNet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(c, a) of step 1, and the tokens kept."""
    context = model.prompts.context.numpy()
    pairs = [
        (row, anchor, i, j) for row, anchor in zip(FORGOTTEN, ANCHORS, strict=True) for i, j in around(row, anchor)
    ]
    kept = [row for row in range(NULL + 1) if row not in FORGOTTEN]
    stack = (np.array([context[p[0], p[2]] for p in pairs]), np.array([context[p[1], p[3]] for p in pairs]))
    return *stack, context[kept].reshape(-1, context.shape[-1])


def least(rows: list[tuple[np.ndarray, np.ndarray, float]]) -> np.ndarray:
    """W that makes Σ weight · ‖W c - v‖² least, of (c (n, d), v (n, m), weight)."""
    left = np.concatenate([np.sqrt(w) * c for c, _, w in rows])
    right = np.concatenate([np.sqrt(w) * v for _, v, w in rows])
    return np.linalg.lstsq(left, right, rcond=None)[0].T


def refined() -> dict[str, np.ndarray]:
    model = text_unet(seed=1)
    c, a, kept = tokens(model)
    eye = np.eye(c.shape[1])
    weights = {n: p.detach().numpy() for n, p in model.named_parameters() if n in kv_names(model)}
    return {n: least([(c, a @ w.T, 1.0), (kept, kept @ w.T, P), (eye, w.T, RIDGE)]) for n, w in weights.items()}


def test_step_1_is_least_squares_on_the_tokens_around_the_concept() -> None:
    run = begin(text_problem())
    expected = refined()
    now = dict(run.model.named_parameters())
    for name, weight in expected.items():
        assert np.abs(now[name].detach().numpy() - weight).max() <= 1e-6 * np.abs(weight).max(), name
        assert np.abs(weight - text_unet(seed=1).get_parameter(name).detach().numpy()).max() > 1e-3


@pytest.mark.parametrize(("ends", "focal"), [(True, True), (False, True), (True, False)])
def test_step_2_lowers_the_attention_to_the_concepts_tokens_as_a_literal_loop_does(ends: bool, focal: bool) -> None:
    """W' + B A written out as a weight, softmax(Q Kᵀ/√d) by hand, AdamW of torch's on A and B, clipped at 1."""
    problem = text_problem()
    run = begin(problem, ends=ends, focal=focal)
    model = text_unet(seed=1)
    factors: dict[str, list[torch.Tensor]] = {}
    for name, weight in run.model.named_parameters():
        if ".low_rank." in name:
            factors.setdefault(name.partition(".low_rank")[0], []).append(weight.detach().clone().requires_grad_(True))
    start = {n: torch.from_numpy(w) for n, w in refined().items()}
    everything = [factor for pair in factors.values() for factor in pair]
    assert len(everything) == 16
    optimiser = torch.optim.AdamW(everything, 1e-2, weight_decay=0.01)
    rows = [FORGOTTEN[i % len(FORGOTTEN)] for i in range(5)]
    conditions = torch.tensor(sorted(rows, key=FORGOTTEN.index))
    images = torch.cat([problem.generated(row, rows.count(row)) for row in FORGOTTEN])
    generator, t_all = torch.Generator().manual_seed(3), torch.arange(1000.0, dtype=torch.float64)
    p_t = 1 / (1 + torch.exp(-0.05 * (t_all - 200))) - 1 / (1 + torch.exp(-0.05 * (t_all - 400)))
    losses = []
    for _ in range(STEPS):
        drawn = torch.randint(5, (2,), generator=generator)
        x, c = images[drawn], conditions[drawn]
        noise = torch.randn(x.shape, generator=generator).to(x)
        if focal:
            t = torch.multinomial(p_t, 2, replacement=True, generator=generator)
        else:
            t = torch.randint(1000, (2,), generator=generator)
        norms: list[torch.Tensor] = []

        def listen(module: Any, inputs: Any, keywords: dict, output: Any, at: list, rows: torch.Tensor = c) -> None:
            query, keys = (
                layer(v) for layer, v in ((module.to_q, inputs[0]), (module.to_k, keywords["encoder_hidden_states"]))
            )
            heads = module.heads
            q, k = (v.unflatten(-1, (heads, -1)).transpose(1, 2) for v in (query, keys))
            looks = (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1)  # (B, heads, H W, L)
            named = [[i for i, word in enumerate(TEXTS[int(row)], 1) if word in ("snea", "ker")] for row in rows]
            ended = [list(range(1 + len(TEXTS[int(row)]), LENGTH)) if ends else [] for row in rows]
            attention = [looks[b][..., named[b] + ended[b]] for b in range(len(rows))]
            at.append(torch.cat([part.flatten() for part in attention]).square().sum().sqrt())

        hooks = []
        effective = {f"{n}.weight": start[f"{n}.weight"] + b @ a for n, (a, b) in factors.items()}
        for name, module in model.named_modules():
            if name.endswith(".attn2"):
                module.set_processor(_plain())
                hooks.append(
                    module.register_forward_hook(
                        lambda m, i, k, o, at=norms, rows=c: listen(m, i, k, o, at, rows), with_kwargs=True
                    )
                )
        x_t = problem.schedule.add_noise(x, noise, t)
        torch.func.functional_call(model, effective, (x_t, t, c))
        for hook in hooks:
            hook.remove()
        loss = torch.stack(norms).sum()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(everything, 1.0)
        optimiser.step()
        losses.append(loss.item())
    for step, loss in enumerate(losses):
        if step < STEPS - 1:
            assert run.advance(step + 1) and run.last_loss == pytest.approx(loss, rel=1e-6)
    assert run.advance(STEPS) and run.last_loss == pytest.approx(losses[-1], rel=1e-6)
    assert ends or losses[-1] < losses[0], (
        "each step has other images; what padding looks at differs more between these"
    )
    for name, (a, b) in factors.items():
        assert (run.products[0][f"{name}.weight"] - b @ a).abs().max() <= 1e-6, name


def _plain() -> Any:
    from diffusers.models.attention_processor import AttnProcessor

    return AttnProcessor()


def two_concepts() -> Problem:
    """Sneakers and coats are forgotten, bags stay."""
    problem = text_problem()
    forgotten = tuple(row for row, (_, thing, _) in enumerate(CELLS) if thing != "bag")
    anchors = tuple(ROWS[template, "bag", style] for template, _, style in (CELLS[row] for row in forgotten))
    kept = tuple(row for row in range(NULL) if row not in forgotten)
    shown = problem.forgetting.shown
    forgetting = Forget(
        "concept:sneaker,coat", forgotten, kept, labels=(0, 2), facet="concept", anchors=anchors, shown=shown
    )
    return replace(problem, forgetting=forgetting)


def test_step_3_is_least_squares_on_what_every_concept_was_taught() -> None:
    problem = two_concepts()
    run = begin(problem)
    assert run.steps == 2 * STEPS and run.advance(STEPS)
    assert not run.optimiser.state and all(map(torch.equal, run.parameters, run.first)), "each concept begins anew"
    assert run.advance(run.steps) and len(run.products) == 2
    before, products = dict(run.model.named_parameters()), run.products
    names = kv_names(text_unet())
    prime = {n: before[n].detach().numpy().copy() for n in names}
    model = run.trained()
    context = model.prompts.context.numpy()
    start = {n: p.detach().numpy() for n, p in text_unet(seed=1).named_parameters()}
    kept = [*problem.forgetting.retained, NULL]
    concepts = [[r for r in problem.forgetting.conditions if CELLS[r][1] == thing] for thing in ("sneaker", "coat")]
    for name, weight in model.named_parameters():
        if name not in names:
            assert np.array_equal(weight.detach().numpy(), start[name]), name
            continue
        rows = [(np.eye(context.shape[-1]), prime[name].T, RIDGE)]
        k = context[kept].reshape(-1, context.shape[-1])
        rows.append((k, k @ start[name].T, FUSED))
        for concept, product in zip(concepts, products, strict=True):
            c = context[concept].reshape(-1, context.shape[-1])
            rows.append((c, c @ (prime[name] + product[name].numpy()).T, 1.0))
        expected = least(rows)
        assert np.abs(weight.detach().numpy() - expected).max() <= 1e-6 * np.abs(expected).max(), name
    assert model.state_dict().keys() == text_unet().state_dict().keys()


def test_it_goes_on_from_every_step_and_its_seed_decides_it() -> None:
    problem = two_concepts()
    ends = []
    for seed, stop in ((3, 0), (3, 2), (3, STEPS), (3, STEPS + 1), (4, 0)):
        run = begin(problem, seed)
        run.advance(stop)
        stored = {n: v.contiguous() for n, v in run.state().items()}
        continued = begin(problem, seed)
        continued.restore(safetensors.torch.load(safetensors.torch.save(stored)))
        assert continued.advance(continued.steps)
        ends.append({n: p.detach().clone() for n, p in continued.trained().named_parameters()})
    same = [all(torch.equal(end[n], ends[0][n]) for n in end) for end in ends]
    assert same == [True, True, True, True, False]


class _NoMasks(TorchDispatchMode):
    """Within it nothing is indexed by a mask, whose size a GPU would have to be waited for."""

    def __torch_dispatch__(self, operation: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        if operation is torch.ops.aten.index.Tensor:
            assert all(index is None or index.dtype != torch.bool for index in arguments[1])
        return operation(*arguments, **(keywords or {}))


def test_what_is_looked_at_changes_nothing_of_what_is_predicted() -> None:
    model, x, t = text_unet(), torch.randn(2, 3, 8, 8).double(), torch.tensor([10, 400])
    rows = torch.tensor(FORGOTTEN[:2])
    at = concept_positions(model.prompts, text_problem().forgetting)
    assert [[i for i, here in enumerate(at[row]) if here] for row in FORGOTTEN[:2]] == [[5, 6], [2, 3]]
    plain = model(x, t, rows).sample
    with looked_at(model, at[rows]) as looking, _NoMasks():
        assert torch.allclose(model(x, t, rows).sample, plain, atol=1e-9)
    assert len(looking.seen) == 4 and all(float(part.min()) >= 0 and float(part.max()) <= 1 for part in looking.seen)


def test_timesteps_are_those_where_an_object_takes_its_shape() -> None:
    t = focal_timesteps(4000, 1000, torch.Generator().manual_seed(0))
    assert 290 < t.double().mean() < 310 and ((t > 150) & (t < 450)).double().mean() > 0.9


def test_meta_goes_on_from_the_whole_of_it() -> None:
    member, problem = METHODS["meta(mace)"], text_problem()
    values = VALUES | {"steps": 1, "batch": 4, "learning_rate": 1e-3, "meta_inner_batch": 2}
    run = member.begin(text_unet(seed=1), problem, member.configure(values), 3)
    alone = begin(problem)
    alone.advance(alone.steps)
    whole, before = alone.trained(), {n: p.detach().clone() for n, p in run.model.named_parameters()}
    assert all(torch.equal(p, before[n]) for n, p in whole.named_parameters()), "the edit is made first"
    assert isinstance(run, FineTuning) and run.advance(1)
    assert any(not torch.equal(p, before[n]) for n, p in run.model.named_parameters())


def test_what_it_cannot_forget_is_refused_in_one_line() -> None:
    member, problem = METHODS["mace"], text_problem()
    anchorless = replace(problem.forgetting, anchors=())
    with pytest.raises(ValueError, match="method 'mace'"):
        member.begin(text_unet(), replace(problem, forgetting=anchorless), member.configure({}), 0)
    for values in ({"ridge": 0.0}, {"attention_rank": 0}, {"preserve_scale": -1.0}, {"concept_images": 0}):
        with pytest.raises(ValueError, match=next(iter(values))):
            member.configure(values)
