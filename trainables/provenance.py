"""What a figure was made with: the code and library versions that go into artifact keys, and the machine."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import platform
from functools import cache
from pathlib import Path

_PACKAGE = "trainables"


@cache
def code_version(*modules: str) -> str:
    """Hash of the source of these modules of `trainables` and of all they import inside it, with torch's and diffusers' versions.

    Comments and layout do not count: the hash is over the syntax tree, docstrings left out.
    """
    digest = hashlib.sha256()
    for module in sorted(_closure(modules)):
        digest.update(module.encode())
        digest.update(_syntax(module).encode())
    for library in ("torch", "diffusers"):
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
    return found


def _imports(module: str) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(_source(module))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # ``from trainables import models`` imports a module, ``from trainables.models import load`` a name of one.
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [n for n in names if n.startswith(f"{_PACKAGE}.") and _path(n) is not None]


@cache
def _syntax(module: str) -> str:
    tree = ast.parse(_source(module))
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
