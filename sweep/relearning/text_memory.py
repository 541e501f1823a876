"""What trials of a text-to-image base model take of memory: of each arm and each attack its largest trial, counted by its parts.

    needed    = weights + their gradients + twice as much for sums of them + activations, of a shared artifact that the method needs
    training  = weights + gradients + Adam's moments + average + what the method holds + activations
    beginning = weights in float32, once more those that train, and what the method takes to begin
    scoring   = weights + latents on their way + decoding; under attack the moments too
    kept      = the judge + VAE + tables of prompts + θ₀, where any method or attack of the plan asks for it

What is kept was left by an earlier trial or stage and goes to the next, so it is there at every moment; but what is needed is made
in a process of its own. Of a judge its weights count; the classifier that is trained here is too small to.

Trained weights take 4 bytes a number; frozen ones 2 where bf16 is computed in, and autocast then keeps 2 of each trained one.
Activations are counted on the meta device (`trainables.denoisers.unet_costs`), so that nothing runs and no GPU is needed: a plan
for a cluster's card is checked on a laptop. Imports torch only where something is counted.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sweep.errors import mistake_in
from sweep.relearning.memory import parameters_in
from sweep.space import Arm, Choice, SearchSpace, Value
from trainables.data import Dataset
from trainables.denoisers.layout import folder_of
from trainables.denoisers.parts import PARTS
from trainables.denoisers.pipelines import fitted, read_pipeline
from trainables.denoisers.recipes import Pretrained
from trainables.sampling.at_once import images_at_once, samples_at_once
from trainables.training.footprint import Footprint

NUMBER = 4  # bytes, in float32
OF_PROCESS = {False: 1.0e9, True: 1.6e9}  # on a CPU, whose libraries are in memory; on a GPU context and fragments
# Settings that decide how much a trial takes.
_LARGE = (
    "batch", "trained_parameters", "lora_rank", "ema_decay", "optimiser", "replacement", "replay", "projection",
    "meta_inner_batch", "meta_inner_trains", "meta_unrelated", "meta_unrelated_after", "forget_share", "attention_batch",
    "retain_batch", "retain_weight", "prior_weight", "discrete", "prefix", "prompts",
)  # fmt: skip


@dataclass(frozen=True)
class How:
    """How a trial is computed: on which device, in which precision, with gradient checkpointing or without."""

    on_gpu: bool = False
    half: bool = False
    checkpointing: bool = False


@dataclass(frozen=True)
class Run:
    """One kind of fine-tuning run of a plan: ``arm esd`` or ``attack dimra``, with its settings."""

    what: str
    method: str
    settings: Mapping[str, Value]
    attacks: bool = False

    @property
    def batch(self) -> int:
        """Images of a step; 0 where no gradient is taken."""
        counted = _counted(self)
        return 0 if counted is None else counted.images

    def step_images(self, forgotten: int) -> int:
        """Images of a step of all its passes, where so many prompts are forgotten; 0 where no gradient is taken."""
        counted = _counted(self)
        if counted is None or counted.attack is None or counted.attack.step_images is None:
            return self.batch
        return int(counted.attack.step_images(counted.settings, forgotten))


@dataclass(frozen=True)
class Counted:
    """What decides how much a run takes: its settings, what it says it holds, the shared artifacts it reads, and its attack."""

    settings: Any
    footprint: Footprint
    needs: int = 0
    attack: Any = None  # a `trainables.attacks.RegisteredAttack`

    @property
    def trains(self) -> str:
        """The choice of the U-Net's parameters that train; empty where none does."""
        return str(getattr(self.settings, "trained_parameters", ""))

    @property
    def rank(self) -> int:
        return int(getattr(self.settings, "lora_rank", 1))

    @property
    def asks_teacher(self) -> bool:
        """Whether θ₀'s predictions are asked for: by the method itself, or for an attacker's set of its images."""
        return self.footprint.teacher or "synthetic_forgotten" in getattr(self.settings, "auxiliaries", ())

    @property
    def images(self) -> int:
        """Of a step, those whose activations are kept together."""
        return int(self.footprint.images or self.settings.batch) if self.footprint.gradient else 0


