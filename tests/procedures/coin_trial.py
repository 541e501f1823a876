"""One trial: flip a coin → count what it showed. A coin is bent, or tossed again until it shows heads; both cost tosses.

Lies as ``trainables/coin/trial.py`` where it is used: see `tests/procedures/test_coin.py`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from trainables.figures import Figure
from trainables.metrics import wilson
from trainables.running import pipeline
from trainables.running.report import Report
from trainables.running.stages import Stage
from trainables.running.stopwatch import Stopwatch
from trainables.store import Artifact, Store, artifact_key, code_version

FIGURES = (
    Figure("heads_share", description="flips that showed heads", unit="share", direction="maximise", samples="flips"),
    Figure(
        "surprise",
        description="entropy of the shares that heads and tails had of the flips, in bits: 1 of a fair coin",
        unit="share",
        direction="maximise",
    ),
    Figure(
        "cost", description="tosses that it took, those that were lost included", unit="tosses", direction="minimise"
    ),
)
PATIENCE = 20  # tosses lost in a row after which nobody tosses again
SURELY = 1.645  # standard errors: one-sided 95 %


def biased(toss: np.random.Generator, bias: float) -> tuple[bool, int]:
    """A bent coin shows heads with probability `bias`; the more it is bent the more often it rolls off the table."""
    lost = 0
    while toss.random() < 0.9 * (2 * bias - 1) ** 2:
        lost += 1
        if lost == PATIENCE:
            raise RuntimeError(f"a coin bent to {bias:g} rolled off the table {lost} times in a row")
    return toss.random() < bias, lost + 1


def best_of(toss: np.random.Generator, tries: int) -> tuple[bool, int]:
    """A fair coin is tossed until it shows heads, at most `tries` times."""
    for made in range(1, tries + 1):
        if toss.random() < 0.5:
            return True, made
    return False, tries


def fair(toss: np.random.Generator) -> tuple[bool, int]:
    """A coin that nobody has touched."""
    return toss.random() < 0.5, 1


METHODS: dict[str, Callable[..., tuple[bool, int]]] = {"biased": biased, "best_of": best_of, "none": fair}


@dataclass(frozen=True)
class Limit:
    """A bound of the cost as the gate takes it."""

    most: float
    slack: float = 0.0


@dataclass(frozen=True)
class TrialSpec:
    """One replicate of a trial: which coin is flipped how often, on which seed."""

    trial_id: str
    replicate: int
    store: str
    method: str
    flips: int
    settings: dict[str, Any]
    seed: int
    toss_s: float = 0.0  # a hand needs its time; it decides no figure
    gate: Limit | None = None
    procedure: str = "coin"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TrialSpec:
        gate = values.get("gate")
        return cls(**{**values, "gate": Limit(**gate) if gate else None})


def flips_key(spec: TrialSpec) -> str:
    """Artifact key of the flips, which everything decides that is drawn by."""
    config = {"method": spec.method, "flips": spec.flips, "settings": spec.settings, "seed": spec.seed}
    return artifact_key("flips", config, {}, code_version(__name__))


def count_key(spec: TrialSpec) -> str:
    return artifact_key("count", {}, {"flips": flips_key(spec)}, code_version(__name__))


def flip(spec: TrialSpec, number: int) -> tuple[bool, int]:
    """The flip of this number: whether it shows heads, and the tosses it took. The seed and the number decide it alone."""
    return METHODS[spec.method](np.random.default_rng([spec.seed, number]), **spec.settings)


def surprise(heads_share: float) -> float:
    """Entropy in bits of a coin that shows heads this often."""
    return -sum(p * math.log2(p) for p in (heads_share, 1 - heads_share) if p > 0)


@dataclass
class FlipStage:
    """Flips the coin; an in-stage checkpoint holds what it has shown so far."""

    store: Store
    spec: TrialSpec
    name: str = "flip"
    kind: str = "flip"
    shown: list[tuple[bool, int]] = field(default_factory=list)
    begun: bool = False

    def __post_init__(self) -> None:
        self.key = flips_key(self.spec)

    def advance(self, watch: Stopwatch, deadline: float) -> bool:
        if not self.begun:
            partial = self.store.load_partial(self.key)
            if partial is not None:
                self.shown = list(zip(map(bool, partial["heads"]), map(int, partial["tosses"]), strict=True))
            self.begun = True
        with watch("flipping"):
            while len(self.shown) < self.spec.flips:
                self.shown.append(flip(self.spec, len(self.shown)))
                time.sleep(self.spec.toss_s * self.shown[-1][1])
                if time.monotonic() > deadline:
                    break
        return len(self.shown) == self.spec.flips

    def save_partial(self) -> None:
        if self.begun:
            self.store.save_partial(self.key, self._tensors())

    def commit(self, watch: Stopwatch) -> Artifact:
        artifact = self.store.put(self.key, "flips", {"settings": self.spec.settings} | watch.times(), self._tensors())
        self.store.drop_partial(self.key)
        return artifact

    def _tensors(self) -> dict[str, np.ndarray]:
        heads, tosses = ([shown[i] for shown in self.shown] for i in (0, 1))
        return {"heads": np.array(heads, dtype=np.uint8), "tosses": np.array(tosses, dtype=np.int32)}


@dataclass
class CountStage:
    """Counts what the coin has shown."""

    store: Store
    spec: TrialSpec
    name: str = "count"
    kind: str = "count"

    def __post_init__(self) -> None:
        self.key = count_key(self.spec)

    def advance(self, watch: Stopwatch, deadline: float) -> bool:
        shown = self.store.get(flips_key(self.spec)).tensors()
        share = float(shown["heads"].mean())
        self.figures = {"heads_share": share, "surprise": surprise(share), "cost": float(shown["tosses"].sum())}
        return True

    def save_partial(self) -> None:
        """Nothing: it takes no time."""

    def commit(self, watch: Stopwatch) -> Artifact:
        return self.store.put(self.key, "count", {"figures": self.figures} | watch.times())


@dataclass
class Bench:
    """What a process keeps between trials: the store."""

    store: Store


class Pipeline(pipeline.Pipeline):
    """The two stages of one replicate."""

    spec: TrialSpec
    activities = ("flipping",)

    def sequence(self) -> Iterator[Stage]:
        yield FlipStage(self._store, self.spec)
        yield CountStage(self._store, self.spec)

    def ended(self, stage: Stage, artifact: Artifact, report: Report) -> None:
        """Of the flips their curve, and the cause where they surely cost too much; of the count all figures."""
        if isinstance(stage, FlipStage):
            shown = artifact.tensors()
            report.curves = list(self._curve(shown["heads"], artifact.key))
            cost = float(shown["tosses"].sum())
            report.figures = {"cost": cost} | self._dependencies()
            report.cause = excluded(self.spec, cost)
        else:
            report.figures = artifact.facts["figures"] | self._dependencies()

    def _curve(self, heads: np.ndarray, key: str) -> Iterator[dict[str, Any]]:
        """The share of heads after 1, 2, 4, … flips, and after all."""
        steps = sorted({2**i for i in range(len(heads).bit_length())} | {len(heads)})
        for n in (step for step in steps if step <= len(heads)):
            share = float(heads[:n].mean())
            lower, upper = wilson(share, n)
            yield {"coin": METHODS[self.spec.method].__name__, "flip": n, "metric": "heads_share", "value": share,
                   "lower": lower, "upper": upper, "samples": n, "artifact": key}  # fmt: skip

    def _dependencies(self) -> dict[str, Any]:
        generator = f"PCG64 of NumPy {np.__version__}"
        return {"seed": self.spec.seed, "generator": generator, "code_version": code_version(__name__), "device": "cpu"}


def cost_error(cost: float, flips: int) -> float:
    """Standard error of the tosses that so many flips take, each of which may be lost: a negative binomial's."""
    return math.sqrt(cost * max(cost - flips, 0.0) / flips)


