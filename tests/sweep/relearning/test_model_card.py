"""The front matter of a card says what the model is for, so that the hub lists it there."""

from __future__ import annotations

from pathlib import Path

import pytest
import recorded_run

from sweep.reading.sweep import read_sweep
from sweep.relearning.model_card import metadata


@pytest.mark.parametrize(
    ("pipeline", "task"),
    [
        ("StableDiffusionPipeline", "text-to-image"),
        ("StableDiffusionXLPipeline", "text-to-image"),
        ("DDIMPipeline", "unconditional-image-generation"),
    ],
)
def test_the_task_is_the_pipelines(pipeline: str, task: str, tmp_path: Path) -> None:
    sweep = read_sweep(recorded_run.write_run(tmp_path / "run"))
    front = metadata(sweep, sweep.member("dimum-0001"), 0, pipeline)
    assert f"pipeline_tag: {task}" in front and f"type: {task}" in front and f"- {pipeline}" in front
