"""A question about the attacker, small enough to be swept in a test."""

from sweep.space import Arm, Attack, Choice, Constraint, Float, Int, Objective, SearchSpace

SPACE = SearchSpace(
    name="tiny_attack",
    question="Does a search of the attack run?",
    arms=(
        Arm(
            "dimra",
            "dimum",
            (
                Float("learning_rate", 1e-4, 1e-2, log=True),
                Int("stop_after", 1, 3),
                Choice("auxiliary", ("retain", "public")),
            ),
            attack="dimra",
            held={"steps": 3, "batch": 8},
        ),
    ),
    objectives=(Objective("attacked_relearning_accuracy", "maximise"), Objective("attacked_fid_delta", "minimise")),
    constraints=(Constraint("attacked_fid_delta", at_most="fid_budget"),),
    search_attacks=(Attack("dimra-retain", "dimra", {"auxiliary": "retain", "batch": 8}),),
    confirm_attacks=(Attack("dimra-retain", "dimra", {"auxiliary": "retain", "batch": 8}),),
    rungs=(0, 1, 3),
)
