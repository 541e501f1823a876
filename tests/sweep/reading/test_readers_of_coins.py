"""A run whose trials are no relearning is read and told: coins that are flipped, with nothing of their own to tell, or a little."""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from recorded_run import write_run
from test_rooms_know_no_procedure import WORDS

from sweep import pareto, procedures, results
from sweep.procedures import Columns, Procedure, column
from sweep.procedures.columns import WORD
from sweep.procedures.sections import Difference, Excess, NoSections, Sections
from sweep.reading.arm_against_arm import comparison, differences_of
from sweep.reading.comparable import comparable
from sweep.reading.ending import Ending
from sweep.reading.importance import importances
from sweep.reading.nearest import held
from sweep.reading.shortfalls import shortfalls
from sweep.reading.spending import climbs, stage_times
from sweep.reading.sweep import Sweep, read_sweep
from sweep.reading.texts import FORMATS, render
from sweep.records import COMPLETE, FAIL, Writer, schemas
from sweep.space import Arm, Constraint, Float, Objective, SearchSpace
from sweep.statistics.moderated import Moderated
from sweep.statistics.shares import Point
from trainables.figures import Figure

SPACE = SearchSpace(
    name="coins",
    question="Which coin is fair and light?",
    arms=(Arm("bent", "bend", (Float("angle", 0.0, 1.0),)), Arm("flat", "none", (), baseline=True)),
    objectives=(Objective("fairness", "maximise"), Objective("weight", "minimise")),
    constraints=(Constraint("weight", at_most="allowance"),),
    procedure="coin",
)
FIGURES = (
    Figure("fairness", "how near to one half its heads are; @F flips", "share", "maximise", samples="flips"),
    Figure("weight", "what it weighs", "grams", "minimise"),
    Figure("shine", "how it shines", "share", "maximise"),
)
FLIPS = 20
BESIDE = (column("table", WORD, "what it falls on", compares="must"),)
AXES = (column("hand", WORD, "who flips it"), column("flips", pa.int32(), "how often"))
ACTIVITIES = (column("flipping_s", pa.float64(), "of wall_s: in the air", "seconds"),)
WHEN = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
TRIALS: dict[str, tuple[float, float] | None] = {
    "bent-0000": (0.9, 3.0),
    "bent-0001": (0.95, 7.0),  # heavier than allowed
    "flat-0000": (0.7, 2.5),
    "flat-0001": None,
    "control-new": (1.0, 2.0),
}
SEEDS = (101, 102)
BARE = Columns(FIGURES)
FULL = Columns(FIGURES, BESIDE, AXES, "hand", "flips", ACTIVITIES, shown={"shine": "shine"})


class Told(NoSections):
    """What coins have to say for themselves."""

    compared = ("shine",)
    compared_at = "hand and flip"
    excess_note = "* is judged against a new coin"
    first_stages = ("polish",)

    def about(self, sweep: Sweep) -> str:
        return f"thrown on {sweep.plan['table']}"

    def definitions(self, sweep: Sweep) -> Mapping[str, str]:
        return {"heads": "the side with a head"}

    def meaning(self, sweep: Sweep, description: str) -> str:
        return description.replace("@F", str(FLIPS))

    def remark(self, figure: str) -> str:
        return "a scale is needed" if figure == "weight" else ""

    def facts(self, sweep: Sweep) -> Mapping[str, Any]:
        return {"flips": FLIPS}

    def corner(self, sweep: Sweep, value: float) -> str:
        return "what is allowed" if value == sweep.bounds.get("allowance") else ""

    def broke(self, constraint: Constraint) -> str:
        return "were too heavy"

    def agreeing(self, plan: Mapping[str, Any]) -> Mapping[str, str]:
        return {"table": str(plan.get("table"))}

    def missing_controls(self, sweep: Sweep) -> tuple[str, ...]:
        return ("no coin of gold: it was spent",)

    def differences(self, sweep: Sweep, main: Any, baseline: Any) -> Iterable[Difference]:
        points = {t: {seed: Point(value, FLIPS) for seed in SEEDS} for t, value in (("a", 0.6), ("b", 0.5))}
        moderated, name = Moderated(points, share=True), "heads of the left hand@2 *"
        yield from differences_of(moderated, "fairness", "maximise", "a", "b", ("left", 2), False, name, "heads@2 *")

    def excess(self, sweep: Sweep, trial: Any) -> Iterable[Excess]:
        found = sweep.arms["bent"].front[0].at("fairness")
        assert found is not None
        yield Excess(trial.trial_id, "fairness", "left", 2, found, found, None, "left@2")


