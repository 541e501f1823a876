"""Runs that train a text-to-image model's text encoder, and leave its U-Net as it is."""

from __future__ import annotations

import torch

from trainables.denoisers.live_prompts import LivePrompts, TextEncoders, worded
from trainables.denoisers.text_unet import TextUNet
from trainables.fine_tuning import FineTuning, Gradient, Optimisation
from trainables.unlearning import Problem


class EncoderRun(FineTuning):
    """A fine-tuning run of `text`, all of its weights; what it makes of the model is what that is told."""

    def __init__(
        self,
        model: TextUNet,
        text: TextEncoders,
        problem: Problem,
        how: Optimisation,
        seed: int,
        gradient: Gradient,
    ) -> None:
        self.text, self.problem = text, problem
        weights = [weight for encoder in text.encoders for weight in encoder.parameters()]
        super().__init__(model, None, how, seed, problem.device, weights, gradient=gradient)  # type: ignore[arg-type]

    def trained(self) -> TextUNet:
        """The U-Net as it was, told its prompts by the text encoders as they are now. Ends the run."""
        text, texts = self.text, list(self.problem.texts)
        if not text.zeros_for_empty:
            texts.append("")
        prompts = worded(text, [[prompt] for prompt in texts]).to(self.device.name)
        model: TextUNet = self.model  # type: ignore[assignment]
        model.prompts = LivePrompts(text, prompts, range(len(texts))).in_table(model.prompts)
        return model

    def _moving(self) -> dict[str, torch.Tensor]:
        encoders = enumerate(self.text.encoders)
        return super()._moving() | {f"{i}.{n}": w.detach() for i, e in encoders for n, w in e.named_parameters()}
