"""What the page and the plot show of relearning alone: recovery curves, what attacks do to each arm, pictures along the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sweep.procedures.panels import (
    Caption,
    Control,
    Curves,
    Grid,
    Line,
    Panel,
    Pictures,
    Row,
    Section,
    Table,
    Wording,
)
from sweep.procedures.sections import Difference
from sweep.reading.arm_against_arm import FEW_ARMS, Comparison
from sweep.reading.sweep import Sweep
from sweep.reading.trial import Trial
from sweep.records.names import BASE, RETRAIN, UNSEEN
from sweep.relearning import page_tables, page_words, panels, strips
from sweep.relearning.columns import FID_BUDGET

_BUDGETED = "fid_delta"  # the figure whose budget the prepare phase finds


class RelearningPanels:
    """The panels of a run of relearning; see `sweep.procedures.panels.Panels`."""

    exported = "unlearned_model"

    def wording(self, sweep: Sweep) -> Wording:
        return page_words.wording(sweep)

    def caption(self, sweep: Sweep) -> Caption:
        return page_words.caption(sweep)

    def controls(self) -> Mapping[str, Control]:
        """The base model forgot nothing, so it lies far from every front."""
        return {
            BASE: Control("base model", in_view=False),
            RETRAIN: Control("retrain control"),
            UNSEEN: Control("unseen concept, learned anew", in_view=False),
        }

    def lines(self, sweep: Sweep) -> Sequence[Line]:
        budget = sweep.bounds.get(FID_BUDGET)
        if budget is None or _BUDGETED not in (o.metric for o in sweep.objectives):
            return ()
        return (Line(_BUDGETED, budget, "FID budget"),)

    def curves(self, sweep: Sweep) -> Curves | None:
        return panels.curves(sweep)

    def panels(self, sweep: Sweep) -> Sequence[Panel]:
        return panels.recovery_panels(sweep)

    def pictures(self, sweep: Sweep) -> Pictures | None:
        attacks = sweep.plan["attacks"]
        return strips.pictures(len(attacks["search"] or attacks["confirm"]), strips.kinds(sweep.prepared))

    def strip(self, replicate: Row, curves: Iterable[Row]) -> Sequence[Grid]:
        return strips.strip(replicate, curves)

    def sections(self, sweep: Sweep, trials: Sequence[Trial]) -> Sequence[Section]:
        many = (
            " The arms that stand first are drawn; the legend shows the others." if len(sweep.arms) > FEW_ARMS else ""
        )
        return (
            Section(
                "attacks",
                "Relearning under attack",
                "Relearning accuracy after k attack steps: lower is better. Best member of each arm, base model and retrain "
                f"control.{many}",
                panels=panels.recovery_panels(sweep),
                nothing="No attack is recorded yet.",
                label="Relearning accuracy against attack steps",
                tables=tuple(page_tables.excess_of_bests(sweep)),
            ),
            Section(
                "yields",
                page_tables.yields_now(sweep),
                f"Samples prompted with {page_tables.forgotten(sweep)}, before any attack. Top class: the class most of them "
                "are given. Diversity: mean standard deviation of a pixel, 0 for one repeated image.",
                tables=(page_tables.yields(sweep, trials), *page_tables.audits(sweep)),
                pictures=True,
            ),
        )

    def folded(self, sweep: Sweep, difference: Difference) -> bool:
        """Whether it is of a rung between the first and the last."""
        return difference.step in sweep.plan["rungs"][1:-1]

    def comparison(self, sweep: Sweep, pair: Comparison) -> Sequence[Table]:
        return page_tables.excess(sweep, pair)
