"""What a sweep's or a track's trials are about: the data and what is forgotten, the base model, and how figures are sampled.

Every field is a flag of ``sweep.launch`` and ``sweep.track``, declared in `sweep.relearning.setup_flags`. What several of them
say together stands in the methods below. Imports no torch.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from sweep.errors import UsageError
from sweep.plan import data_files, flags
from sweep.plan.flags import Line, Words
from sweep.plan.place import Place
from sweep.relearning import fitting, memory, plan_words, protocols, targets, text_memory
from sweep.relearning.base_checks import check_base
from sweep.relearning.flag_values import AUTO
from sweep.relearning.held_settings import with_settings
from sweep.relearning.question import uses_budget
from sweep.relearning.setup_flags import RETAINED_OF_PROMPTS, SetupFlags
from sweep.space import Arm, SearchSpace
from trainables.data import Dataset, dataset
from trainables.data._unreadable import unreadable_pictures
from trainables.denoisers.pipelines import at_hand, read_pipeline
from trainables.denoisers.recipes import BaseModel
from trainables.denoisers.sizes import recipe_of_size, sizes_for
from trainables.denoisers.text_to_image import TextToImage
from trainables.forgetting import parse_forget, usual_forget
from trainables.sampling.sampler import Sampler

CALIBRATION_SEEDS = 5  # that the noise of fid_delta is measured over


def _budget_words(budget: float | str) -> str:
    if budget != AUTO:
        return str(budget)
    return f"auto: max(.25 × FID(θ₀), 2 × SD of fid_delta over {CALIBRATION_SEEDS} sampling seeds)"


@dataclass(frozen=True)
class Setup(SetupFlags):
    """What trials are about, from a sweep's or a track's command line."""

    headings: ClassVar[Mapping[str, Line]] = plan_words.HEADINGS

    @classmethod
    def asked(cls, values: dict[str, Any], tell: Callable[[str], None] = lambda _: None) -> Setup:
        """The setup of these values: what is to be forgotten in one spelling, and samples drawn as is usual for its data.

        A base model trained here has the size that fits its images, and that size's steps.
        """
        size, steps = values.get("base_size"), values.get("base_steps")
        if values.get("base") and (size or steps):
            raise UsageError("--base-size, --base-steps: are for a base model trained here; leave them out with --base")
        values = protocols.drawn_as_it_says(values)
        setup = cls(**{"forget": ""} | values).without_unreadable(tell).sized(size, steps)
        return setup.spelled().sampled(values.get("guidance"), values.get("samples_per_retained"))

    def without_unreadable(self, tell: Callable[[str], None]) -> Setup:
        """The setup that leaves out the pictures that cannot be read, if that is asked for; `tell` hears how far it is."""
        if not self.skip_unreadable:
            return self
        flags.check(self, only=("data", "data_limit"))

        def looked_at(pictures: int, of: int, unreadable: int) -> None:
            tell(f"--skip-unreadable: {pictures:,} of {of:,} pictures read, {unreadable:,} of them cannot be")

        try:
            skipped = unreadable_pictures(self.data, self.data_folder, self.data_limit, looked_at)
        except (ValueError, OSError) as error:
            raise UsageError(f"--skip-unreadable: --data {error}") from error
        return dataclasses.replace(self, data_skipped=skipped)

    def sized(self, size: str | None, steps: int | None) -> Setup:
        """The setup with the size of base model asked for, or the one that fits its images, and that size's own steps."""
        sized = dataclasses.replace(self, base_size=size or sizes_for(self.dataset())[0])
        flags.check(sized, only=("base_size",))
        usual = recipe_of_size(sized.base_size).train_steps
        return dataclasses.replace(sized, base_steps=usual if steps is None else steps)

    def spelled(self) -> Setup:
        """The setup with what is forgotten, if nobody said the usual, of prompts in the one spelling."""
        data = self.dataset()
        forget = self.forget or usual_forget(data)
        if data.prompts:
            try:
                forget = parse_forget(forget, data).text
            except ValueError as error:
                raise UsageError(f"--forget {error}") from error
        return dataclasses.replace(self, forget=forget)

    def sampled(self, guidance: float | None, per_retained: int | None) -> Setup:
        """The setup with the guidance and the images of each retained condition asked for, or those that are usual for its data.

        Prompts are guided as the text-to-image recipe says, and are many: of each only so many images that all of them together
        are some `RETAINED_OF_PROMPTS`.
        """
        data = self.dataset()
        usual_guidance, usual_number = Setup.guidance, Setup.samples_per_retained
        if data.prompts:
            usual_guidance = TextToImage.guidance
            usual_number = max(1, round(RETAINED_OF_PROMPTS / len(parse_forget(self.forget, data).retained)))
        return dataclasses.replace(
            self,
            guidance=usual_guidance if guidance is None else guidance,
            samples_per_retained=usual_number if per_retained is None else per_retained,
        )

    def base_recipe(self) -> BaseModel | TextToImage:
        """How the base model is made that is trained here."""
        return recipe_of_size(self.base_size, self.base_steps)

    @property
    def confirm_samples(self) -> tuple[int, int]:
        """(forgotten, per retained condition) of the confirm phase: N is larger where the reported figure is made."""
        return math.ceil(1.5 * self.samples_forgotten), 2 * self.samples_per_retained

    def drawn_by(self) -> Sampler:
        """How images are drawn; ValueError where they cannot be drawn so."""
        return Sampler(self.image_sampler, self.sampling_steps, self.guidance)

    def dataset(self) -> Dataset:
        """The data set; UsageError where there is none such, or its folder does not hold it."""
        flags.check(self, only=("data", "image_size", "data_limit"))
        try:
            return dataset(self.data, self.data_folder, self.image_size, self.data_limit, self.data_skipped)
        except (ValueError, OSError) as error:
            raise data_files.cannot_be_had(error) from error

    def fingerprinted(self) -> Setup:
        """The setup with the fingerprint of its data; UsageError where they are no longer those it was begun with."""
        recorded = self.data_fingerprint
        digest = data_files.fingerprint_of(self.data, self.data_folder, recorded, self.dataset().fingerprint)
        return dataclasses.replace(self, data_fingerprint=digest)

    def check(self) -> None:
        """UsageError where the data, what is forgotten, the base model, its control or how images are drawn cannot be."""
        flags.check(self)
        if self.fid_features == "inception":
            _check_file("--inception-weights", self.inception_weights)
        data = self.dataset()
        if self.samples_per_retained < 2 and not data.prompts:
            raise UsageError(
                f"--samples-per-retained {self.samples_per_retained}: must be at least 2; 1 is for prompts alone"
            )
        try:
            retained = parse_forget(self.forget, data).retained
        except ValueError as error:
            raise UsageError(f"--forget {error}") from error
        if self.samples_per_retained * len(retained) < 2:
            raise UsageError(
                f"--samples-per-retained {self.samples_per_retained}: FID is over all retained images, at least 2, and one "
                "prompt is retained; give at least 2"
            )
        try:
            self.drawn_by()
        except ValueError as error:
            raise UsageError(f"--image-sampler, --sampling-steps, --guidance: {error}") from None
        if self.guidance != 1 and data.unconditional:
            raise UsageError(f"--guidance {self.guidance:g}: {self.data} has no conditions to guide by; leave it out")
        check_base(self, data)
        protocols.check(self)

    def check_fits(self, space: SearchSpace, place: Place) -> None:
        """UsageError where the memory of this machine, or of the GPU planned for, cannot hold a trial, or as many at a time."""
        if (fit := self.fit(space, place)) is not None:
            fit.check()
            return
        needs = self._needs()
        if needs is not None:
            memory.check_fits(needs, (*space.search_attacks, *space.confirm_attacks), place)

    def fit(self, space: SearchSpace, place: Place) -> fitting.Fit | None:
        """Of a text-to-image pipeline, how its trials fit where they run."""
        data = self.dataset()
        forgetting = parse_forget(self.forget, data)
        retained = len(forgetting.retained)
        of_scores = ((self.samples_forgotten, self.samples_per_retained), self.confirm_samples)
        counted = bool(self.base_folder and data.prompts)
        return fitting.fit_of(
            self.base_folder,
            data,
            self.base_classes,
            max(forgotten + each * retained for forgotten, each in of_scores),
            self.guidance != 1,
            space,
            place,
            self.precision,
            len(forgetting.conditions),
            text_memory.judge_bytes(self.judge, data, forgetting.facet) if counted else 0,
        )

    def checkpoints(self, space: SearchSpace, place: Place) -> bool:
        """Whether trials use gradient checkpointing: as is asked, or where they would not fit without."""
        if place.checkpointing != AUTO:
            return place.checkpointing == "on"
        fit = self.fit(space, place)
        return self._uncounted() if fit is None else fit.how.checkpointing

    @cached_property
    def base_folder(self) -> str:
        """The folder that the pipeline can be read from now; empty without one, and of a hub's that is not fetched yet."""
        return at_hand(self.base, self.base_revision) if self.base else ""

    def _uncounted(self) -> bool:
        """Whether trials are of a text-to-image pipeline that nobody has counted: a hub's that is not fetched yet."""
        return bool(self.base and not self.base_folder and self.dataset().prompts)

    def _needs(self) -> memory.Needs | None:
        """What the base model takes of memory and disk."""
        if self.base and not self.base_folder:
            return None
        return memory.needs_of(self.dataset(), self.base_size, self.base_folder, self.base_classes)

    def _base_notes(self) -> tuple[str, ...]:
        """What of a pipeline's files is not what a user may think; of a hub's nobody knows before it is fetched."""
        return read_pipeline(self.base_folder).notes if self.base_folder else ()

    def question(self, space: SearchSpace) -> SearchSpace:
        """The question with the target that its attacks are searched on."""
        return targets.aimed(with_settings(space, self.held_settings), self.target)

    def recorded(self, space: SearchSpace) -> dict[str, Any]:
        """What ``plan.json`` says of the question's attacks."""
        return {
            "attacked": {a.name: {"method": a.method, "settings": dict(a.held)} for a in space.arms if a.attack},
            "attacks": {
                "search": [a.name for a in space.search_attacks],
                "confirm": [a.name for a in space.confirm_attacks],
            },
            "attack_settings": {a.name: dict(a.settings) for a in (*space.search_attacks, *space.confirm_attacks)},
            "weights_stay": self._weights_stay(space),
            "rungs": list(space.rungs),
            **({"protocol_facts": protocols.facts(self)} if self.protocol else {}),
        }

    def _weights_stay(self, space: SearchSpace) -> list[str]:
        """The attacks of the suites, by their names there, that move no weight of the model."""
        stay = plan_words.weightless_attacks()
        return sorted({a.name for a in (*space.search_attacks, *space.confirm_attacks) if a.method in stay})

    def arm_words(self, arm: Arm) -> str:
        """What an arm's trials do."""
        return f"attack {arm.attack} on {arm.method}" if arm.attack else f"method {arm.method}"

    def more_words(self, space: SearchSpace, place: Place) -> Iterator[tuple[Words, str]]:
        """What the printed plan says beside the flags' own words: of the data folder, the attacks, and samples to confirm by."""
        for note in self._base_notes():
            yield Words("base model"), note
        fit, needs = self.fit(space, place), self._needs()
        if fit is not None:
            yield Words("memory"), fit.text
            yield Words("time"), fit.time_text
        elif self._uncounted():
            how = ", with gradient checkpointing" if self.checkpoints(space, place) else ""
            yield Words("memory"), f"{self.base} is not fetched yet, so nobody has counted what its trials take{how}"
        elif needs is not None and needs.worth_telling:
            yield Words("memory"), needs.text
        attacked = targets.describe(space)
        if attacked:
            yield Words("target"), attacked
        rungs = f"scored after {list(space.rungs)} steps"
        if uses_budget(space):
            yield Words("FID budget"), f"{_budget_words(self.fid_budget)}; features: {self.fid_features}"
        else:
            idle = "" if self.fid_budget == AUTO else "; --fid-budget: no bound of the question is the FID budget"
            yield Words("FID"), f"features: {self.fid_features}{idle}"
        searched = plan_words.suite_text(space, space.search_attacks)
        yield Words("attacks"), f"{searched}; {rungs}" if space.search_attacks else searched
        confirmed = plan_words.suite_text(space, space.confirm_attacks)
        yield Words("confirm attacks"), confirmed if space.search_attacks else f"{confirmed}; {rungs}"
        for heading, text in plan_words.folder_facts(self.dataset()):
            yield Words(heading), text
        forgotten, retained = self.confirm_samples
        yield Words("confirm", joined=", "), f"{forgotten} and {retained} samples"


def _check_file(option: str, path: str) -> None:
    if not path:
        raise UsageError(f"{option}: needed with --fid-features inception; give the path of inception-2015-12-05.pt")
    if not Path(path).is_file():
        raise UsageError(f"{option} {path}: no such file")
