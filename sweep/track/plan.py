"""A track's plan: everything it will do, validated and printable before anything runs."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.errors import UsageError, near
from sweep.plan import flags, members
from sweep.plan.flags import QUESTION, at_least, flag
from sweep.plan.place import Place
from sweep.plan.plan import Plan, listed
from sweep.plan.run import RunPlan
from sweep.reading.best import best
from sweep.reading.sweep import read_sweep
from sweep.relearning.procedure import setup_class
from sweep.relearning.question import check_method
from sweep.relearning.setup import Setup
from sweep.space import CONTROL, Arm, Attack, Choice, Objective, SearchSpace
from sweep.track.suite import SUITE

ALL = "all"
CONTROLS = ("base", "retrain")
_UNSAFE = re.compile(r"[^A-Za-z0-9._]+")


@dataclass(frozen=True)
class Entry:
    """One line of the leaderboard: a method with fixed settings, or a model of someone else's (`model`, a folder)."""

    name: str
    method: str
    settings: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    digest: str = ""  # of the model's files: a changed model is another line
    source: str = "shipped"  # where its settings are from: the method's file, shipped or own, a sweep, or the folder


def _steps_wrong(steps: int) -> str:
    if steps < 1:
        return "must be at least 1"
    return (
        ""
        if steps + 1 == 1 << steps.bit_length()
        else f"rungs double, so it must be 2^n - 1, such as {rungs_to(steps)[-1]}"
    )


def rungs_to(steps: int) -> tuple[int, ...]:
    """0, 1, 3, 7, … up to the horizon: evenly spaced in log₂(k + 1)."""
    return tuple(2**i - 1 for i in range((steps + 1).bit_length()) if 2**i - 1 <= steps)


