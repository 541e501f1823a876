"""How the small text-to-image model is made, as plain values: its VAE, its CLIP and its U-Net, each trained here.

It is Stable Diffusion in small (Rombach et al. 2022, arXiv 2112.10752), of diffusers' and transformers' own classes: an
`AutoencoderKL`, a `CLIPTextModel` with its tokenizer, and a U-Net that cross-attends to the prompt's tokens; on request with
v-prediction (Salimans & Ho 2022, arXiv 2202.00512), or with SDXL's second text encoder and its pooled embedding (Podell et al.
2023, arXiv 2307.01952). Imports no torch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from trainables.data import Dataset
from trainables.sampling.noise_schedule import NoiseSchedule

if TYPE_CHECKING:
    from diffusers import DDIMScheduler

MOST_PIXELS = 32  # a side of the images that such a model is trained on here, …
PIXELS_OF = 8  # … and what it is a multiple of, as diffusers' pipelines ask
_TIME_NUMBERS = 6  # SDXL's sizes and crops of an image: height and width, twice, and where it was cropped


@dataclass(frozen=True)
class VaeRecipe:
    """Architecture and training of the VAE: every block of channels but the first halves an image's sides."""

    channels: tuple[int, ...] = (16, 32)
    layers_per_block: int = 1
    norm_groups: int = 8
    latent_channels: int = 4
    kl_weight: float = 1e-5  # of KL(q(z|x) ‖ N(0, 1)) beside the squared error, both means over elements
    train_steps: int = 800
    batch: int = 32
    learning_rate: float = 4e-3

    def config(self, shape: tuple[int, int, int]) -> dict[str, Any]:
        """Arguments of `AutoencoderKL` for images (C, H, W); its scaling factor is known once it is trained."""
        colours, height, _ = shape
        blocks = len(self.channels)
        return {
            "in_channels": colours,
            "out_channels": colours,
            "latent_channels": self.latent_channels,
            "block_out_channels": list(self.channels),
            "down_block_types": ["DownEncoderBlock2D"] * blocks,
            "up_block_types": ["UpDecoderBlock2D"] * blocks,
            "layers_per_block": self.layers_per_block,
            "norm_num_groups": self.norm_groups,
            "mid_block_add_attention": False,
            "sample_size": height,
        }

    def latents(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """(C, H, W) of the latents of images (C, H, W)."""
        smaller = 2 ** (len(self.channels) - 1)
        return self.latent_channels, shape[1] // smaller, shape[2] // smaller


@dataclass(frozen=True)
class ClipRecipe:
    """Architecture and training of a CLIP (Radford et al. 2021, arXiv 2103.00020): both towers are of one width and depth."""

    width: int = 64
    layers: int = 2
    heads: int = 4
    patch: int = 4  # pixels a side
    projection: int = 32  # where image and text meet
    positions: int = 16  # tokens of a prompt, its beginning and its end among them
    train_steps: int = 600
    batch: int = 128
    learning_rate: float = 2e-3


@dataclass(frozen=True)
class TextToImage:
    """A text-to-image base model that is trained here; its retrain control θ* shares all of it.

    θ* is a U-Net that was trained on the retain set alone. VAE, CLIP and tokenizer are θ₀'s own: they are no part of what
    unlearns, and whoever gives a model away gives them with it. With a `second_clip` the U-Net is told a prompt as SDXL's is.
    """

    vae: VaeRecipe = field(default_factory=VaeRecipe)
    clip: ClipRecipe = field(default_factory=ClipRecipe)
    second_clip: ClipRecipe | None = None
    prediction_type: str = "epsilon"
    channels: tuple[int, ...] = (32, 64)
    layers_per_block: int = 1
    heads: int = 4
    norm_groups: int = 8
    time_width: int = 8  # of each of SDXL's six numbers of an image's size and place
    train_steps: int = 1500
    batch: int = 64
    learning_rate: float = 4e-3
    ema_decay: float = 0.998
    label_dropout: float = 0.1  # how often a prompt is replaced by the empty one

    origin: ClassVar[str] = "text_to_image"  # a name of trainables.relearning.origins
    # How its images are drawn where nobody says otherwise; no part of how it is trained.
    sampling_steps: ClassVar[int] = 10
    guidance: ClassVar[float] = 5.0

    @property
    def clips(self) -> tuple[ClipRecipe, ...]:
        """The CLIPs whose text encoders the U-Net listens to, in the order in which their tokens' embeddings stand side by side."""
        return (self.clip,) if self.second_clip is None else (self.clip, self.second_clip)

    def shape(self, dataset: Dataset) -> tuple[int, int, int]:
        """(C, H, W) of the latents that it denoises."""
        return self.vae.latents(dataset.shape)

    def config(self, dataset: Dataset) -> dict[str, Any]:
        """Arguments of `UNet2DConditionModel` for a data set's shape: cross-attention at the smallest maps alone."""
        latents, height, _ = self.shape(dataset)
        plain = len(self.channels) - 1
        config = {
            "sample_size": height,
            "in_channels": latents,
            "out_channels": latents,
            "layers_per_block": self.layers_per_block,
            "block_out_channels": list(self.channels),
            "down_block_types": ["DownBlock2D"] * plain + ["CrossAttnDownBlock2D"],
            "up_block_types": ["CrossAttnUpBlock2D"] + ["UpBlock2D"] * plain,
            "norm_num_groups": self.norm_groups,
            "attention_head_dim": self.heads,  # diffusers' name of the number of heads
            "cross_attention_dim": sum(clip.width for clip in self.clips),
        }
        if self.second_clip is None:
            return config
        return config | {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": self.time_width,
            "projection_class_embeddings_input_dim": _TIME_NUMBERS * self.time_width + self.second_clip.projection,
        }

    @property
    def schedule(self) -> NoiseSchedule:
        """Stable Diffusion's own, β from .00085 to .012, and how its pipelines step through it."""
        return NoiseSchedule(
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
            prediction_type=self.prediction_type,
        )

    def noise_schedule(self) -> DDIMScheduler:
        return self.schedule.scheduler()

    @property
    def identity(self) -> dict[str, Any]:
        """What of it determines a product: everything."""
        return asdict(self)


def text_to_image_from(values: dict[str, Any]) -> TextToImage:
    """The recipe of its `identity`, as JSON gives it back."""
    vae = VaeRecipe(**{**values["vae"], "channels": tuple(values["vae"]["channels"])})
    second = values["second_clip"]
    parts = {"vae": vae, "clip": ClipRecipe(**values["clip"]), "second_clip": ClipRecipe(**second) if second else None}
    return TextToImage(**{**values, **parts, "channels": tuple(values["channels"])})