@dataclass(frozen=True)
class Peak:
    """The most that a run takes at a time: bytes by part."""

    run: Run
    parts: Mapping[str, float]

    @property
    def bytes(self) -> float:
        return sum(self.parts.values())

    @property
    def text(self) -> str:
        """``arm esd: 18.8 GB (weights 5.2, gradients 3.4, …)``; what is below .1 GB is not told."""
        parts = ", ".join(f"{part} {size / 1e9:.1f}" for part, size in self.parts.items() if size >= 1e8)
        return f"{self.run.what} needs {self.bytes / 1e9:.1f} GB ({parts})"


def runs_of(space: SearchSpace) -> Iterator[Run]:
    """Every run of a question's trials that may be the largest: each arm at the ends of what decides it, and each attack."""
    for arm in space.arms:
        for values in _largest(arm):
            if arm.attack:
                yield Run(f"arm {arm.name}", arm.attack, values, attacks=True)
            else:
                yield Run(f"arm {arm.name}", arm.method, values)
        if arm.attack:
            yield Run(f"arm {arm.name}'s target", arm.method, arm.held)
    suite = {attack.name: attack for attack in (*space.confirm_attacks, *space.search_attacks)}
    for name, attack in suite.items():
        yield Run(f"attack {name}", attack.method, dict(attack.settings), attacks=True)


def _largest(arm: Arm) -> Iterator[dict[str, Value]]:
    """The arm's settings at every option, and the upper end of every range, of those that decide how much a trial takes."""
    deciding = {p.name: p for p in arm.walk() if p.name in _LARGE}
    ends = [list(p.branches) if isinstance(p, Choice) else [p.low, p.high] for p in deciding.values()]
    for values in itertools.product(*ends):
        yield dict(zip(deciding, values, strict=True))


