"""What a driver imports, and what it doesn't: each library is seconds of the start of every sweep."""

from __future__ import annotations

import subprocess
import sys


def printed(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_in_this_process_a_sweep_needs_no_ray() -> None:
    assert printed("import sys, sweep.driver.sweep, sweep.driver.here; print('ray' in sys.modules)") == "False\n"


def test_tunes_count_of_its_loggers_imports_no_wandb_and_leaves_it_to_whoever_asks() -> None:
    code = (
        "import sys; from sweep.driver import on_ray; on_ray._import_loggers_without_their_libraries(); "
        "from ray import tune; from ray.air._internal import usage; "
        "print(dict(usage._count_callbacks([tune.Callback()])), 'wandb' in sys.modules); import wandb; print(wandb.__name__)"
    )
    assert printed(code) == "{'CustomCallback': 1} False\nwandb\n"


def test_a_wandb_that_is_imported_already_stays_the_same_one() -> None:
    code = (
        "import wandb; from sweep.driver import on_ray; on_ray._import_loggers_without_their_libraries(); "
        "import sys; print(sys.modules['wandb'] is wandb)"
    )
    assert printed(code) == "True\n"
