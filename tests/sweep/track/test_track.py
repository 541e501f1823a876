"""A track runs methods and controls on everything that is forgotten, resumes, scores what it recorded, and is compared."""

from __future__ import annotations

import json
import re
import shutil
import statistics
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import recorded_run
from accessibility import grave_faults
from playwright.sync_api import Page

from sweep import gc, records
from sweep.errors import UsageError
from sweep.plan.plan import Plan, listed
from sweep.reading.best import best
from sweep.reading.sweep import read_sweep
from sweep.records import COMPLETE
from sweep.track import leaderboard
from sweep.track.__main__ import main
from sweep.track.plan import TrackPlan, check_apart, from_sweep
from sweep.track.reading import read_track
from sweep.track.scoring import Scorer
from trainables.metrics import aurc

SMALL = "--base-steps 12 --samples-forgotten 8 --samples-per-retained 2 --sampling-steps 2 --in-process"
ASKED = "--methods dimum label_swap --attacks dimra-retain-1e-3 malicious-8-3e-4 --forget 3 7 --seeds 2 --steps 3"
QUICK = "--fix steps=3"


def run_track(folder: Path, artifacts: Path, asked: str = ASKED) -> int:
    quick = QUICK.split() * ("--methods" in asked)
    return main([*asked.split(), *quick, *SMALL.split(), "--run-dir", str(folder), "--artifacts", str(artifacts)])


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory, lend_classifier: Callable[[Path], None]) -> Path:
    folder = tmp_path_factory.mktemp("artifacts")
    lend_classifier(folder)
    return folder


@pytest.fixture(scope="module")
def track(artifacts: Path) -> Path:
    folder = artifacts.parent / f"{artifacts.name}-track"
    assert run_track(folder, artifacts) == 0
    return folder


def test_every_method_and_control_is_run_on_everything_and_every_seed(track: Path) -> None:
    rows = records.rows(track, "replicates")
    assert {r["state"] for r in rows} == {COMPLETE}
    told = {(r["arm"], r["trial_id"].partition("-forget-")[0], r["forget"], r["seed"]) for r in rows}
    lines = {
        ("dimum", "dimum"),
        ("label_swap", "label_swap"),
        ("control", "control-base"),
        ("control", "control-retrain"),
    }
    assert told == {(*line, forget, seed) for line in lines for forget in ("3", "7") for seed in (1, 2)}
    assert len(rows) == len(told)
    assert {r["attack"] for r in records.rows(track, "curves")} == {"none", "dimra-retain-1e-3", "malicious-8-3e-4"}


def test_the_base_model_and_the_classifier_are_made_once_for_all_of_it(track: Path) -> None:
    rows = records.rows(track, "replicates")
    assert len({r["base_model"] for r in rows if r["arm"] != "control"}) == 1
    keys = records.read_json(track / "prepared.json")["keys"]
    assert keys["retrain control of 3"] != keys["retrain control of 7"]


def test_resuming_a_finished_track_runs_nothing_and_changes_no_figure(track: Path) -> None:
    before = {t: records.rows(track, t) for t in ("replicates", "curves", "stages")}
    table = pq.read_table(track / "leaderboard.parquet")
    assert main(["--resume", str(track), "--in-process"]) == 0
    assert {t: records.rows(track, t) for t in before} == before
    assert pq.read_table(track / "leaderboard.parquet").equals(table)


