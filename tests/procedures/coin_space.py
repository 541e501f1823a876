"""How should a coin be bent to show heads often at few tosses? Lies as ``search_spaces/coin.py`` where it is used."""

from sweep.space import Arm, Constraint, Float, Int, Objective, SearchSpace

FLIPS = Int("flips", 32, 96, log=True, help="flips that are counted")

SPACE = SearchSpace(
    name="coin",
    question="How far is a coin best bent that shall show heads, and how many tosses does that cost?",
    arms=(
        Arm(
            "biased",
            "biased",
            (Float("bias", 0.5, 1.0, help="probability of heads"), FLIPS),
            start_points=(
                {"bias": 0.7, "flips": 48},
                {"bias": 1.0, "flips": 64},  # nobody has the patience for it
                {"bias": 0.85, "flips": 96},  # surely costs too much
            ),
        ),
        Arm(
            "best_of",
            "best_of",
            (Int("tries", 1, 3, help="tosses of a fair coin, of which the first heads is shown"), FLIPS),
            baseline=True,
            start_points=({"tries": 1, "flips": 48},),
        ),
    ),
    objectives=(Objective("heads_share", "maximise"), Objective("cost", "minimise")),
    constraints=(Constraint("cost", at_most="fair_budget"),),
    trials=6,
    confirm_members=2,
    procedure="coin",
)
