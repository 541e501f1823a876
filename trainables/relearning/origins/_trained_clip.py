"""The CLIP of a base model that is trained here, with its tokenizer, and the prompts that its text half makes a table of."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from trainables.denoisers.clip import (
    CONFIG,
    MERGES,
    POSITIONS,
    clip_config,
    clip_run,
    load_clip,
    load_tokenizer,
    text_encoder,
    text_encoder_with_projection,
    zero_shot,
)
from trainables.denoisers.encoding import encoded_prompts
from trainables.denoisers.prompts import KIND, put_prompts
from trainables.denoisers.text_to_image import ClipRecipe
from trainables.denoisers.tokenizer import learned_merges, tokenizer_of
from trainables.denoisers.weights import weights_of
from trainables.relearning.experiment import Experiment, stream
from trainables.relearning.origins._recipe import text_to_image_recipe
from trainables.relearning.origins._resumable import trained_in
from trainables.store import Artifact, Store, artifact_key, code_version

CLIPS = ("CLIP", "second CLIP")  # names of the parts


def clip_key(experiment: Experiment, recipe: ClipRecipe, number: int) -> str:
    """Key of the CLIP of this number, 0 the first; two of one recipe begin from different weights."""
    config = {
        "data": experiment.data_identity,
        "recipe": asdict(recipe),
        "seed": experiment.base_seed,
        "number": number,
        "device": experiment.device_kind,
    }
    return artifact_key("clip", config, {}, code_version(__name__, experiment.dataset.module))


def make_clip(experiment: Experiment, recipe: ClipRecipe, number: int) -> Artifact:
    """The CLIP, trained on the training images and their captions, with how it tells held-out images apart without training."""
    store, key = Store(experiment.store), clip_key(experiment, recipe, number)
    if artifact := store.whole(key):
        return artifact
    data, splits = experiment.dataset, experiment.splits()
    merges, seed = learned_merges(data.prompts), stream(experiment.base_seed, "clip", str(number))
    tokenizer = tokenizer_of(merges, recipe.positions)
    run = clip_run(recipe, tokenizer, data, splits.train, seed, experiment.device)
    made = trained_in(store, key, run)
    clip = run.trained().eval()
    facts = {
        CONFIG: clip_config(recipe, tokenizer, data.shape),
        MERGES: merges,
        POSITIONS: recipe.positions,
        "held_out_zero_shot": zero_shot(clip, tokenizer, data, splits.test),
    }
    artifact = store.put(key, "clip", facts | made, weights_of(clip))
    store.drop_partial(key)
    return artifact


def prompts_key(experiment: Experiment) -> str:
    """Key of the table of the data set's prompts."""
    keys = {CLIPS[i]: clip_key(experiment, clip, i) for i, clip in enumerate(text_to_image_recipe(experiment).clips)}
    return artifact_key(KIND, {"prompts": list(experiment.dataset.prompts)}, keys, code_version(__name__))


def make_prompts(experiment: Experiment) -> Artifact:
    """The table of the data set's prompts, and of the empty one, which of two CLIPs is zeros, as SDXL has it."""
    store, key = Store(experiment.store), prompts_key(experiment)
    if artifact := store.whole(key):
        return artifact
    clips = [store.get(clip_key(experiment, clip, i)) for i, clip in enumerate(text_to_image_recipe(experiment).clips)]
    models = [load_clip(clip) for clip in clips]
    encoders: list[Any] = [text_encoder(models[0]), *map(text_encoder_with_projection, models[1:])]
    texts, pixels = experiment.dataset.prompts, experiment.dataset.shape[1:]
    tokenizers = [load_tokenizer(clip) for clip in clips]
    table = encoded_prompts(texts, tokenizers, encoders, pixels, zeros_for_empty=len(clips) > 1)
    return put_prompts(store, key, table, {"prompts": list(texts)})
