"""A release of a federated trial: secret noise, all private rows, a card with every ε, and nothing left anywhere else."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from sweep.errors import UsageError
from sweep.export import main as export
from sweep.federated import releasing
from sweep.launch import main as launch
from sweep.procedures import Release
from sweep.release import main as release
from trainables.federated.accounting import Releases, epsilon_of_all
from trainables.federated.sources import source
from trainables.federated.tables import table
from trainables.store import Store, StoreUnusable

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / "tests" / "questions" / "tiny_federated.py")
WANTED, PRIVATE = 20.0, 106  # the question's own start point; three fifths of the wines
FILES = ["README.md", "schema.json", "synthetic.csv", "synthetic.parquet"]
Row = dict[str, Any]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of two trials over the wines as a table of one's own, its store beside it."""
    place, wine = tmp_path_factory.mktemp("release"), table("wine")
    (place / "wines").mkdir()
    (whole,) = wine.read().values()
    pacsv.write_csv(whole, place / "wines" / "table.csv")
    schema = wine.schema.to_json() | {"label": wine.label}
    (place / "wines" / "schema.json").write_text(json.dumps(schema))
    words = [
        "--space", TINY, "--data", "table", "--data-folder", str(place / "wines"), "--samples", "60", "--fix", "steps=30",
        "--trials", "1", "--baseline-trials", "1", "--confirm-seeds", "0", "--control-steps", "2", "--in-process",
        "--run-dir", str(place / "run"), "--artifacts", str(place / "artifacts"),
    ]  # fmt: skip
    assert launch(words) == 0
    return place / "run"


def lies(place: Path) -> dict[str, str]:
    """Every file below a folder, and its hash."""
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(place.rglob("*")) if p.is_file()}


def replicates(run: Path) -> dict[str, Row]:
    return {row["trial_id"]: row for row in pq.read_table(run / "records" / "replicates").to_pylist()}


def of_card(card: str, name: str) -> str:
    found = re.search(rf"^\| {re.escape(name)} \| (.+) \|$", card, re.MULTILINE)
    assert found, name
    return found[1]


