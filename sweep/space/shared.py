"""Which parameters the arms of a question share: those of one name that at least two arms have and that vary in them.

An arm has a parameter where it is no other's condition: what exists only under an option is not compared across arms.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from sweep.errors import UsageError
from sweep.space.parameters import Choice, Parameter

Trees: TypeAlias = Sequence[Sequence[Parameter]]
"""The parameters of every arm."""


def still_shared(trees: Trees, names: Iterable[str]) -> tuple[str, ...]:
    """Of these names, what the arms share."""
    having = {name: _having(trees, name) for name in names}
    return tuple(name for name, some in having.items() if len(some) > 1 and _varies(some))


def check_shared(space: str, trees: Trees, names: Iterable[str]) -> None:
    """UsageError for a shared parameter that fewer than two arms have, that does not vary, or whose scales differ."""
    for name in names:
        having = _having(trees, name)
        if len(having) < 2:
            raise UsageError(
                f"space {space!r}: shared names {name!r}, which {len(having) or 'none'} of its arms has "
                f"unconditionally; name parameters of at least two"
            )
        if not _varies(having):
            raise UsageError(f"space {space!r}: shared names {name!r}, which has one value in every arm; leave it out")
        if len({p.log for p in having if not isinstance(p, Choice)}) > 1:
            raise UsageError(
                f"space {space!r}: shared parameter {name!r} is on a logarithmic scale in one arm and not in another"
            )


def _having(trees: Trees, name: str) -> list[Parameter]:
    """The parameter of this name of every arm that has it."""
    return [parameter for tree in trees for parameter in tree if parameter.name == name]


def _varies(having: Sequence[Parameter]) -> bool:
    """Whether a parameter has more than one value in all arms together."""
    options = {option for p in having if isinstance(p, Choice) for option in p.branches}
    numbers = [p for p in having if not isinstance(p, Choice)]
    return len(options) > 1 or (bool(numbers) and min(p.low for p in numbers) < max(p.high for p in numbers))
