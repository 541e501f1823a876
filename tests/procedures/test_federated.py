"""Federated trials, from launch to page: one small sweep of wines that is killed in the middle of a training and resumed."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
import scipy.linalg
import torch
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sweep.export import main as export
from sweep.federated.card import rounded_up
from sweep.federated.sections import proven
from sweep.launch import main as launch
from sweep.pareto import main as pareto
from sweep.reading.sweep import read_sweep
from sweep.repair import main as repair
from trainables.denoisers.recipes import ClassifierRecipe
from trainables.federated.accounting import Releases, epsilon
from trainables.federated.encoding import encode
from trainables.federated.experiment import Experiment, TrialSpec
from trainables.federated.export import save_rows
from trainables.federated.products import judge
from trainables.federated.shared_products import products_of
from trainables.federated.sources import source
from trainables.federated.stages.training import Course, training_key
from trainables.federated.tables import table
from trainables.federated.trial import Pipeline
from trainables.federated.workbench import Bench
from trainables.running.products import waves
from trainables.store import Store

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / "tests" / "questions" / "tiny_federated.py")
WANTED = 50.0
OTHERS = re.compile(
    r"robustness|(?<![a-z])fid(?![a-z])|unlearn|relearn|attack|(?<![a-z])rungs?(?![a-z])|AURC|forg[eo]t", re.I
)
Row = dict[str, Any]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("federated")


@pytest.fixture(scope="module")
def run(place: Path) -> Path:
    """A sweep in its own process that is killed once a training has left a checkpoint, then resumed here; what it said."""
    words = [
        "--space", TINY, "--data", "wine", "--epsilon", str(WANTED), "--samples", "120", "--control-steps", "40",
        "--confirm-seeds", "1", "--in-process", "--run-dir", "run", "--artifacts", str(place / "artifacts"),
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SLOW_STEPS, *words]
    with subprocess.Popen(command, cwd=place, env=environment, stdout=subprocess.DEVNULL) as driver:
        partial = place / "artifacts" / "partial"
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline and driver.poll() is None and not list(partial.glob("*.safetensors")):
            time.sleep(0.02)
        driver.send_signal(signal.SIGKILL)
    assert list(partial.glob("*.safetensors")), "killed within a training"
    said = StringIO()
    with redirect_stdout(said):
        assert launch(["--resume", str(place / "run"), "--in-process"]) == 0
    (place / "said.txt").write_text(said.getvalue())
    return place / "run"


# The driver that is killed: its trainings leave checkpoints every few steps, and never end, so that it is killed in one.
SLOW_STEPS = """
import sys, time
from sweep.launch import main
from trainables.federated.training import Training
from trainables.running import pipeline
pipeline.STEP_SECONDS = 0.05
advance = Training.advance
def slowly(self, until, deadline=float("inf")):
    return advance(self, until, min(deadline, time.monotonic() + 0.05)) if self.step < 60 else time.sleep(600)
