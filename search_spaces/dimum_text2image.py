"""Which replacement data and loss weights make DiMUM on prompts withstand DiMRA, and what do they cost in image quality?

`dimum_robustness` asked of a text-to-image model: replacement data are given prompt by prompt there, and "anchor" gives each the
same prompt with something else in the place of what is forgotten. Noise and blank images are left out: denoised are latents,
which have no range that they could be drawn from. Label swap is searched beside it over the same ranges.

What depends on the size of the model is a `Scale`: that of the small model which is trained here, and, as a preset, that of Stable
Diffusion on a card of 24 GB. There nothing is trained but the cross-attention or low-rank factors, and attacks train the
attention, so that weights, gradients and moments fit beside the activations; learning rates lie around the 1e-5 of SalUn's,
Meta-Unlearning's and ResAlign's public code.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from search_spaces.dimum_robustness import SPACE as DIMUM_ROBUSTNESS
from sweep.space import (
    Arm,
    Attack,
    Choice,
    Constraint,
    Float,
    Int,
    Objective,
    Parameter,
    Preset,
    SearchSpace,
    Settings,
    Value,
)


@dataclass(frozen=True)
class Scale:
    """What goes with the size of the model: ranges and first values of unlearning, and how attacks train."""

    learning_rate: tuple[float, float, float]  # lowest, highest, and that of start points
    steps: tuple[int, int, int]  # likewise
    batch: int  # images a step of a method
    trained_parameters: tuple[str, ...]  # the first is that of start points
    ema_decay: float
    attack_rates: tuple[float, float]  # a weaker and a stronger attack's
    attack_batch: int
    attack_trains: str
    attack_images: tuple[int, ...]  # how many an attacker may have; 0: all there are
    rungs: tuple[int, ...]


SMALL = Scale(
    learning_rate=(1e-4, 3e-3, 1e-3),
    steps=(40, 240, 150),
    batch=64,
    trained_parameters=("all", "cross_attention", "cross_attention_kv"),
    ema_decay=0.9,
    attack_rates=(3e-4, 1e-3),
    attack_batch=32,
    attack_trains="all",
    attack_images=(0, 128, 32),
    rungs=DIMUM_ROBUSTNESS.rungs,
)
CARD = Scale(
    learning_rate=(1e-6, 1e-4, 1e-5),
    steps=(50, 400, 200),
    batch=4,
    trained_parameters=("cross_attention", "cross_attention_kv"),
    ema_decay=0.0,
    attack_rates=(3e-6, 1e-5),
    attack_batch=4,
    attack_trains="attention",
    attack_images=(0, 8),
    rungs=(0, 25, 50, 100, 200),
)
SMOKE = Scale(
    learning_rate=(1e-4, 3e-3, 1e-3),
    steps=(2, 8, 4),
    batch=8,
    trained_parameters=("cross_attention",),
    ema_decay=0.0,
    attack_rates=(3e-4, 1e-3),
    attack_batch=8,
    attack_trains="cross_attention",
    attack_images=(0,),
    rungs=(0, 1, 3),
)

# As they would be typed; whoever types them too has his own.
SMOKE_FLAGS = (
    *("--sampling-steps", "4"),
    *("--samples-forgotten", "8"),
    *("--samples-per-retained", "1"),
    *("--confirm-seeds", "1"),
)
CARD_FLAGS = (
    *("--gpus-per-trial", "1"),
    *("--gpu-memory", "24"),
    *("--image-sampler", "dpm-solver++"),
    *("--sampling-steps", "20"),
    *("--guidance", "7.5"),
    *("--samples-forgotten", "48"),
    *("--confirm-seeds", "2"),
)


def presets(parts: Callable[[Scale], Mapping[str, Any]]) -> tuple[Preset, Preset]:
    """A smoke run and one for a card of 24 GB, of a question whose parts are of a scale."""
    smoke = dict(parts(SMOKE))
    arms = sum(not arm.baseline for arm in smoke["arms"])
    few = {"trials": arms, "baseline_share": 1.0, "confirm_members": 1, "confirm_neighbours": 0}
    return (
        Preset("smoke", "minutes: does everything run? Its figures say nothing", SMOKE_FLAGS, smoke | few),
        Preset("24gb", "Stable Diffusion 1.4, 1.5 or 2.1 on one card of 24 GB", CARD_FLAGS, parts(CARD)),
    )


def fine_tuning(scale: Scale) -> tuple[Parameter, ...]:
    """What every fine-tuning method has: all arms search the same ranges."""
    low, high, _ = scale.learning_rate
    fewest, most, _ = scale.steps
    return (
        Float("learning_rate", low, high, log=True, help="Adam's peak learning rate; it decays to 0 over the run"),
        Int("steps", fewest, most, log=True, help="optimiser steps of unlearning"),
        Float("lambda_ratio", 1e-2, 1e2, log=True, help="weight of the forgetting loss over that of the retain loss"),
        Float("forget_share", 0.1, 0.6, help="share of each batch spent on forgotten prompts"),
        Choice("trained_parameters", scale.trained_parameters, help="everything, or where prompts enter"),
        Choice("ema_decay", (scale.ema_decay,), help="decay of the weights' moving average"),
        Choice("batch", (scale.batch,), help="images a step"),
        Float("condition_dropout", 0.0, 0.2, help="probability that a retained image trains the empty prompt"),
    )


def beginning(scale: Scale) -> Settings:
    """Settings that forget on the small model (benchmarks/text2image.md), with the scale's own rate and steps."""
    return {
        "learning_rate": scale.learning_rate[2],
        "steps": scale.steps[2],
        "forget_share": 0.2,
        "trained_parameters": scale.trained_parameters[0],
        "ema_decay": scale.ema_decay,
        "batch": scale.batch,
        "condition_dropout": 0.05,
    }


