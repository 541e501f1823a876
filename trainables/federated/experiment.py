"""What all trials of a sweep share, and what one trial is: plain values that travel as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from trainables.federated.accounting import check_delta, default_delta
from trainables.federated.audits.canaries import MOST
from trainables.federated.recipes import Recipe, recipe
from trainables.federated.sources import Source, source
from trainables.training.device import Device

REAL = "real"  # in a synthesizer's place: private rows themselves, which no synthesizer could be better than
ROUNDS = 4  # looks at a training, the last one at its end


@dataclass(frozen=True)
class Experiment:
    """Rows, who holds what of them, δ, canaries, and where artifacts are.

    `data_fingerprint` tells the files of a folder apart, taken once for all trials. `delta` 0 is that of the rows' number.
    """

    store: str
    data: str = "digits"
    data_folder: str = ""
    image_size: int = 0
    data_limit: int = 0
    data_fingerprint: str = ""
    split: str = ""  # of trainables.federated.sources; empty: as is usual of the data
    held: tuple[str, ...] = ()  # NAME=COLUMN,COLUMN,… of a table's parties
    delta: float = 0.0
    canaries: str = "rows"  # a kind of trainables.federated.audits.canaries
    most_canaries: int = MOST
    base_seed: int = 0  # of what all trials share
    device_name: str = "cpu"

    @property
    def source(self) -> Source:
        """ValueError where the rows cannot be had, or cannot be divided so."""
        return source(self.data, self.data_folder, self.image_size, self.data_limit, self.split, self.held)

    @property
    def data_identity(self) -> dict[str, Any]:
        """Part of the key of all that rows make: which ones they are, wherever they lie. ValueError without a fingerprint."""
        described = self.source
        on_disk = bool(self.data_folder) or (described.dataset is not None and described.dataset.files is not None)
        if on_disk and not self.data_fingerprint:
            raise ValueError(
                f"{self.data}: files of a folder are told apart by their fingerprint; set data_fingerprint"
            )
        identity = {"name": self.data, "limit": self.data_limit, "fingerprint": self.data_fingerprint}
        return identity | {"shape": list(described.shape or ()), "width": described.parties.width}

    @property
    def parties_identity(self) -> list[list[Any]]:
        """Part of the key of what parties make apart: who holds which places."""
        return [[party.name, list(party.places)] for party in self.source.parties.members]

    @property
    def device(self) -> Device:
        return Device(self.device_name)

    @property
    def device_kind(self) -> str:
        """Part of every artifact's key: a GPU does not give a CPU's numbers."""
        return "cuda" if self.device.on_gpu else "cpu"

    def delta_of(self, rows: int) -> float:
        """δ for so many private rows. ValueError where that is not below 1 / N."""
        delta = self.delta or default_delta(rows)
        check_delta(delta, rows)
        return delta


@dataclass(frozen=True)
class TrialSpec:
    """One replicate of a trial: which synthesizer, by which settings, on which seed.

    `method` is the synthesizer's name, or ``none`` of a control, which `synthesizer` names: a synthesizer, or ``real``. So many
    rows are synthesised as `samples` says.
    """

    trial_id: str
    replicate: int
    experiment: Experiment
    method: str
    settings: dict[str, Any]
    seed: int
    samples: int = 1000
    synthesizer: str = ""
    procedure: str = "federated"

    @property
    def recipe(self) -> Recipe:
        """How it is trained; ValueError for a setting that is none, or of real rows, which are not trained."""
        return recipe(self.synthesizer or self.method, self.settings)

    @property
    def trained(self) -> bool:
        return self.synthesizer != REAL

    @property
    def rounds(self) -> tuple[int, ...]:
        """The critic steps at which a training is looked at."""
        steps = self.recipe.schedule.steps
        return tuple(sorted({-(-steps * look // ROUNDS) for look in range(1, ROUNDS + 1)}))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TrialSpec:
        shared = dict(values["experiment"])
        return cls(**{**values, "experiment": Experiment(**{**shared, "held": tuple(shared["held"])})})