Training.advance = slowly
pipeline.Pipeline.step.__defaults__ = (0.05,)
main(sys.argv[1:])
"""


def rows(run: Path, name: str) -> list[Row]:
    return pq.read_table(run / "records" / name).to_pylist()


def replicates(run: Path) -> dict[tuple[str, int], Row]:
    return {(row["trial_id"], row["replicate"]): row for row in rows(run, "replicates")}


def store_of(run: Path) -> Store:
    return Store(json.loads((run / "plan.json").read_text())["artifacts"])


# ---- records ----


def test_every_replicate_is_whole_and_its_epsilon_is_what_the_accountant_says(run: Path) -> None:
    replicate_rows = replicates(run)
    assert {name for name, _ in replicate_rows} == {
        "vflgan-0000", "vflgan-0001", "vertigan-0000", "control-central", "control-independent", "control-real",
    }  # fmt: skip
    assert all(row["state"] == "COMPLETE" for row in replicate_rows.values()), [
        row["cause"] for row in replicate_rows.values()
    ]
    for (name, _), row in replicate_rows.items():
        if name.startswith("control"):
            assert row["epsilon"] is None and row["audited_epsilon_excess"] is None
            continue
        privacy = store_of(run).get(row["synthesizer"]).facts["privacy"]
        releases = Releases(privacy["sampling_rate"], privacy["steps"], privacy["groups"])
        assert privacy["groups"] == (3 if name.startswith("vflgan") else 2), "one budget for all parties together"
        assert row["epsilon"] == epsilon(row["noise_multiplier"], releases, row["delta"]).epsilon
        assert 0.98 * 20 < row["epsilon"] <= 20 <= WANTED and row["mechanism"] == "record"
        assert row["audited_epsilon"] <= row["epsilon"] and row["audited_epsilon"] <= row["audit_ceiling"]
        assert row["audited_epsilon_excess"] == row["audited_epsilon"] - row["epsilon"]


def test_figures_are_those_of_the_published_rows(run: Path) -> None:
    """Against public rows, by other code."""
    wine = source("wine")
    public = wine.read()["public"].rows.double().numpy()
    holder = np.empty(wine.parties.width, int)
    for number, party in enumerate(wine.parties.members):
        holder[list(party.places)] = number
    apart = holder[:, None] < holder[None, :]
    for row in replicates(run).values():
        if row["synthetic"] is None:
            continue
        made = store_of(run).get(row["synthetic"]).tensors()["rows"].astype(float)
        assert made.shape == (120, 16)
        assert row["fd"] == pytest.approx(frechet(made, public), rel=1e-4)
        assert row["party_fd"] == pytest.approx(
            max(frechet(made[:, holder == k], public[:, holder == k]) for k in range(2)), rel=1e-4
        )
        with np.errstate(invalid="ignore"):
            of_made, of_public = (np.nan_to_num(np.corrcoef(some, rowvar=False)) for some in (made, public))
        assert row["dependence_error"] == pytest.approx(np.abs(of_made - of_public)[apart].mean(), rel=1e-6)
        assert row["utility_gap"] is not None and 0 <= row["synthetic_accuracy"] <= 1


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """‖μ - μ'‖² + tr(Σ + Σ' - 2 (Σ Σ')^½), the root by scipy."""
    of_a, of_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(of_a @ of_b).real
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(of_a + of_b - 2 * root))


def test_curves_are_of_every_party_by_round(run: Path) -> None:
    curves = [row for row in rows(run, "curves") if (row["trial_id"], row["replicate"]) == ("vflgan-0000", 0)]
    assert {(row["party"], row["round"]) for row in curves} == {
        (party, step) for party in ("all", "halves-1", "halves-2") for step in (50, 100, 150, 200)
    }
    last = {row["party"]: row for row in curves if row["round"] == 200}
    row = replicates(run)["vflgan-0000", 0]
    assert last["all"]["value"] == row["fd"] and last["all"]["lower"] < row["fd"] < last["all"]["upper"]
    assert max(last["halves-1"]["value"], last["halves-2"]["value"]) == row["party_fd"]


def test_of_private_rows_themselves_the_audit_finds_all_that_it_can(run: Path) -> None:
    real = [row for (name, _), row in replicates(run).items() if name == "control-real"]
    assert len(real) == 2
    for row in real:
        assert row["audited_epsilon"] == row["audit_ceiling"] > 0.5 and row["membership_auc_published"] == 1
        assert row["synthetic"] is None and row["audited_epsilon_critics"] is None
    always_in = len(source("wine").read()["private"]) - real[0]["canaries"]
    assert {row["synthetic_rows"] for row in real} == {always_in}, "not how many are in, which the coins keep secret"
    trained = replicates(run)["control-independent", 0]
    assert real[0]["fd"] < trained["fd"] and trained["synthetic_rows"] == 120 > always_in


