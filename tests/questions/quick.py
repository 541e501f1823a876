"""A question whose trials take about a second: what befalls a sweep of it can be tried a hundred times."""

from sweep.space import Arm, Attack, Choice, Constraint, Float, Int, Objective, SearchSpace

FINE_TUNING = (Float("learning_rate", 1e-4, 2e-3, log=True), Int("steps", 1, 3, log=True))

SPACE = SearchSpace(
    name="quick",
    question="What survives?",
    arms=(
        Arm("dimum", "dimum", (Choice("replacement", ("one_image", "noise")), *FINE_TUNING)),
        Arm("label_swap", "label_swap", FINE_TUNING, baseline=True),
    ),
    objectives=(Objective("robustness", "maximise"), Objective("fid_delta", "minimise")),
    constraints=(Constraint("fid_delta", at_most="fid_budget"), Constraint("unlearning_accuracy", at_least=0.05)),
    search_attacks=(Attack("dimra-retain", "dimra", {"auxiliary": "retain", "batch": 8}),),
    confirm_attacks=(Attack("dimra-retain", "dimra", {"auxiliary": "retain", "batch": 8}),),
    rungs=(0, 1, 3),
)
