"""What every synthesizer must do under every mechanism: shapes, ranges, seeds, and going on at any step to the same bits."""

from __future__ import annotations

import itertools
import math

import pytest
import safetensors.torch
import torch
from tiny import parties_of, rows_of, synthesizer_of, take, training_of

from trainables.diffusion import Diverged
from trainables.federated.mechanisms import MECHANISMS
from trainables.federated.parties import Output, Parties, Party
from trainables.federated.synthesizers import SYNTHESIZERS, SynthesizerSettings
from trainables.federated.training import Schedule, Training, synthesise

PAIRS = [(s, m) for s in SYNTHESIZERS.names() for m in MECHANISMS.names()]
MIXED = Parties(
    (
        Party("a", (0, 1, 2, 3), (Output("bounded", 1), Output("choice", 3))),
        Party("b", (4, 5, 6), (Output("free", 1), Output("choice", 2))),
    )
)


def everything(training: Training) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in training.state().items()}


@pytest.mark.parametrize(("synthesizer", "mechanism"), PAIRS)
def test_it_goes_on_from_any_step_to_the_same_bits(synthesizer: str, mechanism: str) -> None:
    def begin(seed: int = 3) -> Training:
        return training_of(mechanism, None, synthesizer, seed, ema_decay=0.9, critic_per_generator=3)

    whole, steps = begin(), 7
    states = []
    for _ in range(steps):
        states.append(safetensors.torch.save(whole.state()))
        assert whole.advance(whole.step + 1)
    rows = whole.synthesise(30, 4)
    for at, saved in enumerate(states):
        continued = begin()
        continued.restore(safetensors.torch.load(saved))
        assert continued.step == at
        assert continued.advance(steps)
        assert everything(continued) == everything(whole), f"from step {at}"
        assert torch.equal(continued.synthesise(30, 4), rows)


@pytest.mark.parametrize(("synthesizer", "mechanism"), PAIRS)
def test_rows_have_the_shape_and_range_of_the_parties_and_their_seed_decides_them(
    synthesizer: str, mechanism: str
) -> None:
    ends = []
    for seed in (1, 1, 2):
        training = training_of(mechanism, None, synthesizer, seed)
        torch.randn(3)  # nothing may come from the global generator
        assert training.advance(5)
        ends.append(training.synthesise(50, 0))
    assert ends[0].shape == (50, 8) and ends[0].dtype == torch.float32
    assert ends[0].abs().max() <= 1 and ends[0].std() > 0
    assert torch.equal(ends[0], ends[1]) and not torch.equal(ends[0], ends[2])
    assert not torch.equal(training.synthesise(50, 0), training.synthesise(50, 1))
    assert torch.equal(training.synthesise(50, 0), training.synthesise(50, 0)), "to synthesise changes nothing"


@pytest.mark.parametrize("name", SYNTHESIZERS.names())
def test_mixed_columns_come_as_their_outputs_say(name: str) -> None:
    """Categories as vectors of one 1, bounded numbers within [-1, 1]; a softened choice is a distribution."""
    rows = synthesise(synthesizer_of(name, MIXED), 40, 0)
    for choice in (rows[:, 1:4], rows[:, 5:7]):
        assert set(choice.unique().tolist()) <= {0.0, 1.0} and (choice.sum(dim=1) == 1).all()
        assert (choice.sum(dim=0) > 0).all(), "every category is drawn"
    assert rows[:, 0].abs().max() < 1
    soft = synthesise(synthesizer_of(name, MIXED, hard=False, temperature=0.5), 40, 0)[:, 1:4]
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(40))
    assert ((soft > 0.01) & (soft < 0.99)).any()


def test_a_hard_choice_has_the_gradient_of_the_softmax() -> None:
    hard, soft = (synthesizer_of("vflgan", MIXED, hard=h).generators.eval() for h in (True, False))
    latents = synthesizer_of("vflgan", MIXED).draw(6, torch.Generator().manual_seed(0))
    gradients = []
    for generators in (hard, soft):
        chosen = generators(latents)[0][:, 1:4]
        gradients.append(torch.autograd.grad(chosen[:, 0].sum(), generators.party[0].body[-1].weight)[0])
    torch.testing.assert_close(*gradients)