def test_private_rows_are_audited_whole_though_figures_are_over_some_of_them(tmp_path: Path) -> None:
    experiment = Experiment(str(tmp_path), "wine")
    figures = finished(
        prepared(TrialSpec("control-real", 0, experiment, "none", {}, 3, samples=50, synthesizer="real"))
    )
    assert figures["synthetic_rows"] == 50 and figures["membership_auc_published"] == 1
    assert figures["audited_epsilon"] == figures["audit_ceiling"] > 0.5


def test_what_was_killed_within_a_training_is_what_nothing_stopped(run: Path, tmp_path: Path) -> None:
    row = replicates(run)["vflgan-0000", 0]
    settings = json.loads(next(r for r in rows(run, "trials") if r["trial_id"] == "vflgan-0000")["settings"])
    experiment = Experiment(str(tmp_path / "store"), "wine")
    spec = TrialSpec(
        "vflgan-0000", 0, experiment, "vflgan", settings | {"mechanism": "record"}, row["seed"], samples=120
    )
    figures = finished(prepared(spec))
    same = [name for name, value in figures.items() if isinstance(value, float) and name not in ("training_s",)]
    assert len(same) > 12 and {name: figures[name] for name in same} == {name: row[name] for name in same}
    assert figures["synthesizer"] == row["synthesizer"]


def prepared(spec: TrialSpec) -> TrialSpec:
    for wave in waves(products_of(spec.experiment, spec.samples)):
        for product in wave:
            product.make()
    return spec


def finished(spec: TrialSpec, seconds: float = 60.0) -> Row:
    """The figures of a trial, whose process keeps nothing from one step to the next if `seconds` is small."""
    pipeline = Pipeline(spec)
    while True:
        report = pipeline.step(seconds)
        if report.state:
            assert report.state == "COMPLETE"
            return report.figures


def test_a_training_goes_on_from_its_checkpoint_to_the_same_weights(tmp_path: Path) -> None:
    settings = {"mechanism": "record", "target_epsilon": 20.0, "steps": 24, "batch": 16, "ema_decay": 0.5}
    whole = prepared(TrialSpec("t-0000", 0, Experiment(str(tmp_path / "a"), "wine"), "vflgan", settings, 3, samples=60))
    figures = finished(whole)
    spec = prepared(replace(whole, experiment=replace(whole.experiment, store=str(tmp_path / "b"))))
    store, at = Store(spec.experiment.store), []
    for _ in range(200):
        pipeline = Pipeline(spec)  # as another process would
        report = pipeline.step(0.0)
        while report.stage is not None and report.state is None:
            report = pipeline.step(0.0)
        pipeline.save_partial()
        partial = store.load_partial(training_key(spec))
        at.append(int(partial["step"]) if partial else -1)
        if report.state:
            break
    assert report.state == "COMPLETE" and len(set(at)) > 10, "it was stopped at many steps"
    assert [n for n in report.figures if report.figures[n] != figures[n] and n not in ("training_s",)] == []
    assert store.load_partial(training_key(spec)) is None


def test_a_claim_is_no_epsilon(tmp_path: Path) -> None:
    settings = {"mechanism": "published", "target_epsilon": 5.0, "steps": 12, "batch": 16}
    spec = prepared(TrialSpec("t-0000", 0, Experiment(str(tmp_path), "wine"), "vflgan", settings, 3, samples=60))
    figures = finished(spec)
    assert figures["epsilon"] is None and 4.9 < figures["claimed_epsilon"] <= 5
    assert "audited_epsilon_excess" not in figures and figures["audited_epsilon"] >= 0
    assert Store(str(tmp_path)).get(figures["synthesizer"]).facts["certified"] is False
    courses = [Course(Bench(Store(str(tmp_path))), replace(spec, seed=seed)) for seed in range(4)]
    members = {course.run.rows for course in courses}
    claims = [course.privacy.claimed_epsilon for course in courses]
    assert len(members) > 1 and all(claim is not None and claim <= 5 for claim in claims), "however many are in"
    assert len({course.memory for course in courses}) == 1, "nor does its memory tell how many"


