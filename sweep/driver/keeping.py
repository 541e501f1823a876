"""Which artifacts a run is made of, and what ``--keep front`` removes of them while it runs and at its end.

Kept are what all trials share, the controls, every trial of the reported front and of the search's, every one that was run
again on fresh seeds, and whatever is still to run. Of the others their figures stay, which are in the records: a resumed run
runs none of them again. Their weights, samples and checkpoints go once nothing can bring them back to the front: those that
failed or were stopped during the search, the rest when the run ends. What another run beside this one names stays too.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep import procedures, records
from sweep.procedures import Columns
from sweep.reading.sweep import procedure_of, read_sweep
from sweep.records import COMPLETE, FAIL, PRUNED, RUNNING
from sweep.records.names import replicate_name
from sweep.search.confirm import named
from sweep.space import CONTROL
from trainables.store import Store, is_key

if TYPE_CHECKING:
    from sweep.driver.agenda import Agenda
    from sweep.jobs import Ended

_AT_ONCE = 16  # trials that are removed together while the search goes on: each removal reads the tables

Row = dict[str, Any]


def keys_of(run: Path, but: Iterable[str] = ()) -> set[str]:
    """Every artifact that the run's records and ``prepared.json`` name, but by the search's own replicates of some trials."""
    left_out = frozenset(but)
    prepared = records.read_json(run / "prepared.json") if (run / "prepared.json").is_file() else {}
    keys = {*prepared.get("keys", {}).values(), *prepared.get("shared", ())}
    columns = _columns_of(run)
    holders = {"stages": ("key",), "replicates": columns.artifacts, "curves": ("artifact",)}
    for table, names in holders.items():
        for row in records.rows(run, table):
            if row["replicate"] or row["trial_id"] not in left_out:
                keys |= {row[name] for name in names if row.get(name)}
    return {key for key in keys if is_key(key)}


def _columns_of(run: Path) -> Columns:
    """What the tables of a run hold of its procedure; a track, which has no plan of a sweep, is of the default one."""
    if not (run / "plan.json").is_file():
        return procedures.named(procedures.DEFAULT).columns()
    return procedure_of(records.read_json(run / "plan.json"), run).columns()


def runs_beside(run: Path, artifacts: str) -> list[Path]:
    """The other sweeps and tracks of the same folder that have the same artifact store."""
    others = []
    for path in sorted(run.resolve().parent.glob("*/*.json")):
        if path.name not in ("plan.json", "track.json") or path.parent.name == run.resolve().name:
            continue
        plan = records.read_json(path)
        if isinstance(plan, dict) and {**plan, **plan.get("plan", {})}.get("artifacts") == artifacts:
            others.append(path.parent)
    return others


def unfinished_since(run: Path) -> float | None:
    """When a run began that may have made what it has not recorded; None of a finished one."""
    status = records.read_json(run / "status.json") if (run / "status.json").is_file() else {}
    if status.get("state") == "finished":
        return None
    return dt.datetime.fromisoformat(status["started_at"]).timestamp() if "started_at" in status else 0.0


class Keeping:
    """Removes what is not kept of the run that an agenda drives; the last of its views, for it takes what they show."""

    name = "--keep front"

    def __init__(self, agenda: Agenda) -> None:
        self.agenda, self.run, self.store = agenda, agenda.run_dir, Store(agenda.plan.artifacts)
        self._lost = 0  # trials that failed or were stopped since the tables were read

    def take(self, ended: Ended) -> None:
        """Remove trials that failed or were stopped, once there are some: an arm that has a feasible one confirms none of them."""
        if self.agenda.phase != "search" or ended.row["state"] not in (FAIL, PRUNED):
            return
        self._lost += 1
        if self._lost < _AT_ONCE:
            return
        self._lost = 0
        rows = _trials(self.run)
        has_front = {r["arm"] for r in rows if r["state"] == COMPLETE and r["feasible"]}
        losers = [r for r in rows if r["state"] in (FAIL, PRUNED) and r["arm"] in has_front]
        self._remove(losers)

    def finish(self) -> None:
        """Remove all that is not kept of a run that has ended."""
        sweep = read_sweep(self.run)
        kept = {r["trial_id"] for r in records.rows(self.run, "replicates") if r["replicate"]} | set(named(self.run))
        for arm in sweep.arms.values():
            kept |= {m.trial_id for m in (*arm.front, *arm.search_front, *arm.confirmed_members)}
        self._remove([r for r in _trials(self.run) if r["trial_id"] not in kept and r["state"] != RUNNING])

    def _remove(self, losers: list[Row]) -> None:
        names = {r["trial_id"] for r in losers}
        used = (self.agenda.specs.keys_used(job.spec) for job in self.agenda.running.values())
        kept, files = keys_of(self.run, but=names).union(*used), self.store.files()
        for other in runs_beside(self.run, self.store.root):
            began = unfinished_since(other)  # what it has made since then it need not have recorded yet
            kept |= keys_of(other) if began is None else {f.key for f in files if f.modified >= began} | keys_of(other)
        there = {file.key for file in files}
        for row in losers:
            spec, made_by_others = self.agenda.spec_of(row), self._made_by_others(row)
            stages = [stage["key"] for stage in self._stages(row)]
            made = set(self.agenda.specs.keys_made(spec, self.agenda.space.arm(row["arm"]), stages))
            for key in made & there - kept - made_by_others:
                self.store.delete(key)
                self.store.drop_partial(key)

    def _made_by_others(self, row: Row) -> set[str]:
        """What the trial did not make itself: another made it first, of this run or of any."""
        return {s["key"] for s in self._stages(row) if s["found"]}

    def _stages(self, row: Row) -> list[Row]:
        return records.rows(self.run, "stages", replicate_name(row["trial_id"], 0))


def _trials(run: Path) -> list[Row]:
    return [r for r in records.rows(run, "trials") if r["arm"] != CONTROL]
