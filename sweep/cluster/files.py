"""Cluster files with their line numbers: what a YAML file says, and where it says it."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from sweep.errors import UsageError
from sweep.plan.place import trials_on

Step = str | int
Place = tuple[Step, ...]
_MERGE = "tag:yaml.org,2002:merge"
_MOST_PLACES = (
    100_000  # keys and list items of one document, its anchors unfolded; the shipped files have a few hundred
)


@dataclass
class Document:
    """One YAML document: its values, and the line of every key and list item by its path. Line numbers begin at 1."""

    values: Any
    lines: dict[Place, int]
    repeated: list[tuple[Place, int]] = field(default_factory=list)  # keys written twice: YAML lets the last one win

    def line(self, *place: Step) -> int:
        """Where a place is written; of one that is missing, where its nearest parent is."""
        while place and place not in self.lines:
            as_written = (*place[:-1], str(place[-1]))  # of a key that is no text: 8265, true
            place = as_written if as_written in self.lines else place[:-1]
        return self.lines.get(place, 1)

    def texts(self) -> Iterator[tuple[Place, str]]:
        """Every text in it, keys included, with its place."""
        yield from _texts(self.values, ())


def _texts(value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*place, key), str(key)
            yield from _texts(inner, (*place, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _texts(inner, (*place, i))
    elif isinstance(value, str):
        yield place, value


@dataclass(frozen=True)
class ClusterFile:
    """A cluster file: for Ray's launcher (one document with a ``provider``), or Kubernetes manifests for KubeRay."""

    path: Path
    documents: tuple[Document, ...]
    text: str = ""

    @property
    def comments(self) -> Iterator[tuple[int, str]]:
        """What stands behind a # that may begin a comment, by line; YAML keeps nothing of it."""
        for number, line in enumerate(self.text.splitlines(), 1):
            if comment := re.search(r"(?:^|\s)#(.*)", line):
                yield number, comment.group(1)

    @property
    def kubernetes(self) -> bool:
        return any("apiVersion" in document.values for document in self.documents)

    @property
    def document(self) -> Document:
        return self.documents[0]

    @property
    def provider(self) -> str:
        """Ray's provider, or ``kuberay``."""
        if self.kubernetes:
            return "kuberay"
        provider = self.document.values.get("provider")
        return str(provider.get("type", "")) if isinstance(provider, dict) else ""

    @cached_property
    def workers(self) -> dict[str, dict[str, Any]]:
        """The worker node types of a file for Ray's launcher, by name."""
        types = self.document.values.get("available_node_types") or {}
        return {name: node for name, node in types.items() if name != self.document.values.get("head_node_type")}

    def capacity(self, gpus_per_trial: float, gpu_type: str = "") -> int:
        """How many trials the cluster may grow to, on GPUs of this type; 0 where the file doesn't say what its nodes have."""
        total = 0
        for node in self.workers.values():
            has = node.get("resources") or {}
            if gpu_type and f"accelerator_type:{gpu_type}" not in has:
                continue
            each = int(has.get("CPU", 0))  # a trial asks for one, whatever it asks of a GPU
            if gpus_per_trial:
                on_gpus = trials_on(int(has.get("GPU", 0)), gpus_per_trial)
                each = min(on_gpus, each) if "CPU" in has else on_gpus
            total += each * int(node.get("max_workers", 0))
        return total


def read(path: str) -> ClusterFile:
    """The cluster file at `path`. UsageError where there is none, or it is no YAML, or no cluster's."""
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        documents = list(_documents(text))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UsageError(
            f"{path}:{line}: not YAML: the character U+{ord(text[error.position]):04X}; take it out"
        ) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UsageError(f"{path}:{line}: not YAML: {error.problem}") from None
    except RecursionError:
        raise UsageError(f"{path}: not YAML that can be read: nested too deeply") from None
    if not documents or not all(isinstance(document.values, dict) for document in documents):
        raise UsageError(f"{path}: is no cluster file: it should hold keys and values")
    cluster_file = ClusterFile(file, tuple(documents), text)
    if not cluster_file.kubernetes and "provider" not in cluster_file.document.values:
        raise UsageError(f"{path}: is no cluster file: it has neither a provider (Ray) nor an apiVersion (KubeRay)")
    return cluster_file


