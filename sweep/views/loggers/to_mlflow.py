"""A sweep in MLflow: one run for the sweep, and under it one for every replicate of every trial.

The experiment bears the question's name. A replicate's run has the trial's settings and what its figures depend on as parameters,
its figures at step 0 and every curve at its own steps as metrics, the search's pictures as artifacts, and arm, state, cause and
feasibility as tags. It is ended last: one that is still RUNNING was cut off, and is deleted and written anew.
"""

from __future__ import annotations

import datetime as dt
import io
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from sweep.errors import UsageError
from sweep.views.loggers.entries import Entry, Whole

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing is sent but to the place that was named
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # its own seven take minutes to say that nobody answers

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run

for _name in ("mlflow", "alembic"):  # after the import, which sets them up
    logging.getLogger(_name).setLevel(logging.WARNING)  # the tables of a new database are no news

SWEEP, NAME = "sweep_id", "replicate_name"  # tags by which a run is found again
_PARENT, _RUN_NAME = "mlflow.parentRunId", "mlflow.runName"
_REFUSED = re.compile(r"[^\w\-. :/]")  # of a metric's or parameter's name
_AT_ONCE = {"metrics": 1000, "params": 100}  # MLflow's own limits of a batch
_PAGE = 1000


class MlflowLogger:
    """Writes to the store at `uri`; `plan` is what the sweep's own run has as parameters."""

    def __init__(self, uri: str, sweep_id: str, run_dir: Path, plan: Mapping[str, object]) -> None:
        self.client, self.sweep_id = MlflowClient(tracking_uri=uri), sweep_id
        self.whole: dict[str, str] = {}  # by replicate, the id of its run
        self.experiment = self._experiment(Path(str(plan["space"])).stem, uri, run_dir)
        tags = {"run": run_dir.name, _RUN_NAME: run_dir.name}
        earlier = next((r.info.run_id for r in self._runs() if NAME not in r.data.tags), None)
        self.parent = earlier or self._begin(None, tags, None)
        parameters = {name: str(value) for name, value in plan.items() if value not in ("", (), [], None)}
        self._batch(self.parent, [], parameters)

    def logged(self) -> set[str]:
        for run in self._runs():
            name = run.data.tags.get(NAME)
            if name is None:
                continue  # the sweep's own
            if run.info.status == "RUNNING":
                self.client.delete_run(run.info.run_id)
            else:
                self.whole[name] = run.info.run_id
        return set(self.whole)

    def log(self, entry: Entry) -> None:
        if before := self.whole.pop(entry.name, None):  # it failed, and was run again
            self.client.delete_run(before)
        run = self._begin(entry.name, entry.tags, entry.started_at)
        at = _ms(entry.finished_at or dt.datetime.now(dt.UTC))
        points = [(name, 0, value) for name, value in entry.figures.items()] + entry.curves
        metrics = [Metric(_named(name), float(value), at, step) for name, step, value in points]
        self._batch(run, metrics, entry.parameters | entry.facts)
        for what, grid in entry.pictures.items():
            self.client.log_image(run, Image.fromarray(grid), artifact_file=f"samples/{what.replace('/', ', ')}.png")
        self.client.set_terminated(run, "FAILED" if entry.failed else "FINISHED", end_time=at)

    def close(self, whole: Whole) -> None:
        before = self.client.get_run(self.parent).data.metrics
        at = _ms(dt.datetime.now(dt.UTC))
        news = {k: v for k, v in whole.figures.items() if before.get(k) != float(v)}  # told again, it would be a series
        self._batch(self.parent, [Metric(_named(k), float(v), at, 0) for k, v in news.items()], {})
        for key, value in whole.tags.items():
            self.client.set_tag(self.parent, key, value)
        self.client.log_image(self.parent, Image.open(io.BytesIO(whole.front)), artifact_file="front.png")
        self.client.set_terminated(self.parent, "FINISHED", end_time=at)

    def _experiment(self, name: str, uri: str, run_dir: Path) -> str:
        """The id of the experiment called `name`, made where there is none. UsageError where its run folder was moved."""
        file = Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        artifacts = str(file.parent / "mlflow-artifacts") if file is not None else None  # else the server's own place
        known = self.client.get_experiment_by_name(name)
        if known is None:
            return str(self.client.create_experiment(name, artifact_location=artifacts))
        in_the_run = file is not None and file.parent == run_dir.absolute()
        if in_the_run and known.artifact_location.removeprefix("file://") != artifacts:
            raise UsageError(f"{file} was moved here, and names its old place: remove it and mlflow-artifacts")
        return str(known.experiment_id)

    def _begin(self, name: str | None, tags: Mapping[str, str], start: dt.datetime | None) -> str:
        """A new run, of a replicate or, without a name, of the sweep."""
        names = {NAME: name, _RUN_NAME: name, _PARENT: self.parent} if name else {}
        when = _ms(start or dt.datetime.now(dt.UTC))
        run = self.client.create_run(self.experiment, start_time=when, tags={**tags, **names, SWEEP: self.sweep_id})
        return str(run.info.run_id)

    def _runs(self) -> list[Run]:
        """Every run of this sweep, its own among them: that one has no replicate's name."""
        which, runs = f"tags.{SWEEP} = '{self.sweep_id}'", list[Run]()
        page = None
        while True:
            some = self.client.search_runs([self.experiment], which, max_results=_PAGE, page_token=page)
            runs += some
            if not (page := some.token):
                return runs

    def _batch(self, run: str, metrics: list[Metric], parameters: Mapping[str, Any]) -> None:
        logged = [Param(_named(k), str(v)) for k, v in parameters.items()]
        for start in range(0, len(logged), _AT_ONCE["params"]):
            self.client.log_batch(run, params=logged[start : start + _AT_ONCE["params"]])
        for start in range(0, len(metrics), _AT_ONCE["metrics"]):
            self.client.log_batch(run, metrics=metrics[start : start + _AT_ONCE["metrics"]])


def _named(name: str) -> str:
    """A name with what MLflow does not take in one left out."""
    return _REFUSED.sub("_", name)


def _ms(when: dt.datetime) -> int:
    return int(when.timestamp() * 1000)
