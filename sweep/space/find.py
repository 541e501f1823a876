"""Find a question by name or by path, without ever importing one by name in code; and the names of families' members."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
from pathlib import Path
from types import ModuleType

from sweep.errors import UsageError, near
from sweep.space.question import SearchSpace
from trainables.members import Source, line_of, no_question, question
from trainables.registry import NameTaken, outside

FOLDER = "search_spaces"


def names() -> list[str]:
    """The questions that come with the project."""
    return sorted(m.name for m in pkgutil.iter_modules(importlib.import_module(FOLDER).__path__))


def load(name_or_path: str) -> SearchSpace:
    """The question called so, or in the file at that path, which a process runs once as long as it stays the same.

    UsageError where there is none or the file does not import.
    """
    if name_or_path.endswith(".py"):
        module = _import_file(Path(name_or_path))
    elif name_or_path in names():
        no_question()  # whose file registers members
        module = _import(lambda: importlib.import_module(f"{FOLDER}.{name_or_path}"), f"space {name_or_path!r}")
    else:
        raise UsageError(
            f"--space {name_or_path}: no such space; {near(name_or_path, names())}; or give a path to a .py file"
        )
    space = getattr(module, "SPACE", None)
    if not isinstance(space, SearchSpace):
        raise UsageError(f"--space {name_or_path}: the file defines no SPACE = SearchSpace(…)")
    return space


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"--space {path}: no such file")
    try:
        source = Source(str(path.resolve()), path.read_bytes())
    except OSError as error:
        raise UsageError(f"--space {path}: cannot be read: {error.strerror}") from None
    return _import(lambda: question(source), f"--space {path}")


def _import(load_module, what: str) -> ModuleType:  # type: ignore[no-untyped-def]
    try:
        return load_module()
    except UsageError as error:
        raise UsageError(f"{what}: {error}") from error
    except NameTaken as error:
        raise UsageError(f"{what}: {error}") from error
    except Exception as error:  # any exception of the user's own file is that file's mistake
        raise UsageError(f"{what} does not import: {type(error).__name__}: {error}{line_of(error)}") from error


def family_folder(family: str) -> Path:
    """The folder of a family of `trainables`, found without importing it."""
    package = importlib.util.find_spec("trainables")
    assert package and package.submodule_search_locations, "trainables is a package"
    return Path(package.submodule_search_locations[0]) / family


def members(family: str) -> list[str]:
    """Names of a family's members: those that its files in `trainables` register, found without importing them; and those
    from outside that are in use.
    """
    files = [path for path in family_folder(family).glob("*.py") if not path.stem.startswith("_")]
    within = {name for path in files for name in _registered_in(path)}
    return sorted(within | {one.name for one in outside() if one.family == family})


def lacking(family: str, trait: str) -> set[str]:
    """The members of a family that say ``TRAIT=False`` where they are registered."""
    files = [path for path in family_folder(family).glob("*.py") if not path.stem.startswith("_")]
    within = {name for path in files for name, traits in _registrations(path).items() if f"{trait}=False" in traits}
    return within | {one.name for one in outside() if one.family == family and not getattr(one.member, trait)}


def _registered_in(path: Path) -> set[str]:
    """The names that a file registers by ``register…("NAME", …)``; UsageError where it is no Python."""
    return set(_registrations(path))


def _registrations(path: Path) -> dict[str, set[str]]:
    """By each name that a file registers, the keywords it is registered with, as they are written."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    registering = [call for call in calls if ast.unparse(call.func).rpartition(".")[2].startswith("register")]
    return {
        call.args[0].value: {ast.unparse(keyword) for keyword in call.keywords}
        for call in registering
        if isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)
    }
