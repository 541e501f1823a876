"""Score a model: draw its samples, judge them, keep every metric's figures and a few of the images."""

from __future__ import annotations

import time
from dataclasses import asdict
from functools import cached_property, partial

import numpy as np
import torch
from diffusers import UNet2DModel

from trainables.audits import AUDITS, Audited, audit
from trainables.data import NOTHING, Images
from trainables.diffusion import batch_for, sample, sample_one_step, starting_noise
from trainables.judges import Evidence, Verdicts
from trainables.judges._classifier import verdicts
from trainables.metrics import METRICS, Evaluation, Figures, declared_figures, evaluate
from trainables.relearning.experiment import Experiment, Samples, stream
from trainables.relearning.products.classifier import classifier_key, classifier_of
from trainables.relearning.products.features import feature_module, features_of
from trainables.relearning.products.images import forget_set_of, retain_set_of, splits_of
from trainables.relearning.products.judge import asked_of, judge_for, judge_identity, reads_of
from trainables.relearning.products.latents import decoded, encoded_sets_of, encoded_strangers_of
from trainables.relearning.products.models import predicting_model_of
from trainables.relearning.products.reference import reference_key, reference_of
from trainables.relearning.products.shadows import shadows_key, shadows_of
from trainables.relearning.workbench import Workbench
from trainables.running.stopwatch import Stopwatch
from trainables.sampling.at_once import MOST_AT_ONCE
from trainables.store import Artifact, Tensors, artifact_key, code_version

SAMPLE_BATCH = MOST_AT_ONCE  # or fewer, where they are large
FIRST = 32  # samples of the first batch: a glance needs no more (`trainables.relearning.stages.glance`)
SHOWN_FORGOTTEN, SHOWN_PER_RETAINED = 18, 2
SHOWN_PROMPTS = 16  # of the retained ones, evenly apart
SHOWN_BY = "made_by"  # the fact that says by which prompts; a model's `prompts` are an artifact


def scoring_code(experiment: Experiment) -> str:
    """Code version of everything that makes figures out of a model."""
    members = [*METRICS.modules(), *AUDITS.modules(), feature_module(experiment), experiment.dataset.module]
    return code_version(__name__, judge_for(experiment).module, *members)


def score_inputs(experiment: Experiment) -> dict[str, str]:
    """The artifacts every figure depends on."""
    shadows = {"shadows": shadows_key(experiment)} if experiment.shadow_models else {}
    return {"classifier": classifier_key(experiment), "reference": reference_key(experiment)} | shadows


def score_key(experiment: Experiment, model: str, samples: Samples, seed: int) -> str:
    """Key of the score of the model with artifact key `model`."""
    config = {
        "forget": experiment.forget,
        "samples": asdict(samples),
        "seed": seed,
        "sampler": experiment.sampler,
        "judge": judge_identity(experiment),
        "device": experiment.device_kind,
    }
    return artifact_key("score", config, score_inputs(experiment) | {"model": model}, scoring_code(experiment))


