"""EDM's networks as denoisers told a timestep: ε is that of D at the timestep's σ, and what cannot be had is said."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from edm_network import Network, denoised

from trainables.denoisers.checkpoints import FAMILIES, Untold
from trainables.denoisers.edm_unet import EDMUNet
from trainables.denoisers.models import TRAINED_PARAMETERS, trained_parameters

EDM = FAMILIES["edm"]
T = torch.tensor([0, 1, 17, 400, 998, 999])
WITH_NULL = Untold(null_condition=True)


def original(kind: str = "ddpmpp", classes: int = 5, size: int = 8) -> Network:
    """A network whose every weight, those of norms too, is some random number."""
    torch.manual_seed(1)
    channels, multiples, attended = (64, (1, 2), {8, 4}) if kind == "adm" else (16, (2, 2, 2), {4})
    network = Network(kind, size, channels, multiples, 2 if kind == "ddpmpp" else 1, attended, classes).eval()
    with torch.no_grad():
        for weights in network.parameters():
            weights += 0.05 * torch.randn_like(weights)
    return network


def tensors(network: Network) -> dict[str, torch.Tensor]:
    """As a preconditioning's state dict names them."""
    return {f"model.{name}": value.clone() for name, value in network.state_dict().items()}


@torch.no_grad()
@pytest.mark.parametrize(
    ("kind", "preconditioning", "classes"),
    [
        ("ddpmpp", "edm", 5),
        ("ddpmpp", "vp", 5),
        ("ddpmpp", "edm", 0),
        ("ncsnpp", "edm", 5),
        ("ncsnpp", "ve", 0),
        ("adm", "edm", 5),
        ("adm", "vp", 0),
    ],
)
def test_epsilon_is_that_of_the_original_at_the_noise_level_of_t(kind: str, preconditioning: str, classes: int) -> None:
    network, size = original(kind, classes), 8
    denoiser = EDM.convert(
        tensors(network), replace(WITH_NULL, preconditioning=preconditioning, null_condition=classes > 0)
    )
    model, alphas = denoiser.model.eval(), denoiser.schedule.scheduler().alphas_cumprod.double()[T]
    x = torch.randn(6, 3, size, size, generator=torch.Generator().manual_seed(0))
    sigma = ((1 - alphas) / alphas).sqrt()
    network = network.double()
    for c in (torch.arange(6) % 5, torch.full((6,), 5)):
        labels = torch.eye(6, 5, dtype=torch.float64)[c] if classes else None  # of no class zeros
        scaled = x.double() / alphas.sqrt()[:, None, None, None]
        theirs = (scaled - denoised(network, preconditioning, scaled, sigma, labels)) / sigma[:, None, None, None]
        ours = model(x, T, c if classes else None).sample
        torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=1e-5)
        assert theirs.abs().max() > 1, "or 1e-5 would be no proof"
    if classes:
        model.double()
        torch.testing.assert_close(model(x.double(), T, c).sample, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("preconditioning", "least", "most"), [("edm", 0.002, 80), ("vp", 0.001, 152.2), ("ve", 0.02, 100)]
)
def test_the_schedule_asks_for_no_noise_that_the_network_was_not_made_for(
    preconditioning: str, least: float, most: float
) -> None:
    denoiser = EDM.convert(tensors(original()), Untold(preconditioning=preconditioning))
    alphas = denoiser.schedule.scheduler().alphas_cumprod.double()
    sigma = ((1 - alphas) / alphas).sqrt()
    assert least * (1 - 1e-4) <= sigma[0] and 0.98 * most < sigma[-1] <= most
    assert f"preconditioning {preconditioning}; noise levels σ from" in denoiser.said[2]


def test_it_says_what_it_read_and_has_a_null_row_only_where_one_was_trained() -> None:
    denoiser = EDM.convert(tensors(original()), Untold())
    assert denoiser.said[:2] == (
        "DDPM++: 3×8×8 images, 5 classes",
        "channels 32, 32, 32; 2 blocks a level; attention at 4×4, the middle",
    )
    assert denoiser.model.config.num_class_embeds == 5 and denoiser.model.config.dropout == 0.13
    assert EDM.convert(tensors(original()), WITH_NULL).model.config.num_class_embeds == 6
    assert EDM.convert(original().state_dict(), Untold()).said == denoiser.said, "without a preconditioning around it"
    assert EDM.convert(tensors(original("ncsnpp")), Untold()).said[0].startswith("NCSN++")
    assert EDM.convert(tensors(original("adm")), Untold()).said[0].startswith("ADM")


def test_every_name_of_trained_parameters_finds_some() -> None:
    model = EDM.convert(tensors(original()), Untold()).model
    assert isinstance(model, EDMUNet)
    names = [which for which in TRAINED_PARAMETERS if which != "lora" and not which.startswith("cross_attention")]
    parameter_names = {which: set(trained_parameters(model, which)) for which in names}
    assert parameter_names["condition"] | parameter_names["rest"] == parameter_names["all"]
    assert not parameter_names["condition"] & parameter_names["rest"]
    assert parameter_names["attention"] and all(".attn1." in name for name in parameter_names["attention"])
    assert any(name.startswith("mid_block.") for name in parameter_names["condition_mid"])


NONE: dict[str, torch.Tensor | None] = {}


@pytest.mark.parametrize(
    ("changes", "untold", "said"),
    [
        ({"model.enc.8x8_conv.weight": None}, Untold(), "^lacks enc.8x8_conv.weight, by which its layout is known"),
        ({"model.dec.2x2_in0.qkv.bias": None}, Untold(), "^lacks dec.2x2_in0.qkv.bias$"),
        ({"model.enc.8x8_aux_skip.weight": torch.zeros(1)}, Untold(), "^has enc.8x8_aux_skip.weight, which its layout"),
        ({"model.map_layer1.bias": torch.zeros(3)}, Untold(), "^map_layer1.bias is 3 where 64 belongs$"),
        ({"model.enc.4x4_down.conv0.resample_filter": torch.ones(1, 1, 2, 2)}, Untold(), "not the filter of the other"),
        ({"u": torch.zeros(1001)}, Untold(), "it is of iDDPMPrecond, .* so its ε on a schedule of β is not its own"),
        (NONE, Untold(preconditioning="iddpm"), "preconditioning 'iddpm' is none of edm, vp, ve"),
        (NONE, Untold(image_size=32), "its names say images of 8 pixels, not 32"),
    ],
    ids=lambda value: "" if isinstance(value, Untold) else str(value)[:30],
)  # fmt: skip
def test_what_is_no_network_of_edms_or_not_its_own_is_named(
    changes: dict[str, torch.Tensor | None], untold: Untold, said: str
) -> None:
    state = tensors(original()) | changes  # type: ignore[operator]
    with pytest.raises(ValueError, match=said):
        EDM.convert({name: value for name, value in state.items() if value is not None}, untold)


def test_an_unconditional_network_has_no_null_condition_and_others_checkpoints_are_none_of_edms() -> None:
    with pytest.raises(ValueError, match="unconditional, so that it has no null condition"):
        EDM.convert(tensors(original(classes=0)), WITH_NULL)
    with pytest.raises(ValueError, match="by which EDM's networks are known"):
        EDM.convert({"conv_in.weight": torch.zeros(1)}, Untold())
