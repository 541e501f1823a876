"""A second procedure is two files and a question: coins, from plan to page, on Ray, killed, resumed, repaired and cleaned up.

A house is a copy of the packages with the three files in their places. Nothing else of it is touched.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ROOT = Path(__file__).parents[2]
PACKAGES = ("sweep", "trainables", "search_spaces")
FILES = {  # where each lies in a house
    "sweep/coin/procedure.py": "coin.py",
    "trainables/coin/trial.py": "coin_trial.py",
    "search_spaces/coin.py": "coin_space.py",
}
FIGURES = {"heads_share", "surprise", "cost"}
TRIALS = 9  # six of the question's own, three of its baseline
OTHERS = re.compile(
    r"robustness|(?<![a-z])fid(?![a-z])|unlearn|relearn|attack|(?<![a-z])rungs?(?![a-z])|AURC|forg[eo]t|retain", re.I
)
Row = dict[str, Any]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("house")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, place / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, source in FILES.items():
        (place / name).parent.mkdir(exist_ok=True)
        shutil.copy(Path(__file__).parent / source, place / name)
    for room in ("sweep/coin", "trainables/coin"):
        (place / room / "__init__.py").touch()
    return place


@pytest.fixture(scope="module")
def run(house: Path) -> Path:
    """A sweep on Ray with two workers, logged to MLflow."""
    done = call(house, "launch", "--space coin --workers 2 --run-dir run --artifacts artifacts --mlflow")
    assert done.returncode == 0, done.stdout + done.stderr
    (house / "told.txt").write_text(done.stdout)
    return house / "run"


def command(module: str, words: str, *more: str) -> list[str]:
    """``python -m MODULE`` with these words, and after them what may hold spaces."""
    return [sys.executable, "-m", f"sweep.{module}", *words.split(), *more]


def environment(house: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(house), "OMP_NUM_THREADS": "1"}


def call(house: Path, module: str, words: str, *more: str) -> subprocess.CompletedProcess[str]:
    line = command(module, words, *more)
    return subprocess.run(line, cwd=house, env=environment(house), capture_output=True, text=True)


def python(house: Path, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=house, env=environment(house), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def table(run: Path, name: str) -> pa.Table:
    """By any Parquet reader: what is read so knows no procedure."""
    return pa.concat_tables(pq.read_table(file) for file in sorted((run / "records" / name).glob("*.parquet")))


def rows(run: Path, name: str) -> list[Row]:
    return table(run, name).to_pylist()


def tosses_of(method: str, seed: int, settings: Row) -> list[tuple[bool, int]]:
    """The flips that the seed decides, as they are described: whether each shows heads, and the tosses that it took."""
    shown = []
    for number in range(settings["flips"]):
        draw = np.random.default_rng([seed, number]).random
        tosses = 1
        if method == "biased":
            while draw() < 0.9 * (2 * settings["bias"] - 1) ** 2:
                tosses += 1
                if tosses > 20:
                    raise RuntimeError
            heads = draw() < settings["bias"]
        else:
            while not (heads := draw() < 0.5) and tosses < settings.get("tries", 1):
                tosses += 1
        shown.append((heads, tosses))
    return shown


def figures_of(shown: list[tuple[bool, int]]) -> dict[str, float]:
    share = sum(heads for heads, _ in shown) / len(shown)
    surprise = -sum(p * math.log2(p) for p in (share, 1 - share) if p)
    return {"heads_share": share, "surprise": surprise, "cost": sum(tosses for _, tosses in shown)}


def settings_in(run: Path) -> dict[str, Row]:
    """What every trial was asked for, and the control."""
    found = {row["trial_id"]: json.loads(row["settings"]) for row in rows(run, "trials") if row["arm"] != "control"}
    return found | {"control-fair": {"flips": 80}}


# ---- what is touched ----


def test_no_file_of_a_house_but_the_three_differs_from_the_repositorys(house: Path) -> None:
    def files(place: Path) -> dict[str, bytes]:
        every = (p for package in PACKAGES for p in (place / package).rglob("*") if "__pycache__" not in p.parts)
        return {p.relative_to(place).as_posix(): p.read_bytes() for p in every if p.is_file()}

    here, there = files(ROOT), files(house)
    added = set(there) - set(here)
    assert added == {*FILES, "sweep/coin/__init__.py", "trainables/coin/__init__.py"}
    assert {name: there[name] for name in here} == here


def test_its_files_are_typed_as_the_tree_is(house: Path) -> None:
    checked = ["--disallow-untyped-defs", "--ignore-missing-imports", "--follow-imports=skip"]
    done = subprocess.run([sys.executable, "-m", "mypy", *checked, *FILES], cwd=house, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# ---- the plan ----


def test_its_flags_are_its_setups_and_the_plan_is_in_its_words(house: Path) -> None:
    told = call(house, "launch", "--space coin --help").stdout
    assert "--heads N" in told and "--toss-s S" in told and "--trials N" in told
    assert not [
        flag for flag in ("--data ", "--forget", "--fid-budget", "--base-size", "--sampling-steps") if flag in told
    ]
    plan = call(house, "launch", "--space coin --dry-run --heads 30")
    assert plan.returncode == 0, plan.stderr
    assert "budget      what a fair coin takes to show 30 heads, on 5 seeds" in plan.stdout
    assert "constraints cost ≤ the fair budget" in plan.stdout and "bias: 0.5 … 1" in plan.stdout
    assert "forget" not in plan.stdout and "attack" not in plan.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--heads 0", "--heads 0: must be at least 1"),
        ("--heads many", "argument --heads: invalid int value: 'many'"),
        ("--forget 3", "unrecognized arguments: --forget 3"),
        ("--fix method=heavy", "no arm of method 'heavy'"),
    ],
)
def test_a_mistake_is_one_line(house: Path, words: str, said: str) -> None:
    done = call(house, "launch", f"--space coin --dry-run {words}")
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1, done.stderr


# ---- its records ----


def test_the_tables_have_its_columns_and_say_whose_they_are(run: Path) -> None:
    schemas = {name: table(run, name).schema for name in ("trials", "replicates", "curves", "stages")}
    assert all(schema.metadata[b"procedure"] == b"coin" for schema in schemas.values())
    assert {"param_bias", "param_flips", "param_tries", "excess_cost"} | FIGURES <= set(schemas["trials"].names)
    assert {"generator"} | FIGURES <= set(schemas["replicates"].names)
    assert {"coin", "flip"} <= set(schemas["curves"].names) and "flipping_s" in schemas["stages"].names
    every = {name for schema in schemas.values() for name in schema.names}
    assert not every & {"robustness", "fid", "attack", "attack_step", "samples_forgotten", "base_model", "training_s"}
    assert schemas["trials"].field("cost").metadata[b"unit"] == b"tosses"


def test_every_figure_is_what_the_seed_makes_it(run: Path) -> None:
    settings, seen = settings_in(run), Counter()
    for row in rows(run, "replicates"):
        seen[row["state"]] += 1
        asked, seed = settings[row["trial_id"]], row["replicate"]  # of a sweep whose first seed is 0
        if row["state"] == "FAIL":
            with pytest.raises(RuntimeError):
                tosses_of(row["method"], seed, asked)
            continue
        shown = tosses_of(row["method"], seed, asked)
        expected = figures_of(shown)
        if row["state"] == "PRUNED":  # before it was counted
            assert row["heads_share"] is None and row["cost"] == expected["cost"]
        else:
            assert {name: row[name] for name in FIGURES} == pytest.approx(expected, abs=1e-12)
        curve = {c["flip"]: c for c in rows(run, "curves") if _of(c) == _of(row)}
        steps = sorted({*(2**i for i in range(7) if 2**i <= asked["flips"]), asked["flips"]})
        assert sorted(curve) == steps
        for step in steps:
            share = np.mean([heads for heads, _ in shown[:step]])
            assert curve[step]["value"] == pytest.approx(share) and curve[step]["samples"] == step
            assert curve[step]["lower"] - 1e-9 <= share <= curve[step]["upper"] + 1e-9
    assert seen["COMPLETE"] > TRIALS and seen["FAIL"] and seen["PRUNED"], "a trial of every kind"


def _of(row: Row) -> tuple[str, int]:
    return row["trial_id"], row["replicate"]


def test_what_ended_early_says_why(run: Path) -> None:
    trials = {row["trial_id"]: row for row in rows(run, "trials")}
    failed = trials["biased-0001"]
    assert failed["state"] == "FAIL" and failed["cause"].startswith(
        "RuntimeError: a coin bent to 1 rolled off the table 20 times in a row | File "
    )
    stopped = [row for row in trials.values() if row["state"] == "PRUNED"]
    budget = json.loads((run / "prepared.json").read_text())["fair_budget"]
    for row in stopped:
        assert row["stopped_by"] == "gate" and row["cause"].endswith(f"cannot be ≤ {budget:.1f}"), row["cause"]
        assert row["cost"] > 1.5 * budget and row["feasible"] is False


def test_the_bound_is_what_preparing_found(run: Path) -> None:
    prepared = json.loads((run / "prepared.json").read_text())

    def takes(seed: int) -> int:
        heads = tosses = 0
        while heads < 40:
            heads += np.random.default_rng([seed, tosses]).random() < 0.5
            tosses += 1
        return tosses

    assert prepared["fair_budget"] == np.mean([takes(seed) for seed in range(995, 1000)])
    assert len(prepared["keys"]) == len(prepared["shared"]) == 5
    plan = json.loads((run / "plan.json").read_text())
    assert plan["procedure"] == "coin" and plan["heads"] == 40 and not {"attacks", "rungs", "forget"} & set(plan)
    for row in rows(run, "trials"):
        if row["cost"] is not None:
            assert row["excess_cost"] == pytest.approx(row["cost"] / prepared["fair_budget"] - 1)


def test_the_control_is_run_on_every_seed_and_searched_by_nobody(run: Path) -> None:
    own = {row["replicate"]: row for row in rows(run, "replicates") if row["trial_id"] == "control-fair"}
    assert sorted(own) == [0, 1, 2, 3] and {row["seed"] for row in own.values()} == {0, 1, 2, 3}
    assert all(row["arm"] == "control" and row["method"] == "none" and row["cost"] == 80 for row in own.values())
    assert {c["coin"] for c in rows(run, "curves") if c["trial_id"] == "control-fair"} == {"fair"}


def test_members_are_confirmed_on_fresh_seeds(run: Path) -> None:
    again = [row for row in rows(run, "replicates") if row["replicate"] and row["arm"] != "control"]
    assert {row["phase"] for row in again} == {"confirm"}
    seeds = Counter(row["trial_id"] for row in again)
    assert min(seeds.values()) >= 2 and max(seeds.values()) <= 6
    assert sum(seeds.values()) <= 3 * len(seeds), "no more than 3 seeds for each would be"
    assert "replicates" in json.loads((run / "confirmation.json").read_text())["ended_by"]
    assert {row["arm"] for row in again} == {"biased", "best_of"} and {row["seed"] for row in again} >= {1, 2}


def test_its_knowledge_is_of_binomials(house: Path, run: Path) -> None:
    """Standard errors against the spread of many seeds."""
    told = python(
        house,
        "from search_spaces.coin import SPACE; from sweep.procedures import named; import json\n"
        "knows = named('coin').knowledge(SPACE, {}, {})\n"
        "curve = [{'flip': 64, 'metric': 'heads_share', 'value': 0.75, 'samples': 64}]\n"
        "figures = {'heads_share': 0.75, 'surprise': 0.81, 'cost': 83.0}\n"
        "print(json.dumps([knows.errors(figures, curve), knows.possible(curve), knows.errors(figures, [])]))",
    )
    errors, possible, without = json.loads(told)
    many = [figures_of(tosses_of("biased", seed, {"bias": 0.75, "flips": 64})) for seed in range(400)]
    for name in FIGURES:
        assert errors[name] == pytest.approx(np.std([figures[name] for figures in many]), rel=0.25), name
    assert set(possible) == {"heads_share", "surprise"} and possible["heads_share"][0] == 0.75 and without == {}


# ---- its readers ----


def test_the_terminal_tells_of_its_trials_and_of_no_view_that_failed(house: Path, run: Path) -> None:
    told = (house / "told.txt").read_text()
    assert "prepare: a fair coin takes 79.2 tosses to show 40 heads" in told
    assert "biased-0000-r0     done   heads 0.750  cost 58.000" in told and "biased-0001-r0     FAILED" in told
    failed = [
        line for line in told.splitlines() if "is not written" in line or "is not whole" in line or "Error: " in line
    ]
    assert len(failed) == 1 and "rolled off the table" in failed[0]
    _, _, following = told.partition("\nnext:\n")
    offered = [line.split("  #")[0].strip() for line in following.splitlines() if line.startswith("  python -m ")]
    assert len(offered) == 3 and re.search(r"^winner  (biased|best_of)-\d{4} ", told, re.M)
    for line in offered:
        line = line.replace("python", shlex.quote(sys.executable), 1)
        done = subprocess.run(line, shell=True, cwd=house, env=environment(house), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_front_is_read_in_every_format(house: Path, run: Path) -> None:
    told = {f: call(house, "pareto", f"run --format {f}") for f in ("text", "csv", "json", "markdown")}
    assert all(done.returncode == 0 for done in told.values()), [done.stderr for done in told.values()]
    front = json.loads(told["json"].stdout)
    assert [o["metric"] for o in front["plan"]["objectives"]] == ["heads_share", "cost"]
    lines = list(csv.DictReader(io.StringIO(told["csv"].stdout)))
    trials = {row["trial_id"]: row for row in rows(run, "trials")}
    assert {line["trial_id"] for line in lines} == set(trials) and {line["fair_budget"] for line in lines} == {"79.2"}
    for line in lines:
        for name in FIGURES:
            assert line[f"search_{name}"] == ("" if (value := trials[line["trial_id"]][name]) is None else str(value))
    on_front = {line["trial_id"] for line in lines if line["on_front"] == "True"}
    assert on_front
    for text in (told["text"].stdout, told["markdown"].stdout):
        assert (
            all(trial_id in text for trial_id in on_front)
            and "cost ≤ 79.2" in text
            and "flips that showed heads" in text
        )


def test_sql_asks_its_columns(house: Path, run: Path) -> None:
    sql = "SELECT coin, count(*) AS n, max(flip) AS flips FROM curves WHERE metric = 'heads_share' GROUP BY ALL ORDER BY ALL"
    done = call(house, "query", "--format json run", sql)
    assert done.returncode == 0, done.stderr
    expected = Counter(c["coin"] for c in rows(run, "curves"))
    assert {row["coin"]: row["n"] for row in json.loads(done.stdout)} == expected
    assert set(expected) == {"biased", "best_of", "fair"}


def test_nothing_that_is_told_of_coins_names_another_procedure(house: Path, run: Path) -> None:
    told = {
        f"pareto as {f}": call(house, "pareto", f"run --format {f}").stdout for f in ("text", "csv", "json", "markdown")
    }
    told |= {
        "schema": call(house, "query", "run --schema").stdout,
        "help": call(house, "launch", "--space coin --help").stdout.partition("examples:")[0],
    }
    told |= {"terminal": (house / "told.txt").read_text(), "plan": (run / "plan.json").read_text()}
    page = (run / "report.html").read_text()
    page = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)  # Plotly is in one of them
    told["page"] = re.sub(r"data:image/[^\"')]*", "", page)  # letters of a picture may happen to be a word
    for what, text in told.items():
        assert len(text) > 200 and not (found := OTHERS.search(text)), (
            what,
            text[found.start() - 50 : found.end() + 50],
        )


def test_the_page_has_its_figures(house: Path, run: Path) -> None:
    page = (run / "report.html").read_text()
    assert "heads_share" in page and "surprise" in page and "flips that showed heads" in page and "biased-0000" in page
    assert (run / "front.png").stat().st_size > 1000


def test_tensorboard_has_its_scalars(run: Path) -> None:
    trial = next(row for row in rows(run, "trials") if row["trial_id"] == "biased-0000")
    board = EventAccumulator(str(run / "tensorboard" / "biased-0000")).Reload()
    tags = board.Tags()["scalars"]
    assert FIGURES | {"heads_share/biased"} <= set(tags)
    for name in FIGURES:
        assert board.Scalars(name)[0].value == pytest.approx(trial[name], rel=1e-6)
    curve = {c["flip"]: c["value"] for c in rows(run, "curves") if _of(c) == ("biased-0000", 0)}
    assert {s.step: s.value for s in board.Scalars("heads_share/biased")} == pytest.approx(curve, rel=1e-6)


def test_mlflow_has_every_replicate(run: Path) -> None:
    client = MlflowClient(tracking_uri=f"sqlite:///{run}/mlflow.db")
    experiment = client.get_experiment_by_name("coin")
    assert experiment is not None
    logged = {r.info.run_name: r for r in client.search_runs([experiment.experiment_id], max_results=1000)}
    for row in rows(run, "replicates"):
        own = logged[f"{row['trial_id']}-r{row['replicate']}"]
        assert own.data.tags["state"] == row["state"] and own.data.params.get("generator") == row["generator"]
        for name in FIGURES:
            assert own.data.metrics.get(name) == row[name]
    history = client.get_metric_history(logged["biased-0000-r0"].info.run_id, "heads_share/biased")
    assert {m.step: m.value for m in history} == {
        c["flip"]: c["value"] for c in rows(run, "curves") if _of(c) == ("biased-0000", 0)
    }


# ---- what happens to it ----


def test_a_flip_stage_goes_on_where_it_was_left(house: Path, tmp_path: Path) -> None:
    code = f"""
