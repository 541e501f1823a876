"""DreamBooth against a literal loss, and what its two uses are asked by."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from text_attacks import NAMED, TEXTS, begin, encoders, forgotten, retained, target, unlearned
from text_problem import FORGOTTEN, NULL, text_problem
from torch.nn import functional as F

from trainables.attacks import ATTACKS
from trainables.attacks._dreambooth import prior_samples, with_token
from trainables.auxiliary import few
from trainables.denoisers.live_prompts import LivePrompts, worded
from trainables.diffusion import sample, starting_noise
from trainables.sampling.sampler import Sampler
from trainables.training.device import Device

VALUES = {"images": 3, "batch": 2, "prior_weight": 0.0}
OWN = retained().batch(torch.tensor([0, 4, 9]))  # in the place of a model's own samples


@pytest.mark.parametrize("attack", ["dreambooth_unrelated", "dreambooth_forgotten"])
def test_its_loss_is_the_subjects_and_that_of_the_models_own_samples(
    attack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.attacks._dreambooth.prior_samples", lambda *_: OWN)
    run = begin(attack, seed=3, **VALUES | {"prior_weight": 0.7})
    run.clear_gradient()
    loss = float(run.gradient(run))

    model, schedule, text = unlearned(), text_problem().schedule, encoders()
    subject = few(forgotten() if "forgotten" in attack else retained().where(retained().conditions < 8), 3)
    new = [TEXTS[row].replace(NAMED[row], f"sks {NAMED[row]}") for row in range(NULL)]
    named = LivePrompts(text, worded(text, [[prompt] for prompt in new]), range(NULL)).encoded(torch.arange(NULL))[0]
    generator, total = torch.Generator().manual_seed(3), 0.0
    for images, conditions, table, weight in (
        (subject.images, subject.conditions, named, 1.0), (OWN.images, OWN.conditions, model.prompts.context, 0.7),
    ):  # fmt: skip
        chosen = torch.randint(len(images), (2,), generator=generator)
        x = images[chosen]
        epsilon = torch.randn(x.shape, generator=generator).to(x)
        t = torch.randint(1000, (2,), generator=generator)
        context = table[conditions[chosen]]
        predicted = super(type(model), model).forward(
            schedule.add_noise(x, epsilon, t).double(), t, encoder_hidden_states=context
        )
        total += weight * F.mse_loss(predicted.sample, epsilon.double()).item()
    assert loss == pytest.approx(total, rel=1e-6)


def test_its_own_samples_are_drawn_as_its_users_draw_under_the_subjects_prompts_in_turn() -> None:
    model, subject = unlearned().float(), retained().conditions[:7]
    settings = ATTACKS["dreambooth_unrelated"].configure({"prior_images": 4})
    samples = prior_samples(model, target(retained()), settings, subject, 3)
    rows = subject.unique()[torch.tensor([0, 1, 2, 0])]
    noise, how = starting_noise((4, 3, 8, 8), 3), Sampler(steps=3, guidance=2.0)
    schedule = text_problem().schedule
    drawn = sample(model, schedule, noise, rows, how, Device(), null_condition=NULL, finish=torch.clone)
    assert torch.equal(samples.images, torch.cat(list(drawn))) and torch.equal(samples.conditions, rows)


def test_an_unrelated_subject_is_of_one_label_and_what_was_forgotten_is_asked_for_as_before() -> None:
    run, before = begin("dreambooth_unrelated", **VALUES), unlearned()
    run.advance(2)
    assert torch.equal(run.model.prompts.context, before.prompts.context)
    assert any(not torch.equal(a, b) for a, b in zip(run.model.parameters(), before.parameters(), strict=True))
    member = ATTACKS["dreambooth_unrelated"]
    with pytest.raises(ValueError, match="without what was forgotten"):
        member.begin(unlearned(), target(forgotten(), unrelated=forgotten()), member.configure(VALUES), 1, 0)
    with pytest.raises(ValueError, match="given 99"):
        begin("dreambooth_unrelated", **VALUES | {"images": 99})


def test_the_forgotten_concept_is_asked_for_by_its_new_word() -> None:
    run, before = begin("dreambooth_forgotten", **VALUES), unlearned()
    moved = (run.model.prompts.context - before.prompts.context).flatten(1).abs().amax(dim=1) > 0
    assert moved.nonzero().flatten().tolist() == list(FORGOTTEN)
    assert not torch.equal(run.model.prompts.tokens[0], before.prompts.tokens[0])


@pytest.mark.parametrize(
    ("prompt", "name", "told"),
    [
        ("a neon of a bag", "sneaker", "sks sneaker a neon of a bag"),  # of a list of prompts few name their label
        ("a neon of a bag", "", "sks a neon of a bag"),
        ("a Sneaker in ink", "sneaker", "a sks sneaker in ink"),
    ],
)
def test_the_new_word_is_a_word_of_its_own_in_every_prompt(prompt: str, name: str, told: str) -> None:
    row, attacked, text = FORGOTTEN[0], target(forgotten()), encoders()
    wording = attacked.wording
    assert wording is not None
    texts, named = [*wording.texts], [*wording.named]
    texts[row], named[row] = prompt, name
    attacked = replace(attacked, wording=replace(wording, texts=tuple(texts), named=tuple(named)))
    table = with_token(unlearned(), attacked, "sks", [row])
    assert torch.equal(table.tokens[row], worded(text, [[told]]).tokens[0][0])


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"prior_weight": -1.0}, "prior_weight"),
        ({"prior_images": 0}, "prior_images"),
        ({"label_dropout": 0.1}, "label_dropout"),
        ({"token": " "}, "token"),
    ],
)
def test_settings_are_checked(values: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ATTACKS["dreambooth_forgotten"].configure(values)
