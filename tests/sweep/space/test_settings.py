"""Settings keep their types on the whole way: asked = recorded = read = confirmed = taken as a target = exported."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import recorded_run

from sweep import export, launch, records
from sweep.driver.agenda import Agenda
from sweep.errors import UsageError
from sweep.plan.folders import create_run_dir
from sweep.plan.plan import Plan
from sweep.reading.sweep import read_sweep
from sweep.records.folder import compact, write_json
from sweep.relearning import targets
from sweep.relearning.specs import Specs
from sweep.samplers import Question
from sweep.samplers.catalogue import make
from sweep.search import warm_start
from sweep.space import Arm, Attack, Choice, Constraint, Float, Int, Objective, SearchSpace, find
from sweep.space.parameters import cell
from sweep.track.plan import from_sweep
from trainables.relearning.experiment import Experiment
from trainables.store import Store

OPTIONS: tuple[tuple[Any, ...], ...] = (
    (16, 32, 64),
    (0, 0.5, 0.9),
    (0.25, 1.0),
    (False, True),
    ("one_image", "noise"),
    (None, 0.0, 0.5),
    (None, True, "auto", 3),
    ("1e-3", "True_", "null_"),
    (np.int64(8), np.float32(0.5)),
    (True,),
    (7,),
)
OBJECTIVES = (Objective("robustness", "maximise"), Objective("fid_delta", "minimise"))
CONSTRAINTS = (Constraint("fid_delta", at_most=5.0), Constraint("unlearning_accuracy", at_least=0.05))
ATTACKS = (Attack("dimra-retain", "dimra", {"auxiliary": "retain", "batch": 8}),)


def same(a: Any, b: Any) -> bool:
    """Equal, and of the same types: 8 is not 8.0, and False is not 'False'."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def tree(rng: np.random.Generator) -> tuple[Float | Int | Choice, ...]:
    """A few parameters of every kind, some of them under an option of another."""
    numbers = (
        Float("rate", 1e-4, 1.0, log=True),
        Float("weight", 0, 2),
        Int("steps", 1.0, 8),
        Int("rank", 1, 64, log=True),
    )
    chosen = [OPTIONS[i] for i in rng.permutation(len(OPTIONS))[:4]]
    inner = Choice("inner", {o: (Int("under", 1, 3),) if i == 0 else () for i, o in enumerate(chosen[0])})
    outer = Choice("outer", {o: (inner,) if i == 0 else () for i, o in enumerate(chosen[1])})
    return (*numbers, outer, Choice("flat", chosen[2]), Choice("even", chosen[3]))


def space_of(parameters: Iterable[Any], **changes: Any) -> SearchSpace:
    facts = {"objectives": OBJECTIVES, "constraints": CONSTRAINTS, "rungs": (0, 1, 3)} | changes
    return SearchSpace(
        "typed",
        "?",
        (Arm("dimum", "dimum", tuple(parameters)),),
        search_attacks=ATTACKS,
        confirm_attacks=ATTACKS,
        **facts,
    )


