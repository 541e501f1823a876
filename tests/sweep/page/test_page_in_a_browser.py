"""The page in a real Chromium: what is clicked, brushed, switched and typed, on a phone and a wide screen, written and live."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from accessibility import grave_faults
from playwright.sync_api import Browser, Page, expect
from recorded_run import CAUSE, START, TRIALS, space, write_many, write_run

from sweep import report
from sweep.errors import UsageError
from sweep.page import contents, serving
from sweep.records import Writer, read, schemas
from sweep.records.folder import write_json

HOSTILE = "</script><img src=x onerror='document.title=\"ran\"'><b>bold</b>"
Open = Callable[..., Page]
ALL = "11 trials, 5 feasible by their latest figures: on fresh seeds where they have some. "  # where no range is chosen


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recorded run, with markup in a parameter."""
    run = write_run(tmp_path_factory.mktemp("browser") / "run")
    (row,) = (r for r in read(run, "trials").to_pylist() if r["trial_id"] == "dimum-0001")
    settings = json.dumps(json.loads(row["settings"]) | {"replacement": HOSTILE})
    Writer(run, schemas(space())).trial(row | {"param_replacement": HOSTILE, "settings": settings})
    contents.write([run])
    return run


@pytest.fixture(scope="module")
def written(run: Path) -> Path:
    return run / "report.html"


