"""Where the parts of a diffusers pipeline lie in its folder."""

from __future__ import annotations

from pathlib import Path

from trainables.denoisers.recipes import SD, SDXL, UNET

_DENOISERS = {SD: UNET, SDXL: UNET}  # the others' folders have their kinds' names


def folder_of(root: Path, part: str) -> Path:
    """Where a part of the pipeline, or the denoiser of a kind of it, lies: in its folder, or a UNet in the root.

    The latter as older pipelines have it.
    """
    part = _DENOISERS.get(part, part)
    return root if part == UNET and not (root / part).exists() and (root / "config.json").is_file() else root / part


def scheduler_of(root: Path) -> Path:
    """The scheduler's configuration: in its folder, or, as older pipelines have it, in the root."""
    inside, beside = root / "scheduler" / "scheduler_config.json", root / "scheduler_config.json"
    return beside if beside.is_file() and not inside.parent.exists() else inside
