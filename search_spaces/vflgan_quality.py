"""Which nets and training let VFLGAN make rows that are near the real ones, whole and not only party by party?

VFLGAN (arXiv 2404.09722) lets parties that hold different columns of the same rows train a generator each, on one z, with a
server that judges their parts together. VertiGAN (PoPETs 2023(2)), reconstructed, is searched beside it over the same ranges:
there no loss sees two parties' columns of one row. No mechanism adds noise: what is asked is quality alone.
"""

from sweep.space import Arm, Choice, Constraint, Float, Int, Objective, SearchSpace, Settings

# Both arms search the same ranges.
TRAINING = (
    Float("learning_rate", 3e-4, 3e-3, log=True, help="Adam's, of generators; critics have critic_ratio times that"),
    Float("critic_ratio", 0.5, 2.0, log=True, help="critics' learning rate over the generators'"),
    Int("steps", 800, 3200, log=True, help="critic steps, which are the rounds of training"),
    Int("batch", 16, 64, log=True, help="rows of a step"),
    Int("critic_per_generator", 1, 5, help="critic steps for one of the generators"),
    Int("latent", 8, 64, log=True, help="numbers of z"),
    Int(
        "generator_width",
        32,
        128,
        log=True,
        help="of a generator's first hidden layer; each further one is twice as wide",
    ),
    Int("critic_width", 64, 256, log=True, help="of a local critic's hidden layer"),
    Int("features", 16, 128, log=True, help="what a local critic gives of a party's part"),
    Choice("penalty", ("heads", "parts"), help="one gradient penalty a head, or VFLGAN's own of every part"),
    Float("penalty_weight", 1.0, 40.0, log=True, help="λ"),
)

# Settings that are known to train, from trials by hand; each arm begins with the same.
LADDER: tuple[Settings, ...] = tuple(
    {
        "learning_rate": rate,
        "critic_ratio": 1.0,
        "steps": 2400,
        "batch": 64,
        "critic_per_generator": every,
        "latent": 32,
        "generator_width": 64,
        "critic_width": 128,
        "features": 64,
        "penalty": "heads",
        "penalty_weight": 10.0,
    }
    for rate, every in ((1e-3, 5), (2e-3, 2))
)

VFLGAN = Arm(
    name="vflgan",
    method="vflgan",
    parameters=(*TRAINING, Float("private_weight", 0.0, 2.0, help="of the parties' own heads; 0: the paper's base")),
    start_points=tuple({**rung, "private_weight": 1.0} for rung in LADDER),
    held={"mechanism": "none"},
)

VERTIGAN = Arm(
    name="vertigan",
    method="vertigan",
    parameters=TRAINING,
    baseline=True,
    start_points=LADDER,
    held={"mechanism": "none"},
)

SPACE = SearchSpace(
    name="vflgan_quality",
    question="How near do VFLGAN's synthetic rows come to real ones, whole and across parties, and how near VertiGAN's?",
    arms=(VFLGAN, VERTIGAN),
    objectives=(Objective("fd", "minimise"), Objective("party_fd", "minimise")),
    constraints=(
        Constraint("fd", at_most="blind_fd"),
        Constraint("party_fd", at_most="blind_party_fd"),
    ),
    references=("arXiv 2404.09722 (VFLGAN)", "PoPETs 2023(2) (VertiGAN)"),
    procedure="federated",
    trials=8,
    baseline_share=1.0,
    confirm_members=2,
    confirm_neighbours=0,
    shared=tuple(parameter.name for parameter in TRAINING),
)
