"""Cluster files with their line numbers: what a YAML file says, and where it says it."""

from __future__ import annotations

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


@dataclass
class Document:
    """One YAML document: its values, and the line of every key and list item by its path. Line numbers begin at 1."""

    values: Any
    lines: dict[Place, int]
    repeated: list[tuple[Place, int]] = field(default_factory=list)  # keys written twice: YAML lets the last one win

    def line(self, *place: Step) -> int:
        """Where a place is written; of one that is missing, where its nearest parent is."""
        while place and place not in self.lines:
            place = place[:-1]
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

    @property
    def kubernetes(self) -> bool:
        return any("apiVersion" in d.values for d in self.documents)

    @property
    def document(self) -> Document:
        return self.documents[0]

    @property
    def provider(self) -> str:
        """Ray's provider, or ``kuberay``."""
        return "kuberay" if self.kubernetes else str((self.document.values.get("provider") or {}).get("type", ""))

    @cached_property
    def workers(self) -> dict[str, dict[str, Any]]:
        """The worker node types of a file for Ray's launcher, by name."""
        types = self.document.values.get("available_node_types") or {}
        return {name: node for name, node in types.items() if name != self.document.values.get("head_node_type")}

    def capacity(self, gpus_per_trial: float) -> int:
        """How many trials the cluster may grow to; 0 where the file doesn't say what its nodes have."""
        total = 0
        for node in self.workers.values():
            has = node.get("resources") or {}
            each = trials_on(int(has.get("GPU", 0)), gpus_per_trial) if gpus_per_trial else int(has.get("CPU", 0))
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
        nodes = [node for node in yaml.compose_all(text, Loader=yaml.SafeLoader) if node is not None]
        values = [value for value in yaml.safe_load_all(text) if value is not None]
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UsageError(f"{path}:{line}: not YAML: {error.problem}") from None
    if not values or not all(isinstance(value, dict) for value in values):
        raise UsageError(f"{path}: is no cluster file: it should hold keys and values")
    documents = tuple(_document(node, value) for node, value in zip(nodes, values, strict=True))
    found = ClusterFile(file, documents)
    if not found.kubernetes and "provider" not in found.document.values:
        raise UsageError(f"{path}: is no cluster file: it has neither a provider (Ray) nor an apiVersion (KubeRay)")
    return found


def _document(node: yaml.Node, values: Any) -> Document:
    document = Document(values, {})
    _walk(node, (), document)
    return document


def _walk(node: yaml.Node, place: Place, document: Document) -> None:
    document.lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[Hashable] = set()
        for key, value in node.value:
            inner, line = (*place, key.value), key.start_mark.line + 1
            if key.value in seen:
                document.repeated.append((inner, line))
            seen.add(key.value)
            document.lines[inner] = line
            _walk(value, inner, document)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            document.lines[(*place, i)] = value.start_mark.line + 1
            _walk(value, (*place, i), document)
