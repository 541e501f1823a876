"""Where the parts of a diffusers pipeline lie in its folder."""

from __future__ import annotations

from pathlib import Path

from trainables.denoisers.recipes import UNET


def folder_of(root: Path, part: str) -> Path:
    """Where a part of the pipeline lies: in its folder, or a UNet, as older pipelines have it, in the root."""
    return root if part == UNET and not (root / part).exists() and (root / "config.json").is_file() else root / part


def scheduler_of(root: Path) -> Path:
    """The scheduler's configuration: in its folder, or, as older pipelines have it, in the root."""
    inside, beside = root / "scheduler" / "scheduler_config.json", root / "scheduler_config.json"
    return beside if beside.is_file() and not inside.parent.exists() else inside
