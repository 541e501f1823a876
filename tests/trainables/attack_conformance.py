"""What every attack must do, whoever wrote it: each check takes an attack's name and the ground it is made on."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace

import pytest
import safetensors.torch
import torch
from diffusers import UNet2DModel

from trainables.attacks import ATTACKS, AttackSettings, Target
from trainables.data import Images
from trainables.denoisers.models import LORA, TRAINED_PARAMETERS, trained_parameters
from trainables.denoisers.recipes import BaseModel
from trainables.diffusion import Diverged, noise_schedule
from trainables.fine_tuning import FineTuning
from trainables.relearning.diagnostics import Landmarks, diagnose
from trainables.training.device import Device

BATCH, STEPS = 4, 4
# So that a short run crosses from one part of the attack to the next, in the middle of an epoch.
PARTS = {
    "composition": {"personal_steps": 2, "personal_batch": 3, "personal_learning_rate": 3e-2},
    "revival_point": {"chunk_images": 6, "chunk_epochs": 1},
}


@dataclass(frozen=True)
class Ground:
    """θ₀, θᵤ, every auxiliary set by name, and the base model's recipe."""

    base: UNet2DModel
    unlearned: UNet2DModel
    sets: dict[str, Images]
    recipe: BaseModel
    null_condition: int
    device: Device = field(default_factory=Device)

    def target(self, settings: AttackSettings) -> Target:
        sets = {name: self.sets[name] for name in settings.auxiliaries}
        return Target(sets[settings.auxiliary], self.recipe, self.null_condition, self.device, sets)

    def landmarks(self) -> Landmarks:
        base, unlearned = (dict(m.named_parameters()) for m in (self.base, self.unlearned))
        return Landmarks(base, unlearned, self.sets["retain"], noise_schedule())


Check = Callable[[str, Ground], None]


def settings_of(attack: str, **values: object) -> AttackSettings:
    return ATTACKS[attack].configure({"batch": BATCH, "learning_rate": 1e-2} | PARTS.get(attack, {}) | values)


def begin(attack: str, ground: Ground, seed: int = 1, steps: int = STEPS, **values: object) -> FineTuning:
    settings = settings_of(attack, **values)
    return ATTACKS[attack].begin(deepcopy(ground.unlearned), ground.target(settings), settings, steps, seed)


def weights(run: FineTuning) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in run.trained().state_dict().items()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def its_seed_alone_decides_its_weights(attack: str, ground: Ground) -> None:
    results = []
    for seed in (1, 1, 2):
        run = begin(attack, ground, seed)
        torch.randn(3)  # nothing may come from the global generator
        assert run.advance(STEPS)
        results.append(weights(run))
    assert equal(results[0], results[1]), "one seed gave two results"
    assert not equal(results[0], results[2]), "two seeds gave one result"
    assert not equal(results[0], dict(ground.unlearned.state_dict())), "θᵤ moves"


def it_leaves_its_sets_as_they_were(attack: str, ground: Ground) -> None:
    def everything() -> dict[str, torch.Tensor]:
        sets = ground.sets.items()
        return {f"{n}.{k}": v.clone() for n, s in sets for k, v in (("images", s.images), ("conditions", s.conditions))}

    before = everything()
    begin(attack, ground).advance(STEPS)
    assert equal(before, everything()), "its sets are not its to change"


