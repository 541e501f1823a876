"""CLIP as a classifier without training: the label whose caption lies nearest to the image (Radford et al. 2021, arXiv 2103.00020).

MACE (arXiv 2403.06135) judges by it with ViT-B/32. Beside the labels stands a caption that names none, so that an image of
nothing in particular need not be given one of them; MACE has none, as `zero_shot_clip_labels` has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

import torch

from trainables.data import NOTHING, Facet
from trainables.judges import Verdicts, register_reader
from trainables.judges._folders import (
    BATCH,
    CONFIG,
    load_quietly,
    preprocessing,
    processors_in,
    read_json,
    require,
    require_transformers,
    weights_in,
)

OBJECT = ("a photo of a {}", "a photo")  # the caption of a label, and that of none
STYLE = ("a picture in {} style", "a picture")  # of a facet called so
TOKENIZERS = (("tokenizer.json",), ("vocab.json", "merges.txt"))  # as transformers 5 and as earlier ones write it


@register_reader("zero_shot_clip", "FOLDER")
class ZeroShotCLIP:
    """A `CLIPModel` with its tokenizer and image processor. It tells every facet; its temperature is the model's own."""

    may_reject = True  # whether a caption that names no label stands beside them

    def __init__(self, place: Path, facets: tuple[Facet, ...], forgotten: int) -> None:
        require_transformers("zero_shot_clip")
        kind = read_json(place, CONFIG).get("model_type")
        if kind != "clip":
            raise ValueError(f"{place / CONFIG}: is of a model {kind!r}, not of CLIP as a whole (model_type 'clip')")
        processors_in(place)
        require(place, TOKENIZERS[0][0], TOKENIZERS[1][0])
        self.place, self.facets, self.weights = place, facets, weights_in(place)

    @cached_property
    def files(self) -> Mapping[str, Path]:
        tokenizer = next(names for names in TOKENIZERS if (self.place / names[0]).is_file())
        settings = [
            name for name in ("tokenizer_config.json", "special_tokens_map.json") if (self.place / name).is_file()
        ]
        names = (CONFIG, *processors_in(self.place), *self.weights, *tokenizer, *settings)
        return {name: require(self.place, name) for name in names}

    def load(self, device: str) -> Callable[[torch.Tensor], Verdicts]:
        from transformers import CLIPTokenizer

        model = load_quietly("CLIPModel", self.place).to(device)
        tokenizer = CLIPTokenizer.from_pretrained(self.place, local_files_only=True)
        pixel_values, side = preprocessing(self.place), model.config.vision_config.image_size

        def tokens(texts: list[str]) -> dict[str, torch.Tensor]:
            return tokenizer(texts, padding=True, truncation=True, return_tensors="pt").to(device)

        blank = torch.zeros(1, 3, side, side, device=device)
        with torch.inference_mode():
            named = [captions_of(facet)[: None if self.may_reject else -1] for facet in self.facets]
            captions = [model(**tokens(texts), pixel_values=blank).text_embeds for texts in named]
            scale = model.logit_scale.exp()

        def verdicts(images: torch.Tensor) -> Verdicts:
            one, labels, confidence = tokens(["a photo"]), [], []
            with torch.inference_mode():
                parts = [
                    model(**one, pixel_values=pixel_values(p).to(device)).image_embeds for p in images.split(BATCH)
                ]
                for embeddings, facet in zip(captions, self.facets, strict=True):
                    largest, given = (scale * torch.cat(parts) @ embeddings.T).softmax(dim=1).cpu().max(dim=1)
                    labels.append(torch.where(given == len(facet.labels), NOTHING, given))
                    confidence.append(largest)
            return Verdicts(torch.stack(labels, dim=1), torch.stack(confidence, dim=1))

        return verdicts


def captions_of(facet: Facet) -> list[str]:
    """A caption of each label, then that of none."""
    caption, nothing = STYLE if facet.name == "style" else OBJECT
    return [*map(caption.format, facet.labels), nothing]
