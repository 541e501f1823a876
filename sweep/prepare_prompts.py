"""Make the folder of ``--data prompts`` of a published list: ``python -m sweep.prepare_prompts OUT --from FILE --protocol NAME``.

FILE is your own copy of the list that the protocol is of, as a CSV; what columns it must have is told by ``--help``. Prompts that
stay come from a second file, ``--keep``, where the list has none. ``--draw BASE`` has the base model draw the images that features,
audits and attacks train on, as Meta-Unlearning's public code does for its sets.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import dataclasses
import hashlib
import io
import json
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.errors import Parser, UsageError, called, command, need
from sweep.plan.paths import absolute, in_storage
from sweep.records.whole import write_whole
from sweep.relearning import flag_values, protocols
from sweep.relearning.protocols import LABELLED, LABELS, PROMPTS, SETS, Protocol
from sweep.terminal.lines import Progress
from trainables.data._files.prompt_table import FILE, read_prompts
from trainables.data._files.tables import Line, read_table
from trainables.data.prompts import SIZE

if TYPE_CHECKING:
    from sweep.relearning.setup import Setup

COLUMNS = ("prompt", "role", "concept", "style", "anchor")
DRAWN = "train"  # the folder of the images that --draw makes
TEXTS = ("prompt", "caption", "text")  # what a column of prompts may be called
CONCEPTS = ("concept", "class", "object")  # what one of what they ask for may be
SETS_OF = {"hrm": "forget", "tgt": "related", "irt": "unrelated"}  # Meta-Unlearning's names
NEEDS = {
    PROMPTS: "a column prompt; what stays comes by --keep",
    SETS: "the columns prompt and set, of hrm, tgt and irt",
    LABELLED: "the columns prompt and concept (or class, object); --target says which concept is forgotten",
    LABELS: "a column concept and, of UnlearnCanvas, style, each a list of labels; --target says which is forgotten",
}

EPILOG = """\
lists:
{lists}
examples:
  python -m sweep.prepare_prompts nudity --from nudity.csv --keep captions.csv --protocol unlearndiffatk-nudity
  python -m sweep.prepare_prompts objects --from objects.csv --protocol mace-object --target automobile --draw sd14
"""


@dataclass(frozen=True)
class Row:
    """One prompt of the folder that is made; see `trainables.data._files.prompt_table`."""

    prompt: str
    role: str
    concept: str = ""
    style: str = ""
    anchor: str = ""


def parser() -> Parser:
    lists = "\n".join(f"  {p.name:<22} {NEEDS[p.kind]}" for p in protocols.PROTOCOLS.values())
    p = Parser(
        "python -m sweep.prepare_prompts",
        description="Make the folder of --data prompts of your own copy of a published list.",
        epilog=EPILOG.format(lists=lists),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "folder",
        metavar="OUT",
        help="a new folder to make; one that holds files is refused, but for what --draw has begun",
    )
    p.add_argument(
        "--from", dest="list", required=True, metavar="FILE", help="your copy of the list, a CSV with a header"
    )
    p.add_argument("--protocol", required=True, metavar="NAME", help=", ".join(protocols.PROTOCOLS))
    p.add_argument(
        "--keep", default="", metavar="FILE", help="prompts that stay: a CSV with a column prompt, caption or text"
    )
    p.add_argument("--target", default="", metavar="LABEL", help="what is forgotten, where the list has several labels")
    p.add_argument(
        "--anchor", default="", metavar="LABEL", help="the label that stands for it (default: the empty prompt)"
    )
    p.add_argument(
        "--draw",
        default="",
        metavar="BASE",
        help="have this pipeline, a folder or hub id, draw the images of every prompt, on a GPU where there is one",
    )
    p.add_argument("--images", type=int, default=0, metavar="N", help="how many of each (default: the protocol's own)")
    p.add_argument(
        "--artifacts", default="", metavar="DIR|URI", help="artifact store of --draw (default: runs/artifacts)"
    )
    return p


@command
def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    protocol, folder = protocols.named(args.protocol), Path(args.folder)
    for option, given in (("--images", args.images), ("--artifacts", args.artifacts)):
        if given and not args.draw:
            raise UsageError(f"{option} {given}: is of the images that --draw makes; name a pipeline with it")
    if args.images < 0:
        raise UsageError(f"--images {args.images}: must be at least 1")
    try:
        rows, dropped = _without_copies(_rows(protocol, args))
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from None
    _check(rows, protocol, args)
    files = _files(rows, protocol, args, dropped)
    if not (args.draw and _begun(folder, files)):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder}: exists and is not an empty folder; prompts are made in one of their own")
        _write(folder, files)
    counts = {role: sum(row.role == role for row in rows) for role in dict.fromkeys(row.role for row in rows)}
    said = ", ".join(f"{n} {role}" for role, n in counts.items())
    print(f"{folder / FILE}: {said}" + (f"; {dropped} that were there already left out" if dropped else ""))
    setup = _draw(folder, args, protocol) if args.draw else None
    base = ["--base", args.draw or "BASE"]
    if setup is not None and setup.base_revision:
        base += ["--base-revision", setup.base_revision]
    read_at = ["--image-size", str(setup.image_size)] if setup is not None and setup.image_size != SIZE else []
    where = shlex.join([*base, "--data", "prompts", "--data-folder", str(folder), *read_at])
    print(f"next: {called('sweep.launch')} --space NAME {where} --protocol {protocol.name}")
    return 0


def _rows(protocol: Protocol, args: argparse.Namespace) -> Iterator[Row]:
    """The list's prompts and those to keep; ValueError where a file lacks a column, UsageError where a flag is missing."""
    file = Path(args.list)
    if protocol.kind in (LABELLED, LABELS) and not args.target:
        raise UsageError(f"--protocol {protocol.name}: --target LABEL is needed: what of the list is to be forgotten")
    if protocol.kind in (PROMPTS, SETS) and (args.target or args.anchor):
        raise UsageError(f"--protocol {protocol.name}: its list asks for one concept; leave --target and --anchor out")
    if protocol.kind == PROMPTS:
        yield from (Row(line[column], "forget", protocol.concept) for line, column in _read(file))
    elif protocol.kind == SETS:
        yield from _of_sets(file, protocol)
    elif protocol.kind == LABELLED:
        yield from _of_concepts(file, args.target, args.anchor)
    else:
        yield from _of_labels(file, protocol, args.target, args.anchor)
    if args.keep:
        yield from (Row(line[column], "unrelated") for line, column in _read(Path(args.keep)))


