"""The VAE's loss is the one that its module states, and its latents leave it at unit scale."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from trainables.data import Images
from trainables.denoisers.dit import decode, encode
from trainables.denoisers.text_to_image import VaeRecipe
from trainables.denoisers.vae import reconstruction_loss, set_scale, squared_error, vae_run
from trainables.training.device import Device

RECIPE = VaeRecipe(channels=(8, 8), train_steps=80, batch=16, learning_rate=1e-2)


def images(n: int = 64) -> Images:
    """Two colours in blocks, for something to be learned in no time."""
    generator = torch.Generator().manual_seed(0)
    blocks = torch.rand(n, 3, 2, 2, generator=generator).round() * 2 - 1
    return Images(F.interpolate(blocks, scale_factor=8), torch.zeros(n, dtype=torch.long))


@pytest.fixture(scope="module")
def trained() -> AutoencoderKL:
    run = vae_run(RECIPE, images(), 0, Device())
    run.advance(RECIPE.train_steps)
    return run.trained().eval()


def test_latents_leave_at_unit_scale_and_come_back(trained: AutoencoderKL) -> None:
    before = float(torch.cat([trained.encode(part).latent_dist.mode() for part in images().parts()]).std().detach())
    assert set_scale(trained, images()) == trained.config["scaling_factor"] == pytest.approx(1 / before, rel=1e-5)
    assert set_scale(trained, images()) == pytest.approx(1 / before, rel=1e-5), (
        "of what it says itself it knows nothing"
    )
    latents = encode(trained, images().images)
    assert latents.shape == (64, *RECIPE.latents((3, 16, 16))) == (64, 4, 8, 8)
    assert float(latents.std()) == pytest.approx(1, rel=1e-4)
    with torch.no_grad():
        lost = F.mse_loss(trained.decode(trained.encode(images().images).latent_dist.mode()).sample, images().images)
    assert squared_error(trained, images()) == pytest.approx(float(lost), rel=1e-4)
    assert F.mse_loss(decode(trained, latents), images().images) <= lost, "clamped to what an image can be"


def test_it_learns(trained: AutoencoderKL) -> None:
    untrained = vae_run(RECIPE, images(), 0, Device()).model.eval()
    assert squared_error(trained, images()) < 0.5 * squared_error(untrained, images())


def test_the_loss_is_squared_error_and_divergence_from_the_unit_gaussian(trained: AutoencoderKL) -> None:
    x = images(4).images
    posterior = trained.encode(x).latent_dist
    noise = torch.randn(posterior.mean.shape, generator=torch.Generator().manual_seed(3))
    q = torch.distributions.Normal(posterior.mean, posterior.std)
    divergence = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).mean()
    expected = F.mse_loss(trained.decode(posterior.mean + posterior.std * noise).sample, x) + 0.3 * divergence
    loss = reconstruction_loss(trained, x, 0.3, torch.Generator().manual_seed(3))
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
