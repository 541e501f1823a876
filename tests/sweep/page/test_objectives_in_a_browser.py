"""The page of a sweep of one objective and of one of three, in a real Chromium: what is drawn, walked and chosen."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Open
from playwright.sync_api import Page, expect
from recorded_run import write_asked

from sweep.page.contents import write

ROBUST, CHEAP, GONE = ("robustness", "maximise"), ("fid_delta", "minimise"), ("unlearning_accuracy", "maximise")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One page of a sweep of one objective and, beside it, of one of three."""
    folder = tmp_path_factory.mktemp("pages")
    return write(
        [write_asked(folder / "one", ROBUST), write_asked(folder / "three", ROBUST, CHEAP, GONE)], folder / "both.html"
    )


def says(page: Page, right: str, up: str) -> None:
    """What the axes of the front say."""
    expect(page.locator("#front .xtitle")).to_have_text(right)
    expect(page.locator("#front .ytitle")).to_have_text(up)


def test_one_objective_is_drawn_over_the_trials_and_three_two_at_a_time(both: Path, opened: Open) -> None:
    page = opened(both)
    expect(page.locator("#front-title")).to_have_text("The best so far", use_inner_text=True)
    says(page, "trials, in the order in which they ended", "robustness  (higher is better)")
    expect(page.locator("#planes")).to_be_hidden()
    expect(page.locator("#climbed")).to_contain_text("The best robustness so far of each arm's feasible trials")
    expect(page.locator("#panel")).to_contain_text("dimum-0001")
    expect(page.locator("#panel")).to_contain_text("the best of its arm")
    page.locator("#front").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#said")).to_contain_text("robustness")

    page.get_by_role("radio", name="three").check()
    expect(page.locator("#front-title")).to_have_text("The front", use_inner_text=True)
    expect(page.locator("#plane option")).to_have_text(
        [
            "robustness against fid_delta",
            "robustness against unlearning_accuracy",
            "fid_delta against unlearning_accuracy",
        ]
    )
    says(page, "fid_delta  (lower is better)", "robustness  (higher is better)")
    page.locator("#plane").select_option(index=2)
    says(page, "unlearning_accuracy  (higher is better)", "fid_delta  (lower is better)")
    expect(page.locator("#front")).to_contain_text("FID budget 4")
    expect(page.locator("#climbed")).to_contain_text("the volume that no trial had improved on")
    expect(page.locator("#overlaid")).to_contain_text("Of other objectives")
