"""Whether figures may be held against one another: what they depend on, and in which of it trials or runs differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from sweep.reading.sweep import Sweep
from sweep.reading.trial import Trial


def conditions(
    sweep: Sweep, trial_ids: Iterable[str] | None = None, confirm_only: bool = False
) -> dict[str, list[str]]:
    """What figures depend on: the values each fact of the replicates takes, sorted; one value where they compare."""
    found = sweep.of_phase(True) if confirm_only else sweep.replicate_facts
    if trial_ids is not None:
        found = found.filter(pc.field("trial_id").isin(pa.array(list(trial_ids), pa.string())))
    values = {
        name: pc.unique(found[name]).to_pylist() if name in found.column_names else []
        for name in sweep.columns.conditions
    }
    return {name: sorted({str(v) for v in told if v is not None}) for name, told in values.items()}


def differing(sweep: Sweep, *trials: Trial) -> list[str]:
    """The conditions in which the members' confirm replicates differ, so that their figures may not be compared."""
    found = conditions(sweep, [m.trial_id for m in trials], confirm_only=True)
    return [
        f"{name} ({' and '.join(v[:12] for v in found[name])})"
        for name in sweep.columns.compared
        if len(found[name]) > 1
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
        facts |= {
            f"code of {a}": tuple(conditions(f, [m.trial_id for m in arm.members])["code_version"])
            for a, arm in f.arms.items()
        }
        each.append(facts)
    shared = set.intersection(*(set(facts) for facts in each))
    return sorted(name for name in shared if len({facts[name] for facts in each}) > 1)
