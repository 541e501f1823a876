"""How the code is laid out: ``python benchmarks/house.py [CHECKOUT] [-o FILE]``.

A *room* is what stands directly in a package: a folder with all that is in it, or a module of its own. Counted are the
modules and lines of each room; the imports between rooms, those within functions and under ``TYPE_CHECKING`` included; the
floors, which are the rooms on the longest way down along imports; and the circles. Files and functions longer than a reader
likes are named. Nothing is imported: the code is only parsed, so any checkout of any commit can be measured:

    git worktree add /tmp/before COMMIT
    python benchmarks/house.py /tmp/before
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("sweep", "trainables")
LINES_OF_A_FILE, LINES_OF_A_FUNCTION = 400, 60

Graph = Mapping[str, Iterable[str]]


@dataclass(frozen=True)
class Module:
    """One file of a package: its dotted name, and what it imports of the same package, once for every name imported."""

    name: str
    path: str
    lines: int
    imports: tuple[str, ...]
    functions: tuple[tuple[int, str], ...]  # (lines, name with its line)

    @property
    def room(self) -> str:
        """The first name below the package; the package's own file is a room called by the package's name."""
        return room_of(self.name)


def room_of(name: str) -> str:
    return name.split(".")[min(1, name.count("."))]


def modules_of(root: Path, package: str) -> list[Module]:
    """The package's modules, by name. ValueError where `root` has no such package."""
    files = {_dotted(path.relative_to(root)): path for path in sorted((root / package).rglob("*.py"))}
    if not files:
        raise ValueError(f"{root}: has no package {package}; name a checkout of the project")
    found = []
    for name, path in files.items():
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text, filename=str(path))
        imports = tuple(t for t in _imported(tree, name, path.stem == "__init__", files.keys()) if t != name)
        place = path.relative_to(root).as_posix()
        found.append(Module(name, place, text.count("\n"), imports, tuple(_functions(tree, place))))
    return found


