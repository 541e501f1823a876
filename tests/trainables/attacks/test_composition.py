"""Composition: a personalisation and an attack, one after the other."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from trainables.attacks import ATTACKS, AttackSettings, Target
from trainables.attacks.composition import Composition, personal_images
from trainables.data import Images
from trainables.fine_tuning import FineTuning
from trainables.relearning.products import Workbench
from trainables.relearning.products.auxiliary import auxiliary_of
from trainables.relearning.products.images import retain_set_of
from trainables.relearning.products.models import base_of
from trainables.training.device import Device

P, K = 3, 7


def begin(bench: Workbench, attack: str, settings: AttackSettings, auxiliary: Images) -> FineTuning:
    sets = {name: auxiliary_of(bench, name) for name in settings.auxiliaries}
    target = Target(auxiliary, bench.experiment.base, 10, Device(), sets)
    return ATTACKS[attack].begin(deepcopy(base_of(bench)), target, settings, K, 0)


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_it_is_one_fine_tuning_and_then_another_by_an_optimiser_begun_anew(bench: Workbench, optimiser: str) -> None:
    """To the bit what the two attacks give that it is made of."""
    shared = {"optimiser": optimiser, "batch": 8, "learning_rate": 3e-3}
    personal = {"personal_steps": P, "personal_images": 4, "personal_batch": 2, "personal_learning_rate": 1e-2}
    composed = begin(bench, "composition", Composition(**shared, **personal), retain_set_of(bench))  # type: ignore[arg-type]
    composed.advance(K)

    few_of_one = personal_images(auxiliary_of(bench, "public"), Composition(personal_images=4))
    own = ATTACKS["dimra"].configure(shared | {"batch": 2, "learning_rate": 1e-2})
    first = begin(bench, "dimra", own, few_of_one)
    first.advance(P)
    second = begin(bench, "dimra", ATTACKS["dimra"].configure(shared), retain_set_of(bench))
    second.model.load_state_dict(first.model.state_dict())
    second.generator.set_state(first.generator.get_state())
    second.advance(K - P)
    for name, weight in second.model.state_dict().items():
        assert torch.equal(weight, composed.model.state_dict()[name]), name


def test_personal_images_are_a_few_of_one_condition_always_the_same(bench: Workbench) -> None:
    public = auxiliary_of(bench, "public")
    five = personal_images(public, Composition())
    assert len(five) == 5 and set(five.conditions.tolist()) == {0}, "the lowest there is"
    assert torch.equal(personal_images(public, Composition(personal_images=3)).images, five.images[:3])
    sevens = personal_images(public, Composition(personal_condition=7, personal_images=0))
    assert len(sevens) == len(public.of(7)) and set(sevens.conditions.tolist()) == {7}


def test_images_that_are_not_there_are_named(bench: Workbench) -> None:
    public = auxiliary_of(bench, "public")
    with pytest.raises(ValueError, match="personal_condition 3: public has no images of it; it has 0, 1, 2, 4"):
        personal_images(public, Composition(personal_condition=3))
    with pytest.raises(ValueError, match=f"personal_images: .* given 999, but there are {len(public.of(0))}"):
        personal_images(public, Composition(personal_images=999))
    for values in ({"personal_steps": 0}, {"personal_batch": 0}, {"personal_learning_rate": 0.0}):
        with pytest.raises(ValueError, match=next(iter(values))):
            Composition(**values)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="personal_images"):
        Composition(personal_images=-1)
