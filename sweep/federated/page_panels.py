"""What the page and the plot show of federated trials alone: fd by round and party, privacy and audits, published images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sweep.federated import page_curves, page_tables
from sweep.federated.columns import SHUFFLED_FD, SYNTHETIC, WANTED_EPSILON
from sweep.federated.sections import CENTRAL, INDEPENDENT, REAL, mechanisms, proven, synthesised
from sweep.procedures.panels import (
    Caption,
    Control,
    Curves,
    Grid,
    Line,
    NoPanels,
    Panel,
    Pictures,
    Row,
    Section,
    Wording,
)
from sweep.reading.comparable import conditions
from sweep.reading.sweep import Sweep
from sweep.reading.trial import Trial

CONTROLS = {
    CENTRAL: Control("central WGAN-GP"),
    INDEPENDENT: Control("independent parties", in_view=False),
    REAL: Control("private rows"),
}


class FederatedPanels(NoPanels):
    """The panels of a run of federated trials; see `sweep.procedures.panels.Panels`."""

    exported = SYNTHETIC  # the column of the published rows' key

    def wording(self, sweep: Sweep) -> Wording:
        plan, judge = sweep.plan, sweep.prepared.get("judge_accuracy")
        return Wording(
            subject=(("data", plan["data"]), ("privacy", mechanisms(sweep))),
            title=f"{plan['data']}, {mechanisms(sweep)}",
            planned=f"data {plan['data']}, {mechanisms(sweep)}",
            course="Every trial parts its rows among the parties, trains, publishes synthetic rows, is scored against public rows, "
            "and is audited.",
            confirmed_by="with fresh coins of the canaries",
            prepared=f"The judge of images is right on {100 * judge:.1f} % of test rows." if judge is not None else "",
            stopped="a score",
            quality="Further figures of synthetic rows",
            controls="Controls are trained without a mechanism; they show what the nets can do, and no ε is theirs.",
        )

    def caption(self, sweep: Sweep) -> Caption:
        facts = conditions(sweep)
        references = " or ".join(key[:12] for key in facts["reference"]) or "not recorded"
        return Caption(
            subject=f"of {sweep.plan['data']}, {mechanisms(sweep)}",
            lines="Dashed lines: the ε wanted, and controls that have none; or real rows whose parties are shuffled.",
            facts=(
                f"N: {synthesised(sweep)} synthetic rows.",
                f"Features: {' or '.join(facts['feature_network']) or 'not recorded'}; public rows' statistics {references}.",
                f"ε: {proven(sweep)}.",
            ),
        )

    def controls(self) -> Mapping[str, Control]:
        return CONTROLS

    def lines(self, sweep: Sweep) -> Sequence[Line]:
        """The ε wanted and controls that have none; where no ε is asked for, what real rows of shuffled parties have."""
        drawn = {objective.metric for objective in sweep.objectives}
        lines = []
        if WANTED_EPSILON in sweep.prepared:
            lines.append(Line("epsilon", sweep.prepared[WANTED_EPSILON], "ε wanted"))
        if "epsilon" in drawn:  # those without an ε have no place on the front
            for name in (CENTRAL, REAL):
                fd = sweep.controls[name].value("fd") if name in sweep.controls else None
                if fd is not None:
                    lines.append(Line("fd", fd, f"{CONTROLS[name].name}, no ε"))
        elif SHUFFLED_FD in sweep.prepared:
            lines.append(Line("fd", sweep.prepared[SHUFFLED_FD], "parties shuffled"))
        return [line for line in lines if line.metric in drawn]

    def curves(self, sweep: Sweep) -> Curves:
        return page_curves.curves(sweep)

    def panels(self, sweep: Sweep) -> Sequence[Panel]:
        return page_curves.panels(sweep)

    def pictures(self, sweep: Sweep) -> Pictures | None:
        """Some of the published images; None of tables."""
        if sweep.prepared.get("judge_accuracy") is None:
            return None
        return Pictures(
            {SYNTHETIC: "synthetic images"},
            replicate=("score",),
            curves=(),
            grids=1,
            note="Some of the synthetic images; beside the control of private rows stand public ones. −1 is black and 1 white.",
            note_of_one="synthetic images; −1 is black and 1 white.",
            heading="Synthetic images",
            reference=REAL,
        )

    def strip(self, replicate: Row, curves: Iterable[Row]) -> Sequence[Grid]:
        return [("public rows" if replicate["trial_id"] == REAL else "synthetic", replicate["score"])]

    def sections(self, sweep: Sweep, trials: Sequence[Trial]) -> Sequence[Section]:
        return (
            Section(
                "rounds",
                "Fréchet distance by round and party",
                "Of whole rows in the features named above, and of each party's part in its own columns: lower is better. Best "
                "member of each arm, and controls. The last weights are published, never the best ones: choosing among them by "
                "private rows would spend privacy that is not accounted for.",
                panels=page_curves.panels(sweep),
                nothing="No round is recorded yet.",
                label="Fréchet distance against rounds",
            ),
            Section(
                "privacy",
                "What privacy is certified, claimed and audited",
                f"ε: {proven(sweep)}. An audit's bound is a lower one: above a certified ε the mechanism or its proof is broken; "
                "below it nothing is refuted.",
                tables=(page_tables.privacy(sweep, trials),),
                pictures=True,
            ),
        )
