"""The CLIP is transformers' own; what it is trained on is the symmetric contrastive loss without pairs that say the same."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from trainables.data import dataset
from trainables.denoisers.clip import (
    cells_of,
    clip_config,
    clip_run,
    contrastive_loss,
    text_encoder,
    text_encoder_with_projection,
    tokens_of,
    zero_shot,
)
from trainables.denoisers.text_to_image import ClipRecipe
from trainables.denoisers.tokenizer import learned_merges, tokenizer_of
from trainables.training.device import Device

DATA = dataset("digits_styled")
RECIPE = ClipRecipe(width=16, layers=2, heads=2, projection=8, train_steps=120, batch=32, learning_rate=1e-2)


@pytest.fixture(scope="module")
def tokenizer():  # type: ignore[no-untyped-def]
    return tokenizer_of(learned_merges(DATA.prompts), RECIPE.positions)


@pytest.fixture(scope="module")
def trained(tokenizer):  # type: ignore[no-untyped-def]
    run = clip_run(RECIPE, tokenizer, DATA, DATA.load().train, 0, Device())
    run.advance(RECIPE.train_steps)
    return run.trained().eval()


def test_the_loss_is_clips_where_no_two_pairs_say_the_same() -> None:
    from transformers.models.clip.modeling_clip import image_text_contrastive_loss

    similar = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(contrastive_loss(similar, torch.arange(6)), image_text_contrastive_loss(similar))


def test_pairs_of_one_cell_are_not_held_against_one_another() -> None:
    similar = torch.randn(4, 4, generator=torch.Generator().manual_seed(1))
    loss = contrastive_loss(similar, torch.tensor([0, 1, 0, 2]))
    rows = [similar[0, [0, 1, 3]], similar[1], similar[2, [2, 1, 3]], similar[3]]
    columns = [similar[[0, 1, 3], 0], similar[:, 1], similar[[2, 1, 3], 2], similar[:, 3]]
    own = [0, 1, 0, 3]
    both = [
        sum(F.cross_entropy(line, torch.tensor(o)) for line, o in zip(s, own, strict=True)) for s in (rows, columns)
    ]
    torch.testing.assert_close(loss, (both[0] + both[1]) / 8)


def test_prompts_of_one_cell_are_those_of_one_concept_and_style() -> None:
    cells = cells_of(DATA)
    assert len(cells) == DATA.conditions and len(cells.unique()) == 60
    concept, style = (torch.tensor(facet.shown) for facet in DATA.facets)
    for row in (0, 7, 150, 299):
        same = (concept == concept[row]) & (style == style[row])
        assert torch.equal(cells == cells[row], same)


def test_it_learns_what_captions_say_of_images(trained, tokenizer) -> None:  # type: ignore[no-untyped-def]
    test = DATA.load().test.where(torch.arange(0, 2000, 5))
    right = zero_shot(trained, tokenizer, DATA, test)
    assert right["style"] > 0.5, "of six styles a sixth is chance"
    assert set(right) == {"concept", "style"}


def test_its_text_halves_say_what_it_says_itself(trained, tokenizer) -> None:  # type: ignore[no-untyped-def]
    ids = tokens_of(tokenizer, DATA.prompts[:5])
    with torch.no_grad():
        projected = trained.get_text_features(input_ids=ids).pooler_output
        assert torch.equal(text_encoder_with_projection(trained)(ids).text_embeds, projected)
        pooled = text_encoder(trained)(ids).pooler_output
        assert torch.equal(trained.text_projection(pooled), projected)
    assert type(text_encoder(trained)).__name__ == "CLIPTextModel"
    config = clip_config(RECIPE, tokenizer, DATA.shape)
    assert config["text_config"]["eos_token_id"] == tokenizer.eos_token_id != 2
