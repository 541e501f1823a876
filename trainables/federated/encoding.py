"""A table's columns as rows of numbers, and back: the first direction never looks at more than the schema's public values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from trainables.federated.schema import Bounded, Categorical, Column, Schema, Standardised

if TYPE_CHECKING:  # who checks a plan only asks who holds what
    import torch


def encode(schema: Schema, table: pa.Table) -> torch.Tensor:
    """(N, d) float32: numbers scaled as declared, categories as vectors with one 1.

    ValueError names row (from 1) and column of a value that is missing, out of its bounds, or none of the categories; or the
    column that the table lacks. The table's further columns are left out.
    """
    import torch

    for name in schema.names:
        if name not in table.column_names:
            raise ValueError(f"the table has no column {name!r}; it has {', '.join(map(repr, table.column_names))}")
    encoded = [_encode(column, table.column(column.name)) for column in schema.columns]
    return torch.from_numpy(np.concatenate(encoded, axis=1).astype(np.float32))


def decode(schema: Schema, rows: torch.Tensor) -> pa.Table:
    """A table of the schema's columns for rows (N, d): numbers within their bounds, of each category vector the largest."""
    if rows.ndim != 2 or rows.shape[1] != schema.width:
        raise ValueError(
            f"rows of shape {tuple(rows.shape)} are none of the schema's, which have {schema.width} numbers each"
        )
    values = rows.detach().cpu().double().numpy()
    places = schema.places
    columns = {c.name: _decode(c, values[:, places[c.name].start : places[c.name].stop]) for c in schema.columns}
    return pa.table(columns)


def _encode(column: Column, values: pa.ChunkedArray) -> np.ndarray:
    if isinstance(column, Categorical):
        if pa.types.is_nested(values.type):
            raise ValueError(f"column {column.name!r}: its values are {values.type}, and no categories")
        return _one_hot(column, values.to_pylist())
    numbers = _numbers(column, values)
    if isinstance(column, Standardised):
        return ((numbers - column.mean) / column.sd)[:, None]
    outside = np.flatnonzero((numbers < column.low) | (numbers > column.high))
    if len(outside) and not column.clip:
        raise _wrong(
            outside[0],
            column,
            f"{numbers[outside[0]]:g} lies outside {column.low:g} … {column.high:g}; widen the schema's bounds, or let it clip",
        )
    inside = numbers.clip(column.low, column.high)
    return (2 * (inside - column.low) / (column.high - column.low) - 1)[:, None]


def _numbers(column: Column, values: pa.ChunkedArray) -> np.ndarray:
    """(N,) float64, all of them finite."""
    try:
        numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False) if len(values) else np.zeros(0)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"column {column.name!r}: its values are no numbers ({error})") from None
    missing = np.flatnonzero(np.isnan(numbers))
    if len(missing):
        raise _missing(missing[0], column)
    infinite = np.flatnonzero(np.isinf(numbers))
    if len(infinite):
        raise _wrong(infinite[0], column, f"{numbers[infinite[0]]} is not finite; leave the row out or mend it")
    return numbers


def _one_hot(column: Categorical, values: list[Any]) -> np.ndarray:
    place = {category: number for number, category in enumerate(column.categories)}
    encoded = np.zeros((len(values), len(place)))
    for row, value in enumerate(values):
        if value is None or value != value:  # NaN alone differs from itself
            raise _missing(row, column)
        if value not in place:
            known = ", ".join(repr(category) for category in column.categories)
            raise _wrong(row, column, f"{value!r} is none of the schema's categories, {known}")
        encoded[row, place[value]] = 1
    return encoded


def _decode(column: Column, values: np.ndarray) -> pa.Array:
    if isinstance(column, Categorical):
        chosen = [column.categories[place] for place in values.argmax(axis=1)]
        return pa.array(chosen, pa.string() if isinstance(column.categories[0], str) else pa.int64())
    if isinstance(column, Bounded):
        numbers = column.low + (values[:, 0].clip(-1, 1) + 1) / 2 * (column.high - column.low)
        numbers = _rounded(numbers, column.decimals).clip(column.low, column.high)
    else:
        numbers = _rounded(values[:, 0] * column.sd + column.mean, column.decimals)
    return pa.array(numbers.round().astype(np.int64) if column.decimals == 0 else numbers)


def _rounded(numbers: np.ndarray, decimals: int | None) -> np.ndarray:
    return numbers if decimals is None else numbers.round(decimals)


def _missing(row: int, column: Column) -> ValueError:
    return _wrong(row, column, "the value is missing; leave the row out or fill it in")


def _wrong(row: int, column: Column, what: str) -> ValueError:
    return ValueError(f"row {row + 1}, column {column.name!r}: {what}")
