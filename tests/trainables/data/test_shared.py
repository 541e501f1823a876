"""Data sets on disk are decoded once on a machine, held as bytes, and shared by its processes; images are the same floats."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from disk_formats import clothing, write_classes, write_idx
from test_data_on_disk import WRITERS, mnist_in

from trainables.data import Images, Splits, _embedded, _on_disk, dataset, together
from trainables.data._files.layout import choose
from trainables.data._files.pictures import read_picture
from trainables.data._images import GPU_SHARE, PART, Held, Rows, _fits
from trainables.data.image_folder import image_folder
from trainables.forgetting import parse_forget
from trainables.relearning.experiment import Experiment

FLOATS = torch.arange(256).float().div(127.5).sub(1)  # what a byte stands for


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has decoded nothing yet."""
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "kept"))
    _on_disk.cache_clear()
    return tmp_path / "kept"


def decoded_as(dtype: str, folder: Path) -> list[np.ndarray]:
    return [a for path in folder.glob("*.npy") if (a := np.load(path, mmap_mode="r")).dtype == dtype]


def rows_of(images: Images) -> Rows:
    assert isinstance(images.pixels, Rows)
    return images.pixels


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("size", [0, 12, 16])
def test_the_images_are_the_floats_that_the_files_pixels_stand_for(
    name: str, size: int, tmp_path: Path, folder: Path
) -> None:
    """Whatever lies between: each picture read, and each array resized, all at once and without any of it."""
    data = dataset(name, str(WRITERS[name](tmp_path / "data")), image_size=size)
    splits = data.load()
    layout = data.read.args[0]  # type: ignore[attr-defined]
    chosen = choose(layout, 0)
    of_test = (layout.train, chosen.train) if layout.test is None else (layout.test, chosen.test)
    parts = {
        "train": (layout.train, chosen.train),
        "public": (layout.train, chosen.public),
        "test": (of_test[0], chosen.test),
    }
    for split, (part, indices) in parts.items():
        if part.pictures:
            pixels = np.stack([read_picture(part.pictures[i], data.shape[1]) for i in indices])
        else:
            (pixels,) = part.pixels(indices, 0)
        expected = torch.from_numpy(np.ascontiguousarray(pixels)).float().div(127.5).sub(1)
        if expected.shape[2:] != data.shape[1:]:
            expected = F.interpolate(expected, data.shape[1:], mode="bilinear", antialias=True, align_corners=False)
        images = getattr(splits, split)
        assert torch.equal(images.images, expected)
        assert images.conditions.tolist() == part.labels()[indices].tolist()
        assert torch.equal(torch.cat(list(images.parts(3))), expected)
        few = torch.tensor([2, 0, 2])
        assert torch.equal(images.batch(few).images, expected[few]) and len(images.batch(few)) == 3
    resized = not layout.train.pictures and size not in (0, layout.size)
    assert len(decoded_as("float32", folder)) == resized and len(decoded_as("uint8", folder)) == (not resized)


def test_a_byte_is_the_same_float_wherever_it_is_looked_up() -> None:
    held = Images(
        Rows(Held(torch.arange(256, dtype=torch.uint8).reshape(256, 1, 1, 1)), torch.arange(256)), torch.zeros(256)
    )
    assert torch.equal(held.images.flatten(), FLOATS)
    assert torch.equal(held.batch(torch.arange(256)).images.flatten(), FLOATS)


def subsets(splits: Splits, name: str) -> dict[str, Images]:
    forget, retain = (
        parse_forget("1,2", dataset(name)).split(splits.train)
        if name == "digits"
        else (
            splits.train.of(1),
            splits.train.where(splits.train.conditions != 1),
        )
    )
    return {
        "forget": forget,
        "retain": retain,
        "of": retain.of(2),
        "index": retain.where(torch.tensor([3, 1, 1])),
        "together": together(forget, splits.test, retain),
    }


def test_subsets_copy_no_pixels_and_are_those_of_floats(tmp_path: Path) -> None:
    splits = dataset("mnist", str(mnist_in(tmp_path / "data"))).load()
    array = rows_of(splits.train).held
    plain = Splits(*(Images(s.images, s.conditions) for s in vars(splits).values()))
    for name, subset in subsets(splits, "mnist").items():
        same = subsets(plain, "mnist")[name]
        assert rows_of(subset).held is array, name
        assert torch.equal(subset.images, same.images) and torch.equal(subset.conditions, same.conditions)
        assert subset.shape == same.shape == (1, 28, 28) and len(subset) == len(same)
        draws = [s.draw(5, torch.Generator().manual_seed(1)) for s in (subset, same)]
        assert torch.equal(draws[0].images, draws[1].images)
        for s in (subset, same):
            generator = torch.Generator().manual_seed(1)
            assert s.draw_conditions(5, generator).tolist() == draws[0].conditions.tolist()
            assert s.to("cpu").placed(torch.zeros(1, dtype=torch.float64)).dtype == torch.float32
    mixed = together(splits.train, plain.test)
    assert torch.equal(mixed.images, torch.cat([plain.train.images, plain.test.images]))


