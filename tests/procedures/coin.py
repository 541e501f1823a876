"""Coins as a procedure: each is flipped, and what it showed is counted.

Lies as ``sweep/coin/procedure.py`` where it is used: see `tests/procedures/test_coin.py`.
"""

from __future__ import annotations

import datetime as dt
import math
import statistics
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import pyarrow as pa

from sweep.errors import UsageError, near
from sweep.plan import flags
from sweep.plan.flags import QUESTION, WHERE, Line, Words, at_least, flag
from sweep.plan.place import Place
from sweep.plan.plan import Plan
from sweep.plan.run import SEEDS_A_SWEEP
from sweep.procedures import Columns, Counts, Execute, Procedure, Row, Task, Tell, column
from sweep.procedures.columns import WORD, figures_of
from sweep.procedures.panels import NoPanels
from sweep.procedures.sections import NoSections
from sweep.records.names import control_name
from sweep.space import Arm, Int, SearchSpace, find

FAIR_BUDGET = "fair_budget"  # a bound that the prepare phase finds
FAIR = "fair"  # the control: nobody has touched it
CALIBRATION_SEEDS = 5


@cache
def columns() -> Columns:
    return Columns(
        figures=tuple(figures_of([find.family_folder("coin") / "trial.py"])),
        dependencies=(column("generator", WORD, "what draws", compares="must"),),
        axes=(
            column("coin", WORD, "which coin it was"),
            column("flip", pa.int32(), "flips made", "flips"),
        ),
        series="coin",
        step="flip",
        activities=(column("flipping_s", pa.float64(), "of wall_s: flips", "seconds"),),
        counted_by="heads_share",
        shown={"heads_share": "heads", "cost": "cost"},
        quality=("surprise",),
    )


def counts_of(replicates: Iterable[Row], curves: Iterable[Row]) -> Counts:
    """N of a replicate's flips: that of its curve's last point."""
    counts: Counts = {(row["trial_id"], row["replicate"]): {"flips": 0} for row in replicates}
    for row in curves:
        own = counts.get((row["trial_id"], row["replicate"]))
        if own is not None and row["metric"] == "heads_share":
            own["flips"] = max(own["flips"], row["samples"] or 0)
    return counts


@dataclass(frozen=True)
class Setup:
    """What trials are about: how much a coin may cost, and how long a toss takes."""

    headings: ClassVar[Mapping[str, Line]] = {"budget": Line("confirm", wrap=False)}

    heads: int = flag(
        40,
        "--heads",
        "the budget is what a fair coin takes to show N heads (default: %(default)s)",
        QUESTION,
        metavar="N",
        check=at_least(1),
        words=Words("budget", lambda n, _: f"what a fair coin takes to show {n} heads, on {CALIBRATION_SEEDS} seeds"),
    )
    toss_s: float = flag(
        0.0,
        "--toss-s",
        "seconds that a toss takes; it decides no figure (default: %(default)g)",
        WHERE,
        metavar="S",
        check=at_least(0),
        beside_resume=True,
    )

    @classmethod
    def asked(cls, values: dict[str, Any], tell: Callable[[str], None]) -> Setup:
        return cls(**values)

    def fingerprinted(self) -> Setup:
        return self

    def check(self) -> None:
        flags.check(self)

    def check_fits(self, space: SearchSpace, place: Place) -> None:
        """Nothing: a coin fits anywhere."""

    def question(self, space: SearchSpace) -> SearchSpace:
        return space

    def recorded(self, space: SearchSpace) -> dict[str, Any]:
        return {}

    def arm_words(self, arm: Arm) -> str:
        return f"coin {arm.method}"

    def more_words(self, space: SearchSpace, place: object) -> Iterator[tuple[Words, str]]:
        return iter(())


@dataclass(frozen=True)
class Specs:
    """Of one run, whose budget is known."""

    plan: Plan[Setup]
    space: SearchSpace
    controls: tuple[str, ...] = (FAIR,)
    leading_control: None = None

    def of(self, trial_id: str, replicate: int, arm: Arm, parameters: Mapping[str, Any], gate: bool = False) -> Any:
        settings = {name: value for name, value in parameters.items() if name != "flips"}
        return self._spec(trial_id, replicate, arm.method, parameters["flips"], settings, gate)

    def of_control(self, control: str, replicate: int) -> Any:
        return self._spec(control_name(control), replicate, "none", 2 * self.plan.setup.heads, {}, gate=False)

    def parameters_of(self, arm: Arm, replicate: Row) -> dict[str, Any] | None:
        return None

    def reduced(self, spec: Any, arm: Arm, figures: Collection[str]) -> tuple[Any, float]:
        return spec, 1.0

    def begins_with(self, arm: Arm, replicate: int) -> str:
        return ""

    def keys_used(self, spec: Any) -> set[str]:
        return set()

    def keys_made(self, spec: Any, arm: Arm, stages: Iterable[str]) -> Iterator[str]:
        from trainables.coin.trial import count_key, flips_key

        yield from (flips_key(spec), count_key(spec), *stages)

    def _spec(
        self, trial_id: str, replicate: int, method: str, flips: int, settings: Mapping[str, Any], gate: bool
    ) -> Any:
        from trainables.coin.trial import Limit, TrialSpec

        limits = [c for c in self.space.constraints if gate and c.metric == "cost" and c.bound is not None]
        return TrialSpec(
            trial_id=trial_id,
            replicate=replicate,
            store=self.plan.artifacts,
            method=method,
            flips=flips,
            settings=dict(settings),
            seed=self.plan.replicate_seeds[replicate],
            toss_s=self.plan.setup.toss_s,
            gate=next((Limit(c.bound, self.plan.gate_margin * c.unit) for c in limits if c.bound is not None), None),
        )


