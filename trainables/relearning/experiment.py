"""What all trials of a sweep share, and what one trial is: plain values that travel as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from trainables.data import Dataset, Splits, dataset
from trainables.denoisers.recipes import BaseModel, ClassifierRecipe, Pretrained
from trainables.denoisers.text_to_image import TextToImage, text_to_image_from
from trainables.forgetting import Forget, parse_forget
from trainables.sampling.noise_schedule import NoiseSchedule
from trainables.sampling.sampler import Sampler
from trainables.sampling.seeds import stream as stream  # for this room: its modules have it from here
from trainables.training.device import Device

if TYPE_CHECKING:
    from diffusers import DDIMScheduler


@dataclass(frozen=True)
class Samples:
    """How many images a score is over, for the forgotten condition and for each retained one."""

    forgotten: int = 128
    per_retained: int = 50


@dataclass(frozen=True)
class Experiment:
    """Data, what is forgotten, the models' recipes, how samples are drawn and judged, and where artifacts are."""

    store: str
    data: str = "digits"
    forget: str = "3"  # see trainables.forgetting
    base: BaseModel | TextToImage | Pretrained = field(default_factory=BaseModel)
    control: Pretrained | None = None  # θ* of a pretrained base model; one that is trained here has its own
    classifier: ClassifierRecipe = field(default_factory=ClassifierRecipe)
    base_seed: int = 0
    features: str = "classifier"
    weights_file: str = ""
    weights_sha256: str = ""
    sampling_steps: int = 10
    image_sampler: str = "ddim"  # a kind of trainables.sampling.sampler
    guidance: float = 1.0
    synthetic_per_condition: int = 64
    shadow_models: int = 0  # of the membership audit; 0: without it
    device_name: str = "cpu"
    data_folder: str = ""
    image_size: int = 0  # pixels a side; 0: the data set's own
    data_limit: int = 0  # images a split; 0: all
    data_skipped: tuple[str, ...] = ()  # pictures that are left out, by their names in data_folder
    judge: str = ""  # of trainables.judges, NAME or NAME:PLACE of its files; empty: that of the kind of forgetting
    judge_digest: str = ""  # of those files, taken once for all trials; see trainables.judges.digest_of
    data_fingerprint: str = ""  # of the files in data_folder, taken once for all trials; see Dataset.fingerprint
    precision: str = ""  # see trainables.training.device; empty: what is usual on the device
    checkpointing: bool = False  # likewise; decides no figure

    @property
    def dataset(self) -> Dataset:
        return dataset(self.data, self.data_folder, self.image_size, self.data_limit, self.data_skipped)

    def splits(self) -> Splits:
        """The data set's images; ValueError where its files are damaged, or no longer those of the fingerprint."""
        return self.dataset.load(self.data_fingerprint)

    @property
    def data_identity(self) -> dict[str, Any]:
        """Part of the key of all that images make: which ones they are, wherever they lie. ValueError without a fingerprint."""
        data = self.dataset
        if data.files is not None and not self.data_fingerprint:
            raise ValueError(
                f"{self.data}: files of a folder are told apart by their fingerprint; set data_fingerprint"
            )
        identity = {"name": self.data, "shape": list(data.shape), "limit": self.data_limit}
        if self.data_skipped:
            identity["skipped"] = list(self.data_skipped)
        return identity | {"fingerprint": self.data_fingerprint}

    @property
    def device(self) -> Device:
        return Device(self.device_name, self.precision, self.checkpointing)

    @property
    def device_kind(self) -> str:
        """Part of every artifact's key: a GPU in bf16 does not give a CPU's numbers."""
        return self.device.kind

    @property
    def forgetting(self) -> Forget:
        """What is forgotten; ValueError where the data set has no such thing."""
        return parse_forget(self.forget, self.dataset)

    @property
    def retained(self) -> list[int]:
        """The conditions that stay."""
        return list(self.forgetting.retained)

    @property
    def sampling(self) -> Sampler:
        return Sampler(self.image_sampler, self.sampling_steps, self.guidance)

    @property
    def sampler(self) -> str:
        return self.sampling.name

    def noise_schedule(self) -> DDIMScheduler:
        """The base model's, on which everything is trained, attacked and sampled: a new object every time."""
        return self.base.noise_schedule()

    def recipe(self, which: str) -> BaseModel | TextToImage | Pretrained:
        """How ``base``, ``retrain`` or a shadow model is made, or where it is from; ValueError where it cannot be had."""
        if which == "base" or not isinstance(self.base, Pretrained):
            return self.base
        if which != "retrain" or self.control is None:
            raise ValueError(f"model {which!r}: {self.without_control or 'a pretrained model has no shadow models'}")
        return self.control

    @property
    def null_condition(self) -> int:
        return self.dataset.conditions

    @property
    def model_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of what the denoiser takes: the images themselves, or latents of them."""
        if isinstance(self.base, TextToImage):
            return self.base.shape(self.dataset)
        return self.base.shape if isinstance(self.base, Pretrained) else self.dataset.shape

    @property
    def in_latents(self) -> bool:
        """Whether the denoiser takes a VAE's latents."""
        return isinstance(self.base, TextToImage) or (isinstance(self.base, Pretrained) and self.base.in_latents)

    @property
    def without_control(self) -> str | None:
        """Why there is no retrain control θ*; None where there is one."""
        if not isinstance(self.base, Pretrained) or self.control:
            return None
        return f"{self.base.source} was trained elsewhere, and no --retrain-control was given"


