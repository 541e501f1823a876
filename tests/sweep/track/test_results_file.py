"""A track's results in one file: what is not of the schema is named with its place, and what is not comparable is not merged."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sweep.errors import UsageError
from sweep.track import schema
from sweep.track.__main__ import main
from sweep.track.results_file import read_results, track_of
from sweep.track.scoring import Scorer


def replicate(entry: str, forget: str, seed: int, relearned: float = 0.5) -> dict[str, Any]:
    return {
        "entry": entry, "forget": forget, "seed": seed,
        "samples": {"forgotten": 10, "retained": 18, "retained_after_attack": 18},
        "before": {"unlearning_accuracy": 0.9, "retain_accuracy": 0.8, "fid": 12.0, "fid_delta": 2.0},
        "attacks": {
            "dimra-a": {
                "relearning_accuracy": [0.1, 0.2, relearned], "retain_accuracy": [0.8, None, 0.7],
                "fid": [12.0, None, 14.0],
            },
            "malicious": {"relearning_accuracy": [0.1, 0.5, 1.0]},
        },
    }  # fmt: skip


def results(*entries: str, seeds: tuple[int, ...] = (1, 2), relearned: float = 0.5) -> dict[str, Any]:
    """A valid file that someone might have written by hand: controls and entries, two things to forget."""
    rows = [
        replicate(entry, forget, seed, relearned if entry in entries else 0.3)
        for entry in (*entries, "control-base", "control-retrain")
        for forget in ("3", "7")
        for seed in seeds
    ]
    return {
        "schema": "relearning-track",
        "version": 1,
        "conditions": {
            "data": "digits", "judge": "classifier", "sampler": "ddim-10", "samples_forgotten": 10,
            "samples_per_retained": 2, "feature_network": "classifier", "feature_network_hash": None,
            "artifact: classifier": "abc", "code of scoring": "def",
        },
        "attacks": {
            "dimra-a": {"method": "dimra", "settings": {"auxiliary": "retain"}, "counts": True},
            "malicious": {"method": "malicious", "settings": {}, "counts": False},
        },
        "rungs": [0, 1, 3],
        "forgets": ["3", "7"],
        "entries": [{"name": e, "method": e, "settings": {}, "source": "shipped"} for e in entries],
        "replicates": rows,
        "failures": [],
    }  # fmt: skip


def written(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_file_of_someone_elses_is_read_and_scored(tmp_path: Path) -> None:
    assert schema.faults(results("mine")) == []
    track = track_of(read_results(written(tmp_path, "theirs.json", results("mine"))), tmp_path)
    (line,) = (line for line in Scorer(track).lines() if line.entry == "mine")
    assert line.score is not None and line.score.mean == pytest.approx(
        (0.15 + 0.35) / 2
    )  # trapezoid over log₂(k + 1) = 0, 1, 2
    assert line.before["fid_delta"] and line.before["fid_delta"].mean == 2.0
    assert line.attacks["dimra-a"].excess and line.attacks["dimra-a"].excess.mean == pytest.approx(0.2)
    assert line.attacks["dimra-a"].after["fid"] and line.attacks["dimra-a"].after["fid"].mean == 14.0
    assert line.strongest and line.strongest.attack == "dimra-a", "the other does not count"
    assert set(track.replicates[0]) == schema.OWN_COLUMNS | results("mine")["replicates"][0]["before"].keys()


def put(*path: str | int, value: object) -> Callable[[dict], None]:
    """A change of what lies at a path; ... takes it away."""

    def change(content: Any) -> None:
        for step in path[:-1]:
            content = content[step]
        if value is ...:
            del content[path[-1]]
        else:
            content[path[-1]] = value

    return change


CURVE = ("replicates", 0, "attacks", "dimra-a", "relearning_accuracy")
FAULTS: dict[str, tuple[Callable[[dict], None], str]] = {
    "another schema": (put("schema", value="x"), 'schema: is "x", not "relearning-track"'),
    "a later version": (put("version", value=2), "version: is 2, not 1"),
    "a field missing": (put("forgets", value=...), "forgets: is missing"),
    "an unknown field": (put("winner", value="me"), "winner: is not in the schema"),
    "no judge": (put("conditions", "judge", value=...), "conditions.judge: is missing"),
    "no samples": (put("conditions", "samples_forgotten", value=0), "conditions.samples_forgotten: is 0; 1 at least"),
    "two judges": (put("conditions", "judge", value=["a", "b"]), 'conditions.judge: is ["a", "b"], where string belongs'),
    "nothing attacked": (put("attacks", value={}), "attacks: is empty"),
    "a yes that is none": (put("attacks", "malicious", "counts", value="no"), 'attacks.malicious.counts: is "no", where boolean'),
    "one rung": (put("rungs", value=[0]), "rungs: has 1 items; 2 at least"),
    "rungs from 1": (put("rungs", value=[1, 2, 3]), "rungs: [1, 2, 3] do not rise from 0"),
    "a table's bar": (put("entries", 0, "name", value="a|b"), 'entries[0].name: "a|b" is no name; | < >'),
    "no name": (put("entries", 0, "method", value=3), "entries[0].method: is 3, where string belongs"),
    "a control listed": (put("entries", 0, "name", value="control-base"), "entries: control-base is a control"),
    "twice": (lambda c: c["replicates"].append(c["replicates"][0]), "replicates[12]: mine, forget 3, seed 1 is there twice"),
    "both": (lambda c: c["failures"].append({"entry": "mine", "forget": "3", "seed": 1, "cause": ""}), "seed 1 is there twice"),
    "an unknown line": (put("replicates", 0, "entry", value="his"), 'replicates[0].entry: "his" is none of mine, control-base'),
    "an unknown forget": (put("replicates", 0, "forget", value="4"), 'replicates[0].forget: "4" is none of 3, 7'),
    "a true seed": (put("replicates", 0, "seed", value=True), "replicates[0].seed: is true, where integer belongs"),
    "more than all": (put("replicates", 0, "before", "retain_accuracy", value=1.2), "before.retain_accuracy: 1.2 is no share"),
    "a column for a figure": (put("replicates", 0, "before", "state", value=1.0), "replicates[0].before.state: is no figure but"),
    "less than none": (put(*CURVE, 1, value=-0.1), "attacks.dimra-a.relearning_accuracy[1]: -0.1 is no share"),
    "a rung short": (put(*CURVE, value=[0.1, 0.2]), "dimra-a.relearning_accuracy: has 2 numbers for 3 rungs"),
    "a rung not measured": (put(*CURVE, 1, value=None), "relearning_accuracy[1]: is null; AURC needs every rung"),
    "two beginnings": (put(*CURVE, 0, value=0.2), "malicious.relearning_accuracy[0]: is 0.1, and 0.2 under another attack"),
    "an attack left out": (put(*CURVE[:-1], value=...), "replicates[0].attacks: dimra-a is missing"),
    "an attack of its own": (put("replicates", 0, "attacks", "x", value={"relearning_accuracy": [0.1, 0, 0]}),
                             "x: is none of the file's"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_what_is_not_of_the_schema_is_named_with_its_place(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, expected = FAULTS[case]
    content = results("mine", seeds=(1, 2))
    content["replicates"] = content["replicates"][:12]
    change(content)
    path = written(tmp_path, "results.json", content)
    assert any(expected in fault for fault in schema.faults(content))
    good = written(tmp_path, "good.json", results("mine"))
    assert main(["validate", str(good), str(path)]) == 2
    said = capsys.readouterr()
    assert said.out.startswith(f"{good}: results of a track, version 1: mine") and said.out.count("\n") == 1
    assert f"{path}: " in said.err and said.err.endswith("error: 1 of the files named is no track's results\n")
    with pytest.raises(UsageError, match=re.escape(f"{path}: ")):
        read_results(path)


@pytest.mark.parametrize("text", ["", "[1, 2", '{"version": NaN}', "[]", "null", "[" * 100_000])
def test_what_is_no_results_at_all_is_a_line(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "results.json", text)
    assert main(["validate", str(path)]) == 2
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first.startswith(f"{path}: ") and last == "error: 1 of the files named is no track's results"


def test_every_keyword_of_the_schema_is_checked() -> None:
    schema.schema()
    with pytest.raises(ValueError, match=r"maximum is not checked by schema\.py"):
        schema._check_keywords({"items": {"properties": {"a": {"maximum": 3}}}})


def test_others_results_stand_in_one_leaderboard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = results("mine"), results("theirs", relearned=0.9)
    a["failures"] = [{"entry": "mine", "forget": "3", "seed": 5, "cause": "out of memory"}]
    more = results("mine", seeds=(3,))
    files = [written(tmp_path, f"{name}.json", c) for name, c in (("a", a), ("b", b), ("more", more))]
    out = tmp_path / "deep" / "merged"
    assert main(["merge", *map(str, files), str(out)]) == 0
    said = capsys.readouterr().out
    assert said.index("mine") < said.index("theirs"), "the least recovery first"
    assert sorted(p.name for p in out.iterdir()) == [
        "leaderboard.md",
        "leaderboard.parquet",
        "recovery.parquet",
        "results.json",
    ]
    whole = read_results(out)
    assert [e["name"] for e in whole["entries"]] == ["mine", "theirs"] and whole["failures"] == a["failures"]
    assert len(whole["replicates"]) == 12 + 4 + 6 and "out of memory" in (out / "leaderboard.md").read_text()
    rows = {
        (r["entry"], r["forget"], r["attack"], r["metric"]): r
        for r in pq.read_table(out / "leaderboard.parquet").to_pylist()
    }
    assert (
        rows["mine", "all", "dimra-a", "aurc"]["seeds"] == 3 and rows["theirs", "all", "dimra-a", "aurc"]["seeds"] == 2
    )
    assert main(["merge", *map(str, files), str(out)]) == 2
    assert "exists and is not an empty folder" in capsys.readouterr().err


OTHERWISE: dict[str, tuple[Callable[[dict], None], str]] = {
    "data": (put("conditions", "data", value="mnist"), "conditions.data (digits and mnist)"),
    "judge": (put("conditions", "judge", value="image_classifier:x"), "conditions.judge (classifier and image_classifier:x)"),
    "sampler": (put("conditions", "sampler", value="ddim-50"), "conditions.sampler (ddim-10 and ddim-50)"),
    "N": (put("conditions", "samples_forgotten", value=20), "conditions.samples_forgotten (10 and 20)"),
    "reference": (put("conditions", "artifact: reference of 3", value="k"), "artifact: reference of 3 (not there and k)"),
    "version": (put("conditions", "code of scoring", value="ghi"), "conditions.code of scoring (def and ghi)"),
    "protocol": (put("attacks", "dimra-a", "settings", "auxiliary", value="public"), "attacks.dimra-a ({"),
    "what counts": (put("attacks", "malicious", "counts", value=True), "attacks.malicious ({"),
    "rungs": (put("rungs", value=[0, 1, 7]), "rungs ([0, 1, 3] and [0, 1, 7])"),
    "the same seed": (put("replicates", 4, "before", "fid", value=13.0),
                      "control-base, forget 3, seed 1: before.fid is 13.0 here and 12.0 in an earlier file"),
    "settings": (lambda c: c["entries"].append({"name": "mine", "method": "mine", "settings": {"steps": 9}, "source": ""}),
                 "entry mine has another settings than that of the same name before it; rename one"),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHERWISE)
def test_what_is_not_comparable_is_not_merged_and_it_is_said_what_differs_and_where(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, expected = OTHERWISE[case]
    other = copy.deepcopy(results("theirs"))
    change(other)
    files = [written(tmp_path, "a.json", results("mine")), written(tmp_path, "b.json", other)]
    assert main(["merge", *map(str, files), str(tmp_path / "merged")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and expected in said and str(files[1]) in said
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["merge", "a.json", "out"], "name two files at least, and the new folder"),
        (["merge", "a.json", "a.json", "out"], "a.json: is named twice"),
        (
            ["merge", "a.json", "none.json", "out"],
            "none.json: no such file; a finished track's folder holds results.json",
        ),
        (["merge", "a.json", "b.json", "out"], "b.json: version: is 9, not 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_one_line(
    argv: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "a.json", results("mine"))
    written(tmp_path, "b.json", results("mine") | {"version": 9})
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and said in error and not (tmp_path / "out").exists()
