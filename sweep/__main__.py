"""Every command under one name: ``unlearning-sweep COMMAND …``, or ``python -m sweep COMMAND …``.

``python -m`` looks in the working directory before it looks among installed packages: where that holds a ``sweep.py`` of one's
own, as W&B's users have, or a folder ``trainables``, it is that which runs. The installed command never looks there.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from sweep.errors import UsageError, command, near

COMMANDS = {
    "launch": "run a sweep, or go on with one",
    "pareto": "print the front of a run, with intervals",
    "report": "write a run's page, or serve it while the run goes on",
    "query": "ask a run's tables in SQL, or export them",
    "export": "save a trial's unlearned model as a diffusers pipeline",
    "release": "train a trial's model once more for a release, with secret noise",
    "import_checkpoint": "turn someone else's checkpoint into a diffusers pipeline",
    "train_text2image": "train a small text-to-image model, saved as a diffusers pipeline",
    "prepare_prompts": "make the folder of prompts of your own copy of a published list",
    "track": "run or compare relearning tracks",
    "repair": "mend a run's damaged files",
    "compact": "make one file a table of a run that was interrupted",
    "gc": "count or remove artifacts that no run needs",
    "cluster": "check a cluster's file, or drain its nodes",
}


def usage() -> str:
    """The commands and what each is for."""
    wide = max(map(len, COMMANDS))
    lines = [f"  {name:<{wide}}  {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        ["usage: unlearning-sweep COMMAND …", "", "commands:", *lines, "", "unlearning-sweep COMMAND --help"]
    )


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code, 2 for one that there is not."""
    name, *rest = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
        return 0
    if name not in COMMANDS:
        raise UsageError(f"{name}: no such command; {near(name, COMMANDS)}")
    where = f"sweep.{name}.__main__" if name in ("track", "cluster") else f"sweep.{name}"
    return int(importlib.import_module(where).main(rest))


if __name__ == "__main__":
    sys.exit(main())
