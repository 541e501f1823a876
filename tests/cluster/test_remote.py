"""`--cluster`: what the head is asked to run, and mistakes that are found before anyone is reached."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sweep import launch, procedures
from sweep.cluster import files, remote
from sweep.errors import UsageError, called
from sweep.plan.asked import plan_of, procedure_of, with_preset
from sweep.plan.place import trials_on
from sweep.plan.words import describe

FOLDER = Path(__file__).parents[2] / "cluster"
GPU, OWN = FOLDER / "gpu.yaml", FOLDER / "on_premises.yaml"
TINY = str(Path(__file__).parents[1] / "questions" / "tiny.py")


def asked(*words: str) -> list[str]:
    """The command line that the head runs for one typed here."""
    known = launch.parser()
    args = known.parse_args(["--cluster", str(GPU), *words])
    return remote.remote_command(args, known, "first", files.read(args.cluster))


def test_the_head_runs_the_same_command_with_the_clusters_places() -> None:
    words = (
        "--space dimum_robustness --gpus-per-trial 0.5 --fix method=dimum --fix lambda_m=1 --stop-dominated --seed 3"
    )
    line = asked(*words.split(), "--warm-start", "/mnt/shared/a", "/mnt/shared/b", "--dry-run")
    assert " ".join(line) == (
        "python -m sweep.launch --space dimum_robustness --run-dir /mnt/shared/first --storage /mnt/shared "
        "--address auto --workers 12 --fix method=dimum --fix lambda_m=1 --seed 3 --warm-start /mnt/shared/a /mnt/shared/b "
        "--stop-dominated --gpus-per-trial 0.5"
    )


def test_what_the_head_runs_is_a_command_line_that_it_can_parse() -> None:
    line = asked("--space", TINY, "--trials", "7", "--gpu-type", "A10G", "--gpus-per-trial", "1", "--workers", "3")
    args = launch.parser().parse_args(line[3:])
    assert (args.space, args.trials, args.gpu_type, args.workers) == ("../tiny.py", 7, "A10G", 3)
    assert not args.cluster


def test_members_from_outside_are_sent_and_named_where_the_head_finds_them(tmp_path: Path) -> None:
    for name, text in (("mine.py", "1"), ("_helps.py", "2"), ("tiny.py", Path(TINY).read_text()), ("note.txt", "3")):
        (tmp_path / name).write_text(text)
    known = launch.parser()
    words = ["--cluster", str(GPU), "--space", str(tmp_path / "tiny.py"), "--members", str(tmp_path), "--workers", "1"]
    args = known.parse_args(words)
    line = remote.remote_command(args, known, "first", files.read(args.cluster))
    assert " ".join(line).startswith("python -m sweep.launch --space ../tiny.py --members ../members --run-dir ")
    remote._stage(tmp_path / "staged", args)
    assert sorted(f.name for f in (tmp_path / "staged" / "members").iterdir()) == ["_helps.py", "mine.py"]
    assert (tmp_path / "staged" / "tiny.py").is_file(), "a question's own file is sent as the question"
    again = known.parse_args(["--cluster", str(GPU), "--resume", "first", "--workers", "1"])
    assert "--members" not in remote.remote_command(again, known, "first", files.read(again.cluster)), (
        "the run has copies"
    )
    remote._stage(tmp_path / "again", again)
    assert [f.name for f in (tmp_path / "again").iterdir()] == ["code"]
    with pytest.raises(UsageError, match="--members beside --resume: the run has its own copies"):
        asked("--resume", "first", "--members", str(tmp_path))


class NearHead(remote.Head):
    """A head in a container, a folder here, of a machine that is another: rsync leaves on it what was sent before."""

    def __init__(self, folder: Path) -> None:
        super().__init__(files.read(str(GPU)))
        self.home, self.machine, self.programs = folder / "home", folder / "machine", folder / "bin"
        for place in (self.home, self.machine, self.programs):
            place.mkdir()

    def program(self, name: str, script: str) -> None:
        (self.programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.programs / name).chmod(0o755)

    def environment(self) -> dict[str, str]:
        return os.environ | {"HOME": str(self.home), "PATH": f"{self.programs}:{os.environ['PATH']}"}

    def ask(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command], env=self.environment(), capture_output=True, text=True, timeout=60
        )
        if done.returncode:
            raise UsageError(done.stdout + done.stderr)
        return done.stdout

    def show(self, command: str) -> None:
        subprocess.run(["bash", "-c", command], env=self.environment(), check=True, timeout=60)

    def send(self, folder: Path, target: str) -> None:
        place = target.removeprefix("~/")
        shutil.copytree(folder, self.machine / place, dirs_exist_ok=True)
        shutil.copytree(self.machine / place, self.home / place, dirs_exist_ok=True)


def test_what_was_sent_for_an_earlier_run_of_the_name_is_not_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, known = NearHead(tmp_path), launch.parser()
    head.program("python", "exit 0")
    args = known.parse_args(["--cluster", str(GPU), "--space", TINY, "--run-dir", "first", "--dry-run"])

    def stage(folder: Path, args: object) -> None:
        stages.append(folder)
        (folder / "code").mkdir()
        (folder / "code" / f"of_{len(stages)}.py").write_text("")
        (folder / "tiny.py").write_text(str(len(stages)))

    stages: list[Path] = []
    found: list[list[str]] = []
    monkeypatch.setattr(remote, "_stage", stage)
    show = NearHead.show

    def looked(head: NearHead, command: str) -> None:
        there = head.home / "sweeps" / "first"
        found.append([*(f.name for f in (there / "code").iterdir()), (there / "tiny.py").read_text()])
        show(head, command)

    monkeypatch.setattr(NearHead, "show", looked)
    assert remote.launch(head, args, known) == remote.launch(head, args, known) == 0
    assert found == [["of_1.py", "1"], ["of_2.py", "2"]]
    assert not list((head.home / "sweeps").iterdir()), "a plan that was only checked leaves nothing"


def test_of_two_that_start_a_run_at_once_one_does_and_the_other_is_told(tmp_path: Path) -> None:
    head, there = NearHead(tmp_path), tmp_path / "home" / "sweeps" / "first"
    (there / "code").mkdir(parents=True)
    head.program("python", "echo it runs; sleep 5")
    start = remote._start("first", remote.START.format(command="python -m sweep.launch"))
    with ThreadPoolExecutor() as both:
        asked = [both.submit(head.ask, start) for _ in range(2)]
    (refused,) = [str(one.exception()) for one in asked if one.exception()]
    assert "--resume first: it was started just now" in refused
    head.show("cd ~/sweeps/first; while ! grep -q runs log; do sleep .1; done")
    assert (there / "log").read_text() == "it runs\n"
    head.ask(remote._running("first"))
    with pytest.raises(UsageError, match="started just now"):
        head.ask(start)
    head.ask("kill -KILL -- -$(cat ~/sweeps/first/pid)")
    head.show("cd ~/sweeps/first; while kill -0 $(cat pid) 2> /dev/null; do sleep .1; done")
    head.program("python", "exit 3")
    head.ask(start)  # it was lost
    head.show("cd ~/sweeps/first; while test ! -e exit; do sleep .1; done")
    assert (there / "exit").read_text() == "3\n"


STARTS, WATCHES = "setsid", "test -e ~/sweeps/first/start.sh"


@pytest.mark.parametrize("at", [STARTS, WATCHES], ids=["start", "first look"])
def test_ctrl_c_once_a_sweep_may_run_says_how_to_look_at_it(
    at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    head, ask = NearHead(tmp_path), NearHead.ask
    head.program("python", "exit 0")

    def interrupted(head: NearHead, command: str) -> str:
        if at in command:
            raise KeyboardInterrupt
        return ask(head, command)

    monkeypatch.setattr(NearHead, "ask", interrupted)
    monkeypatch.setattr(remote, "Head", lambda file: head)
    monkeypatch.setattr(remote, "_stage", lambda folder, args: (folder / "code").mkdir())
    assert launch.main(["--cluster", str(GPU), "--space", TINY, "--run-dir", "first"]) == 130
    told = capsys.readouterr().err
    assert told.endswith(f"stopped; look: {called('sweep.launch')} --cluster {GPU} --attach first\n"), told
    assert (head.home / "sweeps" / "first" / "code").is_dir()


@pytest.mark.parametrize("fault", [KeyboardInterrupt, UsageError])
@pytest.mark.parametrize("reached", [True, False], ids=["reached", "not reached"])
def test_what_ends_before_the_start_leaves_the_name_free_or_says_what_is_left(
    fault: type[BaseException],
    reached: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    head = NearHead(tmp_path)

    def gone(head: NearHead, command: str) -> str:
        raise UsageError("the head cannot be reached")

    def fails(head: NearHead, folder: Path, target: str) -> None:
        if not reached:
            monkeypatch.setattr(NearHead, "ask", gone)
        raise fault() if fault is KeyboardInterrupt else fault("the head cannot be reached")

    monkeypatch.setattr(NearHead, "send", fails)
    monkeypatch.setattr(remote, "Head", lambda file: head)
    monkeypatch.setattr(remote, "_stage", lambda folder, args: (folder / "code").mkdir())
    words = ["--cluster", str(GPU), "--space", TINY, "--run-dir", "first"]
    assert launch.main(words) == (130 if fault is KeyboardInterrupt else 2)
    told = capsys.readouterr().err.strip()
    assert told.startswith(
        "stopped; nothing was begun" if fault is KeyboardInterrupt else "error: the head cannot be reached"
    )
    assert told.count("\n") == 0 and ("left, and may be removed: ~/sweeps/first " in told) is not reached
    left = [folder.name for folder in (head.home / "sweeps").iterdir()]
    assert left == [] if reached else "first" in left


def test_ctrl_c_in_a_resumed_runs_check_starts_nothing(tmp_path: Path) -> None:
    head, known = NearHead(tmp_path), launch.parser()
    there = head.home / "sweeps" / "first"
    (there / "code").mkdir(parents=True)
    (there / "checked").write_text("0\n")  # when it was begun
    head.program("python", "kill -KILL $PPID")  # as a Ctrl-C ends all that the terminal's shell does
    args = known.parse_args(["--cluster", str(GPU), "--resume", "first", "--workers", "1"])
    head.show = lambda command: subprocess.run(["bash", "-c", command], env=head.environment(), timeout=60)  # type: ignore
    assert remote.launch(head, args, known) == 130
    assert not (there / "start.sh").exists() and (there / "code").is_dir()


def test_another_process_that_has_a_lost_runs_number_is_not_that_run(tmp_path: Path) -> None:
    head, there = NearHead(tmp_path), tmp_path / "home" / "sweeps" / "first"
    there.mkdir(parents=True)
    (there / "pid").write_text(f"{os.getpid()}\n")
    head.ask(remote._running("first"))  # of a run that noted no time
    (there / "began").write_text("1\n")
    with pytest.raises(UsageError):
        head.ask(remote._running("first"))


def test_beside_an_object_store_the_run_lies_on_the_head() -> None:
    line = " ".join(asked("--space", "dimum_robustness", "--storage", "s3://bucket/sweeps", "--workers", "2"))
    assert "--run-dir ../run --storage s3://bucket/sweeps " in line and "--artifacts" not in line


@pytest.mark.parametrize("more, lost", [((), True), (("--storage", "/mnt/shared"), False)], ids=["s3", "folder"])
def test_a_plan_says_where_its_records_go_with_the_head(more: tuple[str, ...], lost: bool) -> None:
    words = ["--space", "dimum_robustness", "--storage", "s3://bucket/sweeps", "--workers", "2", *more]
    known = launch.parser()
    plan = plan_of(known.parse_args(asked(*words)[3:]), known)
    said = [line for line in describe(plan, plan.question()).splitlines() if line.startswith("run  ")]
    assert len(said) == 1 and ("records lie there and not in the object store" in said[0]) == lost


@pytest.mark.parametrize("name", ["gpu.yaml", "gcp.yaml"])
def test_what_lies_in_a_heads_sweeps_outlives_its_container(name: str) -> None:
    values = files.read(str(FOLDER / name)).document.values
    made = "/home/ubuntu/sweeps"
    assert f"--volume {made}:/home/ray/sweeps" in values["docker"]["run_options"] and remote.ROOT == "~/sweeps"
    assert f"mkdir -p {made}" in values["initialization_commands"]


@pytest.mark.parametrize("storage", ["/mnt/shared", "s3://bucket/sweeps"])
def test_a_run_that_keeps_its_front_has_a_store_of_its_own_on_the_head_too(
    storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the head removes of the store that all runs share, another run may need."""
    shutil.copy(TINY, tmp_path)
    (tmp_path / "code").mkdir()
    monkeypatch.chdir(tmp_path / "code")  # where the head runs it
    shared, own = (
        plan_of(launch.parser().parse_args(asked("--space", TINY, "--storage", storage, *more)[3:]), launch.parser())
        for more in (["--workers", "1"], ["--workers", "1", "--keep", "front"])
    )
    assert shared.artifacts == f"{storage}/artifacts"
    assert own.artifacts != shared.artifacts and own.artifacts.startswith(f"{storage}/")


