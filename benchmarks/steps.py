"""Training and sampling throughput against plain diffusers code: ``python -m benchmarks.steps``.

The plain loop is diffusers' own training example without its logging: Adam over the model's parameters, ``clip_grad_norm_``, an
average by ``EMAModel``. Both are given the same network, batches, noise, timesteps and precision, take turns in one process of one
thread, and are compared in processor time, on a GPU in elapsed time, the best of several turns. What they give is compared too: the
losses of the first steps, relative, and the pixels of images.

On a GPU (``--device cuda``) the network is a conditional U-Net of the sizes that Ho et al. 2020 (arXiv 2006.11239) trained on
CIFAR-10, with random weights, on random images of 32 pixels.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers import UNet2DModel
from diffusers.training_utils import EMAModel

from trainables.data import dataset
from trainables.denoisers.recipes import BaseModel
from trainables.diffusion import add_noise, noise_schedule, sample
from trainables.fine_tuning import FineTuning, Optimisation
from trainables.training.device import Device

CIFAR_UNET = {
    "sample_size": 32,
    "in_channels": 3,
    "out_channels": 3,
    "layers_per_block": 2,
    "block_out_channels": (128, 256, 256, 256),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    "num_class_embeds": 11,
}


@dataclass(frozen=True)
class Ground:
    """What both loops are given: the network's arguments, images (N, C, H, W) in [-1, 1], conditions (N,), and the batch."""

    config: dict[str, object]
    images: torch.Tensor
    conditions: torch.Tensor
    batch: int
    device: Device

    def network(self) -> UNet2DModel:
        torch.manual_seed(0)
        return self.device.place(UNet2DModel(**self.config))


HOW = Optimisation(1e-3, 10**6, ema_decay=0.999)
Step = Callable[[int], list[float]]
"""Takes so many steps and gives their losses."""


def ours(ground: Ground) -> Step:
    """The project's loop."""
    schedule, losses = noise_schedule(), []

    def loss(model: UNet2DModel, generator: torch.Generator) -> torch.Tensor:
        value = batch_loss(ground, schedule, model, generator)
        losses.append(value.detach())
        return value

    run = FineTuning(ground.network(), loss, HOW, 1, ground.device)

    def step(count: int) -> list[float]:
        losses.clear()
        run.advance(run.step + count)
        return [float(value) for value in losses]

    return step


def plain(ground: Ground) -> Step:
    """diffusers' example."""
    model, schedule = ground.network().train(), noise_schedule()
    generator = torch.Generator().manual_seed(1)
    optimiser = torch.optim.Adam(model.parameters(), HOW.learning_rate)
    average = EMAModel(model.parameters(), decay=HOW.ema_decay)

    def step(count: int) -> list[float]:
        losses = []
        for _ in range(count):
            optimiser.zero_grad()
            with ground.device.autocast():
                loss = batch_loss(ground, schedule, model, generator)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), HOW.grad_clip)
            optimiser.step()
            average.step(model.parameters())
            losses.append(loss.detach())
        return [float(value) for value in losses]

    return step


def batch_loss(ground: Ground, schedule: object, model: UNet2DModel, generator: torch.Generator) -> torch.Tensor:
    """The denoising loss on a batch drawn anew: the same for both, so that only the loop around it differs."""
    index = torch.randint(len(ground.images), (ground.batch,), generator=generator).to(ground.images.device)
    noised = add_noise(schedule, ground.images[index], generator)  # type: ignore[arg-type]
    return noised.loss(model, ground.conditions[index])


def plain_sample(
    ground: Ground, model: UNet2DModel, noise: torch.Tensor, conditions: torch.Tensor, steps: int
) -> torch.Tensor:
    """DDIM as diffusers' pipeline runs it, under conditions."""
    scheduler = noise_schedule()
    scheduler.set_timesteps(steps)
    images = noise.to(ground.device.name)
    labels = conditions.to(ground.device.name)
    with torch.no_grad(), ground.device.autocast():
        for timestep in scheduler.timesteps:
            predicted = model(images, timestep, class_labels=labels).sample.float()
            images = scheduler.step(predicted, timestep, images, eta=0.0).prev_sample
    return images.clamp(-1, 1).cpu()


