"""The command that imports a checkpoint: files in every form their code saves, none that runs code, and a sweep on what it made."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ddim_network import Network
from diffusers import DDIMPipeline
from disk_formats import write_cifar10
from edm_network import Network as EDMNetwork
from safetensors.torch import save_file

from sweep import import_checkpoint, launch
from trainables.data import dataset
from trainables.denoisers.digests import hashed
from trainables.denoisers.imported import imported_model
from trainables.denoisers.models import load_model
from trainables.denoisers.pipelines import fitted, read_pipeline
from trainables.relearning.experiment import Experiment, TrialSpec
from trainables.relearning.export import save_pipeline
from trainables.relearning.products import Workbench, make_model
from trainables.relearning.stages.unlearn import UnlearnStage
from trainables.running.stopwatch import Stopwatch
from trainables.training.device import Device

T = torch.tensor([0, 3, 500, 999])
X = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
C = torch.tensor([0, 3, 9, 9])


@pytest.fixture(scope="module")
def network() -> Network:
    """As that of CIFAR-10, but small."""
    torch.manual_seed(0)
    return Network(32, (1, 1), 1, {16}, 32, 10).eval()


@pytest.fixture(scope="module")
def cifar10(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CIFAR-10's files, twenty images a batch."""
    rng = np.random.default_rng(0)
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    pixels = {name: rng.integers(0, 256, (20, 3072), np.uint8) for name in names}
    folder = tmp_path_factory.mktemp("data")
    return write_cifar10(folder, {name: np.arange(20) % 10 for name in names}, pixels, binary=False)


def halved(network: Network) -> dict[str, torch.Tensor]:
    return {name: value / 2 for name, value in network.state_dict().items()}


def parallel(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"module.{name}": value for name, value in state.items()}


def adam(network: Network) -> dict:
    """The state of an optimiser that has taken a step."""
    optimiser = torch.optim.Adam(network.parameters())
    with torch.enable_grad():
        network(X[:1], T[:1], C[:1]).sum().mul(0).backward()  # by which nothing moves
    optimiser.step()
    return optimiser.state_dict()


FORMS: dict[str, Callable[[Network], object]] = {
    "state dict": lambda n: n.state_dict(),
    "of DataParallel": lambda n: parallel(n.state_dict()),
    "model, optimiser, step": lambda n: [parallel(n.state_dict()), adam(n), 800000],
    "model, optimiser, step, EMA": lambda n: [parallel(halved(n)), adam(n), 800000, n.state_dict()],
    "model, optimiser, epoch, step, EMA": lambda n: [parallel(halved(n)), adam(n), 3, 800000, n.state_dict()],
    "by name": lambda n: {"model": halved(n), "ema": n.state_dict(), "step": 4},
}


