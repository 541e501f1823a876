"""Of all these ways of unlearning, each at its best within the FID budget, which withstands DiMRA?

The method is a categorical parameter, and its own settings exist only under it. It is stratified: every method has a sampler
of its own and the same number of trials (see `sweep.space.stratified`), so each is compared at its best and at equal search
effort, not at its paper's defaults. What methods share is searched over the same ranges, and every method begins with
the defaults of its file, found on the embedded digits.
"""

from collections.abc import Mapping

from search_spaces.dimum_robustness import REPLACEMENT
from search_spaces.dimum_robustness import SPACE as DIMUM_ROBUSTNESS
from sweep.space import Choice, Float, Int, Parameter, SearchSpace, Settings, stratified

LEARNING_RATE = Float("learning_rate", 1e-4, 4e-3, log=True, help="peak learning rate; it decays to 0 over the run")
STEPS = Int("steps", 20, 240, log=True, help="optimiser steps of unlearning")
# Up to what Concept Ablation was published with, 5, and beyond.
RATIO = Float("lambda_ratio", 0.03, 10.0, log=True, help="weight of the forgetting loss over that of the retain loss")
RETAIN_WEIGHT = Float("retain_weight", 0.33, 33.0, log=True, help="the same ratio upside down: methods that call it so")
SHARE = Float("forget_share", 0.05, 0.6, help="share of each batch spent on the forgotten condition")
ALTERNATIVE = Choice(
    "alternative",
    ("class_fixed", "class_nearest", "class_farthest"),
    help="the condition whose predictions, or images, the forgotten one is taught",
)

# Held at one value, the same for every method that has them: trials are few, and these decide little.
AVERAGE = Choice("ema_decay", (0.9,), help="decay of the weights' moving average")
DROPOUT = Choice("condition_dropout", (0.05,), help="probability that a retained image trains the null condition")

TRAINING: tuple[Parameter, ...] = (LEARNING_RATE, STEPS, AVERAGE)
BATCH: tuple[Parameter, ...] = (SHARE, DROPOUT)
MIXTURE: tuple[Parameter, ...] = (*TRAINING, RATIO, *BATCH)

# A method's own settings are flat, ignored where an option of another has no use for them: every sampler can search them.
METHODS: dict[str, tuple[Parameter, ...]] = {
    "dimum": (*REPLACEMENT, *MIXTURE),
    "label_swap": (ALTERNATIVE, *MIXTURE),
    "salun": (Float("mask_fraction", 0.1, 1.0, help="share of all weights that may move"), ALTERNATIVE, *MIXTURE),
    "concept_ablation": (
        Choice("variant", ("model", "noise"), help="target: what the base model predicts for the anchor, or the noise"),
        ALTERNATIVE,
        *MIXTURE,
    ),
    "esd": (
        Float(
            "negative_guidance", 0.3, 3.0, log=True, help="how far past the unconditional prediction the target lies"
        ),
        Choice("x_t", ("sampled", "noised"), help="what the erased images are: the model's own, or the forget set's"),
        *TRAINING,
        RETAIN_WEIGHT,
        *BATCH,
    ),
    "sdd": (
        Float("guidance", 1.0, 6.0, help="classifier-free guidance of the teacher's partial samples"),
        *TRAINING,
        RETAIN_WEIGHT,
        SHARE,  # without the held dropout: its own, which is high, is how no condition forgets too
    ),
    "selective_amnesia": (
        Float(
            "ewc_weight", 1e2, 1e7, log=True, help="weight of keeping to the base model where Fisher says it matters"
        ),
        Choice("replay", ("generated", "retain"), help="what is replayed: the base model's images or the retain set"),
        *MIXTURE,
    ),
    "scissorhands": (
        Float("sparsity", 0.9, 0.999, help="share of all weights that are not made anew"),
        Choice("projection", (False, True), help="whether a step may not go against the forgetting gradient"),
        ALTERNATIVE,
        *MIXTURE,
    ),
    "erase_diff": (
        Float("forget_weight", 0.01, 1.0, log=True, help="weight of the forgetting term"),
        Choice("target", ("noise", "alternative"), help="what the forgotten images are taught"),
        Choice(
            "weighting", ("fixed", "cosine"), help="whether the weight is fixed or falls with the gradients' accord"
        ),
        *TRAINING,
        *BATCH,
    ),
    "sfr_on": (
        Float("ascent_weight", 0.1, 10.0, log=True, help="weight of the first ascent step"),
        Float("adaptivity", 0.0, 1.0, help="how much less an image counts the larger its loss is"),
        Float("saliency_threshold", 0.1, 10.0, log=True, help="ratio of Fisher information from which a weight climbs"),
        *TRAINING,
        *BATCH,
    ),
    "sfd": (
        Float("alpha", 0.8, 1.4, help="how far the fake score's lag is corrected for"),
        ALTERNATIVE,
        LEARNING_RATE,
        # A one-step generator has to be distilled before it can forget: the one method with a range of steps of its own.
        Int("steps", 200, 900, log=True, help=STEPS.help),
        RATIO,
        *BATCH,
    ),
    "neg_grad_plus": (Float("clip", 0.1, 3.0, log=True, help="forgetting loss that is enough"), *MIXTURE),
    "neg_grad": TRAINING,
    "fine_tune": TRAINING,
}

