"""What relearning brought back, a row for each cell, in one file that is committed; and the tables that such rows make.

A cell is one method, on one thing to forget and one seed, under one attack. The file says by which settings its rows were
recorded: rows of others are not put beside them. Models lie in no such file, so that whoever goes on with it on another
machine trains θ₀ anew; each row says by a digest on which θ₀ it rests.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sweep.errors import UsageError
from sweep.reading.words import cell, interval
from sweep.records.names import RETRAIN
from sweep.records.whole import write_whole
from sweep.relearning.recovery import excess_recovery
from sweep.statistics.estimates import Estimate
from sweep.statistics.moderated import Moderated
from sweep.statistics.shares import Point

Key = tuple[str, str, str, int]
Points = dict[str, dict[int, Point]]  # of every method and the control, by seed
KEPT = ("retain_accuracy", "cross_facet_accuracy", "fid")  # what has to stay; the last is no share


@dataclass(frozen=True)
class Row:
    """The figures of one cell; of one that failed there are none, and the `cause`."""

    target: str  # what is forgotten
    method: str  # its name in the file's methods, or that of the retrain control θ*
    attack: str
    seed: int
    relearned: tuple[float, ...] = ()  # share of the forgotten prompts' samples that show it: before, and at each rung
    kept: dict[str, tuple[float, ...]] = field(default_factory=dict)  # by figure: before, and after the last rung
    samples: dict[str, int] = field(default_factory=dict)  # N of the forgotten prompts, and of the retained
    unlearn_core_s: float = 0.0
    attack_core_s: float = 0.0  # its rungs' scores included
    base: str = ""  # digest of the θ₀ that it rests on
    artifact: str = ""  # key of its last rung: a hash of all settings and code that its figures come from
    commit: str = ""
    cause: str = ""

    @property
    def key(self) -> Key:
        return self.target, self.method, self.attack, self.seed

    def point(self, rung: int) -> Point:
        """What shows at a rung, counted from 0, before the attack."""
        return Point(self.relearned[rung], self.samples["forgotten"])


@dataclass
class Record:
    """A file of rows. `settings` are what all of them depend on, `methods` and `attacks` what their names stand for."""

    path: Path
    settings: dict[str, Any]
    methods: dict[str, Any]
    attacks: dict[str, Any]
    rows: list[Row] = field(default_factory=list)

    @property
    def done(self) -> set[Key]:
        """The cells that need not be run: one that failed is run again."""
        return {row.key for row in self.rows if not row.cause}

    def add(self, rows: Iterable[Row]) -> None:
        """Take rows in, each in the place of any of the same cell, and write the file."""
        new = {row.key: row for row in rows}
        self.rows = sorted([*(r for r in self.rows if r.key not in new), *new.values()], key=lambda row: row.key)
        write_whole(self.path, self.text())

    def text(self) -> str:
        """The file's content: JSON with a line for each setting, method, attack and row."""
        parts = []
        for name in ("settings", "methods", "attacks"):
            lines = [f"{_json(key)}: {_json(value)}" for key, value in getattr(self, name).items()]
            parts.append(f'"{name}": {{\n' + ",\n".join(lines) + "\n}")
        rows = [_json({name: value for name, value in asdict(row).items() if value != ""}) for row in self.rows]
        parts.append('"rows": [\n' + ",\n".join(rows) + "\n]")
        return "{\n" + ",\n".join(parts) + "\n}\n"

    def going_on(self, settings: Mapping[str, Any], methods: Mapping[str, Any], attacks: Mapping[str, Any]) -> Record:
        """The record with these methods and attacks too; UsageError where a setting, or what a name stands for, differs."""
        settings, methods, attacks = (_as_read(here) for here in (settings, methods, attacks))
        found = list(_differences(self.settings, settings, ""))
        for name, there, here in (("methods", self.methods, methods), ("attacks", self.attacks, attacks)):
            for known in there.keys() & here.keys():
                found += _differences(there[known], here[known], f"{name}.{known}")
        if found:
            raise UsageError(
                f"{self.path}: its rows were recorded by other settings, {'; '.join(sorted(found))}: take those again, or "
                "give --file another name"
            )
        return Record(self.path, settings, self.methods | methods, self.attacks | attacks, self.rows)

    def check_code(self, artifacts: Mapping[Key, str]) -> None:
        """UsageError where a row's figures are of another artifact than this code would make: settings agree, so code differs."""
        for row in self.rows:
            if not row.cause and artifacts.get(row.key, row.artifact) != row.artifact:
                raise UsageError(
                    f"{self.path}: {', '.join(map(str, row.key))}: recorded by other code or libraries, of commit {row.commit}: "
                    "go on from that commit, give --file another name, or --mix-code"
                )


