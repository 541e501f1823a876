"""Mistakes cost a second: one clear line, exit code 2, nothing heavy imported and nothing left behind."""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from sweep.launch import main

TINY = str(Path(__file__).parents[1] / "questions" / "tiny.py")

HEAVY = ("torch", "ray", "optuna", "diffusers", "sklearn", "matplotlib", "plotly")


def launch(*args: str, cwd: Path, env: dict[str, str] | None = None) -> tuple[int, str, list[str]]:
    """Exit code, standard error and the heavy modules imported by a launch in a process of its own."""
    code = (
        "import sys, json\nfrom sweep.launch import main\ncode = main(sys.argv[1:])\n"
        f"print('\\n' + json.dumps([code, [m for m in {HEAVY!r} if m in sys.modules]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *args], cwd=cwd, env=os.environ | (env or {}), capture_output=True, text=True
    )
    assert done.stdout.strip(), done.stderr
    exit_code, heavy = json.loads(done.stdout.strip().splitlines()[-1])
    return exit_code, done.stderr, heavy


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


MISTAKES = {
    "no question": ([], "--space NAME is needed"),
    "unknown space": (["--space", "dimum_robustnes"], "did you mean 'dimum_robustness'"),
    "no such file": (["--space", "nowhere.py"], "no such file"),
    "space that does not import": (["--space", "broken.py"], "does not import: ZeroDivisionError"),
    "space with a syntax error": (["--space", "syntax.py"], "does not import: SyntaxError"),
    "space without SPACE": (["--space", "empty.py"], "defines no SPACE"),
    "range upside down": (["--space", "upside_down.py"], "range [1.0, 0.0] is empty"),
    "unknown method": (["--space", "method.py"], "did you mean 'dimum'"),
    "parameter out of range": (["--space", TINY, "--fix", "steps=1000"], "'steps': 1000 is outside [2, 8]"),
    "unknown parameter": (["--space", TINY, "--fix", "stepps=3"], "did you mean 'steps'"),
    "fix without a value": (["--space", TINY, "--fix", "steps"], "write NAME=VALUE"),
    "budget that is no number": (["--space", TINY, "--fid-budget", "low"], "neither 'auto' nor a number"),
    "budget below zero": (["--space", TINY, "--fid-budget", "-1"], "must be a positive"),
    "budget that is nan": (["--space", TINY, "--fid-budget", "nan"], "must be a positive"),
    "unknown sampler": (["--space", TINY, "--sampler", "tpee"], "did you mean 'tpe'"),
    "unknown data": (["--space", TINY, "--data", "digit"], "did you mean 'digits'"),
    "condition that is not there": (["--space", TINY, "--forget", "10"], "has conditions 0 to 9"),
    "no trials": (["--space", TINY, "--trials", "0"], "--trials 0: must be at least 1"),
    "fewer trials than arms": (["--space", "methods_vs_dimra", "--trials", "9"], "each of which needs a trial"),
    "method that is no arm": (["--space", "methods_vs_dimra", "--fix", "method=salum"], "did you mean 'salun'"),
    "shadow models below zero": (["--space", TINY, "--shadow-models", "-1"], "--shadow-models -1: must be at least 0"),
    "budget of other units": (["--space", "other_units.py"], "the FID budget is a bound of fid_delta; write a number"),
    "bound that no share can reach": (["--space", "unreachable.py"], "at_least 2 is out of reach of a share"),
    "bound on an objective's better side": (
        ["--space", "other_side.py"],
        "bound it by Constraint('fid_delta', at_most=…)",
    ),
    "budget misspelt": (["--space", "misspelt.py"], "at_most 'fid-budget' is no bound"),
    "two bounds on one side": (["--space", "twice_bounded.py"], "two constraints bound 'fid_delta' by at_most"),
    "objective without a worst value": (["--space", "boundless.py"], "no worst value to measure a front from"),
    "objective that the search never learns": (["--space", "harmless.py"], "needs a search attack whose data hold"),
    "unknown size": (
        ["--space", TINY, "--base-size", "huge"],
        "--base-size huge: unknown; known: large, medium, small",
    ),
    "size of a pretrained model": (
        ["--space", TINY, "--base", "pipe", "--base-size", "small"],
        "leave them out with --base",
    ),
    "pipeline that is none": (["--space", TINY, "--base", "taken"], "not a diffusers pipeline"),
    "pipeline that is nowhere": (["--space", TINY, "--base", "./nowhere"], "--base ./nowhere: no such folder"),
    "pipeline of another size": (
        ["--space", TINY, "--base", "pipe"],
        "but digits has 1×8×8 images; give --image-size 16",
    ),
    "control without a base": (["--space", TINY, "--retrain-control", "pipe"], "give it with --base"),
    "revision without a base": (["--space", TINY, "--base-revision", "main"], "give it with --base"),
    "classes that are no numbers": (["--space", TINY, "--base-classes", "cat"], "write whole numbers"),
    "shadows of a pretrained model": (
        ["--space", TINY, "--base", "pipe", "--shadow-models", "2"],
        "--shadow-models: they are trained like the base model",
    ),
    "unknown image sampler": (
        ["--space", TINY, "--image-sampler", "dpm"],
        "sampler 'dpm' is none of ddim, dpm-solver++",
    ),
    "no sampling steps": (["--space", TINY, "--sampling-steps", "0"], "must be from 1 to 1000"),
    "guidance without conditions": (
        ["--space", TINY, "--data", "digits_duplicated", "--forget", "instances:0", "--guidance", "2"],
        "no conditions to guide by",
    ),
    "unknown features": (["--space", TINY, "--fid-features", "vgg"], "known: classifier, efficientnet, inception"),
    "no weights named": (["--space", TINY, "--fid-features", "inception"], "--inception-weights"),
    "missing weights": (
        ["--space", TINY, "--fid-features", "inception", "--inception-weights", "gone.pt"],
        "gone.pt: no such file",
    ),
    "more GPUs than there are": (["--space", TINY, "--gpus-per-trial", "99"], "this machine has 0 GPU(s)"),
    "cluster that is not up": (
        ["--space", TINY, "--address", "127.0.0.1:9", "--workers", "1"],
        "nothing answers there",
    ),
    "one GPU and a half": (
        ["--space", TINY, "--gpus-per-trial", "1.5", "--address", "auto", "--workers", "1"],
        "--gpus-per-trial 1.5: a share of one GPU, up to 1, or whole GPUs",
    ),
    "GPU type without a GPU": (["--space", TINY, "--gpu-type", "A10G"], "--gpu-type A10G: trials get no GPU"),
    "password in an address": (
        ["--space", TINY, "--artifacts", "s3://key:secret@bucket/sweeps"],
        "--artifacts: holds a password",
    ),
    "cluster without workers": (["--space", TINY, "--address", "auto"], "--address needs --workers N"),
    "run folder that is none": (["--resume", "."], "is not a run folder"),
    "run folder that is gone": (["--resume", "gone"], "does not exist"),
    "damaged plan": (["--resume", "damaged"], "cannot be read as JSON"),
    "plan of another version": (["--resume", "older"], "not a plan of this version"),
    "resume and space": (["--resume", ".", "--space", TINY], "the run's own plan holds"),
    "seed below zero": (["--space", TINY, "--seed", "-1"], "--seed -1: must be from 0"),
    "GPU share that is nan": (["--space", TINY, "--gpus-per-trial", "nan"], "must be finite"),
    "unknown objective": (["--space", "objective.py"], "did you mean 'robustness'"),
    "no objective": (["--space", "aimless.py"], "it has no objective"),
    "gain of one objective without a worst value": (
        ["--space", "single.py", "--min-gain", "0.01"],
        "no worst value to measure --min-gain from",
    ),
    "run folder taken": (["--space", TINY, "--run-dir", "taken"], "not an empty folder"),
    "run folder that holds a run": (["--space", TINY, "--run-dir", "older"], "continue it with --resume"),
    "run folder under a file": (["--space", TINY, "--run-dir", "empty.py/run"], "cannot write in"),
    "artifacts under a file": (["--space", TINY, "--artifacts", "empty.py/store"], "cannot write in"),
}


