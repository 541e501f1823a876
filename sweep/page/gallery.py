"""Pictures for the page: strips of grids that the run's procedure names, as far as the page has room for them."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from PIL import Image

from sweep.page.grids import image_grid
from sweep.page.marks import controls
from sweep.procedures.panels import Grid, Pictures
from sweep.reading.sweep import Sweep
from sweep.reading.trial import Row, Trial
from sweep.records import COMPLETE
from trainables.store import CorruptArtifact, Store

IMAGES = 16  # at most, in one grid
MOST = 600  # trials beside the fronts that pictures are looked for of
_AT_ONCE = 100
_REPLICATE = ("trial_id", "arm", "replicate", "seed", "state")
ROOM = 2_200_000  # characters of images on a page: with plotly.js it stays below 8 MB


@dataclass
class Room:
    """Characters of images that a page still has room for."""

    left: int = ROOM

    def take(self, size: int) -> bool:
        """Take so many; False where they do not fit, and nothing fits from then on: what comes later is not squeezed in beside
        what was left out."""
        fits = size <= self.left
        self.left = self.left - size if fits else 0
        return fits


@dataclass(frozen=True)
class DrawnGrid:
    """Pictures of one model at one moment: data URIs by their kind, or none with the reason in `missing`.

    Those that are `left_out` could be had, and the page is full.
    """

    caption: str
    pictures: Mapping[str, str]
    missing: str | None = None
    left_out: bool = False
    made_by: Mapping[str, Sequence[str]] = field(default_factory=dict)  # of each picture, by kind, where that is known


@dataclass(frozen=True)
class Strip:
    """One model's grids in order."""

    trial_id: str
    arm: str
    seed: int
    grids: tuple[DrawnGrid, ...]
    replicate: int


def gallery(sweep: Sweep, trials: Iterable[Trial] = (), room: int = ROOM) -> tuple[Strip, ...]:
    """The controls and every front member, then these members, as far as the page has room; nothing without pictures.

    The controls are shown on the confirm phase's first seed and on the search's, for only samples of one seed are drawn from the
    same noise; a trial on the first of these that it has, so that a control's lie beside. Where room is short, members off the
    fronts show fewer images each, so that more of them show any.
    """
    shown = sweep.procedure.panels().pictures(sweep)
    if shown is None:
        return ()
    first = [m.trial_id for arm in sweep.arms.values() for m in arm.front]
    others = [m.trial_id for m in trials if m.trial_id not in {*controls(sweep), *first}][:MOST]
    page = Room(room)
    strips = list(_strips(sweep, shown, list(controls(sweep)), page, IMAGES))
    beside = frozenset(strip.replicate for strip in strips)
    strips += _strips(sweep, shown, first, page, IMAGES, beside)
    images = _fitting(strips, len(others) * shown.grids, page.left)
    for begin in range(0, len(others), _AT_ONCE):
        if page.left > 0:
            strips += _strips(sweep, shown, others[begin : begin + _AT_ONCE], page, images, beside)
    return tuple(strips)


def _strips(
    sweep: Sweep, shown: Pictures, ids: list[str], room: Room, images: int, beside: Collection[int] = ()
) -> Iterator[Strip]:
    """The strips of some trials, one each, of the replicates `beside` if there is one; of a control one a phase."""
    rows_of: dict[str, list[Row]] = {}
    for row in sweep.rows_of("replicates", ids, (*_REPLICATE, *shown.replicate)):
        if row["state"] == COMPLETE or any(row[name] for name in shown.replicate):
            rows_of.setdefault(row["trial_id"], []).append(row)
    curves: dict[str, list[Row]] = {}
    for row in sweep.rows_of("curves", ids, ("trial_id", "replicate", *shown.curves)):
        curves.setdefault(row["trial_id"], []).append(row)
    store, panels = Store({**sweep.plan, **sweep.plan.get("plan", {})}["artifacts"]), sweep.procedure.panels()
    for trial_id in ids:
        rows = sorted(rows_of.get(trial_id, []), key=lambda r: r["replicate"])
        fresh = [r for r in rows if r["replicate"] >= 1 and r["state"] == COMPLETE]
        searched = [r for r in rows if r["replicate"] == 0]
        if trial_id in controls(sweep):
            chosen = fresh[:1] + searched
        else:
            paired = [r for r in fresh + searched if r["replicate"] in beside]
            chosen = (paired or fresh or searched)[:1]
        for row in chosen:
            grids = panels.strip(row, curves.get(trial_id, []))
            yield strip(store, row, grids, shown, room, images)


