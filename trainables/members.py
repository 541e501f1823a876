"""Members from files outside the packages: run once in a process, and beside the shipped ones in every family.

A file of members registers by the decorators of its families, as a file within their folders does. All files in use together
are modules of one package that is nowhere on the disk, so that one may import another, ``from ._mine import x``; what begins
with ``_`` helps and registers nothing. What runs is the bytes that were read once: they decide the keys of what the members
make (`trainables.store.code`), are kept with the run, and go to every worker. A question's own file may register members too.
"""

from __future__ import annotations

import hashlib
import importlib
import platform
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location, spec_from_loader
from pathlib import Path
from types import ModuleType

from trainables.registry import NameTaken, Registered, outside, restore, withdraw

PACKAGE, QUESTION = "members", "question"


class MemberError(Exception):
    """What is wrong with a file of members, in one line."""


class MemberFault(MemberError, ValueError):
    """What a member raises, or gives and may not, in one line that names it and its file."""


@dataclass(frozen=True)
class Source:
    """A file of members, or a question's: its bytes as they were read, and where it lay."""

    origin: str
    data: bytes

    @property
    def name(self) -> str:
        return Path(self.origin).name

    @property
    def stem(self) -> str:
        return Path(self.origin).stem

    @property
    def helps(self) -> bool:
        """Whether it is there for other files alone."""
        return self.stem.startswith("_")

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


class _Loader(SourceLoader):
    """Runs the bytes that were read, whatever the file holds by now."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def get_filename(self, fullname: str) -> str:
        return self.source.origin

    def get_data(self, path: str | bytes) -> bytes:
        if path != self.source.origin:
            raise OSError(f"{path!r}: no compiled file is kept")
        return self.source.data


class _Finder(MetaPathFinder):
    """Finds the modules of files that are in use, or were."""

    def __init__(self) -> None:
        self.files: dict[str, Source] = {}
        self.packages: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in self.packages:
            return spec_from_loader(fullname, loader=None, is_package=True)
        source = self.files.get(fullname)
        return spec_from_file_location(fullname, source.origin, loader=_Loader(source)) if source else None


class _InUse:
    """The files whose members stand in the families: those that were asked for, and the question's."""

    def __init__(self) -> None:
        self.finder = _Finder()
        self.members: tuple[Source, ...] = ()
        self.package = ""  # of the members; empty: none
        self.question: Source | None = None
        self.registered: dict[
            str, tuple[Registered, ...]
        ] = {}  # by package or question, what it brought when it was run

    def run(self, module: str) -> ModuleType:
        """Import a module by the finder, which stays behind all others."""
        if self.finder not in sys.meta_path:
            sys.meta_path.append(self.finder)
        return importlib.import_module(module)

    def brought(self, root: str) -> tuple[Registered, ...]:
        """What the modules of a package, or a question's, have registered."""
        return tuple(one for one in outside() if one.module.partition(".")[0] == root)

    def take_back(self, root: str) -> None:
        """Withdraw that."""
        withdraw(self.brought(root))

    def forget(self, root: str) -> None:
        """Leave nothing of files that could not be run, so that they are run again when they are asked for again."""
        self.take_back(root)
        for module in [name for name in sys.modules if name.partition(".")[0] == root]:
            del sys.modules[module]


_state = _InUse()


def use(sources: Iterable[Source]) -> None:
    """Have the members of these files, and of no others but the question's. MemberError where a file is wrong; none is used then.

    Each file is run once in a process, however often it is asked for.
    """
    files = tuple(sorted(sources, key=lambda source: source.name))
    package = _name_of(PACKAGE, files) if files else ""
    if package == _state.package:
        return
    if _state.package:
        _state.take_back(_state.package)
    _state.members, _state.package = (), ""
    if not files:
        return
    try:
        if package in _state.registered:
            restore(_state.registered[package])
        else:
            _run_all(package, files)
    except NameTaken as error:
        _state.forget(package)
        raise MemberError(str(error)) from error
    except BaseException:
        _state.forget(package)
        raise
    _state.registered[package] = _state.brought(package)
    _state.members, _state.package = files, package


