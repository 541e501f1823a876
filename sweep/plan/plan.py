"""A Plan: everything a sweep will do, printable before anything runs, and the ``plan.json`` that holds it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field
from typing import Any, Generic

from sweep import procedures
from sweep.errors import UsageError
from sweep.plan import members as outside
from sweep.plan.flags import QUESTION, SEARCH, WHERE, Words, at_least, flag, one_of
from sweep.plan.paths import absolute
from sweep.plan.place import Place
from sweep.plan.run import SEEDS_A_SWEEP, RunPlan, taken
from sweep.procedures import Setup
from sweep.procedures.setup import SetupT
from sweep.records.tables import adaptive
from sweep.samplers.catalogue import SAMPLERS
from sweep.space import Float, Int, SearchSpace, find

KEEP = ("all", "front")
NARROWED = 4  # times `confirm_seeds`: the fresh seeds that a trial may have whose figures are narrowed


def _space_file(space: str) -> str:
    """A search space by name, or its file as every process finds it."""
    return absolute(space) if space.endswith(".py") else space


def pin(text: str) -> tuple[str, str]:
    """The name and the value of ``NAME=VALUE``."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise UsageError(f"--fix {text}: write NAME=VALUE")
    return name, value


def pins(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Every ``NAME=VALUE``; UsageError for a name that is given two values."""
    pairs = [pin(text) for text in texts]
    names = [name for name, _ in pairs]
    for twice in {name for name in names if names.count(name) > 1}:
        raise UsageError(f"--fix {twice}: is given twice; a parameter is held at one value")
    return tuple(pairs)


def _confirm_seeds_wrong(seeds: int) -> str:
    most = SEEDS_A_SWEEP // 2
    return at_least(0)(seeds) or ("" if seeds <= most else f"at most {most}")


def _confirm_sure_wrong(chance: float) -> str:
    return "" if chance == 0 or 0.5 <= chance < 1 else "must be 0, or from 0.5 to below 1"


def _preset_words(name: str, plan: Plan[Setup]) -> str:
    """``smoke (minutes: …): --sampling-steps 4 …``."""
    if not name:
        return ""
    preset = find.load(plan.space).preset_named(name)
    return f"{name} ({preset.help}): {' '.join(preset.flags) or 'no flags'}; what else is printed here is its own"


@dataclass(frozen=True)
class Plan(Generic[SetupT]):
    """One sweep: what is asked and how it is searched, and what every run has (`run`): its place and its trials' setup.

    Everything that decides its figures is here.
    """

    space: str = flag(
        MISSING,
        "--space",
        "a search space by name, or the path of a file of your own",
        QUESTION,
        metavar="NAME",
        read=_space_file,
    )
    preset: str = flag(
        "",
        "--preset",
        "the question at another size, by a name that its file gives it, such as smoke: its flags hold where yours say nothing",
        QUESTION,
        metavar="NAME",
        words=Words("preset", lambda name, plan: _preset_words(name, plan)),
    )
    fix: tuple[tuple[str, str], ...] = flag(
        (),
        "--fix",
        "hold a parameter at one value; method=NAME,… keeps only these arms",
        QUESTION,
        action="append",
        metavar="NAME=VALUE",
        read=pins,
    )
    trials: int = flag(
        16,
        "--trials",
        "trials of all arms but baselines together (default: the question's own)",
        SEARCH,
        ungiven=None,
        metavar="N",
        check=at_least(1),
    )
    baseline_trials: int = flag(
        8,
        "--baseline-trials",
        "trials of the baselines together (default: the question's own)",
        SEARCH,
        ungiven=None,
        metavar="N",
        check=at_least(0),
    )
    sampler: str = flag(
        "nehvi",
        "--sampler",
        "who chooses the trials (default: %(default)s)",
        SEARCH,
        metavar="|".join(SAMPLERS),
        check=one_of(lambda: SAMPLERS),
        words=Words("search"),
    )
    warm_start: tuple[str, ...] = flag(
        (),
        "--warm-start",
        "earlier runs of this question, on other data perhaps, as a prior: see the README",
        SEARCH,
        nargs="+",
        metavar="RUN",
        read=lambda runs: tuple(absolute(run) for run in runs),
        words=Words("warm start", lambda runs, _: ", ".join(runs)),
    )
    max_hours: float = flag(
        0.0,
        "--max-hours",
        "begin no trial after H hours (default: no limit)",
        SEARCH,
        metavar="H",
        check=at_least(0),
        words=Words("ends", lambda h, _: f"{h:g} hours" if h else "", joined=" or "),
    )
    max_core_hours: float = flag(
        0.0,
        "--max-core-hours",
        "nor after H core-hours (default: no limit)",
        SEARCH,
        metavar="H",
        check=at_least(0),
        words=Words("ends", lambda h, _: f"{h:g} core-hours" if h else "", joined=" or "),
    )
    min_gain: float = flag(
        0.0,
        "--min-gain",
        "nor when the next trials are expected to add less than this share of the hypervolume, of one objective of the "
        "best's distance from the worst value; nehvi alone can say (default: 0, never)",
        SEARCH,
        metavar="SHARE",
        check=at_least(0),
        words=Words(
            "ends",
            lambda share, _: f"an expected gain below {share:.1%} of the hypervolume" if share else "",
            joined=" or ",
        ),
    )
    gate_margin: float = flag(
        0.5,
        "--gate-margin",
        "stop early what surely breaks a bound by more than this share of it; 0 stops all that surely breaks one, and suits "
        "samplers without a model of the figures (default: %(default)g)",
        SEARCH,
        metavar="SHARE",
        check=at_least(0),
        words=Words(
            "stops",
            lambda share, _: f"stops early what surely breaks a bound by more than {share:.0%} of it",
        ),
    )
    stopping: bool = flag(
        False,
        "--stop-dominated",
        "stop early, too, what the front surely dominates (default: go on to the last stage)",
        SEARCH,
        words=Words("stops", lambda stop, _: "and what the front surely dominates" if stop else "", joined=", "),
    )
    confirm_members: int = flag(
        3,
        "--confirm-members",
        "members confirmed in each arm (default: the question's own)",
        SEARCH,
        ungiven=None,
        metavar="N",
        check=at_least(1),
        words=Words("confirm", lambda n, _: f"up to {n} member{'s' if n != 1 else ''} an arm"),
    )
    confirm_neighbours: int = flag(
        1,
        "--confirm-neighbours",
        "trials beside them that broke a constraint by no more than noise may (default: the question's own)",
        SEARCH,
        ungiven=None,
        metavar="N",
        check=at_least(0),
        words=Words("confirm", lambda n, _: f"{n} near-feasible", joined=" and "),
    )
    confirm_seeds: int = flag(
        3,
        "--confirm-seeds",
        "fresh seeds a member is confirmed on (default: %(default)s)",
        SEARCH,
        metavar="N",
        check=_confirm_seeds_wrong,
        words=Words("confirm", lambda n, _: f"{n} fresh seed{'s' if n != 1 else ''}", joined=", "),
    )
    confirm_sure: float = flag(
        0.95,
        "--confirm-sure",
        "probability with which trials of a front are to keep their bounds: after two seeds each of bounds alone, replicates go to "
        "what is reported and where that, or which arm is ahead, is still open; 0: as many seeds for each (default: %(default)s)",
        SEARCH,
        metavar="P",
        check=_confirm_sure_wrong,
        words=Words(
            "confirm",
            lambda p, plan: (
                f"beyond two where a bound (P ≥ {p:g}) or the order of arms is open" if plan.adaptive else ""
            ),
            joined=", ",
        ),
    )
    keep: str = flag(
        KEEP[0],
        "--keep",
        "front: of trials that are neither on the front nor confirmed only the figures stay; the artifacts lie in the "
        "run folder unless --artifacts is given (default: %(default)s)",
        WHERE,
        choices=KEEP,
        check=one_of(lambda: KEEP),
    )
    run: RunPlan[SetupT] = field(kw_only=True)

    @classmethod
    def of(cls, procedure: str = procedures.DEFAULT, **values: Any) -> Plan[Setup]:
        """A plan by the names of ``plan.json``, where the run's, the place's and the setup's stand beside its own."""
        kind = procedures.named(procedure).setup()
        of_run = taken(values, RunPlan) | taken(values, Place) | taken(values, kind)
        return Plan(**values, run=RunPlan.of(kind, **of_run))

    def but(self, **values: Any) -> Plan[SetupT]:
        """The same plan with other values, by the same names."""
        searched = taken(values, self)
        return dataclasses.replace(self, **searched, run=self.run.but(**values))

    def flat(self) -> dict[str, Any]:
        """Every value of the plan, its run, its place and its setup by its name."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "run"}
        return values | self.run.flat()

    @property
    def run_dir(self) -> str:
        return self.run.run_dir

    @property
    def artifacts(self) -> str:
        return self.run.artifacts

    @property
    def place(self) -> Place:
        return self.run.place

    @property
    def setup(self) -> SetupT:
        return self.run.setup

    def question(self) -> SearchSpace:
        """The search space as the setup means it, with the plan's pins applied."""
        return self.setup.question(find.load(self.space).preset(self.preset)).fix(dict(self.fix))

    @property
    def adaptive(self) -> bool:
        """Whether confirming goes on where something is open; of fewer than three seeds there is nothing to share out."""
        return adaptive(self.confirm_sure, self.confirm_seeds)

    @property
    def replicate_seeds(self) -> list[int]:
        """Seed of replicate 0 (search), 1, 2, … (confirm), as many as a trial may have where confirming is adaptive."""
        most = min(NARROWED * self.confirm_seeds, SEEDS_A_SWEEP // 2) if self.adaptive else self.confirm_seeds
        return [self.run.first_seed + i for i in range(most + 1)]

    def budget_of(self, space: SearchSpace, arm: str) -> int:
        """How many trials an arm gets; baselines share `baseline_trials`."""
        baselines = [a.name for a in space.arms if a.baseline]
        mains = [a.name for a in space.arms if not a.baseline]
        group, total = (baselines, self.baseline_trials) if arm in baselines else (mains, self.trials)
        return total // len(group) + (group.index(arm) < total % len(group))

    def to_json(self) -> dict[str, Any]:
        """The plan with the question spelled out: what ``plan.json`` holds."""
        space = self.question()
        kept = outside.recorded(self.space)
        values = self.flat() | {name: value for name, value in kept.items() if name == "space"}
        return {
            "plan": values,
            **{name: value for name, value in values.items() if name != "fix"},
            "question": space.question,
            "references": list(space.references),
            "space_fingerprint": space.fingerprint(),
            "procedure": space.procedure,
            "main_arm": space.arms[0].name,
            "arms": {a.name: {"method": a.method, "baseline": a.baseline} for a in space.arms},
            "parameters": {a.name: [p.name for p in a.walk()] for a in space.arms},
            "ranges": {n: [p.low, p.high] for n, p in space.parameters().items() if isinstance(p, Float | Int)},
            "objectives": [dataclasses.asdict(o) for o in space.objectives],
            "constraints": [dataclasses.asdict(c) for c in space.constraints],
            **self.setup.recorded(space),
            **kept,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any], where: str) -> Plan[Setup]:
        """The plan a ``plan.json`` holds; UsageError where it is not one, or its question has changed since."""
        plan = cls.recorded(values, where)
        outside.use_recorded(values, where)
        if plan.question().fingerprint() != values["space_fingerprint"]:
            raise UsageError(f"{where}: the space {plan.space!r} has changed since this run began; start a new run")
        return plan

    @classmethod
    def recorded(cls, values: dict[str, Any], where: str) -> Plan[Setup]:
        """The same, its question not looked at: a question is code, and whoever only reads a run runs none of it."""
        try:
            fields = dict(values["plan"])
            if "space_fingerprint" not in values:  # by which `from_json` knows the question
                raise KeyError("space_fingerprint")
            fields["fix"] = tuple((str(n), str(v)) for n, v in fields["fix"])
            if "space" in fields:
                fields["space"] = outside.question_file(fields["space"], where)
            fields.setdefault("gate_margin", 0.0)  # of runs that began before there was one
            fields.setdefault("confirm_sure", 0.0)  # likewise
            return cls.of(values.get("procedure", procedures.DEFAULT), **listed(fields))
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{where}: not a plan of this version ({error})") from None


def listed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as JSON holds them, with tuples for its lists."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
