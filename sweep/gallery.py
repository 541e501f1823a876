"""Sample images for the page: base model, unlearned models, what attacks bring back; all drawn from the same noise."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from sweep.figures import image_grid
from sweep.fronts import BASE, RETRAIN, Front
from sweep.members import Row
from sweep.records import COMPLETE
from trainables.store import CorruptArtifact, Store

IMAGES = 16  # at most, in one grid
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


def gallery(front: Front) -> tuple[Strip, ...]:
    """Base model, retrain control and every front member, all of one seed, as far as the page has room."""
    members = [m.trial_id for arm in front.arms.values() for m in arm.front]
    confirmed = {r["trial_id"] for r in front.replicates if r["replicate"] >= 1 and r["state"] == COMPLETE}
    first = 1 if any(m in confirmed for m in members) else 0
    store, room = Store(front.plan["artifacts"]), [ROOM]
    strips = []
    for trial_id in (BASE, RETRAIN, *members):
        own = [r for r in front.replicates if r["trial_id"] == trial_id and r["state"] == COMPLETE]
        row = next((r for r in sorted(own, key=lambda r: r["replicate"]) if r["replicate"] >= first), None)
        if row is not None:
            strips.append(strip(store, row, front.curves, room))
    return tuple(strips)


def strip(store: Store, row: Row, curves: Iterable[Row], room: list[int]) -> Strip:
    """One replicate's grids; `room`, one number, is what is left of the page and gets less by them."""
    return Strip(row["trial_id"], row["arm"], row["seed"], tuple(_grids(store, row, curves, room)))


def _grids(store: Store, row: Row, curves: Iterable[Row], room: list[int]) -> Iterator[Grid]:
    controls = {BASE: "base model", RETRAIN: "retrain control"}
    before = controls.get(row["trial_id"].partition("-forget-")[0], "unlearned")  # a track's ids say what is forgotten
    yield _grid(store, before, row["score"], room)
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
        yield _grid(store, f"after {attack}@{curve['attack_step']}", curve["artifact"], room)


def _grid(store: Store, caption: str, key: str | None, room: list[int]) -> Grid:
    if not key:
        return Grid(caption, None, None, "no samples recorded")
    try:
        artifact = store.find(key)
        tensors = artifact.tensors() if artifact is not None else {}
        uris = {name: data_uri(tensors[name][:IMAGES]) for name in ("forgotten", "retained") if name in tensors}
    except (CorruptArtifact, OSError, ValueError) as error:
        return Grid(caption, None, None, f"samples cannot be read: {error}")
    if not uris:
        return Grid(caption, None, None, f"samples not in the store (artifact {key[:12]})")
    if sum(map(len, uris.values())) > room[0]:
        return Grid(caption, None, None, f"left out, the page is full (artifact {key[:12]})")
    room[0] -= sum(map(len, uris.values()))
    return Grid(caption, uris.get("forgotten"), uris.get("retained"), None)


def data_uri(images: np.ndarray) -> str:
    """Images (n, C, H, W) in [-1, 1] as the data URI of one PNG, four to a row, each pixel as sampled."""
    out = io.BytesIO()
    Image.fromarray(image_grid(images, columns=4)).save(out, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