@torch.no_grad()
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_weights_that_its_code_samples_from(
    form: str, network: Network, cifar10: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "ckpt.pth", tmp_path / "deep" / "out"
    torch.save(FORMS[form](network), file)
    assert import_checkpoint.main([str(file), str(out), "--family", "sa-ddpm"]) == 0
    said = capsys.readouterr().out.splitlines()
    average = "the average of its weights, which is there beside them"
    assert said[0] == f"ckpt.pth: {average if 'EMA' in form or form == 'by name' else 'its weights'}"
    assert said[-1] == str(out) and [p.name for p in out.parent.iterdir()] == ["out"]
    assert "1000 steps of β, linear from 0.0001 to 0.02" in (out / "README.md").read_text()
    data = dataset("cifar10", str(cifar10))
    ours = imported_model(fitted(read_pipeline(str(out)), data), data).eval()
    for theirs, row in ((C, C), (torch.full((4,), -1), torch.full((4,), 10))):
        torch.testing.assert_close(ours(X, T, row).sample, network(X, T, theirs), rtol=0, atol=1e-5)
    assert not ours.training and fitted(read_pipeline(str(out)), data).null


@torch.no_grad()
def test_the_other_weights_are_had_by_name_and_safetensors_are_read(
    network: Network, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save([halved(network), {}, 1, network.state_dict()], tmp_path / "both.pth")
    assert (
        import_checkpoint.main([str(tmp_path / "both.pth"), str(tmp_path / "a"), "--family=sa-ddpm", "--weights=model"])
        == 0
    )
    save_file(halved(network), tmp_path / "plain.safetensors")
    assert (
        import_checkpoint.main([str(tmp_path / "plain.safetensors"), str(tmp_path / "b"), "--family", "sa-ddpm"]) == 0
    )
    assert "both.pth: its weights, not their average" in capsys.readouterr().out
    network_of = {name: DDIMPipeline.from_pretrained(tmp_path / name, use_safetensors=True).unet for name in "ab"}
    torch.testing.assert_close(network_of["a"](X, T, C).sample, network_of["b"](X, T, C).sample, rtol=0, atol=0)
    plain = ["--family", "sa-ddpm", "--weights", "ema"]
    assert import_checkpoint.main([str(tmp_path / "plain.safetensors"), str(tmp_path / "c"), *plain]) == 2
    assert "holds no averaged weights; leave out --weights" in capsys.readouterr().err


class Malicious:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple:
        return os.system, (f"touch '{self.trace}'",)


@pytest.mark.parametrize("name", ["ckpt.pth", "network-snapshot.pkl"])
@pytest.mark.parametrize("family", ["sa-ddpm", "edm"])
def test_a_malicious_pickle_is_one_line_and_runs_no_code(
    name: str, family: str, network: Network, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace, file, out = tmp_path / "it ran", tmp_path / name, tmp_path / "out"
    torch.save([network.state_dict(), Malicious(trace)], file)
    assert import_checkpoint.main([str(file), str(out), "--family", family]) == 2
    said = capsys.readouterr()
    assert re.fullmatch(r"error: .*\n", said.err) and not said.out and str(file) in said.err
    assert "(posix.system), which could run code and is not read" in said.err
    assert not trace.exists() and not out.exists()
    torch.load(file, weights_only=False)
    assert trace.exists(), "read as pickles are, it would have run"


WRONG: dict[str, tuple[object, list[str], str]] = {
    "of another family": ({"conv.weight": torch.zeros(1)}, [], "as sa-ddpm, lacks conv_in.weight, by which its layout is known"),
    "no state": ([3, 4], [], "holds no state dict, but a list; save the model's state_dict() alone"),
    "other names": ({"weights": {}, "step": 3}, [], "holds no state dict, but a dict of 'weights', 'step'"),
    "bytes": (b"hello", [], "cannot be read as tensors (KeyError); name a whole file that torch.save wrote"),
    "nothing": (b"", [], "cannot be read as tensors"),
    "no family": ({}, ["--family", "sa-dppm"], "--family sa-dppm: did you mean 'sa-ddpm'"),
    "neither": ({}, ["--weights", "both"], "--weights both: is neither ema nor model"),
    "dropout": ({"a": torch.zeros(1)}, ["--dropout", "2"], "dropout 2: must lie from 0 and below 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_imported_is_one_line_and_leaves_nothing(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held, flags, expected = WRONG[case]
    file, out = tmp_path / "ckpt.pth", tmp_path / "new" / "out"
    if isinstance(held, bytes):
        file.write_bytes(held)
    else:
        torch.save(held, file)
    assert import_checkpoint.main([str(file), str(out), "--family", "sa-ddpm", *flags]) == 2
    said = capsys.readouterr().err
    assert re.fullmatch(r"error: .*\n", said) and expected in said
    assert not out.exists()


def test_a_taken_folder_and_a_missing_file_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert import_checkpoint.main(["none.pth", str(tmp_path / "out"), "--family", "sa-ddpm"]) == 2
    assert capsys.readouterr().err == "error: none.pth: no such file\n"
    (tmp_path / "file").touch()
    assert import_checkpoint.main(["none.pth", str(tmp_path), "--family", "sa-ddpm"]) == 2
    assert "exists and is not an empty folder" in capsys.readouterr().err


def test_a_sweep_takes_the_folder_and_a_model_is_unlearned_and_saved_again(
    network: Network, cifar10: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "ckpt.pth", tmp_path / "base"
    torch.save([parallel(network.state_dict()), adam(network), 1, network.state_dict()], file)
    assert import_checkpoint.main([str(file), str(out), "--family", "sa-ddpm", "--dropout", "0"]) == 0
    data = ["--data", "cifar10", "--data-folder", str(cifar10), "--forget", "0", "--guidance", "3"]
    place = ["--run-dir", str(tmp_path / "run"), "--artifacts", str(tmp_path / "store")]
    assert launch.main(["--space", "methods_vs_dimra", "--base", str(out), *data, *place, "--dry-run"]) == 0
    planned = " ".join(capsys.readouterr().out.split())
    assert f"base model {out}; images by ddim-10-cfg3" in planned, "whose null condition guides"
    unlearn_and_save(out, cifar10, tmp_path)


@pytest.mark.parametrize("flags", [[], ["--null-condition"]], ids=["without a null row", "with one"])
def test_edms_folder_is_taken_unlearned_and_saved_again(
    flags: list[str], cifar10: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    network = EDMNetwork("ddpmpp", 32, 16, (1, 1), 1, {16}, 10).eval()
    save_file({f"model.{name}": value for name, value in network.state_dict().items()}, tmp_path / "net.safetensors")
    out = tmp_path / "base"
    assert import_checkpoint.main([str(tmp_path / "net.safetensors"), str(out), "--family", "edm", *flags]) == 0
    assert "preconditioning edm; noise levels σ from 0.01 to 79.5" in capsys.readouterr().out
    data = dataset("cifar10", str(cifar10))
    assert fitted(read_pipeline(str(out)), data).null == bool(flags)
    theirs = DDIMPipeline.from_pretrained(
        out, use_safetensors=True
    ).unet  # diffusers finds the class where this is installed
    ours = imported_model(fitted(read_pipeline(str(out)), data), data).eval()
    with torch.no_grad():
        torch.testing.assert_close(ours(X, T, C).sample, theirs.eval()(X, T, C).sample, rtol=0, atol=1e-5)
    unlearn_and_save(out, cifar10, tmp_path)
    scheduler = out / "scheduler" / "scheduler_config.json"
    scheduler.write_text(scheduler.read_text().replace("0.0173", "0.02"))
    with pytest.raises(ValueError, match=r"config\.json: its beta_end is not the scheduler's"):
        read_pipeline(str(out))


def unlearn_and_save(out: Path, cifar10: Path, tmp_path: Path) -> None:
    """Two steps of a method on an imported folder, and what it unlearned saved and taken again."""
    data = dataset("cifar10", str(cifar10))
    base = hashed(fitted(read_pipeline(str(out)), data))
    experiment = Experiment(
        store=str(tmp_path / "store"), base=base, data="cifar10", data_folder=str(cifar10), forget="0",
        data_fingerprint=data.fingerprint(),
    )  # fmt: skip
    make_model(experiment, "base")
    spec = TrialSpec("trial", 0, experiment, "label_swap", {"steps": 2, "batch": 4}, 0, (), (0, 1))
    spec = TrialSpec.from_json(json.loads(json.dumps(spec.to_json())))
    stage = UnlearnStage(Workbench(experiment), spec)
    watch = Stopwatch()
    assert stage.advance(watch, float("inf"))
    artifact = stage.commit(watch)
    unlearned = load_model(artifact, Device())
    save_pipeline(artifact, experiment, tmp_path / "unlearned")
    again = imported_model(fitted(read_pipeline(str(tmp_path / "unlearned")), data), data).eval()
    with torch.no_grad():
        before = imported_model(base, data).eval()(X, T, C).sample
        after = unlearned(X, T, C).sample
        assert 1e-4 < (after - before).abs().max() < 10
        torch.testing.assert_close(again(X, T, C).sample, after, rtol=0, atol=1e-6)
