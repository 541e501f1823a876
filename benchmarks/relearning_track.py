"""The tables of the kept tracks, made anew from their replicates and curves: ``python -m benchmarks.relearning_track``.

A track is run by its command in `benchmarks/relearning_track.md`; of one that was kept, its two tables of rows lie in
``benchmarks/relearning_track/``. What readers make of them, intervals for one, changes as the readers do.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from sweep.errors import command
from sweep.track import __main__ as tracks
from sweep.track.leaderboard import write_tables
from sweep.track.reading import Track
from sweep.track.scoring import Scorer

KEPT = Path(__file__).with_suffix("")
ASKED = {
    "digits": "--methods dimum label_swap salun esd erase_diff selective_amnesia sfr_on meta(dimum) --attacks dimra-retain-1e-3 "
    "benign-unrelated-1e-3 malicious-all-3e-4 --forget 3 7 8 --seeds 3 --steps 255",
    "fashion_mnist": "--data fashion_mnist --image-size 16 --methods dimum label_swap salun esd meta(dimum) "
    "--attacks dimra-retain-1e-3 malicious-all-3e-4 --forget 1 8 --seeds 2 --steps 127",
}
PARTS = {
    "leaderboard.md": ".md",
    "leaderboard.parquet": "_leaderboard.parquet",
    "recovery.parquet": "_recovery.parquet",
}


def kept(name: str, folder: Path = KEPT) -> Track:
    """A kept track, as its own readers have it."""
    plan = tracks.plan_of(tracks.parser().parse_args([*ASKED[name].split(), "--run-dir", str(folder / name)]))
    rows = {
        table: tuple(pq.read_table(folder / f"{name}_{table}.parquet").to_pylist())
        for table in ("replicates", "curves")
    }
    return Track(folder / name, plan.to_json(), {}, {}, rows["replicates"], rows["curves"], ())


def tables(name: str, folder: Path = KEPT) -> None:
    """Write the leaderboard and its tables again."""
    with tempfile.TemporaryDirectory() as there:
        write_tables(Scorer(kept(name)), Path(there))
        for made, ending in PARTS.items():
            (folder / f"{name}{ending}").write_bytes((Path(there) / made).read_bytes())


@command
def main() -> int:
    parser = argparse.ArgumentParser(description="The tables of the kept tracks, made anew.")
    parser.add_argument("--only", choices=sorted(ASKED), help="of one of them")
    args = parser.parse_args()
    for name in [args.only] if args.only else ASKED:
        tables(name)
        print(KEPT / f"{name}.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