def coin(columns: Columns, sections: type[Sections]) -> Procedure:
    def unasked(*_: object) -> Any:
        raise AssertionError("no reader asks for this")

    return Procedure(
        name="coin",
        columns=lambda: columns,
        setup=unasked,
        check=unasked,
        estimate=unasked,
        preparing=unasked,
        knowledge=unasked,
        counts=lambda replicates, curves: {(r["trial_id"], r["replicate"]): {"flips": FLIPS} for r in replicates},
        sections=sections,
        panels=unasked,
        bounds={"allowance": "what is allowed"},
    )


@pytest.fixture(params=[(BARE, NoSections), (FULL, NoSections), (FULL, Told)], ids=["bare", "columns", "told"])
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    return write_coins(tmp_path / "RUN", monkeypatch, *request.param)


def write_coins(run: Path, monkeypatch: pytest.MonkeyPatch, columns: Columns, sections: type[Sections]) -> Path:
    """Two coins of each arm and a control; the first of each arm is confirmed. The plan says nothing of data or attacks."""
    known = procedures.named
    monkeypatch.setattr(procedures, "named", lambda n: coin(columns, sections) if n == "coin" else known(n))
    run.mkdir()
    plan = {
        "space": "coins", "procedure": "coin", "question": SPACE.question, "seed": 0, "confirm_seeds": 2, "table": "oak",
        "main_arm": "bent", "arms": {a.name: {"method": a.method, "baseline": a.baseline} for a in SPACE.arms},
        "objectives": [dataclasses.asdict(o) for o in SPACE.objectives],
        "constraints": [dataclasses.asdict(c) for c in SPACE.constraints],
    }  # fmt: skip
    (run / "plan.json").write_text(json.dumps(plan))
    (run / "prepared.json").write_text(json.dumps({"allowance": 5.0}))
    (run / "status.json").write_text(json.dumps({"state": "finished"}))
    writer = Writer(run, schemas(SPACE))
    for trial_id, found in TRIALS.items():
        arm, _, number = trial_id.rpartition("-")
        same = {"trial_id": trial_id, "arm": arm, "method": arm, "state": COMPLETE if found else FAIL}
        figures = {"fairness": found[0], "weight": found[1], "shine": 0.5} if found else {}
        chosen = {"angle": 0.5} if arm == "bent" else {}
        for replicate, seed in enumerate((7, *(SEEDS if number in ("0000", "new") else ()))):
            row = same | figures | {"replicate": replicate, "phase": "confirm" if replicate else "search", "seed": seed}
            row |= {"code_version": "ab", "device": "cpu"} | ({"table": "oak"} if columns.dependencies else {})
            stage = {"trial_id": trial_id, "replicate": replicate, "key": "aa", "found": False, "core_s": 1.0}
            spent = {"flipping_s": 1.5} if columns.activities else {}
            kinds = {"flip@1": "flip", "flip@2": "flip", "polish": "polish"}
            stages = [stage | {"stage": name, "kind": kind, "wall_s": 2.0} | spent for name, kind in kinds.items()]
            point = {"trial_id": trial_id, "replicate": replicate, "metric": "fairness", "value": 0.5, "samples": FLIPS}
            writer.replicate(row, [point | {"hand": "left", "flips": 2}] if columns.axes else [], stages)
        trial = same | figures | {"number": 0 if number == "new" else int(number), "settings": json.dumps(chosen)}
        if found:
            over = (found[1] - 5.0) / 5.0
            trial |= {"excess_weight": over, "feasible": over <= 0, "core_s": 1.0, "told_at": WHEN}
        writer.trial(trial | {f"param_{name}": value for name, value in chosen.items()})
    return run


def is_told(sweep: Sweep) -> bool:
    return isinstance(sweep.sections, Told)


