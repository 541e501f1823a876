"""Families of interchangeable things: methods, attacks, metrics, data sets, feature networks.

A member is one file in its family's folder and one line, ``@register("name", …)``; nothing else changes. The folder is
imported when the family is first asked for a member. A file or folder whose name begins with ``_`` helps members and is none.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Member = TypeVar("Member")


class Registry(Generic[T]):
    """The members of one family by name; `package` is the folder whose files register them."""

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self._package = package
        self._members: dict[str, T] = {}
        self._imported = False

    def add(self, name: str, member: T) -> None:
        """Register a member; ValueError where the name is taken."""
        if name in self._members:
            raise ValueError(f"two members of {self.kind} are called {name!r}")
        self._members[name] = member

    def decorator(self, name: str, wrap: Callable[[Member], T]) -> Callable[[Member], Member]:
        """A decorator that registers ``wrap(thing)`` and leaves the thing as it was."""

        def register(thing: Member) -> Member:
            self.add(name, wrap(thing))
            return thing

        return register

    def names(self) -> list[str]:
        self._import_folder()
        return sorted(self._members)

    def modules(self) -> list[str]:
        """The modules of the family's folder: what a figure made by all of its members depends on."""
        folder = importlib.import_module(self._package)
        names = [module.name for module in pkgutil.iter_modules(folder.__path__)]
        return sorted(f"{self._package}.{name}" for name in names if not name.startswith("_"))

    def __getitem__(self, name: str) -> T:
        """The member called `name`; ValueError names the nearest ones and all of them."""
        self._import_folder()
        if name not in self._members:
            close = difflib.get_close_matches(name, self._members, n=1)
            guess = f"did you mean {close[0]!r}? " if close else ""
            raise ValueError(f"unknown {self.kind} {name!r}: {guess}known: {', '.join(self.names())}")
        return self._members[name]

    def _import_folder(self) -> None:
        if not self._imported:
            for module in self.modules():
                importlib.import_module(module)
            self._imported = True


def configure(what: str, settings: type[T], values: Mapping[str, Any]) -> T:
    """A settings dataclass with these values; ValueError names a value it does not have, and those it has."""
    known = {f.name for f in fields(settings)}  # type: ignore[arg-type]
    if unknown := set(values) - known:
        raise ValueError(f"{what} has no setting {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}")
    return settings(**values)
