"""Arrays that a machine's processes share: made once however many ask, and never believed unless they are whole."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from trainables.store.node_arrays import Recipe, Shared, node_array
from trainables.store.node_cache import NodeCache

KEY, OTHER = "ab" * 32, "cd" * 32
ARRAY = np.arange(7 * 1000, dtype=np.uint8).reshape(7, 1000)

# A process that makes the array a row at a time and says so: each making is a line of LOG.
MAKER = """
import os, sys, time
import numpy as np
from trainables.store.node_arrays import Recipe, node_array

log, seconds = sys.argv[1], float(sys.argv[2])
array = np.arange(7000, dtype=np.uint8).reshape(7, 1000)

def parts():
    with open(log, "a") as file:
        file.write(f"{os.getpid()}\\n")
    for row in array:
        time.sleep(seconds)
        yield row[None]

made = node_array("ab" * 32, lambda: Recipe((7, 1000), np.dtype(np.uint8), {"a": 1}, parts, lambda array: None, "rows"))
assert np.array_equal(made.array, array) and made.facts == {"a": 1}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


def made(key: str = KEY, array: np.ndarray = ARRAY, times: list[int] | None = None, **changes: object) -> Shared:
    """The array, found or made; each making is one more of `times`."""

    def parts() -> Iterator[np.ndarray]:
        if times is not None:
            times.append(1)
        yield array[:3]
        yield array[3:]

    whole = {"shape": array.shape, "dtype": array.dtype, "facts": {"a": [1, 2]}, "parts": parts, "whose": "rows"}
    return node_array(key, lambda: Recipe(**{"check": lambda array: None} | whole | changes))  # type: ignore[arg-type]


def is_mapped(array: np.ndarray, path: Path) -> bool:
    """Whether an array lies in this process's mapping of a file."""
    address = array.__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end = (int(number, 16) for number in line.split()[0].split("-"))
        if start <= address < end:
            return line.endswith(str(path))
    return False


def makers(tmp_path: Path, n: int, seconds: float) -> list[subprocess.Popen]:
    command = [sys.executable, "-c", MAKER, str(tmp_path / "log"), str(seconds)]
    return [subprocess.Popen(command) for _ in range(n)]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_an_array_is_made_once_and_mapped_afterwards(dtype: type, folder: Path) -> None:
    times: list[int] = []
    array = ARRAY.astype(dtype)
    for _ in range(3):
        shared = made(array=array, times=times)
        assert np.array_equal(shared.array, array) and shared.array.dtype == dtype and shared.facts == {"a": [1, 2]}
        assert is_mapped(shared.array, folder / f"{KEY}.npy")
    assert len(times) == 1
    assert np.array_equal(np.load(folder / f"{KEY}.npy", allow_pickle=False), array), "a file as NumPy writes it"


def test_what_a_process_writes_to_an_array_stays_its_own() -> None:
    made().array[:] = 0
    assert np.array_equal(made().array, ARRAY)


def flipped(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def rewritten(path: Path, without: str = "", **values: object) -> None:
    """A JSON object with other values, less one of its names."""
    content = json.loads(path.read_text()) | values
    path.write_text(json.dumps({name: value for name, value in content.items() if name != without}))


@pytest.mark.parametrize(
    "damage",
    [
        lambda kept: flipped(kept.with_suffix(".npy"), -1),
        lambda kept: flipped(kept.with_suffix(".npy"), 20),
        lambda kept: os.truncate(kept.with_suffix(".npy"), 1000),
        lambda kept: kept.with_suffix(".npy").unlink(),
        lambda kept: kept.with_suffix(".json").unlink(),
        lambda kept: kept.with_suffix(".json").write_text("[]"),
        lambda kept: kept.with_suffix(".json").write_text("{"),
        lambda kept: rewritten(kept.with_suffix(".json"), facts={"a": [1, 3]}),
        lambda kept: rewritten(kept.with_suffix(".json"), without="check"),
    ],
    ids=["pixel", "header", "truncated", "no array", "no sidecar", "no object", "no JSON", "facts", "unsigned"],
)
def test_what_is_not_whole_is_made_again(damage: object, folder: Path) -> None:
    times: list[int] = []
    made(times=times)
    damage(folder / KEY)  # type: ignore[operator]
    again = made(times=times)
    assert len(times) == 2 and np.array_equal(again.array, ARRAY) and again.facts == {"a": [1, 2]}
    made(times=times)
    assert len(times) == 2


def test_the_sidecar_of_another_array_is_not_believed(folder: Path) -> None:
    made()
    for suffix in (".npy", ".json"):
        (folder / f"{KEY}{suffix}").rename(folder / f"{OTHER}{suffix}")
    times: list[int] = []
    made(OTHER, times=times)
    assert times


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"check": lambda array: (_ for _ in ()).throw(ValueError("nothing to be seen"))}, "nothing to be seen"),
        ({"shape": (8, 1000)}, "rows: 7 images were decoded where 8 are listed"),
        ({"shape": (7, 999)}, r"rows: decoded to uint8 \(1000,\), not uint8 \(999,\)"),
        ({"dtype": np.dtype(np.float32)}, "rows: decoded to uint8"),
    ],
    ids=["check", "rows", "width", "type"],
)
def test_an_array_that_is_refused_leaves_nothing_behind(changes: dict, said: str, folder: Path) -> None:
    with pytest.raises(ValueError, match=said):
        made(**changes)
    assert [path.suffix for path in folder.iterdir()] == [".lock"]


