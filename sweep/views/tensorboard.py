"""A sweep as TensorBoard reads it: one run a trial under ``RUN/tensorboard/``, with scalars, HParams and grids of images.

It is a view that can be rebuilt from the records at any time: writing a trial again replaces what was written of it.
Every call opens its event file, writes and closes it, so a sweep of a thousand trials holds no open writer.
"""

from __future__ import annotations

import io
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams, scalar

from sweep import procedures
from sweep.jobs import Ended
from sweep.page.figures import curves_figure, front_figure, image_grid
from sweep.reading.sweep import Sweep, read_sweep
from sweep.records import COMPLETE, FAIL, PRUNED, RUNNING, safe_name
from sweep.space import CONTROL, Choice, Float, Int, SearchSpace
from sweep.views.curve_points import scalars
from trainables.store import Store

NONE = "—"  # a conditional parameter that is not active
_ENDED = {
    COMPLETE: "complete",
    PRUNED: "stopped early",
    FAIL: "failed",
    RUNNING: NONE,
}  # HParams has no status for stopped
SWEEP = "_sweep"  # the run of figures about the whole sweep; no trial id starts with '_'


class Board:
    """Writes ``RUN/tensorboard/`` for one question; tags are the figures' names, and of curves ``METRIC/SERIES``."""

    def __init__(self, run_dir: str | Path, space: SearchSpace) -> None:
        self.folder = Path(run_dir) / "tensorboard"
        self.space = space
        self.procedure = procedures.named(space.procedure)
        self.columns = self.procedure.columns()
        self.metrics = [*self.columns.names, *self.procedure.traces().tags(space)]

    def trial(
        self,
        row: Mapping[str, Any],
        curves: Iterable[Mapping[str, Any]],
        grids: Iterable[tuple[str, np.ndarray, int]] = (),
    ) -> None:
        """Replace a trial's run by its row of the trials table, its rows of the curves table, and grids.

        A grid is (tag, images as `images` takes them, step). All are one event file: a file each costs a driver more than
        what is in it. Curves of the search (replicate 0) get the plain tags; those of confirm replicate r get ``/rR`` behind.
        """
        folder = self._folder(row["trial_id"])
        shutil.rmtree(folder, ignore_errors=True)
        with SummaryWriter(str(folder)) as writer:
            figures = ((name, row.get(name)) for name in self.columns.names)
            # The HParams plugin cannot serve NaN.
            finite = [(name, 0, float(v)) for name, v in figures if v is not None and math.isfinite(v)]
            _add_scalars(writer, [*finite, *scalars(self.procedure, list(curves))])
            if row.get("cause"):
                writer.add_text("cause", f"{row['state']}: {row['cause']}".replace("<", "&lt;"), 0)
            for summary in self._hparams(row):
                writer._get_file_writer().add_summary(summary)  # type: ignore[no-untyped-call]
            for tag, images, step in grids:
                _add_grid(writer, tag, images, step)

    def replicate(self, trial_id: str, replicate: int, curves: Iterable[Mapping[str, Any]]) -> None:
        """Add the curves of one of a trial's confirm replicates to its run; the same replicate replaces its own."""
        with self._writer(trial_id, f"r{replicate}") as writer:
            _add_scalars(writer, scalars(self.procedure, list(curves)))

    def confirmed(self, trial_id: str, means: Mapping[str, float]) -> None:
        """Add the means over fresh seeds of a confirmed trial as ``confirmed/FIGURE``; they replace those that were there."""
        with self._writer(trial_id, "confirmed") as writer:
            for name, mean in sorted(means.items()):
                writer.add_scalar(f"confirmed/{name}", mean, 0)

    def images(self, trial_id: str, tag: str, images: np.ndarray, step: int = 0) -> None:
        """Add samples (n, C, H, W) in [-1, 1] to a trial's run as one grid; the same tag and step replaces its grid."""
        with self._writer(trial_id, f"{tag}-{step}") as writer:
            _add_grid(writer, tag, images, step)

    def figure(self, tag: str, fig: Figure) -> None:
        """Put a figure about the whole sweep on the board; the same tag replaces it."""
        with self._writer(SWEEP, tag) as writer:
            writer.add_figure(tag, fig, 0, close=False)

    def close(self) -> None:
        """Nothing is left open between calls; here so that a board can be used as other writers are."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _folder(self, trial_id: str) -> Path:
        return self.folder / (trial_id if trial_id == SWEEP else safe_name(trial_id))

    def _writer(self, trial_id: str, name: str) -> SummaryWriter:
        """A writer of an event file of its own, in place of an earlier one of the same name."""
        folder = self._folder(trial_id)
        suffix = "." + "".join(c if c.isalnum() or c in "-_" else f"%{ord(c):x}" for c in name)
        for old in folder.glob("events.out.tfevents.*"):
            if old.name.endswith(suffix):
                old.unlink()
        return SummaryWriter(str(folder), filename_suffix=suffix)

    def _hparams(self, row: Mapping[str, Any]) -> tuple[Summary, Summary, Summary]:
        """The three HParams summaries: every parameter of the question is declared, every time.

        A choice that is not active is written as '—', an option like the others. A number that is not active is left
        out of the session, though declared: the plugin cannot serve NaN, nor sort a word in a column of numbers.
        """
        declared: dict[str, Any] = {"arm": "", "method": "", "ended": ""}
        domains: dict[str, list[Any]] = {
            "arm": [*(a.name for a in self.space.arms), CONTROL],
            "method": [*dict.fromkeys(a.method for a in self.space.arms), "none"],
            "ended": list(_ENDED.values()),
        }
        present: dict[str, Any] = {"arm": str(row["arm"]), "method": str(row["method"])}
        present["ended"] = _ENDED.get(row.get("state") or "", NONE)
        for name, parameter in self.space.parameters().items():
            value = row.get(f"param_{name}")
            options = list(parameter.branches) if isinstance(parameter, Choice) else []
            if options and not all(isinstance(o, int | float) and not isinstance(o, bool) for o in options):
                declared[name], domains[name] = "", [*map(str, options), NONE]
                present[name] = NONE if value is None else str(value)
                continue
            declared[name] = 0.0
            if options:
                domains[name] = [float(str(o)) for o in options]
            if value is not None:
                present[name] = float(value)
        experiment, _, _ = hparams(declared, dict.fromkeys(self.metrics, 0.0), domains)
        _, start, end = hparams(present, {})
        return self._described(experiment), start, _ended(end, row.get("state"))

    def _described(self, experiment: Summary) -> Summary:
        """The experiment with each parameter's range and help, and each metric's meaning: torch writes neither."""
        parameters, figures = self.space.parameters(), {f.name: f for f in self.columns.fields}
        with _content(experiment) as content:
            for info in content.experiment.hparam_infos:
                parameter = parameters.get(info.name)
                if parameter is not None:
                    info.description = parameter.help
                if isinstance(parameter, Float | Int):
                    info.domain_interval.min_value, info.domain_interval.max_value = parameter.low, parameter.high
            for metric in content.experiment.metric_infos:
                if metric.name.tag in figures:
                    metric.description = figures[metric.name.tag].metadata[b"description"].decode()
        return experiment


class TensorBoard:
    """A run's board, given every replicate that ended with its pictures, and the figures of the whole sweep at the end."""

    name = "TensorBoard"

    def __init__(self, run_dir: Path, space: SearchSpace, store: Store) -> None:
        self.run_dir, self.store, self.board = run_dir, store, Board(run_dir, space)

    def take(self, ended: Ended) -> None:
        """In place of what was there of it."""
        trial_id, replicate = ended.job.spec.trial_id, ended.job.spec.replicate
        if replicate:
            self.board.replicate(trial_id, replicate, ended.job.curves)
        else:
            self.board.trial(ended.row, ended.job.curves, self._grids(ended))

    def finish(self) -> None:
        sweep = read_sweep(self.run_dir)
        members = [trial for arm in sweep.arms.values() for trial in arm.confirmed_members]
        for trial in (*members, *sweep.controls.values()):
            if trial.confirmed:
                self.board.confirmed(trial.trial_id, {name: mean_of.mean for name, mean_of in trial.confirmed.items()})
        self.board.figure("front", front_figure(sweep))
        for tag, figure in curve_figures(sweep):
            self.board.figure(tag, figure)
        self.board.close()

    def _grids(self, ended: Ended) -> Iterator[tuple[str, np.ndarray, int]]:
        """(tag, images, step) of the pictures that are in the store."""
        traces = self.board.procedure.traces()
        for key, tag, step in traces.pictures(self.board.space, ended.job.figures, ended.job.curves):
            artifact = self.store.find(key)
            for condition, images in (artifact.tensors() if artifact else {}).items():
                yield f"{tag}/{condition}", images, step


