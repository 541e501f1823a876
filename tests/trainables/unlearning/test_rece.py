"""RECE against a literal loop: each round's embeddings and each edit by least squares on stacked rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from least_squares import SCALES, kept_at, kv_names, least_squares, pointed_at
from text_problem import ANCHORS, FORGOTTEN, NULL, POOLED, RETAINED, text_problem, text_unet

from trainables.denoisers.text_unet import TextUNet
from trainables.fine_tuning import Run
from trainables.unlearning import METHODS

ROUNDS, MU = 3, 0.2
VALUES = SCALES | {"rounds": ROUNDS, "embedding_ridge": MU, "positions": "tail", "round_positions": "all"}


def begin(pooled: bool = False, **values: Any) -> Run:
    member = METHODS["rece"]
    return member.begin(text_unet(1, pooled), text_problem(pooled=pooled), member.configure(VALUES | values), 0)


def tokens_of(context: np.ndarray, positions: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(c, a, kept), stacked."""
    both = list(zip(FORGOTTEN, ANCHORS, strict=True))
    c = [context[row, i] for row, anchor in both for i, _ in pointed_at(row, anchor, positions)]
    a = [context[anchor, j] for row, anchor in both for _, j in pointed_at(row, anchor, positions)]
    kept = [context[row, i] for row in (*RETAINED, NULL) for i in kept_at(row, positions)]
    return np.array(c), np.array(a), np.array(kept)


def literal(
    model: TextUNet, around: str, round_positions: str
) -> tuple[dict[str, np.ndarray], list[tuple[float, float]]]:
    """The weights after all rounds, and each round's mean ‖c′ - c‖ and mean (Σ_i ‖W_i c′ - W_i⁰ c‖²)^½."""
    context = model.prompts.context.numpy()
    start = {n: p.detach().numpy().copy() for n, p in model.named_parameters() if n in kv_names(model)}
    c, a, kept = tokens_of(context, "tail")
    weights = {n: least_squares(w0, c, a, kept, *SCALES.values()) for n, w0 in start.items()}
    erased, become, logged = [c], [a], []
    for _ in range(ROUNDS):
        c_r, a_r, kept_r = tokens_of(context, round_positions)
        stacked = np.concatenate([*weights.values(), np.sqrt(MU) * np.eye(c_r.shape[1])])
        derived, from_derived, brought_back = [], [], []
        for token in c_r:
            aim = np.concatenate([*(start[n] @ token for n in weights), np.zeros(len(token))])
            found = np.linalg.lstsq(stacked, aim, rcond=None)[0]
            derived.append(found)
            from_derived.append(np.linalg.norm(found - token))
            brought_back.append(np.sqrt(sum(((weights[n] @ found - start[n] @ token) ** 2).sum() for n in weights)))
        logged.append((float(np.mean(from_derived)), float(np.mean(brought_back))))
        erased.append(np.array(derived))
        become.append(a_r)
        if around == "current":
            weights = {n: least_squares(w, erased[-1], a_r, kept_r, *SCALES.values()) for n, w in weights.items()}
        else:
            every = np.concatenate(erased), np.concatenate(become), kept
            weights = {n: least_squares(w0, *every, *SCALES.values()) for n, w0 in start.items()}
    return weights, logged


@pytest.mark.parametrize(("around", "round_positions"), [("current", "all"), ("current", "last"), ("base", "all")])
def test_the_rounds_are_those_of_a_literal_loop(around: str, round_positions: str) -> None:
    run = begin(around=around, round_positions=round_positions)
    assert run.steps == ROUNDS + 1 and run.advance(run.steps)
    expected, logged = literal(text_unet(1), around, round_positions)
    for name, weight in run.trained().named_parameters():
        if name in expected:
            w = weight.detach().numpy()
            assert np.abs(w - expected[name]).max() <= 1e-6 * np.abs(expected[name]).max(), name
    edits = run.facts["edits"]
    assert [(e["embedding_distance"], e["value_distance"]) for e in edits[1:]] == [
        (pytest.approx(far, rel=1e-6), pytest.approx(back, rel=1e-6)) for far, back in logged
    ]
    assert edits[0]["embedding_distance"] == edits[0]["value_distance"] == 0.0
    assert run.last_loss == edits[-1]["loss"] > 0


def test_without_rounds_it_is_uce() -> None:
    run = begin(rounds=0)
    run.advance(run.steps)
    values = {name: value for name, value in VALUES.items() if name in METHODS["uce"].settings.__dataclass_fields__}
    uce = METHODS["uce"].begin(text_unet(1), text_problem(), METHODS["uce"].configure(values), 0)
    uce.advance(1)
    assert all(torch.equal(a, b) for a, b in zip(run.model.parameters(), uce.model.parameters(), strict=True))
    assert run.last_loss == uce.last_loss


def test_a_later_round_has_further_to_go_to_what_was_forgotten() -> None:
    """What the edits are for: from round to round c′ brings less of it back."""
    run = begin(rounds=4, ridge=0.01, preserve_scale=0.0)
    run.advance(run.steps)
    back = [e["value_distance"] for e in run.facts["edits"]]
    assert back == sorted(back) and back[-1] > 1.5 * back[1] > 0


@pytest.mark.parametrize("around", ["current", "base"])
def test_it_stops_at_a_deadline_and_goes_on_from_its_checkpoint(around: str) -> None:
    whole, half, rest = (begin(around=around) for _ in range(3))
    assert whole.advance(whole.steps)
    assert not half.advance(half.steps, deadline=float("-inf")) and half.step == 1
    assert half.advance(2)
    rest.restore({name: value.clone() for name, value in half.state().items()})
    assert rest.step == 2 and rest.facts["edits"] == half.facts["edits"] and rest.last_loss == half.last_loss
    assert rest.advance(rest.steps)
    ends = whole.state(), rest.state()
    assert ends[0].keys() == ends[1].keys() and all(torch.equal(ends[0][n], ends[1][n]) for n in ends[0])
    assert all(
        torch.equal(a, b) for a, b in zip(whole.trained().parameters(), rest.trained().parameters(), strict=True)
    )


def test_of_sdxl_the_pooled_path_is_edited_once() -> None:
    run, untouched = begin(pooled=True), begin(pooled=True, edit_pooled=False)
    for one in (run, untouched):
        one.advance(one.steps)
    model, other, before = run.trained(), untouched.trained(), text_unet(1, pooled=True)
    w, w_other, w0 = (m.add_embedding.linear_1.weight for m in (model, other, before))
    assert torch.equal(w_other, w0) and not torch.equal(w[:, :POOLED], w0[:, :POOLED])
    assert "weight.add_embedding.linear_1.weight" in run.state() and torch.equal(w[:, POOLED:], w0[:, POOLED:])


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"rounds": -1}, "rounds must not be negative"),
        ({"embedding_ridge": 0.0}, "embedding_ridge must be positive"),
        ({"round_positions": "middle"}, "round_positions 'middle' is none of last, tail, all"),
        ({"around": "both"}, "around 'both' is none of current, base"),
        ({"ridge": -1.0}, "ridge must be positive"),
    ],
)
def test_settings_are_checked(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        METHODS["rece"].configure(values)
