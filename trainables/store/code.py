"""What a figure was made with: the code and library versions that go into artifact keys, and the machine.

A module's hash is over its syntax tree, in which an import of a module of this package stands as that module's hash (a
Merkle tree): whatever a module reaches is in its hash. No module's name is in it, so a move leaves every key as it was.

    H(module) = SHA-256(its tree, and for every import: H(what it names), the name of it, what it is called here)

What makes no product lies in one of the `NEUTRAL` rooms, and an import of those stands as a constant. A package's
``__init__`` counts where it is named, and its other modules do not count with it: a family's member depends on what the
family is, not on the members beside it. A module from outside the package (`trainables.members`) is hashed alike, the files
beside it that it imports with it, so that wherever it lies its products' keys are those of the same file inside.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.abc import InspectLoader
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]

# Rooms whose code may change while every figure stays: how products are found and kept (`store`), and how long their making
# took (`running`). Neutral is what lies there, and nothing else. The registry of families is in neither: it says which
# metrics there are, in which order their figures are merged, and how settings are filled in.
NEUTRAL = ("store", "running", "members")

_LIBRARIES = ("torch", "diffusers")
# Packages that decide figures, and the distributions whose releases count where a module imports one: what it computes with too.
_COUNTED = {
    "PIL": ("pillow",),
    "cleanfid": ("clean-fid", "pillow"),  # it resizes by Pillow
    "opacus": ("opacus",),
    "sklearn": ("scikit-learn",),
    "timm": ("timm",),
    "tokenizers": ("tokenizers",),
    "torchvision": ("torchvision",),
    "transformers": ("transformers", "tokenizers", "torchvision"),  # texts are split, and images resized, by these
}


def code_version(*modules: str) -> str:
    """Hash of these modules of `trainables` with all that they import inside it, and of torch's and diffusers' versions; of other
    libraries that decide figures, where they are imported.

    Comments, docstrings, descriptions, layout and the order of imports do not count, nor does what is imported for type
    checkers alone.
    """
    return _CODE.version(*modules)


def machine() -> dict[str, str]:
    """Kind of machine, so that "same seed, same numbers" can say the same where."""
    return {"platform": platform.platform(), "processor": platform.machine(), "python": platform.python_version()}


@dataclass(frozen=True)
class Import:
    """One name that a module imports from `module`, and what it is `bound` to. Without a `name`, the module itself."""

    module: str
    name: str
    bound: str


@dataclass(frozen=True)
class Parsed:
    """A module's own part of its hash, and what it imports, each tuple a run of import statements with nothing between."""

    tree: str  # SHA-256
    runs: tuple[tuple[Import, ...], ...]
    distributions: tuple[str, ...] = ()  # whose releases count

    @property
    def modules(self) -> set[str]:
        return {one.module for run in self.runs for one in run}


