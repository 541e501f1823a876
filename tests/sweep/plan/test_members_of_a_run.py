"""`--members` from the command line to the run folder and back: what is kept, and what a run is gone on with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweep.errors import UsageError
from sweep.launch import parser
from sweep.plan.asked import plan_of
from sweep.plan.checks import validate
from sweep.plan.folders import create_run_dir
from sweep.plan.plan import Plan
from sweep.procedures import named
from sweep.track import __main__ as track
from trainables import members
from trainables.metrics import METRICS
from trainables.unlearning import METHODS

TINY = (Path(__file__).parents[2] / "questions" / "tiny.py").read_text()
METRIC = """
from trainables.metrics import Figure, register

@register("sharpness", (Figure("sharpness", description="how sharp", unit="share", direction="maximise"),))
def sharpness(samples):
    return {"sharpness": 0.5}
"""
METHOD = """
from trainables.diffusion import denoising_loss
from trainables.unlearning import FineTuningSettings, register

@register("keep_on", FineTuningSettings)
def loss(problem, settings):
    def step(model, generator):
        drawn = problem.retain.draw(settings.batch, generator)
        return denoising_loss(model, problem.schedule, drawn.images, drawn.conditions, generator)
    return step
"""


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    yield
    members.use([])
    members.no_question()


def begun(folder: Path, *words: str) -> Plan:
    """A run's folder as a launch leaves it before anything runs."""
    known = parser()
    asked = ["--run-dir", str(folder / "run"), "--artifacts", str(folder / "store"), "--in-process", *words]
    plan = plan_of(known.parse_args(asked), known)
    validate(plan)
    return create_run_dir(plan)


def recorded(run: Path) -> Plan:
    """The plan as another process goes on with it."""
    members.use([])
    members.no_question()
    path = run / "plan.json"
    return Plan.from_json(json.loads(path.read_text()), str(path))


def test_a_question_brings_its_own_method_and_metric_and_the_run_keeps_it(tmp_path: Path) -> None:
    question = tmp_path / "asking.py"
    text = TINY.replace('Arm("label_swap", "label_swap"', 'Arm("keep_on", "keep_on"')
    question.write_text(text.replace('"fid_delta", "minimise"', '"sharpness", "maximise"') + METRIC + METHOD)
    plan = begun(tmp_path, "--space", str(question))
    run = Path(plan.run_dir)
    assert "sharpness" in named("relearning").columns().names and METHODS["keep_on"].name == "keep_on"
    kept = json.loads((run / "plan.json").read_text())
    assert kept["space"] == kept["plan"]["space"] == "members/asking.py"
    question.unlink()
    assert recorded(run).question().fingerprint() == kept["space_fingerprint"]
    assert {"keep_on", "sharpness"} <= {*METHODS.names(), *METRICS.names()}
    moved = run.rename(tmp_path / "elsewhere")
    assert recorded(moved).space == str(moved / "members" / "asking.py")
    (moved / "members" / "asking.py").write_text("changed\n")
    with pytest.raises(UsageError, match=r"asking\.py: is not the file that this run began with"):
        recorded(moved)


def test_members_of_a_folder_are_kept_and_their_originals_no_longer_needed(tmp_path: Path) -> None:
    mine, question = tmp_path / "mine", tmp_path / "mine" / "tiny.py"
    mine.mkdir()
    (mine / "keep_on.py").write_text(METHOD.replace("from trainables.diffusion", "from ._losses"))
    (mine / "_losses.py").write_text("from trainables.diffusion import denoising_loss\n")
    (mine / "sharp.py").write_text(METRIC)
    (mine / "note.txt").write_text("no member")
    question.write_text(TINY)  # among them, and asked by: it need register nothing
    plan = begun(tmp_path, "--space", str(question), "--members", str(mine), "--members", str(mine / "sharp.py"))
    run = Path(plan.run_dir)
    assert sorted(f.name for f in (run / "members").iterdir()) == ["_losses.py", "keep_on.py", "sharp.py"]
    assert json.loads((run / "plan.json").read_text())["space"] == "question/tiny.py"
    for file in ("keep_on.py", "_losses.py", "sharp.py", "tiny.py"):
        (mine / file).unlink()
    recorded(run)
    assert {"keep_on", "sharpness"} <= {*METHODS.names(), *METRICS.names()}


def test_a_question_that_brings_nothing_is_kept_too_and_its_original_no_longer_needed(tmp_path: Path) -> None:
    question = tmp_path / "my-question.py"
    question.write_text(TINY)
    run = Path(begun(tmp_path, "--space", str(question)).run_dir).rename(tmp_path / "elsewhere")
    kept = json.loads((run / "plan.json").read_text())
    assert kept["space"] == kept["plan"]["space"] == "question/my-question.py" and "member_files" not in kept
    question.write_text("another")
    again = recorded(run)
    assert again.question().fingerprint() == kept["space_fingerprint"] and members.in_use() == ()
    assert again.to_json()["space"] == "question/my-question.py"
    (run / "question" / "my-question.py").write_text(TINY + "\n")
    with pytest.raises(UsageError, match=r"my-question\.py: is not the file that this run began with"):
        recorded(run)
    (run / "question" / "my-question.py").unlink()
    with pytest.raises(UsageError, match=r"my-question\.py: is gone, and the run was begun with it"):
        recorded(run)


def test_a_run_without_members_says_nothing_of_any(tmp_path: Path) -> None:
    plan = begun(tmp_path, "--space", "dimum_robustness")
    kept = json.loads((Path(plan.run_dir) / "plan.json").read_text())
    assert not any((Path(plan.run_dir) / folder).exists() for folder in ("members", "question"))
    assert [name for name in kept if name.startswith("member")] == ["members"] and kept["members"] == []
    assert "question_file" not in kept


def test_a_track_has_members_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "keep_on.py").write_text(METHOD)
    asked = ["--methods", "keep_on", "--members", str(tmp_path / "keep_on.py"), "--dry-run"]
    assert track.main([*asked, "--run-dir", str(tmp_path / "t"), "--artifacts", str(tmp_path / "a")]) == 0
    printed = capsys.readouterr().out
    assert "members     unlearning method keep_on" in printed and "methods     keep_on (own file)" in printed
