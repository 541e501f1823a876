"""Does Meta-Unlearning (arXiv 2410.12777) keep what was forgotten from being taught again, and around which method?

Every method is searched twice, as it is and wrapped as ``meta(METHOD)``, over the same ranges and with as many trials. The
threat is malicious fine-tuning, whose data are images of what was forgotten. They would teach it to a model that never
knew it too, so the first objective, malicious_robustness, is read against the retrain control's: on one seed that is one
number, and the order of two models by malicious_robustness is that of their excess over it. DiMRA, whose data show nothing
of what was forgotten, is run beside it, and robustness against it is reported.
"""

from search_spaces.dimum_robustness import SPACE as DIMUM_ROBUSTNESS
from search_spaces.dimum_robustness import dimra
from search_spaces.methods_vs_dimra import (
    AVERAGE,
    DROPOUT,
    LEARNING_RATE,
    META,
    RATIO,
    RETAIN_WEIGHT,
    SHARE,
    STEPS,
    USUAL,
    begin,
)
from sweep.space import Attack, Choice, Constraint, Float, Int, Objective, Parameter, SearchSpace, Settings, stratified

# How a method trains; what it has of its own (SalUn's mask, ESD's η) stays at its defaults, alike with and without meta.
TRAINING: tuple[Parameter, ...] = (LEARNING_RATE, STEPS, SHARE, AVERAGE)
METHODS: dict[str, tuple[Parameter, ...]] = {
    "dimum": (*TRAINING, RATIO, DROPOUT),
    "salun": (*TRAINING, RATIO, DROPOUT),
    "concept_ablation": (*TRAINING, RATIO, DROPOUT),
    "esd": (*TRAINING, RETAIN_WEIGHT, DROPOUT),
    "sdd": (*TRAINING, RETAIN_WEIGHT),
}
OF_META: tuple[Parameter, ...] = (
    *META,
    Float("zeta", 0.01, 1.0, log=True, help="ζ: weight of ruining what is close to the forgotten condition"),
    Int("meta_inner_steps", 1, 3, help="M: steps of the simulated malicious fine-tuning"),
    Float("meta_inner_learning_rate", 0.01, 0.5, log=True, help="learning rate of those steps, plain SGD"),
)
BEGIN: Settings = USUAL | {"zeta": 0.1, "meta_inner_steps": 1, "meta_inner_learning_rate": 0.1}


def malicious(images: int, learning_rate: float) -> Attack:
    """Malicious fine-tuning with so many held-out images of what was forgotten; 0: all there are."""
    settings: Settings = {"auxiliary": "public_forgotten", "images": images, "learning_rate": learning_rate}
    name = f"malicious-{images or 'all'}-{learning_rate:.0e}".replace("e-0", "e-")
    return Attack(name, "malicious", settings, counts=False)


WRAPPED = {f"meta({method})": (*parameters, *OF_META) for method, parameters in METHODS.items()}

SPACE = SearchSpace(
    name="meta_unlearning",
    question=(
        "Around which method does Meta-Unlearning keep what was forgotten from being taught again by malicious "
        "fine-tuning, and what does it cost in image quality?"
    ),
    arms=(
        *stratified(Choice("method", WRAPPED), begin(WRAPPED, BEGIN)),
        *stratified(Choice("method", METHODS), begin(METHODS, BEGIN), baseline=True),
    ),
    objectives=(Objective("malicious_robustness", "maximise"), Objective("fid_delta", "minimise")),
    constraints=(Constraint("fid_delta", at_most="fid_budget"), Constraint("unlearning_accuracy", at_least=0.95)),
    search_attacks=(malicious(0, 1e-3), dimra("retain", 1e-3)),
    # The search's malicious attack is the strongest of these on digits; fewer images and a lower rate are there to be seen.
    confirm_attacks=(
        malicious(0, 1e-3),
        malicious(8, 1e-3),
        malicious(0, 1e-4),
        dimra("retain", 3e-4),
        dimra("retain", 1e-3),
        dimra("synthetic", 1e-3),
        dimra("public", 1e-3),
    ),
    rungs=DIMUM_ROBUSTNESS.rungs,
    references=("arXiv 2410.12777 (Meta-Unlearning)", "arXiv 2512.03564 (DiMUM, DiMRA)"),
    trials=8 * len(METHODS),
    baseline_share=1.0,
    confirm_members=1,
    confirm_neighbours=0,
    shared=tuple(p.name for p in (LEARNING_RATE, STEPS, SHARE, RATIO, RETAIN_WEIGHT, *OF_META)),
)
