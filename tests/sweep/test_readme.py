"""What the pages say of reading results, followed word for word by a newcomer: each block, in a folder that has RUN."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from logged_run import log, recorded
from pages import TEXT

from sweep.views import loggers

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"<!-- read -->\n```(\w+)\n(.*?)```", TEXT, re.DOTALL)
SAID = {  # of each block, what its output tells of the recorded run
    "sweep.pareto RUN": (
        "confirmed front, 2 of 7 trials",
        "label_swap",
        "report.html",
        "tables/confirmed.csv",
        "tables/curves.csv",
        "maximise",
    ),
    "results.front": ("dimum-0001", "0.88", "b'maximise'", "label_swap"),
    "MlflowClient": ("dimum-0001-r0 {", "'lr': '0.0002'", "relearning_accuracy/retain [(0, 0.0", "(7, 0."),
    "import duckdb": ("mean", "relearning_accuracy", "unlearn"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, and the interpreter of these tests under the name that the README uses."""
    folder = tmp_path_factory.mktemp("newcomer")
    recorded(folder)
    loggers.keep(folder / "RUN", loggers.choose(folder / "RUN", "", None, "recorded"))
    assert log(folder / "RUN") == []
    shutil.copytree(folder / "RUN", folder / "OTHER")
    (folder / "bin").mkdir()
    python = folder / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    return folder


def test_the_readme_has_blocks_to_follow() -> None:
    assert [kind for kind, _ in BLOCKS].count("bash") >= 1 and [kind for kind, _ in BLOCKS].count("python") >= 2


@pytest.mark.parametrize("block", BLOCKS, ids=lambda b: b[1].splitlines()[0][:40])
def test_each_block_runs_as_it_is_written_and_tells_what_it_promises(folder: Path, block: tuple[str, str]) -> None:
    kind, text = block
    command = ["bash", "-euxo", "pipefail", "-c", text] if kind == "bash" else [sys.executable, "-c", text]
    path = {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}",
    }
    done = subprocess.run(command, cwd=folder, env=os.environ | path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = next(words for key, words in SAID.items() if key in text)
    for word in said:
        assert word in done.stdout, word
    if kind == "bash":
        assert (folder / "trials.csv").read_text().count("\n") == 14 and (folder / "RUN" / "report.html").stat().st_size
        assert (folder / "front.pdf").stat().st_size and "sampler ddim-20" in (folder / "front.txt").read_text()
        assert sorted(f.name for f in (folder / "tables").iterdir()) == [
            f"{t}.csv" for t in ("confirmed", "curves", "replicates", "stages", "trials")
        ]
        last = done.stdout[done.stdout.rindex("[\n") :]
        assert {r["attack_step"] for r in json.loads(last)} == {0, 1, 3, 7}
