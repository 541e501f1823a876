"""How strong can DiMRA be against one unlearned model, and what does it cost the attacker in image quality?

A defender's figure is only as good as the attacker's effort: here Optuna searches the attack, and the defence is held. The
attacker wants what was forgotten back, in a model that still makes good images, so he pays from the same FID budget as the
defender does. Nothing he trains on shows what was forgotten. By default the model is DiMUM's at its file's settings;
``--target METHOD`` or ``--target RUN:TRIAL``, a trial of an earlier sweep, names another.
"""

from search_spaces.dimum_robustness import SPACE as DIMUM_ROBUSTNESS
from sweep.space import Arm, Choice, Constraint, Float, Int, Objective, Parameter, SearchSpace

PARAMETERS: tuple[Parameter, ...] = (
    Choice("auxiliary", ("retain", "synthetic", "public", "unrelated"), help="what the attacker trains on"),
    Choice("images", (0, 128, 32), help="how many images of it he has; 0: all there are"),
    Int("stop_after", 8, 127, log=True, help="steps of the attack"),
    Int("batch", 8, 64, log=True, help="images a step"),
    Float("label_dropout", 0.0, 0.5, help="probability that an image trains the null condition"),
    Choice("trained_parameters", ("all", "attention", "condition", "rest", "lora"), help="what the attack trains"),
    Int("lora_rank", 1, 16, log=True, help="rank of the low-rank factors, where those are what trains"),
)


def arm(optimiser: str, low: float, high: float, start: float) -> Arm:
    """DiMRA by one optimiser, each over learning rates of its own."""
    return Arm(
        f"dimra-{optimiser}",
        "dimum",
        (
            Float("learning_rate", low, high, log=True, help="learning rate of the attack, constant"),
            Choice("optimiser", (optimiser,)),
            *PARAMETERS,
        ),
        start_points=(
            {
                "learning_rate": start,
                "optimiser": optimiser,
                "auxiliary": "retain",
                "images": 0,
                "stop_after": 63,
                "batch": 32,
                "label_dropout": 0.1,
                "trained_parameters": "all",
                "lora_rank": 4,
            },
        ),
        attack="dimra",
    )


SPACE = SearchSpace(
    name="dimra_strength",
    question=(
        "How much of what one model has unlearned can the relearning attack DiMRA bring back, and what does that cost in "
        "image quality?"
    ),
    arms=(arm("adam", 1e-4, 1e-2, 1e-3), arm("sgd", 1e-2, 1.0, 0.1)),
    objectives=(Objective("attacked_relearning_accuracy", "maximise"), Objective("attacked_fid_delta", "minimise")),
    constraints=(Constraint("attacked_fid_delta", at_most="fid_budget"),),
    search_attacks=DIMUM_ROBUSTNESS.search_attacks,  # of the controls: θ₀ and θ* under the usual suite
    confirm_attacks=DIMUM_ROBUSTNESS.search_attacks,
    rungs=(0, 1, 3, 7, 15, 31, 63, 127),
    references=("arXiv 2512.03564 (DiMRA)", "arXiv 2106.09685 (LoRA)"),
    trials=32,
    confirm_members=2,
)
