"""Families of interchangeable things: methods, attacks, metrics, data sets, feature networks.

A member is one file in its family's folder and one line, ``@register("name", …)``; nothing else changes. The folder is
imported when the family is first asked for a member. A file or folder whose name begins with ``_`` helps members and is none.
A file outside the folder registers by the same line (`trainables.members`), and its members are used as those within are.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, dataclass, fields, is_dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Member = TypeVar("Member")


class NameTaken(ValueError):
    """Two files register members of one family by one name."""


@dataclass(frozen=True)
class Registered:
    """A member that a module outside its family's folder has registered."""

    registry: Registry[Any]
    name: str
    module: str
    member: Any

    @property
    def family(self) -> str:
        """The name of the family's folder."""
        return self.registry.package.rpartition(".")[2]


_outside: list[Registered] = []  # of every family, in the order in which they were registered


def outside() -> tuple[Registered, ...]:
    """The members that are registered from outside their families' folders."""
    return tuple(_outside)


def withdraw(members: Iterable[Registered]) -> None:
    """Take members from outside out of their families."""
    for one in members:
        one.registry.remove(one)


def restore(members: Iterable[Registered]) -> None:
    """Put members back that were withdrawn; NameTaken where another has the name now."""
    for one in members:
        one.registry.add(one.name, one.member, one.module)


class Registry(Generic[T]):
    """The members of one family by name; `package` is the folder whose files register them."""

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._members: dict[str, T] = {}
        self._module_of: dict[str, str] = {}
        self._imported = False

    def add(self, name: str, member: T, module: str = "") -> None:
        """Register a member that a module brings; NameTaken where the name is another's. The folder's own have theirs first."""
        from_outside = module != "" and not module.startswith(f"{self.package}.")
        if from_outside:
            self._import_folder()
        if name in self._members:
            raise NameTaken(
                f"the {self.kind} {name!r} is already registered by {self._place_of(name)}; rename one of them"
            )
        self._members[name] = member
        self._module_of[name] = module
        if from_outside:
            _outside.append(Registered(self, name, module, member))

    def remove(self, one: Registered) -> None:
        """Take out a member from outside."""
        _outside.remove(one)
        del self._members[one.name], self._module_of[one.name]

    def decorator(self, name: str, wrap: Callable[[Member], T]) -> Callable[[Member], Member]:
        """A decorator that registers ``wrap(member)`` and leaves the member as it was."""

        def register(member: Member) -> Member:
            self.add(name, wrap(member), member.__module__)
            return member

        return register

    def names(self) -> list[str]:
        self._import_folder()
        return sorted(self._members)

    def modules(self) -> list[str]:
        """The modules of all members, those from outside too: what a figure made by all of them depends on."""
        return sorted({*self._folder(), *(one.module for one in _outside if one.registry is self)})

    def __getitem__(self, name: str) -> T:
        """The member called `name`; ValueError names the nearest ones and all of them."""
        self._import_folder()
        if name not in self._members:
            close = difflib.get_close_matches(name, self._members, n=1)
            guess = f"did you mean {close[0]!r}? " if close else ""
            raise ValueError(f"unknown {self.kind} {name!r}: {guess}known: {', '.join(self.names())}")
        return self._members[name]

    def _folder(self) -> list[str]:
        """The modules of the family's folder."""
        folder = importlib.import_module(self.package)
        names = [module.name for module in pkgutil.iter_modules(folder.__path__)]
        return sorted(f"{self.package}.{name}" for name in names if not name.startswith("_"))

    def _import_folder(self) -> None:
        if not self._imported:
            for module in self._folder():
                importlib.import_module(module)
            self._imported = True

    def _place_of(self, name: str) -> str:
        """The file that registered a member, as far as it is known."""
        module = self._module_of[name]
        return getattr(sys.modules.get(module), "__file__", None) or module or "another"


# By the name that a dataclass declares a setting with: the types of its values, and what they are called.
_KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "bool": ((bool,), "True or False"),
    "int": ((int,), "a whole number"),
    "float": ((float, int), "a number"),
    "str": ((str,), "a word"),
    "None": ((type(None),), "None"),
}


def configure(what: str, settings: type[T], values: Mapping[str, Any]) -> T:
    """A settings dataclass with these values; ValueError names one that it does not have, or that is not of the setting's type."""
    if not is_dataclass(settings):
        raise TypeError(f"{what}: its settings, {settings.__name__}, are no dataclass; register it with one")
    known = {f.name: f for f in fields(settings)}  # type: ignore[arg-type]
    if unknown := set(values) - set(known):
        raise ValueError(f"{what} has no setting {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}")
    for name, value in values.items():
        _check_type(what, known[name], value)
    return settings(**values)


def _check_type(what: str, setting: Field[Any], value: Any) -> None:
    """ValueError unless a value is what its setting is declared to be; what is declared as anything else is its file's to check."""
    declared = setting.type.__name__ if isinstance(setting.type, type) else str(setting.type)
    names = declared.split(" | ")
    if not set(names) <= set(_KINDS):
        return
    types = [of_name for name in names for of_name in _KINDS[name][0]]
    if not (type(value) is bool and bool not in types) and isinstance(value, tuple(types)):
        return
    raise ValueError(f"{what}: {setting.name} must be {' or '.join(_KINDS[name][1] for name in names)}, not {value!r}")
