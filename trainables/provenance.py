"""What a figure was made with: the code and library versions that go into artifact keys, and the machine."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import inspect
import platform
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

_PACKAGE = "trainables"

_LIBRARIES = ("torch", "diffusers")
_OPTIONAL = ("timm",)  # libraries of an extra: they count where a module imports them

# How things are found and kept, not how they are made: a change here leaves every figure as it was.
_NEUTRAL = frozenset({"trainables.store", "trainables.patience", "trainables.registry", "trainables.provenance"})


@cache
def code_version(*parts: str | Callable[..., Any]) -> str:
    """Hash of the code a stage's product depends on, with torch's and diffusers' versions.

    A part is a module of `trainables`, which counts with all that it imports inside it, or the function or class that is
    the stage itself, which counts alone: a change to one stage leaves the others' artifacts standing. Comments, layout and
    docstrings do not count, for the hash is over the syntax tree.
    """
    digest = hashlib.sha256()
    modules = sorted(_closure(tuple(p for p in parts if isinstance(p, str))))
    for module in modules:
        digest.update(module.encode())
        digest.update(_syntax(module).encode())
    for part in parts:
        if not isinstance(part, str):
            digest.update(_tree(textwrap.dedent(inspect.getsource(part))).encode())
    optional = [name for name in _OPTIONAL if any(name in _imported(module) for module in modules)]
    for library in (*_LIBRARIES, *optional):
        digest.update(f"{library}=={importlib.metadata.version(library)}".encode())
    return digest.hexdigest()[:16]


def machine() -> dict[str, str]:
    """Kind of machine, so that "same seed, same numbers" can say the same where."""
    return {"platform": platform.platform(), "processor": platform.machine(), "python": platform.python_version()}


def _closure(modules: tuple[str, ...]) -> set[str]:
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting.extend(_imports(module))
    return found - _NEUTRAL


def _imports(module: str) -> list[str]:
    """The modules of `trainables` that a module imports."""
    return [n for n in _imported(module) if n.startswith(f"{_PACKAGE}.") and _path(n) is not None]


def _imported(module: str) -> list[str]:
    """Every name that a module imports, wherever in it."""
    names: list[str] = []
    for node in ast.walk(ast.parse(_source(module))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise ValueError(f"{module}: a relative import hides what it depends on; write it out in full")
        elif isinstance(node, ast.ImportFrom) and node.module:
            # ``from trainables import models`` imports a module, ``from trainables.models import load`` a name of one.
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


@cache
def _syntax(module: str) -> str:
    return _tree(_source(module))


def _tree(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


def _source(module: str) -> str:
    path = _path(module)
    assert path is not None, f"{module} has no source"
    return path.read_text()


@cache
def _path(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec and spec.origin else None
