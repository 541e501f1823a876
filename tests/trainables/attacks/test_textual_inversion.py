"""Textual inversion against a literal one: a new token is added to the vocabulary, and its row of the table is trained."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from text_attacks import NAMED, TEXTS, begin, encoder, encoders, forgotten, retained, target, tokenizer, unlearned
from text_problem import FORGOTTEN, text_problem
from torch.nn import functional as F

from trainables.attacks import ATTACKS
from trainables.data import Images

STEPS, RATE, BATCH = 3, 5e-3, 4


def test_the_new_token_is_that_of_a_literal_loop() -> None:
    run = begin("textual_inversion", STEPS, seed=7)
    assert run.advance(STEPS)

    model, schedule, images = unlearned(), text_problem().schedule, forgotten()
    text = encoder()
    table, new = text.get_input_embeddings(), len(tokenizer())
    name = tokenizer()("sneaker", add_special_tokens=False).input_ids
    first = table.weight[name].mean(dim=0)
    grown = torch.nn.Embedding.from_pretrained(torch.cat([table.weight, first[None]]), freeze=False)
    text.set_input_embeddings(grown)
    ids = torch.tensor([[new if i == name[0] else i for i in row] for row in _padded(FORGOTTEN)])
    optimiser = torch.optim.Adam([grown.weight], RATE)
    generator = torch.Generator().manual_seed(7)
    for _ in range(STEPS):
        drawn = torch.randint(len(images), (BATCH,), generator=generator)
        x, c = images.images[drawn], images.conditions[drawn]
        noise = torch.randn(x.shape, generator=generator).to(x)
        t = torch.randint(1000, (BATCH,), generator=generator)
        alpha = schedule.alphas_cumprod.double()[t][:, None, None, None]
        rows = [FORGOTTEN.index(int(row)) for row in c]
        context = text(ids[rows]).last_hidden_state
        x_t = schedule.add_noise(x, noise, t)
        assert torch.allclose(x_t, alpha.sqrt() * x + (1 - alpha).sqrt() * noise, atol=1e-6)
        predicted = super(type(model), model).forward(x_t, t, encoder_hidden_states=context).sample
        optimiser.zero_grad()
        F.mse_loss(predicted, noise).backward()
        grown.weight.grad[:new] = 0  # of the whole table the new row alone
        optimiser.step()
    assert (run.parameters[0][0] - grown.weight[new]).abs().max() <= 1e-6
    assert (grown.weight[new] - first).abs().max() > 1e-3
    table_rows = run.model.prompts.context[list(FORGOTTEN)]
    assert torch.allclose(table_rows, text(ids).last_hidden_state, atol=1e-6), "it is told in every forgotten prompt"


def _padded(rows: tuple[int, ...]) -> list[list[int]]:
    return tokenizer()([TEXTS[row] for row in rows], padding="max_length").input_ids


def test_it_begins_as_the_name_as_the_mean_of_all_words_or_as_a_word() -> None:
    of_name, mean, word = (
        begin("textual_inversion", begin_with=which, vectors=2).parameters[0] for which in ("name", "mean", "coat")
    )
    assert torch.allclose(word[1], encoders().vectors_of("coat")[0].mean(dim=0))
    assert torch.allclose(of_name[1], encoders().vectors_of("sneaker")[0].mean(dim=0))
    assert torch.allclose(mean[0], encoder().get_input_embeddings().weight.mean(dim=0))


def test_each_forgotten_label_has_a_word_of_its_own() -> None:
    """Sneakers and coats are forgotten: one word for both would have to draw either."""
    images = text_problem()
    everything = Images(
        torch.cat([images.forget.images, images.retain.images]),
        torch.cat([images.forget.conditions, images.retain.conditions]),
    )
    coats = tuple(row for row, name in enumerate(NAMED) if name == "coat")
    attacked = target(everything)
    wording = attacked.wording
    assert wording is not None
    rows = tuple(sorted((*FORGOTTEN, *coats)))
    forgetting = replace(wording.forgetting, conditions=rows, labels=(0, 2), anchors=(), retained=())
    own = everything.where(torch.isin(everything.conditions, torch.tensor(rows)))
    attacked = replace(attacked, auxiliary=own, wording=replace(wording, forgetting=forgetting))
    member, model = ATTACKS["textual_inversion"], unlearned()
    run = member.begin(model, attacked, member.configure({"vectors": 2}), STEPS, 0)
    begun = run.parameters[0].detach().clone()
    of_labels = [encoders().vectors_of(name)[0].mean(dim=0) for name in ("sneaker", "coat")]
    assert torch.allclose(begun, torch.stack([of_labels[0], of_labels[0], of_labels[1], of_labels[1]]))
    slots = {NAMED[row]: set(told[told >= 0].tolist()) for row, told in zip(rows, run.live.prompts.slots, strict=True)}
    assert slots == {"sneaker": {0, 1}, "coat": {2, 3}}


def test_images_of_anything_else_are_refused() -> None:
    member = ATTACKS["textual_inversion"]
    with pytest.raises(ValueError, match="textual inversion takes images of what was forgotten"):
        member.begin(unlearned(), target(retained()), member.configure({}), 1, 0)
    with pytest.raises(ValueError, match="begin_with: name, mean, or a word"):
        member.configure({"begin_with": " "})
    with pytest.raises(ValueError, match="vectors must be at least 1"):
        member.configure({"vectors": 0})