def place(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a point of the front is in the window."""
    page.locator("#front").scroll_into_view_if_needed()
    script = """([x, y]) => { const f = document.getElementById("front"), l = f._fullLayout, b = f.getBoundingClientRect();
        return [b.left + l.xaxis._offset + l.xaxis.d2p(x), b.top + l.yaxis._offset + l.yaxis.d2p(y)] }"""
    found = page.evaluate(script, [x, y])
    return found[0], found[1]


def test_a_click_on_a_point_shows_all_of_its_trial(opened: Open, written: Path, run: Path) -> None:
    page = opened(written)
    panel, wide = page.locator("#panel"), page.locator("#panel-wide")
    expect(panel.locator("h3")).to_have_text("dimum-0001")  # the winner, until another is chosen
    page.mouse.click(*place(page, 2.2, 0.79))
    expect(panel.locator("h3")).to_have_text("dimum-0000")
    for told in ("1e-4", "one_image", "0.79 [0.74, 0.84]", "P(fid_delta within its bound)", "50 core-seconds"):
        expect(panel).to_contain_text(told)
    expect(panel).to_contain_text(f"python -m sweep.launch --resume {run} --confirm dimum-0000")
    assert wide.locator(".curves .chart").count() == 3  # retain, synthetic, public_all
    lines = (
        "[...document.querySelectorAll('#panel-wide .chart')].map(c => c.data.filter(t => t.mode != 'lines').length)"
    )
    lines = page.evaluate(lines)
    assert lines == [3, 3, 3], "the trial, the base model and the retrain control"
    shown = wide.locator("figcaption").all_inner_texts()
    assert shown[3:] == ["base model", "unlearned", "after retain@7", "after synthetic@7", "after public_all@7"]
    sizes = page.evaluate("[...document.querySelectorAll('#panel-wide img')].map(i => i.naturalWidth)")
    assert len(sizes) == 10 and min(sizes) > 0
    assert page.url.endswith("#run0/dimum-0000")


def test_keys_walk_the_points_and_enter_opens_one(opened: Open, written: Path) -> None:
    page = opened(written)
    page.locator("#front").focus()
    page.keyboard.press("ArrowLeft")  # from the winner, at 3.2, to the label swap at 3.1
    expect(page.locator("#said")).to_contain_text("label_swap-0000, on the front; robustness 0.68 [")
    expect(page.locator("#panel h3")).to_have_text("dimum-0001")
    page.keyboard.press("Enter")
    expect(page.locator("#panel h3")).to_have_text("label_swap-0000")
    assert page.evaluate("document.activeElement.id") == "panel"
    page.locator("article:visible a", has_text="dimum-0006").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#panel h3")).to_have_text("dimum-0006")


def test_an_address_opens_its_trial_and_one_that_is_not_there_says_so(opened: Open, written: Path) -> None:
    page = opened(f"{written.as_uri()}#run0/dimum-0004")
    expect(page.locator("#panel")).to_contain_text("95 % lower bound 17.2")  # a gated trial, with its cause
    page.evaluate("location.hash = '#run0/dimum-9999'")
    expect(page.locator("#said")).to_contain_text("dimum-9999 is not among the trials")


def test_a_brush_narrows_the_trials_here_and_in_the_front(opened: Open, written: Path) -> None:
    page = opened(written)
    bar = page.locator('.bar[data-axis="fid_delta"]')
    bar.scroll_into_view_if_needed()
    box = bar.bounding_box()
    assert box is not None
    at = page.evaluate("(v) => parallel.axes.find(a => a.name == 'fid_delta').at(v)", 3.3)
    x, top = box["x"] + box["width"] / 2, box["y"] - 14  # the bar begins 14 pixels below the axes' own origin
    page.mouse.move(x, top + at)
    page.mouse.down()
    page.mouse.move(x, top + 250, steps=4)  # past its lower end
    page.mouse.up()
    confirmed = {
        "dimum-0000": 2.2,
        "dimum-0001": 3.2,
        "dimum-0006": 2.5,
        "label_swap-0000": 3.1,
        "label_swap-0001": 4.4,
    }
    found = {t: confirmed.get(t, f[2]) for t, f in TRIALS.items() if f[2] is not None}
    within = sorted(t for t, v in found.items() if v <= 3.3)
    expect(page.locator("#brushed")).to_contain_text(f"{len(within)} of 11 trials within")
    expect(page.locator("#brushed a").first).to_have_text("dimum-0001")
    kept = page.evaluate("""document.getElementById("front").data.filter(t => t.selectedpoints).flatMap(
        t => t.selectedpoints.map(i => data.runs[0].trials.id[t.customdata[i][1]]))
            .filter(id => !id.startsWith("control")).sort()""")
    assert kept == within
    page.mouse.click(x, top + 100)  # a click clears
    expect(page.locator("#brushed")).to_have_text(ALL)


def test_ranges_are_typed_as_well_as_dragged(opened: Open, written: Path) -> None:
    page = opened(written, 390)
    page.get_by_text("Ranges by keyboard").click()
    field = page.locator("#ranges fieldset", has=page.locator("legend", has_text=re.compile("^robustness$")))
    field.get_by_label("from").fill("0.8")
    expect(page.locator("#brushed")).to_contain_text("4 of 11 trials within, 2 feasible")
    page.locator("#ranges").get_by_label("noise").check()
    expect(page.locator("#brushed")).to_contain_text("1 of 11 trials within")
    page.get_by_role("button", name="Clear ranges").click()
    expect(page.locator("#brushed")).to_have_text(ALL)


def test_sweeps_are_overlaid_and_switched(opened: Open, run: Path, tmp_path: Path) -> None:
    other, same = write_many(tmp_path / "other"), write_run(tmp_path / "same", artifacts=False)
    page = opened(contents.write([run, other, same], tmp_path / "three.html"))
    listed = "document.getElementById('front').data.filter(t => t.showlegend !== false).map(t => t.name ?? '')"
    drawn = "document.getElementById('front').data.filter(t => t.customdata.some(([run]) => run === {})).length"
    assert (
        "same, behind" in page.evaluate(listed) and page.evaluate(drawn.format(2)) == 4
    )  # front and others, of two arms
    assert page.evaluate(drawn.format(1)) == 0
    expect(page.locator("#overlaid")).to_have_text("Of other objectives, so not behind it: other.")
    page.get_by_label("feasible trials behind it").uncheck()
    assert page.evaluate(drawn.format(2)) == 0
    expect(page.locator("#run0-found h1")).to_be_visible()
    page.get_by_label(re.compile(r"^\s*other\b")).check()
    expect(page.locator("h1", has_text="Which of many?")).to_be_visible()
    expect(page.locator("#run0-found")).to_be_hidden()
    expect(page.locator("article#run0")).to_be_hidden()
    expect(page.locator("#panel h3")).to_have_text("method_14-0000")  # the best feasible one of the other sweep
    assert page.evaluate("document.getElementById('front')._fullLayout.yaxis.title.text").startswith(
        "malicious_robustness"
    )
    expect(page.locator("#differs")).to_contain_text("may not be compared")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1600])
def test_it_fits_a_phone_and_a_wide_screen_in_light_and_dark(
    opened: Open, written: Path, tmp_path: Path, width: int, scheme: str
) -> None:
    page = opened(written, width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    over = """[...document.querySelectorAll("body *")].filter(e => !e.closest(".scroll, svg, .hoverlayer, .modebar")
        && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 90))"""
    assert page.evaluate(over) == []
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 26)")
    ink = page.evaluate("getComputedStyle(document.querySelector('#front .xtitle')).fill")
    assert ink == ("rgb(28, 32, 36)" if scheme == "light" else "rgb(232, 234, 237)")
    page.screenshot(path=tmp_path / f"{width}-{scheme}.png", full_page=True)  # to look at


def test_on_paper_charts_fit_the_page_in_black_on_white(opened: Open, written: Path, tmp_path: Path) -> None:
    page = opened(written, 1600, "dark")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.getElementById('front')._fullLayout.width") <= 700
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("#ranges").is_visible() and page.locator("#panel h3").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_text_that_is_markup_is_shown_and_never_run(opened: Open, written: Path) -> None:
    page = opened(written)
    expect(page.locator("#panel")).to_contain_text(HOSTILE)
    expect(page.locator("article:visible")).to_contain_text(CAUSE)
    page.mouse.move(*place(page, 3.2, 0.88))
    hover = page.locator("#front .hoverlayer .hovertext")
    expect(hover).to_contain_text(f"replacement = {HOSTILE}")
    page.get_by_text("Ranges by keyboard").click()
    expect(page.locator("#ranges")).to_contain_text("<b>bold</b>")
    page.evaluate("location.hash = '#run0/dimum-0005'")
    expect(page.locator("#panel .note")).to_have_text(CAUSE)
    assert page.title() == "recorded: the front" and page.locator("img[src=x], #panel b").count() == 0


def test_even_markup_that_slipped_in_would_not_run(browser: Browser, written: Path) -> None:
    """The page's policy names its own scripts and no other: an event handler is refused, and the console says so."""
    page, told = browser.new_page(), list[str]()
    page.on("console", lambda m: told.append(m.text))
    page.goto(written.as_uri())
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=data: onerror=\"document.title=1\">')")
    page.wait_for_timeout(300)
    assert page.title() == "recorded: the front" and any("Content Security Policy" in t for t in told)
    page.close()


