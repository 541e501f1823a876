"""A flag is one declaration: a field with its option, check and words. What comes of it is seen in the commands themselves."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

import sweep.relearning.setup as relearning
from sweep import launch
from sweep.errors import UsageError
from sweep.plan import flags
from sweep.plan.asked import plan_of
from sweep.plan.flags import MODELS, Words, at_least, flag, member_of
from sweep.plan.folders import create_run_dir
from sweep.plan.options import Call
from sweep.plan.place import Place
from sweep.plan.plan import Plan
from sweep.plan.run import RunPlan
from sweep.relearning.setup import Setup
from sweep.track import __main__ as track

TINY = str(Path(__file__).parents[2] / "questions" / "tiny.py")


@dataclass(frozen=True)
class Wider(Setup):
    """A setup with one flag more, which no other file knows of."""

    brightness: float = flag(
        1.5,
        "--brightness",
        "images are this much brighter (default: %(default)g)",
        MODELS,
        metavar="B",
        check=at_least(1),
        words=Words("brightness", lambda b, setup: f"{b:g} times that of {setup.data}"),
    )


@pytest.fixture
def wider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relearning, "Setup", Wider)


@pytest.mark.usefixtures("wider")
def test_a_new_flag_is_in_the_help_of_both_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (launch, track):
        with pytest.raises(SystemExit):
            command.main(["--help"])
        shown = " ".join(capsys.readouterr().out.split())
        assert "--brightness B images are this much brighter (default: 1.5)" in shown


@pytest.mark.usefixtures("wider")
@pytest.mark.parametrize(("given", "told"), [([], "1.5"), (["--brightness", "3"], "3")])
def test_a_new_flag_is_in_the_printed_plan_and_in_the_runs(
    given: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--space", TINY, "--run-dir", str(tmp_path / "run"), *given]
    assert launch.main([*arguments, "--dry-run"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert f"brightness  {told} times that of digits" in printed
    assert printed.index(f"brightness  {told} times that of digits") > [p[:4] for p in printed].index("data")
    plan = create_run_dir(plan_of(launch.parser().parse_args(arguments), launch.parser()))
    kept = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert kept["plan"]["brightness"] == kept["brightness"] == float(told)
    again = launch.parser().parse_args(["--resume", str(tmp_path / "run")])
    own = str(tmp_path / "run" / "question" / "tiny.py")
    assert plan_of(again, launch.parser()) == plan.but(space=own) and plan.setup.brightness == float(told)


@pytest.mark.usefixtures("wider")
@pytest.mark.parametrize("command", [launch, track])
def test_a_new_flag_is_refused_in_one_line_where_its_value_cannot_be(
    command: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--space", TINY] if command is launch else ["--methods", "dimum"]
    arguments = [*asked, "--run-dir", str(tmp_path / "run"), "--brightness", ".5"]
    assert command.main(arguments) == 2  # type: ignore[attr-defined]
    assert capsys.readouterr().err == "error: --brightness 0.5: must be at least 1\n"
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("wider")
def test_a_new_flag_cannot_stand_beside_resume_unless_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create_run_dir(Plan.of(space=TINY, run_dir=str(tmp_path / "run"), artifacts=str(tmp_path / "store")))
    assert launch.main(["--resume", str(tmp_path / "run"), "--brightness", "2"]) == 2
    assert capsys.readouterr().err.startswith("error: --brightness beside --resume: the run's own plan holds")


def test_a_resumed_run_takes_what_may_be_given_anew_and_keeps_the_rest(tmp_path: Path) -> None:
    plan = create_run_dir(
        Plan.of(space=TINY, run_dir=str(tmp_path / "run"), artifacts=str(tmp_path / "store"), workers=7, address="a")
    )

    def resumed(*more: str) -> Plan:
        return plan_of(launch.parser().parse_args(["--resume", str(tmp_path / "run"), *more]), launch.parser())

    plan = plan.but(space=str(tmp_path / "run" / "question" / "tiny.py"))  # its own copy
    assert resumed() == plan
    assert resumed("--workers", "3", "--in-process") == plan.but(workers=3, in_process=True)
    assert resumed("--data-folder", "there").setup.data_folder == str(Path("there").absolute())


@pytest.mark.parametrize("usual", ["--keep all", "--sampler nehvi", "--seed 0", "--confirm-sure .95"])
def test_a_value_typed_beside_resume_is_refused_where_it_is_the_default_too(tmp_path: Path, usual: str) -> None:
    """Whoever resumes a run that keeps its front with ``--keep all`` would else lose what he means to keep."""
    create_run_dir(Plan.of(space=TINY, run_dir=str(tmp_path / "run"), artifacts=str(tmp_path / "store"), keep="front"))
    asked = launch.parser().parse_args(["--resume", str(tmp_path / "run"), *usual.split()])
    with pytest.raises(UsageError, match=f"{usual.split()[0]} beside --resume"):
        plan_of(asked, launch.parser())


def test_a_value_that_may_be_given_anew_is_taken_where_it_is_the_default_too(tmp_path: Path) -> None:
    begun = Plan.of(
        space="dimum_robustness", run_dir=str(tmp_path / "run"), artifacts=str(tmp_path / "store"), checkpointing="on"
    )
    create_run_dir(begun)
    words = ["--resume", str(tmp_path / "run"), "--checkpointing", "auto"]
    assert plan_of(launch.parser().parse_args(words), launch.parser()) == begun.but(checkpointing="auto")


def test_every_part_of_a_plan_has_fields_of_its_own() -> None:
    """Or they would be one in plan.json, where all stand beside one another."""
    names = [field.name for part in (Plan, RunPlan, Place, Setup) for field in fields(part)]
    assert len(names) == len(set(names))
    options = [declared.option for part in (Plan, RunPlan, Place, Setup, Call) for _, declared in flags.flags_of(part)]
    assert len(options) == len(set(options))


def test_a_plan_by_names_is_the_plan_of_its_parts() -> None:
    place, setup = Place(workers=5), Setup(data="digits_duplicated", guidance=2.0)
    whole = Plan("s", run=RunPlan("r", "a", seed=4, place=place, setup=setup))
    assert Plan.of(**whole.flat()) == whole
    assert whole.but(seed=5, workers=6, guidance=1.0) == Plan.of(
        space="s", run_dir="r", artifacts="a", seed=5, workers=6, data="digits_duplicated", guidance=1.0
    )
    with pytest.raises(TypeError, match="unexpected keyword argument 'wrokers'"):
        whole.but(wrokers=6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colour": 3}, "Plan.__init__() got an unexpected keyword argument 'colour'"),
        ({"space": None}, "Plan.__init__() missing 1 required positional argument: 'space'"),
        ({"fix": None}, "'fix'"),
    ],
)
def test_a_plan_json_of_another_version_is_one_line_that_names_the_key(change: dict[str, object], said: str) -> None:
    values = Plan.of(space="s", run_dir="r", artifacts="a").flat() | change
    held = {name: value for name, value in values.items() if value is not None}
    with pytest.raises(UsageError) as refused:
        Plan.recorded({"plan": held, "space_fingerprint": ""}, "RUN/plan.json")
    assert str(refused.value) == f"RUN/plan.json: not a plan of this version ({said})"


@pytest.mark.parametrize("hours", ["nan", "-1"])
def test_a_number_that_is_none_is_below_everything(hours: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch.main(["--space", TINY, "--dry-run", "--max-hours", hours]) == 2
    assert capsys.readouterr().err == f"error: --max-hours {float(hours)}: must be at least 0\n"


def test_a_member_that_is_left_out_is_asked_for_by_its_flag() -> None:
    known = member_of(lambda: ["classifier", "copies"])
    assert known("copies") == ""
    assert known("sure").endswith("known: classifier, copies; one of your own comes with --members FILE")