def test_a_row_is_made_by_itself_and_the_first_rows_do_not_depend_on_how_many_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training = training_of()
    training.advance(6)
    rows = training.synthesise(64, 5)
    monkeypatch.setattr("trainables.federated.training.AT_ONCE", 16)
    torch.testing.assert_close(training.synthesise(64, 5), rows, atol=1e-6, rtol=0)
    assert training.synthesizer.generators.training, "training goes on"


def test_the_generators_learn_every_so_many_critic_steps_on_the_same_z() -> None:
    training = training_of(critic_per_generator=4, steps=9)
    moved = []
    for step in range(9):
        before = training.synthesizer.generators.party[0].body[0].weight.clone()
        training.advance(step + 1)
        moved.append(not torch.equal(before, training.synthesizer.generators.party[0].body[0].weight))
    assert moved == [True, False, False, False] * 2 + [True]
    z = training.latents(training.schedule.batch).z
    assert torch.equal(z, training.latents(training.schedule.batch).z), "a step's z is one"
    training.step += 1
    assert not torch.equal(z, training.latents(training.schedule.batch).z)


def test_critics_and_generators_learn_by_adam_each_at_a_rate_of_its_own() -> None:
    """β of (.5, .999): after a gradient of 1 and one of -1, m̂ is -1/3 and v̂ is 1."""
    training = training_of(learning_rate=1e-3, critic_ratio=3.0)
    told = {kind: [(g["lr"], g["betas"]) for g in adam.param_groups] for kind, adam, _ in training._optimisers()}
    assert told == {"critics": [(pytest.approx(3e-3), (0.5, 0.999))], "generators": [(1e-3, (0.5, 0.999))]}
    critics = dict(training.synthesizer.critics.named_parameters())
    places = [{name: value.detach().clone() for name, value in critics.items()}]
    for sign in (1.0, -1.0):
        training.take_critic_step({name: torch.full_like(value, sign) for name, value in critics.items()})
        places.append({name: value.detach().clone() for name, value in critics.items()})
    for name in critics:
        first, second = (after[name] - before[name] for before, after in itertools.pairwise(places))
        torch.testing.assert_close(first, torch.full_like(first, -3e-3), atol=1e-6, rtol=0)
        torch.testing.assert_close(second, torch.full_like(second, 1e-3), atol=1e-6, rtol=0)


def test_running_statistics_are_of_the_generators_steps_alone() -> None:
    """Critic steps make rows too, as many as the padded batches have: none of that stays in what makes synthetic rows."""
    training = training_of("record", critic_per_generator=5, steps=20)
    norm = training.synthesizer.generators.party[0].body[3]
    for step, taken in ((1, 1), (5, 1), (6, 2), (10, 2)):
        training.advance(step)
        assert int(norm.num_batches_tracked) == taken
    assert norm.track_running_stats


def test_the_average_is_of_the_generators_and_a_short_training_is_none_of_its_start() -> None:
    training = training_of(ema_decay=0.99, critic_per_generator=1)
    weight = training.synthesizer.generators.party[0].body[0].weight
    expected, seen = weight.detach().clone(), []
    for step in range(1, 6):
        training.advance(step)
        seen.append(weight.detach().clone())
        decay = min(0.99, step / (9 + step))
        expected = decay * expected + (1 - decay) * seen[-1]
    before = training.synthesise(5, 0)
    assert torch.equal(weight, seen[-1]), "to synthesise leaves the weights where they were"
    trained = training.trained()
    torch.testing.assert_close(trained.generators.party[0].body[0].weight, expected, atol=1e-6, rtol=0)
    assert torch.equal(synthesise(trained, 5, 0), before)


def test_however_large_a_poisson_batch_is_no_row_of_it_is_left_out_and_as_many_rows_are_made() -> None:
    """BatchNorm would tell the rows of how many there are, if the made ones were as many."""
    training = training_of("record", rows_of(40, parties_of(2)), settings={"noise_multiplier": 0.0}, batch=4)
    made = training.made_rows
    training.expected_rows = 4  # so that every row is in
    assert torch.equal(training.chosen(), torch.arange(40)) and training.made_rows == made == 8
    batch = training.batch()
    assert batch.weight.tolist() == [1] * 40 and all(len(x) == 40 for x in (*batch.real, *batch.made, batch.alpha))
    assert len(batch.made[0].unique(dim=0)) <= 8


