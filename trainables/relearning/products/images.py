"""The data set's images on a workbench: its splits, and what is forgotten of them, kept, and audited beside."""

from __future__ import annotations

from trainables.data import Images, Splits
from trainables.relearning.experiment import Experiment
from trainables.relearning.workbench import Workbench, kept


@kept
def splits_of(bench: Workbench) -> Splits:
    return bench.experiment.splits()


@kept
def sets_of(bench: Workbench) -> tuple[Images, Images]:
    """(forget set, retain set)."""
    return bench.experiment.forgetting.split(splits_of(bench).train)


def forget_set_of(bench: Workbench) -> Images:
    return sets_of(bench)[0]


def retain_set_of(bench: Workbench) -> Images:
    return sets_of(bench)[1]


def strangers(experiment: Experiment) -> Images:
    """Images of the forgotten kind that neither a model nor an attack is ever trained on: the audit's other side."""
    return experiment.forgetting.held_out(experiment.splits().test)


@kept
def strangers_of(bench: Workbench) -> Images:
    return strangers(bench.experiment)