def add_trial(run: Path, trial_id: str, robustness: float) -> None:
    (row,) = (r for r in read(run, "trials").to_pylist() if r["trial_id"] == "dimum-0000")
    number = int(trial_id[-4:])
    Writer(run, schemas(space())).trial(
        row | {"trial_id": trial_id, "number": number, "robustness": robustness, "told_at": START}
    )


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    monkeypatch.setattr(serving, "EVERY_S", 0.3)
    monkeypatch.setattr(serving, "_REST", 0)
    run = write_run(tmp_path / "run")
    write_json(run / "status.json", {"state": "running"})
    with serving.server([str(run)]) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield run, f"http://127.0.0.1:{found.server_address[1]}/"
        found.shutdown()


def test_a_live_page_shows_what_is_new_and_keeps_what_was_chosen(opened: Open, live: tuple[Path, str]) -> None:
    run, address = live
    page = opened(address)
    expect(page.locator("#live")).to_contain_text("run running (search: 11 of 11 trials ended); last record")
    page.mouse.click(*place(page, 2.2, 0.79))
    page.get_by_text("Ranges by keyboard").click()
    field = page.locator(
        "#ranges fieldset", has=page.locator("legend", has_text=re.compile("^robustness$"))
    ).get_by_label("from")
    field.fill("0.6")
    page.get_by_text("One by one").click()
    page.locator("article:visible h2", has_text="Where time went").scroll_into_view_if_needed()
    field.focus(timeout=1000)
    page.evaluate("document.querySelector('#run0 h2:nth-of-type(3)').scrollIntoView()")
    before = page.evaluate("document.querySelector('#run0 h2:nth-of-type(3)').getBoundingClientRect().top")
    add_trial(run, "dimum-0007", 0.7)
    expect(page.locator("#brushed")).to_contain_text("8 of 12 trials within", timeout=20_000)
    expect(page.locator("#run0-found")).to_contain_text("6 complete")
    expect(page.locator("#panel h3")).to_have_text("dimum-0000")
    assert page.evaluate("document.activeElement.dataset.axis") == "robustness"
    expect(field).to_have_value("0.6")
    assert page.locator("#run0 details", has_text="One by one").first.get_attribute("open") is not None
    after = page.evaluate("document.querySelector('#run0 h2:nth-of-type(3)').getBoundingClientRect().top")
    assert abs(after - before) < 3, "what was being read is where it was"
    write_json(run / "status.json", {"state": "finished"})
    expect(page.locator("#live")).to_contain_text("Nothing more will come", timeout=20_000)
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url))
    page.wait_for_timeout(900)
    assert not asked


