"""Sample images for the page: base model, unlearned models, what attacks bring back; all drawn from the same noise."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from sweep.page.figures import image_grid
from sweep.reading.sweep import Sweep
from sweep.reading.trial import Row, Trial
from sweep.records import COMPLETE
from sweep.records.names import BASE, RETRAIN
from trainables.store import CorruptArtifact, Store

WHICH = ("forgotten", "retained")  # the pictures of a grid
IMAGES = 16  # at most, in one grid
MOST = 600  # trials beside the fronts that samples are looked for of
_AT_ONCE = 100
_CURVE = ("trial_id", "replicate", "attack", "attack_step", "artifact")
ROOM = 2_200_000  # characters of images on a page: with plotly.js it stays below 8 MB


@dataclass(frozen=True)
class Grid:
    """Samples of one model at one moment; a grid is a data URI, or None with the reason in `missing`."""

    caption: str
    forgotten: str | None
    retained: str | None
    missing: str | None


@dataclass(frozen=True)
class Strip:
    """One model's grids in order: before the attack, then at the end of each attack."""

    trial_id: str
    arm: str
    seed: int
    grids: tuple[Grid, ...]
    replicate: int


def gallery(sweep: Sweep, trials: Iterable[Trial] = (), room: int = ROOM) -> tuple[Strip, ...]:
    """Base model, retrain control and every front member, then these members, as far as the page has room.

    A model's samples are of the confirm phase's first seed, or of the search's where it was not confirmed; the controls are
    shown on both, for only samples of one seed are drawn from the same noise. Where room is short, members off the fronts
    show fewer images each, so that more of them show any.
    """
    first = [BASE, RETRAIN, *(m.trial_id for arm in sweep.arms.values() for m in arm.front)]
    others = [m.trial_id for m in trials if m.trial_id not in set(first)][:MOST]
    left = [room]
    strips = list(_strips(sweep, first, left, IMAGES))
    grids = len(others) * (1 + len(sweep.plan["attacks"]["search"]))
    images = _fitting(strips, grids, left[0])
    for begin in range(0, len(others), _AT_ONCE):
        if left[0] > 0:
            strips += _strips(sweep, others[begin : begin + _AT_ONCE], left, images)
    return tuple(strips)


def _strips(sweep: Sweep, ids: list[str], room: list[int], images: int) -> Iterator[Strip]:
    """The strips of some trials, one each; of a control one a phase."""
    columns = ("trial_id", "arm", "replicate", "seed", "state", "score")
    found: dict[str, list[Row]] = {}
    for row in sweep.rows_of("replicates", ids, columns):
        if row["state"] == COMPLETE or row["score"]:
            found.setdefault(row["trial_id"], []).append(row)
    curves: dict[str, list[Row]] = {}
    for row in sweep.rows_of("curves", ids, _CURVE):
        curves.setdefault(row["trial_id"], []).append(row)
    store = Store(sweep.plan["artifacts"])
    for trial_id in ids:
        rows = sorted(found.get(trial_id, []), key=lambda r: r["replicate"])
        fresh = [r for r in rows if r["replicate"] >= 1 and r["state"] == COMPLETE][:1]
        searched = [r for r in rows if r["replicate"] == 0]
        for row in fresh + searched if trial_id in (BASE, RETRAIN) else fresh or searched:
            yield strip(store, row, curves.get(trial_id, []), room, images)


def _fitting(strips: list[Strip], more: int, room: int) -> int:
    """How many images a grid may have for so many more grids to find room, judged by those that are there."""
    sizes = [len(g.forgotten or "") + len(g.retained or "") for s in strips for g in s.grids if g.missing is None]
    wanted = more * sum(sizes) / max(1, len(sizes))
    return next((n for n in (IMAGES, IMAGES // 2) if wanted * n / IMAGES <= room), IMAGES // 4)


def strip(store: Store, row: Row, curves: Iterable[Row], room: list[int], images: int = IMAGES) -> Strip:
    """One replicate's grids; `room`, one number, is what is left of the page and gets less by them."""
    grids = tuple(_grids(store, row, curves, room, images))
    return Strip(row["trial_id"], row["arm"], row["seed"], grids, row["replicate"])


def _grids(store: Store, row: Row, curves: Iterable[Row], room: list[int], images: int) -> Iterator[Grid]:
    controls = {BASE: "base model", RETRAIN: "retrain control"}
    before = controls.get(row["trial_id"].partition("-forget-")[0], "unlearned")  # a track's ids say what is forgotten
    yield _grid(store, before, row["score"], room, images)
    at = (row["trial_id"], row["replicate"])
    ends: dict[str, Row] = {}
    for curve in curves:
        if (curve["trial_id"], curve["replicate"]) == at and curve["attack"] != "none":
            last = ends.get(curve["attack"])
            if last is None or (curve["attack_step"], bool(curve["artifact"])) > (
                last["attack_step"],
                bool(last["artifact"]),
            ):
                ends[curve["attack"]] = curve
    for attack, curve in ends.items():
        yield _grid(store, f"after {attack}@{curve['attack_step']}", curve["artifact"], room, images)


def _grid(store: Store, caption: str, key: str | None, room: list[int], images: int) -> Grid:
    if not key:
        return Grid(caption, None, None, "no samples recorded")
    if room[0] <= 0:
        return Grid(caption, None, None, f"left out, the page is full (artifact {key[:12]})")
    try:
        uris = _uris(store.root, key, images)
    except LookupError:
        return Grid(caption, None, None, f"samples not in the store (artifact {key[:12]})")
    except (CorruptArtifact, OSError, ValueError) as error:
        return Grid(caption, None, None, f"samples cannot be read: {error}")
    if not uris:
        return Grid(caption, None, None, f"the artifact {key[:12]} holds no samples")
    if sum(map(len, uris.values())) > room[0]:
        room[0] = 0  # what comes later is not squeezed in beside what was left out
        return Grid(caption, None, None, f"left out, the page is full (artifact {key[:12]})")
    room[0] -= sum(map(len, uris.values()))
    return Grid(caption, uris.get("forgotten"), uris.get("retained"), None)


@lru_cache(maxsize=4096)
def _uris(root: str, key: str, images: int) -> dict[str, str]:
    """The grids of a score; LookupError where it is not in the store. A key is of one content: a live page reads it once."""
    artifact = Store(root).find(key)
    if artifact is None:
        raise LookupError(key)
    tensors = artifact.tensors()
    return {name: data_uri(tensors[name][:images]) for name in WHICH if name in tensors}


def data_uri(images: np.ndarray) -> str:
    """Images (n, C, H, W) in [-1, 1] as the data URI of one PNG, four to a row, each pixel as sampled."""
    out = io.BytesIO()
    Image.fromarray(image_grid(images, columns=4)).save(out, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