def seconds(action: Callable[[], object], device: Device) -> float:
    """Processor seconds of an action, on a GPU elapsed ones."""
    if device.on_gpu:
        torch.cuda.synchronize()
        start = time.perf_counter()
        action()
        torch.cuda.synchronize()
        return time.perf_counter() - start
    start = time.process_time()
    action()
    return time.process_time() - start


def training(ground: Ground, turns: int, count: int) -> tuple[float, float, float]:
    """Milliseconds a step of ours and of the plain loop, and the largest relative difference of their first losses."""
    one, other = ours(ground), plain(ground)
    first = zip(one(5), other(5), strict=True)
    apart = max(abs(a - b) / abs(b) for a, b in first)
    pairs = [
        (seconds(lambda: one(count), ground.device), seconds(lambda: other(count), ground.device)) for _ in range(turns)
    ]
    return min(a for a, _ in pairs) / count * 1e3, min(b for _, b in pairs) / count * 1e3, apart


def sampling(ground: Ground, turns: int, count: int, steps: int) -> tuple[float, float, float]:
    """Milliseconds an image of ours and of the plain loop, and the largest difference of a pixel."""
    model = ground.network().eval()
    generator = torch.Generator().manual_seed(2)
    noise = torch.randn((count, *ground.images.shape[1:]), generator=generator)
    conditions = torch.arange(count) % 10
    made: dict[str, torch.Tensor] = {}

    def one() -> None:
        made["ours"] = torch.cat(list(sample(model, noise_schedule(), noise, conditions, steps, ground.device)))

    def other() -> None:
        made["plain"] = plain_sample(ground, model, noise, conditions, steps)

    pairs = [(seconds(one, ground.device), seconds(other, ground.device)) for _ in range(turns)]
    apart = float((made["ours"] - made["plain"]).abs().max())
    return min(a for a, _ in pairs) / count * 1e3, min(b for _, b in pairs) / count * 1e3, apart


def grounds(device: Device) -> dict[str, Ground]:
    """By name: digits' U-Net at the batches of attacks and base models; on a GPU the CIFAR-10 U-Net."""
    if device.on_gpu:
        generator = torch.Generator().manual_seed(0)
        images = torch.rand((2048, 3, 32, 32), generator=generator).mul(2).sub(1).to(device.name)
        conditions = (torch.arange(2048) % 10).to(device.name)
        return {f"CIFAR-10 U-Net, batch {b}": Ground(CIFAR_UNET, images, conditions, b, device) for b in (64, 128, 256)}
    digits = dataset("digits")
    train, config = digits.load().train, BaseModel().config(digits)
    return {f"digits U-Net, batch {b}": Ground(config, train.images, train.conditions, b, device) for b in (8, 32, 128)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=7, metavar="N", help="turns of each loop (default: %(default)s)")
    parser.add_argument(
        "--steps", type=int, default=20, metavar="N", help="training steps a turn (default: %(default)s)"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    device = Device(args.device)
    print("| what | ours, ms | plain diffusers, ms | plain takes, times as long | apart |")
    print("|---|---|---|---|---|")
    for name, ground in grounds(device).items():
        mine, theirs, apart = training(ground, args.turns, args.steps)
        print(
            f"| a training step, {name} | {mine:.2f} | {theirs:.2f} | {theirs / mine:.2f} | {apart:.1e} |", flush=True
        )
    ground = next(iter(grounds(device).values()))
    for batch in (32, 128, 512):
        mine, theirs, apart = sampling(ground, args.turns, batch, 10)
        print(f"| an image by DDIM-10, batch {batch} | {mine:.3f} | {theirs:.3f} | {theirs / mine:.2f} | {apart:.1e} |")


if __name__ == "__main__":
    main()
