"""Attacks that move no weight are told apart wherever attacks are named, without importing one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sweep.relearning.panels import attack_series
from sweep.relearning.plan_words import suite_text, weightless_attacks
from sweep.relearning.setup import Setup
from sweep.space import Attack, find
from trainables.attacks import ATTACKS


def test_which_move_no_weight_is_read_from_their_files() -> None:
    assert weightless_attacks() == {name for name in ATTACKS.names() if not ATTACKS[name].moves_weights}
    assert {"textual_inversion", "prompt_search", "derived_embedding"} == weightless_attacks()


def test_a_suites_words_and_its_record_say_it() -> None:
    space = find.load("dimum_robustness")
    probe = Attack("probe", "derived_embedding", {})
    words = Attack("words", "textual_inversion", {}, counts=False)
    space = replace(space, confirm_attacks=(*space.confirm_attacks, probe, words))
    text = suite_text(space, space.confirm_attacks)
    assert "probe (weights stay), words (does not count; weights stay)" in text
    assert text.count("weights stay") == 2
    assert Setup().recorded(space)["weights_stay"] == ["probe", "words"]


@pytest.mark.parametrize(
    ("counts", "stay", "title"),
    [
        (True, False, "a"),
        (False, False, "a (does not count: its data hold what was forgotten)"),
        (True, True, "a (weights stay: it changes what the model is told, and not the model)"),
        (False, True, "a (does not count, weights stay: it changes what the model is told, and not the model)"),
    ],
)
def test_curves_are_titled_by_it(counts: bool, stay: bool, title: str) -> None:
    assert attack_series("a", counts, stay).title == title