RATIOS = (0.3, 1.0, 0.1)  # both arms begin with the same ladder, so that neither has a head start

REPLACEMENT = (
    Choice(
        "replacement",
        (
            "anchor",
            "class_fixed",
            "class_nearest",
            "class_farthest",
            "one_image",
            "nearest_neighbours",
            "generated",
            "class_mean",
        ),
        help="what forgotten prompts are taught to make instead",
    ),
    # Flat although two kinds have one image whatever it says: a conditional parameter would shut out GP samplers.
    Int("replacement_images", 1, 64, log=True, help="how many different replacement images, of anchors for each"),
)
ALTERNATIVE = Choice(
    "alternative",
    ("anchor", "class_fixed", "class_nearest", "class_farthest"),
    help="the prompt whose predictions a forgotten one is taught",
)


def arms(scale: Scale) -> tuple[Arm, ...]:
    """DiMUM, and label swap over the same ranges."""
    shared, begin = fine_tuning(scale), beginning(scale)
    ladder = tuple(begin | {"lambda_ratio": ratio} for ratio in RATIOS)
    return (
        Arm(
            name="dimum",
            method="dimum",
            parameters=(*REPLACEMENT, *shared),
            start_points=tuple(
                {"replacement": kind, "replacement_images": 8, **rung}
                for kind, rung in zip(("anchor", "generated", "class_nearest"), ladder, strict=True)
            ),
        ),
        Arm(
            name="label_swap",
            method="label_swap",
            parameters=(ALTERNATIVE, *shared),
            baseline=True,
            start_points=tuple({"alternative": "anchor", **rung} for rung in ladder),
        ),
    )


def attack(
    scale: Scale, method: str, auxiliary: str, learning_rate: float, counts: bool = True, lora: bool = False
) -> Attack:
    """An attack by fine-tuning on an auxiliary set, in full as the scale has it or by low-rank factors."""
    settings: dict[str, Value] = {
        "auxiliary": auxiliary,
        "learning_rate": learning_rate,
        "batch": scale.attack_batch,
        "trained_parameters": "lora" if lora else scale.attack_trains,
    }
    how = "-lora" if lora else ""
    return Attack(
        f"{method}-{auxiliary}{how}-{learning_rate:.0e}".replace("e-0", "e-"), method, settings, counts=counts
    )


def malicious(scale: Scale) -> Attack:
    """Images of what was forgotten, taught at the higher rate: reported as excess over the control, where there is one."""
    return attack(scale, "malicious", "public_forgotten", scale.attack_rates[1], counts=False)


def dimra_suite(scale: Scale) -> tuple[Attack, ...]:
    """DiMRA on the retained images, weaker and stronger: what trials are searched by."""
    return tuple(attack(scale, "dimra", "retain", rate) for rate in scale.attack_rates)


def whole_suite(scale: Scale) -> tuple[Attack, ...]:
    """What members of a front are confirmed by; an attack that is added later is a line of this."""
    strong = scale.attack_rates[1]
    return (
        *dimra_suite(scale),
        attack(scale, "dimra", "public", strong),
        attack(scale, "benign", "unrelated", strong),
        attack(scale, "benign", "unrelated", strong, lora=True),
        malicious(scale),
    )


def parts(scale: Scale) -> dict[str, Any]:
    """The parts of the question that are of a scale."""
    return {
        "arms": arms(scale),
        "search_attacks": dimra_suite(scale),
        "confirm_attacks": whole_suite(scale),
        "rungs": scale.rungs,
    }


SPACE = SearchSpace(
    name="dimum_text2image",
    question=(
        "Which replacement data and loss weights make DiMUM on prompts withstand the relearning attack DiMRA, "
        "and what do they cost in image quality?"
    ),
    **parts(SMALL),
    objectives=(Objective("robustness", "maximise"), Objective("fid_delta", "minimise")),
    constraints=(Constraint("fid_delta", at_most="fid_budget"), Constraint("unlearning_accuracy", at_least=0.95)),
    references=("arXiv 2512.03564 (DiMUM, DiMRA)", "arXiv 2310.12508 (SalUn)", "arXiv 2410.08074 (resurgence)"),
    data="digits_styled",
    confirm_members=2,
    shared=("learning_rate", "steps", "lambda_ratio", "forget_share", "trained_parameters", "condition_dropout"),
    presets=presets(parts),
)
