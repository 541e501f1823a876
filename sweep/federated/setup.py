"""What federated trials are about: rows and who holds what of them, the mechanism and the ε wanted, how figures are taken.

Every field is a flag of ``sweep.launch``, declared with its check and its words (`sweep.plan.flags`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sweep.errors import UsageError
from sweep.federated.question import MECHANISMS, mechanism_of, spends, under, wanted_epsilon
from sweep.plan import data_files, flags
from sweep.plan.flags import MODELS, QUESTION, Line, Words, at_least, finite, flag, one_of
from sweep.plan.paths import absolute
from sweep.plan.place import Place
from sweep.space import Arm, SearchSpace, find

if TYPE_CHECKING:
    from trainables.federated.sources import Source

FEWEST_CANARIES = 20  # of which ten at most are in: of fewer an audit says nothing


def _epsilon_wrong(epsilon: float | None) -> str:
    return "" if epsilon is None or 0 < epsilon < math.inf else "must be a positive, finite number"


def _delta_wrong(delta: float) -> str:
    return "" if 0 <= delta < 1 else "must be between 0 and 1; 0 is that of the rows' number"


def _data_words(_: str, setup: Setup) -> str:
    facts = [setup.source.words]
    if setup.data_limit:
        facts.append(f"at most {setup.data_limit} images a split")
    if setup.data_folder:
        facts.append(f"in {setup.data_folder}")
    return f"{setup.data} ({', '.join(facts)})"


def _split_words(_: str, setup: Setup) -> str:
    parties = setup.source.parties.members
    return f"{setup.source.split}: {len(parties)} parties of {', '.join(str(p.width) for p in parties)} numbers a row"


@dataclass(frozen=True)
class Setup:
    """What trials are about, from a command line."""

    headings: ClassVar[Mapping[str, Line]] = {
        "parties": Line("search", wrap=False),
        "privacy": Line("confirm"),
        "controls": Line("confirm"),
        "audit": Line("confirm"),
        "samples": Line("confirm", wrap=False),
    }

    data: str = flag(
        "digits",
        "--data",
        "wine, breast_cancer, table (of your own, with --data-folder), or images: digits, fashion_mnist, … (default: the "
        "question's own, mostly digits)",
        QUESTION,
        ungiven=None,
        metavar="NAME",
        words=Words("data", _data_words),
    )
    data_folder: str = flag(
        "",
        "--data-folder",
        "where it lies; of a table schema.json and table.csv, or private, public and test files; beside --resume, where it lies "
        "now",
        QUESTION,
        metavar="DIR",
        read=lambda given: given and absolute(given),
        beside_resume=True,
    )
    image_size: int = flag(
        0,
        "--image-size",
        "resize images to N×N pixels (default: the data set's own size)",
        QUESTION,
        metavar="N",
        check=at_least(0),
    )
    data_limit: int = flag(
        0, "--data-limit", "at most N images of each split (default: 0, all)", QUESTION, metavar="N", check=at_least(0)
    )
    data_fingerprint: str = ""  # of the folder's files, when the run began
    split: str = flag(
        "",
        "--split",
        "who holds what: of images halves, left_right, quarters or interleaved; of tables halves, interleaved or declared "
        "(default: halves, or as the schema declares)",
        QUESTION,
        metavar="NAME",
        words=Words("parties", _split_words),
    )
    party: tuple[str, ...] = flag(
        (),
        "--party",
        "a party of a table and the columns that it holds; once for each party",
        QUESTION,
        action="append",
        metavar="NAME=COLUMN,…",
        read=tuple,
    )
    mechanism: str = flag(
        "",
        "--mechanism",
        "none, record (per record, proven) or published (VFLGAN's own, claimed) (default: the question's own)",
        QUESTION,
        metavar="NAME",
        check=lambda name: one_of(lambda: find.members(MECHANISMS))(name) if name else "",
    )
    epsilon: float | None = flag(
        None,
        "--epsilon",
        "the ε wanted, at most, of what a trial publishes; noise is found for it (default: the question's own, or 100, as digits "
        "are few)",
        QUESTION,
        type=float,
        metavar="E",
        check=_epsilon_wrong,
    )
    delta: float = flag(
        0.0,
        "--delta",
        "δ that ε is at (default: the smaller of 1e-5 and a tenth of 1 / rows)",
        QUESTION,
        metavar="D",
        check=_delta_wrong,
    )
    samples: int = flag(
        1000,
        "--samples",
        "synthetic rows that figures are over, and that are published (default: %(default)s)",
        MODELS,
        metavar="N",
        check=at_least(50),
        words=Words("samples", lambda n, _: f"{n} synthetic rows, held against public ones"),
    )
    canaries: str = flag(
        "rows",
        "--canaries",
        "rows, or crossed: of two rows' parts, which only whoever judges rows whole can memorise (default: %(default)s)",
        MODELS,
        metavar="KIND",
        check=one_of(lambda: ("rows", "crossed")),
    )
    most_canaries: int = flag(
        400,
        "--most-canaries",
        "of them, at most a quarter of the rows; a coin each decides who is trained on (default: %(default)s)",
        MODELS,
        metavar="N",
        check=finite(at_least(FEWEST_CANARIES), "must be finite"),
        words=Words(
            "audit",
            lambda n, setup: f"in one run, by at most {n} canaries ({setup.canaries}), each trained on by a fair coin",
        ),
    )

    control_steps: int = flag(
        2000,
        "--control-steps",
        "critic steps of the controls, which have no mechanism (default: %(default)s)",
        MODELS,
        metavar="N",
        check=at_least(1),
        words=Words(
            "controls",
            lambda n, _: (
                f"central (sees all columns) and independent (sees no dependence), {n} steps each without a mechanism; real "
                "(private rows themselves)"
            ),
        ),
    )

    @classmethod
    def asked(cls, values: dict[str, Any], tell: Callable[[str], None] = lambda _: None) -> Setup:
        """Of these values; every other is decided by default."""
        return cls(**values)

    @property
    def source(self) -> Source:
        """The rows and their parties; UsageError where there are none such, or they cannot be divided so."""
        from trainables.federated.sources import Undivided, source

        try:
            return source(self.data, self.data_folder, self.image_size, self.data_limit, self.split, self.party)
        except Undivided as error:
            flag_of = f"--party {' --party '.join(self.party)}" if self.party else f"--split {self.split}".strip()
            raise UsageError(f"{flag_of}: {error}") from error
        except (ValueError, OSError) as error:
            raise data_files.cannot_be_had(error, self._folder_needed()) from error

    def _folder_needed(self) -> bool:
        """Whether the rows are a table's whose folder is not named, or not there."""
        from trainables.federated.tables import TABLES

        if self.data not in TABLES.names() or not TABLES[self.data].needs_folder:
            return False
        return not (self.data_folder and Path(self.data_folder).is_dir())

    def fingerprinted(self) -> Setup:
        """The setup with the fingerprint of its rows; UsageError where they are no longer those it was begun with."""
        recorded = self.data_fingerprint
        digest = data_files.fingerprint_of(self.data, self.data_folder, recorded, self.source.fingerprint)
        return dataclasses.replace(self, data_fingerprint=digest)

    def check(self) -> None:
        """UsageError where a value is wrong by itself, or the rows cannot be had."""
        flags.check(self)
        _ = self.source

    def check_fits(self, space: SearchSpace, place: Place) -> None:
        """UsageError where an ε is wanted of trials that spend none. Nets of a few layers fit wherever their rows do."""
        if self.epsilon is not None and not spends(space):
            raise UsageError(
                f"--epsilon {self.epsilon:g}: no trial has a mechanism that spends it; add --mechanism record, or leave it out"
            )

    def question(self, space: SearchSpace) -> SearchSpace:
        """The question under the mechanism asked for, up to the ε wanted where one is."""
        flags.check(self, only=("mechanism", "epsilon"))
        return under(space, self.mechanism, self.epsilon)

    def recorded(self, space: SearchSpace) -> dict[str, Any]:
        """What ``plan.json`` says of the question's mechanisms, by arm."""
        return {"mechanisms": {arm.name: mechanism_of(arm) for arm in space.arms}}

    def arm_words(self, arm: Arm) -> str:
        """``synthesizer vflgan, mechanism record``."""
        return f"synthesizer {arm.method}, mechanism {mechanism_of(arm)}"

    def more_words(self, space: SearchSpace, place: Place) -> Iterator[tuple[Words, str]]:
        """What the printed plan says beside the flags' own words: of a folder, the ε wanted and what it is of."""
        for heading, text in self.source.notes:
            yield Words(heading), text
        mechanisms, wanted = {mechanism_of(arm) for arm in space.arms}, wanted_epsilon(space)
        delta = f"δ {self.delta:g}" if self.delta else "δ = min(1e-5, 1 / (10 N))"
        if "record" in mechanisms:
            yield Words("privacy"), f"ε ≤ {wanted:g} at {delta}, proven of critics, generators and synthetic rows"
        if "published" in mechanisms:
            yield Words("privacy"), f"ε ≤ {wanted:g} at {delta} as its authors claim it; nothing is proven"
        if mechanisms == {"none"}:
            yield Words("privacy"), "none: rows are learnt from as they are"
        elif self.source.schema:
            yield Words("privacy"), self._public_words()

    def _public_words(self) -> str:
        """What of a table no ε is of; UsageError where it cannot be read."""
        try:
            splits = self.source.read()
        except ValueError as error:
            raise UsageError(f"--data {self.data}: {error}") from error
        private, public, test = (len(splits[name]) for name in ("private", "public", "test"))
        return f"of {private} private rows; {public} public and {test} test rows are used without a mechanism"
