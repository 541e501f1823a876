"""The experiment that a setup asks for: its data, models, judge and features, each known by the digest of its files."""

from __future__ import annotations

import math
from dataclasses import replace

from sweep.errors import UsageError, mistake_in
from sweep.plan.place import Place
from sweep.relearning.base_checks import check_steps
from sweep.relearning.flag_values import AUTO
from sweep.relearning.setup import Setup
from sweep.relearning.setup_flags import SYNTHETIC_OF_PROMPTS
from trainables.data import Dataset
from trainables.denoisers.digests import hashed
from trainables.denoisers.pipelines import fitted, located, read_pipeline
from trainables.denoisers.recipes import Pretrained, classifier_recipe
from trainables.forgetting import parse_forget
from trainables.judges import digest_of as digest_of_files
from trainables.judges import judge_of, reader_of
from trainables.relearning.experiment import Experiment
from trainables.relearning.products import check_beside_base


def experiment_of(setup: Setup, artifacts: str, place: Place, checkpointing: bool | None = None) -> Experiment:
    """What trials of this setup share. UsageError where a pipeline it names cannot be had, or has changed since.

    `checkpointing`, where nobody has asked what fits: as the place says, and of ``auto`` without.
    """
    data = setup.dataset()
    forgetting = parse_forget(setup.forget, data)
    experiment = Experiment(
        store=artifacts,
        data=setup.data,
        data_folder=setup.data_folder,
        image_size=setup.image_size,
        data_limit=setup.data_limit,
        data_skipped=setup.data_skipped,
        data_fingerprint=setup.data_fingerprint or data.fingerprint(),
        forget=forgetting.text,  # one spelling: it is part of every key
        classifier=classifier_recipe(data.judge),
        base=setup.base_recipe(),
        image_sampler=setup.image_sampler,
        sampling_steps=setup.sampling_steps,
        guidance=setup.guidance,
        features=setup.fid_features,
        judge=setup.judge,
        judge_digest=_judge_digest(setup, data),
        weights_file=setup.inception_weights,
        weights_sha256=setup.inception_sha256,
        shadow_models=setup.shadow_models,
        device_name="cuda" if place.gpus_per_trial else "cpu",
        precision="" if setup.precision == AUTO else setup.precision,
        checkpointing=place.checkpointing == "on" if checkpointing is None else checkpointing,
    )
    if data.prompts:
        experiment = replace(
            experiment, synthetic_per_condition=math.ceil(SYNTHETIC_OF_PROMPTS / len(forgetting.retained))
        )
    if not setup.base:
        return experiment
    base = pipeline("--base", setup.base, setup.base_revision, setup, experiment)
    if setup.guidance != 1 and not base.null:
        raise UsageError(f"--guidance {setup.guidance:g}: {setup.base} knows no null condition to guide away from")
    control = None
    if setup.retrain_control:
        control = pipeline("--retrain-control", setup.retrain_control, setup.control_revision, setup, experiment)
    experiment = replace(experiment, base=base, control=control)
    if control:
        with mistake_in("--retrain-control"):
            check_beside_base(experiment, control)
    if setup.base_digest and setup.base_digest != digest_of(experiment):
        raise UsageError(
            f"--base {setup.base}: its files, or the control's, have changed since this run began; start a new run"
        )
    return experiment


def resolved(setup: Setup, experiment: Experiment) -> Setup:
    """The setup with what its judge and its pipelines are fixed for good: the hub's commits, and the digests of all files."""
    setup = replace(setup, judge_digest=experiment.judge_digest)
    if not isinstance(experiment.base, Pretrained):
        return setup
    setup = replace(setup, base_revision=experiment.base.commit, base_digest=digest_of(experiment))
    return replace(setup, control_revision=experiment.control.commit) if experiment.control else setup


def digest_of(experiment: Experiment) -> str:
    """The digests of the pretrained base model and of its control."""
    return " ".join(p.digest for p in (experiment.base, experiment.control) if isinstance(p, Pretrained))


def pipeline(flag: str, source: str, revision: str, setup: Setup, experiment: Experiment) -> Pretrained:
    """A pipeline by folder or hub id, known by the hash of its files; UsageError where it does not fit the data."""
    with mistake_in(flag):
        folder, commit = located(source, revision)
        pretrained = hashed(fitted(read_pipeline(folder, source, commit, setup.base_classes), experiment.dataset))
    check_steps(setup, pretrained.schedule)
    return pretrained


def _judge_digest(setup: Setup, data: Dataset) -> str:
    """The digest of the judge's files; empty where it has none. UsageError where they are not there, or no longer the same."""
    with mistake_in(f"--judge {setup.judge}"):
        forgetting = parse_forget(setup.forget, data)
        judge_of(forgetting.kind, setup.judge)
        reader = reader_of(setup.judge, data, forgetting.facet)
        digest = digest_of_files(reader) if reader else ""
    if setup.judge_digest and digest != setup.judge_digest:
        raise UsageError(f"--judge {setup.judge}: its files have changed since this run began; start a new run")
    return digest
