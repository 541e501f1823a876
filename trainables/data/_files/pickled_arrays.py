"""Pickles of which nothing but arrays of whole numbers and plain values is believed: what a pickle names, it may run.

None of NumPy's own functions is called with what a pickle says: an array is kept as its shape, type and bytes, and made of
these by `PickledArray.array`, which checks them.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np

_WHOLE_NUMBERS = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8")
_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")  # before and since NumPy 2
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")


class Refused(Exception):
    """A pickle names something that a batch of images has no need of."""


@dataclass
class PickledType:
    """A type of whole numbers; its state says in which order their bytes are."""

    kind: str
    order: str = "="

    def __setstate__(self, state: tuple) -> None:
        order = state[1].decode() if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "=", "|"):
            raise Refused(f"holds numbers in the order of bytes {order!r}; it is not loaded")
        self.order = order

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.order.replace("|", "=") + self.kind)


@dataclass
class PickledArray:
    """An array as a pickle holds it."""

    shape: tuple[int, ...] = ()
    type: PickledType | None = None
    content: bytes = b""
    columns_first: bool = False
    axes: tuple[int, ...] | None = None  # in which order `shape` has the array's, if another than its own

    def __setstate__(self, state: tuple) -> None:
        _, self.shape, self.type, self.columns_first, self.content = state

    def array(self) -> np.ndarray:
        """The array; Refused where what it holds is not bytes of a type of whole numbers, ValueError where they don't fit."""
        if not isinstance(self.type, PickledType) or not isinstance(self.content, bytes | bytearray):
            raise Refused("holds an array that is not of whole numbers; it is not loaded")
        flat = np.frombuffer(bytes(self.content), self.type.dtype)
        array = flat.reshape(self.shape, order="F" if self.columns_first else "C")
        return array if self.axes is None else array.transpose(self.axes)


class OnlyArrays(pickle.Unpickler):
    """Unpickles NumPy arrays, as `PickledArray`, and plain values. Arrays of Python objects are refused with all else."""

    def find_class(self, module: str, name: str) -> Any:
        if module in _MULTIARRAY and name == "_reconstruct":
            return _empty
        if module in _MULTIARRAY and name == "scalar":
            return _number
        if module in _NUMERIC and name == "_frombuffer":  # protocol 5
            return _of_buffer
        if (module, name) == ("numpy", "ndarray"):
            return PickledArray
        if (module, name) == ("numpy", "dtype"):
            return _whole_numbers
        if (module, name) == ("_codecs", "encode"):
            return _latin_bytes  # how Python 3 writes bytes in the protocols of Python 2
        raise Refused(f"names {module}.{name}, which a batch of images has no need of; it is not loaded")


def _empty(kind: Any, shape: Any, code: Any) -> PickledArray:
    return PickledArray()  # the pickle goes on to set its state


def _of_buffer(content: Any, kind: Any, shape: Any, order: Any, axes: Any = None) -> PickledArray:
    return PickledArray(shape, kind, bytes(content), order == "F", axes if order == "K" else None)


def _number(kind: Any, content: Any) -> int:
    return int(PickledArray((), kind, content).array())


def _whole_numbers(kind: Any, *rest: Any) -> PickledType:
    name = kind.decode() if isinstance(kind, bytes) else kind
    if name not in _WHOLE_NUMBERS:
        raise Refused(f"holds an array of {name!r}, not of bytes; it is not loaded")
    return PickledType(name)


def _latin_bytes(text: str, encoding: str) -> bytes:
    return text.encode("latin1")
