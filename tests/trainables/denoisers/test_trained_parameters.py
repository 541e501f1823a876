"""Which parameters a choice means, by kind of model: names of real diffusers models, without values."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DiTTransformer2DModel, UNet2DModel

from trainables.denoisers.models import LORA, TRAINED_PARAMETERS, trained_parameters
from trainables.denoisers.text_unet import TextUNet

SDXL = {"addition_embed_type": "text_time", "addition_time_embed_dim": 4, "projection_class_embeddings_input_dim": 32}


def text_unet(**changes: Any) -> TextUNet:
    blocks = {"down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D")}
    blocks |= {"up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "block_out_channels": (8, 16)}
    sizes = {"layers_per_block": 1, "norm_num_groups": 4, "attention_head_dim": 2, "cross_attention_dim": 16}
    with torch.device("meta"):
        return TextUNet(**blocks | sizes | changes)


def names(model: torch.nn.Module, which: str) -> set[str]:
    return set(trained_parameters(model, which))


def having(model: torch.nn.Module, *parts: str) -> set[str]:
    """The names that have one of these parts."""
    return {name for name, _ in model.named_parameters() if any(part in name for part in parts)}


@pytest.mark.parametrize("changes", [{}, SDXL], ids=["SD", "SDXL"])
def test_of_a_text_unet_the_condition_is_its_cross_attention_and_of_sdxl_the_pooled_vectors_embedding(
    changes: dict[str, Any],
) -> None:
    model = text_unet(**changes)
    every = {name for name, _ in model.named_parameters()}
    enters = having(model, ".attn2.", "add_embedding.")
    assert bool(having(model, "add_embedding.")) == bool(changes) and having(model, ".attn2.")
    assert names(model, "cross_attention") == names(model, "condition") == enters
    assert names(model, "rest") == every - enters
    assert names(model, "condition_mid") == enters | having(model, "mid_block.")
    assert names(model, "cross_attention_kv") == having(model, ".attn2.to_k.", ".attn2.to_v.")
    assert names(model, "attention") == having(model, ".attn1.", ".attn2.")
    assert names(model, "all") == every
    assert names(model, "attention") < having(model, ".attentions."), "feed-forward layers are no attention"


def test_the_condition_of_a_text_unet_is_not_where_a_classs_would_enter() -> None:
    model = text_unet()
    assert having(model, ".time_emb_proj.") <= names(model, "rest")


def class_unet() -> UNet2DModel:
    blocks = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
    return UNet2DModel(block_out_channels=(8, 8), norm_num_groups=4, num_class_embeds=3, **blocks)


def dit() -> DiTTransformer2DModel:
    return DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=4, num_layers=1, sample_size=4, norm_num_groups=4
    )


@pytest.mark.parametrize("make", [class_unet, dit])
@pytest.mark.parametrize("which", ["cross_attention", "cross_attention_kv", LORA])
def test_what_a_model_has_none_of_is_refused_in_a_line(make: Any, which: str) -> None:
    with torch.device("meta"):
        model = make()
    with pytest.raises(ValueError, match=rf"^trained_parameters {which!r}: the model has no such parameters$"):
        trained_parameters(model, which)


def test_an_unknown_choice_is_refused_with_all_there_are() -> None:
    with pytest.raises(ValueError, match=r"'cross' is none of all, .*cross_attention, cross_attention_kv, lora$"):
        trained_parameters(text_unet(), "cross")
    assert {"all", "condition", "condition_mid", "rest", "attention", LORA} < set(TRAINED_PARAMETERS)