def _fitting(strips: list[Strip], more: int, room: int) -> int:
    """How many images a grid may have for so many more grids to find room, judged by those that are there."""
    sizes = [sum(map(len, g.pictures.values())) for s in strips for g in s.grids if g.missing is None]
    wanted = more * sum(sizes) / max(1, len(sizes))
    return next((n for n in (IMAGES, IMAGES // 2) if wanted * n / IMAGES <= room), IMAGES // 4)


def strip(store: Store, row: Row, grids: Iterable[Grid], shown: Pictures, room: Room, images: int = IMAGES) -> Strip:
    """One replicate's grids, which take of the page's `room`."""
    drawn = tuple(_grid(store, caption, key, shown, room, images) for caption, key in grids)
    return Strip(row["trial_id"], row["arm"], row["seed"], drawn, row["replicate"])


def _grid(store: Store, caption: str, key: str | None, shown: Pictures, room: Room, images: int) -> DrawnGrid:
    if not key:
        return DrawnGrid(caption, {}, "no samples recorded")
    if room.left <= 0:
        return _left_out(caption, key)
    try:
        uris, made_by = _uris(store.root, key, tuple(shown.kinds), shown.made_by, images)
    except LookupError:
        return DrawnGrid(caption, {}, f"samples not in the store (artifact {key[:12]})")
    except (CorruptArtifact, OSError, ValueError) as error:
        return DrawnGrid(caption, {}, f"samples cannot be read: {error}")
    if not uris:
        return DrawnGrid(caption, {}, f"the artifact {key[:12]} holds no samples")
    if not room.take(sum(map(len, uris.values()))):
        return _left_out(caption, key)
    return DrawnGrid(caption, uris, made_by=made_by)


def _left_out(caption: str, key: str) -> DrawnGrid:
    return DrawnGrid(caption, {}, f"left out, the page is full (artifact {key[:12]})", left_out=True)


@lru_cache(maxsize=4096)
def _uris(
    root: str, key: str, kinds: tuple[str, ...], made_by: str, images: int
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The pictures of an artifact by kind, and what each was made by; LookupError where it is not in the store.

    A key is of one content: a live page reads it once.
    """
    artifact = Store(root).find(key)
    if artifact is None:
        raise LookupError(key)
    tensors = artifact.tensors()
    uris = {name: data_uri(tensors[name][:images]) for name in kinds if name in tensors}
    makers = artifact.facts.get(made_by) or {}
    return uris, {name: [str(one) for one in makers[name]][:images] for name in uris if name in makers}


def made_by(strips: Iterable[Strip], kinds: Mapping[str, str]) -> list[tuple[str, Sequence[str]]]:
    """Of these kinds, each in words, what their pictures were made by, in the order of the pictures; nothing where none is told.

    It is the same for all models of a run but for how many there are: those of the grid that has most.
    """
    most: dict[str, Sequence[str]] = {}
    for grid in (grid for strip in strips for grid in strip.grids):
        for kind, texts in grid.made_by.items():
            if len(texts) > len(most.get(kind, ())):
                most[kind] = texts
    return [(words, most[kind]) for kind, words in kinds.items() if kind in most]


def data_uri(images: np.ndarray) -> str:
    """Images (n, C, H, W) in [-1, 1] as the data URI of one PNG, four to a row, each pixel as sampled."""
    out = io.BytesIO()
    Image.fromarray(image_grid(images, columns=4)).save(out, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