def test_a_page_that_waits_becomes_the_sweeps_with_the_first_record(opened: Open, live: tuple[Path, str]) -> None:
    run, address = live
    records = (run / "records").rename(run / "later")
    page = opened(address, ready="html[data-waiting]")
    expect(page.locator("#live")).to_contain_text("Live page: run running; last record")
    page.evaluate("document.body.dataset.kept = 'yes'")
    asked_at = page.locator("#live").text_content()
    page.wait_for_function("before => document.getElementById('live').textContent !== before", arg=asked_at)
    assert page.evaluate("document.body.dataset.kept") == "yes", "it asks without being loaded again"
    assert grave_faults(page) == []
    records.rename(run / "records")
    expect(page.locator("#panel h3")).to_have_text("dimum-0001", timeout=20_000)


def test_a_page_that_waits_for_a_sweep_that_failed_says_so_and_asks_no_more(
    opened: Open, live: tuple[Path, str]
) -> None:
    run, address = live
    (run / "records").rename(run / "later")
    page = opened(address, ready="html[data-waiting]")
    write_json(run / "status.json", {"state": "failed"})
    expect(page.locator("#live")).to_contain_text("run failed. Nothing more will come")
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url))
    page.wait_for_timeout(900)
    assert not asked


def answer(address: str, path: str = "/parts", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(address.removeprefix("http://").strip("/"), timeout=30)
    connection.request("GET", path, headers=headers)
    found = connection.getresponse()
    found.read()
    return found


def test_the_live_page_answers_this_machine_alone(live: tuple[Path, str]) -> None:
    _, address = live
    port = address.rpartition(":")[2].strip("/")
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "127.0.0.1.evil.example",
        f"evil.example@127.0.0.1:{port}x",
        "",
    ):
        assert answer(address, Host=host).status == 403, host
    for host in (f"localhost:{port}", "127.0.0.1", f"[::1]:{port}", "localhost:9999"):
        assert answer(address, Host=host).status == 200, host
    version = answer(address, "/").getheader("X-Sweep-State")
    assert version and "run running" in version
    assert answer(address, "/parts?version=1").status == 204 and answer(address, "/parts?version=0").status == 200
    assert answer(address, "/../plan.json").status == 404
    with pytest.raises(UsageError, match="--port"):
        serving.server([str(live[0])], int(port))


def test_the_command_prints_one_line_and_ends_with_ctrl_c(opened: Open, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", artifacts=False)
    records = (run / "records").rename(run / "later")
    command = [sys.executable, "-m", "sweep.report", str(run), "--live"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
        assert answer(address, "/").status == 200  # nothing is recorded yet: it says so, and asks again
        records.rename(run / "records")
        expect(opened(address).locator("#panel h3")).to_have_text("dimum-0001")
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=20)
    assert process.returncode == 0 and out == "" and error.strip() == ""


def test_live_takes_no_file_and_a_run_that_is_none_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", artifacts=False)
    for wrong in ([str(run), "--live", "-o", "x.html"], [str(tmp_path), "--live"], [str(run), "--port", "80"]):
        assert report.main(wrong) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1
