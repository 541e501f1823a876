"""Files of tensors: what safetensors itself reads and writes, a tensor at a time, of every type, and refused where damaged."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from trainables.store import Store, artifact_key
from trainables.store.tensor_file import TensorFile, file_chunks

KEY = artifact_key("model", {"steps": 3}, {}, "code")
TYPES = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.bfloat16,
         torch.float32, torch.float64)  # fmt: skip


def of_every_type() -> dict[str, torch.Tensor]:
    tensors = {str(kind): (torch.arange(-3, 4) * 11).to(kind) for kind in TYPES}
    tensors |= {"scalar": torch.tensor(7), "none": torch.empty(0, 3), "across": torch.arange(12.0).reshape(3, 4).T}
    return tensors


def written(file: Path, tensors: dict, signed: bool = False) -> TensorFile:
    file.write_bytes(b"".join(file_chunks(tensors, signed)))
    with file.open("rb") as opened:
        return TensorFile(opened)


def same(a: object, b: dict[str, torch.Tensor]) -> bool:
    assert isinstance(a, TensorFile | dict)
    return set(a) == set(b) and all(a[n].dtype == b[n].dtype and torch.equal(a[n], b[n]) for n in b)


@pytest.mark.parametrize("signed", [False, True])
def test_tensors_of_every_type_are_read_as_they_were_written_by_us_and_by_safetensors(
    tmp_path: Path, signed: bool
) -> None:
    tensors = of_every_type()
    assert same(written(tmp_path / "ours", tensors, signed), tensors)
    theirs = safetensors.torch.load_file(tmp_path / "ours")
    assert same({n: theirs[n] for n in tensors}, tensors) and len(theirs) == len(tensors) + signed


def test_what_safetensors_wrote_is_read(tmp_path: Path) -> None:
    tensors = {n: t.contiguous() for n, t in of_every_type().items()}
    safetensors.torch.save_file(tensors, tmp_path / "theirs", metadata={"format": "pt"})
    with (tmp_path / "theirs").open("rb") as file:
        assert same(TensorFile(file), tensors)


def test_arrays_are_written_as_tensors_are(tmp_path: Path) -> None:
    tensors = {n: t for n, t in of_every_type().items() if t.dtype != torch.bfloat16}
    arrays = {n: t.numpy() for n, t in tensors.items()} | {"other way round": np.arange(3, dtype=">i4")}
    file = written(tmp_path / "arrays", arrays)
    assert same(file, tensors | {"other way round": torch.arange(3, dtype=torch.int32)})
    assert all(np.array_equal(file.array(n), arrays[n]) for n in arrays)


def test_numpy_is_told_that_it_has_no_bfloat16(tmp_path: Path) -> None:
    store = Store(tmp_path)
    artifact = store.put(KEY, "model", {}, {"w": torch.ones(3, dtype=torch.bfloat16)})
    assert torch.equal(artifact.mapped()["w"], torch.ones(3, dtype=torch.bfloat16))
    with pytest.raises(ValueError, match="w: numpy has no bfloat16"):
        artifact.tensors()


def test_a_type_that_the_format_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"z: a tensor of complex64 cannot be kept"):
        list(file_chunks({"z": torch.zeros(2, dtype=torch.complex64)}))


def test_what_is_written_to_a_mapped_tensor_never_gets_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    mapped = written(file, {"a": torch.ones(10)})
    before = file.read_bytes()
    mapped["a"].zero_()
    assert file.read_bytes() == before


def test_a_tensor_is_there_after_its_pages_were_given_back_and_its_file_is_gone(tmp_path: Path) -> None:
    big = {name: torch.randn(2**20) for name in "ab"}  # larger than what is worth giving back
    mapped = written(tmp_path / "file", big)
    (tmp_path / "file").unlink()
    a = mapped["a"]
    assert torch.equal(mapped["b"], big["b"]) and torch.equal(a, big["a"])


def header_of(entries: object, data: bytes = b"\0" * 8) -> bytes:
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text + data


WRONG = {
    "not so long": (2**40).to_bytes(8, "little") + b"{}",
    "no JSON": (4).to_bytes(8, "little") + b"{{{{",
    "no object": header_of([1]),
    "no entry": header_of({"w": 3}),
    "unknown type": header_of({"w": {"dtype": "F8", "shape": [8], "data_offsets": [0, 8]}}),
    "beyond the end": header_of({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}),
    "before the start": header_of({"w": {"dtype": "F32", "shape": [4], "data_offsets": [-8, 8]}}),
    "another size": header_of({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}}),
    "negative": header_of({"w": {"dtype": "F32", "shape": [-1, -2], "data_offsets": [0, 8]}}),
    "a hole": header_of({"w": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_header_that_cannot_be_is_refused(tmp_path: Path, what: str) -> None:
    (tmp_path / "file").write_bytes(WRONG[what])
    with (tmp_path / "file").open("rb") as file, pytest.raises(ValueError, match="no safetensors file: its header"):
        TensorFile(file)


def test_tensors_are_written_without_a_copy_of_all_of_them() -> None:
    """One part at a time, of a tensor's own memory."""
    weights = torch.zeros(3 * 2**22)
    parts = file_chunks({"w": weights})
    next(parts)
    for part in parts:
        assert len(part) <= 4 * 2**20
        at = torch.frombuffer(part, dtype=torch.uint8).data_ptr() - weights.data_ptr()
        assert 0 <= at < weights.nbytes, "it is the tensor's own memory"


