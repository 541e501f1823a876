"""Which nets, clipping norm, batches and rounds give synthetic rows that are near the real ones at how small an ε?

VFLGAN (arXiv 2404.09722) and VertiGAN (PoPETs 2023(2), reconstructed) are trained with DP-SGD on every critic (arXiv
1607.00133), so that generators and what they make are post-processing: one ε, proven by an accountant, for all parties together.
Each trial is asked for an ε, and its noise is found for it. The published mechanism of VFLGAN's authors proves none of what is
published; it is run by ``--space vflgan_quality --mechanism published``.
"""

from sweep.space import Arm, Choice, Constraint, Float, Int, Objective, SearchSpace, Settings

# Both arms search the same ranges.
TRAINING = (
    Float("target_epsilon", 3.0, 100.0, log=True, help="ε that may be spent; the noise is found for it"),
    Float("clip_norm", 0.05, 5.0, log=True, help="C, which a row's gradient is clipped to in each group"),
    Int("steps", 400, 2000, log=True, help="critic steps: more of them take more noise each"),
    Int("batch", 64, 192, log=True, help="rows of a step on average"),
    Int("critic_per_generator", 1, 5, help="critic steps for one of the generators"),
    Float("learning_rate", 3e-4, 3e-3, log=True, help="Adam's, of generators"),
    Float("critic_ratio", 0.5, 2.0, log=True, help="critics' learning rate over the generators'"),
    Int("generator_width", 32, 128, log=True, help="of a generator's first hidden layer; generators cost no ε"),
    Int("critic_width", 16, 128, log=True, help="of a local critic's hidden layer; the noise's norm grows with it"),
    Int("features", 8, 64, log=True, help="what a local critic gives of a party's part"),
    Choice("penalty", ("heads", "parts"), help="one gradient penalty a head, or VFLGAN's own of every part"),
    Float("penalty_weight", 1.0, 40.0, log=True, help="λ"),
    Choice(
        "ema_decay",
        (0.0, 0.9, 0.99),
        help="decay of the generators' moving average, which costs no ε; 0: the last weights",
    ),
)

# Each arm begins with the same settings, from trials by hand, at three ε.
LADDER: tuple[Settings, ...] = tuple(
    {
        "target_epsilon": epsilon,
        "clip_norm": 1.0,
        "steps": 1500,
        "batch": 128,
        "critic_per_generator": 5,
        "learning_rate": 1e-3,
        "critic_ratio": 1.0,
        "generator_width": 64,
        "critic_width": 64,
        "features": 32,
        "penalty": "heads",
        "penalty_weight": 10.0,
        "ema_decay": 0.0,
    }
    for epsilon in (100.0, 30.0, 10.0)
)

VFLGAN = Arm(
    name="vflgan",
    method="vflgan",
    parameters=(*TRAINING, Float("private_weight", 0.0, 2.0, help="of the parties' own heads; 0: the paper's base")),
    start_points=tuple({**rung, "private_weight": 1.0} for rung in LADDER),
    held={"mechanism": "record"},
)

VERTIGAN = Arm(
    name="vertigan",
    method="vertigan",
    parameters=TRAINING,
    baseline=True,
    start_points=LADDER,
    held={"mechanism": "record"},
)

SPACE = SearchSpace(
    name="vflgan_privacy",
    question="How near do synthetic rows of vertical parties come to real ones at how small an ε, by VFLGAN and by VertiGAN?",
    arms=(VFLGAN, VERTIGAN),
    objectives=(Objective("fd", "minimise"), Objective("epsilon", "minimise")),
    constraints=(
        Constraint("fd", at_most="blind_fd"),
        Constraint("epsilon", at_most="wanted_epsilon"),
        Constraint("audited_epsilon_excess", at_most=0.0),
    ),
    references=("arXiv 2404.09722 (VFLGAN)", "PoPETs 2023(2) (VertiGAN)", "arXiv 1607.00133 (DP-SGD)"),
    procedure="federated",
    trials=16,
    baseline_share=0.5,
    confirm_members=2,
    confirm_neighbours=0,
    shared=tuple(parameter.name for parameter in TRAINING),
)
