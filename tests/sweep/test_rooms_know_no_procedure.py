"""Rooms of sweep that serve every procedure name nothing of relearning: their code is searched for its words."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2] / "sweep"
WORDS = re.compile(
    r"robustness|fid_delta|(?<![a-z])fid(?![a-z])|unlearning|attack|(?<![a-z])rungs?(?![a-z])|relearning|AURC", re.I
)
# Its room, its leaderboard (what a track is of is in its first line), and the command that trains base models for it.
ITS_OWN = ("relearning", "track", "train_text2image.py", "prepare_prompts.py")

# By file: the lines that may name it, by what is in them, and why.
ALLOWED: dict[str, tuple[str, ...]] = {
    # The vocabulary of questions: what a question asks of relearning trials is written in it, and questions that exist do.
    # One of another procedure leaves these fields empty, and no other room reads them.
    "space/question.py": (
        r'"CONTROL", "METHOD", "Arm", "Attack"', r"DEFAULT_PROCEDURE = ", r"`method` names a file", r"`attack`, a file of",
        r"attack: str = ", r"class Attack:", r"One attack of a suite", r"Only attacks that `counts`", r'f"attack \{self.name',
        r"search_attacks", r"confirm_attacks", r"rungs", r"\battacks\b", r"an attack that counts", r'arm\["attack"\]',
    ),
    "space/__init__.py": (r"\bAttack\b",),
    # Another procedure's question, of whose fields it refuses those.
    "federated/question.py": (r"space\.rungs or", r"rungs and suites are another", r"arm\.attack"),
    # What schema 2 declared, which is what its files hold whatever is declared today.
    "records/migrations.py": (r'^    \("\w+", pa\.', r"`forgotten_fid`"),
    # The command's name, and the question that the README begins with.
    "__main__.py": (r"unlearning-sweep", r'"track": '),
    "errors.py": (r"unlearning-sweep",),
    "driver/pending.py": (r"unlearning-sweep",),
    "launch.py": (r"dimum_robustness",),
    "plan/asked.py": (r"dimum_robustness",),
    "cluster/launcher_checks.py": (r"ray-unlearning",),
}  # fmt: skip


def named() -> list[str]:
    found = []
    for file in sorted(p for p in ROOT.rglob("*") if p.suffix in (".py", ".j2", ".js", ".css")):
        inside = file.relative_to(ROOT).as_posix()
        if inside.partition("/")[0] in ITS_OWN:
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            allowed = any(re.search(pattern, line) for pattern in ALLOWED.get(inside, ()))
            if WORDS.search(line) and not allowed:
                found.append(f"sweep/{inside}:{number}: {line.strip()}")
    return found


def test_no_room_but_relearnings_own_names_anything_of_it() -> None:
    assert not named(), "\n".join(named())


def test_no_line_is_allowed_that_is_not_there() -> None:
    stale = [
        f"{file}: {pattern}"
        for file, patterns in ALLOWED.items()
        for pattern in patterns
        if not any(
            re.search(pattern, line) and WORDS.search(line)
            for line in (ROOT / file).read_text(encoding="utf-8").splitlines()
        )
    ]
    assert not stale, "\n".join(stale)