def test_images_are_judged_by_classifiers_of_public_rows_and_exported_as_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = ClassifierRecipe(train_steps=80)  # a tenth of the usual
    monkeypatch.setattr(judge, "classifier_recipe", lambda data: recipe)
    settings = {"mechanism": "none", "steps": 8, "batch": 32}
    spec = prepared(
        TrialSpec("t-0000", 0, Experiment(str(tmp_path / "store"), "digits"), "vflgan", settings, 3, samples=60)
    )
    figures = finished(spec)
    assert 0 <= figures["cross_agreement"] < 0.5 and figures["feature_network"] == "classifier of public rows"
    store = Store(spec.experiment.store)
    assert store.get(figures["score"]).tensors()["synthetic"].shape == (16, 1, 8, 8)
    floors = next(p for p in products_of(spec.experiment, 60).values() if p.name == "floors").make().facts["floors"]
    assert (
        floors["real"]["fd"][0] < floors["shuffled"]["fd"][0] < floors["blind"]["fd"][0]
        and floors["real"]["fd"][0] < figures["fd"]
    )
    assert floors["real"]["cross_agreement"][0] > 0.6 > floors["shuffled"]["cross_agreement"][0]
    made = torch.from_numpy(store.get(figures["synthetic"]).tensors()["rows"])
    folder = save_rows(made, (1, 8, 8), tmp_path / "out", "# card\n")
    assert torch.equal(load_file(folder / "synthetic.safetensors")["images"].flatten(1), made)
    pictures = sorted((folder / "images").glob("*.png"))
    assert len(pictures) == 60 and Image.open(pictures[7]).size == (8, 8)
    assert np.allclose(np.asarray(Image.open(pictures[7])).flatten() / 127.5 - 1, made[7].clamp(-1, 1), atol=0.005)


# ---- readers ----


