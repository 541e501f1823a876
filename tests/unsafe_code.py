"""Finds what would run code that a file, a model or a name brings along, by the syntax tree of Python sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator

# Modules that turn bytes into objects by running what the bytes name.
_UNPICKLERS = frozenset(
    (
        "pickle",
        "_pickle",
        "cPickle",
        "cloudpickle",
        "dill",
        "joblib",
        "shelve",
        "marshal",
        "pickletools",
        "ray.cloudpickle",
    )
)
_CALLS = {
    "eval": "runs text as code",
    "exec": "runs text as code",
    "compile": "makes code of text",
    "__import__": "imports by a computed name",
    "importlib.import_module": "imports by a computed name",
    "runpy.run_path": "runs a file",
    "runpy.run_module": "runs a file",
    "os.system": "gives text to a shell",
    "os.popen": "gives text to a shell",
    "subprocess.getoutput": "gives text to a shell",
    "subprocess.getstatusoutput": "gives text to a shell",
    "torch.jit.load": "runs a TorchScript file",
    "torch.hub.load": "runs a repository's code",
    "torch.package.PackageImporter": "runs a file's code",
    "numpy.lib.format.read_array": "may unpickle",
    "yaml.unsafe_load": "makes any object",
    "yaml.unsafe_load_all": "makes any object",
    "yaml.full_load": "makes many objects",
    "yaml.full_load_all": "makes many objects",
}
_METHODS = {"read_pickle": "unpickles", "exec_module": "runs a file", "restore_from_path": "unpickles"}
_LOADS = ("torch.load", "yaml.load", "yaml.load_all", "yaml.compose", "yaml.compose_all", "yaml.parse", "numpy.load")
_SAFE_LOADERS = ("yaml.SafeLoader", "yaml.CSafeLoader")


def findings(source: str) -> list[tuple[int, str]]:
    """(line, what is unsafe there), in the order of the lines. Names are followed through imports and their aliases."""
    tree = ast.parse(source)
    names = dict(_imported(tree))
    return sorted(
        {(node.lineno, what) for node in ast.walk(tree) for what in _unsafe(node, names)},  # type: ignore[attr-defined]
    )


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """What each name that an import binds stands for: ``np`` for ``numpy``, ``load`` for ``torch.load``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0],) * 2
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _unsafe(node: ast.AST, names: dict[str, str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (f"import {alias.name}" for alias in node.names if alias.name in _UNPICKLERS)
    elif isinstance(node, ast.ImportFrom):
        modules = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        yield from (f"import {module}" for module in modules if module in _UNPICKLERS)
    elif isinstance(node, ast.Call):
        yield from _call(node, names)


def _call(node: ast.Call, names: dict[str, str]) -> Iterator[str]:
    name = _name(node.func, names)
    given = {k.arg: k.value for k in node.keywords if k.arg}
    if name in _CALLS:
        yield f"{name}: {_CALLS[name]}"
    if isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS:
        yield f"{node.func.attr}: {_METHODS[node.func.attr]}"
    if name.endswith("Tuner.restore"):
        yield "Tuner.restore: unpickles Tune's state"
    if name == "torch.load" and not _is(given.get("weights_only"), True):
        yield "torch.load without weights_only=True"
    if name.startswith("yaml.") and name in _LOADS:
        loader = given.get("Loader") or (node.args[1] if len(node.args) > 1 else None)
        if loader is None or _name(loader, names) not in _SAFE_LOADERS:
            yield f"{name} without SafeLoader"
    for option in ("allow_pickle", "shell", "trust_remote_code"):
        if option in given and not _is(given[option], False):
            yield f"{option}="
    reads_model = isinstance(node.func, ast.Attribute) and node.func.attr == "from_pretrained"
    if reads_model and not _is(given.get("use_safetensors"), True):
        yield "from_pretrained without use_safetensors=True"


def _name(node: ast.AST, names: dict[str, str]) -> str:
    """``torch.jit.load`` of such an expression, whatever the module was imported as; empty where it is no plain name."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute) and (inner := _name(node.value, names)):
        return f"{inner}.{node.attr}"
    return ""


def _is(node: ast.AST | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value
