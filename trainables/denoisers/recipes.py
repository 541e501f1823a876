"""How models are made, as plain values: those trained here, those trained elsewhere, and the judging classifier."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from trainables.data import Dataset
from trainables.sampling.noise_schedule import NoiseSchedule

if TYPE_CHECKING:
    from diffusers import DDIMScheduler

UNET, DIT = "unet", "transformer"  # kinds of pipeline, called as the folders of their denoisers are, …
SD, SDXL = (
    "stable_diffusion",
    "stable_diffusion_xl",
)  # … and those that are told prompts, whose denoisers are in ``unet``


class Recipe(Protocol):
    """What losses must know of how a base model was trained, here or elsewhere."""

    @property
    def batch(self) -> int: ...
    @property
    def label_dropout(self) -> float: ...
    def noise_schedule(self) -> DDIMScheduler: ...


@dataclass(frozen=True)
class BaseModel:
    """Architecture and training recipe of a base model; the retrain control θ* shares both.

    Condition number `conditions` (one past the last) is the null condition, learned by label dropout as in
    classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598).
    """

    channels: tuple[int, ...] = (16, 32)
    layers_per_block: int = 1
    norm_groups: int = 8
    train_steps: int = 1300
    batch: int = 64
    learning_rate: float = 1e-2
    ema_decay: float = 0.995
    label_dropout: float = 0.1
    beta_schedule: str = "linear"
    attention_below: int = 0  # self-attention at feature maps no wider than this; 0: in the middle block alone

    def config(self, dataset: Dataset) -> dict[str, Any]:
        """Arguments of `UNet2DModel` for a data set's shape and number of conditions."""
        channels, height, _ = dataset.shape
        blocks = len(self.channels)
        kinds = ["Attn" if height >> i <= self.attention_below else "" for i in range(blocks)]
        return {
            "sample_size": height,
            "in_channels": channels,
            "out_channels": channels,
            "layers_per_block": self.layers_per_block,
            "block_out_channels": list(self.channels),
            "down_block_types": [f"{kind}DownBlock2D" for kind in kinds],
            "up_block_types": [f"{kind}UpBlock2D" for kind in reversed(kinds)],
            "norm_num_groups": self.norm_groups,
            "num_class_embeds": None if dataset.unconditional or dataset.attributes else dataset.conditions + 1,
        }

    @property
    def schedule(self) -> NoiseSchedule:
        return NoiseSchedule(beta_schedule=self.beta_schedule)

    def noise_schedule(self) -> DDIMScheduler:
        return self.schedule.scheduler()

    origin: ClassVar[str] = "trained"  # a name of trainables.relearning.origins

    @property
    def identity(self) -> dict[str, Any]:
        """What of it determines a product: everything."""
        return asdict(self)


_OF_NO_PRODUCT = ("source", "folder", "commit", "notes")


@dataclass(frozen=True)
class Pretrained:
    """A base model (or a control, or someone's unlearned model) that was trained elsewhere: a diffusers pipeline.

    `digest` is the SHA-256 of the files it is made of, wherever they came from. `shape` (C, H, W) is
    what the denoiser takes and `image_shape` what it stands for: another shape means latents of the pipeline's VAE.
    `classes` are the rows of its class embedding, the null row included where `null` says that there is one; 0 of an
    unconditional model. `rows` names, for each condition of the data set, the pipeline's own class; empty: the same numbers.

    A text-to-image pipeline has no classes; its null condition is the empty prompt, for which SDXL is told zeros where it says
    so (`zeros_for_empty`). `text_digest` is the part of the digest that prompts' embeddings depend on. `notes` say of its files
    what a user may wonder about.
    """

    source: str  # the folder or hub id, as given
    folder: str  # where its files are on the machine that imports it
    kind: str
    shape: tuple[int, int, int]
    image_shape: tuple[int, int, int]
    classes: int
    null: bool
    schedule: NoiseSchedule
    digest: str = ""
    commit: str = ""  # of a hub id
    rows: tuple[int, ...] = ()
    batch: int = 128  # of whoever trains it further and has no batch of his own
    zeros_for_empty: bool = False
    text_digest: str = ""
    notes: tuple[str, ...] = ()

    @property
    def label_dropout(self) -> float:
        """How often the attacker's recipe drops a condition: .1 where the model knows a null condition, else never."""
        return 0.1 if self.null else 0.0

    @property
    def in_latents(self) -> bool:
        return self.kind != UNET

    @property
    def on_prompts(self) -> bool:
        """Whether its conditions are prompts."""
        return self.kind in (SD, SDXL)

    def noise_schedule(self) -> Any:
        return self.schedule.scheduler()

    origin: ClassVar[str] = "pretrained"  # a name of trainables.relearning.origins

    @property
    def identity(self) -> dict[str, Any]:
        """What of it determines a product: its files, what was read in them, and which of its classes are the data set's."""
        return {name: value for name, value in asdict(self).items() if name not in _OF_NO_PRODUCT}


@dataclass(frozen=True)
class ClassifierRecipe:
    """Width, training length and feature size; 32 features keep the Fréchet distance's bias small at N = 450.

    The defaults are for 8×8 images, `classifier_recipe_of_shape` has those for larger ones. With one of `halvings` two
    layers see an image whole; with more, one layer does and one follows each halving.
    """

    width: int = 32
    features: int = 32
    train_steps: int = 600
    batch: int = 128
    learning_rate: float = 5e-3
    noise: float = 0.1  # standard deviation added to pixels: samples are never as clean as data
    halvings: int = 1
    shift: int = 1  # pixels by which every second batch is moved at most, around the edge

    def __post_init__(self) -> None:
        if self.halvings < 1 or self.shift < 0:
            raise ValueError(f"halvings {self.halvings}, shift {self.shift}: must be at least 1, and at least 0")


def classifier_recipe(data: Dataset) -> ClassifierRecipe:
    """The recipe for a data set: that for its shape; for embedded prompts to 16 pixels, digits that are soon learned, a short one.

    On `digits_styled`, 600 steps with the small digits' noise and shifts: digits .994, styles 1.000 (held out, 2,160 images), in
    27 core-seconds; without these .990. On `fashion_mnist_styled`, 900 steps of the usual recipe: .929 and 1.000, in 41.
    """
    usual = classifier_recipe_of_shape(data.shape)
    if not data.prompts or data.files is not None or data.shape[1] > 16:
        return usual
    small = ClassifierRecipe()
    return replace(usual, train_steps=small.train_steps, noise=small.noise, shift=small.shift)


CLASSIFIER_SIDE = 64  # pixels: larger images are shrunk to it


def classifier_recipe_of_shape(shape: tuple[int, int, int]) -> ClassifierRecipe:
    """The recipe for images of this shape (C, H, W).

    Those above 8×8 pixels get more steps and halvings, less noise and no shifts: on Fashion-MNIST at 16×16, 600 steps gave
    .861 with the digits' noise and shifts, .870 with half the noise, .875 without shifts (held out, 10,000 images). This
    recipe: .906, in 100 core-seconds.
    """
    height = min(shape[1], CLASSIFIER_SIDE)
    if height <= 8:
        return ClassifierRecipe()
    return ClassifierRecipe(train_steps=2400, noise=0.05, shift=0, halvings=max(2, (height // 8).bit_length() - 1))
