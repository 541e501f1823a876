"""A data set on disk, decoded once on a machine for all its processes.

Where the files' own pixels are the images, as of pictures, which are resized when they are read, the decoded array holds
their bytes: four times fewer than floats, and the same images, for a byte determines its float. Arrays that are resized
(MNIST and CIFAR-10 at another size than their own) are floats between the levels of a byte: these are kept as float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from trainables.data._files.layout import Chosen, Layout, choose, files_read, fingerprint, reads
from trainables.data._images import PART, Held, Images, Rows, Splits, resize
from trainables.data._pixel_range import check_visible
from trainables.store import artifact_key, code_version
from trainables.store.node_arrays import Recipe, Shared, node_array


def decoded(layout: Layout, name: str, size: int, limit: int, skipped: Sequence[str], module: str, of: str) -> Splits:
    """The splits of a data set on disk, whose code is `module` and whose files have the fingerprint `of`.

    ValueError where a class has no image to train on, nothing is to be seen in the images, a file cannot be read, or the
    files are no longer those of the fingerprint.
    """
    identity = {"name": name, "size": size, "limit": limit, "skipped": sorted(skipped), "fingerprint": of}
    # A JPEG's pixels are its decoder's matter: Pillow's release is in the code version of whatever reads pictures.
    key = artifact_key("decoded", identity, {}, code_version(__name__, module))
    shared = node_array(key, lambda: _recipe(layout, size, limit, of))
    return _splits(shared)


def _recipe(layout: Layout, size: int, limit: int, of: str) -> Recipe:
    """How the splits are decoded. ValueError where a class has no image to train on."""
    chosen = choose(layout, limit)
    for split, indices in vars(chosen).items():
        if not len(indices):
            raise ValueError(f"{layout.place}: holds too few images to have a {split} split")
    trained = layout.train.labels()[chosen.train]
    for label in sorted(set(range(len(layout.classes))) - set(trained.tolist())):
        few = f"a limit of {limit} leaves" if limit else f"{layout.place} has"
        raise ValueError(f"{few} no training image of class {label}, {layout.classes[label]}")
    conditions = np.concatenate([part.labels()[indices] for part, indices in reads(layout, chosen)])
    counts = {split: len(indices) for split, indices in vars(chosen).items()}
    facts = {"counts": counts, "conditions": conditions.tolist()}

    def check(array: np.ndarray) -> None:
        check_visible(_splits(Shared(array, facts)), str(layout.place), layout.classes)
        if fingerprint(files_read(layout, chosen)) != of:
            raise ValueError(f"{layout.place}: its files are not those that their fingerprint is of; they were changed")

    return Recipe(
        shape=(len(conditions), layout.channels, size, size),
        dtype=np.dtype(np.uint8 if _as_they_are(layout, size) else np.float32),
        facts=facts,
        parts=lambda: _parts(layout, chosen, size),
        check=check,
        whose=str(layout.place),
    )


def _as_they_are(layout: Layout, size: int) -> bool:
    return bool(layout.train.pictures) or layout.size == size


def _parts(layout: Layout, chosen: Chosen, size: int) -> Iterator[np.ndarray]:
    """The images of the splits in turn, some at a time."""
    import torch

    for part, indices in reads(layout, chosen):
        for pixels in part.pixels(indices, size):
            if _as_they_are(layout, size):
                yield pixels
            else:  # whole, they would lie in memory as floats twice
                for batch in torch.from_numpy(np.ascontiguousarray(pixels)).split(PART):
                    yield resize(batch.float().div(127.5).sub(1), size).numpy()


def _splits(shared: Shared) -> Splits:
    import torch

    held, conditions = Held(torch.from_numpy(shared.array)), torch.tensor(shared.facts["conditions"])
    counts, start, splits = shared.facts["counts"], 0, {}
    for split in ("train", "public", "test"):
        rows = torch.arange(start, start + counts[split])
        splits[split] = Images(Rows(held, rows), conditions[rows])
        start += counts[split]
    return Splits(**splits)
