"""Ray keeps its sockets in a temporary folder: one that will not do is told before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep import launch
from sweep.plan.place import Place

TINY = str(Path(__file__).parents[2] / "questions" / "tiny.py")


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("gone", "no such folder, and Ray keeps its sockets there"),
        ("file", "no such folder"),
        ("long", "is longer than the 39 characters that leave room for the names of Ray's sockets"),
        ("/proc", "cannot be written (No such file or directory), and Ray keeps its sockets there"),
    ],
)
def test_a_temporary_folder_that_ray_cannot_use_is_refused_in_a_run_and_in_a_dry_run(
    folder: str,
    said: str,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "long").mkdir()
    monkeypatch.setenv(name, str(tmp_path / folder))
    for more in ([], ["--dry-run"]):
        assert launch.main(["--space", TINY, "--run-dir", str(tmp_path / "run"), *more]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {name} ") and error.count("\n") == 1 and said in error
        assert error.endswith(f"set {name}=/tmp, say, or use --in-process\n")
    assert not (tmp_path / "run").exists()
    Place(in_process=True).check()
    Place(address="auto").check()


def test_a_short_folder_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/tmp")
    Place().check()