def test_its_readers_are_told_of_it_and_of_nothing_else(
    run: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = {"terminal": (place / "said.txt").read_text()}
    for form in ("text", "markdown", "csv", "json"):
        assert pareto([str(run), "--format", form]) == 0
        texts[form] = capsys.readouterr().out
    page = re.sub(r"<script.*?</script>", "", (run / "report.html").read_text(), flags=re.DOTALL)
    texts["page"] = re.sub(r"data:image/[^\"')]*", "", page)  # letters of a picture may happen to be a word
    for what, text in texts.items():
        foreign_word = OTHERS.search(text)
        assert not foreign_word, (what, text[max(0, foreign_word.start() - 60) : foreign_word.end() + 60])
    flowing = " ".join(texts["text"].split())
    assert (
        "proven of one row more or less, all parties' parts of it together" in flowing
        and "up to fd 1000 and epsilon 50" in flowing
    )
    assert "120 are synthesised" in flowing
    assert (
        re.search(r"fd over \d+ of them, which would be lower over as many", flowing)
        and "the floor of fd" not in flowing
    )
    for words in ("ε certified", "audited ε ≥, critics", "by round and party", "schema alone"):
        assert words in texts["page"], words
    assert "central WGAN-GP, no " in (run / "report.html").read_text(), "a line of who has no place on the front"
    assert (run / "front.png").stat().st_size > 1000
    assert [line for line in texts["terminal"].splitlines() if "is not written" in line or "is not whole" in line] == []


def test_of_unlike_mechanisms_each_is_told_of(run: Path) -> None:
    sweep = read_sweep(str(run))

    def proof(*names: str) -> str:
        return proven(replace(sweep, plan=sweep.plan | {"mechanisms": dict(enumerate(names))}))

    assert proof("record", "record") == proof("record") and proof("none") == "infinite, for no mechanism is used"
    assert proof("none", "record", "published") == "; ".join(
        f"{name}: {proof(name)}" for name in ("record", "published", "none")
    )


def test_tensorboard_has_a_curve_for_every_party(run: Path) -> None:
    board = EventAccumulator(str(run / "tensorboard" / "vflgan-0000")).Reload()
    row = replicates(run)["vflgan-0000", 0]
    for tag in ("fd/all", "fd/halves-1", "fd/halves-2"):
        assert [event.step for event in board.Scalars(tag)] == [50, 100, 150, 200]
    assert board.Scalars("fd/all")[-1].value == pytest.approx(row["fd"], rel=1e-6)
    assert board.Scalars("epsilon")[0].value == pytest.approx(row["epsilon"], rel=1e-6)


def test_lost_tables_are_read_again_from_the_artifacts(run: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(run, damaged)
    before = {name: sorted(rows(run, name), key=_of) for name in ("replicates", "curves")}
    for name in before:
        for file in (damaged / "records" / name).glob("*.parquet"):
            file.write_bytes(file.read_bytes()[:-100])
    assert repair([str(damaged)]) == 0
    for name, lines in before.items():
        assert [_figures(row) for row in sorted(rows(damaged, name), key=_of)] == [_figures(row) for row in lines], name


def _of(row: Row) -> tuple[Any, ...]:
    return row["trial_id"], row["replicate"], row.get("party", ""), row.get("round", 0)


def _figures(row: Row) -> Row:
    """What a row says beside times and paths of the process that wrote it."""
    return {k: v for k, v in row.items() if k not in ("started_at", "finished_at", "core_s", "cause")}


def test_exported_rows_have_the_real_tables_schema(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export([str(run), "vflgan-0001", "-o", str(tmp_path / "out")]) == 0
    folder, wine = Path(capsys.readouterr().out.strip()), table("wine")
    real = next(iter(wine.read().values()))
    saved = pq.read_table(folder / "synthetic.parquet")
    assert saved.column_names == real.column_names and len(saved) == 120
    kinds = {name: pa.types.is_string(real.schema.field(name).type) for name in real.column_names}
    assert {name: pa.types.is_string(saved.schema.field(name).type) for name in saved.column_names} == kinds
    csv = pacsv.read_csv(folder / "synthetic.csv")
    assert csv.column_names == real.column_names and csv["cultivar"].to_pylist() == saved["cultivar"].to_pylist()
    made = store_of(run).get(replicates(run)["vflgan-0001", 0]["synthetic"]).tensors()["rows"]
    assert np.abs(encode(wine.schema, saved).numpy() - made)[:, -3:].max() == 0, "categories are what was made"
    assert np.abs(encode(wine.schema, saved).numpy() - made).max() < 0.02, "numbers are, to the decimals of the schema"
    card = (folder / "README.md").read_text()
    row = replicates(run)["vflgan-0001", 0]
    assert f"| ε | {row['epsilon']:.1f}, proven |" in card and "Not covered: the protocol" in card
    together = float(re.search(r"ε of the searched trials' trainings together is ([\d.]+)", card)[1])  # type: ignore[index]
    assert together > 2 * row["epsilon"] / math.sqrt(3), "several trainings cost more than one"
    public, test = (len(wine_split) for name, wine_split in source("wine").read().items() if name != "private")
    assert f"{public} public and {test} test rows, which were used without a mechanism" in card
    assert "controls, which have no mechanism" in card and "no promise for a release" in card
    assert "costs the ε of all" in card
    assert sorted(p.name for p in folder.iterdir()) == [
        "README.md",
        "schema.json",
        "synthetic.csv",
        "synthetic.parquet",
    ]


def test_rows_are_told_by_the_schema_that_the_run_began_with(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not by what lies in the folder today; a run that has not recorded it is refused where the files are others."""
    moved, nowhere = tmp_path / "moved", str(tmp_path / "nowhere")
    shutil.copytree(run, moved)
    plan = json.loads((run / "plan.json").read_text())
    plan["plan"] |= {"data": "table", "data_folder": nowhere}
    (moved / "plan.json").write_text(json.dumps(plan))
    for which, folder in ((run, "a"), (moved, "b")):
        assert export([str(which), "vflgan-0001", "-o", str(tmp_path / folder)]) == 0
    assert (tmp_path / "a" / "synthetic.csv").read_text() == (tmp_path / "b" / "synthetic.csv").read_text()
    prepared = json.loads((moved / "prepared.json").read_text())
    del prepared["rows"]["schema"]
    (moved / "prepared.json").write_text(json.dumps(prepared))
    capsys.readouterr()
    assert export([str(moved), "vflgan-0001", "-o", str(tmp_path / "c")]) == 2
    said = capsys.readouterr().err
    assert f"the files of {nowhere}, which are no longer those that it began with" in said and said.count("\n") == 1
    assert "--data-folder" not in said and not (tmp_path / "c").exists()


def test_what_all_trainings_spend_is_unknown_where_one_left_nothing_and_infinite_where_one_proves_nothing(
    run: Path, tmp_path: Path
) -> None:
    def cards_words(name: str, change: Callable[[Row], Row]) -> str:
        changed = tmp_path / name
        shutil.copytree(run, changed)
        table = pq.read_table(run / "records" / "replicates")
        lines = [change(row) if row["trial_id"] == "vflgan-0000" else row for row in table.to_pylist()]
        shutil.rmtree(changed / "records" / "replicates")
        (changed / "records" / "replicates").mkdir()
        pq.write_table(pa.Table.from_pylist(lines, table.schema), changed / "records" / "replicates" / "all.parquet")
        assert export([str(changed), "vflgan-0001", "-o", str(tmp_path / f"{name}-out")]) == 0
        sentence = re.search(r"trainings together is ([^.]*)", (tmp_path / f"{name}-out" / "README.md").read_text())
        assert sentence
        return sentence[1]

    failed = cards_words("failed", lambda row: row | {"state": "FAILED", "synthesizer": None})
    assert failed == "not known: one has left no synthesizer, or its artifact was removed"
    control = replicates(run)["control-central", 0]["synthesizer"]
    bare = cards_words("bare", lambda row: row | {"synthesizer": control})
    assert bare == "infinite: some are of a mechanism that proves none"


@pytest.mark.parametrize(
    ("epsilon", "told"),
    [(1.0001, "1.001"), (1.0, "1.000"), (0.0004, "0.001"), (2.9999, "3.000"), (math.inf, "infinite")],
)
def test_a_card_never_tells_less_epsilon_than_there_is(epsilon: float, told: str) -> None:
    assert rounded_up(epsilon) == told


def test_private_rows_are_not_exported(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export([str(run), "control-real", "-o", str(tmp_path / "out")]) == 2
    assert "its rows are private ones" in capsys.readouterr().err and not (tmp_path / "out").exists()


# ---- bad inputs ----

SCHEMA: dict[str, Any] = {
    "columns": [
        {"name": "age", "kind": "bounded", "low": 0, "high": 100, "decimals": 0},
        {"name": "pay", "kind": "standardised", "mean": 1000, "sd": 300},
        {"name": "sex", "kind": "categorical", "categories": ["f", "m"]},
        {"name": "ill", "kind": "categorical", "categories": [0, 1]},
    ],
    "label": "ill",
    "parties": {"clinic": ["age", "ill"], "bank": ["pay", "sex"]},
}
LINES = ["age,pay,sex,ill", *(f"{20 + i % 50},{900 + i * 7 % 300},{'fm'[i % 2]},{i // 2 % 2}" for i in range(60))]
Change = Callable[[dict[str, Any], list[str]], None]


def _row_five(text: str) -> Change:
    return lambda schema, lines: lines.__setitem__(5, text)


def _schema(**values: Any) -> Change:
    return lambda schema, lines: schema.update(values)


# What a table's folder holds beside the good one, and what is said of it.
FOLDERS: dict[str, tuple[Change, str]] = {
    "a missing value": (_row_five("30,,f,1"), "table.csv: row 5, column 'pay': the value is missing"),
    "a value out of bounds": (_row_five("130,900,f,1"), "row 5, column 'age': 130 lies outside 0 … 100"),
    "no category": (_row_five("30,900,x,1"), "row 5, column 'sex': 'x' is none of the schema's categories"),
    "no number": (_row_five("old,900,f,1"), "row 5, column 'age': 'old' is no number"),
    "few rows": (lambda schema, lines: lines.__delitem__(slice(13, None)), "7 private rows are too few"),
    "one label": (lambda schema, lines: lines.__setitem__(slice(1, None), [x[:-1] + "1" for x in lines[1:]]), "have one label"),
    "a column that is not there": (
        lambda schema, lines: lines.__setitem__(0, "years,pay,sex,ill"), "no column 'age'"),
    "a column twice": (
        lambda schema, lines: lines.__setitem__(slice(None), [f"{x},{x.split(',')[0]}" for x in lines]),
        "table.csv: column 'age' is there 2 times; keep one"),
    "a header in Latin-1": (
        lambda schema, lines: lines.__setitem__(0, "âge,pay,sex,ill"), "table.csv: its header is no UTF-8 text"),
    "a label that is a number": (_schema(label="age"), "label 'age' is no categorical column"),
    "a label that is not there": (_schema(label="x"), "label 'x' is no column"),
    "a column that two hold": (_schema(parties={"a": ["age", "ill"], "b": ["age", "pay", "sex"]}), "is held by 'a' and by 'b'"),
    "a column that nobody holds": (_schema(parties={"a": ["age"], "b": ["pay", "sex"]}), "column 'ill' is held by no party"),
    "one party": (_schema(parties={"a": ["age", "pay", "sex", "ill"]}), "vertical parties are two or more"),
    "a key that is none": (_schema(labels=1), "'labels' is none of columns, label, parties"),
    "a kind that is none": (_schema(columns=[{"name": "age", "kind": "number"}]), "kind 'number' is none of bounded"),
    "bounds the wrong way": (
        _schema(columns=[{"name": "age", "kind": "bounded", "low": 5, "high": 1}]), "low 5 and high 1"),
    "parties that are no lists": (_schema(parties={"a": "age"}), 'parties are {"NAME": ["COLUMN", …], …}'),
}  # fmt: skip
FLAGS: dict[str, tuple[list[str], str]] = {
    "data that are none": (["--data", "wines"], "--data wines: unknown; tables are"),
    "a folder of what is embedded": (["--data-folder", "x"], "is embedded, so it takes no folder"),
    "a table without a folder": (["--data", "table"], "say where with --data-folder DIR"),
    "a folder that is not there": (["--data", "table", "--data-folder", "nowhere"], "no such folder"),
    "images without classes": (["--data", "digits_styled"], "its images have no classes"),
    "a table of pixels": (["--image-size", "16"], "is a table; an image size and a limit are for images"),
    "a table's quarters": (["--split", "quarters"], "--split quarters: wine: split 'quarters' is none of halves"),
    "an image's thirds": (["--data", "digits", "--split", "thirds"], "split 'thirds' is none of halves, left_right"),
    "an image's columns": (["--data", "digits", "--party", "a=x"], "parties of images hold pixels"),
    "parties that nobody declared": (["--split", "declared"], "its schema declares no parties"),
    "a party without columns": (["--party", "a"], "party 'a': write NAME=COLUMN"),
    "a party alone": (["--party", "a=alcohol"], "vertical parties are two or more"),
    "a party twice": (["--party", "a=alcohol", "--party", "a=ash"], "party 'a' is given twice"),
    "a column that is none": (["--party", "a=alcohol", "--party", "b=beer"], "party 'b' holds 'beer', which is no column"),
    "a party called all": (["--party", "all=alcohol", "--party", "b=ash"], "party 'all'"),
    "no epsilon": (["--epsilon", "0"], "--epsilon 0.0: must be a positive, finite number"),
    "an epsilon without end": (["--epsilon", "inf"], "--epsilon inf"),
    "an epsilon that nothing spends": (
        ["--space", "vflgan_quality", "--epsilon", "3"], "no trial has a mechanism that spends it; add --mechanism record"),
    "a delta of one": (["--delta", "1"], "--delta 1.0: must be between 0 and 1"),
    "a delta of a row": (["--delta", "0.5"], "publishing a row counts as private"),
    "a mechanism that is none": (["--mechanism", "laplace"], "--mechanism laplace: unknown; known: none, published, record"),
    "a mechanism that proves nothing": (["--mechanism", "published"], "proves no epsilon, and the question asks for epsilon"),
    "few rows to publish": (["--samples", "10"], "--samples 10: must be at least 50"),
    "canaries of no kind": (["--canaries", "birds"], "--canaries birds: unknown"),
    "few canaries": (["--most-canaries", "3"], "--most-canaries 3: must be at least 20"),
    "controls of no steps": (["--control-steps", "0"], "--control-steps 0: must be at least 1"),
    "a batch of all rows": (["--fix", "batch=192", "--space", "vflgan_privacy"], "a batch is a part of the 93 rows"),
    "another procedure's flag": (["--forget", "3"], "unrecognized arguments: --forget 3"),
}  # fmt: skip


@pytest.fixture
def nothing_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder, in which nothing but the test's own files may lie afterwards."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert {p.name for p in tmp_path.iterdir()} <= {"table"}


def refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    space = [] if "--space" in words else ["--space", TINY]
    data = [] if "--data" in words else ["--data", "wine"]
    try:
        code = launch([*space, *data, "--dry-run", *words])
    except SystemExit as error:  # the parser's own
        code = int(error.code or 0)
    message = capsys.readouterr().err
    assert code == 2 and said in message and message.count("\n") == 1, message


@pytest.mark.parametrize(("words", "said"), FLAGS.values(), ids=list(FLAGS))
def test_a_mistaken_flag_is_one_line(
    words: list[str], said: str, nothing_written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(words, said, capsys)


@pytest.mark.parametrize(("change", "said"), FOLDERS.values(), ids=list(FOLDERS))
def test_a_mistake_in_a_table_is_one_line(
    change: Change, said: str, nothing_written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema, lines = json.loads(json.dumps(SCHEMA)), list(LINES)
    change(schema, lines)
    folder = nothing_written / "table"
    folder.mkdir()
    (folder / "schema.json").write_text(json.dumps(schema))
    (folder / "table.csv").write_text("\n".join(lines) + "\n", encoding="latin-1")
    refused(["--data", "table", "--data-folder", str(folder)], said, capsys)


def test_a_table_of_ones_own_is_planned_as_its_schema_declares(
    nothing_written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = nothing_written / "table"
    folder.mkdir()
    (folder / "schema.json").write_text(json.dumps(SCHEMA))
    (folder / "table.csv").write_text("\n".join(LINES) + "\n")
    assert launch(["--space", TINY, "--data", "table", "--data-folder", "table", "--dry-run"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "table (4 columns, 2 of them categorical" in said and "declared: 2 parties of 3, 3 numbers a row" in said
    assert "split 60 : 20 : 20 into private, public and test" in said and "ε ≤ 50 at δ" in said
    assert "private, public and test; to choose them give a file of each" in said
    assert "of 36 private rows; 12 public and 12 test rows are used without a mechanism" in said
