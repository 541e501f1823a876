"""What a call of a command asks beside its plan: with which run to go on, where runs lie, and what is said meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.plan.flags import QUESTION, SEARCH, WHERE, flag


@dataclass(frozen=True)
class Call:
    """Flags of the commands that run something; none is kept in a plan."""

    resume: str = flag(
        "",
        "--resume",
        "go on with what is in this run folder; nothing finished runs again",
        QUESTION,
        ungiven=None,
        metavar="RUN",
        beside_resume=True,
    )
    confirm: tuple[str, ...] = flag(
        (),
        "--confirm",
        "beside --resume: run these trials again too, on the fresh seeds of the confirm phase, and where they failed there",
        SEARCH,
        nargs="+",
        metavar="TRIAL",
        beside_resume=True,
    )
    storage: str = flag(
        "",
        "--storage",
        "folder, or object store such as s3://BUCKET/PREFIX, that runs and artifacts are kept in (default: runs)",
        WHERE,
        metavar="DIR|URI",
    )
    dry_run: bool = flag(
        False,
        "--dry-run",
        "print the whole plan and its cost, check methods and data, and exit",
        WHERE,
        beside_resume=True,
    )
    verbose: bool = flag(
        False, "--verbose", "let Ray, Optuna and warnings speak; lines, no live table", WHERE, beside_resume=True
    )
    log_format: str = flag(
        "auto",
        "--log-format",
        "auto: a live table on a terminal, else plain lines; json: one object a line, for programs (default: %(default)s)",
        WHERE,
        choices=("auto", "lines", "json"),
        beside_resume=True,
    )