def test_processes_that_begin_at_once_make_it_once(tmp_path: Path) -> None:
    processes = makers(tmp_path, 3, 0.1)
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    assert len((tmp_path / "log").read_text().split()) == 1


def test_a_maker_that_is_killed_leaves_nothing_that_counts_and_keeps_nobody_waiting(
    tmp_path: Path, folder: Path
) -> None:
    (killed,) = makers(tmp_path, 1, 30)
    while not (tmp_path / "log").exists() or not list(folder.glob("*.tmp")):
        assert killed.poll() is None
        time.sleep(0.02)
    waiting = makers(tmp_path, 1, 0)
    time.sleep(1)
    assert waiting[0].poll() is None
    killed.send_signal(signal.SIGKILL)
    killed.wait(10)
    assert waiting[0].wait(120) == 0
    assert len((tmp_path / "log").read_text().split()) == 2
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".lock", ".npy"], (
        "what was begun is cleared away"
    )
    times: list[int] = []
    assert made(times=times).facts == {"a": 1} and not times


def test_what_was_read_longest_ago_goes_where_there_is_no_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP_CACHE_GIB", str(16_000 / 2**30))
    made(KEY)
    for suffix in (".npy", ".json"):
        os.utime(folder / f"{KEY}{suffix}", (1, 1))
    made(OTHER)
    assert (folder / f"{KEY}.npy").exists()
    for suffix in (".npy", ".json"):
        os.utime(folder / f"{KEY}{suffix}", (1, 1))
    held = made(KEY)  # read: now the other was read longest ago
    for suffix in (".npy", ".json"):
        os.utime(folder / f"{OTHER}{suffix}", (1, 1))
    made("ef" * 32)
    assert (folder / f"{KEY}.npy").exists() and not (folder / f"{OTHER}.npy").exists()
    (folder / f"{KEY}.npy").unlink()
    assert np.array_equal(held.array, ARRAY), "what is mapped stays so while it is used"


def test_an_array_for_which_there_is_no_room_is_each_processs_own_and_it_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SWEEP_CACHE_GIB", str(5_000 / 2**30))
    with caplog.at_level(logging.WARNING):
        shared = made()
    assert np.array_equal(shared.array, ARRAY) and shared.facts == {"a": [1, 2]}
    assert "rows: this machine keeps no decoded copy" in caplog.text and "SWEEP_CACHE_GIB" in caplog.text
    assert not list(folder.glob("*.npy"))
    with pytest.raises(ValueError, match="refused"):
        made(check=lambda array: (_ for _ in ()).throw(ValueError("refused")))


def test_a_folder_that_cannot_be_written_is_no_end_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "a file"))
    assert np.array_equal(made().array, ARRAY)
    assert "every process holds its own" in caplog.text


def test_a_full_disk_is_no_end_of_a_run(caplog: pytest.LogCaptureFixture) -> None:
    """As the system says it to a writer, by a limit on a file's size in a process of its own."""
    code = """
import resource, signal
import numpy as np
from trainables.store.node_arrays import Recipe, node_array
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
array = np.zeros((7, 100_000), np.uint8)
made = node_array("ab" * 32, lambda: Recipe(array.shape, array.dtype, {}, lambda: iter([array]), lambda array: None, "rows"))
assert np.array_equal(made.array, array)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "rows: this machine keeps no decoded copy" in done.stderr and "File too large" in done.stderr


def test_the_stores_own_files_and_arrays_share_one_bound(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP_CACHE_GIB", str(8_000 / 2**30))
    made()
    content = b"x" * 5000
    name = hashlib.sha256(content).hexdigest()
    for suffix in (".npy", ".json"):
        os.utime(folder / f"{KEY}{suffix}", (1, 1))
    cache = NodeCache()
    with cache.receiving() as file:
        file.write(content)
        cache.keep(file, name)
    with cache.open(name) or io.BytesIO() as kept:
        assert kept.read() == content and not (folder / f"{KEY}.npy").exists()
