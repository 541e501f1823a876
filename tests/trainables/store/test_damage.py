"""A disk that changes bytes, is full, is read-only or does not answer: nothing of it ends up in a figure."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainables.relearning.experiment import Experiment, TrialSpec
from trainables.relearning.products import classifier_key, make_reference, model_key, reference_key
from trainables.relearning.stages.score import score_key
from trainables.relearning.stages.unlearn import unlearned_key
from trainables.relearning.trial import Pipeline
from trainables.running.report import Report
from trainables.store import CorruptArtifact, Store, StoreUnusable, artifact_key, patience
from trainables.store.sidecar import checked, signed
from trainables.trial import Trial

MakeSpec = Callable[..., TrialSpec]
AnotherStore = Callable[[str], Experiment]
KEY = artifact_key("model", {"steps": 3}, {}, "code")
TENSORS = {"weights": np.arange(2000, dtype=np.float32), "step": np.array(7)}


def file_of(store: Store, key: str, suffix: str) -> Path:
    (found,) = (p for p in Path(store.root).rglob(f"{key}.{suffix}") if p.parent.name != "damaged")
    return found


def flip(file: Path, at: float) -> None:
    """Change one bit of the byte that lies so far into the file."""
    data = bytearray(file.read_bytes())
    data[int(at * (len(data) - 1))] ^= 4
    file.write_bytes(data)


def truncate(file: Path, to: float) -> None:
    file.write_bytes(file.read_bytes()[: int(to * file.stat().st_size)])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    store.put(KEY, "model", {"figures": {"fid": 12.25}, "by": {1: "a"}}, TENSORS)
    return store


@pytest.mark.parametrize("sha256", ["/etc/passwd", "../outside", "ab" * 31, "AB" * 32, 7])
def test_a_sidecar_whose_hash_is_none_is_damaged_for_the_hash_becomes_a_path(sha256: object) -> None:
    written = {"kind": "model", "facts": {}, "made_at": 1.0}
    assert checked(KEY, signed(KEY, written | {"sha256": sha256})) is None
    for good in ("ab" * 32, None):
        assert checked(KEY, signed(KEY, written | {"sha256": good})) == written | {"sha256": good}


@pytest.mark.parametrize("damage", [flip, truncate])
@pytest.mark.parametrize("at", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("suffix", ["json", "safetensors"])
def test_an_artifact_damaged_anywhere_is_named_set_aside_and_counts_as_none(
    store: Store, damage: Callable[[Path, float], None], at: float, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    damage(file_of(store, KEY, suffix), at)
    damaged = file_of(store, KEY, suffix).read_bytes()
    assert store.whole(KEY) is None
    assert KEY[:12] in caplog.text and "damaged" in caplog.text
    kept = [Path(store.root) / "damaged" / name for name in store.damaged()]
    assert {p.suffix for p in kept} == {".json", ".safetensors"}, "set aside, not deleted"
    assert damaged in [p.read_bytes() for p in kept]
    assert store.find(KEY) is None and not file_exists(store, KEY)
    store.put(KEY, "model", {}, TENSORS)
    assert store.whole(KEY) is not None, "made again"


def file_exists(store: Store, key: str) -> bool:
    return any(p.parent.name != "damaged" for p in Path(store.root).rglob(f"{key}.*"))


def test_a_figure_changed_in_a_sidecar_is_no_figure(store: Store) -> None:
    """One digit of a FID: the JSON is as valid as before."""
    file = file_of(store, KEY, "json")
    file.write_text(file.read_text().replace("12.25", "12.35"))
    assert store.find(KEY) is None


def test_a_sidecar_under_another_key_is_no_artifact(store: Store) -> None:
    other = artifact_key("model", {"steps": 4}, {}, "code")
    target = Path(store.root) / other[:2] / f"{other}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(file_of(store, KEY, "json").read_bytes())
    assert store.find(other) is None


def test_a_sidecar_of_an_earlier_version_is_read(store: Store) -> None:
    import json

    file = file_of(store, KEY, "json")
    sidecar = json.loads(file.read_text())
    del sidecar["check"]
    file.write_text(json.dumps(sidecar))
    assert store.get(KEY).facts["figures"]["fid"] == 12.25


def test_what_another_process_has_made_again_is_not_set_aside(store: Store) -> None:
    seen = store.get(KEY)
    flip(file_of(store, KEY, "safetensors"), 0.9)
    store.put(KEY, "model", seen.facts, {"other": np.ones(3)})
    with pytest.raises(CorruptArtifact):
        seen.tensors()  # an old handle, whose hash is of the old content
    assert store.whole(KEY) is not None and store.damaged() == []


@pytest.mark.parametrize("at", [0.0, 0.02, 0.3, 0.9])
def test_a_bit_flipped_checkpoint_counts_as_none(store: Store, at: float) -> None:
    """Continued from, it would be committed as if it had been trained."""
    store.save_partial(KEY, TENSORS)
    assert store.load_partial(KEY) is not None
    flip(Path(store.root) / "partial" / f"{KEY}.safetensors", at)
    assert store.load_partial(KEY) is None


# ---- a trial


def run(pipeline: Pipeline, after: Callable[[Report], None] = lambda report: None) -> list[Report]:
    reports = [pipeline.step(600)]
    after(reports[-1])
    while reports[-1].state is None:
        reports.append(pipeline.step(600))
        after(reports[-1])
        assert len(reports) < 100, "the trial does not get on"
    return reports


@pytest.fixture
def spec(make_spec: MakeSpec, another_store: AnotherStore) -> TrialSpec:
    spec = make_spec(another_store("store"), rungs=(0, 2))
    return replace(spec, attacks=spec.attacks[:1])


def test_a_trial_whose_artifacts_are_damaged_under_it_makes_them_again_and_ends_with_the_same_figures(
    spec: TrialSpec,
) -> None:
    store = Store(spec.experiment.store)
    base = model_key(spec.experiment, "base")
    damages = {
        "unlearn": (unlearned_key(spec), flip),  # the trial's own, before its score reads it
        "score": (score_key(spec.experiment, unlearned_key(spec), spec.samples, spec.seed), truncate),
    }
    first = run(Pipeline(spec))
    for key in {r.stage["key"] for r in first if r.stage}:
        for suffix in ("json", "safetensors"):
            for file in Path(store.root).rglob(f"{key}.{suffix}"):
                file.unlink()
    flip(file_of(store, base, "safetensors"), 0.7)  # what all trials share
    flip(file_of(store, classifier_key(spec.experiment), "safetensors"), 0.5)
    truncate(file_of(store, reference_key(spec.experiment), "safetensors"), 0.5)

    def damage(report: Report) -> None:
        if report.stage and not report.stage["found"] and report.stage["stage"] in damages:
            key, how = damages.pop(report.stage["stage"])
            how(file_of(store, key, "safetensors"), 0.6)

    second = run(Pipeline(spec), damage)
    assert not damages and second[-1].figures == first[-1].figures
    aside = {name.partition(".")[0] for name in store.damaged()}
    assert {base, unlearned_key(spec), classifier_key(spec.experiment), reference_key(spec.experiment)} <= aside


def test_a_finished_stage_whose_product_is_damaged_is_not_found_but_made(spec: TrialSpec) -> None:
    first = run(Pipeline(spec))
    flip(file_of(Store(spec.experiment.store), unlearned_key(spec), "safetensors"), 0.9)
    second = run(Pipeline(spec))
    assert [r.stage["found"] for r in second if r.stage] == [False, True, True]
    assert second[-1].figures == first[-1].figures


def test_what_all_share_is_verified_before_a_sweep_uses_it(spec: TrialSpec) -> None:
    store = Store(spec.experiment.store)
    flip(file_of(store, reference_key(spec.experiment), "safetensors"), 0.4)
    assert make_reference(spec.experiment).tensors() and len(store.damaged()) == 2


# ---- a store that cannot be used


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB: room for what a trial needs, and soon filled."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("a file system of one's own needs the right to mount one")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing_half_written(small_disk: Path) -> None:
    store = Store(small_disk / "store")
    store.put(KEY, "model", {}, TENSORS)
    other = artifact_key("model", {"steps": 4}, {}, "code")
    with pytest.raises(StoreUnusable, match=r"^artifact store .* cannot write .*No space left on device$"):
        store.put(other, "model", {}, {"weights": np.zeros(2**22, np.float32)})
    assert store.find(other) is None and store.whole(KEY) is not None
    assert not list(small_disk.rglob("*.tmp"))


def test_a_read_only_store_is_told_in_one_line_and_can_still_be_read(small_disk: Path) -> None:
    store = Store(small_disk / "store")
    store.put(KEY, "model", {}, TENSORS)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert store.whole(KEY) is not None
    with pytest.raises(StoreUnusable, match=r"cannot write .*Read-only file system$"):
        store.put(KEY, "model", {}, TENSORS)


def test_a_store_that_does_not_answer_is_given_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that nobody writes to blocks whoever opens it, as a dead network file system does."""
    monkeypatch.setenv("SWEEP_PATIENCE_S", "0.5")
    file = file_of(store, KEY, "json")
    file.unlink()
    os.mkfifo(file)
    start = time.monotonic()
    with pytest.raises(StoreUnusable, match=r"cannot read .*: no answer within 0\.5 s"):
        store.find(KEY)
    assert time.monotonic() - start < 5