def it_goes_on_from_a_checkpoint_to_the_same_weights(attack: str, ground: Ground) -> None:
    """Stop at every step, continue in a new run with another seed from the checkpoint's bytes: equal state to the bit."""
    for which, stops in (("all", range(1, STEPS)), (LORA, (STEPS // 2,))):
        whole = begin(attack, ground, trained_parameters=which)
        whole.advance(STEPS)
        for stop in stops:
            part = begin(attack, ground, trained_parameters=which)
            assert part.advance(stop)
            stored = safetensors.torch.load(safetensors.torch.save(part.state()))
            continued = begin(attack, ground, seed=99, trained_parameters=which)
            continued.restore(stored)
            assert continued.step == stop and continued.advance(STEPS)
            ends = whole.state(), continued.state()
            assert ends[0].keys() == ends[1].keys()
            for name in ends[0]:
                assert ends[0][name].numpy().tobytes() == ends[1][name].numpy().tobytes(), f"{name} was not restored"
        assert equal(weights(whole), weights(continued))


def a_longer_attack_continues_a_shorter_one(attack: str, ground: Ground) -> None:
    short, long = begin(attack, ground), begin(attack, ground, steps=2 * STEPS)
    assert short.advance(STEPS) and long.advance(STEPS)
    continued = begin(attack, ground, steps=2 * STEPS)
    continued.restore(short.state())
    assert long.advance(2 * STEPS) and continued.advance(2 * STEPS)
    assert equal(weights(long), weights(continued)), "what it does depends on how long it will be"


def no_step_leaves_the_unlearned_model(attack: str, ground: Ground) -> None:
    for which in ("all", LORA):
        run = begin(attack, ground, steps=0, trained_parameters=which)
        assert run.advance(0) and run.step == 0
        assert equal(weights(run), dict(ground.unlearned.state_dict()))


def it_stops_at_a_deadline_and_still_gets_on(attack: str, ground: Ground) -> None:
    run = begin(attack, ground)
    for step in range(1, STEPS):
        assert not run.advance(STEPS, deadline=-math.inf)
        assert run.step == step
    assert run.advance(STEPS, deadline=-math.inf) and run.step == STEPS


def a_loss_that_is_not_finite_is_a_divergence_with_its_step(attack: str, ground: Ground) -> None:
    run = begin(attack, ground)
    assert run.advance(2)
    with torch.no_grad():
        next(p for p in run.model.parameters() if p.requires_grad).fill_(float("nan"))
    with pytest.raises(Diverged, match=f"step 3 of {STEPS}"):
        run.advance(STEPS)


def only_its_trained_parameters_move(attack: str, ground: Ground) -> None:
    """Whichever it is told to train; by low-rank factors, the weights of linear layers and convolutions."""
    before = dict(ground.unlearned.named_parameters())
    matrices = (torch.nn.Linear, torch.nn.Conv2d)
    factored = {f"{n}.weight" for n, m in ground.unlearned.named_modules() if isinstance(m, matrices)}
    for which in (name for name in TRAINED_PARAMETERS if not name.startswith("cross_attention")):
        run = begin(attack, ground, trained_parameters=which, lora_rank=2)
        run.advance(2)
        now = dict(run.trained().named_parameters())
        moved = {name for name in before if not torch.equal(before[name], now[name])}
        may = factored if which == LORA else set(trained_parameters(ground.unlearned, which))
        assert moved and moved <= may, f"of {which} it moved {sorted(moved - may)[:3] or 'nothing'}"


def its_step_is_a_mean(attack: str, ground: Ground) -> None:
    """Larger batches do not make the loss larger."""
    means = []
    for batch in (6, 96):
        more = {"chunk_images": 96} if attack == "revival_point" else {}
        run = begin(attack, ground, batch=batch, **more)
        values = []
        for _ in range(4):
            run.clear_gradient()
            values.append(run.gradient(run).item())
        means.append(sum(values) / len(values))
    assert 0.5 < means[1] / means[0] < 2, f"of batches of 6 and of 96 the loss is {means}"


def its_shapes_are_right_without_values(attack: str, ground: Ground) -> None:
    """On the meta device there are shapes and nothing else: no step may look at a value, which would make a GPU wait."""
    elsewhere = replace(ground, unlearned=deepcopy(ground.unlearned).to("meta"), device=Device("meta"))
    for which in ("all", LORA):
        run = begin(attack, elsewhere, trained_parameters=which)
        loss = run.gradient(run)
        assert loss.shape == () and loss.device.type == "meta"
        with_gradient = [p for p in run.parameters if p.grad is not None]
        assert with_gradient and all(p.grad is not None and p.grad.shape == p.shape for p in with_gradient)


def it_lowers_the_loss_on_what_it_trains_on(attack: str, ground: Ground) -> None:
    # As it comes: an attack of several parts has parts that are too short to tell here.
    values = {"batch": 8, "learning_rate": 5e-3}
    settings = ATTACKS[attack].configure(values)
    target = ground.target(settings)
    run = ATTACKS[attack].begin(deepcopy(ground.unlearned), target, settings, 25, 1)
    loss = target.denoising(target.auxiliary, settings)

    def now() -> float:
        with torch.no_grad():
            return float(torch.stack([loss(run.model, torch.Generator().manual_seed(i)) for i in range(6)]).mean())

    before = now()
    run.advance(25)
    assert now() < before, "the loss is no lower after 25 steps"


def it_goes_on_as_if_never_diagnosed(attack: str, ground: Ground) -> None:
    """At any step, of any part of it: to the same bits."""
    for which, steps in (("all", range(STEPS + 1)), (LORA, (1, STEPS))):
        plain, asked = (begin(attack, ground, trained_parameters=which) for _ in range(2))
        for step in steps:
            assert plain.advance(step) and asked.advance(step)
            diagnose(asked, ground.landmarks(), BATCH)
        assert equal(weights(plain), weights(asked)), "it goes on otherwise once it was diagnosed"


def its_settings_are_checked_and_travel(attack: str, ground: Ground) -> None:
    member = ATTACKS[attack]
    settings = member.configure({})
    assert member.configure(json.loads(json.dumps(asdict(settings)))) == settings
    with pytest.raises(ValueError, match=r"has no setting learning_rat; it has .*learning_rate"):
        member.configure({"learning_rat": 1e-3})
    refused = {
        "learning_rate": (0.0, -1.0),
        "batch": (0,),
        "optimiser": ("adamw",),
        "trained_parameters": ("none",),
        "lora_rank": (0,),
        "label_dropout": (-0.1, 1.1),
        "images": (-1,),
        "auxiliary": ("retained",),
    }
    for name, values in refused.items():
        for value in values:
            with pytest.raises(ValueError, match=name.replace("auxiliary", "auxiliary set")):
                member.configure({name: value})


CHECKS: tuple[Check, ...] = (
    its_seed_alone_decides_its_weights,
    it_leaves_its_sets_as_they_were,
    it_goes_on_from_a_checkpoint_to_the_same_weights,
    a_longer_attack_continues_a_shorter_one,
    no_step_leaves_the_unlearned_model,
    it_stops_at_a_deadline_and_still_gets_on,
    a_loss_that_is_not_finite_is_a_divergence_with_its_step,
    only_its_trained_parameters_move,
    its_step_is_a_mean,
    its_shapes_are_right_without_values,
    it_lowers_the_loss_on_what_it_trains_on,
    it_goes_on_as_if_never_diagnosed,
    its_settings_are_checked_and_travel,
)