@dataclass(frozen=True)
class TextModel:
    """A text-to-image pipeline by its files: what is counted of its U-Net, and of the VAE that its samples go through."""

    pretrained: Pretrained
    images: int  # of a score, those of what is forgotten and of what stays together
    guided: bool
    forgotten: int = 1  # prompts
    prompts: int = 1  # all of them
    judge: int = 0  # bytes of its weights

    @cached_property
    def config(self) -> dict[str, Any]:
        return _arguments(folder_of(Path(self.pretrained.folder), self.pretrained.kind))

    @cached_property
    def vae(self) -> dict[str, Any]:
        return _arguments(Path(self.pretrained.folder) / "vae")

    @cached_property
    def tokens(self) -> int:
        where = Path(self.pretrained.folder) / "tokenizer" / "tokenizer_config.json"
        return int(json.loads(where.read_text()).get("model_max_length", 77))

    @cached_property
    def encoders(self) -> int:
        """The numbers in all of its text encoders."""
        from trainables.denoisers.unet_costs import text_encoder_parameters

        parts = {n: part for n, part in PARTS[self.pretrained.kind].items() if n.startswith("text_encoder")}
        folder = Path(self.pretrained.folder)
        return sum(text_encoder_parameters(_arguments(folder / n), part.classes[0]) for n, part in parts.items())

    @property
    def vocabulary(self) -> int:
        """Tokens that its first text encoder knows; transformers leaves out of a file what is its own default."""
        return int(_arguments(Path(self.pretrained.folder) / "text_encoder").get("vocab_size", 49408))

    def costs(self, half: bool) -> Any:
        """What one image costs: a `trainables.denoisers.unet_costs.ForwardCosts`."""
        from trainables.denoisers.unet_costs import forward_costs

        return forward_costs(self.config, self.pretrained.shape, self.tokens, autocast=half)

    @property
    def parameters(self) -> int:
        from trainables.denoisers.unet_costs import weights

        return weights(self.config, "").parameters

    def kept(self, runs: Iterable[Run], how: How) -> dict[str, float]:
        """What a process keeps from one of these runs to the next, each being asked for once: bytes by part."""
        from trainables.denoisers.unet_costs import decoding_bytes, prompt_bytes, weights

        asked = [counted for run in runs if (counted := _counted(run)) is not None]
        teacher, exact = any(one.asks_teacher for one in asked), any(one.footprint.exact for one in asked)
        bases = [NUMBER * self.parameters] * (exact or (teacher and not how.half))
        bases += [weights(self.config, "", half=True).held] * (teacher and how.half)
        vae, _ = decoding_bytes(self.vae, self.pretrained.shape)
        table = (self.prompts + 1) * prompt_bytes(self.config, self.tokens)  # and the empty one, with every model
        parts = {"judge": self.judge, "VAE": vae, "prompts": table * (1 + len(bases)), "θ₀": sum(bases)}
        return {part: float(size) for part, size in parts.items() if size}

    def peak(self, run: Run, how: How, kept: Mapping[str, float] | None = None) -> Peak:
        """The largest of a run's moments, beside what is `kept` of a plan's runs; of this one alone, unless that is given."""
        counted = _counted(run)
        moments = [self._scored(run, how, {})]
        if counted is None:  # an edit in closed form, of the model in float32
            moments.append({"weights": NUMBER * self.parameters})
        else:
            moments += self._trained(run, how, counted)
        beside = self.kept([run], how) if kept is None else kept
        moments = [{**moment, **beside} for moment in moments]
        if counted is not None and counted.needs:
            moments.append(self._needed(how))
        largest = max(moments, key=lambda parts: sum(parts.values()))
        return Peak(run, largest | {"the process": OF_PROCESS[how.on_gpu]})

    def _needed(self, how: How) -> dict[str, float]:
        """A shared artifact as it is made: of every weight."""
        from trainables.denoisers.unet_costs import weights

        whole, costs = NUMBER * self.parameters, self.costs(how.half)
        casts = weights(self.config, "all", half=how.half).casts
        at_once = images_at_once(self.pretrained.shape, self.config["block_out_channels"][0])
        activations = at_once * (costs.checkpointed if how.checkpointing else costs.activations)
        made = {"weights": whole + casts, "gradients": whole, "shared artifacts": 2.0 * whole}
        return made | {"activations": activations}

    def _trained(self, run: Run, how: How, counted: Counted) -> Iterator[dict[str, float]]:
        from trainables.denoisers.unet_costs import weights

        settings, footprint = counted.settings, counted.footprint
        held = weights(self.config, counted.trains, counted.rank, how.half, footprint.moves)
        trained = self.encoders if footprint.trains_encoders else held.trained
        moved = weights(self.config, footprint.moves, counted.rank).trained if footprint.moves else trained
        whole = NUMBER * self.parameters
        beside: dict[str, float] = {}
        if counted.needs:
            beside["shared artifacts"] = counted.needs * whole
        if footprint.encoders or footprint.trains_encoders:
            beside["text encoders"] = NUMBER * self.encoders
        words = counted.attack.words_held(settings, self.forgotten, self.vocabulary) if counted.attack else 0
        if words:
            beside["words"] = NUMBER * words
        each = NUMBER * trained
        state = {"moments": 2.0 * each if getattr(settings, "optimiser", "adam") == "adam" else 0.0}
        if getattr(settings, "ema_decay", 0):
            state["average"] = each
        costs = self.costs(how.half)
        an_image = costs.checkpointed if how.checkpointing else costs.activations
        yield {
            "weights": held.held + held.casts,
            "gradients": each,
            **state,
            **beside,
            "what the method holds": footprint.copies * NUMBER * moved,
            "activations": counted.images * an_image,
        }
        yield {"weights": whole + each, **beside, "what the method begins with": footprint.begin * whole}
        yield {"weights": whole, **state, **beside}  # they are given back their exact numbers at the end
        if run.attacks:
            yield self._scored(run, how, {"weights": held.held, **state, **beside})
            # The gradient of every weight, one after the other, before any is lowered.
            plain = weights(self.config, "all", half=how.half)
            yield {"weights": whole + plain.casts, **beside, "activations": min(32, settings.batch) * an_image}

    def _scored(self, run: Run, how: How, state: Mapping[str, float]) -> dict[str, float]:
        """Drawing samples and decoding them; the model under attack has its optimiser beside it."""
        from trainables.denoisers.dit import vae_batch
        from trainables.denoisers.unet_costs import decoding_bytes, weights

        at_once = min(self.images, samples_at_once(self.pretrained.shape, self.config["block_out_channels"][0]))
        in_half = how.half and not self.vae.get(
            "force_upcast", True
        )  # which diffusers takes for true where nobody says
        _, an_image = decoding_bytes(self.vae, self.pretrained.shape, in_half)
        drawing = at_once * (2 if self.guided else 1) * self.costs(how.half).inference
        decoding = min(at_once, vae_batch(*self.pretrained.image_shape[1:])) * an_image
        held = weights(self.config, "", half=how.half).held
        return {"weights": held, "samples": max(drawing, decoding)} | dict(state)

    def disk(self, runs: list[Run]) -> float:
        """Bytes a trial leaves or needs at most: the unlearned weights that differ, and a checkpoint of what trains."""
        from trainables.denoisers.unet_costs import weights

        largest = 0.0
        for run in runs:
            counted = _counted(run)
            if counted is None:
                continue
            trained = delta = weights(self.config, counted.trains, counted.rank).trained
            if counted.footprint.trains_encoders:
                trained = delta = self.encoders
            elif counted.trains == "lora":
                delta = self.parameters
            elif not counted.trains and counted.footprint.moves:
                delta = weights(self.config, counted.footprint.moves).trained
            average = bool(getattr(counted.settings, "ema_decay", 0))
            largest = max(largest, NUMBER * ((0 if run.attacks else delta) + (3 + average) * trained))
        return largest


