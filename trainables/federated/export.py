"""Synthetic rows saved as what the real ones are: a table of the same schema as CSV and Parquet, or a folder of pictures.

Nothing else leaves with them: neither the canaries and their coins, nor a training's checkpoint.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from trainables.federated.encoding import decode
from trainables.federated.schema import Schema
from trainables.federated.table_files import write

TABLE, IMAGES, CARD = "synthetic", "images", "README.md"


def save_rows(rows: torch.Tensor, form: Schema | tuple[int, int, int], folder: Path, card: str) -> Path:
    """Save rows (n, d) in a new folder, which is returned, with a README. ValueError where the folder is taken.

    `form` is what they are: a table's schema, or images' (C, H, W). Of a table ``synthetic.csv``, ``synthetic.parquet`` and
    ``schema.json``; of images ``images/00000.png`` … and ``synthetic.safetensors`` (n, C, H, W) in [-1, 1].
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder}: exists and is not an empty folder; rows are saved in one of their own")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as half:  # it is whole or is not there
        whole = Path(half) / folder.name
        whole.mkdir()
        if isinstance(form, Schema):
            table = decode(form, rows)
            for suffix in (".csv", ".parquet"):
                write(whole / f"{TABLE}{suffix}", table)
            (whole / "schema.json").write_text(json.dumps(form.to_json(), indent=2) + "\n", encoding="utf-8")
        else:
            save_pictures(rows.unflatten(1, form), whole)
        (whole / CARD).write_text(card, encoding="utf-8")
        whole.replace(folder)
    return folder


def save_card(folder: Path, card: str) -> None:
    """Put another README beside rows that are saved; the one that is there stays until this one is whole."""
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as half:
        whole = Path(half) / CARD
        whole.write_text(card, encoding="utf-8")
        whole.replace(folder / CARD)


def save_pictures(images: torch.Tensor, folder: Path) -> None:
    """Images (n, C, H, W) in [-1, 1] as PNG files, -1 black and 1 white, and all of them as they are in one file of tensors."""
    (folder / IMAGES).mkdir()
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()
    for number, picture in enumerate(np.moveaxis(pixels, 1, -1)):
        grey_or_colour = picture[..., 0] if picture.shape[-1] == 1 else picture
        Image.fromarray(grey_or_colour).save(folder / IMAGES / f"{number:05d}.png")
    save_file({"images": images.contiguous()}, folder / f"{TABLE}.safetensors")
