"""Base models: a small class-conditional UNet trained here, and models as artifacts of the store."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import torch
from diffusers import UNet2DModel

from trainables.data import Dataset, Images
from trainables.diffusion import Device, FineTuning, Loss, Optimisation, denoising_loss, noise_schedule
from trainables.store import Artifact, Tensors


@dataclass(frozen=True)
class BaseModel:
    """Architecture and training recipe of a base model; the retrain control θ* shares both.

    Condition number `conditions` (one past the last) is the null condition, learned by label dropout as in
    classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598).
    """

    channels: tuple[int, ...] = (16, 32)
    layers_per_block: int = 1
    norm_groups: int = 8
    train_steps: int = 1300
    batch: int = 128
    learning_rate: float = 4e-3
    ema_decay: float = 0.995
    label_dropout: float = 0.1
    beta_schedule: str = "linear"

    def config(self, dataset: Dataset) -> dict[str, Any]:
        """Arguments of `UNet2DModel` for a data set's shape and number of conditions."""
        channels, height, _ = dataset.shape
        blocks = len(self.channels)
        return {
            "sample_size": height,
            "in_channels": channels,
            "out_channels": channels,
            "layers_per_block": self.layers_per_block,
            "block_out_channels": list(self.channels),
            "down_block_types": ["DownBlock2D"] * blocks,
            "up_block_types": ["UpBlock2D"] * blocks,
            "norm_num_groups": self.norm_groups,
            "num_class_embeds": dataset.conditions + 1,
        }

    def optimisation(self) -> Optimisation:
        return Optimisation(self.learning_rate, self.train_steps, ema_decay=self.ema_decay, schedule="one-cycle")


def training_run(recipe: BaseModel, dataset: Dataset, images: Images, seed: int, device: Device) -> FineTuning:
    """The run that trains a base model on `images`; on the retain set alone it trains the retrain control θ*."""
    torch.manual_seed(seed)  # the weights' initialisation draws from the global generator
    model = device.place(UNet2DModel(**recipe.config(dataset)))
    loss = dropout_loss(recipe, images, dataset.conditions, device)
    return FineTuning(model, loss, recipe.optimisation(), seed, device)


def dropout_loss(
    recipe: BaseModel, images: Images, null_condition: int, device: Device, batch: int | None = None
) -> Loss:
    """DSM over random batches of `images`, each condition replaced by the null condition with the recipe's probability."""
    data = Images(images.images.to(device.name), images.conditions.to(device.name))
    schedule = noise_schedule(beta_schedule=recipe.beta_schedule)
    size = batch or recipe.batch

    def loss(model: UNet2DModel, generator: torch.Generator) -> torch.Tensor:
        drawn = data.where(torch.randint(len(data), (size,), generator=generator).to(device.name))
        dropped = torch.rand(size, generator=generator) < recipe.label_dropout
        conditions = drawn.conditions.masked_fill(dropped.to(device.name), null_condition)
        return denoising_loss(model, schedule, drawn.images, conditions, generator)

    return loss


def weights_of(model: UNet2DModel) -> Tensors:
    """A model's state by name, for `Store.put`."""
    return {k: v.detach().cpu().contiguous().numpy() for k, v in model.state_dict().items()}


def model_facts(model: UNet2DModel, recipe: BaseModel) -> dict[str, Any]:
    """What a sidecar says of a model: enough to build it again."""
    config = {k: v for k, v in json.loads(model.to_json_string()).items() if not k.startswith("_")}
    return {"unet": config, "recipe": asdict(recipe)}


def load_model(artifact: Artifact, device: Device) -> UNet2DModel:
    """The model of an artifact, on the device, in evaluation mode."""
    model = UNet2DModel(**artifact.facts["unet"])
    model.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in artifact.tensors().items()})
    return device.place(model).eval()


TRAINED_PARAMETERS = ("all", "condition_mid")


def trained_parameters(model: UNet2DModel, which: str) -> list[torch.nn.Parameter]:
    """The parameters a method may move: ``all``, or ``condition_mid`` (condition embedding and mid block).

    Raises ValueError for any other name.
    """
    if which == "all":
        return list(model.parameters())
    if which == "condition_mid":
        parts = ("class_embedding.", "mid_block.")
        return [p for name, p in model.named_parameters() if name.startswith(parts)]
    raise ValueError(f"trained_parameters {which!r} is neither 'all' nor 'condition_mid'")