def excluded(spec: TrialSpec, cost: float) -> str | None:
    """Why a trial surely costs too much; None to go on."""
    if spec.gate is None:
        return None
    least = cost - SURELY * cost_error(cost, spec.flips)
    if least <= spec.gate.most + spec.gate.slack:
        return None
    return f"cost {cost:.0f} (95% bound {least:.1f}) cannot be ≤ {spec.gate.most:.1f}"


def pipeline_of(spec: Mapping[str, Any], bench: Bench | None = None) -> Pipeline:
    """The pipeline of a spec's JSON; `bench` is an earlier one's of this process."""
    own = TrialSpec.from_json(spec)
    return Pipeline(own, bench if bench and bench.store.root == own.store else Bench(Store(own.store)))


def fair_key(heads: int, seed: int) -> str:
    return artifact_key("fair", {"heads": heads, "seed": seed}, {}, code_version(__name__))


def make_fair(store: str, heads: int, seed: int) -> Artifact:
    """How often a fair coin is tossed until it has shown so many heads; found where it was made before."""
    place, key = Store(store), fair_key(heads, seed)
    found = place.find(key)
    if found is not None:
        return found
    watch, shown, tosses = Stopwatch(), 0, 0
    with watch.running():
        while shown < heads:
            shown += fair(np.random.default_rng([seed, tosses]))[0]
            tosses += 1
    return place.put(key, "fair", {"tosses": tosses} | watch.times())
