"""The last words of a sweep: the confirmed winner, and commands that a shell takes as they are."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from recorded_run import space, write_run

from sweep import records
from sweep.reading.ending import Ending
from sweep.reading.sweep import read_sweep


def test_the_winner_is_the_best_confirmed_member_with_its_intervals(tmp_path: Path) -> None:
    ending = Ending(read_sweep(write_run(tmp_path / "a run's", artifacts=False)))
    assert ending.winner and ending.winner.trial_id == "dimum-0001" and ending.failure is None
    said = ending.winner_text()
    assert said.startswith(
        "dimum-0001 (dimum; confirmed on 3 fresh seeds): robustness 0.880 [0.830, 0.930], fid_delta 3.2"
    )
    assert "replacement=noise" in said
    page, table, keep = (shlex.split(c) for c in ending.commands().values())
    assert page[1] == str(tmp_path / "a run's" / "report.html") and table[3] == str(tmp_path / "a run's")
    assert keep[2:] == ["sweep.export", str(tmp_path / "a run's"), "dimum-0001", "--replicate", "1", "-o",
                        str(tmp_path / "a run's" / "dimum-0001-model")]  # fmt: skip
    shown = ending.text()
    assert "confirmed front" in shown and shown.index("winner  dimum-0001") > shown.index("confirmed front")
    assert [line.split("  # ")[0].strip() for line in shown[shown.index("next:") :].splitlines() if "  # " in line] == [
        *ending.commands().values()
    ]


def test_without_a_feasible_trial_there_is_no_winner_and_the_causes_are_what_to_read_next(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", artifacts=False)
    (run / "prepared.json").write_text(json.dumps(records.read_json(run / "prepared.json") | {"fid_budget": 0.5}))
    writer = records.Writer(run, records.schemas(space()))
    for row in records.rows(run, "trials"):
        writer.trial(row | {"feasible": False})
    ending = Ending(read_sweep(run))
    assert ending.winner is None and ending.winner_text().startswith("none: no trial is feasible (dimum: 0 of 7 trials")
    assert any("SELECT trial_id, state, cause" in command for command in ending.commands().values())
    for row in records.rows(run, "trials"):
        writer.trial(row | {"state": records.FAIL, "cause": "Diverged"})
    assert Ending(read_sweep(run)).failure == "every trial failed; the first: Diverged"
