"""The page: whole, self-contained, escaped, and showing the records' own numbers."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import html.parser
import io
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from PIL import Image
from recorded_run import BUDGET, CAUSE, GATE, MANY, without_attacks, write_many, write_run

from sweep import report
from sweep.page import contents, explorer, figures, gallery
from sweep.page.render import script_json
from sweep.reading import spending
from sweep.reading.sweep import read_sweep


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("recorded") / "run")
    contents.write([run])
    return run


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return (run / "report.html").read_text(encoding="utf-8")


class Elements(html.parser.HTMLParser):
    """Every start tag with its attributes, and the text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if not self.inside:
            self.words.append(data)


_FIGURE = r'<script type="application/json" class="figure"[^>]*>(.*?)</script>'


def charts(page: str) -> list[dict]:
    """The recovery curves, of the best members."""
    return [json.loads(s) for s in re.findall(_FIGURE, page, re.S)]


def explored(page: str) -> list[dict]:
    """What the page's script is given, a run each."""
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(found)["runs"]


def test_the_page_asks_nothing_of_any_network(page: str) -> None:
    tags = Elements(page).tags
    for tag, attributes in tags:
        for name in ("src", "href", "srcset", "poster", "data", "action"):
            value = attributes.get(name) or ""
            assert value == "" or value.startswith(("data:", "#")), (tag, name, value[:80])
    styles = "".join(re.findall(r"<style>(.*?)</style>", page, re.S))
    assert styles and "@import" not in styles and "url(" not in styles
    policy = next(a["content"] for t, a in tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and "default-src 'none'" in policy and "http" not in policy
    assert len(page.encode()) <= 8_000_000


def test_a_cause_that_is_markup_is_shown_and_not_run(page: str) -> None:
    assert "<script>alert" not in page
    assert html.escape("<script>alert(1)</script>") in page
    text = " ".join(Elements(page).words)
    assert CAUSE in text and GATE in text and "forget <more> robustly" in text


def test_data_in_scripts_cannot_end_the_script() -> None:
    hostile = {"</script><script>alert(1)</script>": "<!-- & \u2028"}
    told = str(script_json(hostile))
    assert not set("<>&\u2028") & set(told)
    assert json.loads(told) == hostile
    with pytest.raises(ValueError, match="JSON"):
        script_json(float("nan"))


def test_the_script_is_given_the_confirmed_figures(page: str) -> None:
    (run,) = explored(page)
    trials = run["trials"]
    at = {trial_id: i for i, trial_id in enumerate(trials["id"])}
    on = {i for i, g in zip(trials["id"], trials["group"], strict=True) if g == explorer.FRONT}
    assert on == {"dimum-0000", "dimum-0001", "label_swap-0000"}
    assert trials["figures"]["fid_delta"][at["dimum-0000"]][0] == pytest.approx(2.2)
    assert trials["figures"]["robustness"][at["dimum-0001"]] == pytest.approx([0.88, 0.83834, 0.91672], abs=1e-4)
    assert trials["parameters"]["noise_scale"][at["dimum-0001"]] == 0.5
    assert trials["group"][at["dimum-0004"]] == explorer.STOPPED
    assert trials["group"][at["dimum-0003"]] == explorer.INFEASIBLE
    assert run["lines"] == [{"metric": "fid_delta", "value": BUDGET, "name": "FID budget"}]
    assert (run["winner"], trials["seeds"][at["dimum-0001"]]) == ("dimum-0001", 3)
    assert trials["core_s"][at["dimum-0001"]] == 4 * 12.5
    assert {a["symbol"] for a in run["arms"] if a["baseline"]} == {"square"}
    curve = run["curves"]["dimum-0001"]["retain"]
    assert [k for k, *_ in curve] == [0, 1, 3, 7] and [v for _, v, *_ in curve] == pytest.approx([0, 0.08, 0.16, 0.24])
    assert curve[-1][2] < 0.24 < curve[-1][3]
    assert run["curves"]["dimum-0002"]["retain"][1][2:] == pytest.approx([0.05, 0.15])  # of one seed, over its samples
    assert set(run["curves"]["control-base"]) == {"retain", "synthetic", "public_all"}
    recoveries = charts(page)
    assert len(recoveries) == 3  # retain, synthetic, public_all
    main = next(t for t in recoveries[0]["data"] if t.get("name", "").startswith("dimum-0001"))
    assert main["x"] == pytest.approx([0, 1, 2, 3]) and main["y"] == pytest.approx([0, 0.08, 0.16, 0.24])


def test_only_the_pages_own_scripts_may_run_by_their_hashes(page: str) -> None:
    (policy,) = (html.unescape(p) for p in re.findall(r'Content-Security-Policy" content="([^"]*)"', page))
    scripts = re.findall(r"<script>(.*?)</script>", page, re.S)
    allowed = " ".join(
        "'sha256-" + base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() + "'" for s in scripts
    )
    assert len(scripts) == 2
    assert f"script-src {allowed}; style-src" in policy


def test_tables_tell_members_intervals_reasons_and_time(page: str) -> None:
    text = " ".join(" ".join(Elements(page).words).split())
    for said in (
        "0.88 [0.84, 0.92]",
        "2 of 4 trials feasible",
        "8 (3 of 3 seeds)",
        "0.36 [0.30, 0.42]",  # excess over the retrain control
        "stopped early",
        "fid_delta ≤ 4: 0.99, unlearning_accuracy ≥ 0.9: 1.00",  # the winner's probability of being within
        "P(fid_\u200bdelta ≤ 4) P(unlearning_\u200baccuracy ≥ 0.9)",
        "dimum-0000 on the front 3 0.79 [0.74, 0.84] 2.2 [1.7, 2.7] 1.000 [0.987, 1.000] 0.950 [0.937, 0.960] 1.00 1.00",
        "trial lr replacement noise_\u200bscale dimum-0000 0.0001 one_\u200bimage — dimum-0001 0.0002 noise 0.5",
        "kernel inception distance of the same two sets",
        "0.710 [0.685, 0.734]",  # precision, over 3 × 450 images
        "AURC@7",
        "ab" * 32,  # the feature network's hash, whole
        "101, 102, 103",
        "0123456789abcdef",
    ):
        assert said in text, said


def test_time_is_summed_by_kind_of_stage_and_found_work_is_no_time(run: Path) -> None:
    rows = {r["kind"]: r for r in spending.stage_times(read_sweep(run))}
    replicates = 13 + 3 * 7  # searched, and confirmed on three seeds
    assert (rows["unlearn"]["made"], rows["unlearn"]["wall"]) == (replicates, 5.0 * replicates)
    assert rows["unlearn"]["other"] == pytest.approx(1.0 * replicates)
    assert (rows["score"]["found"], rows["score"]["made"]) == (4, replicates - 4)
    assert rows["score"]["sampling"] == pytest.approx(2.0 * (replicates - 4))


def test_samples_are_of_the_confirmed_seed_or_the_searchs_with_the_controls_on_both(run: Path) -> None:
    front = read_sweep(run)
    strips = gallery.gallery(front, front.members)
    seeds = [(s.trial_id, s.seed) for s in strips]
    first = [(c, s) for c in ("control-base", "control-retrain") for s in (101, 7)]
    assert seeds[:7] == [*first, ("dimum-0000", 101), ("dimum-0001", 101), ("label_swap-0000", 101)]
    others = {"dimum-0002": 7, "dimum-0003": 7, "dimum-0004": 7, "dimum-0006": 101, "label_swap-0001": 101}
    assert dict(seeds[7:]).items() >= others.items()
    strips = strips[:7]
    captions = [g.caption for g in strips[4].grids]
    assert captions == ["unlearned", "after retain@7", "after synthetic@7", "after public_all@7"]
    assert all(set(g.pictures) == {"forgotten", "retained"} and not g.missing for s in strips for g in s.grids)


def test_a_trial_without_the_controls_fresh_seed_is_shown_on_the_searchs_that_they_have_too(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bounds alone were confirmed on later seeds: beside samples of those there would be none of θ₀ from the same noise."""
    sweep = read_sweep(run)
    rows_of = sweep.rows_of

    def later_seeds(table: str, *what: Any) -> list[dict[str, Any]]:
        return [r for r in rows_of(table, *what) if (r["trial_id"], r["replicate"]) != ("dimum-0001", 1)]

    monkeypatch.setattr(type(sweep), "rows_of", lambda _, *what: later_seeds(*what))
    strips = [dataclasses.asdict(strip) for strip in gallery.gallery(sweep, sweep.members)]
    assert next(s["seed"] for s in strips if s["trial_id"] == "dimum-0001") == 7
    assert next(s["seed"] for s in strips if s["trial_id"] == "dimum-0000") == 101
    shown = [(s["trial_id"], s["seed"]) for s in contents._of_the_front(sweep, strips)]
    assert [(c, s) for c, s in shown if c == "control-base"] == [("control-base", 101), ("control-base", 7)]


def test_missing_samples_are_said_to_be_missing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "none", artifacts=False)
    assert {g.missing for s in gallery.gallery(read_sweep(run)) for g in s.grids} == {"no samples recorded"}
    run = write_run(tmp_path / "gone")
    for file in (run / "artifacts").rglob("*.json"):
        file.unlink()
    assert "samples not in the store" in contents.write(run).read_text(encoding="utf-8")


def test_damaged_samples_do_not_cost_the_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for file in (run / "artifacts").rglob("*.safetensors"):
        file.write_bytes(b"x")
    assert "its tensors are damaged" in contents.write(run).read_text(encoding="utf-8")


def test_grids_keep_one_scale_for_all_images() -> None:
    images = np.stack([np.full((1, 2, 2), v, dtype=np.float32) for v in (-1, 0, 1, 0.5, 9)])
    grid = figures.image_grid(images, columns=3)
    assert grid.shape == (5, 8) and grid.dtype == np.uint8
    assert [grid[0, 0], grid[0, 3], grid[0, 6], grid[3, 0], grid[3, 3]] == [0, 128, 255, 191, 255]
    assert (grid[2] == 128).all()  # the line between the rows
    assert figures.image_grid(np.zeros((4, 3, 5, 6))).shape == (11, 13, 3)
    for wrong in (np.zeros((4, 2, 5, 5)), np.zeros((0, 1, 5, 5)), np.full((1, 1, 2, 2), np.nan)):
        with pytest.raises(ValueError, match="finite images"):
            figures.image_grid(wrong)
    uri = gallery.data_uri(images[:, [0, 0, 0]])
    assert uri.startswith("data:image/png;base64,")


def test_figures_are_pictures_with_something_on_them(run: Path) -> None:
    front = read_sweep(run)
    for png in ((run / "front.png").read_bytes(), figures.png_bytes(figures.curves_figure(front))):
        pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
        assert pixels.shape[1] >= 1000 and (pixels != 255).any(axis=2).mean() > 0.01
    drawn = {t.get_text() for t in figures.front_figure(front).axes[0].texts}
    assert {"dimum-0000", "dimum-0001", "label_swap-0000", "control-retrain", "FID budget 4"} <= drawn
    assert "dimum-0003" not in drawn  # infeasible


def test_an_unfinished_run_has_a_page_that_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", artifacts=False)
    for table in ("replicates", "curves", "stages"):
        for part in (run / "records" / table).glob("*.parquet"):
            part.unlink()
    (run / "prepared.json").unlink()
    (run / "status.json").write_text(json.dumps({"state": "running"}))
    text = " ".join(Elements(contents.write(run).read_text(encoding="utf-8")).words)
    assert "This sweep is running" in text and "No attack is recorded yet" in text and "not known yet" in text


def test_several_runs_share_a_page(run: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", artifacts=False)
    page = contents.write([run, other], tmp_path / "both.html")
    text = page.read_text(encoding="utf-8")
    assert len(charts(text)) == 6 and len(explored(text)) == 2
    assert "may be compared" in text
    assert not (other / "front.png").exists(), "a page elsewhere writes nothing into a run"


def test_the_command_names_the_page_or_the_mistake(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    assert report.main([str(run), "-o", str(page)]) == 0
    assert capsys.readouterr().out.strip() == str(page) and page.is_file()
    for wrong in ([str(tmp_path)], [str(run), "-o", str(tmp_path / "no" / "page.html")]):
        assert report.main(wrong) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1


def test_many_arms_share_a_page_each_with_a_mark_of_its_own(tmp_path: Path) -> None:
    run = write_many(tmp_path / "run")
    page = contents.write(run).read_text(encoding="utf-8")
    (told,), recoveries = explored(page), charts(page)
    assert told["objectives"][0]["label"] == "malicious_robustness  (higher is better)" and not told["labels"]
    assert len({(a["colour"], a["symbol"]) for a in told["arms"]}) == MANY
    lines = [t for t in recoveries[0]["data"] if "name" in t]
    shown = [t["name"] for t in lines if t.get("visible") != "legendonly"]
    assert len(shown) == figures.SHOWN_CURVES + 2, "the best arms and both controls"
    text = " ".join(" ".join(Elements(page).words).split())
    for said in (
        "Every arm at its best",
        "breaks a constraint",
        "nothing scored",
        "What the model betrays",
        "0.595 [0.",
        "0.020 [-0.003, 0.043]",
    ):
        assert said in text, said


def test_the_plots_legend_has_every_marker_that_is_drawn(run: Path) -> None:
    drawn = figures.front_figure(read_sweep(run))
    axes, legend = drawn.axes[0], drawn.legends[0]
    shown = {
        (line.get_marker(), line.get_color(), line.get_markerfacecolor())
        for line in axes.lines
        if len(line.get_xdata()) and line.get_marker() not in ("None", "|", "_") and isinstance(line.get_marker(), str)
    }
    told = {
        (line.get_marker(), line.get_color(), line.get_markerfacecolor())
        for line in legend.findobj(Line2D)
        if line.get_marker() not in ("None", "")
    }
    filled = {(shape, colour) for shape, colour, _ in told}
    assert len(shown) > 6
    assert all((shape, colour) in filled for shape, colour, _ in shown), shown - told
    off = {mark for mark in shown if mark[2] == "none"}
    assert off and off <= told, "a hollow marker of an arm's own shape has an entry"


def test_a_trial_whose_bounds_alone_fresh_seeds_have_shown_is_drawn_by_the_searchs_figures(tmp_path: Path) -> None:
    """Both of one seed, hollow: dimum-0000 measured robustness .80 at fid_delta 2.0, which is 2.2 over fresh seeds."""
    run = write_run(tmp_path / "run", artifacts=False)
    without_attacks(run, "dimum-0000")
    told = contents.write(run).read_text(encoding="utf-8")
    (explored_run,) = explored(told)
    trials = explored_run["trials"]
    i = trials["id"].index("dimum-0000")
    assert (trials["figures"]["fid_delta"][i], trials["figures"]["robustness"][i]) == (2.0, 0.8)
    assert (trials["group"][i], trials["confirmed"][i]) == (explorer.FEASIBLE, False)
    assert (trials["least_seeds"][i], trials["seeds"][i], trials["seeds_in_words"][i]) == (0, 3, "")
    assert [k for k, *_ in explored_run["curves"]["dimum-0000"]["retain"]] == [0, 1, 3, 7], "the search's"
    (row,) = re.findall(r"<tr[^>]*><td[^>]*>(?:(?!</tr>).)*>dimum-0000<.*?</tr>", told.split("front member")[-1], re.S)[
        :1
    ]
    assert ">bounds alone<" in row
    sweep = read_sweep(run)
    assert "1 of 3 confirmed members without every objective on fresh seeds" in (sweep.arms["dimum"].reason or "")
    colour = figures.marks(sweep)["dimum"].colour
    drawn = [
        (float(x), float(y), line.get_markerfacecolor())
        for line in figures.front_figure(sweep).axes[0].lines
        if line.get_marker() not in ("None", "|", "_") and line.get_color() == colour
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]
    assert [face for x, y, face in drawn if (x, y) == (2.0, 0.8)] == ["none"]
    assert not [x for x, *_ in drawn if x == pytest.approx(2.2)], "nothing is drawn of figures of two kinds of seeds"
    assert {face for x, _, face in drawn if x == pytest.approx(3.2)} == {colour}


def test_the_plots_legend_names_the_controls_that_the_run_has(run: Path) -> None:
    """Of a run with θ* there is no unseen concept in its place."""
    drawn = figures.front_figure(read_sweep(run))
    words = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert "base model" in words and "retrain control" in words
    assert not [word for word in words if "unseen" in word]


def test_a_control_on_one_seed_is_hollow_in_the_plots_legend_as_in_the_plot(run: Path) -> None:
    sweep = read_sweep(run)
    told = {text.get_text(): line for text, line in _entries(figures.front_figure(sweep))}
    assert told["retrain control"].get_markerfacecolor() == figures.CONTROL_MARKS[1].colour
    sweep.controls["control-retrain"] = dataclasses.replace(sweep.controls["control-retrain"], confirmed=None)
    told = {text.get_text(): line for text, line in _entries(figures.front_figure(sweep))}
    assert told["retrain control"].get_markerfacecolor() == "none"


def _entries(drawn: Figure) -> Iterator[tuple[Text, Line2D]]:
    legend = drawn.legends[0]
    return zip(legend.get_texts(), legend.legend_handles, strict=True)


def test_neighbouring_arms_differ_in_colour_shape_and_line_and_the_plot_says_what_has_nothing_feasible(
    tmp_path: Path,
) -> None:
    front = read_sweep(write_many(tmp_path / "run"))
    marks = list(figures.marks(front).values())
    assert len(set(marks)) == len({(m.colour, m.shape) for m in marks}) == MANY
    assert all(
        len({getattr(m, part) for m in two}) == 2
        for two in itertools.pairwise(marks)
        for part in ("colour", "shape", "line")
    )
    assert not {(m.colour, m.shape) for m in marks} & {(m.colour, m.shape) for m in figures.CONTROL_MARKS}
    drawn = figures.front_figure(front)
    assert {"method_14", "control-retrain"} <= {t.get_text() for t in drawn.axes[0].texts}
    legend = [t.get_text() for t in drawn.legends[0].get_texts()]
    assert "method_16: nothing feasible" in legend and "method_03" in legend
    assert "feasible, off the front, its arm's shape (hollow: search only)" in legend
    assert "malicious_robustness = 1 - max AURC@7" in drawn.axes[0].get_ylabel()


def test_a_run_that_was_kept_without_its_store_says_so_once(tmp_path: Path) -> None:
    kept = Path(__file__).parents[3] / "benchmarks" / "at_length" / "dimum_robustness-digits-8"
    page = contents.write(kept, tmp_path / "page.html").read_text()
    assert page.count("No samples are in the artifact store that the run") == 1
    assert '<div class="missing">samples not in the store' not in page
