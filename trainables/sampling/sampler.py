"""How samples are drawn from a model: which deterministic sampler, in how many steps, guided how strongly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainables.sampling.noise_schedule import NoiseSchedule

LEAST_START = 0.8  # of the timestep that evenly spread steps would begin at
KINDS = {"ddim": "ddim", "dpm-solver++": "dpmsolver++"}  # the kind, and what records call it


@dataclass(frozen=True)
class Sampler:
    """``ddim`` (Song et al. 2021, arXiv 2010.02502, η = 0) or ``dpm-solver++`` (Lu et al. 2022, arXiv 2211.01095).

    `guidance` is w of classifier-free guidance, ε_∅ + w (ε_c - ε_∅) (Ho & Salimans 2022, arXiv 2207.12598); 1 is without.
    """

    kind: str = "ddim"
    steps: int = 10
    guidance: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"sampler {self.kind!r} is none of {', '.join(KINDS)}")
        if not 1 <= self.steps <= 1000:
            raise ValueError(f"sampling steps must be from 1 to 1000, not {self.steps}")
        if not 0 <= self.guidance < float("inf"):
            raise ValueError(f"guidance must be 0 or a positive, finite weight, not {self.guidance:g}")

    @property
    def name(self) -> str:
        """What records and keys say: ``ddim-10``, ``dpmsolver++-10``, ``ddim-10-cfg2``."""
        guided = "" if self.guidance == 1 else f"-cfg{self.guidance:g}"
        return f"{KINDS[self.kind]}-{self.steps}{guided}"

    def check(self, schedule: NoiseSchedule) -> None:
        """ValueError where the schedule has no such steps, or where DDIM's begin far below the noise that x_T is.

        Spaced "leading", n steps are T // n timesteps apart, and what of T is left over is left out where the noise is
        strongest: of T = 1000, 501 steps begin at t = 500, on images that are half as noisy as what is drawn.
        """
        horizon, apart = schedule.num_train_timesteps, schedule.num_train_timesteps // self.steps
        if not apart:
            raise ValueError(f"{self.steps} steps of a schedule of {horizon}: take {horizon} or fewer")
        if self.kind != "ddim" or schedule.timestep_spacing != "leading":
            return
        first = apart * (self.steps - 1) + schedule.steps_offset
        if first >= horizon:
            raise ValueError(
                f"{self.steps} steps begin at t = {first} of a schedule of {horizon}: take {self.steps - 1}"
            )
        if first < LEAST_START * (horizon - horizon / self.steps):
            raise ValueError(
                f"{self.steps} steps begin at t = {first} of {horizon}, far below the noise that images are drawn from: "
                f"take {horizon // (apart + 1)}"
            )

    def scheduler(self, schedule: Any) -> Any:
        """diffusers' sampler of this kind on a model's DDIM scheduler, its steps set and its history empty.

        DPM-Solver++ is the second-order multistep one. Its steps are spread over the whole of the schedule ("linspace"),
        whatever the model's DDIM spacing is: "leading" would begin it well below the noise that x_T is.
        """
        from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

        if self.kind == "ddim":
            sampler = DDIMScheduler.from_config(schedule.config)
        else:
            sampler = DPMSolverMultistepScheduler.from_config(
                schedule.config, algorithm_type="dpmsolver++", solver_order=2, timestep_spacing="linspace"
            )
        sampler.set_timesteps(self.steps)
        return sampler
