"""On a GPU the same numbers come of the same: kernels that promise so, and float32 where float32 is meant."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from trainables.training.device import Device


def settings() -> tuple[bool, ...]:
    cudnn = torch.backends.cudnn
    tf32 = cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    return (cudnn.deterministic, cudnn.benchmark, *tf32, torch.are_deterministic_algorithms_enabled())


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before, strict = settings(), torch.is_deterministic_algorithms_warn_only_enabled()
    yield
    cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = before[:4]
    torch.use_deterministic_algorithms(before[4], warn_only=strict)


def test_a_gpu_computes_the_same_from_the_same_and_nothing_changes_where_there_is_none(
    restored: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = settings()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    Device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    Device("cpu")
    assert settings() == before
    Device("cuda")
    assert settings() == (True, False, False, False, True)
    assert torch.is_deterministic_algorithms_warn_only_enabled()


def test_what_a_device_is_called_in_keys() -> None:
    devices = Device(), Device("cuda"), Device(precision="bf16"), Device("cuda", "fp32")
    assert [device.kind for device in devices] == ["cpu", "cuda", "cpu bf16", "cuda fp32"]
    assert [device.processor for device in devices] == ["cpu", "cuda", "cpu", "cuda"]