def test_it_stops_at_a_deadline_and_still_gets_on() -> None:
    training = training_of(steps=3)
    for step in (1, 2):
        assert not training.advance(3, deadline=-math.inf)
        assert training.step == step
    assert training.advance(3, deadline=-math.inf) and training.step == 3


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("mechanism", MECHANISMS.names())
def test_weights_that_are_not_finite_are_a_divergence_with_its_step(mechanism: str, restarted: bool) -> None:
    training = training_of(mechanism, steps=12)
    training.advance(2)
    with torch.no_grad():
        training.synthesizer.critics.local[0][0].weight[0, 0] = float("nan")
    if restarted:
        assert not training.advance(12, deadline=-math.inf)
        state, training = training.state(), training_of(mechanism, steps=12)
        training.restore(state)
    with pytest.raises(Diverged, match="stopped being finite at step 3 of 12"):
        training.advance(12)
    with pytest.raises(Diverged, match="synthetic rows are not finite"):
        training.synthesise(5, 0)


def test_a_checkpoint_has_nothing_of_the_rows_but_what_the_gradients_say() -> None:
    """Of two tables with not a row in common, nor as many, to which the same gradients were given: the same bits."""
    first, second = (training_of("record", rows_of(n, parties_of(2), n), ema_decay=0.9) for n in (39, 60))
    for _ in range(6):
        gradients = first.critic_gradients()
        second.batch()
        for training in (first, second):
            take(training, gradients)
    assert everything(first) == everything(second)
    second.take_critic_step(second.critic_gradients())
    assert everything(first) != everything(second)


def test_secret_noise_cannot_be_drawn_again() -> None:
    member = MECHANISMS["record"]

    def begin(secret: bool) -> Training:
        rows = rows_of(40, parties_of(2))
        return Training(synthesizer_of(), rows, member, member.configure({}), Schedule(4, 8), 0, secret=secret)

    gradients = [begin(secret).critic_gradients()["server.0.weight"] for secret in (False, False, True, True)]
    assert torch.equal(gradients[0], gradients[1])
    assert not torch.equal(gradients[2], gradients[3]) and not torch.equal(gradients[0], gradients[2])


def test_what_a_training_costs_is_of_its_groups_steps_and_expected_rows() -> None:
    rows = rows_of(40, parties_of(2))
    member = MECHANISMS["record"]
    training = Training(
        synthesizer_of(),
        rows,
        member,
        member.configure({"noise_multiplier": 3.0}),
        Schedule(50, 8),
        0,
        expected_rows=80,
    )
    plan = training.plan(1e-3)
    assert (plan.rows, plan.batch, plan.steps, plan.groups, plan.sampling_rate) == (80, 8, 50, 3, 0.1)
    assert training.privacy(1e-3) == member.privacy(member.configure({"noise_multiplier": 3.0}), plan)
    sizes = []
    for step in range(200):
        training.step = step
        sizes.append(len(training.chosen()))
    assert sum(sizes) / 200 == pytest.approx(4, abs=0.6), "40 rows at the rate of 80"


def test_what_cannot_be_trained_is_refused_in_a_line() -> None:
    with pytest.raises(ValueError, match="step 13 is beyond the 12 steps that this training is accounted for"):
        training_of(steps=12).advance(13)
    with pytest.raises(ValueError, match=r"delta 0\.03 is not between 0 and 1/N = 0\.025"):
        training_of("record").privacy(0.03)
    with pytest.raises(ValueError, match="batch 40 is no part of 40 rows; make it smaller"):
        training_of(batch=40)
    for values, said in (
        ({"steps": 0}, "steps ≥ 1"),
        ({"batch": 1}, "batch ≥ 2"),
        ({"ema_decay": 1.0}, "ema_decay < 1"),
        ({"learning_rate": math.nan}, "not nan, 1"),
    ):
        with pytest.raises(ValueError, match=said):
            Schedule(**values)


def test_every_synthesizer_has_the_same_settings_but_for_its_own() -> None:
    shared = set(SynthesizerSettings.__dataclass_fields__)
    own = {n: set(SYNTHESIZERS[n].settings.__dataclass_fields__) - shared for n in SYNTHESIZERS.names()}
    assert own == {"vflgan": {"private_weight"}, "vertigan": set(), "central": set(), "independent": set()}
