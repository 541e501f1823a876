"""Figures in words: as many digits as their intervals let stand, no needless exponent; what their samples and hashes are of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from recorded_run import space, write_run

from sweep.page.contents import _facts
from sweep.reading.comparable import conditions, holders
from sweep.reading.spending import preparing_times
from sweep.reading.sweep import read_sweep
from sweep.reading.words import brief, definitions, fresh_seeds, interval, number
from sweep.records import PRUNED, Writer, read, schemas
from sweep.statistics.estimates import Estimate


@pytest.mark.parametrize(
    ("mean", "lower", "upper", "told"),
    [
        (0.9123, 0.8802, 0.9444, "0.912 [0.880, 0.944]"),
        (0.6421, -45.1, 46.3, "1 [-45, 46]"),
        (0.00123, 0.00101, 0.00145, "0.00123 [0.00101, 0.00145]"),
        (3676.4, -5076.0, 12428.0, "3676 [-5076, 12428]"),
        (-0.2, -40.0, 39.6, "0 [-40, 40]"),
        (0.79, 0.74, 0.84, "0.79 [0.74, 0.84]"),
        (1.0, 1.0, 1.0, "1.000 [1.000, 1.000]"),
        (0.3, 0.3, 0.1 + 0.2, "0.300 [0.300, 0.300]"),
    ],
)
def test_a_mean_has_the_digits_that_its_interval_lets_stand(mean: float, lower: float, upper: float, told: str) -> None:
    assert interval(Estimate(mean, lower, upper, 3)) == told


def test_a_number_has_no_needless_exponent_and_a_small_one_no_needless_zeros() -> None:
    assert (brief(5000.0), brief(4.1), brief(0.0007, 4), brief(123456.0, 4)) == ("5000", "4.1", "0.0007", "123456")
    assert (number(None), number(0.0021), number(0.5), number(12.34), number(4321.5)) == (
        "—",
        "0.0021",
        "0.500",
        "12.3",
        "4322",
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", artifacts=False)


def test_a_question_goes_by_its_own_name_wherever_its_file_lies(run: Path) -> None:
    plan = json.loads((run / "plan.json").read_text())
    (run / "plan.json").write_text(json.dumps(plan | {"space": "/somewhere/else/question.py"}))
    assert read_sweep(run).space_name == "recorded"


def test_a_trial_that_was_stopped_at_its_first_samples_does_not_say_what_n_is(run: Path) -> None:
    before = definitions(read_sweep(run))["N"]
    (row,) = (r for r in read(run, "replicates").to_pylist() if r["trial_id"] == "dimum-0004")
    assert row["state"] == PRUNED
    Writer(run, schemas(space())).replicate(row | {"samples_forgotten": 32, "samples_per_retained": 0}, [], [])
    sweep = read_sweep(run)
    assert definitions(sweep)["N"] == before and "32" not in before
    assert conditions(sweep)["samples_forgotten"] == ["100"]


def test_of_several_hashes_each_says_whose_it_is(run: Path) -> None:
    writer = Writer(run, schemas(space()))
    for row in read(run, "replicates").to_pylist():
        code = {"dimum": "0123456789abcdef", "label_swap": "fedcba9876543210"}.get(row["arm"], "0" * 16)
        writer.replicate(row | {"code_version": code, "samples_forgotten": 200 if row["replicate"] else 100}, [], [])
    sweep = read_sweep(run)
    assert holders(sweep, "code_version") == {
        "0" * 16: "controls", "0123456789abcdef": "dimum", "fedcba9876543210": "label_swap"
    }  # fmt: skip
    assert holders(sweep, "samples_forgotten") == {"100": "search", "200": "confirm"}
    assert holders(sweep, "sampler") == {"ddim-20": ""}
    facts = {name: (values, about) for name, values, about in _facts(sweep)}
    assert facts["samples forgotten"] == ("100 (search), 200 (confirm)", "N of the forgotten condition")
    assert facts["reference"] == ("cd" * 32, "artifact key of the reference statistics")


def test_seconds_of_processor_time_are_not_told_as_elapsed_ones(run: Path) -> None:
    prepared = json.loads((run / "prepared.json").read_text())
    seconds = {"prepare": 93.2, "classifier core": 8.7, "base": 80.0, "base core": 14.6}
    (run / "prepared.json").write_text(json.dumps(prepared | {"seconds": seconds}))
    assert preparing_times(read_sweep(run)) == [
        {"kind": "prepare", "wall": 93.2, "core": None},
        {"kind": "classifier", "wall": None, "core": 8.7},
        {"kind": "base", "wall": 80.0, "core": 14.6},
    ]


def test_one_seed_is_no_seeds() -> None:
    assert [fresh_seeds(n) for n in (1, 3)] == ["1 fresh seed", "3 fresh seeds"]
