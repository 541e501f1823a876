"""Which rooms a value walks through: ``python benchmarks/walks.py [CHECKOUT]`` follows three of them through a real, tiny sweep.

- **a setting, from the question to its loss**: a question holds ``lambda_ratio`` at one number that nothing else is. Traced
  until the method's loss is first computed.
- **a result, from the attack's stage to the page**: how often one trial's AURC is computed, one trial's excess over a bound, and
  its curves are read from the tables, from the first rung until the page is written.
- **the FID budget, from the command line to feasibility**: ``--fid-budget`` with one number; and how many places of the code
  say its name.

A *room* is a module. A function *handles* the value where an argument, a local or its result is the value itself; it
*carries* it where one of them is a mapping with it, or a dataclass with it or with such a mapping. A tracer sees every call
of the project's own code (`sys.setprofile`), so nobody has to read it; any commit can be followed:

    git worktree add /tmp/before COMMIT
    python benchmarks/walks.py /tmp/before
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import io
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGES = ("sweep", "trainables", "search_spaces")
RATIO, BUDGET = 0.7351928463, 987654.3217  # numbers that nothing else in a sweep is
QUESTION = f"""
from sweep.space import Arm, Attack, Constraint, Float, Int, Objective, SearchSpace
ATTACKS = (Attack("dimra-retain", "dimra", {{"auxiliary": "retain", "batch": 8}}),)
SPACE = SearchSpace(
    name="walk", question="Where does it go?",
    arms=(Arm("dimum", "dimum", (Float("lambda_ratio", {RATIO}, {RATIO}), Int("steps", 2, 3))),),
    objectives=(Objective("robustness", "maximise"), Objective("fid_delta", "minimise")),
    constraints=(Constraint("fid_delta", at_most="fid_budget"), Constraint("unlearning_accuracy", at_least=0.0)),
    search_attacks=ATTACKS, confirm_attacks=ATTACKS, rungs=(0, 1),
)
"""
SMALL = (
    "--in-process --trials 1 --baseline-trials 0 --confirm-seeds 1 --base-steps 2 --sampling-steps 2 --sampler qmc "
    "--samples-forgotten 4 --samples-per-retained 2"
)


@dataclasses.dataclass
class Walk:
    """The functions that handled a value, and those that carried it, as ``module:function``."""

    value: float
    handled: set[str] = dataclasses.field(default_factory=set)
    carried: set[str] = dataclasses.field(default_factory=set)

    def see(self, frame: FrameType, result: object) -> None:
        things = (*frame.f_locals.values(), result)
        name = f"{frame.f_globals['__name__']}:{frame.f_code.co_qualname}"
        if any(holds(thing, self.value, 0) for thing in things):
            self.handled.add(name)
        elif any(holds(thing, self.value) for thing in things):
            self.carried.add(name)

    def told(self) -> dict[str, list[str]]:
        """The rooms that handle it, those that only carry it, and the functions that handle it."""
        handle, carry = (sorted({name.partition(":")[0] for name in names}) for names in (self.handled, self.carried))
        only = [room for room in carry if room not in handle]
        return {"handle": handle, "carry": only, "functions": sorted(self.handled)}


def holds(thing: object, value: float, depth: int = 2) -> bool:
    """Whether a thing is the value, or a mapping or dataclass with it, `depth` levels deep."""
    if isinstance(thing, float):
        return thing == value
    if not depth or isinstance(thing, type):
        return False
    if isinstance(thing, dict) and len(thing) < 200:
        return any(holds(item, value, depth - 1) for item in thing.values())
    if dataclasses.is_dataclass(thing):
        fields = (getattr(thing, f.name, None) for f in dataclasses.fields(thing))
        return any(holds(item, value, depth - 1) for item in fields)
    return False


class Tracer:
    """Shows every return from the project's own functions to `see`, and counts calls of some by name."""

    def __init__(self, root: Path, see: Callable[[FrameType, object], None], counted: Mapping[str, str]) -> None:
        self.folders = tuple(str(root / package) + os.sep for package in PACKAGES)
        self.see, self.counted, self.counts = see, counted, Counter[str]()
        self.on = True

    def __call__(self, frame: FrameType, event: str, result: Any) -> None:
        file = frame.f_code.co_filename
        if event != "return" or not (file.startswith(self.folders) and file.endswith(".py")):
            return
        name = frame.f_code.co_name
        if name in self.counted:
            self.counts[self.counted[name]] += 1
        if self.on:
            self.see(frame, result)


