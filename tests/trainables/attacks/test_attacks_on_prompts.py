"""What every attack on prompts must do, and which of them move weights."""

from __future__ import annotations

import math

import pytest
import safetensors.torch
import torch
from text_attacks import begin, retained, unlearned
from text_problem import FORGOTTEN, text_problem

from trainables.attacks import ATTACKS, Target
from trainables.auxiliary import known_auxiliary
from trainables.data import Images
from trainables.denoisers.recipes import BaseModel
from trainables.fine_tuning import FineTuning
from trainables.relearning.experiment import AttackPlan, Experiment, Samples, TrialSpec
from trainables.relearning.products import Workbench, model_key
from trainables.relearning.shared_products import products_of
from trainables.relearning.stages.attack import AttackStage
from trainables.relearning.stages.trajectory import Trajectory, check_images
from trainables.running.stopwatch import Stopwatch
from trainables.training.device import Device

STEPS = 3
ON_PROMPTS = [name for name in ATTACKS.names() if ATTACKS[name].on_prompts]
VALUES = {
    "textual_inversion": {"batch": 2},
    "prompt_search": {"timesteps": 1, "prefix": 2},
    "dreambooth_unrelated": {"batch": 2, "images": 3, "prior_weight": 0.0},
    "dreambooth_forgotten": {"batch": 2, "images": 3, "prior_weight": 0.0},
}
VARIANTS = [(name, VALUES.get(name, {})) for name in ON_PROMPTS]
VARIANTS.append(("prompt_search", {"timesteps": 1, "prefix": 2, "discrete": True}))
DRAWN = [variant for variant in VARIANTS if variant[0] != "derived_embedding"]


def all_of(run: FineTuning) -> dict[str, torch.Tensor]:
    """The run's weights, and what its model is told."""
    return {n: p.detach().clone() for n, p in run.model.named_parameters()} | {
        "told": run.model.prompts.context.clone()
    }


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(("attack", "values"), VARIANTS)
def test_it_moves_weights_or_what_is_told_in_the_forgotten_rows(attack: str, values: dict) -> None:
    run, before = begin(attack, STEPS, **values), unlearned()
    run.advance(STEPS)
    moved = any(not torch.equal(p, before.get_parameter(n)) for n, p in run.model.named_parameters())
    assert moved == ATTACKS[attack].moves_weights
    differs = (run.model.prompts.context != before.prompts.context).flatten(1).any(dim=1)
    rows = set(differs.nonzero().flatten().tolist())
    assert rows == (set() if attack == "dreambooth_unrelated" else set(FORGOTTEN))


@pytest.mark.parametrize(("attack", "values"), DRAWN)
def test_its_seed_alone_decides_it(attack: str, values: dict) -> None:
    ends = []
    for seed in (1, 1, 2):
        run = begin(attack, STEPS, seed, **values)
        torch.randn(3)
        run.advance(STEPS)
        ends.append({n: v.clone() for n, v in run.state().items()})
    assert equal(ends[0], ends[1]) and not equal(ends[0], ends[2])


@pytest.mark.parametrize(("attack", "values"), VARIANTS)
def test_it_goes_on_from_a_checkpoint_and_a_longer_one_continues_a_shorter(attack: str, values: dict) -> None:
    whole, part = begin(attack, 2 * STEPS, **values), begin(attack, STEPS, **values)
    assert whole.advance(STEPS) and part.advance(1)
    continued = begin(attack, 2 * STEPS, seed=99, **{**values})
    continued.restore(
        safetensors.torch.load(safetensors.torch.save({n: v.contiguous() for n, v in part.state().items()}))
    )
    assert continued.step == 1 and equal(all_of(part), all_of(continued)), "what was found is told again"
    assert continued.advance(STEPS) and equal(all_of(whole), all_of(continued))


@pytest.mark.parametrize(("attack", "values"), VARIANTS)
def test_without_a_step_the_model_is_as_it_was(attack: str, values: dict) -> None:
    run, before = begin(attack, 0, **values), unlearned()
    assert run.advance(0) and run.step == 0
    assert all(torch.equal(p, before.get_parameter(n)) for n, p in run.model.named_parameters())
    if not ATTACKS[attack].moves_weights:
        assert torch.equal(run.model.prompts.context, before.prompts.context)


