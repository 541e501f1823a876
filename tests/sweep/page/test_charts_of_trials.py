"""Charts of trials in a real Chromium: figures against parameters, axes over declared ranges, what the front leaves out, and
which worker ran what when.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from recorded_run import without_attacks, write_run

from sweep.page import contents
from sweep.reading import nearest

EARLIER = Path(__file__).parents[2] / "data" / "run_of_27ff86b"
Open = Callable[..., Page]
POINTS = "document.getElementById('against').data.flatMap(t => t.customdata.map(i => data.runs[0].trials.id[i])).sort()"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return contents.write([write_run(tmp_path_factory.mktemp("charts") / "run", artifacts=False)])


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return contents.write([shutil.copytree(EARLIER, tmp_path_factory.mktemp("charts") / "earlier")])


def test_any_figure_is_drawn_against_any_parameter_of_however_few_trials(opened: Open, recorded: Path) -> None:
    page = opened(recorded)
    chart = page.locator("#against")
    expect(chart.locator(".main-svg").first).to_be_attached()
    assert page.locator("#against-parameter").locator("option").all_text_contents() == [
        "lr",
        "replacement",
        "noise_scale",
        "steps",
    ]
    page.locator("#against-parameter").select_option("steps")
    page.locator("#against-figure").select_option("fid_delta")
    expect(page.locator("#against-told")).to_have_text("4 of 11 trials have both.")
    assert page.evaluate(POINTS) == [f"label_swap-000{i}" for i in range(4)]
    low, high = page.evaluate("document.getElementById('against')._fullLayout.xaxis.range")
    assert low == pytest.approx(10 - 0.04 * 190) and high == pytest.approx(200 + 0.04 * 190), "the declared 10 to 200"
    page.locator("#against-parameter").select_option("lr")
    kind, (low, high) = page.evaluate(
        "(({type, range}) => [type, range])(document.getElementById('against')._fullLayout.xaxis)"
    )
    assert kind == "log" and math.floor(low) == -6 and math.ceil(high) == -2
    listed = chart.locator(".legendtext").all_text_contents()
    assert len(listed) == page.evaluate("document.getElementById('against').data.length")
    assert {"dimum: on the front", "dimum: stopped early", "label_swap: infeasible, confirmed"} <= set(listed)
    page.locator("#against-parameter").select_option("replacement")
    assert page.evaluate("document.getElementById('against').layout.xaxis.ticktext") == ["noise", "one_image"]


def test_a_trial_whose_bounds_alone_fresh_seeds_have_shown_is_hollow_at_its_one_seed(
    opened: Open, tmp_path: Path
) -> None:
    run = write_run(tmp_path / "run", artifacts=False)
    for trial in ("dimum-0000", "label_swap-0001"):  # which keeps its bounds on fresh seeds, and which does not
        without_attacks(run, trial)
    page = opened(contents.write([run]))
    drawn = page.evaluate("""document.getElementById('front').data.flatMap(t => (t.customdata ?? []).map((at, i) =>
        [data.runs[0].trials.id[at[1]], t.x[i], t.y[i], t.marker.symbol]))""")
    marks = {trial: tuple(mark) for trial, *mark in drawn}
    assert marks["dimum-0000"] == (2.0, 0.8, "circle-open") and marks["label_swap-0001"] == (3.8, 0.75, "square-open")
    told = page.evaluate(
        "document.getElementById('front').data.flatMap(t => t.hovertext ?? []).find(t => t.includes('label_swap-0001'))"
    )
    assert "one seed, search only; feasible or not by 3 fresh seeds of its bounds alone" in told
    row = page.locator("#trials tr", has_text="label_swap-0001")
    expect(row).to_contain_text("0 to 3")
    row.locator("a").click()
    expect(page.locator("#panel")).to_contain_text("one seed, search only; feasible or not by 3 fresh seeds")


def test_a_click_on_a_point_or_a_bar_opens_its_trial_and_a_brush_dims_the_others(opened: Open, earlier: Path) -> None:
    page = opened(earlier)
    for chart, trial in (("against", "dimum-0001"), ("timeline", "label_swap-0000")):
        expect(page.locator(f"#{chart} .main-svg").first).to_be_attached()
        at = f"""document.getElementById("{chart}").emit("plotly_click",
            {{points: [{{customdata: data.runs[0].trials.id.indexOf("{trial}")}}]}})"""
        page.evaluate(at)
        expect(page.locator("#panel h3")).to_have_text(trial)
    page.evaluate("parallel.set('robustness', {low: 0.96, high: null})")
    selected = """document.getElementById('against').data
        .flatMap(t => t.selectedpoints?.map(i => data.runs[0].trials.id[t.customdata[i]]))"""
    page.wait_for_function(f"{selected}.includes('dimum-0000')")
    assert page.evaluate(f"{selected}.includes('dimum-0001')") is False


def test_every_worker_has_a_lane_with_a_bar_a_replicate(opened: Open, earlier: Path) -> None:
    page = opened(earlier)
    expect(page.locator("#timeline .main-svg").first).to_be_attached()
    drawn = page.evaluate(
        "document.getElementById('timeline').data.map(t => [t.name, t.x.length, t.marker.pattern.shape])"
    )
    assert sum(count for _, count, _ in drawn) == 22
    assert ["dimum: stopped or failed", 1, "/"] in drawn
    assert page.evaluate("document.getElementById('timeline').layout.yaxis.ticktext") == ["node, worker 1"]
    assert page.evaluate("document.getElementById('timeline').layout.xaxis.title.text").startswith(
        "min since 2026-11-28"
    )


def test_parallel_axes_span_what_the_question_declares(opened: Open, recorded: Path, earlier: Path) -> None:
    ends = "parallel.axes.filter(a => !a.words).map(a => [a.name, a.low, a.high])"
    declared = {name: (low, high) for name, low, high in opened(recorded).evaluate(ends)}
    assert declared["lr"] == (1e-5, 1e-3) and declared["steps"] == (10, 200) and declared["noise_scale"] == (0.1, 2.0)
    found = {name: (low, high) for name, low, high in opened(earlier).evaluate(ends)}
    assert found["steps"] == (45, 150), "a plan from before ranges were recorded: as far as trials went"


def test_what_the_front_does_not_show_is_counted(opened: Open, recorded: Path) -> None:
    page = opened(recorded)
    told = page.evaluate("document.getElementById('front').layout.annotations.map(a => a.text)")
    assert "3 further right, 1 of them stopped early →" in told and "↓ 1 below, base model at 0.030" in told
    expect(page.locator("#undrawn")).to_have_text("Not drawn: 1 that did not finish.")
    symbols = page.evaluate(
        "Object.fromEntries(document.getElementById('front').data.map(t => [t.name, t.marker.symbol]))"
    )
    assert symbols["label_swap: infeasible, confirmed"] == "square" and symbols["dimum: infeasible"] == "circle-open"


def test_the_table_of_a_thinned_page_says_how_many_trials_there_are(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(tmp_path / "run", artifacts=False)
    monkeypatch.setattr(contents, "held", lambda sweep: nearest.held(sweep, 8))
    told = opened(contents.write([run])).locator("#trials-told")
    expect(told).to_contain_text("They are the 8 trials that this page draws, of 11.")