def no_question() -> None:
    """Have no members of a question's file."""
    if _state.question is not None:
        _state.take_back(_name_of(QUESTION, [_state.question]))
        _state.question = None


def question(source: Source) -> ModuleType:
    """The module of a question's file, run once in a process; its members take the place of another question's.

    Raises whatever the file raises, NameTaken for a member that another file has.
    """
    name = _name_of(QUESTION, [source])
    if _state.question == source:
        return sys.modules[name]
    no_question()
    try:
        if name in _state.registered:
            restore(_state.registered[name])
        else:
            _state.finder.files[name] = source
            _state.run(name)
    except BaseException:
        _state.forget(name)
        raise
    _state.registered[name], _state.question = _state.brought(name), source
    return sys.modules[name]


def asked() -> Source | None:
    """The question's file, where the question is one of the user's own."""
    return _state.question


def in_use() -> tuple[Source, ...]:
    """The files whose members are used, the question's among them where it registers any."""
    own = asked()
    registers = own is not None and bool(_state.brought(_name_of(QUESTION, [own])))
    return (*_state.members, *([own] if own is not None and registers else []))


def _run_all(package: str, files: Sequence[Source]) -> None:
    _state.finder.packages.add(package)
    _state.finder.files |= {f"{package}.{file.stem}": file for file in files}
    for file in files:
        if not file.helps:
            module = f"{package}.{file.stem}"
            _run(module, file)
            if not any(one.module == module for one in outside()):
                raise MemberError(
                    f"{file.origin}: registers no member; decorate one with a family's register(…), or begin the file's name "
                    "with '_' where it helps others"
                )


def _run(module: str, file: Source) -> None:
    """Run a file. MemberError with the line where it does not import."""
    try:
        _state.run(module)
    except NameTaken as error:
        raise MemberError(f"{file.origin}: {error}") from error
    except Exception as error:  # any exception of the user's own file is that file's mistake
        package = module.partition(".")[0]
        absent = error.name or "" if isinstance(error, ModuleNotFoundError) else ""
        if absent.startswith(f"{package}."):
            beside = absent.removeprefix(package)
            raise MemberError(
                f"{file.origin}: imports {beside}, which is not beside it; name the folder of both"
            ) from None
        said = " ".join(str(error).split())
        where = f" on {platform.node()}" if isinstance(error, ImportError) else ""
        raise MemberError(
            f"{file.origin} does not import{where}: {type(error).__name__}: {said}{line_of(error)}"
        ) from error


_OF_CODE = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, NameError, AssertionError)


@contextmanager
def fault_of(what: str, module: str) -> Iterator[None]:
    """Tell what a member's code raises as its fault, with the line of its file; what storage and memory raise stays that."""
    try:
        yield
    except MemberError:
        raise
    except Exception as error:
        if (
            not isinstance(error, _OF_CODE) and type(error) is not RuntimeError
        ):  # torch's own, of shapes that do not fit
            raise
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file_of(module)]
        where = f"line {frames[-1].lineno} of " if frames else ""
        said = " ".join(str(error).split())
        raise MemberFault(f"{what}: {type(error).__name__}: {said} ({where}{file_of(module)})") from error


def file_of(module: str) -> str:
    """The file that a module was run from."""
    return str(getattr(sys.modules.get(module), "__file__", None) or module)


def line_of(error: BaseException) -> str:
    """Where an import failed: `` (line N of FILE)``."""
    if isinstance(error, SyntaxError):
        return f" (line {error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    return f" (line {frames[-1].lineno} of {Path(frames[-1].filename).name})" if frames else ""


def _name_of(kind: str, files: Sequence[Source]) -> str:
    """A name that only these bytes have, from these places: other text is another module."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.origin}\n{file.sha256}\n".encode())
    return f"{kind}_{digest.hexdigest()[:16]}"
