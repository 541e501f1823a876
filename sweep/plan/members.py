"""Members from files outside the packages, as a plan has them: named by ``--members``, or brought by the question's own file.

A run keeps a copy of each such file in ``RUN/members``, and of a question's own that brings none in ``RUN/question``, with its
SHA-256 in the plan, and goes on with no other: where it began, on a cluster's head perhaps, need not be there any more. They are
code: whoever only reads a run runs none of it.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.util import decode_source
from pathlib import Path
from typing import Any

from sweep.errors import UsageError
from sweep.plan.paths import absolute
from trainables import members
from trainables.figures import Figure
from trainables.members import MemberError, Source
from trainables.registry import outside

FOLDER, QUESTION_FOLDER = "members", "question"  # of a run folder
FILES, FIGURES, QUESTION_FILE = "member_files", "member_figures", "question_file"  # in its plan.json


def places(paths: Iterable[str]) -> tuple[str, ...]:
    """The files and folders that ``--members`` names, as every process finds them. UsageError where one is no name at all.

    An empty one would be the working directory, of which every file would be run.
    """
    named = tuple(paths)
    if any(not path.strip() for path in named):
        raise UsageError("--members '': names nothing; write a file, or a folder of files (. for this one)")
    return tuple(absolute(path) for path in named)


def use(paths: Sequence[str], question: str = "") -> None:
    """Use the members of these files and folders beside a question's own, and no others; UsageError where one is wrong."""
    _use(given(paths, question))
    names: dict[str, Source] = {}
    for source in members.in_use():  # a question that registers some is kept and carried along as they are
        _check_name(Path(source.origin))
        other = names.setdefault(source.name, source)
        if other is not source:
            raise UsageError(f"--members: {other.origin} and {source.origin} have one name; rename one of them")


def given(paths: Sequence[str], question: str = "") -> tuple[Source, ...]:
    """The files that ``--members`` names, each once, but the question's own. UsageError where one cannot be one of them."""
    asked = Path(question)
    text = asked.read_bytes() if asked.suffix == ".py" and asked.is_file() else None
    sources: dict[str, Source] = {}
    for source in (_read(file, path) for path in paths for file in _files(path)):
        other = sources.setdefault(source.name, source)
        if other.data != source.data:
            raise UsageError(f"--members: {other.origin} and {source.origin} have one name; rename one of them")
    return tuple(source for source in sources.values() if (source.name, source.data) != (asked.name, text))


def use_recorded(values: Mapping[str, Any], where: str) -> None:
    """Use the members that a run was begun with, from the copies that it keeps.

    UsageError where one, or the copy of its question, is no longer what it was.
    """
    run, sources = Path(where).parent, []
    for name, digest in _listed([values[QUESTION_FILE]] if QUESTION_FILE in values else (), where):
        _kept(run / QUESTION_FOLDER / name, digest, _bytes)
    for name, digest in _listed(values.get(FILES, ()), where):
        source = _kept(run / FOLDER / name, digest, _read)
        if values["plan"].get("space") != f"{FOLDER}/{name}":  # the question is found by its path
            sources.append(source)
    _use(sources)


def _kept(file: Path, digest: str, read: Callable[[Path, str], Source]) -> Source:
    """A copy that the run keeps; UsageError where it is gone or another."""
    if not file.is_file():
        raise UsageError(f"{file}: is gone, and the run was begun with it; bring it back, or start a new run")
    source = read(file, str(file))
    if source.sha256 != digest:
        raise UsageError(f"{file}: is not the file that this run began with; bring that back, or start a new run")
    return source


def question_file(space: str, where: str) -> str:
    """The path of a question as a plan's file has it: of one that lies outside the packages, the run's own copy."""
    kept = space.startswith((f"{FOLDER}/", f"{QUESTION_FOLDER}/"))
    return str(Path(where).resolve().parent / space) if kept else space


