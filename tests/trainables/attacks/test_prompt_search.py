"""Prompt search against a literal transcription of the published loop, and against trying every token."""

from __future__ import annotations

import pytest
import torch
from text_attacks import TEXTS, VOCABULARY, begin, encoder, forgotten, target, tokenizer, unlearned
from text_problem import FORGOTTEN, text_problem
from torch.nn import functional as F

from trainables.attacks import ATTACKS
from trainables.attacks.prompt_search import DiscreteSearch, drawn_tokens, onto_simplex
from trainables.data import Images
from trainables.denoisers.text_unet import TextUNet

STEPS, K, TIMES = 4, 2, 3


def bisected(point: torch.Tensor) -> torch.Tensor:
    """The μ at which Σ clip(a - μ, 0, 1) is 1, halved until nothing changes."""
    low, high = point.min() - 1, point.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if (point - middle).clip(0, 1).sum() > 1 else (low, middle)
    return (point - low).clip(0, 1)


def test_points_are_projected_onto_the_simplex() -> None:
    points = 3 * torch.randn(20, VOCABULARY, generator=torch.Generator().manual_seed(0)).double()
    projections = onto_simplex(points)
    assert torch.allclose(projections, torch.stack([bisected(point) for point in points]), atol=1e-9)
    assert torch.allclose(projections.sum(dim=1), torch.ones(20).double()) and (projections >= 0).all()
    assert torch.allclose(onto_simplex(projections), projections), "what lies on it stays"


