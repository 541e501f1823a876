"""What a reader sees of a page of the default size whose main arm has the longest name there can be: all of it, on a phone, a
wide screen and paper, with the keyboard alone; and the table of every trial.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from accessibility import faults, grave_faults
from playwright.sync_api import Page, expect
from recorded_run import write_default, write_run

from sweep.page import contents

NAME = "unlearning-by-replacement.with_the_nearest_retained_conditio"
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert len(NAME) == 60
    return contents.write([write_default(tmp_path_factory.mktemp("fits") / "run", named=NAME)])


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return contents.write([write_run(tmp_path_factory.mktemp("fits") / "run", artifacts=False)])


@pytest.mark.parametrize("width", [390, 1600])
def test_nothing_is_cut_and_what_scrolls_can_be_scrolled_by_keyboard(opened: Open, written: Path, width: int) -> None:
    page = opened(written, width)
    for summary in page.locator("summary:visible").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    over = """[...document.querySelectorAll("body *")].filter(e => !e.closest(".scroll, svg, .hoverlayer, .modebar")
        && (e.getBoundingClientRect().right > innerWidth + 1 || (e.scrollWidth > e.clientWidth + 1 && e.clientWidth
        && getComputedStyle(e).overflowX !== "visible"))).map(e => e.outerHTML.slice(0, 90))"""
    assert page.evaluate(over) == []
    silent = """[...document.querySelectorAll("body *")].filter(e => /auto|scroll/.test(getComputedStyle(e).overflowX)
        && e.scrollWidth > e.clientWidth + 1 && !(e.tabIndex === 0 && e.getAttribute("role") === "region"
        && (e.ariaLabel || document.getElementById(e.getAttribute("aria-labelledby"))))).map(e => e.outerHTML.slice(0, 90))"""
    assert page.evaluate(silent) == []
    table = page.get_by_role("region", name="Every trial")
    table.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("e => e.scrollLeft > 0", arg=table.element_handle())


@pytest.mark.parametrize("width", [390, 1600])
def test_words_in_charts_stay_within_them(opened: Open, written: Path, width: int) -> None:
    page = opened(written, width)
    page.locator("#run0-facts").scroll_into_view_if_needed()  # by now every chart is drawn
    beyond = """[...document.querySelectorAll(".chart")].flatMap(chart => {
        const box = chart.getBoundingClientRect();
        return [...chart.querySelectorAll("svg text")].filter(text => {
            const own = text.getBoundingClientRect();
            return own.width && (own.left < box.left - 1 || own.right > box.right + 1);
        }).map(text => `${chart.id} ${text.textContent}`);
    })"""
    assert page.evaluate(beyond) == []
    assert page.evaluate("document.querySelectorAll('.chart svg text').length") > 50
    overlapping = """[...document.querySelectorAll("#panel-wide .curves figure")].filter(f =>
        f.querySelector("svg").getBoundingClientRect().right > f.getBoundingClientRect().right + 1).length"""
    assert page.evaluate(overlapping) == 0


def cut(page: Page) -> list[str]:
    """Heads and ticks of the parallel axes that are outside what can be seen or scrolled to, and numbers that lose digits."""
    return page.evaluate("""(() => { const box = document.getElementById("parallel").getBoundingClientRect();
        return [...document.querySelectorAll("#parallel b, #parallel .tick")].filter(e => {
            const own = e.getBoundingClientRect();
            return own.left < box.left - 1 || own.right > box.right + 1 || own.top < box.top || own.bottom > box.bottom
                || (/^[-\\d]/.test(e.textContent) && e.scrollWidth > e.clientWidth); // a number loses no digit
        }).map(e => e.textContent) })()""")  # type: ignore[no-any-return]


def test_members_and_parallel_axes_fit_a_wide_screen(opened: Open, written: Path) -> None:
    page = opened(written)
    tables = page.locator(".scroll[aria-label*=embers]")
    assert tables.count() == 4, "figures and parameters of two arms"
    for table in tables.all():
        assert table.evaluate("e => e.scrollWidth <= e.clientWidth")
    heads = page.locator(f"[aria-label='Parameters of the members of {NAME}'] th").all_inner_texts()
    assert [h.replace("\u200b", "") for h in heads[:4]] == [
        "trial",
        "replacement",
        "replacement_images",
        "learning_rate",
    ]
    assert page.locator("#parallel").evaluate("e => e.parentElement.scrollWidth <= e.parentElement.clientWidth")
    assert page.locator(".axis").count() == 12 and cut(page) == []


def test_axes_keep_their_names_on_a_phone_and_on_paper(opened: Open, written: Path) -> None:
    page = opened(written, 390)
    assert cut(page) == []
    page.set_viewport_size({"width": 1600, "height": 900})
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#parallel").evaluate("e => e.clientWidth") <= 700
    assert cut(page) == []


def test_the_legend_has_every_marker_that_is_drawn(opened: Open, recorded: Path) -> None:
    page = opened(recorded)
    drawn = page.evaluate("""document.getElementById("front").data.filter(t => t.hoverinfo !== "skip")
        .map(t => [t.marker.symbol, t.marker.color, t.showlegend !== false])""")
    assert len(drawn) > 8 and len({(symbol, colour) for symbol, colour, _ in drawn}) > 6
    assert all(listed for *_, listed in drawn), drawn
    told = page.locator("#front .legendtext").all_text_contents()
    for said in (
        "dimum: infeasible",
        "label_swap: infeasible",
        "dimum: feasible, confirmed off the front",
        "base model",
    ):
        assert said in told


def test_every_trial_is_sorted_narrowed_and_saved(opened: Open, recorded: Path) -> None:
    page = opened(recorded)
    rows, told = page.locator("#trials tbody tr"), page.locator("#trials-told")
    expect(told).to_have_text("13 of 13 rows, controls included.")
    page.locator("#trials").get_by_role("button", name="robustness").click()
    expect(rows.first).to_contain_text("dimum-0003")  # .95
    expect(rows.last).to_contain_text("label_swap-0003")  # never attacked: last either way
    page.locator("#trials").get_by_role("button", name="robustness").click()
    expect(rows.first).to_contain_text("control-base")
    expect(page.locator("#trials th[aria-sort]")).to_have_attribute("aria-sort", "ascending")
    page.get_by_label("Words").fill("dimum noise")
    expect(told).to_have_text("3 of 13 rows, controls included.")
    page.evaluate("parallel.set('fid_delta', { low: 3.1, high: 4 })")
    expect(told).to_have_text("1 of 13 rows, controls included.")
    with page.expect_download() as saving:
        page.get_by_role("button", name="Save as CSV").click()
    assert saving.value.suggested_filename == "run-trials.csv"
    with saving.value.path().open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["trial"], row["standing"], row["seeds"], row["noise_scale"]) == (
        "dimum-0001",
        "on the front",
        "3",
        "0.5",
    )
    ends = [float(row[name]) for name in ("robustness", "robustness_lower", "robustness_upper")]
    assert ends == pytest.approx([0.88, 0.83834, 0.91672], abs=1e-4)
    page.locator("#trials a").click()
    expect(page.locator("#panel h3")).to_have_text("dimum-0001")


def test_contents_lead_everywhere_and_steps_before_the_last_are_folded(opened: Open, recorded: Path) -> None:
    page = opened(recorded, 390)
    links = page.get_by_role("navigation", name="Contents").get_by_role("link")
    assert links.count() == page.locator("h2:visible").count()
    for link in links.all():
        assert page.locator(f"[id='{(link.get_attribute('href') or '')[1:]}']").inner_text() == link.inner_text()
    folded = page.get_by_role("region", name="dimum against label_swap, step by step")
    shown = page.get_by_role("region", name="dimum against label_swap", exact=True)
    expect(folded).to_be_hidden()
    text = shown.inner_text()
    assert "before any attack" in text and "after retain@7" in text and "after retain@3" not in text
    excess = page.get_by_role("region", name="In excess of the retrain control: dimum against label_swap", exact=True)
    assert "public_all@7" in excess.inner_text() and "public_all@3" not in excess.inner_text()
    page.get_by_text("At every step before the last").first.click()
    expect(folded).to_contain_text("after retain@3")


def test_nothing_grave_bars_readers_from_the_page(opened: Open, written: Path) -> None:
    page = opened(written)
    assert grave_faults(page) == []
    page.locator(".scroll").first.evaluate("box => { box.style.width = '90px'; box.tabIndex = -1; }")
    assert "serious scrollable-region-focusable" in str(list(faults(page))), "what would bar them is found"
