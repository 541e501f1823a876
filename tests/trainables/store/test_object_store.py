"""The artifact store on an object store: S3 as moto's server speaks it, on loopback."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import boto3
import numpy as np
import pytest
import simulated_s3
from moto.s3.models import S3Backend

from trainables.store import CorruptArtifact, Store, StoreUnusable, artifact_key, node_cache
from trainables.store import store as store_module
from trainables.store.hashed import hash_of
from trainables.store.node_cache import NodeCache

KEY = artifact_key("model", {"steps": 3}, {}, "code")
TENSORS = {"weights": np.arange(12, dtype=np.float32).reshape(3, 4)}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with simulated_s3.served() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in (simulated_s3.LOGIN | {"SWEEP_CACHE": str(tmp_path / "cache")}).items():
        monkeypatch.setenv(name, value)
    s3 = boto3.resource("s3", endpoint_url=f"http://{endpoint}")
    bucket = s3.create_bucket(Bucket=f"bucket-{tmp_path.name.replace('_', '-')[:40].lower()}")
    yield bucket
    bucket.objects.all().delete()
    bucket.delete()


@pytest.fixture
def uri(endpoint: str, bucket: Any) -> str:
    return simulated_s3.uri(endpoint, bucket.name)


def kept() -> list[Path]:
    return list(Path(os.environ["SWEEP_CACHE"]).iterdir())


def test_what_is_put_is_found_by_another_store_object_and_lies_under_its_final_names(uri: str, bucket: Any) -> None:
    Store(uri).put(KEY, "model", {"steps": 3}, TENSORS)
    found = Store(uri).get(KEY)
    assert found.facts == {"steps": 3} and np.array_equal(found.tensors()["weights"], TENSORS["weights"])
    names = [f"sweeps/{KEY[:2]}/{KEY}.{suffix}" for suffix in ("json", "safetensors")]
    assert [o.key for o in bucket.objects.all()] == names


def test_the_sidecar_is_written_last_so_that_it_is_the_commit(
    uri: str, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    write = Store._write
    monkeypatch.setattr(Store, "_write", lambda self, path, data: (written.append(path), write(self, path, data))[1])
    Store(uri).put(KEY, "model", {}, TENSORS)
    assert [path.rpartition(".")[2] for path in written] == ["safetensors", "json"]
    bucket.Object(f"sweeps/{KEY[:2]}/{KEY}.json").delete()
    assert Store(uri).find(KEY) is None


def test_a_node_reads_an_artifact_from_the_object_store_once(uri: str, bucket: Any) -> None:
    Store(uri).put(KEY, "model", {}, TENSORS)
    for file in kept():
        file.unlink()  # as on another node
    assert np.array_equal(Store(uri).get(KEY).tensors()["weights"], TENSORS["weights"])
    bucket.Object(f"sweeps/{KEY[:2]}/{KEY}.safetensors").delete()
    assert np.array_equal(Store(uri).get(KEY).tensors()["weights"], TENSORS["weights"])


def test_a_cached_file_that_lost_its_hash_is_fetched_again(uri: str) -> None:
    artifact = Store(uri).put(KEY, "model", {}, TENSORS)
    (file,) = kept()
    assert file.name == artifact.sha256
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    assert np.array_equal(Store(uri).get(KEY).tensors()["weights"], TENSORS["weights"])
    assert hashlib.sha256(file.read_bytes()).hexdigest() == file.name


def test_a_damaged_object_is_reported_and_neither_read_nor_cached(uri: str, bucket: Any) -> None:
    Store(uri).put(KEY, "model", {}, TENSORS)
    for file in kept():
        file.unlink()
    bucket.put_object(Key=f"sweeps/{KEY[:2]}/{KEY}.safetensors", Body=b"other bytes")
    with pytest.raises(CorruptArtifact, match="damaged"):
        Store(uri).get(KEY).tensors()
    assert not kept()


def test_a_partial_is_replaced_read_and_dropped(uri: str) -> None:
    store = Store(uri)
    assert store.load_partial(KEY) is None
    store.save_partial(KEY, {"step": np.array(1)})
    store.save_partial(KEY, TENSORS)
    partial = Store(uri).load_partial(KEY)
    assert partial is not None and np.array_equal(partial["weights"], TENSORS["weights"])
    store.drop_partial(KEY)
    store.drop_partial(KEY)
    assert store.load_partial(KEY) is None and store.find(KEY) is None


def test_a_large_file_over_a_slow_line_is_not_given_up_while_its_parts_arrive(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_at_a_time, upload = threading.Lock(), S3Backend.upload_part

    def slow(*args: Any, **kwargs: Any) -> Any:
        with one_at_a_time:
            time.sleep(0.7)
            return upload(*args, **kwargs)

    monkeypatch.setattr(S3Backend, "upload_part", slow)
    monkeypatch.setattr(store_module, "_SENT", 2**20)
    monkeypatch.setenv("SWEEP_PATIENCE_S", "2.5")
    began = time.monotonic()
    Store(uri).put(KEY, "model", {}, {"weights": np.zeros(15 * 2**20, np.float32)})
    assert time.monotonic() - began > 3.5, "all of it took longer than the patience"


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's disk takes nothing more, as /dev/full does; the store's does."""

    @contextlib.contextmanager
    def receiving(cache: NodeCache) -> Iterator[BinaryIO]:
        with open("/dev/full", "r+b", buffering=0) as file:
            yield file

    monkeypatch.setattr(NodeCache, "receiving", receiving)


