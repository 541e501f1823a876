"""The last words of a sweep: the confirmed winner, and commands that a shell takes as they are."""

from __future__ import annotations

import io
import json
import shlex
import shutil
from pathlib import Path

import pytest
from recorded_run import CONFIRMED, space, without_attacks, write_many, write_run

from sweep import records
from sweep.reading.ending import Ending
from sweep.reading.sweep import read_sweep
from sweep.terminal.json_lines import LogLines


def test_the_winner_is_the_best_confirmed_member_with_its_intervals(tmp_path: Path) -> None:
    ending = Ending(read_sweep(write_run(tmp_path / "a run's", artifacts=False)))
    assert ending.winner and ending.winner.trial_id == "dimum-0001" and ending.failure is None
    said = ending.winner_text()
    assert said.startswith(
        "dimum-0001 (dimum; confirmed on 3 fresh seeds): robustness 0.88 [0.84, 0.92], fid_delta 3.2"
    )
    assert "replacement=noise" in said
    page, table, keep = (shlex.split(c) for c in ending.commands().values())
    assert page[1] == str(tmp_path / "a run's" / "report.html") and table[3] == str(tmp_path / "a run's")
    assert keep[2:] == ["sweep.export", str(tmp_path / "a run's"), "dimum-0001", "--replicate", "1", "-o",
                        str(tmp_path / "a run's" / "dimum-0001-model")]  # fmt: skip
    (tmp_path / "a run's" / "members").mkdir()
    assert shlex.split(ending.commands()["keep the winner"])[-4:-2] == [
        "--members",
        str(tmp_path / "a run's" / "members"),
    ]
    shown = ending.text()
    best = "best    dimum-0001       robustness 0.88 [0.84, 0.92], fid_delta 3.2 [2.7, 3.7]"
    assert f"{best}  (confirmed front 2 of 7 trials)" in shown and "control control-retrain  robustness 0.86 [" in shown
    assert shown.index("winner  dimum-0001") > shown.index("best    label_swap-0000") > shown.index(best)
    told = [line.split("  # ")[0].strip() for line in shown[shown.index("next:") :].splitlines() if "  # " in line]
    assert told[:3] == [*ending.commands().values()] and "tensorboard --logdir" in told[-1]
    assert shlex.split(told[3])[2:] == ["sweep.pareto", str(tmp_path / "a run's")], "which has the rest"


def test_the_winner_is_kept_by_a_replicate_that_did_not_fail(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", artifacts=False)
    writer = records.Writer(run, records.schemas(space()))
    for row in records.rows(run, "replicates"):
        if (row["trial_id"], row["replicate"]) == ("dimum-0001", 1):
            writer.replicate(row | {"state": records.FAIL, "cause": "out of memory"}, [], [])
    ending = Ending(read_sweep(run))
    assert ending.winner is not None and ending.winner.trial_id == "dimum-0001"
    assert "dimum-0001 --replicate 2 " in ending.commands()["keep the winner"]


def test_the_winners_figures_for_programs_are_of_fresh_seeds_or_of_the_searchs_one(tmp_path: Path) -> None:
    """Never of both: of a run that was stopped between bounds and attacks they are the search's, as its words say."""
    run = write_run(tmp_path / "run", artifacts=False)
    for trial in CONFIRMED:
        without_attacks(run, trial)
    out = io.StringIO()
    LogLines(out).result(Ending(read_sweep(run)))
    told = json.loads(out.getvalue())
    assert told["trial_id"] == "dimum-0001" and "search only, one seed" in told["text"]
    assert (told["figures"]["robustness"], told["figures"]["fid_delta"]) == (0.90, 3.0)


def test_the_last_words_are_few_however_many_arms_there_are(tmp_path: Path) -> None:
    for write in (write_run, write_many):
        shown = Ending(read_sweep(write(tmp_path / write.__name__))).text().splitlines()
        assert len(shown) <= 24, "a terminal of 24 lines shows all of them"
        assert any(line.startswith("winner") for line in shown[-9:])


def test_without_a_feasible_trial_there_is_no_winner_and_the_causes_are_what_to_read_next(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", artifacts=False)
    (run / "prepared.json").write_text(json.dumps(records.read_json(run / "prepared.json") | {"fid_budget": 0.5}))
    writer = records.Writer(run, records.schemas(space()))
    for row in records.rows(run, "trials"):
        writer.trial(row | {"feasible": False})
    ending = Ending(read_sweep(run))
    assert ending.winner is None and ending.winner_text().startswith(
        "none: no confirmed trial is feasible (dimum: 0 of 7 trials"
    )
    assert any("SELECT trial_id, state, cause" in command for command in ending.commands().values())
    for row in records.rows(run, "trials"):
        writer.trial(row | {"state": records.FAIL, "cause": "Diverged"})
    assert Ending(read_sweep(run)).failure == "every trial failed; the first: Diverged"


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        (("dimum-0000",), "it has 1 trial"),
        (("dimum-0000", "dimum-0001", "dimum-0006"), "1 of 3 confirmed members dominated by another"),
        (("dimum-0000", "dimum-0001", "dimum-0002"), "1 of the feasible dominated by others in the search"),
        (("dimum-0000", "dimum-0003", "dimum-0004"), "1 of 3 trials feasible: 2 exceeded the FID budget"),
    ],
)
def test_few_members_have_a_reason_that_is_one(keep: tuple[str, ...], said: str, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", artifacts=False)
    rows = [row for row in records.rows(run, "trials") if row["arm"] != "dimum" or row["trial_id"] in keep]
    shutil.rmtree(run / "records" / "trials")
    writer = records.Writer(run, records.schemas(space()))
    for row in rows:
        writer.trial(row)
    assert read_sweep(run).arms["dimum"].reason == said