def read(path: Path) -> Record:
    """The record in a file. UsageError where it cannot be read as one."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        rows = [_row(one) for one in values["rows"]]
        return Record(path, *(dict(values[name]) for name in ("settings", "methods", "attacks")), rows)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"{path}: cannot be read as rows of relearning ({error})") from None


def _row(values: dict[str, Any]) -> Row:
    kept = {name: tuple(pair) for name, pair in values["kept"].items()}
    return Row(**(values | {"relearned": tuple(values["relearned"]), "kept": kept}))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _as_read(value: Any) -> Any:
    """A value as it is once it was written as JSON and read again."""
    return json.loads(_json(value))


def _differences(there: Any, here: Any, where: str) -> Iterator[str]:
    """Each place where two values of JSON differ, with both."""
    if isinstance(there, dict) and isinstance(here, dict):
        for name in sorted(there.keys() | here.keys()):
            yield from _differences(there.get(name), here.get(name), f"{where}.{name}".lstrip("."))
    elif there != here:
        yield f"{where} ({_json(there)} there, {_json(here)} here)"


def tables(record: Record) -> Iterator[str]:
    """Markdown: for each thing that was forgotten what came back, what stayed, and what Meta-Unlearning changes."""
    for target in dict.fromkeys(row.target for row in record.rows):
        table = Target(record, [row for row in record.rows if row.target == target])
        yield from (f"## {target}", "", *table.caption(), "")
        yield from (*table.relearned(), "", *table.stayed(), "", *table.meta_less_plain(), "")


class Target:
    """The rows of one thing to forget, as tables."""

    def __init__(self, record: Record, rows: Sequence[Row]) -> None:
        self.settings, self.rungs = record.settings, record.settings["rungs"]
        self.later = range(1, len(self.rungs))  # rungs after the first attack step
        self.rows = [row for row in rows if not row.cause]
        self.failed = [row for row in rows if row.cause]
        self.methods = [m for m in (RETRAIN, *record.methods) if any(row.method == m for row in self.rows)]
        self.attacks = [a for a in record.attacks if any(row.attack == a for row in self.rows)]
        pairs = [(f"meta({m})", other) for m in self.methods for other in (m, f"tuned({m})")]
        self.pairs = [pair for pair in pairs if set(pair) <= set(self.methods)]

    def caption(self) -> Iterator[str]:
        trained, commits = len({row.base for row in self.rows}), sorted({row.commit for row in self.rows})
        forgotten, retained = (
            " or ".join(str(n) for n in sorted({row.samples[kind] for row in self.rows}))
            for kind in ("forgotten", "retained")
        )
        yield (
            f"N = {forgotten} samples of the forgotten prompts and {retained} of retained ones, on each seed; "
            f"{self.settings['sampler']}; judge {self.settings['judge']}. Trainings of θ₀: {trained}; commits: "
            f"{', '.join(commits)}."
        )
        for row in self.failed:
            yield f"Failed: {row.method}, {row.attack}, seed {row.seed}: {cell(row.cause)}."

    def relearned(self) -> Iterator[str]:
        """What came back: before any attack, at every rung of each, and there in excess of the retrain control's."""
        yield (
            "Share of the forgotten prompts' samples that show what was forgotten: means over seeds [95 % intervals: t, what "
            "methods vary by between seeds moderated by one another]; excess: less θ*'s, by seed [95 %, plain t]."
        )
        yield ""
        yield from _head(
            "method", "seeds", "before", *(h for a in self.attacks for h in (self._steps(a), "excess over θ*"))
        )
        before = _estimates(self._points(0))
        under = {attack: [self._points(rung, attack) for rung in self.later] for attack in self.attacks}
        estimates = {attack: [_estimates(points) for points in at_rungs] for attack, at_rungs in under.items()}
        for method in self.methods:
            seeds = len({row.seed for row in self.rows if row.method == method})
            cells = [_called(method), str(seeds), interval(before[method])]
            for attack in self.attacks:
                cells.append(_at_rungs([known.get(method) for known in estimates[attack]], seeds))
                pairs = [(points.get(method, {}), points.get(RETRAIN, {})) for points in under[attack]]
                excess = [excess_recovery(points, control).difference for points, control in pairs]
                cells.append("—" if method == RETRAIN else _at_rungs(excess, seeds))
            yield f"| {' | '.join(cells)} |"

    def stayed(self) -> Iterator[str]:
        """What was to stay, before any attack and after the last step of each."""
        shown = [name for name in KEPT if any(name in row.kept for row in self.rows)]
        yield f"What was to stay, before any attack and after {self.rungs[-1]} steps; means: {' / '.join(shown)}."
        yield ""
        yield from _head("method", "before", *self.attacks)
        for method in self.methods:
            own = [row for row in self.rows if row.method == method]
            before = [(row.kept, 0) for row in {row.seed: row for row in own}.values()]
            after = [[(row.kept, -1) for row in own if row.attack == attack] for attack in self.attacks]
            cells = [" / ".join(_mean_of(name, column) for name in shown) for column in (before, *after)]
            yield f"| {' | '.join([_called(method), *cells])} |"

    def meta_less_plain(self) -> Iterator[str]:
        """What comes back of meta(METHOD) less what does of METHOD, and of its control, before any attack and at every rung."""
        yield "What Meta-Unlearning changes: the share of meta(METHOD) less that of another, by seed [95 %, moderated]."
        yield ""
        yield from _head("method less another", "before", *map(self._steps, self.attacks))
        columns = [[self._points(0)], *([self._points(rung, a) for rung in self.later] for a in self.attacks)]
        moderated = [[Moderated(_of_methods(points), share=True) for points in column] for column in columns]
        for method, other in self.pairs:
            cells = [_at_rungs([one.difference(method, other) for one in column]) for column in moderated]
            yield f"| {' | '.join([f'{method} − {other}', *cells])} |"

    def _steps(self, attack: str) -> str:
        return f"{attack}: {' / '.join(map(str, self.rungs[1:]))}"

    def _points(self, rung: int, attack: str = "") -> Points:
        """What shows at a rung of an attack; without one, before any, where rows of one method and seed say the same."""
        points: Points = {}
        for row in self.rows:
            if attack in ("", row.attack):
                points.setdefault(row.method, {})[row.seed] = row.point(rung)
        return points