@pytest.mark.parametrize(
    "part, name", [("code", "attack malicious-8-3e-4"), ("code", "scoring"), ("keys", "retrain control of 7")]
)
def test_a_track_that_other_code_began_is_refused_before_anything_is_made(
    track: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], part: str, name: str
) -> None:
    run = Path(shutil.copytree(track, tmp_path / "run"))
    prepared = records.read_json(run / "prepared.json")
    prepared[part][name] = "of other code"
    (run / "prepared.json").write_text(json.dumps(prepared))
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    assert main(["--resume", str(run), "--in-process"]) == 2
    (error,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error"))
    assert error.endswith(f"prepared.json: {name}: made by other code or libraries than these; start a new track")
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before


def test_what_is_missing_after_a_crash_is_done_and_nothing_else(track: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(track, tmp_path / "run"))
    lost = ("dimum-forget-7", 2)
    for table in ("replicates", "curves", "stages"):
        (part,) = (run / "records" / table).glob("*.parquet")
        whole = pq.read_table(part)
        rows = [row for row in whole.to_pylist() if (row["trial_id"], row["replicate"]) != lost]
        pq.write_table(pa.Table.from_pylist(rows, schema=whole.schema), part)
    others = _but(run, lost)
    assert len(others) == 15
    assert main(["--resume", str(run), "--in-process"]) == 0
    assert _but(run, lost) == others, "what was there is as it was, times included"
    assert all(s["found"] for s in records.rows(run, "stages", "dimum-forget-7-r2")), (
        "its stages were in the artifact store"
    )
    told = [records.rows(folder, "replicates", "dimum-forget-7-r2")[0] for folder in (run, track)]
    assert told[0]["robustness"] == told[1]["robustness"] and told[0]["fid"] == told[1]["fid"]


def _but(run: Path, lost: tuple[str, int]) -> dict[tuple[str, int], dict]:
    """Every other replicate's row."""
    rows = {(r["trial_id"], r["replicate"]): r for r in records.rows(run, "replicates")}
    return {at: row for at, row in rows.items() if at != lost}


def test_the_leaderboard_is_the_mean_over_what_was_forgotten_and_over_seeds(track: Path) -> None:
    curves: dict[tuple[str, int], dict[int, float]] = {}
    for r in records.rows(track, "curves"):
        mine = r["trial_id"].startswith("dimum-") and r["metric"] == "relearning_accuracy"
        if mine and r["attack"] in ("none", "dimra-retain-1e-3"):
            curves.setdefault((r["trial_id"], r["replicate"]), {})[r["attack_step"]] = r["value"]
    rows = pq.read_table(track / "leaderboard.parquet").to_pylist()
    (told,) = (
        r for r in rows
        if (r["entry"], r["forget"], r["attack"], r["metric"]) == ("dimum", "all", "dimra-retain-1e-3", "aurc")
    )  # fmt: skip
    assert len(curves) == 4
    assert told["value"] == pytest.approx(statistics.fmean(map(aurc, curves.values())))
    assert told["seeds"] == 2 and told["lower"] <= told["value"] <= told["upper"]


def test_attacks_that_hold_what_was_forgotten_do_not_count(track: Path) -> None:
    for line in Scorer(read_track(track)).lines():
        assert line.strongest is not None and line.strongest.attack == "dimra-retain-1e-3"
        assert line.worst.attack == "dimra-retain-1e-3" and set(line.worst.chosen) == {1, 2}
        assert not line.attacks["malicious-8-3e-4"].counts


def test_the_tables_say_what_their_columns_are(track: Path) -> None:
    for name in ("leaderboard", "recovery"):
        schema = pq.read_schema(track / f"{name}.parquet")
        assert schema.metadata[b"schema_version"] == b"1"
        assert schema.field("value").metadata[b"description"]
    steps = {r["attack_step"] for r in pq.read_table(track / "recovery.parquet").to_pylist()}
    assert steps == {0, 1, 3}


def test_the_page_is_whole_and_shows_every_line_and_attack(track: Path) -> None:
    page = (track / "report.html").read_text()
    ours = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    assert not re.search(r'(?:src|href)="(?!data:|#)', ours), "it asks nothing of a network"
    assert "default-src 'none'" in page
    for said in ("dimum", "label_swap", "control-retrain", "malicious-8-3e-4 *", "Every replicate finished."):
        assert said in page
    charts = [json.loads(s) for s in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.S)]
    assert len(charts) == 2 * (1 + 2), "each attack, over all and over each thing forgotten"
    names = {trace["name"] for chart in charts for trace in chart["data"] if trace.get("showlegend", True)}
    assert names == {"dimum", "label_swap", "control-base", "control-retrain"}
    assert page.count("data:image/png;base64,") >= 4 * 3


