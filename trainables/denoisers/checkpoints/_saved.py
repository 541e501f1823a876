"""An imported checkpoint as the folder of a diffusers pipeline, whole or not there."""

from __future__ import annotations

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

from diffusers import DDIMPipeline

from trainables.denoisers.checkpoints import Denoiser, Family, Untold
from trainables.denoisers.checkpoints._files import read


def save_imported(file: Path, family: Family, untold: Untold, folder: Path, which: str = "") -> list[str]:
    """Save the checkpoint in `file` as a pipeline in safetensors; returns what was read in it, in words.

    ValueError, one line that begins with the file, where it is not of the family; then nothing is written.
    """
    tensors, whose = read(file, which)
    try:
        denoiser = family.convert(tensors, untold)
    except ValueError as error:
        raise ValueError(f"{file}: as {family.name}, {error}") from None
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    schedule = denoiser.schedule
    betas = f"{schedule.beta_schedule} from {schedule.beta_start:g} to {schedule.beta_end:g}"
    said = [f"{file.name}: {whose}", *denoiser.said, f"{schedule.num_train_timesteps} steps of β, {betas}"]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as half:
        whole = Path(half) / folder.name
        DDIMPipeline(denoiser.model, schedule.scheduler()).save_pretrained(whole, safe_serialization=True)
        (whole / "README.md").write_text(_card(family, denoiser, said, digest), encoding="utf-8")
        whole.replace(folder)
    return said


def _card(family: Family, denoiser: Denoiser, said: list[str], digest: str) -> str:
    """Where the weights are from, and whose they stay."""
    count = sum(parameter.numel() for parameter in denoiser.model.parameters())
    return "\n".join(
        [
            "# An imported checkpoint",
            "",
            f"Weights of the family `{family.name}`, {count:,} numbers as a `{type(denoiser.model).__name__}`, from a file with",
            f"the SHA-256 `{digest}`. Their licence is that of whoever trained them.",
            "",
            *(f"- {line}" for line in said),
            "",
        ]
    )
