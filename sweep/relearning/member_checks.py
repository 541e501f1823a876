"""Whether a plan's methods, attacks, judge and feature network take what the plan gives them, before anything is made."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sweep.errors import UsageError, mistake_in
from sweep.plan.plan import Plan
from sweep.relearning.attacks import attack_plan
from sweep.relearning.experiments import experiment_of
from sweep.relearning.setup import Setup
from sweep.space import Arm, Attack, Choice, Float, Parameter, SearchSpace, Value
from trainables.attacks import ATTACKS, SharedSettings
from trainables.auxiliary import HOLD_FORGOTTEN
from trainables.data import Dataset
from trainables.features.efficientnet import read_weights, weights_file
from trainables.features.inception import PINNED_SHA256, checked_weights
from trainables.forgetting import Forget, parse_forget
from trainables.judges import check_trained, judge_of, reader_of
from trainables.relearning import products
from trainables.relearning.experiment import AttackPlan
from trainables.relearning.stages.trajectory import check_images
from trainables.unlearning import METHODS, MethodSettings


def check_members(plan: Plan[Setup], space: SearchSpace) -> None:
    """UsageError where a method or an attack does not have a setting that the space gives it, or refuses a value."""
    setup = plan.setup
    if setup.fid_features == "inception":
        with mistake_in("--inception-weights"):
            checked_weights(setup.inception_weights, setup.inception_sha256 or PINNED_SHA256)
    if setup.fid_features == "efficientnet":
        with mistake_in("--fid-features efficientnet"):
            read_weights(weights_file())
    data = setup.dataset()
    with mistake_in(f"--data {setup.data}"):
        train = data.load(setup.data_fingerprint).train
    forgetting = parse_forget(setup.forget, data)
    with mistake_in("--forget"):
        forget_set, retain_set = forgetting.split(train)
    for images, which in ((forget_set, "forgotten"), (retain_set, "retained")):
        if data.prompts and not len(images):  # features, audits and attack sets are made of both
            raise UsageError(
                f"--data {setup.data}: no image in train/ has a {which} prompt, and {forgetting.text} is judged, audited and "
                "attacked by such; add some to train/metadata.csv"
            )
    with mistake_in(f"--judge {setup.judge}" if setup.judge else f"--data {setup.data}"):
        check_judge(setup.judge, data, forgetting)
    _check_forgets(setup, space, forgetting)
    bench = products.Workbench(experiment_of(setup, plan.artifacts, plan.place))
    for arm in space.arms:
        _check_arm(arm, bench, f"space {space.name!r}, arm {arm.name!r}")
    for attack in (*space.search_attacks, *space.confirm_attacks):
        check_attack(bench, attack, f"space {space.name!r}, attack {attack.name!r}")


def check_judge(judge: str, data: Dataset, forgetting: Forget) -> None:
    """ValueError where a judge cannot tell this kind of forgetting, or not the labels that it is about."""
    judge_of(forgetting.kind, judge)
    if reader_of(judge, data, forgetting.facet) is None:
        check_trained(data, forgetting.facet)


def check_attack(bench: products.Workbench, attack: Attack, where: str) -> None:
    """UsageError where an attack refuses its settings, its sets are too small, or it counts and holds what was forgotten."""
    with mistake_in(where):
        auxiliaries = ATTACKS[attack.method].configure(attack.settings).auxiliaries
    for auxiliary in HOLD_FORGOTTEN.intersection(auxiliaries):
        if attack.counts:
            raise UsageError(f"{where}: {auxiliary} holds the forgotten condition; declare it with counts=False")
    with mistake_in(where):
        check_images(bench, attack_plan(attack))


def _check_arm(arm: Arm, bench: products.Workbench, where: str) -> None:
    """UsageError where the arm's method, or the attack that it searches, refuses an end of a range or a start point.

    What a trial is given beside it is each choice's first option: a method's own default need not be one.
    """
    method, forgetting = METHODS[arm.method], bench.experiment.forgetting

    def configured(values: Mapping[str, Any]) -> MethodSettings:
        settings = method.configure(values)
        method.check_forgets(forgetting, settings)
        return settings

    def attacking(values: Mapping[str, Any]) -> SharedSettings:
        settings: SharedSettings = ATTACKS[arm.attack].configure(values)
        for auxiliary in HOLD_FORGOTTEN.intersection(settings.auxiliaries):
            raise ValueError(f"{auxiliary} holds what was forgotten; leave it out")
        check_images(bench, AttackPlan(arm.name, arm.attack, dict(values)))
        return settings

    configure: Callable[[Mapping[str, Any]], Any] = attacking if arm.attack else configured
    first = {p.name: next(iter(p.branches)) for p in arm.parameters if isinstance(p, Choice)}
    if arm.attack:
        with mistake_in(f"{where}, held"):
            configured(arm.held)
    for values in (first, *_one_by_one(arm)):
        with mistake_in(", ".join([where, *(f"{name}={value}" for name, value in values.items())])):
            configure(first | values)
    for i, point in enumerate(arm.start_points):
        with mistake_in(f"{where}, start point {i}"):
            configure(point)


def _one_by_one(arm: Arm) -> Iterator[dict[str, Value]]:
    """Every option of every choice and both ends of every range; of an attack's sets, each with every number of images."""
    of_sets = [p for p in arm.walk() if arm.attack and p.name in ("auxiliary", "images")]
    for parameter in arm.walk():
        if parameter not in of_sets:
            yield from ({parameter.name: value} for value in _ends(parameter))
    if of_sets:
        names = [p.name for p in of_sets]
        yield from (dict(zip(names, values, strict=True)) for values in itertools.product(*map(_ends, of_sets)))


def _ends(parameter: Parameter) -> list[Value]:
    """Every option of a parameter, or the ends of its range: of a real one as real numbers, which most between them are."""
    if isinstance(parameter, Choice):
        return list(parameter.branches)
    kind = float if isinstance(parameter, Float) else int
    return [kind(parameter.low), kind(parameter.high)]


def _check_forgets(setup: Setup, space: SearchSpace, forgetting: Forget) -> None:
    """UsageError naming the arms whose method cannot forget this kind of thing, the first one's reason, and those whose can."""
    able: list[str] = []
    unable: list[str] = []
    reason = ""
    for arm in space.arms:
        with mistake_in(f"space {space.name!r}, arm {arm.name!r}"):
            method = METHODS[arm.method]
        try:
            method.check_forgets(forgetting)
            able.append(arm.name)
        except ValueError as error:
            unable.append(arm.name)
            reason = reason or str(error)
    if unable:
        some = f"--fix method={','.join(able)} keeps those that can" if able else "none of its arms can"
        arms = ", ".join(unable)
        raise UsageError(f"--forget {setup.forget}: space {space.name!r}: {arms} cannot forget it; {some} ({reason})")