@pytest.mark.parametrize(("attack", "values"), DRAWN)
def test_it_stops_at_a_deadline_and_still_gets_on(attack: str, values: dict) -> None:
    run = begin(attack, STEPS, **values)
    assert not run.advance(STEPS, deadline=-math.inf) and run.step == 1


def test_the_revival_curriculum_is_a_literal_loop_over_the_newest_chunk_alone() -> None:
    """Two chunks of six images by Adam, clipped at 1, an epoch of each: every image of the newest chunk once, none of the other."""
    values = {"chunk_images": 6, "chunk_epochs": 1, "batch": 4, "label_dropout": 0.0, "learning_rate": 1e-3}
    run = begin("revival_point", 4, seed=2, **values)
    assert run.advance(4)
    model, images, schedule = unlearned(), retained(), text_problem().schedule
    optimiser, generator = torch.optim.Adam(model.parameters(), 1e-3), torch.Generator().manual_seed(2)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    for chunk in (order[:6], order[6:12]):
        shuffled = chunk[torch.randperm(6, generator=generator)]
        for drawn in (shuffled[:4], shuffled[4:]):
            x, c = images.images[drawn], images.conditions[drawn]
            torch.rand(len(drawn), generator=generator)  # whom the label dropout would meet
            noise = torch.randn(x.shape, generator=generator).to(x)
            t = torch.randint(1000, (len(drawn),), generator=generator)
            loss = (model(schedule.add_noise(x, noise, t), t, c).sample - noise).square().mean()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
    for name, weight in run.model.named_parameters():
        assert (weight - model.get_parameter(name)).abs().max() <= 1e-6, name


@pytest.mark.parametrize("attack", ON_PROMPTS)
def test_a_class_conditional_model_is_refused_in_one_line(attack: str) -> None:
    member = ATTACKS[attack]
    settings = member.configure({})
    assert all(known_auxiliary(name) for name in settings.auxiliaries)
    images = Images(torch.zeros(2, 1, 8, 8), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(
        ValueError, match=f"^attack '{attack}' changes what a text-to-image model is told: no other has"
    ):
        member.begin(torch.nn.Module(), Target(images, BaseModel(), 10, Device()), settings, 1, 0)  # type: ignore[arg-type]


def test_a_data_set_without_prompts_is_refused_before_anything_is_made(bench: Workbench) -> None:
    with pytest.raises(ValueError, match="attack 'prompt_search': digits has no prompts that it could change"):
        check_images(bench, AttackPlan("a", "prompt_search", {}))


@pytest.fixture(scope="module")
def scored(text_experiment: Experiment) -> Experiment:
    """A text-to-image model whose samples can be scored."""
    products_of(text_experiment)["reference statistics"].make()
    return text_experiment


@pytest.mark.parametrize(
    ("attack", "values"),
    [
        ("textual_inversion", {"images": 8}),
        ("prompt_search", {"timesteps": 1, "discrete": True}),
        ("derived_embedding", {}),
        ("dreambooth_forgotten", {"prior_images": 2}),
        ("benign", {"trained_parameters": "lora", "batch": 4}),
        ("revival_point", {"chunk_images": 10}),
    ],
)
def test_a_rung_of_it_on_a_text_to_image_model(scored: Experiment, attack: str, values: dict) -> None:
    """Through the real stage, on real encoders; scored by the forgotten prompts."""
    plan = AttackPlan("a", attack, values, counts=False)
    spec = TrialSpec("t", 0, scored, "none", {}, 0, (plan,), (0, 1, 2), Samples(4, 0), 0)
    bench = Workbench(scored)
    trajectory = Trajectory(bench, spec, plan, model_key(scored, "base"))
    stage, watch = AttackStage(trajectory, 1), Stopwatch()
    with watch.running():
        assert stage.advance(watch, math.inf)
        artifact = stage.commit(watch)
    facts = artifact.facts
    assert facts["moves_weights"] == ATTACKS[attack].moves_weights == (facts["figures"]["distance_unlearned"] > 0)
    assert 0 <= facts["figures"]["relearning_accuracy"] <= 1 and facts["counts"]["relearning_accuracy"] == 4
    prefixes = facts.get("prefixes", [])
    assert len(prefixes) == (30 if attack == "prompt_search" else 0) and all(prefixes)
