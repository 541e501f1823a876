"""What readers of a run are told of federated trials alone, beside what they are told of every procedure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sweep.federated.columns import PRIVACY
from sweep.procedures.sections import NoSections
from sweep.reading.comparable import conditions
from sweep.reading.sweep import Sweep
from sweep.space import Constraint

_CONTROLS = {
    "control-central": "a WGAN-GP of joined rows, without a mechanism: no party would have to give its columns away for less",
    "control-independent": "a WGAN-GP a party, none of which hears of another",
    "control-real": "private rows themselves in the published rows' place: the floor of fd, and what the audit finds at most",
}


class Sections(NoSections):
    """The `sweep.procedures.sections.Sections` of federated trials."""

    compared: Sequence[str] = ("party_fd", "dependence_error", "cross_agreement", "utility_gap")
    first_stages: Sequence[str] = ("partition", "train", "synthesise", "score", "audit")

    def about(self, sweep: Sweep) -> str:
        return f"data {sweep.plan['data']}, {mechanisms(sweep)}"

    def definitions(self, sweep: Sweep) -> Mapping[str, str]:
        """Rows, parties, ε and what it is of, the audit and the controls."""
        facts, rows = conditions(sweep), sweep.prepared.get("rows", {})
        numbers = ", ".join(f"{rows[f'{split}_rows']} {split}" for split in ("private", "public", "test") if rows)
        deltas = " or ".join(f"{float(value):.3g}" for value in facts["delta"]) or "not known yet"
        return {
            "rows": f"{numbers or 'not read yet'}; {' or '.join(facts['synthetic_rows']) or '?'} are synthesised",
            "parties": f"split {' or '.join(facts['split']) or 'not known yet'}",
            "fd": f"taken in {' or '.join(facts['feature_network']) or 'features'}, to public rows" + _floors(sweep),
            "epsilon": f"δ {deltas}; {proven(sweep)}",
            "audit": "a lower bound: what it does not find may be there all the same. Canaries are in by fair coins; the ceiling "
            "is what it could find at most",
            **{name: text for name, text in _CONTROLS.items() if name in sweep.controls},
        }

    def further(self, sweep: Sweep) -> Sequence[str]:
        """Of privacy and its audits."""
        return PRIVACY

    def broke(self, constraint: Constraint) -> str:
        if constraint.metric == "audited_epsilon_excess":
            return "had an audit that found more than its ε: look for a fault of the mechanism"
        if constraint.metric == "fd":
            return "lay no nearer to the rows than the schema alone"
        return ""

    def agreeing(self, plan: Mapping[str, Any]) -> Mapping[str, str]:
        """Which rows, how divided, under which mechanisms."""
        asked = {name: str(plan.get(name)) for name in ("data", "split", "party", "mechanisms", "delta", "canaries")}
        return asked | {name: str(plan.get(name) or "") for name in ("data_limit", "data_fingerprint")}


def mechanisms(sweep: Sweep) -> str:
    """``mechanism record``."""
    names = sorted(set(sweep.plan.get("mechanisms", {}).values()))
    return f"mechanism{'s' if len(names) > 1 else ''} {', '.join(names)}"


def proven(sweep: Sweep) -> str:
    """What ε is of in this run."""
    names = set(sweep.plan.get("mechanisms", {}).values())
    if "record" in names:
        return (
            "proven of one row more or less, all parties' parts of it together, for whoever sees published rows, generators and "
            "critics, and not the seeds; neither for who follows the protocol's messages nor of the choice among trials"
        )
    if "published" in names:
        return (
            "claimed by the mechanism's authors, and proven of nothing: generators learn through layers without noise"
        )
    return "there is none: no mechanism is used"


def _floors(sweep: Sweep) -> str:
    floors = sweep.prepared.get("floors")
    if not floors:
        return ""
    of = {kind: floors[kind]["fd"][0] for kind in ("real", "shuffled", "blind")}
    return f": private rows {of['real']:.3g}, parties shuffled {of['shuffled']:.3g}, the schema alone {of['blind']:.3g}"
