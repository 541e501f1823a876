"""A few seeded faults of several kinds, in the driver's own process and on Ray; ``python tests/faults`` is the long run.

After each: every trial in the records exactly once, no finished stage begun again, and the states, figures and fronts of the
undisturbed sweep, whose sampler asks by seed and number alone. `accounts` says what is compared; it is tested here too.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import accounts
import faults
import pytest
import sweeps
from faults import DIES, GOES_ON, Fault, Place

from sweep import records

pytestmark = pytest.mark.slow

SETTINGS = (
    "--base-steps", "20", "--sampling-steps", "2", "--samples-forgotten", "8", "--samples-per-retained", "4",
    "--confirm-seeds", "1", "--confirm-members", "1", "--confirm-neighbours", "0", "--fid-budget", "100000",
    "--sampler", "qmc", "--trials", "4", "--baseline-trials", "1", "--workers", "2",
)  # fmt: skip


def kill(victim: str, point: str, after: int, then: str = DIES) -> Fault:
    return Fault(f"kill -9 {victim} at {point}", then, (point,), after, {"do": "kill", "victim": victim})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, lend_classifier: Callable[[Path], None]) -> Place:
    return sweeps.undisturbed(tmp_path_factory.mktemp("undisturbed"), SETTINGS, lend_classifier)


@pytest.fixture
def place(tmp_path: Path, undisturbed: Place) -> Iterator[Place]:
    with sweeps.struck_place(tmp_path / "struck", undisturbed, own_disk=False) as place:
        yield place


def struck(place: Place, undisturbed: Place, deck: list[Fault], seed: int, on_ray: bool = False) -> None:
    """Strike one sweep with all of the deck; it ends as the undisturbed one did, but for trials that were to fail."""
    names = [fault.name for fault in deck]
    strikes = sweeps.strike(place, undisturbed, deck, random.Random(seed), on_ray, SETTINGS)
    assert sorted(s.fault.name for s in strikes) == sorted(names), "a fault never struck"
    assert [(s.fault.name, s.at, s.did, wrong) for s in strikes for wrong in s.wrong or []] == []


TORN, COMMITTED, RECORD, EXCHANGE = (
    kill("driver", point, after) for point, after in (("torn", 2), ("committed", 2), ("record", 1), ("exchange", 2))
)
FLIPPED, TRUNCATED = "bit-flipped trial's artifact", "truncated replicates"


@pytest.mark.parametrize(
    "deck",
    [
        [TORN, FLIPPED, EXCHANGE],
        pytest.param([COMMITTED, RECORD, TRUNCATED], marks=pytest.mark.long),  # a minute more of the same
    ],
    ids=["torn", "committed"],
)
def test_a_driver_killed_at_its_boundaries_and_files_damaged_between_cost_nothing_that_was_finished(
    deck: list[Fault | str], place: Place, undisturbed: Place
) -> None:
    damages = {fault.name: fault for fault in faults.damages(random.Random(7))}
    struck(place, undisturbed, [damages[f] if isinstance(f, str) else f for f in deck], seed=7)


def test_a_trial_that_becomes_nan_fails_with_its_cause_and_moves_no_front(place: Place, undisturbed: Place) -> None:
    poison = next(
        f for f in faults.trials_own(random.Random(1), sweeps.spare_trial(undisturbed), False) if "NaN" in f.name
    )
    struck(place, undisturbed, [poison], seed=1)


def test_on_ray_a_killed_worker_costs_nothing_that_was_finished_nor_changes_a_figure(
    place: Place, undisturbed: Place
) -> None:
    struck(place, undisturbed, [kill("worker", "commit", 3, GOES_ON)], seed=2, on_ray=True)


def test_on_ray_a_worker_whose_gpu_breaks_ends_and_its_trial_goes_on_in_another_process(
    place: Place, undisturbed: Place
) -> None:
    struck(place, undisturbed, [faults.sick(3)], seed=3, on_ray=True)
    passed = accounts.points(place.faults)
    broke = [p for p in passed if p["point"] == "begin"][2]
    later = passed[passed.index(broke) + 1 :]
    assert broke["pid"] not in {p["pid"] for p in later}
    assert {p["point"] for p in later if p.get("key") == broke["key"]} >= {"begin", "committed"}


@pytest.mark.long  # two minutes
def test_on_ray_a_killed_worker_and_then_a_killed_driver_cost_nothing_that_was_finished(
    place: Place, undisturbed: Place
) -> None:
    struck(
        place, undisturbed, [kill("worker", "commit", 3, GOES_ON), kill("driver", "recorded", 4)], seed=2, on_ray=True
    )


def test_the_accounts_find_a_trial_twice_a_stage_again_and_a_figure_that_differs(
    tmp_path: Path, undisturbed: Place
) -> None:
    copy = Place(tmp_path)
    shutil.copytree(undisturbed.folder, tmp_path, dirs_exist_ok=True)
    assert accounts.differences(copy.run, undisturbed.run) == accounts.unaccounted(copy.run) == []
    assert accounts.twice(copy.faults, copy.store) == []
    log = copy.faults / "points.jsonl"
    begun = [line for line in log.read_text().splitlines() if '"begin"' in line]
    log.write_text(log.read_text() + begun[0] + "\n")
    assert "though it was finished" in accounts.twice(copy.faults, copy.store)[0]
    part = next((copy.run / "records" / "trials").glob("*.parquet"))
    shutil.copy(part, part.with_name("another.parquet"))
    assert accounts.unaccounted(copy.run), records.rows(copy.run, "trials")
    shutil.rmtree(copy.run / "records" / "curves")
    assert any(wrong.startswith("curves: ") for wrong in accounts.differences(copy.run, undisturbed.run))