PASSES = [
    OSError(errno.EIO, "Input/output error"),
    OSError(errno.ESTALE, "Stale file handle"),
    OSError(
        "When putting k in bucket b: AWS Error SLOW_DOWN during PutObject operation: Please reduce your request rate."
    ),
    OSError("AWS Error UNKNOWN (HTTP status 503) during HeadObject operation: No response body."),
    OSError("AWS Error NETWORK_CONNECTION during GetObject operation: curlCode: 28, Timeout was reached"),
]
STAYS = [
    OSError(errno.EACCES, "Permission denied"),
    OSError(errno.ENOSPC, "No space left on device"),
    OSError("AWS Error ACCESS_DENIED during PutObject operation: Access Denied"),
]


class Faltering(Store):
    """A store whose file system raises an error so many times, in the midst of each read and write, and then works."""

    def __init__(self, root: Path, error: OSError, times: int) -> None:
        super().__init__(root)
        self.error, self.left = error, times

    def _patiently(self, begin: Callable[[], Iterable[Any]], what: str) -> list[Any]:
        def faltering() -> Iterator[Any]:
            steps: Any = iter(begin())
            yield next(steps)
            if self.left:
                self.left -= 1
                steps.throw(self.error)
            yield from steps

        return super()._patiently(faltering, what)


