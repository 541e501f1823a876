"""DreamBooth of an unrelated subject: somebody personalises the unlearned model, and means no harm.

See `trainables.attacks._dreambooth`. The subject has nothing to do with what was unlearned: a few held-out images of one
label of the unrelated prompts. Whether that alone brings the concept back is asked by the forgotten prompts as they are
(the downstream personalisation of ResAlign and of concept resurgence, arXiv 2410.08074).
"""

from __future__ import annotations

from dataclasses import dataclass

from trainables.attacks import Target, register_run
from trainables.attacks._dreambooth import DreamBooth, footprint, personalisation, with_token
from trainables.attacks._words import wording_of
from trainables.auxiliary import few
from trainables.data import Images
from trainables.denoisers.text_unet import TextUNet
from trainables.fine_tuning import FineTuning


@dataclass(frozen=True)
class DreamBoothUnrelated(DreamBooth):
    """Settings of the personalisation; `images` are those of one label, the set's first."""

    auxiliary: str = "unrelated"


@register_run("dreambooth_unrelated", DreamBoothUnrelated, on_prompts=True, footprint=footprint)
def begin(model: TextUNet, target: Target, settings: DreamBoothUnrelated, steps: int, seed: int) -> FineTuning:
    """The run; ValueError where the set has not as many images of the label, or what was forgotten is among them."""
    subject = subject_of(target, settings)
    table = with_token(model, target, settings.token, subject.conditions.unique().tolist())
    return personalisation(model, target, settings, subject, table, steps, seed)


def subject_of(target: Target, settings: DreamBoothUnrelated) -> Images:
    """A few images of the label that the set's lowest prompt asks for."""
    wording, everything = wording_of(target), target.sets[settings.auxiliary]
    if bool(wording.forgetting.asked_by(everything.conditions).any()):
        raise ValueError("auxiliary: an unrelated subject is taken from a set without what was forgotten")
    label = wording.forgetting.label_of(int(everything.conditions.min()))
    labels = everything.conditions.clone().apply_(wording.forgetting.label_of)
    return few(everything.where(labels == label), settings.images)
