"""The judge of an experiment: known by its name and what its files hold, loaded once a process, and how often it is right."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from trainables.data import NOTHING, Images
from trainables.judges import Judge, Reader, Verdicts, digest_of, judge_of, reader_of
from trainables.relearning.experiment import Experiment
from trainables.relearning.workbench import Workbench, kept
from trainables.store import Artifact, Store, artifact_key, code_version, machine

HELD_OUT = 500  # images at most that a judge with weights of its own is tried on


def judge_for(experiment: Experiment) -> Judge:
    """Who says which samples show what was forgotten. ValueError where the judge asked for cannot tell that kind of it."""
    return judge_of(experiment.forgetting.kind, experiment.judge)


def judge_identity(experiment: Experiment) -> str:
    """The judge as a key and a column have it: its name, with the digest of its files where it has some, wherever they lie.

    ValueError where that has not been taken.
    """
    judge = judge_for(experiment)
    if judge.reader is None:
        return judge.name
    if not experiment.judge_digest:
        raise ValueError(f"judge {judge.name}: files of a folder are told apart by their digest; set judge_digest")
    return f"{judge.name}@{experiment.judge_digest[:16]}"


def asked_of(experiment: Experiment, conditions: torch.Tensor) -> torch.Tensor:
    """(N, F) which label images of these conditions (N,) should show in each facet; `NOTHING`: their prompt says none."""
    facets = experiment.dataset.facets
    if not facets:
        return conditions[:, None]
    return torch.tensor([facet.shown for facet in facets])[:, conditions].T


@kept
def reads_of(bench: Workbench) -> Callable[[torch.Tensor], Verdicts] | None:
    """What the judge's own weights say of images (N, C, H, W), loaded; None where the trained classifier is asked.

    ValueError where its files are not those that figures are kept under.
    """
    reader = _reader(bench.experiment)
    if reader and digest_of(reader) != bench.experiment.judge_digest:
        raise ValueError(f"judge {bench.experiment.judge}: its files have changed since this run began")
    return reader.load(bench.experiment.device.name) if reader else None


def judged_key(experiment: Experiment) -> str:
    config = {
        "data": experiment.data_identity,
        "judge": judge_identity(experiment),
        "facet": experiment.forgetting.facet,
        "device": experiment.device_kind,
        "held_out": HELD_OUT,
    }
    return artifact_key(
        "judge", config, {}, code_version(__name__, judge_for(experiment).module, experiment.dataset.module)
    )


def make_judged(experiment: Experiment) -> Artifact:
    """How often a judge with weights of its own is right on held-out images, some of all evenly; by facet, those it can tell."""
    store, key = Store(experiment.store), judged_key(experiment)
    if artifact := store.whole(key):
        return artifact
    reads, start = reads_of(Workbench(experiment)), time.process_time()
    assert reads is not None, "the trained classifier is tried where it is trained"
    test = _some(experiment.splits().test)
    said = [reads(part) for part in test.parts()]
    given, asked = torch.cat([one.labels for one in said]), asked_of(experiment, test.conditions)
    names = [facet.name for facet in experiment.dataset.facets] or ["class"]
    accuracy = {}
    for facet in said[0].facets or range(len(names)):
        labelled = asked[:, facet] != NOTHING
        if labelled.any():
            accuracy[names[facet]] = float((given == asked)[labelled, facet].float().mean())
    facts = {"facet_accuracy": accuracy, "held_out_images": len(test), "core_s": time.process_time() - start}
    return store.put(key, "judge", facts | {"machine": machine()}, {})


def _some(images: Images) -> Images:
    """At most `HELD_OUT` of the images, evenly apart."""
    if len(images) <= HELD_OUT:
        return images
    return images.where(torch.linspace(0, len(images) - 1, HELD_OUT).round().long())


def _reader(experiment: Experiment) -> Reader | None:
    return reader_of(experiment.judge, experiment.dataset, experiment.forgetting.facet)
