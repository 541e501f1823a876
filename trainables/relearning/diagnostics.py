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

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from diffusers import DDIMScheduler

from trainables.data import Images
from trainables.diffusion import noised_by
from trainables.fine_tuning import FineTuning, Stateful
from trainables.training.lora import displacement, effective_weights, plain_parameters

IMAGES = 32  # retained images of the gradient's batch, or as many as the attack's, where these are large
_LARGE = 16 * 16  # places of a map, of latents those of 128 pixels
_SEED = 0


@dataclass(frozen=True)
class Landmarks:
    """θ₀ and θᵤ by parameter name, each tensor looked at alone; the retain set D_r, on the CPU; and the noise schedule."""

    base: Mapping[str, torch.Tensor]
    unlearned: Mapping[str, torch.Tensor]
    retain: Images
    schedule: DDIMScheduler


def diagnose(run: FineTuning, landmarks: Landmarks, attack_batch: int) -> tuple[dict[str, float], dict[str, int]]:
    """The four figures at θ_k, where `run` stands, and how many images each is over; `run` goes on as if never asked.

    `attack_batch` is the N of the attack's own batches. The cosine is left out where θᵤ is θ₀: there is no way back; where the
    attack moves no weight; and with the distance to θ₀ where θᵤ, someone's own model, is of another architecture.
    """
    here = effective_weights(run.model, landmarks.unlearned)
    large = landmarks.retain.shape[-2] * landmarks.retain.shape[-1] > _LARGE
    images = min(IMAGES, attack_batch) if large else IMAGES
    figures = {
        "retain_gradient_norm": retain_gradient_norm(run, landmarks, images),
        "distance_unlearned": distance(here, landmarks.unlearned),
    }
    counts = {"retain_gradient_norm": images, "distance_unlearned": 0}
    if not _of_one_architecture(run.model, landmarks.base):
        return figures, counts
    figures["distance_base"], counts["distance_base"] = distance(here, landmarks.base), 0
    moves = any(parameter.requires_grad for parameter in run.model.parameters())
    cosine = attack_cosine(run, landmarks) if moves else None
    if cosine is not None:
        figures["attack_cosine"], counts["attack_cosine"] = cosine, attack_batch
    return figures, counts


def retain_gradient_norm(run: FineTuning, landmarks: Landmarks, images: int = IMAGES) -> float:
    """‖∇DSM(θ_k; D_r)‖ over so many retained images under their own conditions, at timesteps spread evenly."""
    generator = torch.Generator().manual_seed(_SEED)
    x_r = landmarks.retain.draw(images, generator).to(run.device.name)
    noise = torch.randn(x_r.images.shape, generator=generator).to(x_r.images)
    horizon = landmarks.schedule.config["num_train_timesteps"]
    timesteps = ((torch.arange(images) + 0.5) * horizon / images).long().to(x_r.images.device)
    noised = noised_by(landmarks.schedule, x_r.images, noise, timesteps)
    parameters = plain_parameters(run.model)
    norms: dict[str, torch.Tensor] = {}
    run.free_gradient()
    with _gradients_taken(parameters, norms):
        with run.device.autocast():
            loss = noised.loss(run.model, x_r.conditions)
        loss.backward(inputs=list(parameters.values()))
    return _norm([norms[name] for name in parameters if name in norms])


@contextmanager
def _gradients_taken(parameters: Mapping[str, torch.nn.Parameter], norms: dict[str, torch.Tensor]) -> Iterator[None]:
    """Within it every parameter has a gradient; of each only its norm is kept, as soon as the backward pass has made it."""

    def taken_by(name: str) -> Callable[[torch.Tensor], None]:
        def take(parameter: torch.Tensor) -> None:
            assert parameter.grad is not None
            exact = torch.promote_types(parameter.dtype, torch.float32)
            norms[name] = torch.linalg.vector_norm(parameter.grad, dtype=exact)
            parameter.grad = None

        return take

    frozen = [p for p in parameters.values() if not p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    hooks = [p.register_post_accumulate_grad_hook(taken_by(name)) for name, p in parameters.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for parameter in frozen:
            parameter.requires_grad_(False)


def attack_cosine(run: FineTuning, landmarks: Landmarks) -> float | None:
    """cos(-g_k, θ₀ - θᵤ), where the run followed its next step's gradient; None where θᵤ is θ₀, 0 where the gradient is."""
    names = list(plain_parameters(run.model))
    if not any(not torch.equal(landmarks.base[name], landmarks.unlearned[name]) for name in names):
        return None
    generator, run.generator = run.generator, torch.Generator().manual_seed(_SEED)
    stateful = run.gradient if isinstance(run.gradient, Stateful) else None
    kept: dict[str, torch.Tensor] = {k: v.clone() for k, v in stateful.state().items()} if stateful else {}
    try:
        run.clear_gradient()
        run.gradient(run)
        slopes = {name: p.grad for name, p in run.model.named_parameters() if p.grad is not None}
        return _cosine_of_descent(displacement(run.model, slopes), landmarks)
    finally:
        run.generator = generator
        run.free_gradient()
        if stateful:
            stateful.restore(kept)


@torch.no_grad()
def _cosine_of_descent(slopes: Mapping[str, torch.Tensor], landmarks: Landmarks) -> float:
    lengths, ways, products = [], [], []
    for name, slope in slopes.items():
        home = _beside(landmarks.base[name], slope) - _beside(landmarks.unlearned[name], slope)
        lengths.append(torch.linalg.vector_norm(slope))
        ways.append(torch.linalg.vector_norm(home))
        products.append(-(slope * home).sum())
    length, way, product = _norm(lengths), _norm(ways), float(torch.stack(products).sum())
    return product / (length * way) if length else 0.0


@torch.no_grad()
def distance(here: Mapping[str, torch.Tensor], there: Mapping[str, torch.Tensor]) -> float:
    """‖here - there‖ over all that is `here`."""
    return _norm([torch.linalg.vector_norm(value - _beside(there[name], value)) for name, value in here.items()])


def _norm(norms: Sequence[torch.Tensor]) -> float:
    """‖·‖ of tensors taken as one vector, by the norms of each."""
    return float(torch.stack(list(norms)).double().norm())


def _beside(landmark: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    return landmark.detach().to(device=value.device, dtype=value.dtype)


def _of_one_architecture(model: torch.nn.Module, base: Mapping[str, torch.Tensor]) -> bool:
    """Whether θ₀ has the same parameters as the model; what else its state holds are buffers."""
    parameters, buffers = plain_parameters(model), {name for name, _ in model.named_buffers()}
    if parameters.keys() != base.keys() - buffers:
        return False
    return all(base[name].shape == parameter.shape for name, parameter in parameters.items())
