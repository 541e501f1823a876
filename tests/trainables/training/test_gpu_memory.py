"""How much of a GPU's memory a process may take, and what is said where that isn't enough."""

from __future__ import annotations

import pytest
import torch

from trainables.training.failure import failure_report
from trainables.training.gpu_memory import CONTEXT_BYTES, allowed, keep_to

A10G = 24 * 2**30


@pytest.mark.parametrize("trials", [2, 3, 4, 10])
def test_trials_that_share_a_gpu_fit_on_it_together(trials: int) -> None:
    assert trials * (allowed(1 / trials, A10G) * A10G + CONTEXT_BYTES) == pytest.approx(A10G)


def test_whole_gpus_are_bounded_by_nothing_and_too_small_a_share_allows_nothing() -> None:
    assert allowed(1, A10G) == allowed(2, A10G) == 1
    assert allowed(0.01, A10G) == 0


def test_a_trial_that_needs_more_than_its_share_says_what_helps() -> None:
    try:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB.")
    except torch.OutOfMemoryError:
        cause = failure_report().cause
    assert cause.startswith("torch.OutOfMemoryError: CUDA out of memory") and cause.endswith("by --gpus-per-trial")
    try:
        raise ValueError("not about memory")
    except ValueError:
        assert "--gpus-per-trial" not in failure_report().cause


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_more_than_the_share_is_refused_where_it_would_have_fitted() -> None:
    total = torch.cuda.mem_get_info()[1]
    try:
        keep_to(0.25)
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(int(0.3 * total), dtype=torch.uint8, device="cuda")
        torch.empty(int(0.1 * total), dtype=torch.uint8, device="cuda")
    finally:
        keep_to(1)