class Preparing:
    """Tosses a fair coin: what it takes to show the heads asked for is the budget."""

    def __init__(self, plan: Plan[Setup]) -> None:
        self.plan = plan

    def check(self, space: SearchSpace) -> None:
        """Nothing: whatever the question asks for can be flipped."""

    def resolved(self) -> Setup:
        return self.plan.setup

    def begin(self) -> None:
        """Nothing is fetched."""

    def prepare(self, space: SearchSpace, execute: Execute, tell: Tell) -> dict[str, Any]:
        from trainables.coin.trial import make_fair

        start, heads = time.monotonic(), self.plan.setup.heads
        made = execute({f"fair on seed {s}": Task(make_fair, (self.plan.artifacts, heads, s)) for s in self._seeds})
        budget = statistics.fmean(artifact.facts["tosses"] for artifact in made.values())
        tell(f"prepare: a fair coin takes {budget:.1f} tosses to show {heads} heads")
        return {
            FAIR_BUDGET: budget,
            "keys": self._keys,
            "shared": sorted(artifact.key for artifact in made.values()),
            "finished_at": dt.datetime.now(dt.UTC).isoformat(),
            "seconds": {"prepare": time.monotonic() - start},
        }

    def specs(self, space: SearchSpace, prepared: Row) -> Specs:
        return Specs(self.plan, space)

    def code_differs(self, prepared: Row) -> str:
        return ", ".join(name for name, key in self._keys.items() if prepared["keys"].get(name, key) != key)

    def progress(self, waiting: Sequence[str]) -> str:
        return f"waiting for {', '.join(waiting)}"

    @property
    def _seeds(self) -> list[int]:
        """Seeds that no trial uses."""
        return [self.plan.replicate_seeds[0] + SEEDS_A_SWEEP - i for i in range(1, CALIBRATION_SEEDS + 1)]

    @property
    def _keys(self) -> dict[str, str]:
        from trainables.coin.trial import fair_key

        return {f"fair coin on seed {seed}": fair_key(self.plan.setup.heads, seed) for seed in self._seeds}


@dataclass(frozen=True)
class Knowledge:
    """Binomial of what was counted; `fewest` are the flips that a trial makes at least, which says most of its noise."""

    fewest: int

    def errors(self, figures: Row, curves: Sequence[Row]) -> dict[str, float]:
        from trainables.coin.trial import cost_error

        n = max((row["samples"] for row in curves), default=0)
        if not n:
            return {}
        found = {"cost": cost_error(figures["cost"], n)} if figures.get("cost") is not None else {}
        if figures.get("heads_share") is not None:
            found |= _share_errors(figures["heads_share"], n)
        return found

    def possible(self, curves: Sequence[Row]) -> dict[str, tuple[float, float]]:
        """Once its curve is there all flips were made: what is left is to count them."""
        from trainables.coin.trial import surprise

        last = max(curves, key=lambda row: row["flip"], default=None)
        if last is None:
            return {}
        values = {"heads_share": last["value"], "surprise": surprise(last["value"])}
        errors = _share_errors(last["value"], last["samples"])
        return {name: (value, errors[name]) for name, value in values.items()}

    def sd(self, figure: str, value: float) -> float:
        return _share_errors(value, self.fewest)[figure] if figure == "heads_share" else 0.0


def _share_errors(share: float, n: int) -> dict[str, float]:
    """Of the share, one head and one tail added; of its entropy by the slope there."""
    p = (share * n + 1) / (n + 2)
    error = math.sqrt(p * (1 - p) / n)
    return {"heads_share": error, "surprise": abs(math.log2((1 - p) / p)) * error}


def _knowledge(space: SearchSpace, prepared: Row, plan: Row) -> Knowledge:
    return Knowledge(min(p.low for arm in space.arms for p in arm.walk() if isinstance(p, Int) and p.name == "flips"))


def _check(space: SearchSpace) -> None:
    from trainables.coin.trial import METHODS

    coins = set(METHODS) - {"none"}
    for arm in space.arms:
        if arm.method not in coins:
            raise UsageError(
                f"space {space.name!r}, arm {arm.name!r}: {arm.method}: no such coin; {near(arm.method, coins)}"
            )


def _estimate(plan: Plan[Setup], space: SearchSpace) -> dict[str, float]:
    trial = 0.1 + plan.setup.toss_s * 2 * plan.setup.heads
    search = trial * sum(plan.budget_of(space, arm.name) for arm in space.arms)
    confirm = trial * plan.confirm_seeds * plan.confirm_members * len(space.arms)
    return {"prepare": 1.0, "search": search, "confirm": confirm, "wall": 20 + (search + confirm) / plan.place.workers}


PROCEDURE = Procedure(
    name="coin",
    columns=columns,
    setup=lambda: Setup,
    check=_check,
    estimate=_estimate,
    preparing=Preparing,
    knowledge=_knowledge,
    counts=counts_of,
    sections=NoSections,
    panels=NoPanels,
    bounds={FAIR_BUDGET: "the fair budget"},
)