def test_a_resumed_run_is_asked_for_by_its_name_and_keeps_what_it_began_with() -> None:
    line = " ".join(asked("--resume", "first", "--workers", "2"))
    assert line == "python -m sweep.launch --resume /mnt/shared/first --address auto --workers 2"
    moved = " ".join(asked("--resume", "first", "--artifacts", "/mnt/shared/new"))
    assert moved == "python -m sweep.launch --resume /mnt/shared/first --address auto --artifacts /mnt/shared/new"


def test_what_was_typed_in_place_of_a_presets_value_is_sent_where_it_is_the_usual_too() -> None:
    words = with_preset(["--space", "dimum_text2image", "--preset", "24gb", "--confirm-seeds", "3"])
    line = asked(*words)
    assert line[line.index("--confirm-seeds") + 1] == "3"


def test_only_nodes_with_gpus_of_the_type_that_is_asked_for_are_counted() -> None:
    file = files.read(str(GPU))
    assert file.capacity(0.5, "A10G") == 12 and file.capacity(0.5, "H100") == 0
    with pytest.raises(UsageError, match="--workers N is needed: the cluster file names no nodes of type H100"):
        asked("--space", "dimum_robustness", "--gpus-per-trial", "1", "--gpu-type", "H100")


def test_a_run_is_reached_by_a_file_that_has_changed_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the README says of machines that are not to be had: a spot type's max_workers is set to 0."""
    file = tmp_path / "gpu.yaml"
    file.write_text(GPU.read_text().replace("idle_timeout_minutes: 12", "idle_timeout_minutes: 60"))
    monkeypatch.chdir(tmp_path)
    asked_of: list[str] = []
    monkeypatch.setattr(remote.Head, "ask", lambda head, command: asked_of.append(command) or "")
    assert launch.main(["--cluster", str(file), "--stop", "first"]) == 0 and "kill -INT" in asked_of[0]
    assert launch.main(["--cluster", str(file), "--space", TINY]) == 2
    assert "idle_timeout_minutes is 60" in capsys.readouterr().err


