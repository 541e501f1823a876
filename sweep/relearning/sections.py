"""What readers of a run are told of relearning alone, beside what they are told of every procedure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sweep.procedures.sections import Difference, Excess, NoSections
from sweep.reading.sweep import Sweep
from sweep.reading.trial import Trial
from sweep.relearning import differences
from sweep.relearning.columns import FID_BUDGET
from sweep.relearning.definitions import definitions, k
from sweep.relearning.question import parts_of_method
from sweep.space import Constraint


class Sections(NoSections):
    """The `sweep.procedures.sections.Sections` of relearning."""

    compared: Sequence[str] = ("kid", "precision", "recall")  # beside a Fréchet distance of few samples
    compared_at = "attack and rung"
    excess_note = "* holds forgotten data: relearning is judged against the retrain control"
    first_stages: Sequence[str] = ("unlearn", "base score", "score")

    def about(self, sweep: Sweep) -> str:
        return f"data {sweep.plan['data']}, forget {sweep.plan['forget']}"

    def definitions(self, sweep: Sweep) -> Mapping[str, str]:
        return definitions(sweep)

    def meaning(self, sweep: Sweep, description: str) -> str:
        """A figure's description with this run's K."""
        return description.replace("@K", f"@{k(sweep)}")

    def remark(self, figure: str) -> str:
        if figure != "malicious_robustness":
            return ""
        return (
            "read it against the retrain control's, which never knew it: on one seed that is a constant, so the order "
            "of two models is that of their excess over it"
        )

    def further(self, sweep: Sweep) -> Sequence[str]:
        """The audits'."""
        return sweep.columns.of("audited")

    def facts(self, sweep: Sweep) -> Mapping[str, Any]:
        return {"k": k(sweep)}

    def corner(self, sweep: Sweep, value: float) -> str:
        at_budget = sweep.objectives[1].metric == "fid_delta" and value == sweep.bounds.get(FID_BUDGET)
        return "the FID budget" if at_budget else ""

    def broke(self, constraint: Constraint) -> str:
        if constraint.metric == "fid_delta" and constraint.side == "at_most":
            return "exceeded the FID budget"
        if constraint.metric == "unlearning_accuracy" and constraint.side == "at_least":
            return "had not unlearned"
        return ""

    def wrapped(self, method: str) -> str:
        """``dimum`` of ``meta(dimum)``."""
        return parts_of_method(method)[1]

    def agreeing(self, plan: Mapping[str, Any]) -> Mapping[str, str]:
        """What was forgotten of which data, and what was attacked how; an older plan does not say by which settings."""
        asked = {name: str(plan.get(name)) for name in ("data", "forget", "rungs", "attacks")}
        asked |= {name: str(plan.get(name) or "") for name in ("data_limit", "data_fingerprint")}
        if "attack_settings" in plan:
            asked["attack_settings"] = json.dumps(plan["attack_settings"], sort_keys=True)
        return asked

    def missing_controls(self, sweep: Sweep) -> Sequence[str]:
        reason = sweep.prepared.get("without_control")
        if not reason:
            return ()
        return (f"no retrain control: {reason}; attacks that hold forgotten data have no excess",)

    def differences(self, sweep: Sweep, main: Trial, baseline: Trial) -> Iterator[Difference]:
        """Attack by attack: what was unlearned, then what the attack ruined."""
        yield from differences.unlearned(sweep, main, baseline)
        yield from differences.ruined(sweep, main, baseline)

    def excess(self, sweep: Sweep, trial: Trial) -> Iterator[Excess]:
        yield from differences.excess(sweep, trial)
