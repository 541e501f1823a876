"""What pictures were made by stands beside them where their artifacts tell it, picture by picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from sweep.page.gallery import Room, made_by, strip
from sweep.relearning import strips
from trainables.store import Store

ROW = {"trial_id": "uce-0000", "arm": "uce", "seed": 3, "replicate": 0}
FORGOTTEN = ["a photo of the three", "three, sketch", "a neon of the three"]


def put(store: Store, key: str, **facts: object) -> str:
    images = np.zeros((3, 3, 4, 4), np.float32)
    store.put(key * 64, "score", facts, {"forgotten": images, "retained": images[:2]})
    return key * 64


def test_each_picture_has_its_prompt_as_many_as_are_shown(tmp_path: Path) -> None:
    store, shown = Store(str(tmp_path)), strips.pictures(1, strips.OF_PROMPTS)
    prompted_key = put(
        store, "a", made_by={"forgotten": FORGOTTEN, "retained": ["a photo of the four", "five, poster"]}
    )
    silent = put(store, "b")
    drawn = strip(store, ROW, [("unlearned", prompted_key), ("after dimra@7", silent)], shown, Room(), images=2)
    first, second = drawn.grids
    assert first.made_by == {"forgotten": FORGOTTEN[:2], "retained": ["a photo of the four", "five, poster"]}
    assert second.made_by == {} and second.pictures, "an artifact of earlier code tells nothing"
    whole = strip(store, ROW, [("unlearned", prompted_key)], shown, Room())
    assert made_by([drawn, whole], shown.kinds) == [
        ("forgotten prompts", FORGOTTEN),
        ("retained prompts", ["a photo of the four", "five, poster"]),
    ]
    assert made_by([replace(drawn, grids=(second,))], shown.kinds) == []


def test_a_run_of_classes_speaks_of_conditions_and_one_of_prompts_of_prompts() -> None:
    assert strips.kinds({}) == strips.KINDS and strips.kinds({"labels": ["three"]}) == strips.OF_PROMPTS
    assert "Upper picture: the forgotten condition; lower: retained conditions." in strips.pictures(2).note
    assert "Upper picture: forgotten prompts; lower: retained prompts." in strips.pictures(2, strips.OF_PROMPTS).note