def test_a_run_on_a_cluster_is_resumed_from_where_its_folder_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert procedure_of(["--cluster", str(GPU), "--resume", "first"]) == procedures.DEFAULT
    with pytest.raises(UsageError, match="first: does not exist"):
        procedure_of(["--resume", "first"])


@pytest.mark.parametrize("share, trials", [(0.5, 12), (1.0, 6), (0.0, 24), (0.1, 24)])
def test_by_default_as_many_trials_run_as_the_cluster_may_grow_to(share: float, trials: int) -> None:
    assert files.read(str(GPU)).capacity(share) == trials, "each with a CPU"


def test_nodes_that_say_nothing_of_their_cpus_take_what_their_gpus_do(tmp_path: Path) -> None:
    file = tmp_path / "gpu.yaml"
    text = GPU.read_text()
    assert text.count("CPU: 4, GPU: 1") == 2
    file.write_text(text.replace("CPU: 4, GPU: 1", "GPU: 1"))
    assert files.read(str(file)).capacity(0.1) == 60


@pytest.mark.parametrize(
    "gpus, share, trials", [(1, 0.5, 2), (2, 0.6, 2), (4, 0.3, 12), (8, 2.0, 4), (1, 2.0, 0), (1, 0.1, 10)]
)
def test_a_trial_has_a_share_of_one_gpu_or_whole_ones(gpus: int, share: float, trials: int) -> None:
    assert trials_on(gpus, share) == trials


