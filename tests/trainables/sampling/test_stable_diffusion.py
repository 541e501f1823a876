"""Our sampler on imported folders against diffusers' own text-to-image pipelines: same prompts, noise and settings, same images."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import text_folders
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
)
from prompts_data import prompts_data

from trainables.denoisers.digests import hashed
from trainables.denoisers.dit import decode, load_vae
from trainables.denoisers.imported import put_pretrained
from trainables.denoisers.models import load_model
from trainables.denoisers.pipelines import fitted, read_pipeline
from trainables.diffusion import sample
from trainables.sampling.sampler import Sampler
from trainables.store import Store
from trainables.training.device import Device

MODEL, VAE = "a" * 64, "b" * 64
STEPS, GUIDANCE = 4, 3.0
NOISE = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", params=text_folders.SAVED)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_folders.SAVED[request.param](tmp_path_factory.mktemp("saved") / request.param)


def theirs_from(folder: Path) -> Any:
    if folder.name == "xl":
        return StableDiffusionXLPipeline.from_pretrained(folder, local_files_only=True, add_watermarker=False)
    return StableDiffusionPipeline.from_pretrained(
        folder, local_files_only=True, safety_checker=None, feature_extractor=None
    )


@pytest.mark.parametrize("kind", ["ddim", "dpm-solver++"])
@pytest.mark.parametrize("guidance", [1.0, GUIDANCE])
def test_images_are_those_of_diffusers_own_pipeline(kind: str, guidance: float, folder: Path, tmp_path: Path) -> None:
    theirs, data = theirs_from(folder), prompts_data()
    theirs.set_progress_bar_config(disable=True)
    config = theirs.scheduler.config
    theirs.scheduler = (
        DDIMScheduler.from_config(config)
        if kind == "ddim"
        else DPMSolverMultistepScheduler.from_config(
            config, algorithm_type="dpmsolver++", timestep_spacing="linspace", final_sigmas_type="zero"
        )
    )
    expected = theirs(
        list(text_folders.PROMPTS[:3]),
        latents=NOISE,
        num_inference_steps=STEPS,
        guidance_scale=guidance,
        output_type="pt",
    ).images

    found, store = hashed(fitted(read_pipeline(str(folder)), data)), Store(tmp_path)
    put_pretrained(store, MODEL, "model", found, data, {}, VAE)
    model, vae = load_model(store.get(MODEL), Device()), load_vae(store.get(VAE), "cpu")
    how, null = Sampler(kind, STEPS, guidance), len(data.prompts)
    drawn = sample(
        model, found.noise_schedule(), NOISE, torch.arange(3), how, Device(), 2, null, finish=partial(decode, vae)
    )
    ours = torch.cat(list(drawn)) / 2 + 0.5
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-4)
    assert (ours[0] - ours[1]).abs().max() > 0.01, "prompts are told apart"
    assert ((ours > 0) & (ours < 1)).float().mean() > 0.5, "not all of it is clipped"
