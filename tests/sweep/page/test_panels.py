"""The page of a procedure that adds nothing to it, and of one that adds its own curves, lines, tables and pictures."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from recorded_run import write_run

from sweep import procedures
from sweep.page import contents, figures
from sweep.page.caption import caption
from sweep.procedures.panels import (
    Axes,
    Caption,
    Control,
    Curve,
    Curves,
    Grid,
    Heading,
    Line,
    NoPanels,
    Panel,
    Pictures,
    Row,
    Section,
    Series,
    Table,
    Wording,
)
from sweep.procedures.sections import NoSections
from sweep.reading.arm_against_arm import standings
from sweep.reading.sweep import read_sweep
from sweep.space import CONTROL
from sweep.statistics.estimates import Estimate

Open = Callable[..., Page]
OURS = re.compile(r"under attack|FID budget|retrain control|forgotten condition|Samples|data digits")


class OtherPanels(NoPanels):
    """Of a procedure whose trials are watched day by day."""

    exported = "base_model"

    def wording(self, sweep: Any) -> Wording:
        return Wording((("garden", "<south>"),), "garden south", stopped="a harvest", quality="Weeds")

    def caption(self, sweep: Any) -> Caption:
        return Caption(subject="in the south", facts=("Soil: clay.",), origin="Seeds of 1999")

    def controls(self) -> Mapping[str, Control]:
        return {"control-base": Control("fallow", in_view=False)}

    def lines(self, sweep: Any) -> Sequence[Line]:
        return Line("robustness", 0.8, "aim $1"), Line("fid_delta", 3.0, "limit"), Line("kid", 1.0, "of no axis")

    def curves(self, sweep: Any) -> Curves:
        axes = Axes("day", "height", (0, 7), "day")
        every = (Series("retain"), Series("synthetic", "in the shade", "it is north"))
        heading = "day by day"
        return Curves(
            "relearning_accuracy", axes, every, "Heights", "Nothing grew", heading, "In cm.", "{trial} in {series}"
        )

    def panels(self, sweep: Any) -> Sequence[Panel]:
        values = (Estimate(1.0, None, None, 1), Estimate(5.0, 4.0, 6.5, 3))
        best, fallow = ("the best", "dimum", "dimum-0001"), ("fallow", CONTROL, "control-base")
        curves = tuple(Curve(*one, (0, 7), values) for one in (best, fallow))
        return (Panel(Series("synthetic", "in the shade", "it is north"), True, curves),)

    def pictures(self, sweep: Any) -> Pictures:
        return Pictures({"retained": "the bed"}, ("score",), ("artifact",), 1, "Beds.", "from above.", "Photographs")

    def strip(self, replicate: Row, curves: Iterable[Row]) -> Sequence[Grid]:
        return (("in spring", replicate["score"]), ("in autumn", None))

    def sections(self, sweep: Any, trials: Sequence[Any]) -> Sequence[Section]:
        heads = (Heading("plant", "trial"), Heading("colour", "words"), Heading("height"))
        rows = tuple((m.trial_id, "<red>", m.at("robustness")) for m in trials)
        table = Table("Plants", heads, rows, "As they stand.", "Plants", folded=rows[:1], summary="One more")
        return (
            Section(
                "growth", "Growth", "Upwards.", panels=self.panels(sweep), nothing="Nothing yet", label="Growth in days"
            ),
            Section("beds", "Beds", tables=(table,), pictures=True),
        )


def of(monkeypatch: pytest.MonkeyPatch, panels: Callable[[], Any]) -> None:
    """From here on a run's procedure has these panels, and adds nothing elsewhere."""
    other = dataclasses.replace(procedures.named("relearning"), panels=panels, sections=NoSections)
    monkeypatch.setattr(procedures, "named", lambda name: other)