@pytest.mark.parametrize("format", FORMATS)
def test_no_format_speaks_of_relearning(run: Path, format: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert pareto.main([str(run), "--format", format]) == 0
    said = capsys.readouterr().out.replace(str(run), "RUN")
    assert "bent-0000" in said and "0.9" in said
    assert not WORDS.search(said)


def test_the_text_has_every_arm_its_front_and_the_comparison(run: Path) -> None:
    sweep = read_sweep(run)
    text = render(sweep)
    said = " ".join(text.split())  # whatever the lines
    assert said.startswith(f"coins: Which coin is fair and light? run {run} (finished)")
    assert ("(finished); thrown on oak" in said) == is_told(sweep)
    assert "seeds search 7; confirm 101, 102" in said and "control control-new: fairness 1.0" in said
    corner = "fairness 0 at what is allowed" if is_told(sweep) else "fairness 0 and weight 5.000"
    broke = "1 were too heavy" if is_told(sweep) else "1 had weight above its bound"
    assert corner in said and broke in said
    assert ("the side with a head" in text) == ("no coin of gold" in text) == is_told(sweep)
    (pair,) = comparison(sweep)
    assert pair.main is not None and pair.main.trial_id == "bent-0000" and pair.missing is None
    figures = ["fairness", "weight", *(["shine", "heads of the left hand@2 *"] if is_told(sweep) else [])]
    assert [row.name for row in pair.rows] == figures
    assert len(pair.excess) == 2 * is_told(sweep)
    assert ("  heads@2 *  " in text) == ("  * is judged against a new coin\n" in text) == is_told(sweep)


def test_the_table_has_a_row_a_trial_with_bounds_and_facts(run: Path) -> None:
    sweep = read_sweep(run)
    rows = {row["trial_id"]: row for row in csv.DictReader(io.StringIO(render(sweep, "csv")))}
    assert rows.keys() == TRIALS.keys()
    assert rows["bent-0000"]["allowance"] == "5.0" and rows["bent-0000"]["confirmed_fairness"] == "0.9"
    assert ("flips" in rows["bent-0000"]) == is_told(sweep)
    assert ("search_shine" in rows["bent-0000"]) == bool(sweep.columns.shown)
    assert results.load(run).front("bent").num_rows == 1


def test_the_json_has_the_place_of_a_figure_under_the_names_of_the_curves_table(run: Path) -> None:
    sweep = read_sweep(run)
    told = json.loads(render(sweep, "json"))
    assert told["allowance"] == 5.0 and told["conditions"].get("table", ["oak"]) == ["oak"]
    rows = told["comparison"][0]["rows"]
    assert list(rows[0]) == [
        "figure", sweep.columns.series, "step", "counts", "better", "main", "baseline", "difference"
    ]  # fmt: skip
    assert (rows[0]["figure"], rows[0][sweep.columns.series], rows[0]["step"]) == ("fairness", None, None)
    if is_told(sweep):
        assert (rows[-1]["hand"], rows[-1]["step"], rows[-1]["counts"]) == ("left", 2, False)
        assert {(e["trial_id"], e["hand"], e["step"]) for e in told["comparison"][0]["excess"]} == {
            ("bent-0000", "left", 2),
            ("flat-0000", "left", 2),
        }
    assert told["definitions"]["weight"] == "what it weighs" + ("; a scale is needed" if is_told(sweep) else "")


def test_whatever_else_is_read_of_a_run_can_be(run: Path) -> None:
    sweep = read_sweep(run)
    times = stage_times(sweep)
    assert [row["kind"] for row in times] == (["polish", "flip"] if is_told(sweep) else ["flip", "polish"])
    parts = {"flipping": 1.5, "other": 0.5} if sweep.columns.activities else {"other": 2.0}
    polished = next(row for row in times if row["kind"] == "polish")
    assert polished["made"] == 11 and {k: v / 11 for k, v in polished.items() if k in parts} == parts
    assert len(sweep.places) == bool(sweep.columns.axes)
    assert {climb.arm for climb in climbs(sweep)} == {"bent", "flat"}
    assert len(held(sweep).members) == 4 and not shortfalls(sweep)
    assert {found.target for found in importances(sweep)} == {"fairness", "weight", "feasible"}
    assert (
        Ending(sweep)
        .winner_text()
        .startswith("bent-0000 (bent; confirmed on 2 fresh seeds): fairness 0.90 [0.77, 0.96]")
    )


def test_runs_of_two_procedures_are_not_comparable(run: Path, tmp_path: Path) -> None:
    other = read_sweep(write_run(tmp_path / "other", artifacts=False))
    assert "procedure" in comparable([read_sweep(run), other])
    assert comparable([read_sweep(run), read_sweep(run)]) == []
    assert "NOT comparable" in render([read_sweep(run), other])
