"""Two models attack by attack: what each keeps unlearned, what attacks ruin, and relearning in excess of the retrain control's.

Every unlearning accuracy after an attack is 1 - relearning_accuracy. Differences are paired by seed: what a seed does to both
sides, the sampling noise and the attack's batches, drops out.
"""

from __future__ import annotations

from collections.abc import Iterator

from sweep.procedures import START
from sweep.procedures.sections import Difference, Excess
from sweep.reading.arm_against_arm import differences_of
from sweep.reading.sweep import Sweep
from sweep.reading.trial import Trial
from sweep.records.names import RETRAIN
from sweep.relearning.columns import RELEARNED
from sweep.relearning.curves import relearning, rungs_of
from sweep.relearning.definitions import k
from sweep.statistics.moderated import Moderated
from sweep.statistics.shares import Point, share_difference, share_estimate

_SHORT = {"unlearning_accuracy": "unlearning", "retain_accuracy": "retain"}
_EVIDENT = "dimra-"  # how names of attacks begin: left out where a line is short


def unlearned(sweep: Sweep, main: Trial, baseline: Trial) -> Iterator[Difference]:
    """Unlearning accuracy before any attack and at every rung."""
    curve = sweep.moderated_curve(RELEARNED)
    for attack, step, counts in [(START, 0, True), *rungs_of(sweep)]:
        shown = curve.get((attack, step), Moderated({}))
        kept = {
            trial: {seed: Point(1 - p.value, p.samples) for seed, p in points.items()}
            for trial, points in shown.points.items()
        }
        yield from _row(
            Moderated(kept, share=True), "unlearning_accuracy", attack, step, counts, "maximise", main, baseline
        )


def ruined(sweep: Sweep, main: Trial, baseline: Trial) -> Iterator[Difference]:
    """Retain accuracy and FID at the end of every attack: a model that the attack ruined has not resisted it."""
    last = k(sweep)
    for attack, step, counts in rungs_of(sweep):
        for name, better in (("retain_accuracy", "maximise"), ("fid", "minimise")):
            if step == last:
                moderated = sweep.moderated_curve(name).get((attack, step), Moderated({}))
                yield from _row(moderated, name, attack, step, counts, better, main, baseline)


def excess(sweep: Sweep, trial: Trial) -> Iterator[Excess]:
    """Relearning accuracy less the retrain control's, under every attack whose data hold what was forgotten."""
    curve, control = relearning(sweep, trial.trial_id), relearning(sweep, RETRAIN)
    for attack, step, counts in rungs_of(sweep):
        a, b = curve.get((attack, step), {}), control.get((attack, step), {})
        mean = sweep.moderated_curve(RELEARNED).get((attack, step), Moderated({})).estimate(trial.trial_id)
        reference = share_estimate(list(b.values()))
        if not counts and mean is not None and reference is not None:
            brief = f"{attack.removeprefix(_EVIDENT)}@{step}"
            difference = share_difference(a, b)
            yield Excess(trial.trial_id, RELEARNED, attack, step, reference, mean, difference, brief)


def _row(
    moderated: Moderated,
    figure: str,
    attack: str,
    step: int,
    counts: bool,
    better: str,
    main: Trial,
    baseline: Trial,
) -> Iterator[Difference]:
    """``unlearning after retain@31``; attacks that do not count say so."""
    when = "before any attack" if attack == START else f"after {attack}@{step}"
    name = f"{_SHORT.get(figure, figure)} {when}" + ("" if counts else " *")
    brief = name.replace(_EVIDENT, "")
    yield from differences_of(
        moderated, figure, better, main.trial_id, baseline.trial_id, (attack, step), counts, name, brief
    )
