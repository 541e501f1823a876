"""Whether two runs have the same figures to the last digit: ``python benchmarks/same_figures.py RUN OTHER``.

Of one plan at two commits, say: every number of every trial, replicate and curve is compared as it is recorded. Left out are
times, and what may differ without a figure being another: keys, hashes of code, and columns that one of the two lacks.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from sweep import records
from sweep.errors import command

ROWS = {
    "trials": ("trial_id",),
    "replicates": ("trial_id", "replicate"),
    "curves": ("trial_id", "replicate", "attack", "attack_step", "metric"),
}
TIMES = ("core_s", "asked_at", "told_at", "started_at", "finished_at")
KEYS = ("code_version", "reference", "base_model", "unlearned_model", "score", "base_score", "artifact")


def differences(run: str, other: str) -> Iterator[tuple[str, bool]]:
    """Every figure of both, by its place, and whether it differs; a row that one of them lacks differs."""
    for table, names in ROWS.items():
        first, second = ({tuple(row[n] for n in names): row for row in _rows(of, table)} for of in (run, other))
        for key in first.keys() ^ second.keys():
            yield f"{table} {key}", True
        for key in first.keys() & second.keys():
            for column in (first[key].keys() & second[key].keys()) - {*TIMES, *KEYS}:
                a, b = first[key][column], second[key][column]
                if isinstance(a, int | float) and isinstance(b, int | float):
                    yield f"{table} {key} {column}: {a!r} and {b!r}", not (a == b or (a != a and b != b))


def _rows(run: str, table: str) -> list[dict[str, Any]]:
    return list(records.read(run, table).to_pylist())


@command
def main() -> int:
    p = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0] + ".")
    p.add_argument("run", metavar="RUN")
    p.add_argument("other", metavar="OTHER")
    args = p.parse_args()
    found = list(differences(args.run, args.other))
    different = [what for what, differs in found if differs]
    for what in different[:20]:
        print(what)
    print(f"{len(found)} figures compared, {len(different)} differ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
