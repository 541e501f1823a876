"""Two runs never share a folder: whoever makes it has it, and what begins half is not there."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from recorded_run import write_run

from sweep import launch, records
from sweep.cluster.remote import _claim
from sweep.errors import UsageError
from sweep.plan.asked import plan_of
from sweep.plan.folders import placed
from sweep.plan.paths import own_artifacts
from sweep.records import folder
from sweep.records.claim import MARK, claimed
from sweep.records.folder import only_driver
from sweep.track import __main__ as track

ROOT = Path(__file__).parents[3]
TINY = ROOT / "tests" / "questions" / "tiny.py"
SMALL = ("--space", str(TINY), "--base-steps", "2", "--samples-forgotten", "4", "--samples-per-retained", "2",
         "--confirm-seeds", "0", "--trials", "1", "--baseline-trials", "0", "--fid-budget", "100000", "--sampler", "random",
         "--in-process")  # fmt: skip

# Each says that it is ready, waits for a word, and then begins a run as `sweep.launch` does.
BEGIN = """\
import sys
from pathlib import Path
from sweep import launch
from sweep.errors import UsageError
from sweep.plan.asked import plan_of
from sweep.plan.folders import create_run_dir
args = launch.parser().parse_args(sys.argv[1:])
print("ready", flush=True)
sys.stdin.readline()
try:
    asked = plan_of(args, launch.parser())
    got = create_run_dir(asked, bool(args.run_dir), lambda folder: (folder / "seed").write_text(str(args.seed)))
except UsageError as error:
    sys.exit(f"error: {error}")
print(got.run_dir)
"""


def at_once(folder: Path, *args: str, many: int = 8) -> list[subprocess.CompletedProcess[str]]:
    """Begin `many` runs at the beginning of one second, each of its own seed, once all are ready."""
    begun = [
        subprocess.Popen(
            [sys.executable, "-c", BEGIN, "--space", str(TINY), "--seed", str(seed), *args],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in range(many)
    ]
    for process in begun:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    time.sleep(1 - time.time() % 1)
    for process in begun:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    told = [process.communicate(timeout=60) for process in begun]
    return [subprocess.CompletedProcess(p.args, p.returncode, *said) for p, said in zip(begun, told, strict=True)]


def test_eight_sweeps_begun_in_one_second_have_a_folder_each_with_a_store_of_its_own(tmp_path: Path) -> None:
    done = at_once(tmp_path, "--keep", "front")
    assert [d.stderr for d in done] == [""] * 8
    runs = [tmp_path / d.stdout.strip() for d in done]
    assert len(set(runs)) == 8 and sorted((tmp_path / "runs").iterdir()) == sorted(runs)
    for seed, run in enumerate(runs):
        plan = records.read_json(run / "plan.json")["plan"]
        assert (plan["seed"], (run / "seed").read_text()) == (seed, str(seed)), "plan and companions are of one sweep"
        assert Path(plan["run_dir"]) == run.relative_to(tmp_path) and plan["artifacts"] == str(run / "artifacts")
        assert {f.name for f in run.iterdir()} == {"plan.json", "question", "seed"}


@pytest.mark.parametrize("there", [False, True])
def test_of_eight_that_name_one_folder_one_has_it_and_the_others_change_nothing(there: bool, tmp_path: Path) -> None:
    if there:
        (tmp_path / "mine").mkdir()
    done = at_once(tmp_path, "--run-dir", "mine")
    (first,) = [seed for seed, d in enumerate(done) if d.returncode == 0]
    for seed, d in enumerate(done):
        if seed != first:
            assert d.stderr.startswith("error: --run-dir mine: ") and d.stderr.count("\n") == 1
    assert records.read_json(tmp_path / "mine" / "plan.json")["plan"]["seed"] == first
    assert (tmp_path / "mine" / "seed").read_text() == str(first)
    assert {f.name for f in (tmp_path / "mine").iterdir()} == {"plan.json", "question", "seed"}


@pytest.mark.parametrize("there", [False, True])
def test_what_fails_before_it_is_a_run_leaves_nothing(there: bool, tmp_path: Path) -> None:
    if there:
        (tmp_path / "run").mkdir()
    for error in (UsageError("wrong"), KeyboardInterrupt()):
        with pytest.raises(type(error)), claimed(tmp_path / "run", "plan.json") as folder:
            (folder / "warm_start.json").write_text("{}")
            raise error
    assert [p.name for p in tmp_path.rglob("*")] == ["run"] * there
    with (
        pytest.raises(UsageError, match="cannot be written: No space left on device"),
        claimed(tmp_path / "run", "plan.json") as folder,
        open("/dev/full", "w") as full,
    ):
        full.write("x" * 100_000)


def test_a_folder_in_which_another_run_begins_is_refused_and_left_alone(tmp_path: Path) -> None:
    with claimed(tmp_path / "run", "plan.json") as folder:
        with pytest.raises(UsageError, match="another run is beginning in it"), claimed(folder, "plan.json"):
            raise AssertionError("it was claimed twice")
        with claimed(folder, "plan.json", named=False) as other:
            assert other == tmp_path / "run-2"
            (other / "plan.json").write_text("{}")
        (folder / "plan.json").write_text("{}")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["plan.json", "plan.json", "run", "run-2"]
    with pytest.raises(UsageError, match="already holds a run"), claimed(folder, "plan.json"):
        raise AssertionError("it was claimed twice")
    assert not (folder / MARK).exists()


def test_a_dry_run_claims_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert launch.main(["--space", str(TINY), "--dry-run"]) == 0
    assert track.main(["--methods", "dimum", "--dry-run"]) == 0
    assert not list(tmp_path.iterdir())


def test_a_store_elsewhere_stays_where_it_is_when_the_run_gets_another_name(tmp_path: Path) -> None:
    args = launch.parser().parse_args(["--space", str(TINY), "--run-dir", "a", "--artifacts", "shared"])
    assert placed(plan_of(args, launch.parser()).run, tmp_path / "a-2").artifacts == os.path.abspath("shared")
    args = launch.parser().parse_args(["--space", str(TINY), "--run-dir", "a", "--keep", "front"])
    assert placed(plan_of(args, launch.parser()).run, tmp_path / "a-2").artifacts == own_artifacts(
        "", str(tmp_path / "a-2")
    )


def test_a_track_is_in_storage_and_takes_the_next_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = track.parser().parse_args(["--methods", "dimum", "--storage", "kept"])
    first = Path(track.plan_of(asked).run_dir)
    assert first.parent == Path("kept") and first.name.startswith("track-")
    with claimed(first, "track.json", named=False), claimed(first, "track.json", named=False) as second:
        assert second == first.with_name(f"{first.name}-2")


def test_a_driver_that_is_refused_names_no_trial_and_no_logger(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two that resume one run, what the second asked for beside it does not reach the first."""
    args = launch.parser().parse_args([*SMALL, "--run-dir", str(tmp_path / "run")])
    from sweep.plan.folders import create_run_dir

    create_run_dir(plan_of(args, launch.parser()))
    recorded = write_run(tmp_path / "recorded", artifacts=False)
    (recorded / "records").rename(tmp_path / "run" / "records")
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    with only_driver(tmp_path / "run"):
        for more in (["--confirm", "dimum-0000"], ["--mlflow"]):
            assert launch.main(["--resume", str(tmp_path / "run"), "--in-process", *more]) == 2
            assert "another driver is running this sweep" in capsys.readouterr().err
    after = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file() and p.name != ".driver.lock"}
    assert after == before


