"""Losses, penalties and nets equal the formulas written down anew, in float64, to 1e-6; so do their gradients."""

from __future__ import annotations

import pytest
import torch
import transcription as formulas
from tiny import batch_of, flat, parties_of, synthesizer_of

from trainables.federated.mechanisms import Batch, mean_gradients
from trainables.federated.synthesizers import SYNTHESIZERS, Latents, Synthesizer

# The synthesizer and its settings, and the same as the formulas': weight of private heads, whether there is a server.
CASES = [
    ("vflgan", {"private_weight": 1.0}, 1.0, True),
    ("vflgan", {"private_weight": 0.3, "critic_bias": True}, 0.3, True),
    ("vflgan", {"private_weight": 0.0}, 0.0, True),
    ("vertigan", {}, 1.0, False),
    ("independent", {}, 1.0, False),
    ("central", {}, 1.0, False),
]
Case = tuple[str, dict[str, float], float, bool]


def inputs(name: str, batch: Batch) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """What the formulas are of: the central critic sees whole rows."""
    return ([torch.cat(batch.real, 1)], [torch.cat(batch.made, 1)]) if name == "central" else (batch.real, batch.made)


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("penalty", ["parts", "heads"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[2]}" if isinstance(case, tuple) else None)
def test_the_critics_loss_and_its_gradient(case: Case, penalty: str, parties: int) -> None:
    name, values, private, server = case
    who = parties_of(parties)
    critics = synthesizer_of(name, who, penalty=penalty, penalty_weight=7.0, **values).critics.double()
    batch = batch_of(who, 9, dtype=torch.float64)
    weights = {n: p.detach().clone().requires_grad_(True) for n, p in critics.named_parameters()}
    expected = formulas.d_loss(weights, *inputs(name, batch), batch.alpha, 7.0, private, server, penalty)
    assert critics(batch.real, batch.made, batch.alpha).mean().item() == pytest.approx(expected.item(), abs=1e-6)
    expected_gradient = torch.autograd.grad(expected, list(weights.values()))
    torch.testing.assert_close(
        flat(mean_gradients(critics, batch)), torch.cat([g.flatten() for g in expected_gradient]), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[2]}" if isinstance(case, tuple) else None)
def test_the_generators_loss(case: Case) -> None:
    name, values, private, server = case
    who = parties_of(3)
    critics = synthesizer_of(name, who, **values).critics.double()
    made = batch_of(who, 9, dtype=torch.float64).made
    expected = formulas.g_loss(
        dict(critics.named_parameters()), [torch.cat(made, 1)] if name == "central" else made, private, server
    )
    assert critics.generator_loss(made).item() == pytest.approx(expected.item(), abs=1e-6)


def double(synthesizer: Synthesizer, rows: int) -> tuple[Synthesizer, Latents]:
    latents = synthesizer.draw(rows, torch.Generator().manual_seed(0))
    return synthesizer.double().train(), Latents(latents.z.double(), latents.gumbel.double())


def test_vflgans_generators_share_one_z_and_have_their_papers_layers() -> None:
    synthesizer, latents = double(synthesizer_of("vflgan", parties_of(3)), 9)
    weights = dict(synthesizer.generators.named_parameters())
    for k, part in enumerate(synthesizer.generators(latents)):
        torch.testing.assert_close(part, formulas.G(weights, f"party.{k}", latents.z), atol=1e-6, rtol=0)


def test_independent_parties_have_a_z_each() -> None:
    synthesizer, latents = double(synthesizer_of("independent", parties_of(3)), 9)
    assert latents.z.shape == (9, 12)
    weights = dict(synthesizer.generators.named_parameters())
    for k, part in enumerate(synthesizer.generators(latents)):
        own = latents.z[:, 4 * k : 4 * k + 4]
        torch.testing.assert_close(part, formulas.G(weights, f"party.{k}", own), atol=1e-6, rtol=0)


def test_vertigans_trunk_gets_the_mean_of_the_parties_gradients_and_each_head_its_own() -> None:
    """Federated averaging with one local step: the gradient of each party's loss alone, and their mean."""
    synthesizer, latents = double(synthesizer_of("vertigan", parties_of(3)), 9)
    generators, critics = synthesizer.generators, synthesizer.critics
    trunk, heads = list(generators.trunk.parameters()), [list(h.parameters()) for h in generators.party]
    found = torch.autograd.grad(critics.generator_loss(generators(latents)), [*trunk, *heads[1]])

    def alone(k: int) -> torch.Tensor:
        """- E D_k(H_k(T(z))), of the generator as if it were this party's."""
        made = generators.party[k](generators.trunk(latents.z), latents.gumbel)
        return -formulas.P(weights, k, formulas.C(weights, k, made)).mean()

    weights = dict(critics.named_parameters())
    own = [torch.autograd.grad(alone(k), trunk) for k in range(3)]
    for number, gradient in enumerate(found[: len(trunk)]):
        torch.testing.assert_close(gradient, sum(g[number] for g in own) / 3, atol=1e-9, rtol=0)
    for gradient, expected in zip(found[len(trunk) :], torch.autograd.grad(alone(1), heads[1]), strict=True):
        torch.testing.assert_close(gradient, expected, atol=1e-9, rtol=0)


def test_only_vflgan_and_the_central_control_judge_two_parties_columns_together() -> None:
    """The mixed second difference of the critics' value: 0 where it is a sum of the parties' own values."""
    who = parties_of(2)
    for name, couples in (("vflgan", True), ("central", True), ("vertigan", False), ("independent", False)):
        critics = synthesizer_of(name, who).critics.double()
        (a, b), (c, d) = (batch_of(who, 30, seed, dtype=torch.float64).real for seed in (1, 2))
        value = critics.values
        difference = value([a, b]) - value([c, b]) - value([a, d]) + value([c, d])
        assert (difference.abs().max() > 1e-3).item() is couples, name
        assert couples or difference.abs().max() < 1e-9


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"penalty": "part"}, "penalty 'part' is none of parts, heads"),
        ({"penalty_weight": -1.0}, "penalty_weight -1: must be 0 or a positive, finite number"),
        ({"penalty_weight": float("nan")}, "penalty_weight nan: must be 0 or a positive, finite number"),
        ({"latent": 0}, "sizes of nets are whole numbers, 1 or more"),
        ({"generator": ()}, "a generator has a hidden layer"),
        ({"temperature": 0.0}, "temperature 0: must be positive"),
        ({"widht": 3}, "has no setting widht; it has .*latent"),
    ],
)
def test_settings_that_no_synthesizer_can_take_are_refused_in_a_line(values: dict[str, object], said: str) -> None:
    for name in SYNTHESIZERS.names():
        with pytest.raises(ValueError, match=said):
            SYNTHESIZERS[name].configure(values)


def test_a_critic_that_normalises_over_its_batch_is_refused() -> None:
    synthesizer = synthesizer_of()
    synthesizer.critics.local[0].append(torch.nn.BatchNorm1d(5))
    with pytest.raises(ValueError, match=r"critic local\.0\.4 has BatchNorm1d, which mixes the rows of a batch"):
        Synthesizer(synthesizer.parties, synthesizer.generators, synthesizer.critics, synthesizer.latent)
