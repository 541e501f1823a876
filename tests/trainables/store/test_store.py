"""The artifact store: a key is either whole or not there."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from trainables.store import CorruptArtifact, MissingArtifact, Store, artifact_key
from trainables.store import store as store_module

KEY = artifact_key("model", {"steps": 3}, {"data": "digits"}, "code")
FACTS = {"images": 3, "name": "θ₀"}
TENSORS = {
    "weights": np.arange(12, dtype=np.float32).reshape(3, 4).T,  # not contiguous
    "steps": np.array(7),
    "generator": np.arange(5, dtype=np.uint8),
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def file_of(store: Store, key: str, suffix: str) -> Path:
    (found,) = Path(store.root).rglob(f"{key}.{suffix}")
    return found


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(
        a[k].dtype == b[k].dtype and a[k].shape == b[k].shape and np.array_equal(a[k], b[k]) for k in a
    )


def test_what_is_put_is_found_again_by_another_store_object(store: Store) -> None:
    assert store.find(KEY) is None
    store.put(KEY, "model", FACTS, TENSORS)
    found = Store(store.root).get(KEY)
    assert (found.kind, found.facts) == ("model", FACTS)
    assert same(found.tensors(), TENSORS)


def test_an_artifact_may_have_facts_alone(store: Store) -> None:
    store.put(KEY, "score", FACTS)
    assert store.get(KEY).tensors() == {}
    assert not list(Path(store.root).rglob("*.safetensors"))


def test_a_missing_input_is_named_by_the_error(store: Store) -> None:
    with pytest.raises(MissingArtifact, match=KEY[:12]):
        store.get(KEY)


def test_tensors_without_their_sidecar_are_no_artifact(store: Store) -> None:
    store.put(KEY, "model", FACTS, TENSORS)
    file_of(store, KEY, "json").unlink()
    assert file_of(store, KEY, "safetensors").exists()
    assert store.find(KEY) is None


@pytest.mark.parametrize("where", [9, -1], ids=["header", "data"])
def test_a_flipped_byte_is_reported_and_never_read(store: Store, where: int) -> None:
    store.put(KEY, "model", FACTS, TENSORS)
    file = file_of(store, KEY, "safetensors")
    data = bytearray(file.read_bytes())
    data[where] ^= 1
    file.write_bytes(data)
    with pytest.raises(CorruptArtifact, match="damaged"):
        store.get(KEY).tensors()


def test_lost_tensors_are_reported(store: Store) -> None:
    store.put(KEY, "model", FACTS, TENSORS)
    file_of(store, KEY, "safetensors").unlink()
    with pytest.raises(CorruptArtifact, match="missing"):
        store.get(KEY).tensors()


def test_putting_an_artifact_again_changes_nothing(store: Store) -> None:
    first = store.put(KEY, "model", FACTS, TENSORS)
    before = file_of(store, KEY, "safetensors").read_bytes()
    second = store.put(KEY, "model", FACTS, TENSORS)
    assert first == second == store.get(KEY)
    assert file_of(store, KEY, "safetensors").read_bytes() == before


def test_a_partial_is_replaced_read_and_dropped(store: Store) -> None:
    assert store.load_partial(KEY) is None
    store.save_partial(KEY, {"step": np.array(1)})
    store.save_partial(KEY, TENSORS)
    partial = store.load_partial(KEY)
    assert partial is not None and same(partial, TENSORS)
    assert store.find(KEY) is None, "a partial is not an artifact"
    store.drop_partial(KEY)
    store.drop_partial(KEY)  # there is nothing left to drop, which is no error
    assert store.load_partial(KEY) is None


@pytest.mark.parametrize("kept", [0, 5, 40])
def test_a_damaged_partial_counts_as_none(store: Store, kept: int) -> None:
    store.save_partial(KEY, TENSORS)
    file = file_of(store, KEY, "safetensors")
    file.write_bytes(file.read_bytes()[:kept])
    assert store.load_partial(KEY) is None


def test_partials_stay_inside_the_store_whatever_its_folder_is_called(tmp_path: Path) -> None:
    store = Store(tmp_path / KEY[:2] / "store")
    store.save_partial(KEY, TENSORS)
    assert [p.relative_to(store.root) for p in tmp_path.rglob("*.safetensors")] == [
        Path("partial") / f"{KEY}.safetensors"
    ]


@pytest.mark.parametrize("key", ["", "../../etc/passwd", "../" + KEY, KEY[:63], KEY + "0", KEY.upper(), KEY + "\n"])
def test_only_64_hexadecimal_digits_are_a_key(store: Store, key: str) -> None:
    calls = (
        lambda: store.find(key),
        lambda: store.put(key, "model", FACTS, TENSORS),
        lambda: store.save_partial(key, TENSORS),
        lambda: store.load_partial(key),
        lambda: store.drop_partial(key),
    )
    for call in calls:
        with pytest.raises(ValueError, match="no artifact key"):
            call()
    assert not Path(store.root).exists()


def test_a_key_changes_with_everything_that_determines_the_artifact() -> None:
    keys = {
        KEY,
        artifact_key("score", {"steps": 3}, {"data": "digits"}, "code"),
        artifact_key("model", {"steps": 4}, {"data": "digits"}, "code"),
        artifact_key("model", {"steps": 3}, {"data": "faces"}, "code"),
        artifact_key("model", {"steps": 3}, {"data": "digits"}, "other code"),
        artifact_key("model", {"data": "digits"}, {"steps": "3"}, "code"),
    }
    assert len(keys) == 6
    assert all(len(key) == 64 for key in keys)
    assert artifact_key("m", {"a": 1, "b": 2}, {}, "") == artifact_key("m", {"b": 2, "a": 1}, {}, ""), (
        "order is no content"
    )


def test_a_large_file_is_on_the_disk_bit_by_bit_and_not_when_it_is_closed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_size))
    monkeypatch.setattr(store_module, "_SENT", 8 * 2**20)
    store.put(KEY, "model", {}, {"weights": np.zeros(6 * 2**20, np.float32)})
    assert len(synced) == 3 and synced == sorted(synced) and synced[0] > 8 * 2**20


def test_no_temporary_file_is_left(store: Store) -> None:
    store.put(KEY, "model", FACTS, TENSORS)
    store.save_partial(KEY, TENSORS)
    suffixes = sorted(p.suffix for p in Path(store.root).rglob("*") if p.is_file())
    assert suffixes == [".json", ".safetensors", ".safetensors"]


def test_a_uri_and_its_folder_are_the_same_store(tmp_path: Path) -> None:
    by_uri = Store((tmp_path / "store").as_uri())
    by_uri.put(KEY, "model", FACTS, TENSORS)
    by_uri.save_partial(hashlib.sha256(b"other").hexdigest(), TENSORS)
    by_folder = Store(tmp_path / "store")
    assert same(by_folder.get(KEY).tensors(), TENSORS)
    assert by_folder.load_partial(hashlib.sha256(b"other").hexdigest()) is not None