def test_on_a_clusters_head_too_a_run_has_a_folder_of_its_own(tmp_path: Path) -> None:
    def ask(named: bool) -> subprocess.Popen[str]:
        line = f"{{ {_claim('first', named)}; }} 2>&1; echo says$?"  # as `Head.ask` has the head's shell run it
        return subprocess.Popen(
            ["sh", "-c", line], env=os.environ | {"HOME": str(tmp_path)}, stdout=subprocess.PIPE, text=True
        )

    said = [p.communicate()[0].split() for p in [ask(named=False) for _ in range(8)]]
    assert {words[-1] for words in said} == {"says0"}
    assert sorted(words[-2] for words in said) == sorted(["first", *(f"first-{i}" for i in range(2, 9))])
    taken = ask(named=True).communicate()[0]
    assert "--run-dir first: the cluster has a run of this name" in taken and taken.split()[-1] == "says1"


@pytest.mark.long  # a minute and a half
def test_two_sweeps_begun_together_record_each_its_own_seed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sweep.launch", *SMALL]
    begun = [
        subprocess.Popen([*command, "--seed", str(s)], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for s in (0, 1)
    ]  # fmt: skip
    said = [p.communicate(timeout=300)[0] for p in begun]
    assert [p.returncode for p in begun] == [0, 0], said
    runs = [p.parent for p in (tmp_path / "runs").glob("*/plan.json")]
    found = {
        records.read_json(r / "plan.json")["seed"]: {t["seed"] for t in records.rows(r, "replicates")} for r in runs
    }
    assert found == {0: {0}, 1: {1000}}


def test_a_folder_without_locks_is_not_said_to_be_driven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(folder.fcntl, "flock", without)
    with pytest.raises(UsageError, match=r"has no locks \(No locks available\)"), only_driver(tmp_path):
        pass