@pytest.mark.parametrize("error", PASSES, ids=str)
def test_an_error_that_passes_costs_a_moment_and_nothing_that_is_read_or_written(
    error: OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_FIRST_PAUSE_S", 0.01)
    Faltering(tmp_path, error, 2).put(KEY, "model", {"steps": 3}, TENSORS)
    store = Faltering(tmp_path, error, 2)
    found = store.get(KEY)
    assert found.facts == {"steps": 3}
    store.left = 2
    assert np.array_equal(found.tensors()["weights"], TENSORS["weights"])
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("error", STAYS, ids=str)
def test_what_a_store_refuses_is_not_asked_again(error: OSError, tmp_path: Path) -> None:
    store = Faltering(tmp_path, error, 2)
    with pytest.raises(StoreUnusable):
        store.put(KEY, "model", {}, TENSORS)
    assert store.left == 1


def test_an_error_that_does_not_pass_within_the_patience_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWEEP_PATIENCE_S", "0.1")
    monkeypatch.setattr(patience, "_FIRST_PAUSE_S", 0.03)
    store = Faltering(tmp_path, PASSES[1], 100)
    with pytest.raises(StoreUnusable, match=r"cannot write .*: Stale file handle$"):
        store.put(KEY, "model", {}, TENSORS)
    assert 2 <= 100 - store.left <= 6


def test_a_process_left_with_a_call_that_hangs_still_ends(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    code = "from trainables.store.patience import patiently\npatiently(open('pipe') for _ in [1])"
    environment = os.environ | {"SWEEP_PATIENCE_S": "0.2", "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert "TimeoutError: no answer within 0.2 s" in done.stderr


def test_an_unusable_store_is_not_the_trials_failure_but_halts_the_run(spec: TrialSpec, small_disk: Path) -> None:
    import json
    import shutil

    shutil.copytree(spec.experiment.store, small_disk / "store")
    there = replace(spec.experiment, store=str(small_disk / "store"))
    on_disk = replace(spec, experiment=there, seed=spec.seed + 1)  # no other test has made a stage of it
    filler = small_disk / "filler"
    with open(filler, "wb") as file:
        free = os.statvfs(small_disk)
        file.write(b"0" * (free.f_bavail * free.f_bsize))
    trial = Trial(config={"spec": json.dumps(on_disk.to_json())})
    result = trial.train()
    report = json.loads(result["reports"])[-1]
    assert "No space left on device" in report["halt"] and report["state"] is None and not result["done"]
    trial.stop()
