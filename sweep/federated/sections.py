"""What readers of a run are told of federated trials alone, beside what they are told of every procedure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sweep.federated.columns import PRIVACY
from sweep.procedures.sections import NoSections
from sweep.reading.comparable import conditions
from sweep.reading.sweep import Sweep
from sweep.records.names import control_name
from sweep.space import Constraint

REAL, CENTRAL, INDEPENDENT = control_name("real"), control_name("central"), control_name("independent")
_CONTROLS = {
    CENTRAL: "a WGAN-GP of joined rows, without a mechanism: what the nets can do where one party holds all columns",
    INDEPENDENT: "a WGAN-GP a party, none of which hears of another",
    REAL: "private rows themselves in the published rows' place: {fd}, and what the audit finds at most",
}
_FLOOR = "the floor of fd"
_FEWER = "fd over {rows} of them, which would be lower over as many as are synthesised"


# By mechanism, what its ε is.
_OF_EPSILON = {
    "record": "proven of one row more or less, all parties' parts of it together, for whoever sees published rows, generators and "
    "critics of one trial, and not the seeds, which this run's plan tells: a figure for research, and no promise for a release, "
    "which `sweep.release` trains by secret noise; neither for who follows the protocol's messages nor of the choice among trials",
    "published": "claimed by the mechanism's authors, and proven of nothing: generators learn through layers without noise",
    "none": "infinite, for no mechanism is used",
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
            "rows": f"{numbers or 'not read yet'}; {synthesised(sweep)} are synthesised",
            "parties": f"split {' or '.join(facts['split']) or 'not known yet'}",
            "fd": f"taken in {' or '.join(facts['feature_network']) or 'features'}, to public rows" + _floors(sweep),
            "epsilon": f"δ {deltas}; {proven(sweep)}",
            "audit": "a lower bound: what it does not find may be there all the same. Canaries are in by fair coins; the ceiling "
            "is what it could find at most",
            **{name: text.format(fd=_real_fd(sweep)) for name, text in _CONTROLS.items() if name in sweep.controls},
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


def synthesised(sweep: Sweep) -> str:
    """How many rows are synthesised; ``?`` where none are yet. Of private rows in their place there may be fewer."""
    trained = [name for name in sweep.trial_table["trial_id"].to_pylist() if name != REAL]
    return " or ".join(conditions(sweep, trained)["synthetic_rows"]) or "?"


def _real_fd(sweep: Sweep) -> str:
    """What fd of private rows themselves is beside the others': the least, where it is over as many."""
    rows = conditions(sweep, [REAL])["synthetic_rows"]
    fewer = [number for number in rows if int(number) < sweep.plan["samples"]]
    return _FEWER.format(rows=" or ".join(fewer)) if fewer else _FLOOR


def proven(sweep: Sweep) -> str:
    """What ε is of in this run."""
    names = set(sweep.plan.get("mechanisms", {}).values())
    said = [words for mechanism, words in _OF_EPSILON.items() if mechanism in names]
    if len(said) == 1:
        return said[0]
    return "; ".join(f"{name}: {words}" for name, words in _OF_EPSILON.items() if name in names) or _OF_EPSILON["none"]


def _floors(sweep: Sweep) -> str:
    floors = sweep.prepared.get("floors")
    if not floors:
        return ""
    of = {kind: floors[kind]["fd"][0] for kind in ("real", "shuffled", "blind")}
    return f": private rows {of['real']:.3g}, parties shuffled {of['shuffled']:.3g}, the schema alone {of['blind']:.3g}"