def _dotted(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(tree: ast.AST, importer: str, is_folder: bool, known: Iterable[str]) -> Iterator[str]:
    """The known modules that are imported: the module named where there is one, else the one that has the name."""
    known = set(known)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            asked = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = importer.split(".")
            above = above[: len(above) - node.level + is_folder] if node.level else []
            module = ".".join([*above, node.module] if node.module else above)
            asked = [(module, alias.name) for alias in node.names]
        else:
            continue
        for module, name in asked:
            if f"{module}.{name}" in known:
                yield f"{module}.{name}"
            elif module in known:
                yield module


def _functions(tree: ast.AST, place: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1, f"{place}:{node.lineno} {node.name}"


def between_rooms(modules: Iterable[Module]) -> Counter[tuple[str, str]]:
    """How many names each room imports of each other."""
    pairs = ((m.room, room_of(target)) for m in modules for target in m.imports)
    return Counter((a, b) for a, b in pairs if a != b)


def circles(graph: Graph) -> list[list[str]]:
    """The sets of two or more that all reach each other (Tarjan's strongly connected components), each sorted."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = lowest[node] = len(order)
        open_.append(node)
        for target in graph.get(node, ()):
            if target not in order:
                visit(target)
                lowest[node] = min(lowest[node], lowest[target])
            elif target in open_:
                lowest[node] = min(lowest[node], order[target])
        if lowest[node] == order[node]:
            at = open_.index(node)
            component = open_[at:]
            del open_[at:]
            if len(component) > 1:
                found.append(sorted(component))

    for node in sorted(graph):
        if node not in order:
            visit(node)
    return sorted(found)


def floors(graph: Graph) -> int:
    """How many stand on the longest way down; those of one circle share a floor."""
    together = {node: circle[0] for circle in circles(graph) for node in circle}
    below: dict[str, set[str]] = {}
    for node, targets in graph.items():
        at = together.get(node, node)
        below.setdefault(at, set()).update(together.get(t, t) for t in targets)
    heights: dict[str, int] = {}

    def height(node: str) -> int:
        if node not in heights:
            heights[node] = 1 + max((height(t) for t in below.get(node, ()) if t != node), default=0)
        return heights[node]

    return max((height(node) for node in below), default=0)


def graph_of(pairs: Iterable[tuple[str, str]], nodes: Iterable[str]) -> dict[str, list[str]]:
    graph: dict[str, list[str]] = {node: [] for node in nodes}
    for a, b in sorted(set(pairs)):
        graph[a].append(b)
    return graph


def written(root: Path, packages: Iterable[str] = PACKAGES) -> str:
    """The tables of all packages as Markdown."""
    lines = ["# The house, counted", ""]
    measured = {package: modules_of(root, package) for package in packages}
    heads = ("package", "rooms", "modules", "lines", "arrows between rooms", "names imported between rooms", "floors",
             "circles of rooms", "circles of modules")  # fmt: skip
    lines += [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for package, modules in measured.items():
        arrows, rooms = between_rooms(modules), sorted({m.room for m in modules})
        of_rooms = graph_of(arrows, rooms)
        of_modules = graph_of(((m.name, t) for m in modules for t in m.imports), (m.name for m in modules))
        counts = (len(rooms), len(modules), sum(m.lines for m in modules), len(arrows), sum(arrows.values()),
                  floors(of_rooms), len(circles(of_rooms)), len(circles(of_modules)))  # fmt: skip
        lines.append(f"| {package} | " + " | ".join(f"{n:,}" for n in counts) + " |")
    for package, modules in measured.items():
        lines += ["", f"## {package}", *_rooms(modules), *_circles(modules), *_longest(modules)]
    return "\n".join(lines) + "\n"


def _rooms(modules: list[Module]) -> Iterator[str]:
    arrows = between_rooms(modules)
    yield from ("", "| room | modules | lines | imports (names) | imported by |", "|---|---|---|---|---|")
    for room in sorted({m.room for m in modules}):
        own = [m for m in modules if m.room == room]
        down = ", ".join(f"{b} {n}" for (a, b), n in sorted(arrows.items()) if a == room)
        users = sum(b == room for _, b in arrows)
        yield f"| {room} | {len(own)} | {sum(m.lines for m in own):,} | {down or '-'} | {users} |"


def _circles(modules: list[Module]) -> Iterator[str]:
    of_rooms = circles(graph_of(between_rooms(modules), (m.room for m in modules)))
    pairs = ((m.name, target) for m in modules for target in m.imports)
    of_modules = circles(graph_of(pairs, (m.name for m in modules)))
    yield from ("", "Circles of rooms: " + ("; ".join(", ".join(c) for c in of_rooms) or "none") + ".")
    yield from ("", "Circles of modules: " + ("; ".join(", ".join(c) for c in of_modules) or "none") + ".")


def _longest(modules: list[Module]) -> Iterator[str]:
    files = sorted(((m.lines, m.path) for m in modules), reverse=True)
    functions = sorted((f for m in modules for f in m.functions), reverse=True)
    for what, most, found in (("files", LINES_OF_A_FILE, files), ("functions", LINES_OF_A_FUNCTION, functions)):
        over = [f"{place} ({lines})" for lines, place in found if lines > most]
        longest = f"{found[0][1]} ({found[0][0]})" if found else "none"
        yield from (
            "",
            f"{what.capitalize()} over {most} lines: {', '.join(over) or f'none; the longest is {longest}'}.",
        )


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.split(":")[0] + ".")
    p.add_argument("checkout", type=Path, nargs="?", default=Path(__file__).parents[1], help="default: this one")
    p.add_argument(
        "--package", action="append", metavar="NAME", help=f"instead of {' and '.join(PACKAGES)}; repeatable"
    )
    p.add_argument("-o", "--output", type=Path, metavar="FILE", help="write there, not to standard output")
    args = p.parse_args()
    try:
        text = written(args.checkout, args.package or PACKAGES)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if args.output is None:
        print(text, end="")
    else:
        args.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