def test_it_is_of_all_private_rows_by_noise_that_no_second_one_has_and_its_card_says_what_all_cost(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = lies(run.parent)
    (line,) = re.findall(
        r"^python -m sweep\.release (.+?) *#", (ROOT / "search_spaces" / "README.md").read_text(), re.MULTILINE
    )
    words = [{"RUN": str(run), "TRIAL": "vflgan-0000"}.get(word, word) for word in shlex.split(line)]
    for name in ("one", "other"):
        assert release([str(tmp_path / name) if word == "DIR" else word for word in words]) == 0
    said = capsys.readouterr().out
    assert f"30 steps on {PRIVATE} private rows: ε 19." in said and said.endswith(f"{tmp_path / 'other'}\n")
    for name in ("a", "b"):
        assert export([str(run), "vflgan-0000", "-o", str(tmp_path / name)]) == 0
    assert lies(run.parent) == before, "neither store nor run is other than it was"

    rows = {name: pq.read_table(tmp_path / name / "synthetic.parquet") for name in ("one", "other", "a", "b")}
    (real,) = table("wine").read().values()
    assert rows["one"].column_names == real.column_names and len(rows["one"]) == 60
    assert pacsv.read_csv(tmp_path / "one" / "synthetic.csv").column_names == real.column_names
    assert sorted(p.name for p in (tmp_path / "one").iterdir()) == FILES
    assert len(source("wine").read()["private"]) == PRIVATE
    assert rows["a"].equals(rows["b"]) and not rows["one"].equals(rows["other"]) and not rows["one"].equals(rows["a"])

    card = (tmp_path / "one" / "README.md").read_text()
    epsilon, searched, together = (
        float(of_card(card, name).split(",")[0].split(" ")[0])
        for name in ("ε", "ε of the search's 2 trainings", "ε of both together")
    )
    assert 0.98 * WANTED < epsilon <= WANTED and together > max(epsilon, searched)
    assert of_card(card, "trained on").startswith(f"{PRIVATE} private rows, 20")
    # The same sum by the accountant: both trials as they were, and a training on all rows with the noise that the card tells.
    store, trials = Store(str(run.parent / "artifacts")), replicates(run)
    spent = [store.get(trials[name]["synthesizer"]).facts["privacy"] for name in ("vflgan-0000", "vertigan-0000")]
    each = [(p["noise_multiplier"], Releases(p["sampling_rate"], 30, p["groups"])) for p in spent]
    assert searched == pytest.approx(epsilon_of_all(each, 1e-5).epsilon, abs=1e-3)
    own = float(of_card(card, "σ of a group")), Releases(16 / PRIVATE, 30, 3)
    assert together == pytest.approx(epsilon_of_all([*each, own], 1e-5).epsilon, rel=1e-2)
    assert "are kept nowhere: nobody can draw them again" in card and "no promise for a release" not in card
    for left_out in (
        "the protocol",
        "the controls",
        "36 public and 36 test rows",
        "how many rows there are",
        "other trainings",
    ):
        assert f"Not covered: {left_out}" in card
    assert "audited" not in card and re.search(r"^\| (fd|party_fd|dependence_error|utility_gap) ", card, re.MULTILINE)
    told = {name: float(of_card(card, name).split(" | ")[0]) for name in ("fd", "party_fd", "dependence_error")}
    assert 0 < told["fd"] < 50
    assert any(figure != pytest.approx(trials["vflgan-0000"][name], rel=1e-3) for name, figure in told.items()), (
        "of these rows, not of the trial's: one of its figures may come out alike"
    )


def test_files_and_store_may_have_been_moved_and_rows_be_others_in_number(run: Path, tmp_path: Path) -> None:
    for name in ("wines", "artifacts"):
        shutil.copytree(run.parent / name, tmp_path / name)
    moved = changed(run, tmp_path, {}, data_folder="/nowhere", artifacts="/nowhere")
    words = ["--data-folder", str(tmp_path / "wines"), "--artifacts", str(tmp_path / "artifacts"), "--samples", "77"]
    assert release([str(moved), "vertigan-0000", *words, "-o", str(tmp_path / "out")]) == 0
    assert len(pq.read_table(tmp_path / "out" / "synthetic.parquet")) == 77
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| fd | " in card and "Of the first 60 rows, as many as a trial of the search has." in card


def test_rows_are_there_before_they_are_measured_and_stay_where_that_fails(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"

    def gone(spec: object, rows: object) -> dict[str, float]:
        assert sorted(p.name for p in out.iterdir()) == FILES
        assert "Nothing: measuring them did not come to its end." in (out / "README.md").read_text()
        raise StoreUnusable("s3://bucket/artifacts: does not answer")

    monkeypatch.setattr(releasing, "measured", gone)
    assert release([str(run), "vflgan-0000", "-o", str(out)]) == 0
    told, card = capsys.readouterr().out, (out / "README.md").read_text()
    assert "not measured, as the card says: s3://bucket/artifacts: does not answer" in told and told.endswith(
        f"{out}\n"
    )
    assert "Nothing: the run's store could not be read." in card and "s3://" not in card
    assert [p.name for p in tmp_path.iterdir()] == ["out"] and sorted(p.name for p in out.iterdir()) == FILES
    assert len(pq.read_table(out / "synthetic.parquet")) == 60 and of_card(card, "ε")


def test_memory_is_counted_for_the_rows_and_for_measuring_as_many_as_a_trial_has(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = releasing._plan(str(run), Release(samples=None, device="", artifacts="", data_folder="")).setup
    of_all = setup.source.parties.width * 60 * (4 + 5 * 8)
    for there, fits in ((of_all, True), (of_all - 1, False)):
        monkeypatch.setattr(releasing, "memory_here", lambda there=there: there)
        with nullcontext() if fits else pytest.raises(UsageError, match="--samples 60: so many rows take"):
            releasing._check_room(setup, 60)
    releasing._check_room(setup, 5)  # of a trial of five rows no more are measured


def changed(run: Path, place: Path, row: Row, **plan: Any) -> Path:
    """A copy of the run whose first trial has these columns, and whose plan these values."""
    copy = place / "changed"
    shutil.copytree(run, copy)
    recorded = pq.read_table(run / "records" / "replicates")
    lines = [line | row if line["trial_id"] == "vflgan-0000" else line for line in recorded.to_pylist()]
    shutil.rmtree(copy / "records" / "replicates")
    (copy / "records" / "replicates").mkdir()
    pq.write_table(pa.Table.from_pylist(lines, recorded.schema), copy / "records" / "replicates" / "all.parquet")
    values = json.loads((copy / "plan.json").read_text())
    values["plan"] |= plan
    (copy / "plan.json").write_text(json.dumps(values))
    return copy


# ---- what is killed, and what is refused ----

# A release whose training makes a few steps, tells of each, and never ends.
ENDLESS = """
import sys, time
from sweep.release import main
from trainables.federated.training import Training
advance = Training.advance
def slowly(self, until, deadline):
    time.sleep(0.1)
    return self.step < 5 and advance(self, self.step + 1) and False
Training.advance = slowly
sys.exit(main(sys.argv[1:]))
"""


def test_a_release_that_is_told_to_end_leaves_nothing(run: Path, tmp_path: Path) -> None:
    before = lies(run.parent)
    words = [str(run), "vflgan-0000", "-o", "out"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS, *words], cwd=tmp_path, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout and process.stderr
        lines = [next(line for line in process.stdout if "step 3 of 30" in line)]
        process.send_signal(signal.SIGTERM)
        lines += process.stdout
        assert process.stderr.read() == "\nstopped; nothing was saved, and nothing is there to go on from\n"
    assert process.returncode == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == [] and lies(run.parent) == before


Make = Callable[[Path, Path], Path]
TRIAL = ["vflgan-0000"]


def _as_it_is(run: Path, place: Path) -> Path:
    return run


def _row(**columns: Any) -> Make:
    return lambda run, place: changed(run, place, columns)


def _other_rows(run: Path, place: Path) -> Path:
    """Its private file lacks its last row today."""
    wines = place / "wines"
    shutil.copytree(run.parent / "wines", wines)
    lines = (wines / "table.csv").read_text().splitlines(keepends=True)
    (wines / "table.csv").write_text("".join(lines[:-1]))
    return changed(run, place, {}, data_folder=str(wines))


def _with_members(run: Path, place: Path) -> Path:
    copy = changed(run, place, {})
    (copy / "members").mkdir()
    return copy


REFUSED: dict[str, tuple[Make, list[str], str]] = {
    "no mechanism": (_row(mechanism="none"), TRIAL, "mechanism 'none' proves no ε that a release could keep; save the trial's own"),
    "a claim": (_row(mechanism="published"), TRIAL, "vflgan-0000 -o DIR"),
    "a trial that failed": (_row(state="FAIL"), TRIAL, "vflgan-0000 is FAIL; name a trial that is COMPLETE"),
    "a control": (_as_it_is, ["control-central"], "control-central is a control, which has no mechanism"),
    "private rows": (_as_it_is, ["control-real"], "control-real is a control, which has no mechanism"),
    "no trial": (_as_it_is, ["vflgan-0009"], "no trial vflgan-0009; did you mean"),
    "a taken folder": (_as_it_is, [*TRIAL, "-o", "taken"], "taken: exists and is not an empty folder"),
    "a folder in a file": (_as_it_is, [*TRIAL, "-o", "taken/file/out"], "cannot write in"),
    "no folder": (_as_it_is, [*TRIAL, "-o", ""], "name one new folder to save it in"),
    "few rows": (_as_it_is, [*TRIAL, "--samples", "10"], "--samples 10: must be at least 50"),
    "no rows": (_as_it_is, [*TRIAL, "--samples", "0"], "--samples 0: must be at least 50"),
    "rows that are no number": (_as_it_is, [*TRIAL, "--samples", "many"], "invalid int value: 'many'"),
    "rows beyond all memory": (_as_it_is, [*TRIAL, "--samples", str(10**12)], "of this machine's"),
    "no device": (_as_it_is, [*TRIAL, "--device", "tpu"], "--device tpu: is none of cpu, cuda, cuda:1"),
    "a GPU that is not there": (_as_it_is, [*TRIAL, "--device", "cuda:99"], "--device cuda:99: there is no such GPU here"),
    "other private rows": (_other_rows, TRIAL, "not the files that this run began with; bring those back"),
    "no private rows": (
        lambda run, place: changed(run, place, {}, data_folder="/nowhere"), TRIAL, "say where with --data-folder DIR"),
    "a store that is gone": (_as_it_is, [*TRIAL, "--artifacts", "nowhere"], "say where the store lies now with --artifacts DIR"),
    "members that would run": (_with_members, TRIAL, "look at that code, then add --members"),
    "a flag of another command": (_as_it_is, [*TRIAL, "--replicate", "1"], "unrecognized arguments: --replicate"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "words", "said"), REFUSED.values(), ids=list(REFUSED))
def test_a_mistake_is_one_line_and_costs_no_training(
    make: Make, words: list[str], said: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("mine\n")
    place = make(run, tmp_path)
    before = lies(tmp_path)
    try:
        code = release([str(place), *words, *([] if "-o" in words else ["-o", "out"])])
    except SystemExit as error:  # the parser's own
        code = int(error.code or 0)
    told = capsys.readouterr()
    assert code == 2 and said in told.err and told.err.count("\n") == 1, told.err
    assert "training" not in told.out and lies(tmp_path) == before
