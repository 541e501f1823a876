"""The unlearning stage: fine-tune θ₀ (or another start) by a method, giving θᵤ."""

from __future__ import annotations

import math
from dataclasses import asdict
from functools import cached_property
from typing import Any

from trainables.denoisers.models import model_facts
from trainables.denoisers.prompts import KIND as PROMPTS
from trainables.denoisers.prompts import load_prompts, put_prompts
from trainables.denoisers.weights import changed_weights, whole_weights
from trainables.fine_tuning import Run
from trainables.relearning.experiment import TrialSpec, stream
from trainables.relearning.products.features import feature_module, feature_weights
from trainables.relearning.products.generated import Unfinished
from trainables.relearning.products.models import model_key, model_of
from trainables.relearning.products.problem import problem_of
from trainables.relearning.products.shared import shared_key, shared_of
from trainables.relearning.products.text import ENCODER, encoder_weights
from trainables.relearning.workbench import Workbench
from trainables.running.stopwatch import Stopwatch
from trainables.store import Artifact, artifact_key, code_version
from trainables.training.precision import raise_to
from trainables.unlearning import METHODS
from trainables.unlearning._text_encoder import EncoderRun


def unlearned_key(spec: TrialSpec) -> str:
    """Key of θᵤ; of the start model itself where there is nothing to unlearn.

    ValueError where the method cannot forget what is to be forgotten, or not at these settings.
    """
    experiment, start = spec.experiment, model_key(spec.experiment, spec.start)
    if spec.method == "none":
        return start
    method = METHODS[spec.method]
    settings = method.configure(spec.settings)
    method.check_forgets(experiment.forgetting, settings)
    config = {
        "method": spec.method,
        "settings": asdict(settings),
        "seed": spec.seed,
        "data": experiment.data_identity,
        "forget": experiment.forget,
        "sampler": experiment.sampler,
        "device": experiment.device_kind,
    }
    code = code_version(__name__, *method.modules, experiment.dataset.module, feature_module(experiment))
    shared = {f"shared {name}": shared_key(experiment, name) for name in method.needs}
    inputs = {"features": feature_weights(experiment), "model": start} | shared
    return artifact_key("unlearned", config, inputs, code)


def text_keys(unlearned: str) -> tuple[str, str]:
    """Keys of the table of prompts and of the text encoders that are made with the θᵤ of this key, where those train."""
    prompts_key, encoder_key = (artifact_key(kind, {}, {"unlearned": unlearned}, "") for kind in (PROMPTS, ENCODER))
    return prompts_key, encoder_key


class UnlearnStage:
    """Trains a copy of the start model; its product is what of θᵤ's weights differs from that.

    Where a method has θ₀ generate images as it begins, it begins again after every step that this takes: what was drawn is found.
    """

    name = kind = "unlearn"

    def __init__(self, bench: Workbench, spec: TrialSpec) -> None:
        self.bench, self.spec, self.key = bench, spec, unlearned_key(spec)
        self._begin_by = math.inf  # when what θ₀ generates is to be drawn; a run that has begun waits for what it asks

    @cached_property
    def run(self) -> Run:
        bench, spec, experiment = self.bench, self.spec, self.spec.experiment
        method = METHODS[spec.method]
        settings = method.configure(spec.settings)
        model = model_of(bench, model_key(experiment, spec.start))
        problem = problem_of(bench, {name: shared_of(bench, name) for name in method.needs}, lambda: self._begin_by)
        run = method.begin(model, problem, settings, stream(spec.seed, "unlearning"))
        partial = bench.store.mapped_partial(self.key)
        if partial is not None:
            run.restore(partial)
        return run

    def advance(self, watch: Stopwatch, deadline: float) -> bool:
        if not self._begun(watch, deadline):
            return False
        run = self.run
        with watch("training"):
            return run.advance(run.steps, deadline)

    def _begun(self, watch: Stopwatch, deadline: float) -> bool:
        """Begin the run, unless it has begun; False where what θ₀ generates for it was not drawn in time."""
        if "run" in vars(self):
            return True
        self._begin_by = deadline
        try:
            with watch("sampling"):
                return self.run is not None
        except Unfinished:  # its images so far are kept
            return False
        finally:
            self._begin_by = math.inf

    def save_partial(self) -> None:
        if "run" not in vars(self):
            return
        self.bench.store.save_partial(self.key, self.run.state())

    def commit(self, watch: Stopwatch) -> Artifact:
        store = self.bench.store
        start = store.get(model_key(self.spec.experiment, self.spec.start))
        raise_to(self.run.model, whole_weights(start))
        model = self.run.trained()
        facts = model_facts(model, self.spec.experiment.base, start.named_with | self._text_parts(model)) | {
            "method": self.spec.method,
            "settings": self.spec.settings,
            "seed": self.spec.seed,
            "last_loss": self.run.last_loss,
        }
        changed, rests_on = changed_weights(model, start)
        facts |= self.run.facts | rests_on
        artifact = store.put(self.key, "unlearned", facts | watch.times(), changed)
        store.drop_partial(self.key)
        return artifact

    def _text_parts(self, model: Any) -> dict[str, str]:
        """Where the method trained the text encoders: puts them and their prompts in the store, and names the encoders' key."""
        run, store = self.run, self.bench.store
        if not isinstance(run, EncoderRun):
            return {}
        prompts_key, encoder_key = text_keys(self.key)
        prompts = put_prompts(
            store, prompts_key, model.prompts, {"prompts": list(self.spec.experiment.dataset.prompts)}
        )
        store.put(encoder_key, ENCODER, {}, encoder_weights(run.text))
        model.prompts = load_prompts(prompts, self.bench.experiment.device.name)
        return {ENCODER: encoder_key}