class Sampling:
    """A resumable drawing of samples: of what was forgotten first, then of each retained condition, from one noise tensor.

    The noise depends on the seed and the counts alone: base, unlearned and attacked models start from the same. Samples of
    several forgotten conditions come in turn, prompts in a fixed random order, so that the first samples are of all kinds. An
    unconditional model's samples are all of both kinds. With `one_step` the model is a generator that makes an image in one
    step from that timestep. What is `done` are images: latents are decoded. The `first` samples are a batch of their own, 0
    where nobody looks at these alone: small batches take longer a sample.
    """

    def __init__(
        self, bench: Workbench, model: UNet2DModel, samples: Samples, seed: int, one_step: int = 0, first: int = 0
    ) -> None:
        experiment, self.first = bench.experiment, first
        self.bench, self.experiment, self.model, self.one_step = bench, experiment, model, one_step
        forgetting = experiment.forgetting
        retained = torch.tensor(experiment.retained, dtype=torch.int64).repeat_interleave(samples.per_retained)
        prompts = torch.tensor(forgetting.prompts)
        if forgetting.facet:
            prompts = prompts[torch.randperm(len(prompts), generator=torch.Generator().manual_seed(0))]
        self.conditions = torch.cat([prompts[torch.arange(samples.forgotten) % len(prompts)], retained])
        self.at_every_rung = samples.forgotten  # an unconditional model's others are of what was forgotten too
        forgotten = torch.arange(len(self.conditions)) < samples.forgotten
        both = bool(forgetting.instances)
        self.of_forgotten, self.of_retained = forgotten | both, ~forgotten | (both and samples.per_retained > 0)
        self.asked = asked_of(experiment, self.conditions)
        self.labelled = self.asked[:, forgotten_facet(experiment)] != NOTHING
        self.of_anchor = self.of_retained & torch.isin(
            self.conditions, torch.tensor(forgetting.anchors, dtype=torch.int64)
        )
        shape = experiment.model_shape
        self.noise = torch.cat(
            [
                starting_noise((samples.forgotten, *shape), stream(seed, "sampling", "forgotten")),
                starting_noise((len(retained), *shape), stream(seed, "sampling", "retained")),
            ]
        )
        self.done: list[torch.Tensor] = []

    def advance(self, deadline: float = float("inf"), until: int | None = None) -> bool:
        """Draw until all are there, or the first `until` of them (True), or the deadline passes (False).

        Batches are the same however often it is called: one of the first samples, the others of SAMPLE_BATCH, or of as many as fit.
        """
        for end in dict.fromkeys(min(end, len(self.noise)) for end in (self.first, until or len(self.noise))):
            if not self._draw(end, deadline):
                return False
        return True

    def _draw(self, end: int, deadline: float) -> bool:
        """Draw what the first `end` samples lack."""
        experiment, schedule = self.experiment, self.experiment.noise_schedule()
        drawn = sum(map(len, self.done))
        if drawn >= end:
            return True
        noise, conditions, device = self.noise[drawn:end], self.conditions[drawn:end], experiment.device
        decode, null = partial(decoded, self.bench), experiment.null_condition
        at_once = min(SAMPLE_BATCH, batch_for(self.model, noise.shape))
        if self.one_step:
            rest = sample_one_step(
                self.model, schedule, noise, conditions, self.one_step, device, at_once, finish=decode
            )
        else:
            how = experiment.sampling
            rest = sample(self.model, schedule, noise, conditions, how, device, at_once, null, finish=decode)
        for batch in rest:
            self.done.append(batch)
            if time.monotonic() > deadline and sum(map(len, self.done)) < end:
                return False
        return True

    def images(self) -> torch.Tensor:
        return torch.cat(self.done)

    def state(self) -> Tensors:
        return {"images": self.images().numpy()} if self.done else {}

    def restore(self, state: Tensors) -> None:
        self.done = [torch.from_numpy(state["images"].copy())] if "images" in state else []


def verdicts_of(bench: Workbench, images: torch.Tensor) -> Verdicts:
    """What samples (N, C, H, W) show in each facet, by the judge's own weights or else by the trained classifier."""
    reads = reads_of(bench)
    return reads(images) if reads else verdicts(classifier_of(bench), images)


def evidence_of(bench: Workbench, images: torch.Tensor, said: Verdicts | None = None) -> Evidence:
    """What the experiment's judge is shown of samples (N, C, H, W), of which `said` is what they show."""
    said = verdicts_of(bench, images) if said is None else said
    forgetting = bench.experiment.forgetting
    predicted, confidence = said.of(forgotten_facet(bench.experiment))
    sets = partial(forget_set_of, bench), partial(retain_set_of, bench)
    return Evidence(images, predicted, confidence, forgetting.shown_by, *sets)


def forgotten_facet(experiment: Experiment) -> int:
    """Which of the verdicts' facets is forgotten; the only one where conditions are no prompts."""
    names = [facet.name for facet in experiment.dataset.facets]
    return names.index(experiment.forgetting.facet) if names else 0


def instances_of(bench: Workbench) -> Images:
    """The images that are forgotten one by one, each once."""
    return splits_of(bench).train.batch(torch.tensor(bench.experiment.forgetting.instances))


def measured(bench: Workbench, sampling: Sampling) -> Figures:
    """Every metric's figures of finished samples."""
    images, forgetting = sampling.images(), bench.experiment.forgetting
    said, asked = verdicts_of(bench, images), sampling.asked
    evidence, facet = evidence_of(bench, images, said), forgotten_facet(bench.experiment)
    others = [other for other in said.facets or range(asked.shape[1]) if other != facet]
    return evaluate(
        Evaluation(
            images=images,
            conditions=sampling.conditions,
            of_forgotten=sampling.of_forgotten,
            of_retained=sampling.of_retained,
            asked=asked[:, facet],
            predicted=evidence.predicted,
            confidence=evidence.confidence,
            shows=judge_for(bench.experiment)(evidence),
            features=features_of(bench).extract(images),
            reference=reference_of(bench),
            prompted=not bench.experiment.dataset.unconditional,
            instances=instances_of(bench).images if forgetting.instances else None,
            other_asked=asked[:, others] if others else None,
            other_predicted=said.labels[:, others] if others else None,
            of_anchor=sampling.of_anchor,
            at_every_rung=sampling.at_every_rung,
        )
    )


