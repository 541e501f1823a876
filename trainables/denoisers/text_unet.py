"""The U-Net of Stable Diffusion (Rombach et al. 2022, arXiv 2112.10752) and SDXL (Podell et al. 2023, arXiv 2307.01952).

diffusers' own class, with the interface that losses and samplers expect of a UNet: ``model(x_t, t, class_labels)``, where a
condition is a row of a table of prompts. No other file here knows `UNet2DConditionModel`.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput

from trainables.denoisers.prompts import Prompts

STOCK = UNet2DConditionModel  # as a pipeline's folder has it


class TextUNet(UNet2DConditionModel):
    """A U-Net whose condition is a row of a table of prompts: (B, C, H, W), (B,) or () t, (B,) rows → (B, C, H, W).

    `prompts` is set once the model is made. It is no parameter, is not in the state, and goes to a device by itself
    (`Prompts.to`); what a parameter of such a model is for, its name says: see `trainables.denoisers.models`.
    """

    prompts: Prompts

    def forward(  # type: ignore[override]
        self, sample: torch.Tensor, timestep: torch.Tensor, class_labels: torch.Tensor
    ) -> UNet2DConditionOutput:
        context, pooled = self.prompts.rows(class_labels)
        added = {}
        if pooled is not None:
            assert self.prompts.time_ids is not None, "a pooled vector and time_ids come together"
            added = {"text_embeds": pooled.to(sample.dtype), "time_ids": self.prompts.time_ids.expand(len(sample), -1)}
        return super().forward(
            sample, timestep, encoder_hidden_states=context.to(sample.dtype), added_cond_kwargs=added or None
        )


def stock(model: TextUNet) -> UNet2DConditionModel:
    """The same U-Net as diffusers' pipelines have it, which is told embeddings: the very tensors, on no device of their own."""
    return _with_weights_of(model, UNet2DConditionModel)


def with_prompts(theirs: UNet2DConditionModel, prompts: Prompts) -> TextUNet:
    """A pipeline's U-Net, its very tensors, that is told rows of `prompts`."""
    ours = _with_weights_of(theirs, TextUNet)
    ours.prompts = prompts
    return ours


def _with_weights_of(model: UNet2DConditionModel, kind: Any) -> Any:
    with torch.device("meta"):
        other = kind.from_config(model.config)
    other.load_state_dict(model.state_dict(), assign=True)
    return other.train(model.training)
