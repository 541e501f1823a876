"""What a sweep and a track plan alike: where the run lies and where it runs, its first seed, and what its trials are about."""

from __future__ import annotations

import dataclasses
from dataclasses import MISSING, dataclass, field
from typing import Any, Generic

from sweep.plan import members as outside
from sweep.plan.flags import QUESTION, WHERE, Words, flag
from sweep.plan.paths import absolute
from sweep.plan.place import Place
from sweep.procedures.setup import OtherT, SetupT

SEEDS_A_SWEEP = 1000


def _seed_wrong(seed: int) -> str:
    return "" if 0 <= seed < 2**31 else f"must be from 0 to {2**31 - 1}"


@dataclass(frozen=True)
class RunPlan(Generic[SetupT]):
    """The part of a plan that every run has, whatever is done in it; the place decides none of its figures."""

    run_dir: str = flag(
        MISSING,
        "--run-dir",
        "the run folder (default: NAME-DATE-TIME, in --storage if a folder; NAME is the question's, or track)",
        WHERE,
        metavar="DIR",
        words=Words("run"),
    )
    artifacts: str = flag(
        MISSING,
        "--artifacts",
        "artifact store (default: artifacts, in --storage); beside --resume, where it lies now",
        WHERE,
        ungiven="",
        metavar="DIR|URI",
        read=lambda place: place and absolute(place),
        words=Words("artifacts"),
        beside_resume=True,
    )
    seed: int = flag(
        0,
        "--seed",
        "first seed; confirm replicates, and those of a track, use the ones after it (default: %(default)s)",
        QUESTION,
        check=_seed_wrong,
        words=Words("data", lambda seed, _: f"seed {seed}"),
    )
    members: tuple[str, ...] = flag(
        (),
        "--members",
        "a file of members of your own, methods and metrics say, or a folder of such files, beside those that are shipped",
        QUESTION,
        action="append",
        metavar="FILE|FOLDER",
        read=outside.places,
        words=Words("members", lambda *_: outside.text()),
    )
    place: Place = field(default_factory=Place)
    setup: SetupT = field(kw_only=True)

    @classmethod
    def of(cls, kind: type[OtherT], **values: Any) -> RunPlan[OtherT]:
        """One with a setup of this kind, by the names of ``plan.json``: the place's and the setup's stand beside its own."""
        place, setup = taken(values, Place), taken(values, kind)
        return RunPlan(**values, place=Place(**place), setup=kind(**setup))

    def but(self, **values: Any) -> RunPlan[SetupT]:
        """The same with other values, by the same names; a whole `place` or `setup` goes by its own."""
        run = dataclasses.replace(self, **taken(values, self))
        place, setup = taken(values, run.place), taken(values, run.setup)
        return dataclasses.replace(
            run,
            **values,
            place=dataclasses.replace(run.place, **place),
            setup=dataclasses.replace(run.setup, **setup),
        )

    def flat(self) -> dict[str, Any]:
        """Every value of it, of its place and of its setup by its name."""
        values = dataclasses.asdict(self)
        place, setup = values.pop("place"), values.pop("setup")
        return values | place | setup

    @property
    def first_seed(self) -> int:
        """Seed of replicate 0; two runs' seeds never meet, so a fresh seed is fresh."""
        return self.seed * SEEDS_A_SWEEP


def taken(values: dict[str, Any], part: Any) -> dict[str, Any]:
    """The values that are of this part of a plan, taken out of all."""
    return {f.name: values.pop(f.name) for f in dataclasses.fields(part) if f.name in values}
