"""A run of one objective is told by a ranking and its best so far, one of three by a front in pairs; the same rows as of two."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from recorded_run import BUDGET, CONFIRMED, space, write_asked

from sweep.page.caption import caption
from sweep.page.contents import contents
from sweep.page.figures import front_figure, png_bytes
from sweep.reading.best import corner, front_hypervolume, ranking
from sweep.reading.nearest import gap
from sweep.reading.pick import in_short, picks
from sweep.reading.planes import planes
from sweep.reading.spending import climbs
from sweep.reading.sweep import Sweep, read_sweep
from sweep.reading.texts import render
from sweep.search.confirm import chosen_for_confirmation
from sweep.statistics.estimates import hypervolume
from sweep.views.loggers.entries import whole

ROBUST, CHEAP, GONE = ("robustness", "maximise"), ("fid_delta", "minimise"), ("unlearning_accuracy", "maximise")


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return read_sweep(write_asked(tmp_path_factory.mktemp("one") / "run", ROBUST))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return read_sweep(write_asked(tmp_path_factory.mktemp("three") / "run", ROBUST, CHEAP, GONE))


def test_one_objective_ranks_what_was_confirmed(one: Sweep) -> None:
    assert [m.trial_id for m in ranking(one, "dimum")] == ["dimum-0001", "dimum-0000", "dimum-0006"]
    assert [m.trial_id for m in one.arms["dimum"].front] == ["dimum-0001"], "the best is on no front with another"
    assert [m.trial_id for m in ranking(one, "label_swap")] == ["label_swap-0000"], (
        "the other broke a bound on fresh seeds"
    )
    assert [pick.best.trial_id for pick in picks(one) if pick.best] == ["dimum-0001", "label_swap-0000"]
    assert in_short(one, picks(one)).startswith("dimum-0001 (dimum)")


def test_where_nothing_was_confirmed_the_searchs_seed_ranks(tmp_path: Path) -> None:
    run = write_asked(tmp_path / "run", CHEAP)
    for confirmed in CONFIRMED:
        for file in (run / "records" / "replicates").glob(f"{confirmed}*-r[123]*"):
            file.unlink()
    sweep = read_sweep(run)
    assert not sweep.arms["dimum"].confirmed
    assert [m.trial_id for m in ranking(sweep, "dimum")] == ["dimum-0006", "dimum-0000", "dimum-0001", "dimum-0002"]
    assert "feasible on the search's seed: 4 of 7 trials" in " ".join(render(sweep).split())


def test_the_best_so_far_is_told_by_trials(one: Sweep) -> None:
    (dimum,) = [climb for climb in climbs(one) if climb.arm == "dimum"]
    places = [one.order[name] for name in ("dimum-0000", "dimum-0001")]
    assert dimum.trials[:-1] == tuple(places) and dimum.volume == (0.80, 0.90, 0.90)
    (plane,) = planes(one)
    assert plane.place(one, one.member("dimum-0001")) == (places[1], CONFIRMED["dimum-0001"][0])
    assert plane.place(one, one.controls["control-base"])[0] == 0, "controls stand before all trials"


def test_of_three_a_front_is_of_all_and_its_hypervolume_too(three: Sweep) -> None:
    front = {m.trial_id for m in three.arms["dimum"].front}
    assert {"dimum-0000", "dimum-0001"} <= front
    points = [[m.value(o.metric) for o in three.objectives] for m in three.arms["dimum"].front]
    expected = hypervolume(np.array(points), (0.0, BUDGET, 0.9), [o.direction for o in three.objectives])
    assert corner(three) == (0.0, BUDGET, 0.9) and front_hypervolume(three, "dimum") == pytest.approx(expected)
    assert [(p.up.metric, p.rightwards) for p in planes(three)] == [
        ("robustness", "fid_delta"), ("robustness", "unlearning_accuracy"), ("fid_delta", "unlearning_accuracy"),
    ]  # fmt: skip
    for climb in climbs(three):
        members = three.arms[climb.arm].search_front
        points = [[m.search[o.metric] for o in three.objectives] for m in members]
        exact = hypervolume(np.array(points), (0.0, BUDGET, 0.9), [o.direction for o in three.objectives])
        assert climb.volume[-1] == pytest.approx(exact) and list(climb.volume) == sorted(climb.volume)


def test_every_format_tells_every_objective(one: Sweep, three: Sweep) -> None:
    for sweep, metrics in ((one, ["robustness"]), (three, ["robustness", "fid_delta", "unlearning_accuracy"])):
        text, table = render(sweep), render(sweep, "markdown")
        assert f"  {'trial':<19} {''.join(f'{m:<27}' for m in metrics).rstrip()}\n" in text
        assert f"| {' | '.join(metrics)} | within |" in table
        rows = list(csv.DictReader(io.StringIO(render(sweep, "csv"))))
        assert all(f"confirmed_{metric}_lower" in rows[0] for metric in metrics)
        assert [o["metric"] for o in json.loads(render(sweep, "json"))["plan"]["objectives"]] == metrics
        assert all(f"{metric}: " in caption(sweep) for metric in metrics)
    assert "ranking      the best first" in render(one) and "front" not in render(one).partition("arm  ")[2]
    assert "up to robustness" in render(three) and "hypervolume" not in render(one)


def test_the_plot_has_a_panel_for_each_pair(one: Sweep, three: Sweep) -> None:
    assert len(front_figure(three).axes) == 3
    (axes,) = front_figure(one).axes
    assert axes.get_xlabel() == "trials, in the order in which they ended"
    assert png_bytes(front_figure(three)).startswith(b"\x89PNG")


def test_the_page_is_told_what_to_draw(one: Sweep, three: Sweep) -> None:
    page = contents([one, three], [b"", b""])
    single, several = page["data"]["runs"]
    assert [p["right"] for p in single["planes"]] == ["order"] and len(several["planes"]) == 3
    ids, order = single["trials"]["id"], single["trials"]["figures"]["order"]
    assert order[ids.index("dimum-0001")] == one.order["dimum-0001"] and "order" not in several["trials"]["figures"]
    assert single["climbed"]["label"] == "best robustness" and several["climbed"]["label"] == "hypervolume"
    assert [run["front_words"]["title"] for run in page["runs"]] == ["The best so far", "The front"]
    assert page["runs"][0]["arms"][0]["hypervolume"] is None
    assert [line["status"] for line in page["runs"][0]["arms"][0]["members"]] == ["the best", "behind it", "behind it"]


def test_what_is_confirmed_may_be_the_best(one: Sweep, three: Sweep) -> None:
    chosen = [m.trial_id for m in chosen_for_confirmation(one.run, space(), 2)]
    assert chosen[0] == "dimum-0001" and "dimum-0006" not in chosen, "others are surely better, and as surely feasible"
    assert {"dimum-0000", "dimum-0001"} <= {m.trial_id for m in chosen_for_confirmation(three.run, space(), 3)}


def test_trackers_and_the_page_take_it(one: Sweep, three: Sweep) -> None:
    assert whole(one.run).figures["best_robustness/dimum"] == pytest.approx(CONFIRMED["dimum-0001"][0])
    assert "hypervolume/dimum" in whole(three.run).figures and "hypervolume/dimum" not in whole(one.run).figures
    for sweep in (one, three):
        far = gap(sweep, sweep.arms["dimum"])
        assert far.min() == -1 and np.isinf(far).any(), "those of the front come first, those without figures last"
