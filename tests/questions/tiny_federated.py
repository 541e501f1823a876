"""A question of federated trials that takes seconds: two arms, few rounds, a table of wines."""

from sweep.space import Arm, Constraint, Float, Int, Objective, SearchSpace

RANGES = (
    Float("target_epsilon", 5.0, 50.0, log=True),
    Float("clip_norm", 0.5, 2.0, log=True),
    Int("steps", 20, 400, log=True),
    Int("batch", 8, 24, log=True),
    Int("critic_width", 8, 32, log=True),
)
POINT = {"target_epsilon": 20.0, "clip_norm": 1.0, "steps": 200, "batch": 16, "critic_width": 16}

SPACE = SearchSpace(
    name="tiny_federated",
    question="Does a sweep of federated trials run?",
    arms=(
        Arm(
            "vflgan", "vflgan", RANGES, start_points=(POINT, POINT | {"critic_width": 24}), held={"mechanism": "record"}
        ),
        Arm("vertigan", "vertigan", RANGES, baseline=True, start_points=(POINT,), held={"mechanism": "record"}),
    ),
    objectives=(Objective("fd", "minimise"), Objective("epsilon", "minimise")),
    constraints=(
        Constraint("fd", at_most=1000.0),  # so few rounds may leave a trial farther off than the schema alone
        Constraint("epsilon", at_most="wanted_epsilon"),
        Constraint("audited_epsilon_excess", at_most=0.0),
    ),
    procedure="federated",
    trials=2,
    baseline_share=0.5,
    confirm_members=1,
    confirm_neighbours=0,
)
