"""The GPUs of this machine, as the driver's own tool tells them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sweep import launch
from sweep.plan import place
from sweep.plan.place import gpu_memory, local_gpus


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is run as ``nvidia-smi``."""
    file = tmp_path / "bin" / "nvidia-smi"
    file.parent.mkdir()
    file.touch(0o755)
    monkeypatch.setenv("PATH", f"{file.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return file


def test_gpus_are_counted_and_the_smallest_ones_memory_is_told(tool: Path) -> None:
    tool.write_text('#!/bin/sh\ncase $1 in -L) echo "GPU 0: A"; echo "GPU 1: B";; *) echo 24564; echo 16384;; esac\n')
    assert (local_gpus(), gpu_memory()) == (2, 16384 * 2**20)


def test_a_driver_that_hangs_is_one_line_and_its_memory_unknown(
    tool: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tool.write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(place, "_PATIENCE_S", 0.1)
    assert gpu_memory() == 0
    for more in ([], ["--workers", "1"]):
        asked = ["--space", "dimum_robustness", "--gpus-per-trial", "0.5", "--dry-run", *more]
        assert launch.main(asked) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: nvidia-smi -L: gives no answer within 0.1 s") and error.count("\n") == 1