def test_a_large_set_is_made_of_its_parts_in_their_order() -> None:
    n = 2 * PART + 3
    array = torch.arange(n * 4, dtype=torch.int64).remainder(251).to(torch.uint8).reshape(n, 1, 2, 2)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    images = Images(Rows(Held(array), order), torch.zeros(n))
    assert torch.equal(images.images, FLOATS[array[order].long()])
    assert [len(part) for part in images.parts()] == [PART, PART, 3]


def test_what_fits_on_a_gpu_is_put_there_once_and_its_subsets_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no GPU: PyTorch's meta device, which has shapes and no values."""
    held = Held(torch.zeros((4, 1, 2, 2), dtype=torch.uint8))
    monkeypatch.setattr("trainables.data._images._fits", lambda size, device: size <= 16)
    assert held.on("meta").device.type == "meta" and held.on("meta") is held.on("meta")
    large = Held(torch.zeros((5, 1, 2, 2), dtype=torch.uint8))
    assert large.on("meta") is large.array
    images = Images(Rows(held, torch.arange(4)), torch.zeros(4)).to("meta")
    assert rows_of(images.where(torch.tensor([0]))).held.on("meta") is held.on("meta")


def test_an_array_takes_a_share_of_a_gpu_and_of_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (60, 80))
    assert _fits(int(GPU_SHARE * 80), "cuda") and not _fits(int(GPU_SHARE * 80) + 1, "cuda")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (8, 80))
    assert _fits(4, "cuda") and not _fits(5, "cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("fits", [True, False])
def test_on_a_gpu_the_images_are_the_same(fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.data._images._fits", lambda size, device: fits)
    train = dataset("mnist", str(mnist_in(tmp_path / "data"))).load().train
    there, index = train.to("cuda"), torch.tensor([3, 1, 2])
    assert there.batch(index).images.is_cuda and torch.equal(there.images.cpu(), train.images)
    assert torch.equal(there.batch(index).images.cpu(), train.images[index])


def test_another_process_decodes_nothing(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = dataset("image_folder", str(write_classes(tmp_path / "pets", ("cat", "dog"), 10)))
    splits, fingerprint = data.load(), data.fingerprint()
    _on_disk.cache_clear()
    monkeypatch.setattr("trainables.data._files.pictures.read_picture", None)
    assert torch.equal(data.load().train.images, splits.train.images)
    for picture in (tmp_path / "pets").rglob("*.png"):
        picture.write_bytes(b"")
    _on_disk.cache_clear()
    assert torch.equal(data.load(fingerprint).test.images, splits.test.images), "the files are not read for it"
    assert len(list(folder.glob("*.npy"))) == 1


def test_size_limit_and_pictures_left_out_are_other_arrays(tmp_path: Path, folder: Path) -> None:
    pets = str(write_classes(tmp_path / "pets", ("cat", "dog"), 10))
    for n, asked in enumerate(({}, {"image_size": 8}, {"limit": 4}, {"skipped": ("cat/cat_3.png",)}), 1):
        dataset("image_folder", pets, **asked).load()
        assert len(list(folder.glob("*.npy"))) == n
    dataset("image_folder", pets, limit=4).load()
    moved = (tmp_path / "pets").rename(tmp_path / "moved")
    dataset("image_folder", str(moved)).load()
    assert len(list(folder.glob("*.npy"))) == 4, "moved data are the same data"


def test_an_embedded_set_needs_no_file(folder: Path) -> None:
    _embedded.cache_clear()
    dataset("digits", image_size=16).load()
    assert not folder.exists()


def test_files_that_are_not_those_of_the_fingerprint_are_refused(tmp_path: Path, folder: Path) -> None:
    place = mnist_in(tmp_path / "data")
    experiment = Experiment(store="", data="mnist", data_folder=str(place), data_fingerprint="0" * 64)
    with pytest.raises(ValueError, match=f"{place}: its files are not those that their fingerprint is of"):
        experiment.splits()
    assert not list(folder.glob("*.npy"))


def test_nothing_is_kept_of_a_set_in_which_there_is_nothing_to_be_seen(tmp_path: Path, folder: Path) -> None:
    images, labels = clothing()
    write_idx(tmp_path / "data", {k: np.zeros_like(v) for k, v in images.items()}, labels, gzipped=False)
    for _ in range(2):
        with pytest.raises(ValueError, match="of one plain colour"):
            dataset("mnist", str(tmp_path / "data")).load()
    assert not list(folder.glob("*.npy"))


def test_a_damaged_array_is_decoded_again(tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = dataset("mnist", str(mnist_in(tmp_path / "data")))
    expected = data.load().train.images
    (path,) = folder.glob("*.npy")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.unlink()  # the process that mapped it keeps what it has
    path.write_bytes(content)
    _on_disk.cache_clear()
    assert torch.equal(data.load().train.images, expected) and "is not as it was written" in caplog.text


# A process that looks at every image of a small data set and of a large one, and says what memory it holds after each: its
# proportional share (PSS), KiB, once the allocator has given back what is free (it keeps up to tens of MiB of that, or none). It
# is of its own pages and of decoded arrays: of libraries its share depends on what else runs on the machine.
LOOKER = """
import ctypes
import sys
from pathlib import Path
import torch
from trainables.data import dataset
from trainables.forgetting import parse_forget

torch.set_num_threads(1)
kept = []
for folder, fingerprint in (sys.argv[1:3], sys.argv[3:5]):
    data = dataset("mnist", folder)
    splits = data.load(fingerprint)
    forget, retain = parse_forget("3", data).split(splits.train)
    sets = (forget, retain, splits.public, splits.test)
    kept.append(sets)
    print(sum(float(part.sum()) for images in sets for part in images.parts(256)), flush=True)
    sys.stdin.readline()
    ctypes.CDLL(None).malloc_trim(0)
    held, counts = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, *rest = line.split()
        if not first.endswith(":"):
            counts = len(rest) < 5 or not rest[4].startswith("/") or rest[4].endswith(".npy")
        elif first == "Pss:" and counts:
            held += int(rest[0])
    print(held, flush=True)
    sys.stdin.readline()
"""


def test_four_processes_hold_one_copy_of_the_bytes(tmp_path: Path) -> None:
    """Beyond what they hold of a small set they hold at most 1.3 times its bytes; as floats of their own, it would be 16 times."""
    rng = np.random.default_rng(0)
    side, processes = 64, 4
    command, size = [sys.executable, "-c", LOOKER], 0
    for name, counts in (("small", {"train": 800, "t10k": 300}), ("large", {"train": 12_000, "t10k": 3_000})):
        images = {split: rng.integers(0, 256, (n, side, side), np.uint8) for split, n in counts.items()}
        labels = {split: np.arange(n) % 10 for split, n in counts.items()}
        place = str(write_idx(tmp_path / name, images, labels, gzipped=False))
        command += [place, dataset("mnist", place).fingerprint()]
        size = sum(array.nbytes for array in images.values())
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, **piped) for _ in range(processes)]  # type: ignore[call-overload]

    def answers() -> list[str]:
        """What each says next, and all wait until all have said it."""
        said = [process.stdout.readline().strip() for process in running]
        for process in running:
            process.stdin.write("\n")
            process.stdin.flush()
        return said

    try:
        held = []
        for _ in ("small", "large"):
            assert len(set(answers())) == 1, "all have seen the same images"
            held.append(sum(map(int, answers())) * 1024)
        assert [process.wait(60) for process in running] == [0] * processes
    finally:
        for process in running:
            process.kill()
            process.communicate()
    copies = (held[1] - held[0]) / size
    assert 0.9 < copies <= 1.3, f"{copies:.2f} times {size / 2**20:.0f} MiB"


def test_a_picture_that_cannot_be_read_is_named_with_how_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where they are read a few at a time."""
    monkeypatch.setattr("trainables.data._files.pictures.TOGETHER", 4)
    pets = write_classes(tmp_path / "pets", ("cat", "dog"), 10)
    for picture in ("cat/cat_3.png", "dog/dog_1.png", "dog/dog_9.png"):
        (pets / picture).write_bytes(b"text")
    with pytest.raises(ValueError, match=r"_\d.png: cannot be read .*; 3 of 20 pictures cannot be: mend them"):
        dataset("image_folder", str(pets)).load()
    layout = image_folder(pets, "")
    assert len(layout.train.pictures) == 20