def curve_figures(sweep: Sweep) -> Iterator[tuple[str, Figure]]:
    """The figures of curves that the page draws of a run, each with its tag: one with all of them in panels."""
    for tag in sweep.procedure.traces().figures():
        yield tag, curves_figure(sweep)


def _add_scalars(writer: SummaryWriter, points: Iterable[tuple[str, int, float]]) -> None:
    """Points (tag, step, value), in one event a step: an event each costs a driver more than all else of a trial's scalars."""
    values: dict[int, list[Summary.Value]] = {}
    for tag, step, value in sorted(points):
        values.setdefault(step, []).extend(scalar(tag, value).value)
    for step in sorted(values):
        writer._get_file_writer().add_summary(Summary(value=values[step]), step)  # type: ignore[no-untyped-call]


def _add_grid(writer: SummaryWriter, tag: str, images: np.ndarray, step: int) -> None:
    """As `add_image`, but a grey grid stays grey and none is resampled to its own size, which takes as long as all the rest."""
    grid, png = image_grid(images), io.BytesIO()
    Image.fromarray(grid).save(png, format="PNG")
    height, width = grid.shape[:2]
    colours = 1 if grid.ndim == 2 else 3
    image = Summary.Image(height=height, width=width, colorspace=colours, encoded_image_string=png.getvalue())
    summary = Summary(value=[Summary.Value(tag=tag, image=image)])
    writer._get_file_writer().add_summary(summary, step)  # type: ignore[no-untyped-call]


def _ended(end: Summary, state: str | None) -> Summary:
    """The session's end with the trial's own state: torch writes success whatever happened."""
    word = {FAIL: "STATUS_FAILURE", RUNNING: "STATUS_RUNNING"}.get(state or "", "STATUS_SUCCESS")
    with _content(end) as content:
        content.session_end_info.status = Status.Value(word)
    return end


@contextmanager
def _content(summary: Summary) -> Iterator[HParamsPluginData]:
    """What a summary tells the HParams plugin, to be changed within the block."""
    metadata = summary.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(metadata.content)
    yield content
    metadata.content = content.SerializeToString()