def pipeline(folder: Path) -> None:
    """A pipeline's files for 16×16 images, as far as a plan looks at them: what they say, not their weights."""
    for part in ("unet", "scheduler"):
        (folder / part).mkdir(parents=True)
    write(folder / "model_index.json", '{"_class_name": "DDPMPipeline", "unet": ["diffusers", "UNet2DModel"]}')
    write(folder / "unet" / "config.json", '{"sample_size": 16, "in_channels": 1, "out_channels": 1}')
    write(folder / "unet" / "diffusion_pytorch_model.safetensors", "")
    write(folder / "scheduler" / "scheduler_config.json", '{"_class_name": "DDPMScheduler", "beta_schedule": "linear"}')


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    tiny = Path(TINY).read_text()
    write(folder / "broken.py", "1 / 0\n")
    write(folder / "syntax.py", "def (:\n")
    write(folder / "empty.py", "")
    write(folder / "upside_down.py", "from sweep.space import Float\nFloat('x', 1.0, 0.0)\n")
    write(folder / "method.py", tiny.replace('"dimum",\n            "dimum"', '"dimum",\n            "dimumm"'))
    write(folder / "objective.py", tiny.replace('Objective("robustness"', 'Objective("robustnes"'))
    write(folder / "boundless.py", tiny.replace('Objective("robustness", "maximise")', 'Objective("fid", "minimise")'))
    write(folder / "harmless.py", tiny.replace('Objective("robustness"', 'Objective("malicious_robustness"'))
    both = 'Objective("robustness", "maximise"), Objective("fid_delta", "minimise")'
    write(folder / "single.py", tiny.replace(both, 'Objective("fid", "minimise"),'))
    write(folder / "aimless.py", tiny.replace(both, ""))
    loose = 'Constraint("fid_delta", at_most="fid_budget")'
    write(folder / "unreachable.py", tiny.replace("at_least=0.05", "at_least=2.0"))
    write(folder / "other_units.py", tiny.replace(loose, f'{loose}, Constraint("kid", at_most="fid_budget")'))
    write(folder / "other_side.py", tiny.replace(loose, 'Constraint("fid_delta", at_least=-50.0)'))
    write(folder / "misspelt.py", tiny.replace('at_most="fid_budget"', 'at_most="fid-budget"'))
    write(folder / "twice_bounded.py", tiny.replace(loose, f'{loose}, Constraint("fid_delta", at_most=9.0)'))
    for name in ("taken", "damaged", "older"):
        (folder / name).mkdir()
    write(folder / "taken" / "something", "")
    write(folder / "damaged" / "plan.json", "{")
    pipeline(folder / "pipe")
    write(folder / "older" / "plan.json", "{}")
    return folder


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(mistake: str, place: Path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    args, said = MISTAKES[mistake]
    monkeypatch.chdir(place)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    before = sorted(p.relative_to(place) for p in place.rglob("*") if "__pycache__" not in p.parts)
    assert main(args) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("error: ")
    assert said in error
    after = sorted(p.relative_to(place) for p in place.rglob("*") if "__pycache__" not in p.parts)
    assert after == before, "a mistake leaves nothing behind"


@pytest.mark.parametrize(
    "mistake",
    [
        "unknown space",
        "parameter out of range",
        "missing weights",
        "run folder that is none",
        "pipeline of another size",
    ],
)
def test_a_mistake_imports_nothing_heavy(mistake: str, place: Path) -> None:
    args, said = MISTAKES[mistake]
    code, error, heavy = launch(*args, cwd=place)
    assert (code, heavy) == (2, []) and said in error


def test_a_full_disk_is_said_before_anything_runs(place: Path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    """A real full file system needs root; the free space of this one is read for real and the threshold moved past it."""
    monkeypatch.setattr("sweep.records.claim._FREE_BYTES", 2**62)
    assert main(["--space", TINY, "--run-dir", str(place / "new")]) == 2
    assert "MiB free on its disk" in capsys.readouterr().err
    assert not (place / "new").exists()


def test_help_costs_less_than_a_second_and_imports_nothing_heavy(tmp_path: Path) -> None:
    command, costs = [sys.executable, "-m", "sweep.launch", "--help"], []
    for _ in range(2):  # the first may compile bytecode
        before = resource.getrusage(resource.RUSAGE_CHILDREN)  # of processors: how busy others keep them is not asked
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        costs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert "--fid-budget" in done.stdout
    assert min(costs) < 1.0


def test_a_dry_run_prints_the_whole_plan_and_does_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sweep.launch", "--space", "dimum_robustness", "--dry-run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    for said in ("dimum 16 trials, label_swap 8 trials", "max(.25 × FID(θ₀), 2 × SD", "core-s", "dimra-public-1e-3"):
        assert said in done.stdout
    assert "\nshared      learning_rate, steps, lambda_ratio, " in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flags", ["--sampler tpe", "--fix method=dimum"])
def test_what_arms_share_is_told_where_a_sampler_learns_of_several(
    flags: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--space", "dimum_robustness", "--dry-run", *flags.split()]) == 0
    assert "\nshared " not in capsys.readouterr().out


def test_one_of_a_thing_is_told_in_the_singular(capsys: pytest.CaptureFixture[str]) -> None:
    one = "--trials 1 --baseline-trials 1 --workers 1 --confirm-members 1 --shadow-models 1"
    assert main(["--space", TINY, *one.split(), "--dry-run"]) == 0
    told = capsys.readouterr().out
    for said in ("dimum 1 trial, label_swap 1 trial", "; 1 trial at a time", "up to 1 member an arm", "1 shadow model"):
        assert said in told
    for said in ("1 trials", "1 members", "1 shadow models"):
        assert said not in told


@pytest.mark.parametrize("space", ["methods_vs_dimra", "meta_unlearning"])
def test_a_dry_run_of_many_arms_tells_every_range_once_and_what_each_arm_gets(
    space: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--space", space, "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert told.count(" learning_rate: ") == 1 and "trials each of" in told and len(told.splitlines()) < 80


def trials(args: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main([*args, "--dry-run"]) == 0
    return next(line for line in capsys.readouterr().out.splitlines() if line.startswith("search"))


def test_a_question_says_how_many_trials_it_is_worth_and_a_flag_overrules_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "dimum 16 trials, label_swap 8 trials" in trials(["--space", "dimum_robustness"], capsys)
    assert "dimum 6 trials, label_swap 3 trials" in trials(["--space", "dimum_robustness", "--trials", "6"], capsys)
    assert "nehvi; 6 trials each of dimum" in trials(["--space", "methods_vs_dimra"], capsys)
    one = ["--space", "methods_vs_dimra", "--fix", "method=salun"]
    assert "salun 6 trials" in trials(one, capsys) and "salun 2 trials" in trials([*one, "--trials", "2"], capsys)
    assert "8 trials each of meta-dimum" in trials(["--space", "meta_unlearning"], capsys)


def test_an_attack_that_would_smuggle_in_the_forgotten_data_is_refused(tmp_path: Path) -> None:
    text = Path(TINY).read_text().replace(', "batch": 8}, counts=False)', ', "batch": 8})')
    code, error, _ = launch("--space", write(tmp_path / "cheat.py", text), cwd=tmp_path)
    assert code == 2 and "declare it with counts=False" in error


def test_a_setting_that_a_method_does_not_have_is_refused_before_ray_starts(tmp_path: Path) -> None:
    text = Path(TINY).read_text().replace('"learning_rate"', '"learning_rat"')
    code, error, _heavy = launch("--space", write(tmp_path / "typo.py", text), cwd=tmp_path)
    assert code == 2 and "has no setting learning_rat" in error and error.count("\n") == 1


@pytest.mark.parametrize("command", ["sweep.launch", "sweep.track.__main__"])
def test_ctrl_c_before_there_is_a_plan_says_that_nothing_was_begun(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module(command)

    def pressed(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "plan_of", pressed)
    assert module.main(["--forget", "3"]) == 130
    assert capsys.readouterr().err == "\nstopped; nothing was begun\n"
