"""A question about single images, small enough to be swept in a test."""

from sweep.space import Arm, Attack, Constraint, Float, Int, Objective, SearchSpace

SPACE = SearchSpace(
    name="tiny_instances",
    question="Does everything run where nothing has a condition?",
    arms=(Arm("siss", "siss", (Float("learning_rate", 1e-4, 2e-3, log=True), Int("steps", 2, 8, log=True))),),
    objectives=(Objective("robustness", "maximise"), Objective("fid_delta", "minimise")),
    constraints=(Constraint("fid_delta", at_most="fid_budget"), Constraint("unlearning_accuracy", at_least=0.05)),
    search_attacks=(Attack("dimra-retain", "dimra", {"auxiliary": "retain", "batch": 8}),),
    confirm_attacks=(Attack("dimra-retain", "dimra", {"auxiliary": "retain", "batch": 8}),),
    rungs=(0, 1, 3),
)
