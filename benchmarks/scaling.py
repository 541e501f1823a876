"""How busy a cluster's workers are, simulated from recorded stage times: ``python -m benchmarks.scaling``.

A search phase of 500 trials on 4 to 256 workers. A trial takes what one of `dimum_robustness` took when it was recorded
(`benchmarks/search/recorded`), drawn with replacement: its unlearning and score where the gate of a sweep's margin stops it, else
all of it; the controls take a whole one less the unlearning. One driver serves all workers in turn: it chooses a trial, in the
time that nehvi takes at so many trials told (`benchmarks/search.md`, Asking), or in none with a sampler such as ``qmc``, and spends
so many milliseconds of its own on each (`benchmarks/driver.md`). A worker that waits for it is idle.

``--times N`` stretches the recorded times, for trials on a GPU take minutes where these take seconds.
"""

from __future__ import annotations

import argparse
import heapq
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from trainables.relearning.experiment import Limit, Samples
from trainables.relearning.gate import excluded

RECORDED = Path(__file__).parent / "search" / "recorded"
BUDGET, MARGIN, UNLEARNED = 4.87, 0.5, 0.95  # of the recording, and a sweep's gate
ASKING = ((0, 0.03), (100, 0.133), (1000, 0.569), (5000, 0.690))  # trials told, seconds a choice
RETAINED, FID_DELTA_SD = 9, 0.95  # conditions that stay, and the noise of fid_delta over five sampling seeds there
CONTROLS = 2  # θ₀ and θ*


@dataclass(frozen=True)
class Driver:
    """What a trial costs its driver: `asking` whether a model chooses it, and `own_s` seconds beside."""

    asking: bool
    own_s: float

    def serve_s(self, told: int) -> float:
        """Seconds to hand out a trial when so many were told."""
        chosen = float(np.interp(told, [n for n, _ in ASKING], [s for _, s in ASKING])) if self.asking else 0.0
        return chosen + self.own_s


def recorded() -> tuple[np.ndarray, float]:
    """(n,) core-seconds of the recorded trials as a sweep would have run them, and of a control."""
    stages = pq.read_table(
        RECORDED / "stages.parquet", columns=["trial_id", "replicate", "stage", "core_s"]
    ).to_pandas()
    trials = pq.read_table(
        RECORDED / "trials.parquet", columns=["trial_id", "fid_delta", "unlearning_accuracy"]
    ).to_pandas()
    first = stages[stages.replicate == 0]
    before = first[first.stage.isin(["unlearn", "glance", "score"])].groupby("trial_id").core_s.sum()
    whole = first.groupby("trial_id").core_s.sum()
    unlearning = first[first.stage == "unlearn"].groupby("trial_id").core_s.sum()
    limits = (
        Limit("fid_delta", BUDGET, True, MARGIN * BUDGET),
        Limit("unlearning_accuracy", UNLEARNED, False, MARGIN * UNLEARNED),
    )
    measured = trials[["fid_delta", "unlearning_accuracy"]].to_dict("records")
    out = [excluded(figures, limits, Samples(128, 50), RETAINED, FID_DELTA_SD) is not None for figures in measured]
    stopped = trials.trial_id[out]
    times = whole.where(~whole.index.isin(stopped), before)
    return times.to_numpy(), float((whole - unlearning).median())


def busy(workers: int, trials: int, driver: Driver, times: np.ndarray, control: float, seed: int) -> float:
    """Share of all workers' time, from the first hand-out to the last end, that trials run in."""
    rng = np.random.default_rng(seed)
    left = [control] * CONTROLS + list(rng.choice(times, trials))
    free = [(0.0, worker) for worker in range(workers)]
    serving_until, spent, last = 0.0, 0.0, 0.0
    for told, duration in enumerate(left):
        ready, worker = heapq.heappop(free)
        serving_until = max(ready, serving_until) + driver.serve_s(told)
        spent += duration
        last = max(last, serving_until + duration)
        heapq.heappush(free, (serving_until + duration, worker))
    return spent / (workers * last)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=500, metavar="N", help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--driver-ms", type=float, default=50.0, metavar="MS", help="the driver's own, a trial (default: %(default)s)"
    )
    parser.add_argument(
        "--times", type=float, nargs="+", default=[1.0, 10.0, 60.0], metavar="X", help="default: 1 10 60"
    )
    args = parser.parse_args()
    times, control = recorded()
    print(f"trials of {np.median(times):.1f} core-s (median; {times.min():.1f} to {times.max():.1f})")
    print("| workers | " + " | ".join(f"{kind}, times × {x:g}" for x in args.times for kind in ("nehvi", "qmc")) + " |")
    print("|---|" + "---|" * (2 * len(args.times)))
    for workers in (4, 16, 64, 128, 256):
        cells = []
        for stretch in args.times:
            for asking in (True, False):
                driver = Driver(asking, args.driver_ms / 1e3)
                shares = [
                    busy(workers, args.trials, driver, times * stretch, control * stretch, s) for s in range(args.seeds)
                ]
                cells.append(f"{np.mean(shares):.1%}")
        print(f"| {workers} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
