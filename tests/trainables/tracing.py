"""Which functions of `trainables` a call reaches, and the package's code with one of its functions edited."""

from __future__ import annotations

import ast
import gc
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from trainables.store.code import ROOT, Code

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True, order=True)
class Function:
    """A function or lambda of the package, by its module and the line it begins at."""

    module: str
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line} {self.name}"


def modules() -> list[str]:
    """Every module of the package."""
    return sorted(map(module_at, ROOT.rglob("*.py")))


def module_at(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def reached(make: Callable[[], Any]) -> set[Function]:
    """The functions of the package that `make` calls. What a process has cached is forgotten first.

    So is what other tests left for the garbage collector: an unfinished generator that it closes runs once more, and would
    count as called by this making.
    """
    forget_caches()
    gc.collect()
    codes: dict[int, Any] = {}

    def called(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            codes[id(frame.f_code)] = frame.f_code

    gc.disable()
    sys.setprofile(called)
    try:
        make()
    finally:
        sys.setprofile(None)
        gc.enable()
    inside = [code for code in codes.values() if code.co_filename.startswith(f"{ROOT}/")]
    found = set()
    for code in inside:
        module = module_at(Path(code.co_filename))
        if code.co_firstlineno in definitions(module):  # a comprehension's frame is of the function around it
            found.add(Function(module, code.co_firstlineno, code.co_name))
    return found


def forget_caches() -> None:
    """A data set that is read already would not be read by the next making, whose key has to know of the reading."""
    for name, module in list(sys.modules.items()):
        if name.startswith("trainables."):
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


@cache
def definitions(module: str) -> dict[int, str]:
    """Names of a module's functions by the line they begin at, decorators included; of two lambdas in a line, one."""
    tree = ast.parse(Code(ROOT).source(module))
    return {_line(node): getattr(node, "name", "<lambda>") for node in ast.walk(tree) if isinstance(node, Definition)}


def functions(module: str) -> Iterator[Function]:
    """Every function of a module."""
    for line, name in definitions(module).items():
        yield Function(module, line, name)


def edited(function: Function) -> str:
    """The source of a function's module in which that function does one thing more, which changes nothing."""
    tree = ast.parse(Code(ROOT).source(function.module))
    for node in ast.walk(tree):
        if isinstance(node, Definition) and _line(node) == function.line:
            if isinstance(node, ast.Lambda):
                pair = ast.Tuple([ast.Constant(0), node.body], ast.Load())
                node.body = ast.Subscript(pair, ast.Constant(1), ast.Load())
            else:
                node.body.append(ast.Expr(ast.Constant(0)))
    return ast.unparse(ast.fix_missing_locations(tree))


class Edited(Code):
    """The package's code with one module's source replaced; the other modules are those that `original` has read."""

    def __init__(self, original: Code, module: str, source: str) -> None:
        super().__init__(original.root)
        self._parsed = original._parsed | {module: self._parse(module, source)}
        imports_stay = self._parsed[module].modules == original.parsed(module).modules
        self._reached = dict(original._reached) if imports_stay else {}


def _line(node: Definition) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
