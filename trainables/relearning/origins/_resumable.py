"""A training run whose checkpoint is in the store: it is left there at most every 10 s, and gone on from."""

from __future__ import annotations

import time
from typing import Any

from trainables.fine_tuning import Run
from trainables.running.pace import Pace
from trainables.store import Store, machine

CHECKPOINT_SECONDS = 10.0


def trained_in(store: Store, key: str, run: Run) -> dict[str, Any]:
    """Train a run to its end, from where the checkpoint of `key` left it; the facts of how that went.

    The checkpoint stays until whoever made the artifact drops it.
    """
    start = time.process_time()
    partial = store.mapped_partial(key)
    if partial is not None:
        run.restore(partial)
    resumed_at, pace = run.step, Pace()
    while not run.advance(run.steps, time.monotonic() + CHECKPOINT_SECONDS):
        pace.take(lambda: store.save_partial(key, run.state()))
    return {
        "resumed_at_step": resumed_at,
        "last_loss": run.last_loss,
        "core_s": time.process_time() - start,
        "machine": machine(),
    }
