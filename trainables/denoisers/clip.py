"""A small CLIP (Radford et al. 2021, arXiv 2103.00020), trained here on a data set's images and their captions.

    L = ½ (CE over captions of each image + CE over images of each caption) of  s · cos(f(image), g(caption))

transformers' own `CLIPModel`: its text half is what a pipeline's U-Net listens to, the whole scores how well an image fits a
prompt. Captions of one cell, that is with the same label in every facet, say the same: pairs of theirs are not held against one
another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from trainables.data import NOTHING, Dataset, Images
from trainables.denoisers.text_to_image import ClipRecipe
from trainables.denoisers.tokenizer import tokenizer_of
from trainables.denoisers.weights import Unset, fill
from trainables.fine_tuning import FineTuning, Optimisation
from trainables.store import Artifact
from trainables.training.device import Device

if TYPE_CHECKING:  # transformers takes seconds to import, and is an extra
    from transformers import CLIPModel, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

# Facts of an artifact of kind ``clip``: the model's configuration, the tokenizer's merges and how many tokens a prompt has.
CONFIG, MERGES, POSITIONS = "clip", "merges", "positions"


def clip_run(
    recipe: ClipRecipe, tokenizer: CLIPTokenizer, dataset: Dataset, images: Images, seed: int, device: Device
) -> FineTuning:
    """The run that trains a CLIP on images (N, C, H, W) in [-1, 1], whose conditions are rows of the data set's prompts."""
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(seed)  # the weights' initialisation draws from the global generator
    model = device.place(CLIPModel(CLIPConfig(**clip_config(recipe, tokenizer, dataset.shape))))
    tokens, cells = tokens_of(tokenizer, dataset.prompts).to(device.name), cells_of(dataset).to(device.name)
    data = images.to(device.name)

    def loss(model: CLIPModel, generator: torch.Generator) -> torch.Tensor:
        drawn = data.draw(recipe.batch, generator)
        rows = drawn.conditions
        similar = model(input_ids=tokens[rows], pixel_values=drawn.images).logits_per_text
        return contrastive_loss(similar, cells[rows])

    how = Optimisation(recipe.learning_rate, recipe.train_steps, schedule="one-cycle")
    return FineTuning(model, loss, how, seed, device)


def contrastive_loss(similar: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """The symmetric contrastive loss of (B, B) similarities of captions and images, those of pair i in row and column i.

    `cells` (B,): others of the same cell are left out, for they fit as well.
    """
    others = cells[:, None] == cells
    others.fill_diagonal_(False)
    logits = similar.masked_fill(others, float("-inf"))
    diagonal = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, diagonal) + F.cross_entropy(logits.T, diagonal)) / 2


def clip_config(recipe: ClipRecipe, tokenizer: CLIPTokenizer, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Arguments of `CLIPConfig` for images (C, H, W) and this tokenizer's words."""
    colours, height, _ = shape
    tower = {
        "hidden_size": recipe.width,
        "intermediate_size": 4 * recipe.width,
        "num_hidden_layers": recipe.layers,
        "num_attention_heads": recipe.heads,
        "projection_dim": recipe.projection,
    }
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": recipe.positions,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {"image_size": height, "patch_size": recipe.patch, "num_channels": colours}
    return {"text_config": tower | text, "vision_config": tower | vision, "projection_dim": recipe.projection}


def tokens_of(tokenizer: CLIPTokenizer, prompts: tuple[str, ...]) -> torch.Tensor:
    """(P, L) int64 token ids, as a pipeline makes them: cut or filled up to the tokenizer's length."""
    tokens = tokenizer(list(prompts), padding="max_length", truncation=True, return_tensors="pt")
    return tokens.input_ids


def cells_of(dataset: Dataset) -> torch.Tensor:
    """(P,) int64: which prompts say the same in other words, by what their images should show in every facet."""
    shown = [tuple(facet.shown[row] for facet in dataset.facets) for row in range(dataset.conditions)]
    number = {cell: i for i, cell in enumerate(dict.fromkeys(shown))}
    return torch.tensor([number[cell] for cell in shown])


def load_clip(artifact: Artifact) -> CLIPModel:
    """The CLIP of an artifact, frozen, on the CPU, in evaluation mode."""
    from transformers import CLIPConfig, CLIPModel

    with Unset():
        model = CLIPModel(CLIPConfig(**artifact.facts[CONFIG]))
    fill(model, artifact)
    return model.requires_grad_(False).eval()


def load_tokenizer(artifact: Artifact) -> CLIPTokenizer:
    """The tokenizer whose words a CLIP's artifact knows."""
    return tokenizer_of(artifact.facts[MERGES], artifact.facts[POSITIONS])


def text_encoder(clip: CLIPModel) -> CLIPTextModel:
    """Its text half by itself, as Stable Diffusion's pipeline has it."""
    return clip.text_model


def text_encoder_with_projection(clip: CLIPModel) -> CLIPTextModelWithProjection:
    """Its text half with the projection of the pooled embedding, as SDXL's second encoder is."""
    from transformers import CLIPTextModelWithProjection

    with Unset():
        encoder = CLIPTextModelWithProjection(clip.text_model.config)
    encoder.text_model.load_state_dict(clip.text_model.state_dict())
    encoder.text_projection.load_state_dict(clip.text_projection.state_dict())
    return encoder.requires_grad_(False).eval()


@torch.inference_mode()
def zero_shot(clip: CLIPModel, tokenizer: CLIPTokenizer, dataset: Dataset, images: Images) -> dict[str, float]:
    """By facet, the share of images given the label that they show: that whose prompts' mean embedding is nearest by cosine."""
    device = next(clip.parameters()).device
    texts = clip.get_text_features(input_ids=tokens_of(tokenizer, dataset.prompts).to(device)).pooler_output
    seen = [clip.get_image_features(pixel_values=part.to(device)).pooler_output for part in images.parts()]
    texts, pictures = F.normalize(texts, dim=1).cpu(), F.normalize(torch.cat(seen), dim=1).cpu()
    right = {}
    for facet in dataset.facets:
        shown = torch.tensor(facet.shown)
        asked = sorted(set(facet.shown) - {NOTHING})
        means = torch.stack([texts[shown == label].mean(dim=0) for label in asked])
        given = torch.tensor(asked)[(pictures @ F.normalize(means, dim=1).T).argmax(dim=1)]
        seen_as = shown[images.conditions]
        shows = seen_as != NOTHING
        right[facet.name] = float((given[shows] == seen_as[shows]).float().mean())
    return right
