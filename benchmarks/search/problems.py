"""Written problems with staged costs: constrained Branin-Currin, C2-DTLZ2, and a mixed, conditional one.

Each is turned into a question of the digits sweep's form: maximise `robustness`, minimise `fid_delta`, at most `fid_budget`
of it, and at least .95 `unlearning_accuracy`, so that the real gate and the real stopping rules work on it as they are.
Common to all three:

- cost: `unlearn` 40 %, `score` 8 %, the rungs of both attacks 52 % and dearer with k; the whole is 20 core-seconds times
  3^(u - 1/2), where u in [0, 1] is the place of one parameter in its range (a factor of 3 between its ends);
- fid_delta and unlearning_accuracy are known after the score, robustness only through the rungs;
- the curve of relearning accuracy of the stronger attack goes from 1 - unlearning_accuracy to a plateau as 1 - exp(-x/τ),
  x = log₂(k+1); the plateau is solved for so that its AURC is the problem's first objective. The other attack rises to a
  part of that. A curve that cannot have that AURC, because the trial is far from feasible, has the nearest it can;
- noise as in the recorded sweep (`staged.Noise`): SD of fid_delta about 1 in a budget of 5, accuracies binomial of 128.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.search.staged import ATTACKS, RUNGS, Means, Problem, aurc_weights
from sweep.errors import UsageError, near
from sweep.space import Arm, Choice, Float, Int, Parameter, Settings

BUDGET = 5.0  # of fid_delta, about the digits question's 4.87
_LOGIT_BOUND = math.log(0.95 / 0.05)
_SHARES = (0.40, 0.08, 0.52)  # of a trial's cost: unlearn, score, rungs
_RUNG_COST = np.array([0.25 + 0.018 * k for k in RUNGS[1:]]) + np.array(
    [0, 0, 0, 0, 0, 0.8]
)  # the last scores everything
_X = np.log2(np.array(RUNGS) + 1.0)
_WEIGHTS = aurc_weights(RUNGS)
BEST_KNOWN = Path(__file__).with_name("best_known.json")
RECORDED = Path(__file__).with_name("recorded")  # the tables that come with the project


def staged_means(aurc: float, fid_delta: float, unlearned: float, dearness: float, tau: float, weaker: float) -> Means:
    """Means of a trial whose strongest attack has this AURC; `dearness` in [0, 1] sets its cost, see the module."""
    rise = 1 - np.exp(-_X / tau)
    start = 1 - unlearned
    risen = float(_WEIGHTS @ rise)
    plateau = float(np.clip((aurc - start * (1 - risen)) / risen, 0.0, 1.0))
    strong = start + (plateau - start) * rise
    weak = start + (weaker * plateau - start) * rise
    total = 20 * 3 ** (dearness - 0.5)
    rungs = np.tile(_RUNG_COST, len(ATTACKS)) / (_RUNG_COST.sum() * len(ATTACKS))
    costs = total * np.concatenate([_SHARES[:2], _SHARES[2] * rungs])
    return Means(fid_delta, unlearned, np.stack([weak, strong])[:, 1:], costs)


def branin_currin(settings: Settings) -> Means:
    """Branin and Currin on the unit square, feasible within a disc (Gelbart, Snoek & Adams 2014, arXiv 1403.5607).

    AURC = Currin / 25 and fid_delta = Branin · 5 / 80; the slack of the disc is unlearning_accuracy's distance to .95 on
    the logit scale. BoTorch's corner (80, 12) is here (.52, 5); the best hypervolume 608.4 is 1.521.
    """
    x, y = float(settings["x1"]), float(settings["x2"])
    u, v = 15 * x - 5, 15 * y
    branin = (v - 5.1 / (4 * math.pi**2) * u**2 + 5 / math.pi * u - 6) ** 2
    branin += 10 * (1 - 1 / (8 * math.pi)) * math.cos(u) + 10
    damping = 1 - math.exp(-1 / (2 * y)) if y > 0 else 1.0
    currin = damping * (2300 * x**3 + 1900 * x**2 + 2092 * x + 60) / (100 * x**3 + 500 * x**2 + 4 * x + 20)
    slack = 50 - (u - 2.5) ** 2 - (v - 7.5) ** 2
    return staged_means(currin / 25, branin * BUDGET / 80, _unlearned(slack / 12), y, 0.8 + 1.7 * x, 0.55 + 0.35 * y)


def c2_dtlz2(settings: Settings) -> Means:
    """C2-DTLZ2 with two objectives in six dimensions (Jain & Deb 2014, radius .2): a front in three pieces.

    AURC = .03 + f₁ / 4.2 and fid_delta = f₂ · 5 / 1.1; the constraint is unlearning_accuracy's distance to .95 on the logit
    scale. The corner (1.1, 1.1) is here (.708, 5); the best hypervolume .3823 is .4137. (BoTorch's own is .3996: it takes
    the middle ball's radius √2 times as large.)
    """
    x = np.array([float(settings[f"x{i}"]) for i in range(1, 7)])
    around = 1 + float(((x[1:] - 0.5) ** 2).sum())
    f1, f2 = around * math.cos(x[0] * math.pi / 2), around * math.sin(x[0] * math.pi / 2)
    ends = min((f1 - 1) ** 2 + f2**2, (f2 - 1) ** 2 + f1**2)
    middle = (f1 - math.sqrt(0.5)) ** 2 + (f2 - math.sqrt(0.5)) ** 2
    slack = 0.2**2 - min(ends, middle)
    tau, weaker = 0.8 + 1.7 * float(x[2]), 0.55 + 0.35 * float(x[3])
    return staged_means(0.03 + f1 / 4.2, f2 * BUDGET / 1.1, _unlearned(slack / 0.017), float(x[5]), tau, weaker)


KINDS = {"generated": 0.0, "nearest": 0.35, "farthest": -0.15, "one_image": 0.2, "mean": -0.5, "noise": -0.9}
MIXED: tuple[Parameter, ...] = (
    Choice(
        "loss",
        {
            "memorise": (Choice("replacement", tuple(KINDS)), Int("images", 1, 64, log=True)),
            "ascend": (Float("temperature", 0.1, 10, log=True), Float("clip", 0.05, 1.0)),
            "swap": (Choice("target", ("nearest", "farthest", "fixed")),),
        },
    ),
    Float("learning_rate", 1e-4, 2e-3, log=True),
    Int("steps", 40, 240, log=True),
    Float("lambda_ratio", 1e-2, 1e2, log=True),
    Float("forget_share", 0.1, 0.6),
    Choice("ema_decay", (0.0, 0.9, 0.97)),
)


def mixed_conditional(settings: Settings) -> Means:
    """A problem of our own, like the digits question: three losses with parameters of their own, four shared numbers.

    `push`, the effort to forget, is learning rate, steps and weight together. unlearning_accuracy rises with it, and its
    bound runs through the good region within its own noise. Robustness rises with it too, less where learning rate and
    steps are out of balance. fid_delta rises exponentially (-1 to beyond 1,000), sooner for the losses that resist longer.
    """
    rate = math.log(float(settings["learning_rate"]) / 1e-4) / math.log(20)
    steps = math.log(float(settings["steps"]) / 40) / math.log(6)
    ratio = math.log10(float(settings["lambda_ratio"])) / 2  # -1 … 1
    share = (float(settings["forget_share"]) - 0.1) / 0.5
    loss, smoothed = settings["loss"], {0.0: 0.0, 0.9: 0.15, 0.97: -0.1}[float(settings["ema_decay"])]
    gain, harm, hold = _branch(settings)
    push = gain + 1.3 * rate + 0.9 * steps + 0.55 * ratio + 0.35 * share
    balance = (rate - steps) ** 2
    unlearned = _unlearned(4.5 * (push - 1.3) - 1.5 * balance)
    strain = push + harm + 0.5 * max(ratio, 0) ** 2 + 0.8 * (share - 0.35) ** 2 - smoothed
    fid_delta = -1 + 1.8 * math.exp(2.0 * (strain - 0.75)) + (3 * math.exp(3 * (strain - 2.2)) if strain > 0 else 0)
    resist = hold + 1.6 * (push - 1.3) - 1.1 * balance + 0.35 * math.sin(5 * (ratio + steps)) + 0.4 * smoothed
    aurc = 0.6 / (1 + math.exp(1.7 * resist))
    tau = {"memorise": 2.2, "ascend": 1.0, "swap": 1.6}[str(loss)]
    return staged_means(aurc, fid_delta, unlearned, steps, tau, 0.5 + 0.4 * share)


def _branch(settings: Settings) -> tuple[float, float, float]:
    """What the loss and its own parameters add to the push, to the harm and to how long the forgetting holds."""
    if settings["loss"] == "memorise":
        many = math.log(float(settings["images"])) / math.log(64)
        kind = KINDS[str(settings["replacement"])]
        return 0.15 * kind, -0.35 - 0.45 * kind + 0.3 * abs(many - 0.45), 0.5 + 0.5 * kind - 1.2 * (many - 0.4) ** 2
    if settings["loss"] == "ascend":
        heat = math.log10(float(settings["temperature"]))
        clip = float(settings["clip"])
        return 0.5 - 0.3 * heat**2, 0.35 * clip - 0.2, 0.75 - 0.6 * (heat - 0.4) ** 2 + 0.3 * clip
    target = {"nearest": 0.2, "farthest": -0.3, "fixed": 0.0}[str(settings["target"])]
    return 0.2, -0.4 - 0.4 * target, 0.35 + 0.4 * target


def _unlearned(slack: float) -> float:
    """unlearning_accuracy: .95 at a slack of 0, on the logit scale; never below .05 nor above .998."""
    return 1 / (1 + math.exp(-float(np.clip(_LOGIT_BOUND + slack, -_LOGIT_BOUND, 6.2))))


def _written(name: str, parameters: tuple[Parameter, ...], means: Callable, reference: tuple[float, float]) -> Problem:
    return Problem(name, Arm(name, "none", parameters), means, BUDGET, reference)


PROBLEMS: dict[str, Problem] = {
    p.name: p
    for p in (
        _written("branin-currin", (Float("x1", 0, 1), Float("x2", 0, 1)), branin_currin, (0.52, BUDGET)),
        _written(
            "c2-dtlz2", tuple(Float(f"x{i}", 0, 1) for i in range(1, 7)), c2_dtlz2, (1 - 0.03 - 1.1 / 4.2, BUDGET)
        ),
        _written("mixed", MIXED, mixed_conditional, (0.5, BUDGET)),
    )
}


def problem(name: str, recording: Path | None = None, arm: str = "") -> Problem:
    """The problem called `name`; ``recorded`` is the surrogate of the recording in that folder, of one arm of it."""
    if name == "recorded":
        from benchmarks.search.recording import recorded

        if recording is None and not RECORDED.is_dir():
            raise UsageError("--problem recorded: name the folder of the recording with --recording")
        return recorded(recording or RECORDED, arm)
    if name not in PROBLEMS:
        raise UsageError(f"--problem {name}: {near(name, [*PROBLEMS, 'recorded'])}")
    return PROBLEMS[name]


def best_known(of: Problem) -> float:
    """The largest feasible hypervolume known of a problem without noise, from ``best_known.json``."""
    known = json.loads(BEST_KNOWN.read_text()) if BEST_KNOWN.is_file() else {}
    key = of.name + (f"@{of.identity}" if of.identity else "")
    if key not in known:
        raise UsageError(f"{BEST_KNOWN.name} has no {key!r}: run `python -m benchmarks.search best` for it first")
    return float(known[key]["hypervolume"])
