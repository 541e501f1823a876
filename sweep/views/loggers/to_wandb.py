"""A sweep for Weights & Biases, written offline: ``RUN/wandb/``, from where ``wandb sync`` sends it when its user wants that.

Every replicate of every trial is a run, grouped by sweep; another holds the sweep's own. A run's config has the trial's
settings, what its figures depend on, and arm, state, cause and feasibility; its summary the figures; its history the curves
by their steps.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from PIL import Image

from sweep.records import read_json
from sweep.records.folder import write_json
from sweep.views.loggers.entries import Entry, Whole

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # nothing leaves this machine

import wandb

_TAG = 64  # most characters of a tag


class WandbLogger:
    """Writes offline runs of `project` to ``RUN/wandb``. The names of those that are whole are in ``logged.json`` there:
    a folder that was synchronised may have been removed since, and is not written again.
    """

    def __init__(self, project: str, sweep_id: str, run_dir: Path, plan: Mapping[str, object]) -> None:
        self.project, self.sweep_id = project, sweep_id
        # wandb's service, which may be an earlier process's, has a working folder of its own
        self.run_dir = run_dir.absolute()
        self.plan = {name: value for name, value in plan.items() if value not in ("", (), [], None)}
        self.ledger = self.run_dir / "wandb" / "logged.json"
        self.ledger.parent.mkdir(exist_ok=True)

    def logged(self) -> set[str]:
        return set(read_json(self.ledger)) if self.ledger.exists() else set()

    def log(self, entry: Entry) -> None:
        phase, arm, state = (entry.tags[t] for t in ("phase", "arm", "state"))
        feasible = {"true": ["feasible"], "false": ["infeasible"]}.get(entry.tags["feasible"], [])
        config = entry.parameters | entry.facts | entry.tags
        run = self._begin(entry.name, phase, config, [arm[:_TAG], state, phase, *feasible])
        names = dict.fromkeys(name for name, _, _ in entry.curves)
        run.define_metric(entry.step, hidden=True)
        for name in names:
            run.define_metric(name, step_metric=entry.step)
        for step, points in groupby(sorted(entry.curves, key=lambda p: p[1]), key=lambda p: p[1]):
            run.log({entry.step: step} | {name: value for name, _, value in points})
        if entry.pictures:
            run.log({what: wandb.Image(Image.fromarray(grid)) for what, grid in entry.pictures.items()})
        run.summary.update(entry.figures)
        run.finish(exit_code=int(entry.failed))
        write_json(self.ledger, sorted(self.logged() | {entry.name}))

    def close(self, whole: Whole) -> None:
        run = self._begin("sweep", "sweep", self.plan | whole.tags, [])
        run.log({"front": wandb.Image(Image.open(io.BytesIO(whole.front)))})
        run.summary.update(whole.figures)
        run.finish()

    def _begin(self, name: str, kind: str, config: Mapping[str, Any], tags: list[str]) -> Any:
        """A new offline run, in place of one of the same name that was cut off."""
        run_id = f"{self.sweep_id[:12]}-{name}"
        for old in self.ledger.parent.glob(f"offline-run-*-{run_id}"):
            shutil.rmtree(old)
        settings = wandb.Settings(
            mode="offline",
            console="off",
            silent=True,
            disable_code=True,
            disable_git=True,
            x_disable_meta=True,  # no command line, no user's name
            x_disable_stats=True,
            x_disable_machine_info=True,
        )
        return wandb.init(
            project=self.project,
            id=run_id,
            name=name,
            group=self.run_dir.name,
            job_type=kind,
            config=dict(config),
            tags=tags,
            dir=self.run_dir,
            settings=settings,
            reinit="create_new",
        )
