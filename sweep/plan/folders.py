"""A plan's run folder and artifact store: whether they can be used, and how the folder is claimed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from sweep.errors import UsageError
from sweep.plan import members
from sweep.plan.paths import absolute, own_artifacts
from sweep.plan.plan import Plan
from sweep.plan.run import RunPlan
from sweep.procedures.setup import Setup, SetupT
from sweep.records.claim import check_untaken, check_writable, claimed
from sweep.records.folder import write_json


def placed(plan: RunPlan[SetupT], run_dir: Path) -> RunPlan[SetupT]:
    """What is planned in the run folder that it got; an artifact store that is to lie in the run folder goes along."""
    in_the_run = plan.artifacts == absolute(own_artifacts("", plan.run_dir))
    artifacts = absolute(own_artifacts("", str(run_dir))) if in_the_run else plan.artifacts
    return dataclasses.replace(plan, run_dir=str(run_dir), artifacts=artifacts)


def check_folders(plan: RunPlan[Setup], new: bool, holds: str = "plan.json") -> None:
    """UsageError where the run folder is taken, or it or the artifact store is unwritable or on a full disk."""
    folder = Path(plan.run_dir)
    if new:
        check_untaken(folder, holds)
    check_writable(folder, "--run-dir")
    if "://" not in plan.artifacts:
        check_writable(Path(plan.artifacts), "--artifacts")
    else:
        _check_store(plan.artifacts)


def _check_store(uri: str) -> None:
    """UsageError where the object store cannot be written and read from here. What the URI's options hold is not repeated."""
    from trainables.store import Store, StoreUnusable

    try:
        Store(uri).check()
    except (StoreUnusable, OSError, ValueError) as error:  # the latter two of a URI that Arrow does not take
        said = " ".join(str(error).split())[:300]
        raise UsageError(f"--artifacts {uri.partition('?')[0]}: cannot be used: {said}") from None


def create_run_dir(plan: Plan[Setup], named: bool = True, others: Callable[[Path], None] | None = None) -> Plan[Setup]:
    """Claim the run folder and write ``plan.json`` into it, after what `others` writes; the plan in the folder that it got.

    `named`: see `sweep.records.claim.claimed`.
    """
    with claimed(Path(plan.run_dir), "plan.json", named) as folder:
        plan = dataclasses.replace(plan, run=placed(plan.run, folder))
        values = plan.to_json()  # it reads the question, whose own file is kept
        members.keep(folder, plan.space)
        if others:
            others(folder)
        write_json(folder / "plan.json", values)
    return plan
