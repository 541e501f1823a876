"""A question small enough to be swept in a test: two arms, a few steps each, loose constraints."""

from sweep.space import Arm, Attack, Choice, Constraint, Float, Int, Objective, SearchSpace

FINE_TUNING = (Float("learning_rate", 1e-4, 2e-3, log=True), Int("steps", 2, 8, log=True))

SPACE = SearchSpace(
    name="tiny",
    question="Does everything run?",
    arms=(
        Arm(
            "dimum",
            "dimum",
            (Choice("replacement", ("one_image", "noise")), *FINE_TUNING),
            start_points=(
                {"replacement": "noise", "learning_rate": 2e-4, "steps": 2},
                {"replacement": "one_image", "learning_rate": 1e-3, "steps": 8},
            ),
        ),
        Arm("label_swap", "label_swap", FINE_TUNING, baseline=True),
    ),
    objectives=(Objective("robustness", "maximise"), Objective("fid_delta", "minimise")),
    constraints=(Constraint("fid_delta", at_most="fid_budget"), Constraint("unlearning_accuracy", at_least=0.05)),
    search_attacks=(Attack("dimra-retain", "dimra", {"auxiliary": "retain", "batch": 8}),),
    confirm_attacks=(
        Attack("dimra-retain", "dimra", {"auxiliary": "retain", "batch": 8}),
        Attack("dimra-public_all", "dimra", {"auxiliary": "public_all", "batch": 8}, counts=False),
    ),
    rungs=(0, 1, 3),
)