class _Loader(yaml.SafeLoader):
    """As YAML's own, and a value that cannot be made, such as the 45th of a month, is a mistake in the file, with its line."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError, TypeError) as error:
            written = f"{node.value[:40]!r}: " if isinstance(node, yaml.ScalarNode) else ""
            raise yaml.constructor.ConstructorError(None, None, f"{written}{error}", node.start_mark) from None


def _documents(text: str) -> Iterator[Document]:
    """Each document that says something; of a list of Kubernetes objects, each object."""
    for node in list(yaml.compose_all(text, Loader=yaml.SafeLoader)):
        if node is None:
            continue
        _refuse_loops(node, [], set())
        lines = Document(None, {})
        _walk(node, (), lines)  # before the values are made, which folds merged keys (<<) into the nodes
        loader = _Loader("")
        try:
            lines.values = loader.construct_document(node)
        finally:
            loader.dispose()
        if lines.values is not None:
            yield from _unpacked(lines)


def _unpacked(document: Document) -> Iterator[Document]:
    """The objects of a ``kind: List``, as kubectl takes them: each a document. Anything else is itself."""
    values = document.values
    items = values.get("items") if isinstance(values, dict) and values.get("kind") == "List" else None
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        yield document
        return
    for i, item in enumerate(items):
        inside: Place = ("items", i)
        lines = {place[2:]: line for place, line in document.lines.items() if place[:2] == inside}
        repeated = [(place[2:], line) for place, line in document.repeated if place[:2] == inside]
        outside = [(place, line) for place, line in document.repeated if place[:1] != ("items",) and i == 0]
        yield from _unpacked(Document(item, lines, outside + repeated))


def _refuse_loops(node: yaml.Node, parents: list[yaml.Node], seen: set[int]) -> None:
    """A mistake in the file where an anchor holds itself: what it says has no end."""
    if any(node is parent for parent in parents):
        raise yaml.constructor.ConstructorError(None, None, "an anchor that holds itself", node.start_mark)
    if id(node) in seen or isinstance(node, yaml.ScalarNode):
        return
    seen.add(id(node))
    for inner in node.value:
        for part in inner if isinstance(inner, tuple) else (inner,):
            _refuse_loops(part, [*parents, node], seen)


def _merged(node: yaml.MappingNode) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    """The keys that a mapping takes over from others (``<<``), the first to be heard first."""
    for key, value in node.value:
        if key.tag != _MERGE:
            continue
        for part in value.value if isinstance(value, yaml.SequenceNode) else [value]:
            if isinstance(part, yaml.MappingNode):
                yield from ((k, v) for k, v in part.value if isinstance(k, yaml.ScalarNode) and k.tag != _MERGE)
                yield from _merged(part)


def _walk(node: yaml.Node, place: Place, document: Document) -> None:
    if len(document.lines) > _MOST_PLACES:
        raise yaml.constructor.ConstructorError(None, None, "its anchors unfold without end", node.start_mark)
    document.lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[Hashable] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            inner, line = (*place, key.value), key.start_mark.line + 1
            if key.value in seen:
                document.repeated.append((inner, line))
            seen.add(key.value)
            document.lines[inner] = line
            _walk(value, inner, document)
        for key, value in _merged(node):
            if (*place, key.value) not in document.lines:
                document.lines[*place, key.value] = key.start_mark.line + 1
                _walk(value, (*place, key.value), document)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            document.lines[(*place, i)] = value.start_mark.line + 1
            _walk(value, (*place, i), document)
