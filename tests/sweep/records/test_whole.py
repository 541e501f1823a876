"""A file is replaced whole or stays as it was, and nothing is left beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.records.whole import replacing, write_whole


@pytest.mark.parametrize("content", ["naïve θ\n", b"\x00\xff"])
def test_a_file_is_written_and_replaced(content: str | bytes, tmp_path: Path) -> None:
    for before in (None, "old"):
        path = tmp_path / "file"
        if before:
            path.write_text(before)
        write_whole(path, content)
        assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=repr)
def test_where_writing_fails_the_old_one_stays(error: BaseException, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(type(error)), replacing(tmp_path / "file") as temporary:
        temporary.write_text("half")
        assert (tmp_path / "file").read_text() == "old", "nobody sees what is half written"
        raise error
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("file", "old")]


def test_without_a_folder_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "nowhere" / "file", "text")
    assert list(tmp_path.iterdir()) == []
