"""Other people's experiment trackers, off unless asked for: ``--mlflow [FOLDER|URI]`` and ``--wandb [PROJECT]``.

A logger is a view of the records, as the board of TensorBoard is: what it is given is read from them, every replicate of every
trial once, and a resumed sweep gives it what is missing and nothing twice. Where one fails, the sweep goes on and says so once.
Which loggers a run has is no part of its plan, for no figure depends on it; it is kept in ``RUN/loggers.json``.
"""

from __future__ import annotations

import argparse
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from sweep.errors import UsageError, need
from sweep.plan.credentials import secret_in
from sweep.records import read_json
from sweep.records.folder import write_json

if TYPE_CHECKING:  # what the loggers import is heavy, and only theirs
    from sweep.views.loggers.entries import Entry, Whole

CHOICE = "loggers.json"
OWN = "RUN"  # MLflow's store in the run folder, wherever that is
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_PARTS_OF_A_URI = "?%#"
_WANDB_REFUSES = "/\\#?%:"


@dataclass(frozen=True)
class Chosen:
    """What a run logs to. `mlflow`: a tracking URI, or OWN; `wandb`: a project; each empty where it is off.

    `id` is the run's own name there, made once: a run folder can be moved or renamed.
    """

    id: str
    mlflow: str = ""
    wandb: str = ""

    @property
    def names(self) -> list[str]:
        """The loggers that are on, by their libraries' names."""
        return [name for name in ("mlflow", "wandb") if getattr(self, name)]

    def uri(self, run_dir: Path) -> str:
        """Where MLflow's store is now."""
        return f"sqlite:///{_file_in(run_dir)}" if self.mlflow == OWN else self.mlflow

    def text(self, run_dir: Path) -> str:
        """Which are on and where they write, for the first lines of a run."""
        places = [f"MLflow at {self.uri(run_dir)}"] if self.mlflow else []
        return "; ".join([*places, *([f"Weights & Biases, offline, project {self.wandb}"] if self.wandb else [])])


class Logger(Protocol):
    """One tracker. Every call is made by one thread of its own."""

    def logged(self) -> set[str]:
        """Names of the replicates that are there whole; what is there in part is taken away."""

    def log(self, entry: Entry) -> None:
        """One replicate that ended, in place of what is there of it."""

    def close(self, whole: Whole) -> None:
        """What is to be said of the sweep as a whole, once it is over."""


def chosen(run_dir: Path) -> Chosen | None:
    """What the run logs to; None where it has no logger."""
    path = run_dir / CHOICE
    return Chosen(**read_json(path)) if path.exists() else None


def choose(run_dir: Path, mlflow: str | None, wandb: str | None, project: str) -> Chosen | None:
    """What a run will log to: what is asked for, and what it logged to before.

    `mlflow`, `wandb`: None where not asked for, "" for the usual place, which is the run folder and `project`. Raises UsageError
    where one cannot be used.
    """
    before = chosen(run_dir)
    if mlflow is None and wandb is None:
        choice = before
    else:
        old = before or Chosen(uuid.uuid4().hex)
        choice = Chosen(
            old.id,
            old.mlflow if mlflow is None else tracking_uri(mlflow),
            old.wandb if wandb is None else _project(wandb or project),
        )
    if mlflow is not None and choice is not None and choice.mlflow == OWN:
        _check_folder(run_dir)
    for name in choice.names if choice else ():
        need(name, name, f"--{name}: it")
    return choice


def keep(run_dir: Path, choice: Chosen | None) -> None:
    """Write what the run logs to into its folder."""
    if choice is not None:
        write_json(run_dir / CHOICE, asdict(choice))


def add_options(p: argparse.ArgumentParser) -> None:
    """The options that name them."""
    group = p.add_argument_group("loggers")
    group.add_argument(
        "--mlflow",
        nargs="?",
        const="",
        metavar="FOLDER|URI",
        help="log to MLflow too: to a SQLite file in a folder, or a tracking server (default place: the run folder)",
    )
    group.add_argument(
        "--wandb",
        nargs="?",
        const="",
        metavar="PROJECT",
        help="log to Weights & Biases too, offline, in the run folder (default project: the question's name)",
    )


def tracking_uri(given: str) -> str:
    """MLflow's name of the place: of a folder, a SQLite file in it; OWN where nothing is given.

    Raises UsageError for a place that MLflow has no store for, or a password that would be kept in the run folder.
    """
    if not given:
        return OWN
    if "://" not in given:
        _check_folder(Path(given))
        return f"sqlite:///{_file_in(Path(given))}"
    parts = urlsplit(given)
    if parts.scheme.partition("+")[0] not in (*_DATABASES, "http", "https"):
        raise UsageError(f"--mlflow {parts.scheme}://…: give a folder, an http(s) address or a database's URI")
    if secret_in(given):
        raise UsageError(
            "--mlflow: the URI holds a password, which the run folder would keep; set MLFLOW_TRACKING_PASSWORD instead"
        )
    return given


def _file_in(folder: Path) -> Path:
    return folder.absolute() / "mlflow.db"


def _check_folder(folder: Path) -> None:
    """UsageError for a folder whose name MLflow, which reads it as part of a URI, would take for another."""
    odd = [character for character in _PARTS_OF_A_URI if character in str(folder.absolute())]
    if odd:
        raise UsageError(
            f"--mlflow {folder.absolute()}: MLflow reads {odd[0]} as part of a URI, and would write elsewhere; name a folder "
            f"without {' '.join(_PARTS_OF_A_URI)}"
        )


def _project(name: str) -> str:
    if not 0 < len(name) <= 128 or any(c in _WANDB_REFUSES for c in name):
        raise UsageError(f"--wandb {name}: a project has 1 to 128 characters, none of {' '.join(_WANDB_REFUSES)}")
    return name


def opener(name: str, choice: Chosen, run_dir: Path, plan: Mapping[str, object]) -> Callable[[], Logger]:
    """What opens a logger, once it is called by the logger's own thread: its library is imported then."""

    def open_mlflow() -> Logger:
        from sweep.views.loggers.to_mlflow import MlflowLogger

        if choice.mlflow == OWN:
            _check_folder(run_dir)  # which may have been moved or renamed
        return MlflowLogger(choice.uri(run_dir), choice.id, run_dir, plan)

    def open_wandb() -> Logger:
        from sweep.views.loggers.to_wandb import WandbLogger

        return WandbLogger(choice.wandb, choice.id, run_dir, plan)

    return {"mlflow": open_mlflow, "wandb": open_wandb}[name]
