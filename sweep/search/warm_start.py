"""Earlier sweeps as a prior: ``--warm-start RUN…`` takes their trials along, of this question on other data perhaps.

What is taken is written into the new run's folder once, so that it is resumed as it began, whatever becomes of the
earlier runs. Samplers that learn from earlier studies (`sweep.samplers.nehvi`) weigh them against the sweep's own trials;
every sampler begins with the best settings of each, after the question's own start points. An earlier figure is never
counted as one of this sweep.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sweep.errors import UsageError
from sweep.reading.sweep import Sweep, read_sweep
from sweep.records import FAIL, RUNNING, read_json
from sweep.records.folder import write_json
from sweep.samplers import Observation
from sweep.search.dominated import present_front
from sweep.search.observations import observation
from sweep.space import Arm, SearchSpace, Settings

FILE = "warm_start.json"
BEST = 3  # settings of each earlier study that are tried first

Studies = dict[str, list[list[Observation]]]
"""By arm, the trials of every earlier run that fit its parameters."""


def gather(runs: Sequence[str], space: SearchSpace) -> Studies:
    """What earlier runs hold for the question's arms.

    UsageError for what is no run, or has no trial that fits any arm, or none with the question's objectives.
    """
    studies: Studies = {}
    for run in runs:
        sweep = read_sweep(run)
        _check(sweep, run, space)
        study_of = {arm.name: _study(sweep, arm, space) for arm in space.arms if arm.name in sweep.arms}
        if not any(study_of.values()):
            names = ", ".join(a.name for a in space.arms)
            raise UsageError(
                f"--warm-start {run}: none of its trials has the parameters of {names}; name a run of this space"
            )
        measured = {arm: [o for o in study if not _lacking(o, space)] for arm, study in study_of.items()}
        if not any(measured.values()):
            lacking = sorted({metric for study in study_of.values() for o in study for metric in _lacking(o, space)})
            raise UsageError(
                f"--warm-start {run}: none of its trials has all objectives of this question; they lack {', '.join(lacking)}: "
                "leave it out, or name a run that measured them"
            )
        for arm, study in measured.items():
            if study:
                studies.setdefault(arm, []).append(study)
    return studies


def _lacking(observation: Observation, space: SearchSpace) -> list[str]:
    """The objectives that a trial which came to its end was not asked for: a metric that became one later, say."""
    return [o.metric for o in space.objectives if observation.complete and o.metric not in observation.figures]


def _check(sweep: Sweep, run: str, space: SearchSpace) -> None:
    """UsageError for a run of another kind of trial, or one whose bounds nobody knows."""
    if sweep.procedure.name != space.procedure:
        raise UsageError(
            f"--warm-start {run}: its trials are {sweep.procedure.name}'s, the question's {space.procedure}'s"
        )
    unknown = [c.name for c in space.bounded(sweep.bounds).constraints if c.bound is None]
    if unknown:
        mend = f"python -m sweep.repair {shlex.quote(run)} makes it again"
        raise UsageError(
            f"--warm-start {run}: it has no prepared.json, so the bound of {unknown[0]} is not known; {mend}"
        )


def write(run_dir: Path, studies: Studies) -> None:
    """Keep the studies in the run's folder; nothing where there are none."""
    if studies:
        arms = {arm: [[dataclasses.asdict(o) for o in study] for study in each] for arm, each in studies.items()}
        write_json(run_dir / FILE, arms)


def read(run_dir: Path) -> Studies:
    """The studies a run began with; empty where it began cold."""
    if not (run_dir / FILE).is_file():
        return {}
    arms: Mapping[str, Any] = read_json(run_dir / FILE)
    return {arm: [[_kept(o) for o in study] for study in each] for arm, each in arms.items()}


def _kept(values: Mapping[str, Any]) -> Observation:
    """An observation as `write` kept it; in folders of earlier code with a number of replicates, which was always 1."""
    return Observation(**{name: value for name, value in values.items() if name != "replicates"})


def warmed(arm: Arm, space: SearchSpace, studies: Sequence[Sequence[Observation]]) -> Arm:
    """The arm with the best settings of each study as further start points, those it has already left out."""
    points: list[Settings] = [dict(p) for p in arm.start_points]
    for study in studies:
        ranked = sorted(present_front(space.objectives, study), key=lambda o: _rank(o, space))
        points += [dict(o.settings) for o in ranked[:BEST] if dict(o.settings) not in points]
    return dataclasses.replace(arm, start_points=tuple(points))


def _rank(observation: Observation, space: SearchSpace) -> float:
    """Best by the first objective first."""
    first = space.objectives[0]
    return first.sign * observation.figures[first.metric]


def _study(sweep: Sweep, arm: Arm, space: SearchSpace) -> list[Observation]:
    """The trials of an arm of an earlier run whose settings fit this one's: those that ended, failed ones left out.

    A failure may be of the other data; what was scored is a figure there and a hint here.
    """
    space = space.bounded(sweep.bounds)  # its figures are held against its own bounds
    knowledge = sweep.knowledge(space)
    curves: dict[str, list[Mapping[str, Any]]] = {}
    for row in sweep.curves:
        if row["replicate"] == 0:
            curves.setdefault(row["trial_id"], []).append(row)
    observations = []
    for number, member in enumerate(m for m in sweep.arms[arm.name].members if m.state not in (FAIL, RUNNING)):
        try:
            settings = arm.check(member.parameters)
        except UsageError:
            continue  # another range or another parameter than here: no trial of this question
        known = curves.get(member.trial_id, [])
        observations.append(observation(space, number, settings, member.state, member.search, known, knowledge))
    return observations