@dataclass(frozen=True)
class TrackPlan:
    """A track: what is compared, and what every run has (`run`): data, models and sampling, and where it runs."""

    run: RunPlan[Setup]
    entries: tuple[Entry, ...]
    attacks: tuple[str, ...]
    forgets: tuple[str, ...]
    seeds: int = flag(
        3,
        "--seeds",
        "training seeds of each (default: %(default)s)",
        QUESTION,
        metavar="N",
        check=at_least(1),
    )
    steps: int = flag(
        255,
        "--steps",
        "attack steps, 2^n - 1; scored at 0, 1, 3, … K (default: %(default)s)",
        QUESTION,
        metavar="K",
        check=_steps_wrong,
    )

    @property
    def run_dir(self) -> str:
        return self.run.run_dir

    @property
    def place(self) -> Place:
        return self.run.place

    @property
    def rungs(self) -> tuple[int, ...]:
        return rungs_to(self.steps)

    @property
    def suite(self) -> tuple[Attack, ...]:
        return tuple(attack for attack in SUITE if attack.name in self.attacks)

    @property
    def replicate_seeds(self) -> list[int]:
        """Seed of replicate 1, 2, …: those that a sweep of the same `--seed` confirms on."""
        return [self.run.first_seed + i for i in range(1, self.seeds + 1)]

    @property
    def question(self) -> SearchSpace | None:
        """The question of which these lines would be the only trials: what is known of a sweep's memory is known of it.

        None where no line is a method's.
        """
        arms = [
            Arm(safe(entry.name), entry.method, tuple(Choice(name, (value,)) for name, value in entry.settings.items()))
            for entry in self.entries
            if not entry.model
        ]
        objective = Objective("robustness", "maximise")
        return SearchSpace("track", "", tuple(arms), (objective,), (), (), self.suite, self.rungs) if arms else None

    def setup_of(self, forget: str) -> Setup:
        """What replicates that forget this are about, as a sweep that forgets it would say."""
        return dataclasses.replace(self.run.setup, forget=forget)

    def to_json(self) -> dict[str, Any]:
        """What ``track.json`` holds: the plan, and with it all that makes two tracks comparable but what is prepared."""
        return {
            "plan": self.run.flat(),
            "entries": [dataclasses.asdict(e) for e in self.entries],
            "attacks": {a.name: dataclasses.asdict(a) for a in self.suite},
            "forgets": list(self.forgets),
            "seeds": self.seeds,
            "steps": self.steps,
            "rungs": list(self.rungs),
            **members.recorded(),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any], where: str) -> TrackPlan:
        """The plan a ``track.json`` holds; UsageError where it is not one, or the suite has changed since."""
        try:
            searched = {f.name for f in dataclasses.fields(Plan)}  # older tracks have these, of a sweep, without a use
            run = RunPlan.of(setup_class(), **{n: v for n, v in listed(values["plan"]).items() if n not in searched})
            members.use_recorded(values, where)
            entries = tuple(Entry(**e) for e in values["entries"])
            plan = cls(
                run, entries, tuple(values["attacks"]), tuple(values["forgets"]), values["seeds"], values["steps"]
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{where}: not a track of this version ({error})") from None
        if plan.to_json()["attacks"] != values["attacks"]:
            raise UsageError(f"{where}: the attack suite has changed since this track began; start a new one")
        return plan


def validate(plan: TrackPlan) -> None:
    """Everything that can be wrong with a track and needs nothing heavy to see."""
    flags.check(plan)
    flags.check(plan.run)
    names = [e.name for e in plan.entries]
    for name in names:
        if not safe(name) or safe(name).startswith(CONTROL):
            raise UsageError(f"--methods, --model {name}: cannot name a line; rename it")
    for twice in {n for n in names if names.count(n) > 1}:
        raise UsageError(f"--methods: {twice} is there twice")
    check_apart("--methods, --model", names)
    check_apart("--forget", plan.forgets)
    for entry in plan.entries:
        if not entry.model:
            try:
                check_method(entry.method)
            except UsageError as error:
                raise UsageError(f"--methods {error}") from None
    for forget in plan.forgets:
        plan.setup_of(forget).check()
    plan.place.check()
    question = plan.question
    if question is not None:
        for forget in plan.forgets:
            plan.setup_of(forget).check_fits(question, plan.place)


def check_apart(flag: str, names: Sequence[str]) -> None:
    """UsageError for two names that would name the same files of replicates."""
    first_of: dict[str, str] = {}
    for name in names:
        other = first_of.setdefault(safe(name), name)
        if other != name:
            raise UsageError(f"{flag}: {other} and {name} would have the same files, {safe(name)!r}; rename one")


def chosen_attacks(names: list[str]) -> tuple[str, ...]:
    """The suite's attacks by name, in its order; ``all`` is all of them. UsageError for one that it does not have."""
    known = [a.name for a in SUITE]
    if ALL in names:
        return tuple(known)
    for name in names:
        if name not in known:
            raise UsageError(f"--attacks {name}: no such attack in the suite; {near(name, [ALL, *known])}")
    return tuple(n for n in known if n in names)


def from_sweep(run: str) -> list[Entry]:
    """An entry for each arm of a sweep: its best confirmed feasible member's settings. UsageError where there is none."""
    sweep = read_sweep(run)
    entries = []
    for name, arm in sweep.arms.items():
        trial = best(sweep, name)
        if trial is not None:
            source = f"{sweep.plan['space']} sweep, {trial.trial_id}"
            entries.append(Entry(arm.name, trial.method, dict(trial.parameters), source=source))
    if not entries:
        raise UsageError(f"--from {run}: no arm of that sweep has a confirmed, feasible member")
    return entries


def own_model(folder: str) -> Entry:
    """The entry of a pipeline's folder, named as it is. UsageError where it is no pipeline."""
    from trainables.denoisers.digests import hashed
    from trainables.denoisers.pipelines import read_pipeline

    try:
        pretrained = hashed(read_pipeline(str(Path(folder).absolute())))
    except (ValueError, OSError) as error:
        raise UsageError(f"--model {error}") from None
    place = Path(folder).absolute()
    return Entry(place.name, "none", model=str(place), digest=pretrained.digest, source=f"model of {place.name}/")


def safe(text: str) -> str:
    """``meta-dimum`` for ``meta(dimum)``, ``3.7`` for ``3,7``: a part of files' names."""
    return _UNSAFE.sub("-", text.replace(",", ".")).strip("-")