def recorded(space: str = "") -> dict[str, Any]:
    """What ``plan.json`` says of the members in use and of a question's own file: nothing where there are none.

    Such a question is named by the copy that the run keeps.
    """
    files, question = members.in_use(), _question_alone(space)
    facts: dict[str, Any] = {}
    if files:
        facts[FILES] = [_identity(file) for file in files]
        facts[FIGURES] = [dataclasses.asdict(figure) for figure in figures()]
    if question is not None:
        facts |= {QUESTION_FILE: _identity(question), "space": f"{QUESTION_FOLDER}/{question.name}"}
    elif space.endswith(".py") and any(Path(space).resolve() == Path(file.origin) for file in files):
        facts["space"] = f"{FOLDER}/{Path(space).resolve().name}"
    return facts


def figures() -> tuple[Figure, ...]:
    """The figures that members from outside declare."""
    return tuple(figure for one in outside() for figure in getattr(one.member, "figures", ()))


def text() -> str:
    """The members from outside, in words; empty where there are none."""
    return ", ".join(f"{one.registry.kind} {one.name}" for one in outside())


def keep(run_dir: Path, space: str = "") -> None:
    """Keep copies of the files in use, and of the question's own, in a run folder."""
    question = _question_alone(space)
    for folder, files in ((FOLDER, members.in_use()), (QUESTION_FOLDER, (question,) if question is not None else ())):
        for file in files:
            (run_dir / folder).mkdir(exist_ok=True)
            (run_dir / folder / file.name).write_bytes(file.data)


def _question_alone(space: str) -> Source | None:
    """The question's own file where it registers no member, with which it would be kept: a folder of members has no other file."""
    asked = members.asked()
    return asked if space.endswith(".py") and asked not in members.in_use() else None


def _identity(source: Source) -> dict[str, str]:
    return {"name": source.name, "sha256": source.sha256, "origin": source.origin}


def _use(sources: Iterable[Source]) -> None:
    try:
        members.use(sources)
    except MemberError as error:
        raise UsageError(f"--members {error}") from error


def _files(path: str) -> list[Path]:
    """The files of members that a path names; UsageError where it names none."""
    place = Path(path)
    if place.is_dir():
        files = sorted(file for file in place.glob("*.py") if file.name != "__init__.py")
        if not any(not file.name.startswith("_") for file in files):
            raise UsageError(f"--members {path}: holds no file of members (NAME.py, not in a folder within it)")
        return files
    if not place.is_file():
        raise UsageError(f"--members {path}: no such file or folder")
    if place.suffix != ".py":
        raise UsageError(f"--members {path}: is no .py file; name one, or a folder of some")
    return [place]


def _read(file: Path, path: str) -> Source:
    """A file of members. UsageError where it cannot be read, or its name or what it imports cannot be a module's."""
    _check_name(file)
    source = _bytes(file, path)
    for beside in _imported_by_luck(source):
        raise UsageError(
            f"--members {file}: imports {beside}, a file beside it, which workers lack and no key would count; write "
            f"from .{beside} import … (a folder's files that begin with '_' help the others)"
        )
    return source


def _bytes(file: Path, path: str) -> Source:
    """A file as it is; UsageError where it cannot be read."""
    try:
        return Source(str(file.resolve()), file.read_bytes())
    except OSError as error:
        raise UsageError(f"--members {path}: cannot be read: {error.strerror}") from None


def _check_name(file: Path) -> None:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*\.py", file.name):
        raise UsageError(f"{file}: a file that registers members has a name of letters, digits and '_'")


def _imported_by_luck(source: Source) -> Iterator[str]:
    """Files beside it that it imports as if they were installed: from where it is run that may work, elsewhere not."""
    try:
        tree = ast.parse(decode_source(source.data))
    except (SyntaxError, ValueError):
        return  # told when it is run
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module and not node.level
    ]
    folder = Path(source.origin).parent
    for name in dict.fromkeys(name.partition(".")[0] for name in names):
        if (folder / f"{name}.py").is_file():
            yield name


def _listed(files: Iterable[Any], where: str) -> Iterator[tuple[str, str]]:
    """Names and hashes of files that a plan lists; UsageError where they are none, as of a plan that somebody has changed."""
    try:
        listed = [(str(file["name"]), str(file["sha256"])) for file in files]
    except (KeyError, TypeError) as error:
        raise UsageError(f"{where}: not a plan of this version ({error})") from None
    for name, digest in listed:
        if Path(name).name != name:
            raise UsageError(f"{where}: {name!r} is no file's name")
        yield name, digest
