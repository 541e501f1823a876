"""Where an attacked model θ_k stands, and where its attack is heading: at every rung of an attack, k = 0 included.

    retain_gradient_norm = ‖∇DSM(θ_k; D_r)‖          how far the retain loss is from being stationary
    attack_cosine        = cos(-g_k, θ₀ - θᵤ)        whether the attack's gradient g_k points back to the base model
    distance_unlearned   = ‖θ_k - θᵤ‖                how far the attack has come
    distance_base        = ‖θ_k - θ₀‖                how far it still is from where unlearning began

Why to look: where unlearning ends in a minimum of the retain loss, an attacker who descends that loss has nothing to follow.
Norms are Euclidean, over all parameters, trained or not; of a model in low-rank factors, over the weights that it uses,
and -g_k is how these change, to first order, where the factors follow their gradient. Both gradients are of one batch that
is the same for every model and k, so figures compare; a batch's noise is in them, so neither is the expectation's own.

Both cost as much as two steps of the attack: 9 % of a ladder to K = 63 on digits, from a quarter of its first rung, which is
one step and 128 samples, to 2 % of its last. Smaller batches save nothing there, for the time goes by operations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from diffusers import DDIMScheduler

from trainables.data import Images
from trainables.diffusion import Noised
from trainables.fine_tuning import FineTuning, Stateful
from trainables.training.lora import displacement, effective_weights, plain_parameters

IMAGES = 32  # retained images of the gradient's batch
_SEED = 0


@dataclass(frozen=True)
class Landmarks:
    """θ₀ and θᵤ by parameter name, on the device; the retain set D_r, on the CPU; and the noise schedule."""

    base: Mapping[str, torch.Tensor]
    unlearned: Mapping[str, torch.Tensor]
    retain: Images
    schedule: DDIMScheduler


def diagnose(run: FineTuning, landmarks: Landmarks, attack_batch: int) -> tuple[dict[str, float], dict[str, int]]:
    """The four figures at θ_k, where `run` stands, and how many images each is over; `run` goes on as if never asked.

    `attack_batch` is the N of the attack's own batches. The cosine is left out where θᵤ is θ₀: there is no way back; and with
    it the distance to θ₀ where θᵤ, someone's own model, is of another architecture.
    """
    here = effective_weights(run.model)
    unlearned = [landmarks.unlearned[name].detach() for name in here]
    figures = {
        "retain_gradient_norm": retain_gradient_norm(run, landmarks),
        "distance_unlearned": norm(torch._foreach_sub(list(here.values()), unlearned)),
    }
    counts = {"retain_gradient_norm": IMAGES, "distance_unlearned": 0}
    if {k: v.shape for k, v in here.items()} != {k: v.shape for k, v in landmarks.base.items()}:
        return figures, counts
    base = [landmarks.base[name].detach() for name in here]
    figures["distance_base"], counts["distance_base"] = norm(torch._foreach_sub(list(here.values()), base)), 0
    home = torch._foreach_sub(base, unlearned)
    if (way := norm(home)) > 0:
        descent = attack_descent(run)
        moves = [descent[name] for name in here]
        length, product = norm(moves), float(torch.stack([p.sum() for p in torch._foreach_mul(moves, home)]).sum())
        figures["attack_cosine"] = product / (length * way) if length else 0.0
        counts["attack_cosine"] = attack_batch
    return figures, counts


def retain_gradient_norm(run: FineTuning, landmarks: Landmarks) -> float:
    """‖∇DSM(θ_k; D_r)‖ over `IMAGES` retained images under their own conditions, at timesteps spread evenly."""
    generator = torch.Generator().manual_seed(_SEED)
    x_r = landmarks.retain.draw(IMAGES, generator).to(run.device.name)
    noise = torch.randn(x_r.images.shape, generator=generator).to(x_r.images)
    horizon = landmarks.schedule.config["num_train_timesteps"]
    timesteps = ((torch.arange(IMAGES) + 0.5) * horizon / IMAGES).long().to(x_r.images.device)
    noised = Noised(landmarks.schedule.add_noise(x_r.images, noise, timesteps), noise, timesteps)
    parameters = list(plain_parameters(run.model).values())
    frozen = [p for p in parameters if not p.requires_grad]
    try:
        for parameter in frozen:
            parameter.requires_grad_(True)
        with run.device.autocast():
            loss = noised.loss(run.model, x_r.conditions)
        gradient = torch.autograd.grad(loss, parameters, allow_unused=True)
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
    return norm([g for g in gradient if g is not None])


def attack_descent(run: FineTuning) -> dict[str, torch.Tensor]:
    """-g_k by parameter name: how the weights would change where the run followed its next step's gradient."""
    generator, run.generator = run.generator, torch.Generator().manual_seed(_SEED)
    stateful = run.gradient if isinstance(run.gradient, Stateful) else None
    kept: dict[str, torch.Tensor] = {k: v.clone() for k, v in stateful.state().items()} if stateful else {}
    try:
        run.clear_gradient()
        run.gradient(run)
        moves = {name: -p.grad for name, p in run.model.named_parameters() if p.grad is not None}
        return displacement(run.model, moves)
    finally:
        run.generator = generator
        run.clear_gradient()
        if stateful:
            stateful.restore(kept)


@torch.no_grad()
def norm(parts: Sequence[torch.Tensor]) -> float:
    """‖·‖ of tensors taken as one vector."""
    return float(torch.stack(torch._foreach_norm(list(parts))).double().norm())