def _read(file: Path) -> Iterator[tuple[Line, str]]:
    """The rows of a file with the column that their prompts stand in."""
    lines, _ = read_table(file, ())
    for line in lines:
        column = _column(line, TEXTS)
        if not line[column]:
            raise line.wrong(f"the {column} is empty")
        yield line, column


def _column(line: Line, names: Sequence[str]) -> str:
    """The first of these columns that a file has."""
    for name in names:
        if name in line.values:
            return name
    raise ValueError(
        f"{line.file}: no column {names[0]!r} (or {', '.join(names[1:])}); it has {', '.join(line.values)}"
    )


def _of_sets(file: Path, protocol: Protocol) -> Iterator[Row]:
    for line, column in _read(file):
        which = line["set"]
        if which not in SETS_OF:
            raise line.wrong(
                f"the set {which!r} is none of {', '.join(SETS_OF)}; a column set says which a prompt is of"
            )
        yield Row(line[column], SETS_OF[which], protocol.concept if SETS_OF[which] == "forget" else "")


def _of_concepts(file: Path, target: str, anchor: str) -> Iterator[Row]:
    """The list's prompts; for a forgotten one stands that which has the anchor's label in place of its own."""
    prompts = [(line[column], line[_column(line, CONCEPTS)]) for line, column in _read(file)]
    concepts = dict(reversed(prompts))  # of a prompt that is there twice the first counts
    if anchor and anchor not in concepts.values():
        raise UsageError(f"--anchor {anchor}: no prompt of {file} asks for it")
    if anchor and anchor == target:
        raise UsageError(f"--anchor {anchor}: is what is forgotten; name another label, or none")
    for prompt, concept in prompts:
        if concept != target:
            yield Row(prompt, "retain", concept)
            continue
        stand_in = re.sub(rf"\b{re.escape(target)}\b", lambda _: anchor, prompt, flags=re.IGNORECASE) if anchor else ""
        if anchor and concepts.get(stand_in) != anchor:
            raise UsageError(
                f"--anchor {anchor}: for {prompt!r} no prompt of {file} asks for it in the same words; "
                "add one, or leave --anchor out"
            )
        yield Row(prompt, "forget", concept, anchor=stand_in)


def _of_labels(file: Path, protocol: Protocol, target: str, anchor: str) -> Iterator[Row]:
    """Every prompt that the template makes of the labels; a concept or a style is forgotten in all prompts that have it."""
    styled = "{style}" in protocol.template
    lines, _ = read_table(file, ())
    concept_column = _column(lines[0], CONCEPTS)
    concepts = list(dict.fromkeys(line[concept_column] for line in lines if line[concept_column]))
    styles = list(dict.fromkeys(line["style"] for line in lines if line["style"])) if styled else [""]
    if not concepts or (styled and not styles):
        raise ValueError(f"{file}: no label in the column {'style' if concepts else concept_column}")
    for label in filter(None, (target, anchor)):
        if label not in (*concepts, *styles):
            raise UsageError(f"--{'target' if label == target else 'anchor'} {label}: is no label of {file}")

    def prompt(concept: str, style: str) -> str:
        return protocol.template.format(concept=concept, style=style)

    for concept in concepts:
        for style in styles:
            forgotten = target in (concept, style)
            stand_in = prompt(anchor if concept == target else concept, anchor if style == target else style)
            role = "forget" if forgotten else "retain"
            yield Row(prompt(concept, style), role, concept, style, stand_in if forgotten and anchor else "")