def text_model(
    source: str, data: Dataset, rows: tuple[int, ...], images: int, guided: bool, forgotten: int = 1, judge: int = 0
) -> TextModel | None:
    """The pipeline at a folder that is told prompts; None of any other, and where there is none yet."""
    if not source or not data.prompts:
        return None
    pretrained = fitted(read_pipeline(source, rows=rows), data)
    model = TextModel(pretrained, images, guided, forgotten, len(data.prompts), judge)
    return model if pretrained.on_prompts else None


def judge_bytes(judge: str, data: Dataset, facet: str) -> int:
    """What a judge's own weights take, in float32, by the headers of its files; UsageError where they cannot be read."""
    from trainables.judges import reader_of

    with mistake_in(f"--judge {judge}"):
        reader = reader_of(judge, data, facet)
        files = list(reader.files.values()) if reader else []
    return NUMBER * sum(parameters_in(file) for file in files if file.suffix == ".safetensors")


def _counted(run: Run) -> Counted | None:
    """What is counted of a run; None of an edit in closed form, where no step is taken. UsageError where it refuses a setting."""
    from trainables.attacks import ATTACKS
    from trainables.unlearning import METHODS

    if run.attacks:
        attack = ATTACKS[run.method]
        with mistake_in(run.what):
            settings = attack.configure(run.settings)
        return Counted(settings, attack.footprint(settings), attack=attack)
    method = METHODS[run.method]
    if method.closed_form:
        return None
    with mistake_in(run.what):
        asked = method.configure(run.settings)
    return Counted(asked, method.footprint(asked), len(method.needs))


def _arguments(folder: Path) -> dict[str, Any]:
    """Of a model's ``config.json`` what its class is made with."""
    return {name: value for name, value in json.loads((folder / "config.json").read_text()).items() if name[0] != "_"}