def _head(*names: str) -> Iterator[str]:
    yield f"| {' | '.join(names)} |"
    yield "|" + "---|" * len(names)


def _of_methods(points: Points) -> Points:
    return {name: by_seed for name, by_seed in points.items() if name != RETRAIN}


def _estimates(points: Points) -> dict[str, Estimate | None]:
    """Of every method, moderated by the others; of the control by its own seeds alone."""
    methods = Moderated(_of_methods(points), share=True)
    control = Moderated({RETRAIN: points.get(RETRAIN, {})}, share=True)
    return {name: (control if name == RETRAIN else methods).estimate(name) for name in points}


def _at_rungs(estimates: Sequence[Estimate | None], seeds: int = 0) -> str:
    """The estimates of all rungs, and how many seeds they are over, where these are fewer than their line's."""
    if not any(estimates):
        return "—"
    fewer = [f" ({one.n} of {seeds} seeds)" for one in estimates if one is not None and one.n < seeds]
    return " / ".join(map(interval, estimates)) + "".join(fewer[:1])


def _called(method: str) -> str:
    return "θ*" if method == RETRAIN else method


def _mean_of(figure: str, column: Sequence[tuple[Mapping[str, tuple[float, ...]], int]]) -> str:
    """The mean of a figure of what was kept, over the rows that have it."""
    known = [kept[figure][when] for kept, when in column if figure in kept]
    if not known:
        return "—"
    mean = sum(known) / len(known)
    return f"{mean:.1f}" if figure == KEPT[-1] else f"{mean:.3f}"