MISTAKES = {
    "no such file": (["--cluster", "no.yaml", "--space", TINY], "no.yaml: cannot be read: No such file"),
    "a file that does not pass": (
        ["--cluster", "bad.yaml", "--space", TINY],
        ": idle_timeout_minutes is 60",
    ),
    "two things at once": (["--cluster", str(GPU), "--attach", "a", "--fetch", "b"], "--attach a: stands alone"),
    "a question and a run": (["--cluster", str(GPU), "--attach", "a", "--space", TINY], "--attach a: stands alone"),
    "nothing to do": (["--cluster", str(GPU)], "--space NAME is needed"),
    "a name that is a path": (["--cluster", str(GPU), "--fetch", "../../etc"], "a run has a plain name"),
    "a name with a command": (["--cluster", str(GPU), "--stop", "a;true"], "a run has a plain name"),
    "storage of the laptop's": (
        ["--cluster", str(GPU), "--space", TINY, "--storage", "runs"],
        "--storage runs: beside --cluster, an absolute folder",
    ),
    "machines of unknown size": (["--cluster", str(OWN), "--space", TINY], "--workers N is needed"),
    "a question beside a run": (["--cluster", str(GPU), "--resume", "a", "--space", TINY], "--space beside --resume"),
    "another Ray": (["--cluster", str(GPU), "--space", TINY, "--address", "auto"], "--address auto: beside --cluster"),
    "a run without its cluster": (["--attach", "first"], "--attach first: is for a run on a cluster"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_before_the_head_is_reached(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words, said = MISTAKES[name]
    (tmp_path / "bad.yaml").write_text(GPU.read_text().replace("idle_timeout_minutes: 12", "idle_timeout_minutes: 60"))
    monkeypatch.chdir(tmp_path)
    assert launch.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {said}") or said in line, line