MEGABYTES = 256
PEAK = """
import resource, sys, torch
from trainables.store import Store
from trainables.fine_tuning import FineTuning  # what a trial imports anyway
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024
store, key = Store(sys.argv[1]), sys.argv[2]
what = {name: torch.ones(2**20 // 4) for name in "a"}
before = peak()
{body}
print(peak() - before)
"""


def peak_of(store: Store, body: str) -> float:
    """Mebibytes by which a process of its own grows at most."""
    code = PEAK.replace("{body}", body)
    done = subprocess.run([sys.executable, "-c", code, store.root, KEY], capture_output=True, text=True, check=True)
    return float(done.stdout)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with a model of `MEGABYTES` in 16 tensors."""
    store = Store(tmp_path_factory.mktemp("large"))
    tensors = {str(i): torch.full((MEGABYTES * 2**20 // 64,), float(i)) for i in range(16)}
    store.put(KEY, "model", {}, tensors)
    store.save_partial(KEY, tensors)
    return store


READ = "kept = {name: tensor.clone() for name, tensor in %s.items()}"


@pytest.mark.parametrize("of", ["store.get(key).mapped()", "store.mapped_partial(key)"])
def test_a_large_model_is_read_within_a_fifth_more_memory_than_it_takes(large: Store, of: str) -> None:
    assert MEGABYTES <= peak_of(large, READ % of) <= 1.2 * MEGABYTES


def test_a_large_model_is_verified_and_looked_at_in_hardly_any_memory(large: Store) -> None:
    looked = "assert store.whole(key) and sum(float(t[0]) for t in store.get(key).mapped().values()) == 120"
    assert peak_of(large, looked) < 0.2 * MEGABYTES


def test_a_large_model_is_written_in_hardly_more_memory_than_it_has(large: Store) -> None:
    body = f"""
model = {{str(i): torch.ones({MEGABYTES} * 2**20 // 64) for i in range(16)}}
before = peak()
store.save_partial(key, model)
store.put(key[::-1], "model", {{}}, model)
"""
    assert peak_of(large, body) < 0.2 * MEGABYTES


def test_a_file_is_hashed_once_a_process_as_long_as_it_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import time

    store = Store(tmp_path)
    store.put(KEY, "model", {}, {"w": torch.ones(1000)})
    (file,) = tmp_path.rglob(f"{KEY}.safetensors")
    long_ago = time.time() - 60
    os.utime(file, (long_ago, long_ago))
    read: list[int] = []

    class Counted(io.FileIO):
        def read(self, size: int = -1) -> bytes:
            read.append(size)
            return super().read(size) or b""

    monkeypatch.setattr("builtins.open", lambda path, mode="r": Counted(path, mode))
    assert store.whole(KEY) is not None
    once = len(read)
    assert once > 0 and store.whole(KEY) is not None and len(read) == once
    monkeypatch.undo()
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert store.whole(KEY) is None, "another time of change: it is read again"
