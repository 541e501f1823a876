"""The recorded tables: compacted, replaced, damaged, of older versions, read by several libraries, asked in SQL, exported."""

from __future__ import annotations

import csv
import errno
import json
import logging
import os
import shutil
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import recorded_run

from sweep import compact, pareto, query, records
from sweep.errors import UsageError
from sweep.page import contents
from sweep.reading.sweep import read_sweep
from sweep.reading.texts import render
from sweep.records import files as parts
from sweep.records import folder as records_folder
from sweep.records import migrations
from sweep.records.damage import damaged_files
from sweep.records.folder import only_driver
from sweep.results import load

TABLES = records.TABLES


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded_run.write_run(tmp_path_factory.mktemp("tables") / "RUN", artifacts=False)


@pytest.fixture
def run(written: Path, tmp_path: Path) -> Path:
    """A run as its driver leaves it in mid-sweep: a small file a trial and replicate."""
    return Path(shutil.copytree(written, tmp_path / "RUN"))


@pytest.fixture(scope="module")
def finished(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run compacted."""
    copy = Path(shutil.copytree(written, tmp_path_factory.mktemp("finished") / "RUN"))
    assert compact.main([str(copy)]) == 0
    return copy


def in_order(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(row, default=lambda time: time.timestamp(), sort_keys=True) for row in rows)


def only_part(run: Path, table: str) -> bool:
    (name,) = os.listdir(run / "records" / table)
    return parts.PART.fullmatch(name) is not None


# ---- compaction ----


def test_compaction_leaves_one_file_a_table_and_changes_no_row_and_no_front(written: Path, finished: Path) -> None:
    for table in TABLES:
        assert only_part(finished, table)
        before, after = records.read(written, table), records.read(finished, table)
        assert after.schema.equals(before.schema, check_metadata=True)
        assert in_order(after.to_pylist()) == in_order(before.to_pylist())
    told = [render(read_sweep(run), "json").replace(f'"{run}"', '"RUN"') for run in (written, finished)]
    assert told[0] == told[1]
    assert sorted(os.listdir(finished / "records")) == sorted(TABLES), "nothing is left beside the tables"


def test_one_trials_rows_are_found_by_name_wherever_they_lie(
    written: Path, finished: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for table, name in (("trials", "dimum-0001"), ("curves", "dimum-0001-r2"), ("stages", "control-retrain-r0")):
        assert records.rows(finished, table, name) == records.rows(written, table, name) != []
        assert records.rows(finished, table, "dimum-9999-r0") == []
    wanted = records.read(finished, "curves", columns=("trial_id", "value"), trials=["dimum-0001"])
    assert wanted.column_names == ["trial_id", "value"] and set(wanted["trial_id"].to_pylist()) == {"dimum-0001"}
    assert wanted.num_rows == records.read(written, "curves", trials=["dimum-0001"]).num_rows
    assert records.read(written, "curves", trials=["dimum-9999"]).num_rows == 0
    for run in (finished, written):
        assert records.read(run, "curves", trials=[]).num_rows == 0 and not caplog.records, "no trial is no damage"


def test_a_row_written_after_compaction_takes_the_old_ones_place_for_every_reader(
    finished: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "RUN"))
    writer = records.Writer(run, records.schemas(recorded_run.space()))
    (row,) = records.rows(run, "trials", "dimum-0005")
    writer.trial(row | {"state": records.COMPLETE, "robustness": 0.5})
    writer.trial(row | {"state": records.COMPLETE, "robustness": 0.625})
    writer.trial(row | {"trial_id": "dimum-0007", "number": 7})
    assert [r["robustness"] for r in records.rows(run, "trials", "dimum-0005")] == [0.625]
    for _ in range(2):
        trials = duckdb.sql(f"SELECT * FROM '{run}/records/trials/*.parquet'").to_arrow_table().to_pylist()
        for rows in (trials, records.rows(run, "trials")):
            assert Counter(r["trial_id"] for r in rows) == Counter(
                [*recorded_run.TRIALS, *recorded_run.CONTROLS, "dimum-0007"]
            )
            assert {r["robustness"] for r in rows if r["trial_id"] == "dimum-0005"} == {0.625}
        records_folder.compact(run)  # and the same after it is compacted again
    assert only_part(run, "trials")


@pytest.mark.parametrize("columns", [None, ["arm"], ["trial_id", "arm"]], ids=str)
def test_a_run_copied_over_a_finished_copy_of_it_has_every_row_once_and_says_so(
    columns: list[str] | None, written: Path, finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As by `kubectl cp`, which takes nothing away."""
    both = Path(shutil.copytree(finished, tmp_path / "RUN"))
    for table in ("trials", "replicates"):
        caplog.clear()
        once = parts.read_table(written / "records" / table, columns)
        assert not caplog.messages
        shutil.copytree(written / "records" / table, both / "records" / table, dirs_exist_ok=True)
        (small, *_) = sorted((both / "records" / table).glob("[!p]*.parquet"))
        rows = parts.read_table(both / "records" / table, columns)
        assert rows.column_names == once.column_names and in_order(rows.to_pylist()) == in_order(once.to_pylist())
        (said,) = caplog.messages
        assert f"has rows of {small.stem}" in said and "a file beside it" in said
    caplog.clear()
    assert compact.main([str(both)]) == 0
    assert in_order(records.rows(both, "trials")) == in_order(records.rows(finished, "trials"))


def test_of_a_row_that_lies_twice_the_one_in_a_file_of_its_own_is_read(
    written: Path, finished: Path, tmp_path: Path
) -> None:
    both = Path(shutil.copytree(finished, tmp_path / "RUN"))
    source = min((written / "records" / "trials").glob("*.parquet"))
    table = pq.read_table(source)
    later = pa.array(["later"], pa.string()).cast(table.schema.field("cause").type)
    newer = table.set_column(table.column_names.index("cause"), table.schema.field("cause"), later)
    pq.write_table(newer, both / "records" / "trials" / source.name)
    rows = {row["trial_id"]: row for row in records.rows(both, "trials")}
    assert len(rows) == len(records.rows(both, "trials")) and rows[source.stem]["cause"] == "later"


def test_whoever_reads_while_it_is_compacted_and_taken_apart_sees_every_row_once(run: Path) -> None:
    """Two threads read without a pause while another exchanges the folder twenty times."""
    folder, expected = run / "records" / "curves", records.read(run, "curves").num_rows
    stop, seen, wrong = threading.Event(), Counter[str](), []

    def read(kind: str) -> None:
        while not stop.is_set():
            if kind == "ours":
                found = records.read(run, "curves", columns=["trial_id"]).num_rows
            else:
                files = list(folder.glob("*.parquet"))
                try:
                    found = sum(pq.read_metadata(f).num_rows for f in files)
                except FileNotFoundError:
                    continue  # told that a file is gone, it asks again; it never counts twice
                if not files:
                    continue  # as all three say of an empty folder
            seen[kind] += 1
            if found != expected:
                wrong.append((kind, found))

    readers = [threading.Thread(target=read, args=(kind,)) for kind in ("ours", "an outsider's")]
    for reader in readers:
        reader.start()
    try:
        name = "dimum-0001-r1"
        rows = parts.read_name(folder, name)
        assert rows is not None
        for _ in range(10):
            parts.compact(folder)
            parts.write(folder, name, rows)
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert not wrong and min(seen.values()) >= 1 and len(seen) == 2


@pytest.mark.parametrize("moment", ["while it is written", "before the exchange", "between two renames", "after it"])
def test_a_crash_in_the_midst_of_compaction_loses_and_doubles_nothing(
    run: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    folder, before = run / "records" / "trials", in_order(records.rows(run, "trials"))

    def crash(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    def half(new: Path, old: Path) -> None:
        os.rename(old, parts._beside(old, "old"))
        raise KeyboardInterrupt

    name, what = {
        "while it is written": ("_sync", crash),
        "before the exchange": ("_exchange", crash),
        "between two renames": ("_exchange", half),
        "after it": ("_sweep", crash),
    }[moment]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(parts, name, what)
        parts.compact(folder)
    assert in_order(records.rows(run, "trials")) == before, "a reader needs nobody to tidy up first"
    records.Writer(run, records.schemas(recorded_run.space()))
    assert in_order(records.rows(run, "trials")) == before
    assert parts.compact(folder) in (0, len(before)) and only_part(run, "trials")
    assert in_order(records.rows(run, "trials")) == before
    assert sorted(os.listdir(run / "records")) == sorted(TABLES)


def test_where_folders_cannot_be_exchanged_two_renames_do(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = in_order(records.rows(run, "stages"))
    monkeypatch.setattr(parts.sys, "platform", "another")
    records_folder.compact(run)
    assert in_order(records.rows(run, "stages")) == before
    assert sorted(os.listdir(run / "records")) == sorted(TABLES)


def test_a_run_that_is_being_driven_is_not_compacted(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with only_driver(run):
        assert compact.main([str(run)]) == 2
    assert capsys.readouterr().err == f"error: {run}: another driver is running this sweep\n"
    assert compact.main([str(run / "nowhere")]) == 2


# ---- damage ----


def test_a_file_that_cannot_be_read_just_now_is_no_damage(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many open files, a stale handle of a shared folder: what lies there is whole, and is not moved away."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    assert damaged_files(run) == []
    with monkeypatch.context() as patched:
        patched.setattr(parts.pq, "ParquetFile", full)
        with pytest.raises(UsageError, match="cannot be read now"):
            damaged_files(run)
        with pytest.raises(UsageError, match="cannot be read now"):
            records.rows(run, "trials")
    monkeypatch.setattr(Path, "read_bytes", full)
    with pytest.raises(UsageError, match="json: cannot be read now"):
        damaged_files(run)


def test_a_file_cut_off_anywhere_is_named_in_one_line_and_costs_no_other_its_rows(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = run / "records" / "trials" / "dimum-0001.parquet"
    whole, rest = file.read_bytes(), {r["trial_id"] for r in records.rows(run, "trials")} - {"dimum-0001"}
    for length in range(0, len(whole), len(whole) // 12):  # what a cut at any byte does, the next test asks
        file.write_bytes(whole[:length])
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert {r["trial_id"] for r in records.rows(run, "trials")} == rest
        assert [r.getMessage().startswith(f"{file}: damaged") for r in caplog.records] == [True], length
        assert "\n" not in caplog.text.strip()
    assert {m.trial_id for m in read_sweep(run).members} == rest - set(recorded_run.CONTROLS)
    assert records.rows(run, "trials", "dimum-0001") == []
    records_folder.compact(run)
    assert file.read_bytes() == whole[:length], "it is kept for whoever can mend it"
    assert {r["trial_id"] for r in records.rows(run, "trials")} == rest


@pytest.mark.parametrize("table", TABLES)
def test_at_every_byte_of_a_file_a_cut_is_found_and_no_reader_fails_or_loses_another_files_row(
    run: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], table: str
) -> None:
    """Every reader of ours opens files by one function, which is asked at every byte, and the readers themselves at four cuts."""
    name = "dimum-0001" if table == "trials" else "dimum-0001-r1"
    file = run / "records" / table / f"{name}.parquet"
    whole, before = file.read_bytes(), {t: records.rows(run, t) for t in TABLES}
    rest = {t: [r for r in rows if t != table or not _of(r, name)] for t, rows in before.items()}
    assert 0 < len(rest[table]) < len(before[table])
    logging.getLogger("sweep.records.files").disabled = True  # it is told of each of them, which another test counts
    try:
        for length in range(len(whole) - 1, -1, -1):
            os.truncate(file, length)
            assert parts._read_file(file, table) is None, length
    finally:
        logging.getLogger("sweep.records.files").disabled = False
    for length in (0, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        file.write_bytes(whole[:length])
        for each in TABLES:
            assert in_order(load(run).table(each).to_pylist()) == in_order(rest[each]), (length, each)
        for form in ("text", "csv", "json"):
            assert pareto.main([str(run), "--format", form]) == 0
        told = csv.DictReader(("run," + capsys.readouterr().out.partition("run,")[2]).splitlines())
        assert {r["trial_id"] for r in told if r["run"] == str(run)} == {r["trial_id"] for r in rest["trials"]}
        assert query.main([str(run), f"SELECT count(*) AS n FROM {table}", "--format", "json"]) == 0
        assert json.loads(capsys.readouterr().out) == [{"n": len(rest[table])}]
        assert query.main([str(run), "--export", str(run / "tables")]) == 0
        capsys.readouterr()
    contents.write([run], run / "page.html")
    page = (run / "page.html").read_text()
    assert all(t in page for t in recorded_run.TRIALS if table != "trials" or t != name)
    file.write_bytes(whole)
    assert {t: records.rows(run, t) for t in TABLES} == before


def _of(row: dict[str, Any], name: str) -> bool:
    return name in (row["trial_id"], f"{row['trial_id']}-r{row.get('replicate')}")


@pytest.mark.parametrize("table", TABLES)
def test_a_part_cut_off_at_any_byte_is_told_and_costs_the_files_beside_it_no_row(
    finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, table: str
) -> None:
    """Every byte near the ends, where a Parquet file says what it is, and 200 drawn from all between; as a full disk or a
    power cut leaves it: short, or its length kept and its end zeros."""
    folder = Path(shutil.copytree(finished / "records" / table, tmp_path / table))
    (part,) = folder.iterdir()
    whole = part.read_bytes()
    beside = pq.read_table(part).slice(0, 3)
    pq.write_table(beside, folder / "beside.parquet")
    drawn = np.random.default_rng(0).integers(0, len(whole), 200).tolist()
    for length in {*range(12), *range(len(whole) - 24, len(whole)), *drawn}:
        for left in (whole[:length], whole[:length].ljust(len(whole), b"\0")):
            if left == whole:
                continue
            part.write_bytes(left)
            caplog.clear()
            with caplog.at_level(logging.WARNING):
                assert parts.read_table(folder).to_pylist() == beside.to_pylist(), length
            assert [r.getMessage().startswith(f"{part}: damaged") for r in caplog.records] == [True], length
    part.write_bytes(whole)
    assert parts.read_table(folder).num_rows == pq.read_metadata(part).num_rows + 3


@pytest.mark.parametrize("name", ["plan.json", "prepared.json", "status.json"])
def test_a_json_file_of_a_run_that_is_cut_off_is_one_line(
    run: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    file = run / name
    whole = file.read_text().rstrip()
    for length in range(0, len(whole), max(1, len(whole) // 20)):
        file.write_text(whole[:length])
        assert pareto.main([str(run)]) == 2
        told = capsys.readouterr()
        assert told.out == "" and told.err.startswith(f"error: {file}: ") and told.err.count("\n") == 1


def test_a_changed_byte_among_the_figures_is_never_read_as_a_figure(run: Path) -> None:
    file = run / "records" / "curves" / "dimum-0001-r1.parquet"
    whole, before = file.read_bytes(), records.rows(run, "curves", "dimum-0001-r1")
    figures = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")  # the footer, and its length, come after them
    told = Counter[str]()
    for at in range(figures):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x11]) + whole[at + 1 :])
        found = records.rows(run, "curves", "dimum-0001-r1")
        assert found in ([], before), at
        told["damaged" if not found else "a byte that nothing reads"] += 1
    assert told["damaged"] > 1_000


# ---- versions ----


def of_version_1(run: Path) -> None:
    """Rewrite the trials and replicates as the first version wrote them: without the figures that came later."""
    later = ["malicious_robustness", "kid", "precision", "recall", "attacked_fid_delta", "membership_auc", "shadow_auc"]
    for table in ("trials", "replicates"):
        for file in (run / "records" / table).glob("*.parquet"):
            rows = pq.read_table(file).drop_columns(later)
            rows = rows.append_column("forgotten_fid", pa.array([3.5] * rows.num_rows, pa.float64()))
            pq.write_table(rows.replace_schema_metadata(rows.schema.metadata | {b"schema_version": b"1"}), file)


@pytest.mark.parametrize("compacted", [False, True])
def test_a_run_of_version_1_is_read_as_one_of_the_present_version(run: Path, written: Path, compacted: bool) -> None:
    of_version_1(run)
    if compacted:
        records_folder.compact(run)
    for table in ("trials", "replicates"):
        found, present = records.read(run, table), records.read(written, table)
        assert found.schema.metadata == present.schema.metadata
        assert [n for n in found.column_names if n != "forgotten_fid"] == present.column_names
        assert found.schema.field("kid").equals(present.schema.field("kid"), check_metadata=True)
        assert found["kid"].null_count == found.num_rows and present["kid"].null_count < present.num_rows
        assert found["robustness"].to_pylist() == present["robustness"].to_pylist()
        assert set(found["forgotten_fid"].to_pylist()) == {3.5}, "what was recorded is not thrown away"
    ids = {a: {m.trial_id for m in read_sweep(written).arms[a].front} for a in ("dimum", "label_swap")}
    assert {a: {m.trial_id for m in read_sweep(run).arms[a].front} for a in ids} == ids


def test_a_newer_version_than_known_is_one_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = run / "records" / "trials" / "dimum-0001.parquet"
    rows = pq.read_table(file)
    pq.write_table(rows.replace_schema_metadata(rows.schema.metadata | {b"schema_version": b"99"}), file)
    assert query.main([str(run), "SELECT * FROM trials"]) == 2
    told = capsys.readouterr().err
    present = migrations.SCHEMA_VERSION
    assert told.count("\n") == 1 and f"written by a newer version (schema 99; this one reads up to {present})" in told


def test_every_version_before_the_present_has_its_step() -> None:
    assert sorted(migrations.MIGRATIONS) == list(range(1, migrations.SCHEMA_VERSION))


# ---- independent readers ----


@pytest.mark.parametrize("state", ["running", "finished"])
def test_duckdb_polars_and_pandas_read_the_same_rows_of_every_table(written: Path, finished: Path, state: str) -> None:
    """Each opens the folder itself, without this project, and finds every value of every row that the driver wrote."""
    run = {"running": written, "finished": finished}[state] / "records"
    for table in TABLES:
        expected = in_order(records.rows(written, table))
        assert in_order(duckdb.sql(f"SELECT * FROM '{run}/{table}/*.parquet'").to_arrow_table().to_pylist()) == expected
        assert in_order(polars.read_parquet(run / table / "*.parquet").to_arrow().to_pylist()) == expected
        by_pandas = pandas.read_parquet(run / table)
        assert in_order(pa.Table.from_pandas(by_pandas, records.read(run.parent, table).schema).to_pylist()) == expected
        assert in_order(load(run.parent).table(table).to_pylist()) == expected
    trials = {t: f[1] for t, f in recorded_run.TRIALS.items()} | {t: f[0] for t, f in recorded_run.CONTROLS.items()}
    assert {r["trial_id"]: r["robustness"] for r in records.rows(run.parent, "trials")} == trials
    sums = [
        duckdb.sql(f"SELECT sum(value) FROM '{run}/curves/*.parquet'").fetchall()[0][0],
        polars.scan_parquet(run / "curves" / "*.parquet").select(polars.col("value").sum()).collect().item(),
        pandas.read_parquet(run / "curves").value.sum(),
        np.sum(load(run.parent).curves["value"].to_numpy()),
    ]
    assert sums == pytest.approx([sum(r["value"] for r in records.rows(written, "curves"))] * 4, rel=1e-12)


@pytest.mark.parametrize("state", ["running", "finished"])
def test_every_column_of_every_file_says_what_it_is_and_figures_which_way_is_better(
    written: Path, finished: Path, state: str
) -> None:
    run = {"running": written, "finished": finished}[state] / "records"
    for table in TABLES:
        for file in (run / table).iterdir():
            facts = {f.name: {k.decode(): v.decode() for k, v in f.metadata.items()} for f in pq.read_schema(file)}
            assert all(told["description"] for told in facts.values()), file
            if table in ("trials", "replicates"):
                assert facts["robustness"]["unit"] == "share" and facts["robustness"]["direction"] == "maximise"
                assert facts["fid_delta"]["direction"] == "minimise" and facts["core_s"]["unit"] == "seconds"


def test_tables_of_a_run_and_of_several_in_pandas_and_polars(written: Path, finished: Path, tmp_path: Path) -> None:
    one = load(written)
    assert one.trials.schema.field("robustness").metadata[b"direction"] == b"maximise"
    assert one.to_pandas("trials").robustness.max() == one.to_polars("trials")["robustness"].max() == 0.95
    assert one.front("dimum")["trial_id"].to_pylist() == [m.trial_id for m in read_sweep(written).arms["dimum"].front]
    both = load([written, finished])
    assert both.trials.column_names[0] == "run" and both.trials.num_rows == 2 * one.trials.num_rows
    assert both.not_comparable == ()
    other = Path(shutil.copytree(written, tmp_path / "other"))
    plan = records.read_json(other / "plan.json")
    (other / "plan.json").write_text(json.dumps(plan | {"forget": "7"}))
    assert load([written, other]).not_comparable == ("forget",)
    for wrong in ([], [written, written], [tmp_path]):
        with pytest.raises(UsageError):
            load(wrong)
    with pytest.raises(UsageError, match="did you mean 'dimum'"):
        one.front("dimun")


def test_runs_of_two_questions_whose_columns_differ_come_together(written: Path, tmp_path: Path) -> None:
    many = recorded_run.write_many(tmp_path / "many")
    of_words = Path(shutil.copytree(written, tmp_path / "words"))
    for file in (of_words / "records" / "trials").glob("dimum*.parquet"):
        rows = pq.read_table(file)
        at = rows.schema.get_field_index("param_lr")
        pq.write_table(rows.set_column(at, "param_lr", rows["param_lr"].cast(pa.string())), file)
    for file in (of_words / "records" / "trials").glob("[cl]*.parquet"):
        file.unlink()
    found = load([written, many, of_words]).trials
    assert found.num_rows == 13 + 36 + 7
    assert Counter(found["run"].to_pylist()) == {str(written): 13, str(many): 36, str(of_words): 7}
    assert found["param_lr"].to_pylist().count("0.0001") >= 2


# ---- SQL ----


def test_sql_answers_in_four_formats(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "SELECT trial_id, robustness, told_at, feasible, cause FROM trials WHERE arm = 'dimum' ORDER BY trial_id"
    for form in ("table", "csv", "json", "parquet"):
        assert query.main([str(finished), sql, "--format", form, "-o", str(tmp_path / form)]) == 0
    assert query.main([str(finished), sql]) == 0
    assert capsys.readouterr().out == (tmp_path / "table").read_text()
    assert "dimum-0001  0.9 " in (tmp_path / "table").read_text()
    expected = [records.rows(finished, "trials", f"dimum-{n:04d}")[0] for n in range(7)]
    by_csv = list(csv.DictReader((tmp_path / "csv").read_text().splitlines()))
    assert [r["robustness"] for r in by_csv] == [
        "" if r["robustness"] is None else str(r["robustness"]) for r in expected
    ]
    assert [r["cause"] or None for r in by_csv] == [r["cause"] for r in expected]
    by_json = json.loads((tmp_path / "json").read_text())
    assert [r["robustness"] for r in by_json] == [r["robustness"] for r in expected]
    assert by_json[0]["told_at"] == recorded_run.START.isoformat() and by_json[3]["feasible"] is False
    assert pq.read_table(tmp_path / "parquet")["robustness"].to_pylist() == [r["robustness"] for r in expected]


def test_sql_joins_tables_and_runs_and_says_what_is_not_comparable(
    written: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sql = "SELECT count(*) AS n, count(DISTINCT run) AS runs FROM Curves c JOIN trials t USING (run, trial_id)"
    assert query.main([str(written), str(finished), sql, "--format", "json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == [{"n": 2 * records.read(written, "curves").num_rows, "runs": 2}] and told.err == ""
    plan = records.read_json(written / "plan.json")
    other = Path(shutil.copytree(written, tmp_path / "other"))
    (other / "plan.json").write_text(json.dumps(plan | {"data": "mnist"}))
    assert query.main([str(written), str(other), sql]) == 0
    assert capsys.readouterr().err == "note: these runs differ in data\n"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM '{file}'",
        "SELECT * FROM read_text('{file}')",
        "SELECT * FROM glob('{folder}/*')",
        "COPY trials TO '{folder}/stolen.csv'",
        "COPY (SELECT 1) TO '{folder}/stolen.parquet'",
        "EXPORT DATABASE '{folder}/stolen'",
        "ATTACH '{folder}/stolen.db'",
        "SELECT 1; COPY trials TO '{folder}/stolen.csv'",
        "SET enable_external_access = true",
        "SET temp_directory = '{folder}/stolen'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SELECT * FROM results",
        "SELECT nothing FROM trials",
        "SELEC",
        "",
    ],
)
def test_sql_that_is_wrong_or_reaches_out_of_the_run_is_one_line_and_exit_2(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], sql: str
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("word\nhunter2\n")
    assert query.main([str(written), sql.format(file=secret, folder=tmp_path)]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("error: SQL: ") and told.err.count("\n") == 1
    assert "hunter2" not in told.err and os.listdir(tmp_path) == ["secret.csv"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["{run}"], "name a run and then what to ask"),
        (["{run}/nowhere", "SELECT 1"], "does not exist"),
        (["{run}/records", "SELECT 1"], "is not a run folder"),
        (["{run}", "SELECT 1", "-o", "{run}/no/such/folder.csv"], "cannot be written"),
        (["{run}", "--export", "{run}/plan.json"], "cannot be made"),
    ],
)
def test_a_mistake_in_the_command_is_one_line_and_exit_2(
    written: Path, capsys: pytest.CaptureFixture[str], args: list[str], said: str
) -> None:
    assert query.main([a.format(run=written) for a in args]) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1


def test_without_duckdb_polars_or_pandas_it_says_what_to_install(
    written: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("duckdb", "polars", "pandas"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    assert query.main([str(written), "SELECT 1"]) == 2
    assert "pip install -c constraints.txt -e '.[query]'" in capsys.readouterr().err
    for convert in (load(written).to_polars, load(written).to_pandas):
        with pytest.raises(UsageError, match="pip install -c constraints"):
            convert("trials")


def test_the_schema_and_every_table_can_be_exported(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert query.main([str(finished), "--schema", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {c["table"] for c in told} == {*TABLES, "confirmed"} and all(c["description"] for c in told)
    (value,) = [c for c in told if (c["table"], c["column"]) == ("trials", "robustness")]
    assert (value["type"], value["unit"], value["direction"]) == ("double", "share", "maximise")
    for form in ("csv", "json"):
        assert query.main([str(finished), "--export", str(tmp_path / form), "--format", form]) == 0
    for table in TABLES:
        rows = records.rows(finished, table)
        assert len(list(csv.reader((tmp_path / "csv" / f"{table}.csv").read_text().splitlines()))) == len(rows) + 1
        exported = json.loads((tmp_path / "json" / f"{table}.json").read_text())
        assert [{k: v for k, v in r.items() if k != "run"} for r in exported] == [
            {k: query._plain(v) for k, v in r.items()} for r in rows
        ]


def test_what_is_nested_is_json_too(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "SELECT [1.0, 'nan'::DOUBLE] AS a, {'day': DATE '2020-01-01', 'part': 1.50::DECIMAL(4, 2)} AS b"
    assert query.main([str(written), sql, "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row == {"a": [1.0, None], "b": {"day": "2020-01-01", "part": "1.50"}}


def test_all_tables_are_shown_where_none_is_named(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert query.main([str(finished), "SHOW TABLES", "--format", "csv"]) == 0
    assert set(capsys.readouterr().out.split()[1:]) == {*TABLES, "confirmed"}


@pytest.mark.parametrize("name", records.REBUILT)
def test_a_json_file_that_is_a_list_is_named_with_its_mend(run: Path, name: str) -> None:
    (run / name).write_text("[]")
    does = "sets it aside" if name in (records.SEARCH, records.CONFIRMATION) else "makes it again"
    with pytest.raises(UsageError, match=rf"{name}: is no JSON object; python -m sweep\.repair .* {does}"):
        records.read_json(run / name)


def test_compacting_names_what_is_damaged(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "records" / "trials" / "dimum-0001.parquet").write_bytes(b"")
    assert compact.main([str(run)]) == 0
    told = capsys.readouterr().err
    assert "records/trials/dimum-0001.parquet: damaged" in told and f"python -m sweep.repair {run}" in told


def test_compacting_leaves_a_damaged_part_and_the_files_beside_it_as_they_are(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "RUN"))
    (part,) = (run / "records" / "curves").iterdir()
    pq.write_table(pq.read_table(part).slice(0, 3), part.with_name("beside.parquet"))
    data = bytearray(part.read_bytes())
    data[len(data) // 3] ^= 0x11
    part.write_bytes(data)
    before = {file: file.read_bytes() for file in part.parent.iterdir()}
    assert compact.main([str(run)]) == 0
    told = capsys.readouterr()
    assert f"records/curves/{part.name}: damaged" in told.err and "0 files of curves" in told.out
    assert {file: file.read_bytes() for file in part.parent.iterdir()} == before
