"""Tensors as a safetensors file, written and read one at a time: neither takes more memory than the largest of them.

The safetensors library joins all of a file's bytes in memory before it writes them, and cannot write to an object store. The
format itself is a JSON header, which says where each tensor lies, and then their bytes
(https://github.com/huggingface/safetensors#format). Arrays of numpy and tensors of torch are written alike; torch, which has
bfloat16 and which not everyone who asks a store for something needs, is imported where its tensors are.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

if TYPE_CHECKING:
    import torch

CHUNK = 4 * 2**20  # bytes: each is a sign of life
DIGEST = "sha256 of all before"  # the last tensor of a file that bears its own hash
_GIVEN_BACK = 2**20  # bytes: once so many have been looked at, their pages are given back
_LONGEST_HEADER = 10**8  # bytes, as in the safetensors library
_NAMES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "uint16": "U16",
    "int16": "I16",
    "uint32": "U32",
    "int32": "I32",
    "uint64": "U64",
    "int64": "I64",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
}
_TYPES = {short: name for name, short in _NAMES.items()}
_SIZES = {short: 2 if name == "bfloat16" else np.dtype(name).itemsize for name, short in _NAMES.items()}


def file_chunks(tensors: Mapping[str, Any], signed: bool = False) -> Iterator[memoryview]:
    """The bytes of a file of these tensors, in parts of at most `CHUNK`; a `signed` one ends with a hash of all before.

    Larger elements come first, so that each is aligned to its size. ValueError for a type that the format does not have.
    """
    ordered = sorted(tensors, key=lambda name: -_SIZES[_type_of(name, tensors[name])])  # else as they are given
    header: dict[str, Any] = {}
    end = 0
    for name in ordered:
        kind, shape = _type_of(name, tensors[name]), list(tensors[name].shape)
        start, end = end, end + _SIZES[kind] * math.prod(shape)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
    if signed:
        size = hashlib.sha256().digest_size
        header[DIGEST] = {"dtype": "U8", "shape": [size], "data_offsets": [end, end + size]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    for part in _parts(len(text).to_bytes(8, "little") + text, (tensors[name] for name in ordered)):
        digest.update(part)
        yield part
    if signed:
        yield memoryview(digest.digest())


def _parts(opening: bytes, tensors: Iterator[Any]) -> Iterator[memoryview]:
    yield memoryview(opening)
    for tensor in tensors:
        data = _bytes_of(tensor)
        for start in range(0, len(data), CHUNK):
            yield data[start : start + CHUNK]


def _type_of(name: str, tensor: Any) -> str:
    kind = str(tensor.dtype).removeprefix("torch.")
    if isinstance(tensor, np.ndarray | np.generic):
        kind = tensor.dtype.name
    if kind not in _NAMES:
        raise ValueError(f"{name}: a tensor of {kind} cannot be kept; the types are {', '.join(_NAMES)}")
    return _NAMES[kind]


def _bytes_of(tensor: Any) -> memoryview:
    """A tensor's elements in row-major order: its own memory where it lies on the CPU in that order, else a copy."""
    if isinstance(tensor, np.ndarray | np.generic):
        array = np.asarray(tensor, dtype=tensor.dtype.newbyteorder("<"), order="C")
    else:
        import torch

        array = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return array.reshape(-1).view(np.uint8).data


@dataclass(frozen=True)
class _Entry:
    """Where a tensor lies in a file: bytes from `start` to `end`."""

    kind: str
    shape: tuple[int, ...]
    start: int
    end: int


class TensorFile(Mapping[str, "torch.Tensor"]):
    """The tensors of a safetensors file by name, mapped into memory: what nobody looks at takes none.

    A tensor shares the file's pages and is not to be written to. Its pages are given back once others are asked for; whoever
    still has it reads them from the file again. ValueError where the header is none.
    """

    def __init__(self, file: BinaryIO) -> None:
        """`file` may be closed afterwards: the mapping holds on to it."""
        self._map = mmap.mmap(
            file.fileno(), 0, access=mmap.ACCESS_COPY
        )  # private: what is written never gets to the file
        self._entries = _entries(self._map)
        self._entries.pop(DIGEST, None)
        self._looked_at: list[_Entry] = []

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __getitem__(self, name: str) -> torch.Tensor:
        import torch

        entry = self._entries[name]
        self._give_back()
        self._looked_at.append(entry)
        kind = getattr(torch, _TYPES[entry.kind])
        if entry.start == entry.end:
            return torch.empty(entry.shape, dtype=kind)
        count = math.prod(entry.shape)
        return torch.frombuffer(self._map, dtype=kind, count=count, offset=entry.start).reshape(entry.shape)

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape, without looking at it."""
        return self._entries[name].shape

    def arrays(self) -> dict[str, np.ndarray]:
        """All of them in memory, as arrays. ValueError where one is of a type that numpy does not have."""
        return {name: self.array(name) for name in self}

    def array(self, name: str) -> np.ndarray:
        """One of them in memory, as an array."""
        entry = self._entries[name]
        if _TYPES[entry.kind] == "bfloat16":
            raise ValueError(f"{name}: numpy has no bfloat16; read it as a tensor of torch")
        mapped = np.frombuffer(self._map, _TYPES[entry.kind], math.prod(entry.shape), entry.start)
        return mapped.reshape(entry.shape).copy()

    def _give_back(self) -> None:
        """Let go of the pages of what was looked at, where they are many: of a private mapping, the file still has them."""
        if sum(entry.end - entry.start for entry in self._looked_at) < _GIVEN_BACK:
            return
        for entry in self._looked_at:
            start = entry.start // mmap.PAGESIZE * mmap.PAGESIZE
            self._map.madvise(mmap.MADV_DONTNEED, start, entry.end - start)
        self._looked_at.clear()


def _entries(data: mmap.mmap) -> dict[str, _Entry]:
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= min(len(data) - 8, _LONGEST_HEADER):
        raise ValueError(f"no safetensors file: its header would be {length} bytes long")
    try:
        header = json.loads(data[8 : 8 + length])
        header.pop("__metadata__", None)
        entries = {
            name: _Entry(what["dtype"], tuple(what["shape"]), *(8 + length + at for at in what["data_offsets"]))
            for name, what in header.items()
        }
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"no safetensors file: its header cannot be read ({error})") from None
    end = 8 + length
    for name, entry in sorted(entries.items(), key=lambda item: item[1].start):
        size = _SIZES.get(entry.kind, -1) * math.prod(entry.shape)
        if entry.start != end or entry.end - entry.start != size or min(entry.shape, default=0) < 0:
            raise ValueError(f"no safetensors file: its header says what cannot be of {name}")
        end = entry.end
    if end != len(data):
        raise ValueError(f"no safetensors file: its header ends at byte {end}, the file at {len(data)}")
    return entries