def examine(bench: Workbench, model: UNet2DModel) -> tuple[Figures, int]:
    """Every audit's figures of a model, and how many images they are over."""
    experiment = bench.experiment
    forget, strangers = encoded_sets_of(bench)[0], encoded_strangers_of(bench)
    audited = Audited(model, experiment.noise_schedule(), forget, strangers, experiment.device, shadows_of(bench))
    return audit(audited), sum(map(len, audited.distinct))


def counted(figures: Figures, sampling: Sampling, audits: tuple[Figures, int]) -> dict[str, int]:
    """N of every figure: the samples asked for what was forgotten, those of what stays, or the audited images."""
    over = {
        "forgotten": int(sampling.of_forgotten.sum()),
        "forgotten, at every rung": sampling.at_every_rung,
        "retained": int(sampling.of_retained.sum()),
        "retained, labelled": int((sampling.of_retained & sampling.labelled).sum()),
        "anchors": int(sampling.of_anchor.sum()),
        "all": len(sampling.conditions),
        "audited": audits[1],
    }
    declared = {figure.name: figure for family in (METRICS, AUDITS) for figure in declared_figures(family)}
    return {name: over[declared[name].over] for name in (*figures, *audits[0])}


def shown(sampling: Sampling) -> Tensors:
    """A few images to look at, the same noise for every model: ``forgotten`` and ``retained``, (n, C, H, W)."""
    images = sampling.images()
    return {kind: images[which].numpy() for kind, which in shown_samples(sampling).items()}


def shown_samples(sampling: Sampling) -> dict[str, torch.Tensor]:
    """(n,) which of the samples are looked at: of what was forgotten the first, of what stays some of each."""
    of_retained, shown_of, each_of = sampling.of_retained, sampling.experiment.retained, SHOWN_PER_RETAINED
    if sampling.experiment.forgetting.facet:
        evenly = np.linspace(0, len(shown_of) - 1, min(SHOWN_PROMPTS, len(shown_of)))
        shown_of, each_of = [shown_of[round(place)] for place in evenly], 1
    each = [(of_retained & (sampling.conditions == c)).nonzero().flatten()[:each_of] for c in shown_of]
    return {
        "forgotten": sampling.of_forgotten.nonzero().flatten()[:SHOWN_FORGOTTEN],
        "retained": torch.cat(each),
    }


def prompts_shown(sampling: Sampling) -> dict[str, dict[str, list[str]]]:
    """The fact of an artifact with `shown` images that says by which prompt each was made; none where conditions are no prompts."""
    prompts = sampling.experiment.dataset.prompts
    if not prompts:
        return {}
    made_by = {
        kind: [prompts[condition] for condition in sampling.conditions[which].tolist()]
        for kind, which in shown_samples(sampling).items()
    }
    return {SHOWN_BY: made_by}


class ScoreStage:
    """Scores θᵤ before any attack."""

    name = kind = "score"

    def __init__(self, bench: Workbench, model: str, samples: Samples, seed: int) -> None:
        self.bench, self.model, self.samples, self.seed = bench, model, samples, seed
        self.key = score_key(bench.experiment, model, samples, seed)

    @cached_property
    def sampling(self) -> Sampling:
        one_step = self.bench.store.get(self.model).facts.get("one_step", 0)
        model = predicting_model_of(self.bench, self.model)
        sampling = Sampling(self.bench, model, self.samples, self.seed, one_step, FIRST)
        sampling.restore(self.bench.store.load_partial(self.key) or {})
        return sampling

    def advance(self, watch: Stopwatch, deadline: float) -> bool:
        with watch("sampling"):
            return self.sampling.advance(deadline)

    def save_partial(self) -> None:
        self.bench.store.save_partial(self.key, self.sampling.state())

    def commit(self, watch: Stopwatch) -> Artifact:
        with watch("scoring"):
            figures = measured(self.bench, self.sampling)
            # A one-step generator denoises nothing: there is no denoising loss to audit.
            audits = ({}, 0) if self.sampling.one_step else examine(self.bench, self.sampling.model)
        counts = counted(figures, self.sampling, audits)
        figures |= audits[0]
        facts = {"figures": figures, "counts": counts, "samples": asdict(self.samples), "seed": self.seed}
        facts |= prompts_shown(self.sampling)
        artifact = self.bench.store.put(self.key, "score", facts | watch.times(), shown(self.sampling))
        self.bench.store.drop_partial(self.key)
        return artifact


class BaseScoreStage(ScoreStage):
    """Scores θ₀, where nobody has on this seed."""

    name = kind = "base score"


def make_score(experiment: Experiment, model: str, samples: Samples, seed: int) -> Artifact:
    """The score of a model, found or made: for the models that trials are compared with."""
    bench = Workbench(experiment)
    stage = ScoreStage(bench, model, samples, seed)
    if artifact := bench.store.whole(stage.key):
        return artifact
    watch = Stopwatch()
    with watch.running():
        stage.advance(watch, float("inf"))
        return stage.commit(watch)
