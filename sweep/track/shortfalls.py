"""Which methods and controls of a track failed, in how many replicates, and why."""

from __future__ import annotations

import shlex

from sweep.reading.shortfalls import Shortfall, all_of, brief
from sweep.records import COMPLETE, FAIL
from sweep.space import CONTROL
from sweep.track.reading import Track, line_of


def shortfalls(track: Track) -> tuple[Shortfall, ...]:
    """As far as the track is recorded: a line of the leaderboard each, those of which nothing is left first."""
    page = {"every cause": f"xdg-open {shlex.quote(str(track.run / 'report.html'))}"}
    so_far = "" if track.status.get("state") == "finished" else "so far, "
    every = []
    for line in dict.fromkeys(map(line_of, track.replicates)):
        ended = [r for r in track.replicates if line_of(r) == line and r["state"] in (COMPLETE, FAIL)]
        failed = sorted((r for r in ended if r["state"] == FAIL), key=lambda r: (r["trial_id"], r["replicate"]))
        if not failed:
            continue
        whole, control = len(failed) == len(ended), failed[0]["arm"] == CONTROL
        how = all_of(len(failed)) if whole else f"{len(failed)} of {len(ended)} replicates"
        lacks = (
            "so what is held against it lacks those seeds"
            if control
            else "so it has no place"
            if whole
            else "so intervals are over fewer seeds"
        )
        what = f"{so_far}{line}: {how} failed, {lacks}"
        cause = f"{failed[0]['trial_id']}: {brief(failed[0]['cause'])}"
        every.append(Shortfall(what, cause, page, fatal=whole and not control))
    return tuple(sorted(every, key=lambda s: not s.fatal))