def test_nothing_grave_bars_readers_from_the_tracks_page(opened: Callable[..., Page], track: Path) -> None:
    assert grave_faults(opened(track / "report.html", ready=".chart .main-svg")) == []


def test_too_few_blocks_carry_no_critical_difference_and_it_is_said(track: Path) -> None:
    assert "No critical difference of ranks" in (track / "leaderboard.md").read_text()


def test_a_track_against_itself_differs_in_nothing(track: Path) -> None:
    told = leaderboard.compare(track, track)
    rows = [line for line in told.splitlines() if line.startswith("  ") and "[" in line]
    assert len(rows) == 4 and all(re.search(r"   0\.0+ \[-(0\.\d+), \1\]$", line) for line in rows)


def test_its_results_file_is_valid_and_gives_its_own_leaderboard_again(
    track: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", str(track)]) == 0
    assert "version 1: dimum, label_swap; data digits, forget 3, 7; 2 attacks to step 3; 16" in capsys.readouterr().out
    halves = []
    for entry in ("dimum", "label_swap"):
        half = json.loads((track / "results.json").read_text())
        half["entries"] = [e for e in half["entries"] if e["name"] == entry]
        half["replicates"] = [r for r in half["replicates"] if r["entry"] in (entry, "control-base", "control-retrain")]
        halves.append(tmp_path / f"{entry}.json")
        halves[-1].write_text(json.dumps(half))
    assert main(["merge", *map(str, halves), str(tmp_path / "merged")]) == 0
    for name in ("leaderboard", "recovery"):
        ours, theirs = (
            pq.read_table(folder / f"{name}.parquet").to_pylist() for folder in (track, tmp_path / "merged")
        )
        assert ours and ours == theirs
    said = capsys.readouterr().out
    assert "label_swap" in said and "dimum" in said and said.endswith("merged/leaderboard.md\n")
    assert main(["validate", str(tmp_path / "merged")]) == 0


def test_a_track_that_is_older_than_a_column_is_compared_all_the_same(track: Path, tmp_path: Path) -> None:
    older = Path(shutil.copytree(track, tmp_path / "older"))
    for file in (older / "records" / "replicates").glob("*.parquet"):
        table = pq.read_table(file)
        assert "judge" in table.column_names
        pq.write_table(table.drop_columns(["judge"]), file)
    assert "0.00 [" in leaderboard.compare(track, older) and "0.00 [" in leaderboard.compare(older, older)


def test_what_a_track_is_made_of_is_counted_as_needed(track: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gc.main([str(track)]) == 0
    assert "0 artifacts" in capsys.readouterr().out


def test_tracks_made_under_other_conditions_are_not_compared(
    track: Path, artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    asked = "--methods dimum --attacks dimra-retain-1e-3 --forget 3 --seeds 1 --steps 1"
    assert run_track(other, artifacts, asked) == 0
    capsys.readouterr()
    assert main(["compare", str(track), str(other)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "not comparable, they differ in rungs ([0, 1, 3] and [0, 1])" in error
    facts = json.loads((other / "track.json").read_text())
    facts["attacks"]["dimra-retain-1e-3"]["settings"]["learning_rate"] = 1.0
    (other / "track.json").write_text(json.dumps(facts | {"rungs": [0, 1, 3]}))
    with pytest.raises(UsageError, match="attack dimra-retain-1e-3"):
        leaderboard.compare(track, other)


def test_a_track_from_before_it_held_no_sweeps_plan_goes_on_as_it_was(track: Path) -> None:
    facts = records.read_json(track / "track.json")
    searched = {f.name for f in fields(Plan)} & facts["plan"].keys()
    assert not searched, "a track searches nothing"
    earlier = Plan.of(space="", **listed(facts["plan"])).flat()
    plan = TrackPlan.from_json(facts | {"plan": json.loads(json.dumps(earlier))}, "track.json")
    assert plan == TrackPlan.from_json(facts, "track.json")


def test_a_model_of_ones_own_is_scored_as_what_it_is(track: Path, artifacts: Path, tmp_path: Path) -> None:
    from sweep.track.run import experiments_of
    from trainables.relearning.export import save_pipeline
    from trainables.store import Store

    facts = records.read_json(track / "track.json")
    experiment = experiments_of(TrackPlan.from_json(facts, "track.json"))["3"]
    (unlearned,) = {r["unlearned_model"] for r in records.rows(track, "replicates", "dimum-forget-3-r1")}
    folder = save_pipeline(Store(artifacts).get(unlearned), experiment, tmp_path / "mine")
    run = tmp_path / "run"
    asked = f"--model {folder} --attacks dimra-retain-1e-3 malicious-8-3e-4 --forget 3 --seeds 1 --steps 3"
    assert run_track(run, artifacts, asked) == 0
    (mine,) = records.rows(run, "replicates", "mine-forget-3-r1")
    (own,) = records.rows(track, "replicates", "dimum-forget-3-r1")
    for figure in ("unlearning_accuracy", "retain_accuracy", "fid", "robustness"):
        assert mine[figure] == pytest.approx(own[figure], abs=1e-6)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert main(["--resume", str(run), "--in-process"]) == 2


MISTAKES = {
    "nothing to run": ("", "--methods NAME … is needed, or --from RUN, --model FOLDER or --resume RUN"),
    "unknown method": ("--methods dimumm", "--methods dimumm: unknown; did you mean 'dimum'"),
    "unknown attack": ("--methods dimum --attacks dimra", "--attacks dimra: no such attack in the suite"),
    "a method twice": ("--methods dimum dimum", "--methods: dimum is there twice"),
    "steps between rungs": ("--methods dimum --steps 100", "it must be 2^n - 1, such as 63"),
    "no seeds": ("--methods dimum --seeds 0", "--seeds 0: must be at least 1"),
    "forgets what is not there": ("--methods dimum --forget 11", "--forget 11: digits has conditions 0 to 9"),
    "unknown setting": ("--methods dimum --fix stepps=3", "method 'dimum' has no setting stepps"),
    "setting without a value": ("--methods dimum --fix steps", "--fix steps: write NAME=VALUE"),
    "no pipeline": ("--model nowhere", "--model "),
    "no track": ("--resume nowhere", "--resume nowhere: is not a track's folder"),
    "no sweep": ("--from nowhere", "nowhere: does not exist"),
    "instances all": ("--methods siss --data digits_duplicated --forget all", "--forget all: digits_duplicated has no classes"),
    "cannot forget it": ("--methods siss --forget 3", "--methods siss: method 'siss' forgets instances, not 3"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(
    mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    asked, said = MISTAKES[mistake]
    assert main(asked.split()) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("error: ") and said in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("names", [["concept:C", "concept:C++"], ["esd x", "esd-x"], ["猫", "犬"]])
def test_lines_that_would_have_the_same_files_are_refused(names: list[str]) -> None:
    with pytest.raises(UsageError, match=r"^--forget: .* and .* would have the same files, .*; rename one$"):
        check_apart("--forget", names)
    check_apart("--forget", ["3", "7", "3,7", "meta(dimum)", "dimum"])


def test_comparing_what_is_no_track_is_a_mistake(track: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(track), str(track.parent)]) == 2
    assert "is not a track's folder" in capsys.readouterr().err


def test_the_best_confirmed_settings_of_a_sweep_become_lines(tmp_path: Path) -> None:
    run = recorded_run.write_run(tmp_path / "run", artifacts=False)
    front = read_sweep(run)
    told = {e.name: (e.method, e.settings) for e in from_sweep(str(run))}
    assert told and set(told) <= set(front.arms)
    for name, (method, settings) in told.items():
        member = best(front, name)
        assert member is not None and member.confirmed and member.feasible
        assert (method, settings) == (member.method, member.parameters)


def test_a_sweep_with_nothing_confirmed_gives_no_line(tmp_path: Path) -> None:
    run = recorded_run.write_run(tmp_path / "run", artifacts=False)
    for file in (run / "records" / "replicates").glob("*-r[1-9].parquet"):
        file.unlink()
    with pytest.raises(UsageError, match="no arm of that sweep has a confirmed, feasible member"):
        from_sweep(str(run))
