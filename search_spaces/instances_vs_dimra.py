"""Which way of making a model forget single images withstands DiMRA, each at its best within the FID budget?

The model is unconditional and has learned a few images by heart, for they come many times over in its training set
(Somepalli et al. 2023, arXiv 2305.20086); three of them are to be forgotten, and copy detection says whether they were. The
method is stratified as in `methods_vs_dimra`, over the same ranges where methods share a setting; SISS, which forgets nothing
but instances, is here. Its own learning rate lies below the others', so all of them are searched from further down.
"""

from search_spaces.dimum_robustness import SPACE as DIMUM_ROBUSTNESS
from search_spaces.dimum_robustness import dimra
from search_spaces.methods_vs_dimra import AVERAGE, STEPS, USUAL, begin
from search_spaces.methods_vs_dimra import METHODS as FOR_CONDITIONS
from sweep.space import Choice, Float, Parameter, SearchSpace, Settings, stratified

LEARNING_RATE = Float("learning_rate", 3e-5, 4e-3, log=True, help="peak learning rate; it decays to 0 over the run")

# An unconditional model has no condition to drop, and none to take another target from than noise.
OF_CONDITIONS = ("condition_dropout", "alternative", "target")


def unconditional(parameters: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
    """A method's parameters without those that only conditions have, its learning rate from further down."""
    kept = (p for p in parameters if p.name not in OF_CONDITIONS)
    return tuple(LEARNING_RATE if p.name == LEARNING_RATE.name else p for p in kept)


METHODS: dict[str, tuple[Parameter, ...]] = {
    "siss": (
        Float("mixture", 0.1, 0.9, help="λ: probability that a noised image is one to forget"),
        Float("deletion_norm", 0.003, 0.3, log=True, help="norm that the gradient of the second term is given"),
        LEARNING_RATE,
        STEPS,
        AVERAGE,
    ),
    **{name: unconditional(FOR_CONDITIONS[name]) for name in ("erase_diff", "sfr_on", "neg_grad_plus")},
    **{name: unconditional(FOR_CONDITIONS[name]) for name in ("neg_grad", "fine_tune")},
}
BEGIN: Settings = USUAL | {"mixture": 0.5, "deletion_norm": 0.03}
OF_SISS: Settings = {"learning_rate": 2e-4}

SPACE = SearchSpace(
    name="instances_vs_dimra",
    question=(
        "Which way of making a model forget single images that it has learned by heart, each at its best within the FID "
        "budget, withstands the relearning attack DiMRA, and what does it cost in image quality?"
    ),
    arms=stratified(
        Choice("method", METHODS),
        begin(METHODS, BEGIN) | begin({"siss": METHODS["siss"]}, BEGIN | OF_SISS),
    ),
    objectives=DIMUM_ROBUSTNESS.objectives,
    constraints=DIMUM_ROBUSTNESS.constraints,
    search_attacks=DIMUM_ROBUSTNESS.search_attacks,
    confirm_attacks=(
        dimra("retain", 3e-4),
        dimra("retain", 1e-3),
        dimra("synthetic", 1e-3),
        dimra("public", 1e-3),
        dimra("forget", 1e-3, counts=False),  # the forgotten images themselves: reported as excess over the control
    ),
    rungs=DIMUM_ROBUSTNESS.rungs,
    references=(
        "arXiv 2503.01034 (SISS)",
        "arXiv 2401.05779 (EraseDiff)",
        "arXiv 2409.19732 (SFR-on)",
        "arXiv 2512.03564 (DiMRA)",
    ),
    data="digits_duplicated",
    forget="instances:0,1,2",
    trials=6 * len(METHODS),
    confirm_members=1,
    confirm_neighbours=0,
    shared=(LEARNING_RATE.name, STEPS.name),
)
