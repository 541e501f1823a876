"""Find a question by name or by path, without ever importing one by name in code."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
import traceback
from pathlib import Path
from types import ModuleType

from sweep.errors import UsageError, near
from sweep.space.question import SearchSpace

FOLDER = "search_spaces"


def names() -> list[str]:
    """The questions that come with the project."""
    return sorted(m.name for m in pkgutil.iter_modules(importlib.import_module(FOLDER).__path__))


def load(name_or_path: str) -> SearchSpace:
    """The question called so, or in the file at that path. UsageError where there is none or the file does not import."""
    if name_or_path.endswith(".py"):
        module = _import_file(Path(name_or_path))
    elif name_or_path in names():
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
    spec = importlib.util.spec_from_file_location(f"space_{path.stem}", path)
    assert spec and spec.loader, "a .py file always has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    loader = spec.loader
    _import(lambda: loader.exec_module(module), f"--space {path}")
    return module


def _import(load_module, what: str) -> ModuleType:  # type: ignore[no-untyped-def]
    try:
        return load_module()
    except UsageError as error:
        raise UsageError(f"{what}: {error}") from error
    except Exception as error:  # any exception of the user's own file is that file's mistake
        frames = traceback.extract_tb(error.__traceback__)
        line = f" (line {frames[-1].lineno} of {Path(frames[-1].filename).name})" if frames else ""
        line = f" (line {error.lineno})" if isinstance(error, SyntaxError) else line
        raise UsageError(f"{what} does not import: {type(error).__name__}: {error}{line}") from error


def family_folder(family: str) -> Path:
    """The folder of a family of `trainables`, found without importing it."""
    package = importlib.util.find_spec("trainables")
    assert package and package.submodule_search_locations, "trainables is a package"
    return Path(package.submodule_search_locations[0]) / family


def members(family: str) -> list[str]:
    """Names of a family's files in `trainables`, found without importing them: a member's file bears its name."""
    return sorted(p.stem for p in family_folder(family).glob("*.py") if not p.stem.startswith("_"))