@dataclass(frozen=True)
class AttackPlan:
    """One attack of the suite; only those that `counts` enter robustness."""

    name: str
    method: str
    settings: dict[str, Any]
    counts: bool = True


@dataclass(frozen=True)
class Limit:
    """A constraint with its bound in numbers: `metric` ≤ `bound` if `at_most`, else ≥.

    `slack` ≥ 0 is how far beyond the bound a figure may surely lie before a gate stops the trial.
    """

    metric: str
    bound: float
    at_most: bool
    slack: float = 0.0


@dataclass(frozen=True)
class TrialSpec:
    """One replicate of one trial: from which model, by which method and settings, on which seed, attacked how.

    `method` ``none`` scores and attacks the `start` model as it is: ``base`` or ``retrain``, the controls, or the artifact
    key of an imported model (`trainables.relearning.products.imported`). Without `gate` limits, nothing is stopped early. After the
    attack, `attacked_per_retained` images of each retained condition are scored.
    """

    trial_id: str
    replicate: int
    experiment: Experiment
    method: str
    settings: dict[str, Any]
    seed: int
    attacks: tuple[AttackPlan, ...]
    rungs: tuple[int, ...]
    samples: Samples = field(default_factory=Samples)
    attacked_per_retained: int = 50
    start: str = "base"
    gate: tuple[Limit, ...] = ()
    fid_delta_sd: float = field(default=float("inf"))
    procedure: str = "relearning"

    def __post_init__(self) -> None:
        if self.rungs[:1] != (0,) or len(self.rungs) < 2 or list(self.rungs) != sorted(set(self.rungs)):
            raise ValueError(f"rungs {self.rungs} must rise from 0, with at least two of them")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TrialSpec:
        v = dict(values)
        v["experiment"] = experiment_from_json(v["experiment"])
        v["attacks"] = tuple(AttackPlan(**a) for a in v["attacks"])
        v["rungs"] = tuple(v["rungs"])
        v["samples"] = Samples(**v["samples"])
        v["gate"] = tuple(Limit(**g) for g in v["gate"])
        return cls(**v)


def experiment_from_json(values: dict[str, Any]) -> Experiment:
    v = dict(values)
    v["base"] = _base_from_json(v["base"])
    v["control"] = _base_from_json(v["control"]) if v["control"] else None
    v["classifier"] = ClassifierRecipe(**v["classifier"])
    v["data_skipped"] = tuple(v["data_skipped"])
    return Experiment(**v)


def _base_from_json(values: dict[str, Any]) -> Any:
    if "vae" in values:
        return text_to_image_from(values)
    if "source" not in values:
        return BaseModel(**{**values, "channels": tuple(values["channels"])})
    schedule = {**values["schedule"], "trained_betas": tuple(values["schedule"]["trained_betas"])}
    lists = {name: tuple(values.get(name, ())) for name in ("shape", "image_shape", "rows", "notes")}
    return Pretrained(**{**values, **lists, "schedule": NoiseSchedule(**schedule)})
