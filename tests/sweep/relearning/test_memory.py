"""What a model takes of memory and disk: counted as it is built, told where it matters, refused where it cannot fit."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
import torch

from sweep import launch
from sweep.errors import UsageError
from sweep.plan.place import Place, memory_here
from sweep.relearning import memory
from sweep.relearning.memory import Needs, check_fits, needs_of, parameters
from sweep.relearning.setup import Setup
from sweep.space import Attack
from trainables.data import DATASETS, Dataset
from trainables.denoisers.models import build
from trainables.denoisers.recipes import BaseModel
from trainables.denoisers.sizes import SIZES

GB = 10**9
ADAM = Attack("whole", "dimra", {})
SGD = Attack("sgd", "dimra", {"optimiser": "sgd"})
LOW_RANK = Attack("low-rank", "dimra", {"trained_parameters": "lora"})
SHAPES = {
    **SIZES,
    "attention in part": {"channels": (64, 128, 256), "attention_below": 4},
    "billion": {
        "channels": (320, 640, 1280, 1280), "layers_per_block": 3, "norm_groups": 32, "attention_below": 8, "train_steps": 1
    },
}  # fmt: skip


@pytest.mark.parametrize("data", ["digits", "digits_attributes", "digits_duplicated"])
@pytest.mark.parametrize("shape", SHAPES)
def test_parameters_are_those_of_the_model_that_is_built(data: str, shape: str) -> None:
    dataset, base = DATASETS[data], BaseModel(**SHAPES[shape])
    assert isinstance(dataset, Dataset)
    with torch.device("meta"):
        built = build(base.config(dataset), len(dataset.attributes))
    assert parameters(base, dataset) == sum(p.numel() for p in built.parameters())


def test_a_pipelines_parameters_are_read_in_its_header(tmp_path: Path) -> None:
    from diffusers import DDIMPipeline, DDIMScheduler

    torch.manual_seed(0)
    model = build(BaseModel(channels=(8, 16)).config(DATASETS["digits"]))
    DDIMPipeline(model, DDIMScheduler()).save_pretrained(tmp_path / "pipeline")
    needs = needs_of(DATASETS["digits"], "small", str(tmp_path / "pipeline"))
    assert needs is not None and needs.parameters == sum(p.numel() for p in model.parameters())
    assert Setup.asked({"base": "someone/model"})._needs() is None, "a hub's is known once it is fetched"


def test_what_a_trial_takes_at_least_is_what_its_attacks_train_and_by_what() -> None:
    needs = Needs(GB)
    assert needs.least([LOW_RANK, ADAM]) == 16 * GB, "weights, gradients and two moments of four bytes each"
    assert needs.least([SGD, LOW_RANK]) == needs.least([]) == 4 * GB
    assert needs.text == "1 billion parameters: up to 24.0 GB of memory and 20.0 GB of disk a trial"


@pytest.mark.parametrize(
    ("place", "refused"),
    [
        (Place(workers=1), None),
        (Place(workers=2), r"--workers 2: of 1 billion .* 2 of them 32\.0 GB, and this machine has 25\.0 GB; use --workers 1"),
        (Place(workers=2, in_process=True), None),
        (Place(workers=2, address="head:6379"), None),
        (Place(workers=2, gpus_per_trial=1), None),
        (Place(workers=2, gpus_per_trial=0.25), r"--gpus-per-trial 0\.25: .* and that is 10\.0 GB of a GPU; give it 0\.4 of one"),
    ],
    ids=["one", "two", "in process", "a cluster", "a GPU", "a share of one"],
)  # fmt: skip
def test_trials_that_cannot_fit_are_refused_with_the_cheapest_mend(
    place: Place, refused: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "memory_here", lambda: 25 * GB)
    monkeypatch.setattr(memory, "gpu_memory", lambda: 40 * GB)
    if refused is None:
        check_fits(Needs(GB), [ADAM], place)
        return
    with pytest.raises(UsageError, match=f"^{refused}$"):
        check_fits(Needs(GB), [ADAM], place)
    check_fits(Needs(GB), [SGD], place)


def test_a_plan_for_a_card_is_held_against_that_card_on_any_machine_and_cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "gpu_memory", lambda: 0)
    for place in (
        Place(gpus_per_trial=1, gpu_memory=12),
        Place(gpu_memory=12),
        Place(gpus_per_trial=1, gpu_memory=12, address="auto"),
        Place(gpus_per_trial=2, gpu_memory=12),  # a trial computes on one of them
    ):
        with pytest.raises(
            UsageError, match=r"at least 16\.0 GB of memory, and that is 12\.0 GB of a GPU; take a smaller"
        ):
            check_fits(Needs(GB), [ADAM], place)
    with pytest.raises(UsageError, match=r"that is 10\.0 GB of a GPU; give it 0\.8 of one"):
        check_fits(Needs(GB), [ADAM], Place(gpus_per_trial=0.5, gpu_memory=20))
    check_fits(Needs(GB), [ADAM], Place(gpus_per_trial=1, gpu_memory=24))
    check_fits(Needs(GB), [ADAM], Place(gpus_per_trial=1, address="auto"))


def test_what_fits_no_machine_like_this_one_says_what_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "memory_here", lambda: 10 * GB)
    with pytest.raises(UsageError, match=r"take a smaller model, or a machine that has 16 GB$"):
        check_fits(Needs(GB), [ADAM], Place(workers=1))


def test_a_machines_memory_is_what_the_kernel_says() -> None:
    total = re.search(r"MemTotal: +(\d+) kB", Path("/proc/meminfo").read_text())
    assert total is not None and 2**28 < memory_here() <= int(total[1]) * 1024


PLAN = ["--space", "dimum_robustness", "--dry-run"]


def test_the_plan_tells_a_large_models_needs_and_refuses_it_where_it_cannot_fit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(SIZES, "large", SHAPES["billion"])
    monkeypatch.setattr(memory, "memory_here", lambda: 20 * GB)
    assert launch.main([*PLAN, "--base-size", "large", "--workers", "1"]) == 0
    told = capsys.readouterr().out
    assert "\nmemory      0.89 billion parameters: up to 21.4 GB of memory and 17.8 GB of disk a trial\n" in told
    assert launch.main([*PLAN, "--base-size", "large", "--workers", "2"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.endswith("and this machine has 20.0 GB; use --workers 1\n")


def test_of_a_small_model_nothing_is_told_and_the_plan_is_as_quick(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert launch.main(PLAN) == 0
    assert "\nmemory " not in capsys.readouterr().out
    began = time.process_time()
    for _ in range(100):
        Setup()._needs()
    assert time.process_time() - began < 0.1, "a thousandth of a second at each"
