"""Whether figures may be held against one another: what they depend on, and in which of it trials or runs differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from sweep.reading.sweep import Sweep
from sweep.reading.trial import Trial
from sweep.reading.words import listed
from sweep.records import COMPLETE
from sweep.space import CONTROL


def whole(replicates: pa.Table) -> pa.Table:
    """The replicates that were scored to the end, or all where none was: one that is stopped at its first samples has few."""
    completed = replicates.filter(pc.field("state") == COMPLETE)
    return completed if completed.num_rows else replicates


def conditions(
    sweep: Sweep, trial_ids: Iterable[str] | None = None, confirm: bool | None = None
) -> dict[str, list[str]]:
    """What figures depend on: the values each fact of the replicates takes, sorted; one value where they compare.

    Of the replicates of both phases, or of those of the confirm phase or the search alone.
    """
    facts = sweep.replicate_facts if confirm is None else sweep.of_phase(confirm)
    if trial_ids is not None:
        facts = facts.filter(pc.field("trial_id").isin(pa.array(list(trial_ids), pa.string())))
    facts = whole(facts)
    values = {
        name: pc.unique(facts[name]).to_pylist() if name in facts.column_names else []
        for name in sweep.columns.conditions
    }
    return {name: sorted({str(v) for v in of_name if v is not None}) for name, of_name in values.items()}


def holders(sweep: Sweep, condition: str) -> dict[str, str]:
    """Of each value of a condition whose replicates have it, in words: a phase, arms; empty where all have the same."""
    facts = whole(sweep.replicate_facts)
    if condition not in facts.column_names:
        return {}
    arms = pc.take(sweep.trial_table["arm"], pc.index_in(facts["trial_id"], sweep.trial_table["trial_id"]))
    rows = pa.table({"value": facts[condition], "arm": arms, "confirm": pc.greater_equal(facts["replicate"], 1)})
    everyone: tuple[set[str], set[str]] = (set(), set())
    of_value: dict[str, tuple[set[str], set[str]]] = {}  # phases and arms of each
    for row in rows.group_by(["value", "arm", "confirm"]).aggregate([]).to_pylist():
        if row["value"] is not None:
            arm = "controls" if row["arm"] == CONTROL else str(row["arm"])
            for phases, arms_seen in (everyone, of_value.setdefault(str(row["value"]), (set(), set()))):
                phases.add("confirm" if row["confirm"] else "search")
                arms_seen.add(arm)
    return {
        value: "; ".join(
            listed(sorted(mine)) for mine, all_of_them in zip(holding, everyone, strict=True) if mine != all_of_them
        )
        for value, holding in sorted(of_value.items())
    }


def differing(sweep: Sweep, *trials: Trial) -> list[str]:
    """The conditions in which the members' confirm replicates differ, so that their figures may not be compared."""
    values = conditions(sweep, [m.trial_id for m in trials], confirm=True)
    return [
        f"{name} ({' and '.join(v[:12] for v in values[name])})"
        for name in sweep.columns.compared
        if len(values[name]) > 1
    ]


def comparable(sweeps: Sequence[Sweep]) -> list[str]:
    """What differs between runs and so forbids comparing their figures; empty where they may be compared.

    What one of them does not say, for it is older than the column, is no difference.
    """
    each = []
    for f in sweeps:
        said = {name: tuple(values) for name, values in conditions(f).items() if values}
        facts = {name: values for name, values in said.items() if name not in ("device", "code_version")}
        facts |= {name: (value,) for name, value in f.sections.agreeing(f.plan).items()}
        facts["procedure"] = (f.procedure.name,)
        for name, arm in f.arms.items():
            # What is confirmed runs more of the code than what is searched, or less, by the figures that are asked for.
            versions = conditions(f, [m.trial_id for m in arm.members], confirm=False)["code_version"]
            if versions:
                facts[f"code of {name}"] = tuple(versions)
        each.append(facts)
    shared = set.intersection(*(set(facts) for facts in each))
    return sorted(name for name in shared if len({facts[name] for facts in each}) > 1)
