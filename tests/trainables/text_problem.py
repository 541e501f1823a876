"""A problem of prompts: a tiny text U-Net in float64 that is told rows of a made-up table, and images drawn at random."""

from __future__ import annotations

from typing import Any

import torch

from trainables.data import Images
from trainables.denoisers.prompts import Prompts
from trainables.denoisers.text_unet import TextUNet
from trainables.forgetting import Forget
from trainables.sampling.noise_schedule import NoiseSchedule
from trainables.training.device import Device
from trainables.unlearning import Problem

# A sneaker has two tokens where a bag and a coat have one; the last template does not end with the object.
WORDS = {
    word: i
    for i, word in enumerate(["<s>", "</s>", "a", "of", "in", "as", "snea", "ker", "bag", "coat", "ink", "neon"])
}
OBJECTS = {"sneaker": ["snea", "ker"], "bag": ["bag"], "coat": ["coat"]}
STYLES = ("ink", "neon")
LENGTH, WIDTH, POOLED = 9, 12, 6  # of a prompt in tokens, of a token's vector, of a prompt's
START, END = WORDS["<s>"], WORDS["</s>"]


def prompt(template: int, thing: str, style: str) -> list[str]:
    """A prompt's words, multi-token ones in parts."""
    return ["a", style, "of", "a", *OBJECTS[thing]] if template == 0 else ["a", *OBJECTS[thing], "in", style]


CELLS = [(template, thing, style) for thing in OBJECTS for style in STYLES for template in (0, 1)]
TEXTS = [prompt(*cell) for cell in CELLS]
NULL = len(TEXTS)
ROWS = {cell: row for row, cell in enumerate(CELLS)}
FORGOTTEN = tuple(row for row, (_, thing, _) in enumerate(CELLS) if thing == "sneaker")
RETAINED = tuple(row for row in range(NULL) if row not in FORGOTTEN)
ANCHORS = tuple(ROWS[template, "bag", style] for template, _, style in (CELLS[row] for row in FORGOTTEN))


def prompts(pooled: bool = False, padding: int = END) -> Prompts:
    """The table: token vectors that differ from row to row, as a text encoder's do; padded with END, or another id."""
    g = torch.Generator().manual_seed(3)
    tokens = torch.full((NULL + 1, LENGTH), padding)
    real = torch.zeros(NULL + 1, dtype=torch.int64)
    for row, words in enumerate([*TEXTS, []]):
        ids = [START, *(WORDS[word] for word in words), END]
        tokens[row, : len(ids)], real[row] = torch.tensor(ids), len(ids)
    context = torch.randn(NULL + 1, LENGTH, WIDTH, generator=g).double()
    if not pooled:
        return Prompts(context, tokens, real)
    return Prompts(
        context, tokens, real,
        torch.randn(NULL + 1, POOLED, generator=g).double(), torch.tensor([8, 8, 0, 0, 8, 8]),
    )  # fmt: skip


def text_unet(seed: int = 0, pooled: bool = False, padding: int = END) -> TextUNet:
    """A text U-Net in float64, of SDXL's kind where it has pooled vectors; another seed is other weights."""
    torch.manual_seed(seed)
    sdxl: dict[str, Any] = {"addition_embed_type": "text_time", "addition_time_embed_dim": 4}
    sdxl |= {"projection_class_embeddings_input_dim": POOLED + 6 * 4}
    model = TextUNet(
        sample_size=8, in_channels=3, out_channels=3, layers_per_block=1, block_out_channels=(8, 16), norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=2, cross_attention_dim=WIDTH, **(sdxl if pooled else {}),
    ).double()  # fmt: skip
    model.prompts = prompts(pooled, padding)
    return model.eval()


def text_problem(velocity: bool = False, pooled: bool = False, images_a_row: int = 3) -> Problem:
    """Sneakers to be forgotten, each prompt's anchor that of a bag; the base model is of seed 0."""
    g = torch.Generator().manual_seed(4)
    rows = torch.arange(NULL).repeat_interleave(images_a_row)
    every = Images((torch.rand(len(rows), 3, 8, 8, generator=g) * 2 - 1).double(), rows)
    forgetting = Forget(
        "concept:sneaker", FORGOTTEN, RETAINED, labels=(0,), facet="concept", anchors=ANCHORS,
        shown=tuple(list(OBJECTS).index(thing) for _, thing, _ in CELLS),
    )  # fmt: skip
    forget, retain = forgetting.split(every)
    base = text_unet(pooled=pooled).requires_grad_(False)

    def generated(condition: int, n: int) -> torch.Tensor:
        seeded = torch.Generator().manual_seed(1000 + condition)
        return (torch.rand(n, 3, 8, 8, generator=seeded) * 2 - 1).double()

    return Problem(
        base_model=lambda: base,
        schedule=NoiseSchedule(prediction_type="v_prediction" if velocity else "epsilon").scheduler(),
        forget=forget,
        retain=retain,
        forgetting=forgetting,
        null_condition=NULL,
        features=lambda images: images.flatten(1).numpy(),
        generated=generated,
        device=Device(),
    )