def prediction(model: TextUNet, x_t: torch.Tensor, t: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
    return super(TextUNet, model).forward(x_t, t, encoder_hidden_states=context).sample


def encoded(embedded: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """The hidden states of embeddings (B, L, d) in the place of these tokens'."""
    text = encoder()
    hook = text.get_input_embeddings().register_forward_hook(lambda *_: embedded)
    states = text(ids).last_hidden_state
    hook.remove()
    return states


def prefixed(row: int) -> tuple[list[int], torch.Tensor]:
    """Token ids (L,) of K words to be found and then a prompt."""
    prompt_ids = tokenizer()(TEXTS[row], add_special_tokens=False).input_ids
    begin_, end = tokenizer().bos_token_id, tokenizer().eos_token_id
    ids = [begin_, *[0] * K, *prompt_ids, end]
    return ids, torch.tensor([ids + [end] * (12 - len(ids))])


def test_the_discrete_search_is_the_published_loop() -> None:
    """z ~ s by its own draws, the gradient cut, Adam with weight decay, the projection; each prompt by its own loss."""
    values = {"prefix": K, "timesteps": TIMES, "learning_rate": 0.05, "discrete": True}
    run = begin("prompt_search", STEPS, seed=5, **values, batch=4)
    assert run.advance(STEPS) and isinstance(run, DiscreteSearch)

    model, images, schedule = unlearned(), forgotten(), text_problem().schedule
    vocabulary, n = encoder().get_input_embeddings().weight, len(FORGOTTEN)
    typed = [i for i in range(VOCABULARY) if i not in tokenizer().all_special_ids]
    s = torch.zeros((n, K, VOCABULARY)).double()
    s[..., typed] = 1 / len(typed)
    s.requires_grad_(True)
    optimiser = torch.optim.Adam([s], 0.05, weight_decay=0.1)
    targets = torch.stack([images.of(row).images[0] for row in FORGOTTEN])
    generator, losses = torch.Generator().manual_seed(5), []
    for _ in range(STEPS):
        at = 1 - torch.rand(n * K, 1, generator=generator, dtype=torch.float64)
        sums = s.detach().flatten(0, 1).cumsum(dim=1)
        z = torch.stack([(row >= a * row[-1]).nonzero()[0, 0] for row, a in zip(sums, at, strict=True)]).view(n, K)
        x = targets.repeat_interleave(TIMES, dim=0)
        noise = torch.randn(x.shape, generator=generator).to(x)
        t = torch.randint(1000, (n * TIMES,), generator=generator)
        x_t = schedule.add_noise(x, noise, t)
        gradient, total = [], 0.0
        for i, row in enumerate(FORGOTTEN):
            one_hot = F.one_hot(z[i], VOCABULARY).double().requires_grad_(True)
            _, ids = prefixed(row)
            embedded = torch.cat([vocabulary[ids[0, :1]], one_hot @ vocabulary, vocabulary[ids[0, 1 + K :]]])[None]
            mine = slice(i * TIMES, (i + 1) * TIMES)
            context = encoded(embedded, ids).expand(TIMES, -1, -1)
            loss = F.mse_loss(prediction(model, x_t[mine], t[mine], context), noise[mine])
            gradient.append(F.hardtanh(torch.autograd.grad(loss, one_hot)[0]))
            total += loss.item() / n
        s.grad = torch.stack(gradient)
        optimiser.step()
        with torch.no_grad():
            nearest = torch.stack([bisected(point) for point in s[..., typed].flatten(0, 1)])
            s.zero_()[..., typed] = nearest.view(n, K, len(typed))
        losses.append(total)
    assert (run.parameters[0] - s.flatten(0, 1)).abs().max() <= 1e-6
    assert run.last_loss == pytest.approx(losses[-1], rel=1e-6)
    words = s.flatten(0, 1).argmax(dim=1).view(n, K)
    _, ids = prefixed(FORGOTTEN[0])
    ids[0, 1 : 1 + K] = words[0]
    context = encoder()(ids).last_hidden_state[0]
    assert torch.allclose(run.model.prompts.context[FORGOTTEN[0]], context, atol=1e-9), "told are the likeliest tokens"
    prefixes = run.facts["prefixes"]
    assert prefixes[0] == tokenizer().decode(words[0].tolist())
    again = [tokenizer()(text, add_special_tokens=False).input_ids for text in prefixes]
    assert run.facts["read_as_found"] == [a == b for a, b in zip(again, words.tolist(), strict=True)]


def test_it_picks_the_tokens_that_trying_all_fifty_picks() -> None:
    """Of a loss that is linear in each word's embedding, by draws, gradients cut at 1, Adam and the projection."""
    values = {"prefix": K, "discrete": True, "learning_rate": 0.05, "weight_decay": 0.1}
    run = begin("prompt_search", 150, 3, **values)
    assert isinstance(run, DiscreteSearch)
    vocabulary, n = encoder().get_input_embeddings().weight, len(FORGOTTEN) * K
    slope = torch.randn(n, vocabulary.shape[1], generator=torch.Generator().manual_seed(2)).double()
    untyped = tokenizer().all_special_ids
    slope[0] = -2 * vocabulary[untyped[0]]

    def linear(run: DiscreteSearch) -> torch.Tensor:
        spoken = run.spoken()
        loss = (spoken[0] * slope).sum() / 10
        loss.backward()
        run.listened(spoken)
        return loss.detach()

    run.gradient = linear  # type: ignore[assignment]
    tried = torch.stack([(vocabulary[token] * slope).sum(dim=1) for token in range(VOCABULARY)])
    assert set(tried.argmin(dim=0).tolist()) & set(untyped), "of all tokens it would be one that nobody can type"
    tried[untyped] = torch.inf
    assert run.advance(150)
    assert run.tokens().tolist() == tried.argmin(dim=0).tolist()
    assert len(set(run.tokens().tolist())) > 1, "not one token for all"


def test_tokens_are_drawn_by_their_weights_and_none_that_has_none() -> None:
    points = torch.tensor([[0.0, 0.5, 0.0, 0.25, 0.25, 0.0]]).repeat(20_000, 1)
    tokens = drawn_tokens(points, torch.Generator().manual_seed(0))
    shares = tokens.bincount(minlength=6) / len(tokens)
    assert shares.tolist() == pytest.approx(points[0].tolist(), abs=0.015)
    assert shares[[0, 2, 5]].tolist() == [0, 0, 0]
    one = torch.eye(VOCABULARY)
    assert drawn_tokens(one, torch.Generator().manual_seed(1)).tolist() == list(range(VOCABULARY))


def test_so_many_prompts_are_searched_for_and_a_plan_counts_all_its_passes() -> None:
    run = begin("prompt_search", 1, prompts=2, timesteps=3, discrete=True)
    before = run.model.prompts.context.clone()
    run.advance(1)
    moved = (run.model.prompts.context - before).flatten(1).abs().amax(dim=1) > 0
    assert moved.nonzero().flatten().tolist() == [FORGOTTEN[0], FORGOTTEN[2]], "from among all four"
    attack, n = ATTACKS["prompt_search"], len(FORGOTTEN)
    counted = [attack.configure({"timesteps": 3, "prompts": m, "discrete": d}) for m, d in ((0, True), (2, False))]
    assert attack.step_images is not None
    assert [attack.step_images(settings, n) for settings in counted] == [3 * n, 3 * 2]
    assert attack.words_held(counted[0], n, VOCABULARY) >= 4 * n * 5 * VOCABULARY, "s, its gradient, two moments"
    assert attack.words_held(counted[1], n, VOCABULARY) == 0
    with pytest.raises(ValueError, match="prompts: 9 are to be searched for, and 4 have an image"):
        begin("prompt_search", 1, prompts=9)


def test_every_prompts_words_are_found_as_if_it_were_alone() -> None:
    """By Adam, number by number: another prompt's loss, or more passes, change nothing."""
    both = begin("prompt_search", 3, prefix=2, timesteps=2, batch=3)
    whole = begin("prompt_search", 3, prefix=2, timesteps=2, batch=64)
    assert both.advance(3) and whole.advance(3)
    assert torch.allclose(both.parameters[0], whole.parameters[0], atol=1e-9)
    assert both.last_loss == pytest.approx(whole.last_loss, rel=1e-9)


def test_prompts_without_an_image_are_left_as_they_are() -> None:
    images, member = forgotten(), ATTACKS["prompt_search"]
    some = images.where(torch.isin(images.conditions, torch.tensor(FORGOTTEN[:2])))
    model = unlearned()
    before = model.prompts.context.clone()
    run = member.begin(model, target(some), member.configure({"timesteps": 1}), 1, 0)
    run.advance(1)
    moved = (run.model.prompts.context - before).flatten(1).abs().amax(dim=1) > 0
    assert moved.nonzero().flatten().tolist() == list(FORGOTTEN[:2])
    nothing = Images(images.images[:0], images.conditions[:0])
    with pytest.raises(ValueError, match="prompt search takes images of what was forgotten"):
        member.begin(unlearned(), target(nothing), member.configure({}), 1, 0)
    for values in ({"prefix": 0}, {"timesteps": 0}, {"weight_decay": -0.1}, {"prompts": -1}, {"learning_rate": 0.0}):
        with pytest.raises(ValueError, match=next(iter(values))):
            member.configure(values)
