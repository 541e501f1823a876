"""What a text U-Net takes, counted from its configuration: against the true models' sizes, and what a real pass saves."""

from __future__ import annotations

from typing import Any

import pytest
import text_folders
import torch

from trainables.denoisers.prompts import Prompts
from trainables.denoisers.text_unet import with_prompts
from trainables.denoisers.unet_costs import forward_costs, parameter_counts

TRUE: dict[str, tuple[dict[str, Any], tuple[float, float, float], tuple[float, float, float]]] = {
    # parameters, those of cross-attention, of its keys and values, in millions; GiB of a pass plain and checkpointed, TFLOP
    "sd 1.4": (text_folders.SD_14, (859.5, 44.0, 19.2), (1.16, 0.252, 0.803)),
    "sd 2.1": (text_folders.SD_21, (865.9, 50.4, 25.6), (2.60, 0.567, 2.149)),
    "xl": (text_folders.SD_XL, (2567.5, 545.7, 340.8), (8.09, 0.811, 6.761)),
}


@pytest.mark.parametrize("name", TRUE)
def test_the_true_models_are_as_large_as_they_are(name: str) -> None:
    config, sizes, costs = TRUE[name]
    counts = parameter_counts(config)
    cross = sum(n for parameter, n in counts.items() if ".attn2." in parameter)
    kv = sum(n for parameter, n in counts.items() if ".attn2.to_k." in parameter or ".attn2.to_v." in parameter)
    assert [round(n / 1e6, 1) for n in (sum(counts.values()), cross, kv)] == list(sizes)
    side = config["sample_size"]
    found = forward_costs(config, (4, side, side))
    measured = found.activations / 2**30, found.checkpointed / 2**30, found.flops / 1e12
    assert measured == pytest.approx(costs, rel=0.01)


@pytest.mark.parametrize("pooled", [False, True], ids=["sd", "xl"])
def test_what_is_counted_is_what_a_real_pass_saves(pooled: bool) -> None:
    """In float32 on a CPU, whose fused attention keeps no map either; storages of parameters are left out."""
    changes: dict[str, Any] = {"block_out_channels": (16, 32), "layers_per_block": 2}
    if pooled:
        changes |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 54,
            "use_linear_projection": True,
        }
    theirs, rows = text_folders.unet(**changes), 5
    words, real = torch.zeros(1, 77, dtype=torch.int64), torch.ones(1, dtype=torch.int64)
    sdxl = (torch.randn(1, 6), torch.zeros(6, dtype=torch.int64)) if pooled else ()
    model = with_prompts(theirs, Prompts(torch.randn(1, 77, 12), words, real, *sdxl))
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    saved: dict[int, tuple[int, torch.Tensor]] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(torch.randn(rows, 4, 16, 16), torch.zeros(rows, dtype=torch.int64), torch.zeros(rows, dtype=torch.int64))
    counted = forward_costs(
        {name: value for name, value in theirs.config.items() if not name.startswith("_")}, (4, 16, 16), autocast=False
    )
    assert rows * counted.activations == pytest.approx(sum(size for size, _ in saved.values()), rel=0.01)
    assert counted.checkpointed < 0.6 * counted.activations
    assert 0.05 * counted.activations < counted.inference < 0.5 * counted.activations


def test_activations_grow_with_the_places_and_shrink_in_half_precision() -> None:
    small, large, whole = (
        forward_costs(text_folders.SD_14, (4, side, side), autocast=half)
        for side, half in ((32, True), (64, True), (64, False))
    )
    assert large.activations == pytest.approx(4 * small.activations, rel=0.03)
    assert 0.6 < large.activations / whole.activations < 0.7, "norms are in float32 either way"