# The wrapper's own settings stay at its defaults here but for one; search_spaces/meta_unlearning.py searches them.
META: tuple[Parameter, ...] = (
    Float("meta_weight", 0.003, 0.3, log=True, help="γ: weight of the meta objective over that of unlearning"),
)
METHODS |= {f"meta({name})": (*METHODS[name], *META) for name in ("dimum", "salun")}

# What methods begin with: the defaults of their files, most of which share these.
USUAL: Settings = {
    "learning_rate": 7e-4,
    "steps": 150,
    "lambda_ratio": 0.3,
    "retain_weight": 1.0,
    "forget_share": 0.2,
    "alternative": "class_fixed",
    "replacement": "class_nearest",
    "replacement_images": 32,
    "mask_fraction": 0.5,
    "meta_weight": 0.03,
    "ema_decay": 0.9,
    "condition_dropout": 0.05,
}
OWN: dict[str, Settings] = {
    "salun": {"learning_rate": 0.0005, "lambda_ratio": 0.1},
    "concept_ablation": {"variant": "model", "alternative": "class_nearest"},
    "esd": {"negative_guidance": 1.0, "x_t": "sampled", "retain_weight": 10.0, "forget_share": 0.1},
    "sdd": {"guidance": 3.0, "learning_rate": 0.003, "retain_weight": 3.0},
    "selective_amnesia": {"ewc_weight": 30000.0, "replay": "retain", "lambda_ratio": 0.15},
    "scissorhands": {"sparsity": 0.99, "projection": False, "lambda_ratio": 0.1},
    "erase_diff": {"forget_weight": 0.1, "target": "alternative", "weighting": "fixed", "learning_rate": 0.0005},
    "sfr_on": {"ascent_weight": 6.0, "adaptivity": 0.5, "saliency_threshold": 2.0, "learning_rate": 0.0005},
    "sfd": {"alpha": 1.2, "alternative": "class_nearest", "learning_rate": 0.0003, "steps": 600, "lambda_ratio": 0.25},
    "neg_grad_plus": {"clip": 1.0, "lambda_ratio": 0.13},
    "neg_grad": {"learning_rate": 0.0001, "steps": 20},
}


def begin(methods: Mapping[str, tuple[Parameter, ...]], values: Settings) -> dict[str, tuple[Settings]]:
    """Each method's first trial, a wrapped one's as that of the method it wraps; `values` where it has none of its own."""
    points = {}
    for method, parameters in methods.items():
        known = values | OWN.get(method.removeprefix("meta(").removesuffix(")"), {})
        points[method] = ({p.name: known[p.name] for p in parameters},)
    return points


SPACE = SearchSpace(
    name="methods_vs_dimra",
    question=(
        "Which way of unlearning, each at its best within the FID budget, withstands the relearning attack DiMRA, "
        "and what does it cost in image quality?"
    ),
    arms=stratified(Choice("method", METHODS), begin(METHODS, USUAL)),
    objectives=DIMUM_ROBUSTNESS.objectives,
    constraints=DIMUM_ROBUSTNESS.constraints,
    search_attacks=DIMUM_ROBUSTNESS.search_attacks,
    confirm_attacks=DIMUM_ROBUSTNESS.confirm_attacks,
    rungs=DIMUM_ROBUSTNESS.rungs,
    references=(
        "arXiv 2512.03564 (DiMUM, DiMRA)",
        "arXiv 2310.12508 (SalUn)",
        "arXiv 2303.13516 (Concept Ablation)",
        "arXiv 2303.07345 (ESD)",
        "arXiv 2307.05977 (SDD)",
        "arXiv 2305.10120 (Selective Amnesia)",
        "arXiv 2401.06187 (Scissorhands)",
        "arXiv 2401.05779 (EraseDiff)",
        "arXiv 2409.19732 (SFR-on)",
        "arXiv 2409.11219 (SFD)",
        "arXiv 2410.12777 (Meta-Unlearning)",
    ),
    trials=6 * len(METHODS),
    confirm_members=1,
    confirm_neighbours=0,
    shared=("learning_rate", "steps", "lambda_ratio", "retain_weight", "forget_share", "alternative", "meta_weight"),
)