import json, dataclasses
from trainables.coin import trial
from trainables.running.procedures import pipeline_of
from trainables.store import Store
spec = trial.TrialSpec("biased-0000", 0, {str(tmp_path / "store")!r}, "biased", 60, {{"bias": 0.7}}, 5, toss_s=0.01)
first = pipeline_of(spec.to_json())
assert first.step(0.1).state is None
before = Store(spec.store).load_partial(trial.flips_key(spec))
made, flip = [], trial.flip
trial.flip = lambda spec, number: made.append(number) or flip(spec, number)
again = pipeline_of(dataclasses.replace(spec, toss_s=0.0).to_json())
while not (report := again.step()).state: pass
assert Store(spec.store).load_partial(trial.flips_key(spec)) is None
print(json.dumps([len(before["heads"]), made, report.figures]))
"""
    had, made, figures = json.loads(python(house, code))
    assert 0 < had < 60 and made == list(range(had, 60))
    assert {name: figures[name] for name in FIGURES} == figures_of(tosses_of("biased", 5, {"bias": 0.7, "flips": 60}))


@pytest.fixture(scope="module")
def killed(house: Path) -> tuple[Path, dict[str, Row], dict[str, float]]:
    """A sweep in this process whose driver was killed in mid-search, resumed; what had ended by then, and when it was made."""
    words = "--space coin --in-process --confirm-seeds 1 --toss-s 0.005 --run-dir killed --artifacts kept"
    where = house / "killed"
    with subprocess.Popen(
        command("launch", words), cwd=house, env=environment(house), stdout=subprocess.DEVNULL
    ) as driver:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and len(ended := _ended(where)) < 3 and driver.poll() is None:
            time.sleep(0.05)
        time.sleep(0.1)  # into the flips of the next
        driver.send_signal(signal.SIGSTOP)
        assert os.WIFSTOPPED(os.waitpid(driver.pid, os.WUNTRACED)[1])
        ended = _ended(where)  # while nothing changes any more
        driver.send_signal(signal.SIGKILL)
    assert 3 <= len(ended) < TRIALS, "killed in mid-sweep"
    made = {p.name: p.stat().st_mtime for p in (house / "kept").rglob("*.json")}
    done = call(house, "launch", "--resume killed --in-process --toss-s 0.0001")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ended)} finished trials kept" in done.stdout
    return where, ended, made


def _ended(run: Path) -> dict[str, Row]:
    """The trials whose rows say that they have ended, while a driver may be writing others."""
    found = {}
    for file in (run / "records" / "trials").glob("*.parquet"):
        with file.open("rb") as opened:  # by its path it would be opened twice, and may be another file by then
            rows_of_file = pq.read_table(opened).to_pylist()
        for row in rows_of_file:
            if row["state"] != "RUNNING" and row["arm"] != "control":
                found[row["trial_id"]] = row
    return found


def test_a_killed_sweep_goes_on_and_flips_nothing_again(house: Path, killed: tuple[Path, Any, Any]) -> None:
    run, ended, made = killed
    trials = {row["trial_id"]: row for row in rows(run, "trials")}
    assert len(trials) == TRIALS + 1 and not [row for row in trials.values() if row["state"] == "RUNNING"]
    assert {name: trials[name] for name in ended} == ended, "their rows stand as they were"
    stages = rows(run, "stages")
    assert max(Counter((s["trial_id"], s["replicate"], s["stage"]) for s in stages).values()) == 1
    assert not [s for s in stages if s["trial_id"] in ended and not s["replicate"] and s["found"]]
    assert {name: p.stat().st_mtime for p in (house / "kept").rglob("*.json") if (name := p.name) in made} == made
    for row in rows(run, "replicates"):
        if row["state"] == "COMPLETE":
            expected = figures_of(tosses_of(row["method"], row["seed"], settings_in(run)[row["trial_id"]]))
            assert {name: row[name] for name in FIGURES} == pytest.approx(expected)


def test_a_trial_is_confirmed_because_it_was_named(house: Path, killed: tuple[Path, Any, Any]) -> None:
    run, _, _ = killed
    before = {row["trial_id"] for row in rows(run, "replicates") if row["replicate"]}
    trials = [row for row in rows(run, "trials") if row["state"] == "COMPLETE" and row["arm"] != "control"]
    name = next(row["trial_id"] for row in trials if row["trial_id"] not in before)
    done = call(house, "launch", f"--resume killed --in-process --confirm {name}")
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = [r for r in rows(run, "replicates") if r["trial_id"] == name and r["replicate"]]
    expected = figures_of(tosses_of(row["method"], 1, settings_in(run)[name]))
    assert row["seed"] == 1 and {figure: row[figure] for figure in FIGURES} == pytest.approx(expected)


def test_lost_tables_are_read_again_from_the_artifacts(house: Path, run: Path) -> None:
    shutil.copytree(run, house / "damaged")
    lost = {name: sorted(rows(run, name), key=_of) for name in ("replicates", "curves")}
    for name in lost:
        for file in (house / "damaged" / "records" / name).glob("*.parquet"):
            file.write_bytes(file.read_bytes()[:-100])
    done = call(house, "repair", "damaged")
    assert done.returncode == 0, done.stdout + done.stderr
    for name, before in lost.items():
        again = sorted(rows(house / "damaged", name), key=_of)
        assert [_figures(row) for row in again] == [_figures(row) for row in before], name


def _figures(row: Row) -> Row:
    """What a row says beside times and paths of the process that wrote it."""
    return {k: v for k, v in row.items() if k not in ("started_at", "finished_at", "core_s", "cause")}


def test_what_no_run_needs_is_removed_and_all_else_stays(house: Path, run: Path) -> None:
    shutil.copytree(house / "artifacts", house / "store")
    before = {p.name for p in (house / "store").rglob("*.json")}
    stray = "ab" * 32
    python(house, f"from trainables.store import Store; Store('store').put({stray!r}, 'flips', {{}})")
    done = call(house, "gc", "run --artifacts store --age 0 --delete")
    assert done.returncode == 0 and "removed: 1 artifact:" in done.stdout, done.stdout + done.stderr
    assert {p.name for p in (house / "store").rglob("*.json")} == before


def test_a_sweep_keeps_its_front_alone_and_stops_what_that_dominates(house: Path) -> None:
    words = "--space coin --in-process --sampler random --trials 12 --baseline-trials 0 --confirm-seeds 1"
    strict = "--keep front --stop-dominated --gate-margin 0 --run-dir front --log-format json"
    done = call(house, "launch", f"{words} {strict}")
    assert done.returncode == 0, done.stdout + done.stderr
    run, trials = house / "front", rows(house / "front", "trials")
    assert {"gate", "domination"} <= {row["stopped_by"] for row in trials}, [row["cause"] for row in trials]
    front = {row["trial_id"] for row in rows(run, "replicates") if row["replicate"]} | {"control-fair"}
    store = Path(json.loads((run / "plan.json").read_text())["artifacts"])
    there = {p.stem for p in store.rglob("*.json")}
    stages = rows(run, "stages")
    assert {s["key"] for s in stages if s["trial_id"] in front} <= there
    gone = [s for s in stages if s["trial_id"] not in front and s["key"] not in there]
    assert {row["trial_id"] for row in trials if row["state"] == "PRUNED"} <= {s["trial_id"] for s in gone}