@pytest.mark.usefixtures("full")
def test_a_machine_whose_disk_is_full_stores_and_reads_all_the_same_and_says_what_helps(
    uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(uri)
    store.put(KEY, "model", {}, TENSORS)
    store.save_partial(KEY, TENSORS)
    partial = Store(uri).load_partial(KEY)
    assert partial is not None and np.array_equal(partial["weights"], TENSORS["weights"])
    caplog.clear()
    assert np.array_equal(Store(uri).get(KEY).tensors()["weights"], TENSORS["weights"])
    (said,) = [r.getMessage() for r in caplog.records if r.name == "trainables.store.store"]
    assert "cache: No space left on device" in said and "SWEEP_CACHE" in said and not kept()


def test_a_machine_on_whose_disk_no_file_can_be_made_stores_and_reads_all_the_same(uri: str) -> None:
    store = Store(uri)
    store.put(KEY, "model", {}, {})  # makes the folder
    shutil.rmtree(os.environ["SWEEP_CACHE"])
    store.put(KEY, "model", {}, TENSORS)
    assert np.array_equal(store.get(KEY).tensors()["weights"], TENSORS["weights"])


@pytest.mark.usefixtures("full")
def test_a_damaged_object_is_not_read_on_a_full_disk_either(uri: str, bucket: Any) -> None:
    Store(uri).put(KEY, "model", {}, TENSORS)
    bucket.put_object(Key=f"sweeps/{KEY[:2]}/{KEY}.safetensors", Body=b"other bytes")
    with pytest.raises(CorruptArtifact, match="damaged"):
        Store(uri).get(KEY).tensors()


def test_what_other_processes_write_or_lock_is_not_deleted_to_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path))
    monkeypatch.setenv("SWEEP_CACHE_GIB", str(250 / 2**30))
    for name in ("one.lock", "being-written.tmp", "left.tmp", "ab" * 32):
        (tmp_path / name).write_bytes(b"x" * 60)
    os.utime(tmp_path / "left.tmp", (1, 1))
    assert NodeCache().make_room(120)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["being-written.tmp", "one.lock"]


def test_a_file_that_is_deleted_while_it_is_looked_at_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path))
    content = b"x" * 100
    path = tmp_path / hashlib.sha256(content).hexdigest()
    path.write_bytes(content)

    def hashed(name: str, file: BinaryIO) -> Iterator[str]:
        path.unlink()  # as another process does that makes room
        return hash_of(name, file)

    monkeypatch.setattr(node_cache, "hash_of", hashed)
    with NodeCache().open(path.name) as file:
        assert file.read() == content


def test_the_cache_forgets_what_was_read_longest_ago(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path))
    monkeypatch.setenv("SWEEP_CACHE_GIB", str(250 / 2**30))
    cache, contents = NodeCache(), [bytes([i]) * 100 for i in range(3)]
    names = [hashlib.sha256(content).hexdigest() for content in contents]

    def put(content: bytes) -> None:
        with cache.receiving() as file:
            file.write(content)
            cache.keep(file, hashlib.sha256(content).hexdigest())

    for i in (0, 1):
        put(contents[i])
        os.utime(tmp_path / names[i], (i + 1, i + 1))
    with cache.open(names[0]) as file:  # now the one read last
        assert file.read() == contents[0]
    put(contents[2])
    assert [(tmp_path / name).exists() for name in names] == [True, False, True]
    assert [cache.open(name) is not None for name in names] == [True, False, True]
    put(b"x" * 300)
    assert len(list(tmp_path.iterdir())) <= 2, "more than the limit is not kept"


def test_a_store_that_cannot_be_used_says_so(uri: str, endpoint: str) -> None:
    Store(uri).check()
    with pytest.raises(StoreUnusable, match=r"(?i)bucket"):
        Store(simulated_s3.uri(endpoint, "no-such-bucket")).check()


@pytest.mark.parametrize("said", ["abc", "-1", "nan", "inf", "20 GiB"])
def test_a_bound_that_is_no_number_of_gibibytes_is_named(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP_CACHE_GIB", said)
    with pytest.raises(ValueError, match=f"SWEEP_CACHE_GIB='{said}': give a number of GiB from 0"):
        NodeCache()


def test_an_empty_bound_is_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP_CACHE_GIB", "")
    assert NodeCache().limit == 20 * 2**30
