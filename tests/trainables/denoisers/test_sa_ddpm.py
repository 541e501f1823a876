"""Selective Amnesia's conditional DDPM and DDIM's own as diffusers models: the same numbers, and what does not fit is named."""

from __future__ import annotations

import pytest
import torch
from ddim_network import Network

from trainables.denoisers.checkpoints import FAMILIES, Untold

SA = FAMILIES["sa-ddpm"]
T = torch.tensor([0, 1, 17, 400, 998, 999])


def original(
    classes: int, multiples: tuple[int, ...] = (1, 2, 2), attended: int = 4, blocks: int = 2, size: int = 8
) -> Network:
    """A network whose every weight, those of norms too, is some random number."""
    torch.manual_seed(1)
    network = Network(32, multiples, blocks, {attended}, size, classes).eval()
    with torch.no_grad():
        for weights in network.parameters():
            weights += 0.1 * torch.randn_like(weights)
    return network


@torch.no_grad()
@pytest.mark.parametrize(
    ("network", "size"),
    [(original(5), 8), (original(5, (1, 2, 2, 4), attended=8, blocks=1, size=16), 16), (original(0), 8)],
    ids=["as CIFAR-10's", "heads of two widths, as STL-10's", "unconditional"],
)
def test_it_predicts_what_the_original_predicts_with_a_class_and_with_none(network: Network, size: int) -> None:
    # In float64: in float32 two ways of the same sums differ by more on some CPUs. What is left is of t, embedded in float32.
    imported = SA.convert(network.state_dict(), Untold(image_size=size)).model.eval().double()
    network.double()
    x = torch.randn(6, 3, size, size, generator=torch.Generator().manual_seed(0)).double()
    classes = network.classes
    for c in (torch.arange(6) % 5, torch.full((6,), -1)) if classes else (None,):
        ours = None if c is None else torch.where(c < 0, classes, c)
        torch.testing.assert_close(imported(x, T, ours).sample, network(x, T, c), rtol=0, atol=1e-5)
    assert network(x, T, None if not classes else c).abs().max() > 1, "or 1e-5 would be no proof"
    assert imported.config.num_class_embeds == (classes + 1 if classes else None)


def test_it_says_what_it_read_in_the_shapes_and_keeps_the_codes_own_schedule_and_dropout() -> None:
    denoiser = SA.convert(original(5).state_dict(), Untold(image_size=8))
    assert denoiser.said == (
        "3×8×8 images, 5 classes and the null condition",
        "channels 32, 64, 64; 2 blocks a level; attention at 4×4, the middle",
    )
    schedule = denoiser.schedule
    assert (schedule.num_train_timesteps, schedule.beta_start, schedule.beta_end) == (1000, 1e-4, 0.02)
    assert not schedule.clip_sample and schedule.set_alpha_to_one and schedule.timestep_spacing == "leading"
    assert denoiser.model.config.dropout == 0.1
    asked = SA.convert(original(5).state_dict(), Untold(image_size=16, dropout=0.0, timesteps=400, beta_end=0.01))
    assert asked.model.config.sample_size == 16 and asked.model.config.dropout == 0
    assert asked.schedule.num_train_timesteps == 400 and asked.schedule.beta_end == 0.01


def changed(**tensors: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """The original's tensors, some of them others, None of them gone."""
    state = original(5).state_dict() | tensors  # type: ignore[operator]
    return {name: value for name, value in state.items() if value is not None}


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"conv_in.weight": None}, r"lacks conv_in.weight, by which its layout is known; it has cemb.dense.0.bias, .* more"),
        ({"mid.attn_1.q.weight": None, "norm_out.bias": None}, r"^lacks mid.attn_1.q.weight, norm_out.bias$"),
        ({"up.0.attn.0.q.weight": torch.zeros(1)}, r"^lacks .*down.0.attn.0.norm.*more; up.0.attn.0.q.weight is 1 where 32×32×1×1"),
        ({"extra.weight": torch.zeros(1)}, r"^has extra.weight, which its layout does not know$"),
        (
            {"down.1.block.0.conv2.weight": torch.zeros(64, 64, 1, 1)},
            "^down.1.block.0.conv2.weight is 64×64×1×1 where 64×64×3×3 belongs$",
        ),
        ({"conv_out.weight": torch.zeros(6, 32, 3, 3)}, "conv_out.weight is 6×32×3×3 where 3×32×3×3 belongs"),
        ({"conv_out.bias": torch.full((3,), torch.nan)}, "conv_out.bias holds weights that are no finite numbers"),
        ({"down.0.block.0.conv1.weight": torch.zeros(64, 32, 3, 3)}, "one width for both, so this cannot be a pipeline"),
        ({"down.2.block.0.conv1.weight": torch.zeros(48, 64, 3, 3)}, "a level has 48 channels"),
        ({"down.0.block.0.conv1.weight": torch.zeros(5)}, "is 5, where 4 dimensions belong"),
        ({"down.0.downsample.conv.weight": None, "down.0.downsample.conv.bias": None}, "^lacks down.0.downsample.conv"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)  # fmt: skip
def test_tensors_that_are_missing_unknown_or_of_a_wrong_shape_are_named(
    tensors: dict[str, torch.Tensor | None], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        SA.convert(changed(**tensors), Untold(image_size=8))


def test_a_bounds_variances_are_left_and_images_that_cannot_be_halved_are_refused() -> None:
    SA.convert(changed(logvar=torch.zeros(1000)), Untold(image_size=8))
    with pytest.raises(ValueError, match="images of 6 pixels cannot be halved 2 times, as its 3 levels ask"):
        SA.convert(changed(), Untold(image_size=6))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"image_size": 0}, "image size 0: must be at least 1"),
        ({"dropout": 1.0}, "dropout 1: must lie from 0 and below 1"),
        ({"timesteps": 0}, "timesteps 0"),
        ({"sigma_data": float("nan")}, "sigma data nan"),
    ],
    ids=str,
)
def test_what_cannot_be_said_of_a_network_is_refused(values: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Untold(**values)
