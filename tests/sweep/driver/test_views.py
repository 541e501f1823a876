"""A view of a sweep that fails costs a line, and everything else is told and written as ever."""

from __future__ import annotations

from pathlib import Path

import pytest
from agenda_by_hand import agenda_of, finish, plan_in
from recorded_run import BUDGET, space, write_run

from sweep.driver.keeping import Keeping
from sweep.driver.views import Telling, views_of
from sweep.jobs import Ended
from sweep.terminal.lines import Progress
from sweep.views.plot_and_page import PlotAndPage
from sweep.views.tensorboard import TensorBoard
from trainables.store import Store, StoreUnusable


class Failing:
    """A view that fails in one way."""

    name = "failing"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def take(self, ended: Ended) -> None:
        raise self.error

    def finish(self) -> None:
        raise self.error


class Noting:
    """A view that notes what it hears."""

    def __init__(self, name: str, heard: list[str]) -> None:
        self.name, self.heard = name, heard

    def take(self, ended: Ended) -> None:
        self.heard.append(f"{self.name} takes {ended.job.name}")

    def finish(self) -> None:
        self.heard.append(f"{self.name} finishes")


def test_what_is_not_kept_goes_after_all_views_of_it_are_written(tmp_path: Path) -> None:
    plan = plan_in(tmp_path, keep="front")
    Path(plan.run_dir).mkdir()
    agenda = agenda_of(plan)
    names = [view.name for view in views_of(plan, agenda, Progress())]
    everything = [view.name for view in views_of(plan_in(tmp_path, keep="all"), agenda, Progress())]
    assert names[0] == "terminal" and names[:-1] == everything and names[-1] == Keeping.name
    heard: list[str] = []
    telling = Telling([Noting(name, heard) for name in names], lambda text: None)
    ended = finish(agenda, agenda.next_job())
    agenda.close()
    telling.take(ended)
    telling.finish()
    assert heard == [f"{name} takes {ended.job.name}" for name in names] + [f"{name} finishes" for name in names]


def test_a_board_that_cannot_be_written_costs_a_line_a_trial(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_in(tmp_path)
    Path(plan.run_dir).mkdir()
    (Path(plan.run_dir) / "tensorboard").write_text("in the way")
    agenda = agenda_of(plan)
    progress = Progress()
    telling = Telling(views_of(plan, agenda, progress), progress.line)
    jobs = [agenda.next_job() for _ in range(2)]
    for job in jobs:
        telling.take(finish(agenda, job))
    agenda.close()
    said = [line.partition("] ")[2] for line in capsys.readouterr().out.splitlines()]
    complaints = [line for line in said if line.startswith("TensorBoard: ")]
    for line, job in zip(complaints, jobs, strict=True):
        assert line.startswith(f"TensorBoard: {job.name} is not written: ") and "tensorboard" in line
        assert any(job.name in other for other in said if other not in complaints), "the trial is told of all the same"


def test_the_page_is_written_though_the_board_is_not_whole(tmp_path: Path) -> None:
    run = write_run(tmp_path / "RUN")
    (run / "tensorboard").write_text("in the way")
    said: list[str] = []
    bounded = space().bounded({"fid_budget": BUDGET})
    telling = Telling([TensorBoard(run, bounded, Store(run / "artifacts")), PlotAndPage(run)], said.append)
    telling.finish()
    assert (run / "report.html").stat().st_size > 100_000 and (run / "front.png").exists()
    assert len(said) == 1 and said[0].startswith("TensorBoard: is not whole: ")
    assert telling.failed == ["TensorBoard"]


@pytest.mark.parametrize("verbose", [True, False])
def test_a_fault_is_told_with_its_kind_and_if_asked_where_it_is(verbose: bool) -> None:
    said: list[str] = []
    Telling([Failing(KeyError("fid"))], said.append, verbose).finish()
    assert said[0] == "failing: is not whole: KeyError: 'fid'"
    assert ["test_views.py" in line for line in said[1:]] == ([True] if verbose else [])


def test_a_store_that_is_unusable_ends_the_run() -> None:
    with pytest.raises(StoreUnusable, match="read-only"):
        Telling([Failing(StoreUnusable("read-only"))], lambda text: None).finish()