def follow(root: Path) -> dict[str, Any]:
    """The three walks of a checkout, in this process, whose ``sys.path`` begins with it."""
    from sweep import launch

    settings, budget = Walk(RATIO), Walk(BUDGET)

    def see(frame: FrameType, result: object) -> None:
        budget.see(frame, result)
        if not walked:
            settings.see(frame, result)
            module = frame.f_globals["__name__"]
            if module.startswith("trainables.unlearning.dimum") and frame.f_code.co_name == "loss":
                walked.append(module)

    walked: list[str] = []
    counted = {"aurc": "AURC", "violation": "excess", "curves_of": "curves", "_table": "tables read"}
    tracer = Tracer(root, see, counted)
    with tempfile.TemporaryDirectory() as folder:
        question = Path(folder) / "walk.py"
        question.write_text(QUESTION)
        where = ["--run-dir", f"{folder}/run", "--artifacts", f"{folder}/artifacts", "--fid-budget", str(BUDGET)]
        sys.setprofile(tracer)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                code = launch.main(["--space", str(question), *SMALL.split(), *where])
        finally:
            sys.setprofile(None)
    if code or not walked:
        raise RuntimeError(f"the sweep that was to be followed ended with {code}; its loss was reached: {bool(walked)}")
    named = mentions(root, "fid_budget")
    return {
        "setting": settings.told(),
        "budget": budget.told(),
        "budget named": sum(named.values()),
        "budget named in": sorted(named),
        "computed": dict(tracer.counts),
    }


def mentions(root: Path, name: str) -> Counter[str]:
    """By file of the sweep, how many places of its code say a name: variables, attributes, arguments, keywords and words."""
    places: Counter[str] = Counter()
    for path in sorted((root / "sweep").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            said = [getattr(node, field, None) for field in ("id", "attr", "arg", "value")]
            if name in [word for word in said if isinstance(word, str)]:
                places[path.relative_to(root).as_posix()] += 1
    return places


def text(walks: Mapping[str, Any]) -> str:
    """The walks as Markdown."""
    lines = []
    for what, walk in (("a setting, from the question to its loss", "setting"), ("the FID budget", "budget")):
        handle, carry, functions = (walks[walk][kind] for kind in ("handle", "carry", "functions"))
        lines.append(f"- {what}: handled in {len(handle)} rooms by {len(functions)} functions ({', '.join(handle)})")
        lines.append(f"  and carried through {len(carry)} more ({', '.join(carry)})")
    lines.append(
        f"  The budget's name stands in {walks['budget named']} places of {len(walks['budget named in'])} files."
    )
    computed = ", ".join(f"{what} {count} times" for what, count in sorted(walks["computed"].items()))
    return "\n".join([*lines, f"- one trial and two controls, from the attack's stage to the page: {computed}"])


def main() -> int:
    p = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0] + ".")
    p.add_argument("checkout", nargs="?", default=str(ROOT), help="default: this one")
    p.add_argument("--json", action="store_true", help="as JSON")
    p.add_argument(
        "--here", action="store_true", help=argparse.SUPPRESS
    )  # in this process, whose path is the checkout's
    args = p.parse_args()
    root = Path(args.checkout).resolve()
    if args.here:
        print(json.dumps(follow(root)))
        return 0
    command = [sys.executable, __file__, str(root), "--here"]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(root)}, cwd=root, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        return done.returncode
    walks = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(walks, indent=1) if args.json else text(walks))
    return 0


if __name__ == "__main__":
    sys.exit(main())
