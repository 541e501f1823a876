"""DreamBooth of the forgotten concept: few-shot relearning through a new word.

See `trainables.attacks._dreambooth`. The subject is what was forgotten: a few held-out images of it, taught under a word
that nobody unlearned, and asked for by that word: "a photo of the sks X" in every forgotten prompt. As any attack that
holds what was forgotten it finds what any model can learn from these images, too, and counts as excess over the retrain
control.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainables.attacks import Target, register_run
from trainables.attacks._dreambooth import DreamBooth, footprint, personalisation, with_token
from trainables.attacks._words import forgotten_alone, wording_of
from trainables.denoisers.text_unet import TextUNet
from trainables.fine_tuning import FineTuning


@dataclass(frozen=True)
class DreamBoothForgotten(DreamBooth):
    """Settings of the relearning; `images` are held-out ones of what was forgotten."""

    auxiliary: str = "public_forgotten"


@register_run("dreambooth_forgotten", DreamBoothForgotten, on_prompts=True, footprint=footprint)
def begin(model: TextUNet, target: Target, settings: DreamBoothForgotten, steps: int, seed: int) -> FineTuning:
    """The run; ValueError where the set holds anything but what was forgotten."""
    wording = wording_of(target)
    subject = forgotten_alone(target.auxiliary, wording, "relearning through a new word")
    table = with_token(model, target, settings.token, list(wording.forgetting.conditions))
    run = personalisation(model, target, settings, subject, table, steps, seed)
    run.model.prompts = table  # whoever taught the word asks by it
    return run
