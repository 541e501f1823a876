"""The noise schedule a model was trained on, as plain values: what x_t means at every t."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffusers import DDIMScheduler

BETA_SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2")
SPACINGS = ("leading", "trailing", "linspace")
EPSILON, VELOCITY = PREDICTIONS = ("epsilon", "v_prediction")
_REFUSED = ("thresholding", "rescale_betas_zero_snr", "use_flow_sigmas")  # each changes what ε or x_t is


@dataclass(frozen=True)
class NoiseSchedule:
    """β_1 … β_T and how DDIM steps through them; the fields are `diffusers.DDIMScheduler`'s, whose defaults these are.

    `trained_betas`, where there are any, stand for the β that the other three fields describe. `prediction_type` says what a
    network's output is: the noise ε, or the velocity v = √ᾱ_t ε - √(1 - ᾱ_t) x (Salimans & Ho 2022, arXiv 2202.00512).
    """

    num_train_timesteps: int = 1000
    beta_schedule: str = "linear"
    beta_start: float = 1e-4
    beta_end: float = 0.02
    trained_betas: tuple[float, ...] = ()
    clip_sample: bool = True
    clip_sample_range: float = 1.0
    set_alpha_to_one: bool = True
    steps_offset: int = 0
    timestep_spacing: str = "leading"
    prediction_type: str = EPSILON

    def __post_init__(self) -> None:
        if self.beta_schedule not in BETA_SCHEDULES and not self.trained_betas:
            raise ValueError(f"beta_schedule {self.beta_schedule!r} is none of {', '.join(BETA_SCHEDULES)}")
        timesteps: Any = self.num_train_timesteps
        is_number = isinstance(timesteps, int | float) and not isinstance(timesteps, bool)
        if not is_number or timesteps != int(timesteps):
            raise ValueError(f"num_train_timesteps must be a whole number, not {self.num_train_timesteps!r}")
        object.__setattr__(self, "num_train_timesteps", int(self.num_train_timesteps))
        if self.num_train_timesteps < 1:
            raise ValueError(f"num_train_timesteps must be at least 1, not {self.num_train_timesteps}")
        if self.timestep_spacing not in SPACINGS:
            raise ValueError(f"timestep_spacing {self.timestep_spacing!r} is none of {', '.join(SPACINGS)}")
        if self.prediction_type not in PREDICTIONS:
            raise ValueError(
                f"prediction_type {self.prediction_type!r}: only models that predict {' or '.join(PREDICTIONS)} can be taken"
            )
        betas = self.trained_betas or (self.beta_start, self.beta_end)
        if not all(isinstance(beta, int | float) and 0 <= beta < 1 for beta in betas):
            raise ValueError(f"each β must be a number from 0 and below 1, not {list(betas)[:3]}")
        if self.trained_betas and len(self.trained_betas) != self.num_train_timesteps:
            raise ValueError(
                f"{len(self.trained_betas)} trained_betas for {self.num_train_timesteps} training timesteps; one each is asked for"
            )

    def scheduler(self) -> DDIMScheduler:
        """The schedule as diffusers' object: models are trained by its `add_noise` and sampled by its `step`."""
        from diffusers import DDIMScheduler

        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return DDIMScheduler(**values | {"trained_betas": list(self.trained_betas) or None})


def schedule_from(config: Mapping[str, Any]) -> NoiseSchedule:
    """The schedule a pipeline's ``scheduler_config.json`` describes, whatever sampler wrote it.

    ValueError unless it is a schedule of β for a model that predicts ε or v, which the file says: a name never does. DDPM's
    defaults are DDIM's wherever a file leaves a value out. Where another sampler's file says what DDIM's last step is to do
    (``set_alpha_to_one``), as those of Stable Diffusion do, DDIM steps as it does in diffusers when it is made of that file. How
    other samplers spread their steps says nothing of training: there DDIM's own defaults stand. They stand for ``linspace``
    too: timesteps of that spacing are further apart than diffusers' DDIM step goes, and samples come out wrong.
    """
    name = config.get("_class_name", "its scheduler")
    if "beta_schedule" not in config and not config.get("trained_betas"):
        raise ValueError(f"{name} has no beta_schedule: only models trained on a schedule of β can be taken")
    for refused in _REFUSED:
        if config.get(refused):
            raise ValueError(f"{name} sets {refused}, which no loss or sampler here knows")
    values = {n: config[n] for n in NoiseSchedule.__dataclass_fields__ if config.get(n) is not None}
    ddpm = name in ("DDIMScheduler", "DDPMScheduler")
    if not ddpm and "set_alpha_to_one" not in config:
        values = {n: v for n, v in values.items() if n not in ("steps_offset", "timestep_spacing", "set_alpha_to_one")}
    if values.get("timestep_spacing") == "linspace":
        del values["timestep_spacing"]
    values["clip_sample"] = bool(config.get("clip_sample", ddpm))
    return NoiseSchedule(**values | {"trained_betas": tuple(config.get("trained_betas") or ())})