def test_a_procedure_that_adds_nothing_has_a_page(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(tmp_path / "run")
    of(monkeypatch, NoPanels)
    page = opened(contents.write([run]))
    expect(page.locator("#panel h3")).to_have_text("dimum-0001")
    assert page.locator("#panel-wide *").count() == 0
    assert page.locator("article h3", has_text="Further figures").count() == 1
    told = page.inner_text("main").rpartition("What every figure depends on")[
        0
    ]  # below, columns are told in their own words
    assert not OURS.search(told), OURS.search(told)
    assert "Export" not in told and "control-retrain" in told and "stopped early." in told
    sweep = read_sweep(run)
    drawn = figures.front_figure(sweep)
    assert not [t for t in drawn.axes[0].texts if "budget" in t.get_text()]
    assert drawn.axes[0].get_title("left") == "recorded"
    assert [t.get_text() for t in drawn.legends[0].get_texts()][-2:] == ["control-base", "control-retrain"]
    assert figures.png_bytes(figures.curves_figure(sweep))
    assert "robustness against fid_delta. Filled" in caption(sweep) and "\nPlan's seed 7; space" in caption(sweep)


def test_a_procedure_adds_curves_lines_tables_and_pictures(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(tmp_path / "run")
    (run / "members").mkdir()
    of(monkeypatch, OtherPanels)
    page = opened(contents.write([run]))
    told = page.inner_text("main").rpartition("What every figure depends on")[
        0
    ]  # below, columns are told in their own words
    for said in (
        "recorded · garden <south> · run",
        "stopped early, without a harvest.",
        "Weeds",
        "synthetic (in the shade: it is north)",
        "dimum-0001 day by day",
        "In cm.",
        "dimum-0001\t<red>\t0.88 [0.84, 0.92]",
        "Seed 101, from above.",
        "Photographs",
        "Export its model",
        f"python -m sweep.export {run} dimum-0001 --replicate 1 --members {run}/members -o dimum-0001-model",
    ):
        assert said in told, said
    assert page.locator(".contents a", has_text="Growth").get_attribute("href") == "#run0-growth"
    page.get_by_text("One more").click()
    assert page.locator("details table[aria-label], details [aria-label='Plants, step by step'] td a").count() == 1
    front = page.evaluate("document.getElementById('front').layout")
    assert [a["text"] for a in front["annotations"][:2]] == ["aim $1 0.8", "limit 3"]
    assert [(s["x0"], s["y0"]) for s in front["shapes"]] == [(0, 0.8), (3, 0)]
    wide = page.locator("#panel-wide")
    assert wide.locator("figcaption").all_inner_texts() == [
        "retain",
        "synthetic (in the shade)",
        "in spring",
        "in autumn",
    ]
    assert wide.locator(".chart").first.get_attribute("aria-label") == "dimum-0001 in retain"
    steps = page.evaluate("document.querySelector('#panel-wide .chart').data.at(-1).x")
    assert steps == [0, 1, 3, 7], "a step lies at its own number"
    assert "day = 7" in page.evaluate("document.querySelector('#panel-wide .chart').data.at(-1).hovertext.at(-1)")
    assert (
        page.locator("#panel-wide .strip img").count() == 1
        and wide.locator(".missing").inner_text() == "no samples recorded"
    )
    page.locator("#run0-growth0").scroll_into_view_if_needed()
    best = page.evaluate("document.getElementById('run0-growth0').data.filter(t => t.name).map(t => [t.name, t.y])")
    assert best == [["the best", [1, 5]], ["fallow", [1, 5]]], "heights are no shares"
    sweep = read_sweep(run)
    lines = {t.get_text() for t in figures.front_figure(sweep).axes[0].texts}
    assert {r"aim \$1 0.8", "limit 3"} <= lines and not [t for t in lines if "axis" in t]
    assert figures.png_bytes(figures.curves_figure(sweep))
    said = caption(sweep)
    assert "robustness against fid_delta in the south. Filled" in said and "\nSoil: clay.\n" in said
    assert "\nSeeds of 1999; plan's seed 7; space recorded" in said


def test_a_sweep_of_one_arm_tells_what_is_relearned_beyond_the_control() -> None:
    """Attacks whose data hold what was forgotten are judged by nothing else, and one arm has no other to be compared with."""
    sweep = read_sweep(Path(__file__).parents[3] / "benchmarks" / "at_length" / "dimum_robustness-digits-8")
    assert len(sweep.arms) == 1
    (attacks, _) = sweep.procedure.panels().sections(sweep, ())
    (told,) = attacks.tables
    assert told.rows and {row[1] for row in told.rows} == {"dimra-public_all-1e-3@63"} and told.folded
    (best,) = (s.member for s in standings(sweep) if s.member is not None)
    (expected,) = (e for e in sweep.sections.excess(sweep, best) if e.step == 63)
    assert told.rows[0][-1] == expected.difference and expected.difference is not None
