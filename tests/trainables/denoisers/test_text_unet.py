"""A U-Net that is told rows of a table of prompts, against diffusers' own, which is told the embeddings."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel

from trainables.denoisers.models import load_model, model_facts
from trainables.denoisers.prompts import Prompts, load_prompts, put_prompts
from trainables.denoisers.recipes import Pretrained
from trainables.denoisers.text_unet import TextUNet, stock, with_prompts
from trainables.denoisers.weights import weights_of
from trainables.diffusion import conditioned, predict
from trainables.sampling.noise_schedule import NoiseSchedule
from trainables.store import Store
from trainables.training.device import Device

X, T = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([3, 500, 999])
ROWS, PIXELS = torch.tensor([2, 0, 2]), 16
RECIPE = Pretrained(
    "source", "folder", "text_unet", (4, 8, 8), (3, 16, 16), 0, True, NoiseSchedule(prediction_type="v_prediction")
)


def theirs_of(pooled: bool) -> UNet2DConditionModel:
    torch.manual_seed(0)
    sdxl = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8}
    return UNet2DConditionModel(
        sample_size=8, layers_per_block=1, block_out_channels=(8, 16), norm_num_groups=4, cross_attention_dim=12,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=4, **(sdxl | {"projection_class_embeddings_input_dim": 54} if pooled else {}),
    ).eval()  # fmt: skip


def prompts_of(pooled: bool) -> Prompts:
    g = torch.Generator().manual_seed(1)
    ids, real = torch.arange(15).reshape(3, 5), torch.tensor([4, 5, 2])
    sdxl = {"pooled": torch.randn(3, 6, generator=g), "time_ids": torch.tensor([16, 16, 0, 0, 16, 16])}
    return Prompts(torch.randn(3, 5, 12, generator=g), ids, real, **(sdxl if pooled else {}))


@pytest.mark.parametrize("pooled", [False, True], ids=["sd", "sdxl"])
def test_a_row_says_what_its_embeddings_say(pooled: bool) -> None:
    theirs, prompts = theirs_of(pooled), prompts_of(pooled)
    ours = with_prompts(theirs, prompts)
    assert conditioned(ours) and ours.class_embedding is None
    added = {}
    if prompts.pooled is not None:
        added = {"text_embeds": prompts.pooled[ROWS], "time_ids": torch.tensor([[16, 16, 0, 0, 16, 16]] * 3)}
    with torch.no_grad():
        for t in (T, torch.tensor(500)):
            expected = theirs(X, t, encoder_hidden_states=prompts.context[ROWS], added_cond_kwargs=added).sample
            torch.testing.assert_close(predict(ours, X, t, ROWS), expected)  # type: ignore[arg-type]
            assert not torch.allclose(predict(ours, X, t, ROWS - ROWS), expected)  # type: ignore[arg-type]
    assert {p.data_ptr() for p in stock(ours).parameters()} == {p.data_ptr() for p in ours.parameters()}
    with pytest.raises(IndexError):
        prompts.rows(torch.tensor([3]))


@pytest.mark.parametrize("pooled", [False, True], ids=["sd", "sdxl"])
def test_a_text_unet_is_an_artifact_that_names_its_prompts(pooled: bool, tmp_path: Path) -> None:
    store, key = Store(tmp_path), "a" * 64
    prompts = load_prompts(put_prompts(store, "b" * 64, prompts_of(pooled), {}))
    model = with_prompts(theirs_of(pooled), prompts)
    assert not any("prompts" in name for name in model.state_dict())
    store.put(key, "model", model_facts(model, RECIPE), weights_of(model))
    artifact = store.get(key)
    assert (artifact.key_read_with("prompts"), artifact.facts["prediction"]) == (prompts.key, "v_prediction")
    again = load_model(artifact, Device())
    assert isinstance(again, TextUNet) and again.prompts.key == prompts.key and not again.training
    with torch.no_grad():
        assert torch.equal(predict(again, X, T, ROWS), predict(model, X, T, ROWS))  # type: ignore[arg-type]
    for name, table in prompts.tensors().items():
        assert torch.equal(again.prompts.tensors()[name], table)
    with pytest.raises(ValueError, match="is a model, not a table of prompts"):
        load_prompts(artifact)


def test_copies_of_a_model_share_one_table_and_float64_reaches_it() -> None:
    model = with_prompts(theirs_of(False), prompts_of(False))
    twin = copy.deepcopy(model).double()
    assert twin.prompts is model.prompts
    with torch.no_grad():
        torch.testing.assert_close(
            twin(X.double(), T, ROWS).sample.float(), model(X, T, ROWS).sample, rtol=1e-4, atol=1e-5
        )


def test_a_table_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="no one table"):
        replace(prompts_of(False), real=torch.tensor([1, 2]))
    with pytest.raises(ValueError, match="come together"):
        replace(prompts_of(True), time_ids=None)