class Code:
    """The modules of a package in a folder, each read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._parsed: dict[str, Parsed] = {}
        self._reached: dict[str, frozenset[str]] = {}
        self._hashes: dict[str, str] = {}

    def version(self, *modules: str) -> str:
        """Hash of these modules and all that they reach, with the versions of libraries."""
        digest = hashlib.sha256()
        for code in sorted({self.hash(module) for module in modules}):
            digest.update(code.encode())
        for library in _LIBRARIES:
            digest.update(_release(library).encode())
        return digest.hexdigest()[:16]

    def hash(self, module: str) -> str:
        """A module's hash. Modules that import each other are hashed together.

        In a circle every module's hash begins as the same constant and takes in the others', once for each of them: then
        every one has taken in the whole circle.
        """
        if self._is_neutral(module):
            return "neutral"
        if module not in self._hashes:
            circle = {module} | {other for other in self.reached(module) if module in self.reached(other)}
            outside = {m: self.hash(m) for member in circle for m in self.parsed(member).modules - circle}
            inside = dict.fromkeys(circle, "")
            for _ in circle:
                inside = {m: self._digest(m, outside | inside) for m in circle}
            self._hashes |= inside
        return self._hashes[module]

    def reached(self, module: str) -> frozenset[str]:
        """Every module that counts in a module's hash, beside itself."""
        if module not in self._reached:
            modules: set[str] = set()
            waiting = [module]
            while waiting:
                new = {m for m in self.parsed(waiting.pop()).modules if not self._is_neutral(m)} - modules
                modules |= new
                waiting += new
            self._reached[module] = frozenset(modules)
        return self._reached[module]

    def parsed(self, module: str) -> Parsed:
        if module not in self._parsed:
            self._parsed[module] = self._parse(module, self.source(module))
        return self._parsed[module]

    def source(self, module: str) -> str:
        """A module's text, of one from outside as it was run; ValueError where there is no such module."""
        path = self._path(module) if self._is_inside(module) else None
        text = path.read_text(encoding="utf-8") if path else _text_as_run(sys.modules.get(module))
        if text is None:
            raise ValueError(f"{module}: no module of {self.root}")
        return text

    def _digest(self, module: str, hashes: dict[str, str]) -> str:
        parsed = self.parsed(module)
        parts = [parsed.tree, *map(_release, parsed.distributions)]
        for run in parsed.runs:
            # Sorted by what they are, for the order of import statements is that of their modules' names.
            parts += ["run", *sorted(f"{hashes[one.module]} {one.name} {one.bound}" for one in run)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _parse(self, module: str, source: str) -> Parsed:
        tree = _Executed(source).tree
        runs: list[tuple[Import, ...]] = []
        outside: set[str] = set()  # what is imported from other packages
        for node in list(ast.walk(tree)):
            for field in ("body", "orelse", "finalbody"):
                statements = getattr(node, field, None)
                if isinstance(statements, list):  # a lambda has a body, and it is none
                    setattr(node, field, self._without_imports(module, statements, runs, outside))
        digest = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
        counted = {name for package in outside & _COUNTED.keys() for name in _COUNTED[package]}
        return Parsed(digest, tuple(runs), tuple(sorted(counted)))

    def _without_imports(
        self, module: str, statements: list[ast.stmt], runs: list[tuple[Import, ...]], outside: set[str]
    ) -> list[ast.stmt]:
        """The statements with each run of the package's imports replaced by its number, and appended to `runs`."""
        kept: list[ast.stmt] = []
        run: list[Import] = []

        def end_run() -> None:
            if run:
                kept.append(ast.Expr(ast.Name(f"<imports {len(runs)}>")))  # no name that a source can have
                runs.append(tuple(run))
                run.clear()

        for statement in statements:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                imports = list(self._imports(module, statement))
                run += imports
                if len(imports) == len(statement.names):
                    continue
                names = [statement.module or ""] if isinstance(statement, ast.ImportFrom) else []
                names += [alias.name for alias in statement.names]
                outside |= {name.partition(".")[0] for name in names}
            else:
                end_run()
            kept.append(statement)
        end_run()
        return kept

    def _imports(self, module: str, statement: ast.Import | ast.ImportFrom) -> Iterable[Import]:
        """What a statement imports of the package. ValueError where it does not say what that is."""
        package = self.root.name
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                if alias.name.partition(".")[0] == package:
                    if alias.asname is None or alias.name == package:
                        raise ValueError(f"{module}: import {alias.name} hides what is used; name it in a from-import")
                    yield Import(alias.name, "", alias.asname)
            return
        source = statement.module or ""
        if statement.level and self._is_inside(module):
            raise ValueError(f"{module}: a relative import hides what it depends on; write it out in full")
        if statement.level:
            source = ".".join([module.rsplit(".", statement.level)[0], *filter(None, [source])])
        if statement.level or source.partition(".")[0] == package:
            for alias in statement.names:
                inner = f"{source}.{alias.name}"
                if self._exists(inner):  # ``from trainables.denoisers import models``: a module
                    yield Import(inner, "", alias.asname or alias.name)
                else:  # ``from trainables.denoisers.models import load``: a name of one
                    yield Import(source, alias.name, alias.asname or alias.name)

    def _is_neutral(self, module: str) -> bool:
        package, _, inside = module.partition(".")
        return package == self.root.name and inside.partition(".")[0] in NEUTRAL

    def _is_inside(self, module: str) -> bool:
        return module.partition(".")[0] == self.root.name

    def _exists(self, module: str) -> bool:
        return self._path(module) is not None if self._is_inside(module) else module in sys.modules

    def _path(self, module: str) -> Path | None:
        stem = self.root.joinpath(*module.split(".")[1:])
        files = (stem.with_suffix(".py"), stem / "__init__.py")
        return next((file for file in files if file.is_file()), None)


class _Executed(ast.NodeTransformer):
    """A module's tree without what does nothing when it runs: texts that stand alone, and blocks for type checkers."""

    def __init__(self, source: str) -> None:
        tree = ast.parse(source)
        bound = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
        self._names = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "typing"
            for alias in node.names
            if alias.name == "TYPE_CHECKING"
        } - {name.id for name in bound}
        self.tree = self.visit(tree)
        for node in ast.walk(self.tree):
            if not isinstance(node, ast.Module) and getattr(node, "body", None) == []:
                node.body = [ast.Pass()]  # type: ignore[attr-defined]  # it has one

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """A call without a `description` that is plain text: it is for people, as a docstring is."""
        self.generic_visit(node)
        node.keywords = [k for k in node.keywords if not (k.arg == "description" and _is_text(k.value))]
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if _is_text(node.value) else self.generic_visit(node)  # type: ignore[return-value]  # an Expr stays one

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        if isinstance(node.test, ast.Name) and node.test.id in self._names:
            return node.orelse
        return node


def _text_as_run(module: ModuleType | None) -> str | None:
    """The text of a module from outside: what its loader has run, whatever its file holds by now; else its file's."""
    loader, file = getattr(module, "__loader__", None), getattr(module, "__file__", None)
    if module is not None and isinstance(loader, InspectLoader):
        return loader.get_source(module.__name__)
    return Path(file).read_text(encoding="utf-8") if file else None


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


@cache
def _release(library: str) -> str:
    """The library with its version; of an extra that is not there, that it is not: what would use it is refused or not asked."""
    try:
        return f"{library}=={importlib.metadata.version(library)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{library} not installed"


_CODE = Code(ROOT)