def _without_copies(rows: Iterator[Row]) -> tuple[list[Row], int]:
    """The first row of every prompt, and how many others there were."""
    first: dict[str, Row] = {}
    n = 0
    for row in rows:
        first.setdefault(row.prompt, row)
        n += 1
    return list(first.values()), n - len(first)


def _check(rows: Sequence[Row], protocol: Protocol, args: argparse.Namespace) -> None:
    """UsageError where nothing is forgotten, or nothing stays."""
    roles = {row.role for row in rows}
    if "forget" not in roles:
        raise UsageError(
            f"{args.list}: no prompt asks for {args.target or protocol.concept}, so nothing is to be forgotten"
        )
    if roles == {"forget"}:
        raise UsageError(f"--protocol {protocol.name}: nothing stays; name prompts that do with --keep FILE")


def _files(rows: Sequence[Row], protocol: Protocol, args: argparse.Namespace, dropped: int) -> dict[str, str]:
    """What the folder holds, by name: what ``prompts.csv`` was made of, then itself."""
    out = io.StringIO()
    table = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(dataclasses.asdict(row) for row in rows)
    digest = hashlib.sha256(Path(args.list).read_bytes()).hexdigest()
    facts: Mapping[str, object] = {
        "protocol": protocol.name,
        "source": protocol.source,
        "list": Path(args.list).name,
        "list_sha256": digest,
        "left_out": dropped,
    }
    return {protocols.FILE: json.dumps(facts, indent=1) + "\n", FILE: out.getvalue()}


def _begun(folder: Path, files: Mapping[str, str]) -> bool:
    """Whether the folder holds these very files, and images that were not all drawn, or none."""
    places = {folder / name: content.encode() for name, content in files.items()}
    same = all(place.is_file() and place.read_bytes() == content for place, content in places.items())
    return same and not (folder / DRAWN).exists()


def _write(folder: Path, files: Mapping[str, str]) -> None:
    """The files in their order, ``prompts.csv`` last: a folder without it is no data."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_whole(folder / name, content)
        read_prompts(folder / FILE)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror}); name another folder") from None
    except ValueError as error:  # what the list says that no prompt of ours can
        (folder / FILE).unlink(missing_ok=True)
        (folder / protocols.FILE).unlink(missing_ok=True)
        raise UsageError(str(error)) from None


def _draw(folder: Path, args: argparse.Namespace, protocol: Protocol) -> Setup:
    """Make ``train/``: the base model's own images of every prompt, and the captions that say which is of which.

    Returns the base model and its data as they were read.
    """
    need("transformers", extra="text2image")
    images = args.images or protocol.images
    setup = _setup(folder, args, protocol)
    progress = Progress()
    from sweep.relearning.drawn import draw, time_text

    progress.line(f"drawing {images} images of each prompt by {setup.drawn_by().name}: {time_text(setup, images)}")

    def drawn(n: int) -> None:
        progress.line(f"{n} images")

    with _told_in_one_line(folder):
        n = draw(setup, absolute(args.artifacts or in_storage("", "artifacts")), folder / DRAWN, images, drawn)
    progress.line(f"{folder / DRAWN}: {n} images")
    return setup


@contextlib.contextmanager
def _told_in_one_line(folder: Path) -> Iterator[None]:
    """Files, a store, a disk or memory that fail are the user's to mend: a UsageError that says what failed, and how to go on."""
    from torch import OutOfMemoryError

    from trainables.diffusion import Diverged
    from trainables.store import CorruptArtifact, StoreUnusable

    try:
        yield
    except OutOfMemoryError as error:
        reason = f"--draw: {str(error).partition(chr(10))[0]}"
    except (ValueError, StoreUnusable, CorruptArtifact, Diverged) as error:
        reason = f"--draw {error}"
    except OSError as error:
        reason = f"{error.filename or folder}: {error.strerror or error}"
    else:
        return
    raise UsageError(f"{reason}; mend that, then the same command goes on")


def _setup(folder: Path, args: argparse.Namespace, protocol: Protocol) -> Setup:
    """The base model and its prompts as a sweep of them is about; UsageError where the pipeline cannot be had."""
    from sweep.relearning.setup import Setup
    from trainables.denoisers.pipelines import located, read_pipeline

    try:
        base = flag_values.pipeline(args.draw)
        place, commit = located(base)
        side = read_pipeline(place, base).image_shape[-1]
    except ValueError as error:
        raise UsageError(f"--draw {error}") from None
    asked = {"data": "prompts", "data_folder": absolute(str(folder)), "image_size": side, "base": base}
    setup = Setup.asked(asked | {"base_revision": commit, "protocol": protocol.name})
    setup.check()
    return setup.fingerprinted()


if __name__ == "__main__":
    sys.exit(main())
