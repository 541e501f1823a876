"""Real columns in, real columns out: schemas, encoding, files; what is missing or wrong is named by row and column."""

from __future__ import annotations

import json
import math
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from trainables.federated.encoding import decode, encode
from trainables.federated.schema import Bounded, Categorical, Schema, Standardised
from trainables.federated.table_files import read, write

SCHEMA = Schema(
    (
        Bounded("age", 0, 100, decimals=0),
        Categorical("job", ("clerk", "none", "?")),
        Standardised("pay", 10, 2, decimals=2),
        Categorical("score", (3, 4, 5)),
        Bounded("share", 0, 1),
    )
)
TABLE = pa.table(
    {
        "age": [0, 25, 100, 51],
        "job": ["clerk", "?", "none", "clerk"],
        "pay": [10.0, 12.5, 7.25, 8.0],
        "score": [3, 5, 4, 3],
        "share": [0.0, 0.125, 1.0, 0.3],
    }
)
CSV = "job,age,share,score,pay,more\nclerk,0,0,3,10,x\n?,25,0.125,5,12.5,x\nnone,100,1,4,7.25,x\nclerk,51,0.3,3,8,x\n"


def test_columns_come_back_as_they_were() -> None:
    rows = encode(SCHEMA, TABLE)
    assert rows.shape == (4, 9) and rows.dtype == torch.float32
    back = decode(SCHEMA, rows)
    assert back.schema.names == TABLE.schema.names and back.schema.types == TABLE.schema.types
    for name in ("age", "job", "pay", "score"):
        assert back.column(name).to_pylist() == TABLE.column(name).to_pylist()
    np.testing.assert_allclose(back.column("share").to_numpy(), TABLE.column("share").to_numpy(), atol=1e-6)


def test_numbers_are_scaled_by_the_schema_alone() -> None:
    rows = encode(SCHEMA, TABLE)
    assert rows[:, 0].tolist() == pytest.approx([-1, -0.5, 1, 0.02])
    assert rows[:, 1:4].tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert rows[:, 4].tolist() == pytest.approx([0, 1.25, -1.375, -1])
    one = encode(SCHEMA, TABLE.slice(2, 1))
    assert torch.equal(one[0], rows[2]), "a row is encoded alike whatever the others are"


def test_what_a_generator_makes_becomes_values_of_the_schema() -> None:
    made = torch.tensor([[1.5, 0.2, 0.5, 0.3, 0.0, 0.9, 0.1, 0.0, -3.0]])
    (row,) = decode(SCHEMA, made).to_pylist()
    assert row == {"age": 100, "job": "none", "pay": 10.0, "score": 3, "share": 0.0}
    with pytest.raises(ValueError, match=r"rows of shape \(2, 3\) are none of the schema's, which have 9 numbers"):
        decode(SCHEMA, torch.zeros(2, 3))