@pytest.mark.parametrize("sampler", ["random", "qmc", "tpe", "nehvi"])
@pytest.mark.parametrize("seed", range(4))
def test_what_a_sampler_asks_is_recorded_and_confirmed_as_it_was(
    sampler: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = space_of(tree(np.random.default_rng(seed)))
    monkeypatch.setattr(Plan, "question", lambda self: space)  # a question of this test's own, in no file
    plan = Plan.of(
        space="typed", run_dir=str(tmp_path / "run"), artifacts=str(tmp_path / "store"), sampler=sampler, trials=5, workers=1,
        confirm_seeds=1, confirm_members=9, fid_budget=5.0,
    )  # fmt: skip
    create_run_dir(plan)
    run, prepared = Path(plan.run_dir), {"fid_budget": 5.0, "fid_delta_sd": 0.5}
    write_json(run / "prepared.json", prepared)
    agenda = Agenda(plan, space, Specs(plan, space, Experiment(store=plan.artifacts), 0.5), prepared)
    asked: dict[str, Any] = {}
    confirmed: dict[str, Any] = {}
    while job := agenda.next_job():
        (confirmed if job.spec.replicate else asked)[job.spec.trial_id] = dict(job.spec.settings)
        share = 0.5 + 0.05 * job.number
        figures = {
            "robustness": share,
            "fid_delta": 10 * (share - 0.5),
            "unlearning_accuracy": 1.0,
            "seed": job.spec.seed,
        }
        agenda.take(job.name, {"stage": None, "curves": [], "figures": figures, "state": "COMPLETE", "cause": None})
    agenda.close()
    asked = {trial: settings for trial, settings in asked.items() if trial.startswith("dimum")}
    assert len(asked) == 5 and all(same(space.arm("dimum").check(s), s) for s in asked.values())
    assert len(set(confirmed) & set(asked)) >= 2
    assert all(same(confirmed[trial], asked[trial]) for trial in set(confirmed) & set(asked))
    for _ in range(2):  # as many files, and compacted
        rows = {r["trial_id"]: r for r in records.rows(run, "trials")}
        front = read_sweep(run)
        for trial, settings in asked.items():
            assert same(records.recorded_settings(rows[trial]), settings)
            assert same(front.member(trial).parameters, settings)
            for name, parameter in space.parameters().items():
                shown = rows[trial][f"param_{name}"]
                assert shown == (cell(parameter, settings[name]) if name in settings else None)
        compact(run)
    again = Agenda(plan, space, Specs(plan, space, Experiment(store=plan.artifacts), 0.5), prepared)
    told = {f"dimum-{n:04d}": dict(o.settings) for n, o in again.arms["dimum"].observed.items()}
    again.close()
    assert same(told, asked)
    warm_start.write(tmp_path, warm_start.gather([str(run)], space))
    (study,) = warm_start.read(tmp_path)["dimum"]
    assert same([dict(o.settings) for o in study], [asked[t] for t in sorted(asked)])
    for trial, settings in asked.items():
        aimed = targets.aimed(find.load("dimra_strength"), f"{run}:{trial}")
        assert all(same(dict(arm.held), settings) for arm in aimed.arms)
    (entry,) = from_sweep(str(run))
    assert any(same(entry.settings, settings) for settings in asked.values())


@pytest.mark.parametrize("options", OPTIONS)
def test_an_option_is_known_by_itself_and_by_its_word(options: tuple[Any, ...]) -> None:
    choice = Choice("x", options)
    for option in choice.branches:
        assert same(choice.check(option), option)
        assert same(choice.check(str(option)), option) and same(choice.check(json.dumps(option)), option)
        assert same(space_of((choice,)).fix({"x": str(option)}).arms[0].suggest(_First()), {"x": option})
    with pytest.raises(UsageError, match="is not an option"):
        choice.check("another")


class _First:
    """Chooses the first option; a range's lower end."""

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        return choices[0]

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return low

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        return low


def test_true_is_no_option_of_one_and_one_is_none_of_true() -> None:
    for options, value in (((0, 1), True), ((False, True), 1), (("1", "2"), 1), ((None,), "")):
        with pytest.raises(UsageError, match="is not an option"):
            Choice("x", options).check(value)
    assert same(Choice("x", (1, 2)).check(1.0), 1)  # a table's column of numbers is real


def test_rows_of_schema_2_are_read_by_what_their_columns_hold(tmp_path: Path) -> None:
    """A bool was a word there, and a choice of whole numbers real."""
    row = {"trial_id": "dimum-0000", "param_on": "False", "param_batch": 8.0, "param_rate": 0.5, "param_word": "noise"}
    told = records.recorded_settings(row | {"param_idle": None})
    assert same(told, {"on": False, "batch": 8, "rate": 0.5, "word": "noise"})
    arm = Arm(
        "dimum",
        "dimum",
        (Choice("on", (False, True)), Choice("batch", (8, 16)), Float("rate", 0, 1), Choice("word", ("noise",))),
    )
    assert same(arm.check(told), told)


@pytest.mark.slow
def test_the_confirmed_model_is_of_the_settings_that_the_search_scored(
    tmp_path: Path, lend_classifier: Callable[[Path], None]
) -> None:
    """Scissorhands with and without its projection, a bool, and two batch sizes: each confirmed as searched, and exported."""
    run, artifacts = tmp_path / "run", tmp_path / "artifacts"
    lend_classifier(artifacts)
    question = tmp_path / "typed.py"
    question.write_text(QUESTION)
    small = "--in-process --sampler qmc --trials 4 --base-steps 2 --samples-forgotten 4 --samples-per-retained 2 --sampling-steps 2"
    where = ["--run-dir", str(run), "--artifacts", str(artifacts), "--confirm-seeds", "1", "--confirm-members", "4"]
    assert launch.main(["--space", str(question), *small.split(), *where]) == 0
    replicates = {(r["trial_id"], r["replicate"]): r for r in records.rows(run, "replicates")}
    rows = {r["trial_id"]: json.loads(r["settings"]) for r in records.rows(run, "trials") if r["arm"] != "control"}
    assert {s["projection"] for s in rows.values()} == {False, True}
    assert {type(s["batch"]) for s in rows.values()} == {int}
    trials = [trial for trial, replicate in replicates if replicate and trial in rows]
    assert trials and all(r["state"] == "COMPLETE" for r in replicates.values())
    store = Store(str(artifacts))
    for trial in trials:
        for replicate in (0, 1):
            model = store.find(replicates[trial, replicate]["unlearned_model"])
            assert model is not None and same(model.facts["settings"], rows[trial])
    assert export.main([str(run), trials[0], "--replicate", "1", "-o", str(tmp_path / "model")]) == 0
    card = (tmp_path / "model" / "README.md").read_text()
    for name, value in rows[trials[0]].items():
        assert re.search(rf"{name}\W+{re.escape(str(value))}\b", card), (name, value, card)
    # Every trial is confirmed once more by name, and again nothing but its own settings is trained.
    assert launch.main(["--resume", str(run), "--in-process", "--confirm", *rows]) == 0
    again = [r for r in records.rows(run, "replicates") if r["replicate"] and r["trial_id"] in rows]
    assert {r["trial_id"] for r in again} == set(rows)
    for row in again:
        model = store.find(row["unlearned_model"])
        assert model is not None and same(model.facts["settings"], rows[row["trial_id"]])


QUESTION = """
from sweep.space import Arm, Attack, Choice, Constraint, Float, Objective, SearchSpace

RATE = Float("learning_rate", 1e-4, 1e-3)
ATTACKS = (Attack("dimra-retain", "dimra", {"auxiliary": "retain", "batch": 8}),)
SPACE = SearchSpace(
    name="typed",
    question="Are they the same settings?",
    arms=(
        Arm(
            "scissorhands",
            "scissorhands",
            (Choice("projection", (False, True)), Choice("batch", (8, 16)), Choice("steps", (3, 2)), RATE),
        ),
    ),
    objectives=(Objective("robustness", "maximise"), Objective("retain_accuracy", "maximise")),
    constraints=(),
    search_attacks=ATTACKS,
    confirm_attacks=ATTACKS,
    rungs=(0, 1),
)
"""


def test_the_trials_table_has_a_column_of_settings_and_says_what_it_is(tmp_path: Path) -> None:
    space = space_of((Choice("on", (False, True)),))
    writer = records.Writer(tmp_path, records.schemas(space))
    settings = {"on": False}
    writer.trial({"trial_id": "dimum-0000", "arm": "dimum", "settings": json.dumps(settings), "param_on": "False"})
    (file,) = (tmp_path / "records" / "trials").glob("*.parquet")
    table = pq.read_table(file)
    assert json.loads(table["settings"][0].as_py()) == settings
    assert b"as it was asked" in table.schema.field("settings").metadata[b"description"]


def test_a_question_for_a_sampler_names_each_constraint_once() -> None:
    bounds = (Constraint("fid_delta", at_most=5.0), Constraint("fid_delta", at_least=-50.0))
    space = space_of((Float("rate", 0.1, 1.0),), constraints=bounds)
    question = Question(space.arms[0].parameters, OBJECTIVES, space.constraints, (0.0, 5.0), 4)
    assert [c.name for c in question.constraints] == ["fid_delta", "fid_delta_at_least"]
    assert make("nehvi", question, 0, []).ask(0)["rate"] >= 0.1


def test_a_word_that_old_rows_hold_as_a_bool_is_the_word_it_was() -> None:
    assert same(Choice("x", ("True", "auto")).check(records.recorded_settings({"param_x": "True"})["x"]), "True")


def test_none_is_shown_where_it_was_asked_and_nothing_where_there_is_no_such_setting(tmp_path: Path) -> None:
    run = recorded_run.write_run(tmp_path / "run")
    space = recorded_run.space()
    (row,) = records.rows(run, "trials", "dimum-0001")
    settings = json.dumps(json.loads(row["settings"]) | {"replacement": None})
    records.Writer(run, records.schemas(space)).trial(row | {"settings": settings, "param_replacement": "None"})
    sweep = read_sweep(run)
    assert sweep.member("dimum-0001").setting("replacement") == "None"
    assert sweep.member("label_swap-0001").setting("replacement") is None
