"""A trial's settings, flat as a question searches them, and the nets, schedule and mechanism that they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from trainables.federated.mechanisms import MECHANISMS, Plan
from trainables.federated.parties import Parties
from trainables.federated.synthesizers import SYNTHESIZERS, Synthesizer, SynthesizerSettings
from trainables.federated.training import Schedule

NOISE = "noise_multiplier"
MECHANISM, TARGET = "mechanism", "target_epsilon"  # settings of the trial itself: how ε is spent, and how much of it


@dataclass(frozen=True)
class Sizes:
    """Nets by as few numbers as a question searches: a generator's hidden layers double from `generator_width`."""

    generator_width: int = 64
    generator_depth: int = 3
    critic_width: int = 128  # of a local critic's hidden layer
    features: int = 64  # what a local critic gives; the server's hidden layer is as wide

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < 1:
                raise ValueError(f"{name} {value}: must be at least 1")

    @property
    def nets(self) -> dict[str, Any]:
        """As `trainables.federated.networks.Networks` has them."""
        return {
            "generator": tuple(self.generator_width * 2**layer for layer in range(self.generator_depth)),
            "critic": (self.critic_width,),
            "features": self.features,
            "server": (self.features,),
        }


@dataclass(frozen=True)
class Recipe:
    """How a synthesizer is made and trained. `mechanism_values` lack the noise, which is found for `target_epsilon`."""

    synthesizer: str
    settings: SynthesizerSettings
    schedule: Schedule
    mechanism: str
    mechanism_values: Mapping[str, Any]
    target_epsilon: float | None

    @property
    def identity(self) -> dict[str, Any]:
        """Part of the key of what is trained so."""
        return {
            "synthesizer": self.synthesizer,
            "settings": asdict(self.settings),
            "schedule": asdict(self.schedule),
            "mechanism": self.mechanism,
            "mechanism values": dict(self.mechanism_values),
            "target epsilon": self.target_epsilon,
        }

    @property
    def modules(self) -> tuple[str, str]:
        """Whose code it is beside the training's."""
        return SYNTHESIZERS[self.synthesizer].module, MECHANISMS[self.mechanism].module

    def begin(self, parties: Parties, seed: int) -> Synthesizer:
        """The synthesizer before training."""
        return SYNTHESIZERS[self.synthesizer].begin(parties, self.settings, seed)

    def mechanism_settings(self, plan: Plan) -> Any:
        """The mechanism's settings, its noise found for the ε wanted. ValueError where no noise gives it."""
        member = MECHANISMS[self.mechanism]
        if self.target_epsilon is None:
            return member.configure(self.mechanism_values)
        noise = member.calibrated(self.target_epsilon, plan)
        return member.configure({**self.mechanism_values, NOISE: noise})


def recipe(synthesizer: str, values: Mapping[str, Any]) -> Recipe:
    """The recipe of flat settings, those that are missing by their defaults. ValueError names a setting that is none, or its value.

    Which settings there are depends on the synthesizer and on the `mechanism` among them (default: none).
    """
    member = SYNTHESIZERS[synthesizer]
    mechanism = str(values.get(MECHANISM, "none"))
    of_mechanism = _names(MECHANISMS[mechanism].settings) - {NOISE}
    noisy = NOISE in _names(MECHANISMS[mechanism].settings)
    of_sizes, of_schedule = _names(Sizes), _names(Schedule)
    replaced = {"generator", "critic", "server", "features"}
    of_nets = _names(member.settings) - replaced
    known = of_sizes | of_schedule | of_nets | of_mechanism | {MECHANISM} | ({TARGET} if noisy else set())
    for name in values:
        if name not in known:
            raise ValueError(
                f"synthesizer {synthesizer!r} with mechanism {mechanism!r} has no setting {name}; it has {', '.join(sorted(known))}"
            )
    if noisy and TARGET not in values:
        raise ValueError(f"mechanism {mechanism!r} adds noise for an epsilon that is wanted; set {TARGET}")
    sizes = Sizes(**_taken(values, of_sizes))
    mechanism_values = _taken(values, of_mechanism)
    MECHANISMS[mechanism].configure(mechanism_values)
    return Recipe(
        synthesizer,
        member.configure(sizes.nets | _taken(values, of_nets)),
        Schedule(**_taken(values, of_schedule)),
        mechanism,
        mechanism_values,
        float(values[TARGET]) if noisy else None,
    )


def _names(settings: type[Any]) -> set[str]:
    return {one.name for one in fields(settings)}


def _taken(values: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in names}