def changed(name: str, values: list[object]) -> pa.Table:
    return TABLE.set_column(TABLE.schema.names.index(name), name, pa.array(values))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (changed("age", [1, None, 2, 3]), "row 2, column 'age': the value is missing; leave the row out or fill it in"),
        (changed("pay", [1.0, 2.0, math.nan, 3.0]), "row 3, column 'pay': the value is missing"),
        (changed("pay", [1.0, 2.0, 3.0, math.inf]), "row 4, column 'pay': inf is not finite"),
        (changed("job", ["clerk", "none", None, "?"]), "row 3, column 'job': the value is missing"),
        (
            changed("job", ["clerk", "nobody", "none", "?"]),
            "row 2, column 'job': 'nobody' is none of the schema's categories",
        ),
        (changed("score", [3, 4, 5, 9]), "row 4, column 'score': 9 is none of the schema's categories, 3, 4, 5"),
        (changed("age", [0, 25, 101, 51]), "row 3, column 'age': 101 lies outside 0 … 100; widen the schema's bounds"),
        (changed("share", [0.0, 0.5, 1.0, -0.25]), "row 4, column 'share': -0.25 lies outside 0 … 1"),
        (changed("pay", ["a", "b", "c", "d"]), "column 'pay': its values are no numbers"),
        (changed("pay", [date(2026, 1, day) for day in (1, 2, 3, 4)]), "column 'pay': its values are no numbers"),
        (changed("pay", [datetime(2026, 1, day) for day in (1, 2, 3, 4)]), "column 'pay': its values are no numbers"),
        (changed("job", [["clerk"], ["none"], [], []]), "column 'job': its values are list<.*>, and no categories"),
        (TABLE.drop_columns(["pay"]), "the table has no column 'pay'; it has 'age', 'job', 'score', 'share'"),
    ],
)
def test_what_cannot_be_encoded_is_named_by_row_and_column_in_one_line(table: pa.Table, said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        encode(SCHEMA, table)
    assert "\n" not in str(error.value)


def test_a_column_may_clip_instead() -> None:
    schema = Schema((Bounded("age", 0, 100, clip=True),))
    assert encode(schema, pa.table({"age": [-5.0, 300.0]})).tolist() == [[-1], [1]]


def test_a_schema_travels_as_json() -> None:
    assert Schema.from_json(json.loads(json.dumps(SCHEMA.to_json()))) == SCHEMA


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ({"kind": "bounded", "low": 0, "high": 1}, "column 1 of the schema has no name"),
        ({"name": "a", "kind": "number"}, "column 'a': kind 'number' is none of bounded, standardised, categorical"),
        (
            {"name": "a", "kind": "bounded", "low": 0},
            "column 'a': .*bounded missing 1 required positional argument: 'high'",
        ),
        (
            {"name": "a", "kind": "bounded", "low": 0, "high": 1, "top": 2},
            "column 'a': .*unexpected keyword argument 'top'",
        ),
        (
            {"name": "a", "kind": "bounded", "low": 2, "high": 1},
            "column 'a': low 2 and high 1; give finite numbers, low < high",
        ),
        (
            {"name": "a", "kind": "bounded", "low": 0, "high": 1, "decimals": -1},
            "column 'a': decimals -1; give a whole number",
        ),
        (
            {"name": "a", "kind": "standardised", "mean": 0, "sd": 0},
            "column 'a': mean 0 and sd 0; give finite numbers, sd > 0",
        ),
        (
            {"name": "a", "kind": "categorical", "categories": ["x"]},
            r"column 'a': categories \['x'\]; give two or more",
        ),
        ({"name": "a", "kind": "categorical", "categories": ["x", 1]}, "all texts or all whole numbers"),
    ],
)
def test_a_schema_that_is_none_is_refused_in_a_line(column: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Schema.from_json({"columns": [column]})


def test_a_schema_needs_columns_of_different_names() -> None:
    with pytest.raises(ValueError, match="declares column 'a' twice"):
        Schema((Bounded("a", 0, 1), Bounded("a", 0, 1)))
    with pytest.raises(ValueError, match="no column; declare one"):
        Schema(())
    with pytest.raises(ValueError, match="a schema is"):
        Schema.from_json({"columns": "age"})


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_file_is_read_by_the_schema_whatever_its_delimiter_and_order(tmp_path: Path, delimiter: str) -> None:
    file = tmp_path / "people.csv"
    file.write_text(CSV.replace(",", delimiter))
    assert torch.equal(encode(SCHEMA, read(file, SCHEMA)), encode(SCHEMA, TABLE))


def test_quoted_names_as_in_uci_files_are_read(tmp_path: Path) -> None:
    file = tmp_path / "wine.csv"
    file.write_text('"fixed acidity";"quality"\n7.4;5\n7.8;6\n')
    schema = Schema((Bounded("fixed acidity", 0, 20), Categorical("quality", tuple(range(11)))))
    assert decode(schema, encode(schema, read(file, schema))).column("quality").to_pylist() == [5, 6]


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_synthetic_columns_are_written_and_read_again(tmp_path: Path, name: str) -> None:
    made = decode(SCHEMA, torch.rand(20, 9) * 2 - 1)
    write(tmp_path / name, made)
    again = read(tmp_path / name, SCHEMA)
    assert again.schema.names == SCHEMA.names
    torch.testing.assert_close(encode(SCHEMA, again), encode(SCHEMA, made))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CSV.replace(",25,", ",,"), "row 2, column 'age': the value is missing"),
        (CSV.replace(",25,", ",NA,"), "row 2, column 'age': the value is missing"),
        (CSV.replace("none,", ","), "row 3, column 'job': the value is missing"),
        (CSV.replace("12.5", "much"), "people.csv: row 2, column 'pay': 'much' is no number"),
        (CSV.replace(",5,", ",5.5,"), "people.csv: row 2, column 'score': '5.5' is no whole number"),
        (CSV.replace("pay", "wage"), "people.csv: no column 'pay'; it has 'job', 'age'"),
        (
            CSV.replace("none,100", "none,100,7"),
            "people.csv: it cannot be read as a table: .*Expected 6 columns, got 7",
        ),
        ("", "people.csv: it cannot be read as a table: Empty CSV file"),
    ],
)
def test_a_wrong_file_is_refused_in_a_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "people.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=said) as error:
        encode(SCHEMA, read(file, SCHEMA))
    assert "\n" not in str(error.value)


def test_a_question_mark_is_a_category_where_the_schema_has_it_and_missing_where_not(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("job\nclerk\n?\n")
    has = Schema((Categorical("job", ("clerk", "?")),))
    assert encode(has, read(file, has)).tolist() == [[1, 0], [0, 1]]
    lacks = Schema((Categorical("job", ("clerk", "none")),))
    with pytest.raises(ValueError, match="row 2, column 'job': the value is missing"):
        encode(lacks, read(file, lacks))


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a table is a \.csv or a \.parquet file"):
        read(tmp_path / "people.xls", SCHEMA)
    with pytest.raises(ValueError, match=r"written as \.csv or \.parquet"):
        write(tmp_path / "people.xls", TABLE)
    with pytest.raises(ValueError, match=r"absent\.csv: it cannot be read as a table"):
        read(tmp_path / "absent.csv", SCHEMA)
