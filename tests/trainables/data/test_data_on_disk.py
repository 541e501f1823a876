"""Data sets in a folder: each read from files in its exact format, split, limited, resized, told apart; every error line."""

from __future__ import annotations

import gzip
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from disk_formats import clothing, pickled, write_celeba, write_cifar10, write_classes, write_idx
from PIL import Image

from trainables.data import DATASETS, Images, OnDisk, dataset
from trainables.data._files.layout import stratified
from trainables.data.imagenette import CLASSES as IMAGENETTE
from trainables.forgetting import parse_forget
from trainables.relearning.experiment import Experiment
from trainables.relearning.products import classifier_key, model_key, reference_key, shared_key, synthetic_key
from trainables.relearning.stages.trajectory import trajectory_key

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
PLACES = {"mnist": ("", "MNIST/raw", "raw"), "fashion_mnist": ("", "FashionMNIST/raw", "raw")}


def photographs(n: int = 4) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Labels and pixels of CIFAR-10's batches; four images a batch, whose labels go round."""
    rng = np.random.default_rng(0)
    pixels = {name: rng.integers(0, 256, (n, 3072), np.uint8) for name in BATCHES}
    return {name: (np.arange(n) + n * i) % 10 for i, name in enumerate(BATCHES)}, pixels


def faces(folder: Path, n: int = 48) -> Path:
    """Faces of every vector of three attributes: the i-th has them as the bits of i; two in three are training images."""
    bits = {name: [bool(i >> bit & 1) for i in range(n)] for bit, name in enumerate(("Male", "Smiling", "Young"))}
    bits["Eyeglasses"] = [i % 4 == 0 for i in range(n)]
    return write_celeba(folder, [(0, 0, 0, 0, 1, 2)[i * 6 // n] for i in range(n)], bits)


def mnist_in(folder: Path) -> Path:
    return write_idx(folder, *clothing(), gzipped=False)


def cifar10_in(folder: Path) -> Path:
    return write_cifar10(folder, *photographs(), binary=False)


def imagenette_in(folder: Path) -> Path:
    write_classes(folder / "imagenette2-160" / "val", tuple(IMAGENETTE), 2, first=100)
    write_classes(folder / "imagenette2-160" / "train", tuple(IMAGENETTE), 4, suffix=".JPEG")
    return folder


def folder_in(folder: Path) -> Path:
    return write_classes(folder, ("cat", "dog", "newt"), 10)


WRITERS: dict[str, Callable[[Path], Path]] = {
    "mnist": mnist_in,
    "fashion_mnist": mnist_in,
    "cifar10": cifar10_in,
    "celeba": faces,
    "imagenette": imagenette_in,
    "image_folder": folder_in,
}


def bytes_of(images: Images) -> np.ndarray:
    """Pixels as the files hold them."""
    return ((images.images + 1) * 127.5).round().numpy().astype(np.uint8)


def colours(images: Images) -> set[tuple[int, ...]]:
    """The colour of each image's upper half; red and green are the same everywhere."""
    pixels = bytes_of(images)
    assert (pixels[:, :2] == pixels[:, :2, :1, :1]).all()
    return {tuple(map(int, image[:, 0, 0])) for image in pixels}


def test_every_data_set_on_disk_is_tested_here() -> None:
    assert set(WRITERS) == {name for name in DATASETS.names() if isinstance(DATASETS[name], OnDisk)}


@pytest.mark.parametrize("name", WRITERS)
def test_splits_are_disjoint_described_and_always_the_same(name: str, tmp_path: Path) -> None:
    data = dataset(name, str(WRITERS[name](tmp_path / "one")))
    splits = data.load()
    sizes = [len(s) for s in (splits.train, splits.public, splits.test)]
    assert sizes == {
        "celeba": [24, 8, 8],
        "image_folder": [18, 6, 6],
        "imagenette": [30, 10, 20],
        "cifar10": [15, 5, 4],
    }.get(name, [30, 10, 20])
    for part in (splits.train, splits.public, splits.test):
        assert part.images.shape[1:] == data.shape and part.images.dtype == torch.float32
        assert part.conditions.dtype == torch.int64 and set(part.conditions.tolist()) <= set(data.present)
        assert -1 <= part.images.min() < part.images.max() <= 1
    again = dataset(name, str(WRITERS[name](tmp_path / "two"))).load()
    for part, other in zip(vars(splits).values(), vars(again).values(), strict=True):
        assert torch.equal(part.images, other.images) and torch.equal(part.conditions, other.conditions)


@pytest.mark.parametrize("gzipped", [False, True], ids=["plain", "gzipped"])
@pytest.mark.parametrize(("name", "within"), [(n, w) for n, places in PLACES.items() for w in places])
def test_idx_files_are_found_in_every_layout_and_keep_their_pixels_and_labels(
    name: str, within: str, gzipped: bool, tmp_path: Path
) -> None:
    images, labels = clothing()
    write_idx(tmp_path / within, images, labels, gzipped)
    data = dataset(name, str(tmp_path))
    splits = data.load()
    assert data.shape == (1, 28, 28) and data.conditions == len(data.classes) == 10
    assert np.array_equal(bytes_of(splits.test)[:, 0], images["t10k"])
    assert splits.test.conditions.tolist() == labels["t10k"].tolist()
    label_of = {image.tobytes(): label for image, label in zip(images["train"], labels["train"], strict=True)}
    read = [
        (i.tobytes(), c)
        for s in (splits.train, splits.public)
        for i, c in zip(bytes_of(s)[:, 0], s.conditions.tolist(), strict=True)
    ]
    assert len(read) == 40 and dict(read) == label_of


@pytest.mark.parametrize("binary", [False, True], ids=["py", "bin"])
def test_both_forms_of_cifar10_hold_the_same_images(binary: bool, tmp_path: Path) -> None:
    labels, pixels = photographs(8)
    write_cifar10(tmp_path, labels, pixels, binary)
    splits = dataset("cifar10", str(tmp_path)).load()
    assert np.array_equal(bytes_of(splits.test).reshape(8, -1), pixels["test_batch"])
    label_of = {
        p.tobytes(): c for name in BATCHES[:5] for p, c in zip(pixels[name], labels[name].tolist(), strict=True)
    }
    for part in (splits.train, splits.public):
        assert [label_of[image.tobytes()] for image in bytes_of(part)] == part.conditions.tolist()


def test_the_pickles_are_those_of_python_2() -> None:
    """What the tests write is what Python's own unpickler reads from the real files, by the names Python 2 gave."""
    content = pickled({"data": np.arange(6, dtype=np.uint8).reshape(2, 3), "labels": [1, 2]})
    assert b"cnumpy.core.multiarray\n_reconstruct\n" in content and content.startswith(b"\x80\x02")
    batch = pickle.loads(content, encoding="bytes")
    assert batch[b"labels"] == [1, 2] and batch[b"data"].tolist() == [[0, 1, 2], [3, 4, 5]]


class Harm:
    def __reduce__(self) -> tuple:
        return Path.touch, (Path("harm"),)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (pickle.dumps({b"data": Harm(), b"labels": []}, protocol=2), "which a batch of images has no need of"),
        (pickled({"data": np.array([{}], object), "labels": [0]}), "not of bytes; it is not loaded"),
        (pickled({"labels": [0]}), "not a pickled batch"),
        (pickled({"data": np.zeros((1, 3072), np.uint8), "labels": [10]}), "not all whole numbers from 0 to 9"),
        (pickled({"data": np.zeros((1, 3071), np.uint8), "labels": [1]}), "3072 bytes an image are needed"),
        (pickled({"data": np.zeros((1, 3072), np.uint8), "labels": [1]})[:-500], "not a pickled batch"),
    ],
    ids=["code", "objects", "no data", "label", "width", "truncated"],
)
def test_a_pickle_that_is_more_or_less_than_a_batch_is_refused(
    content: bytes, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (cifar10_in(tmp_path) / "cifar-10-batches-py" / "data_batch_3").write_bytes(content)
    with pytest.raises(ValueError, match=r"data_batch_3: .*" + said):
        dataset("cifar10", str(tmp_path)).load()
    assert not Path("harm").exists()


def test_a_condition_of_celeba_is_the_vector_of_the_named_attributes(tmp_path: Path) -> None:
    data = dataset("celeba", str(faces(tmp_path / "celeba").parent))
    assert (data.attributes, data.conditions, data.present) == (("Male", "Smiling", "Young"), 8, tuple(range(8)))
    splits = data.load()
    # Red is 5 times the picture's number, whose lowest bits are the attributes; the black margins are cut away.
    for part in (splits.train, splits.public, splits.test):
        red = bytes_of(part)[:, 0, 32, 32].astype(int)
        assert (abs(red - 5 * (red / 5).round()) <= 1).all() and (bytes_of(part)[:, 1, 0, 0] > 100).all()
        assert [round(r / 5) % 8 for r in red] == part.conditions.tolist()
    glasses = dataset("celeba:Eyeglasses,Male", str(tmp_path), limit=8)
    assert glasses.conditions == 4 and glasses.present == (0, 1, 2) and len(glasses.load().train) == 8
    assert parse_forget("attribute:Eyeglasses", glasses).conditions == (1,)


def test_imagenettes_conditions_have_names_and_its_held_out_photographs_are_the_test_split(tmp_path: Path) -> None:
    data = dataset("imagenette", str(imagenette_in(tmp_path)), image_size=8)
    assert data.classes[0] == "tench" and data.classes[9] == "parachute" and data.shape == (3, 8, 8)
    test = data.load().test
    assert colours(test) == {(label * 20, 100 + i, 100) for label in range(10) for i in range(2)}
    assert [red // 20 for red in bytes_of(test)[:, 0, 0, 0]] == test.conditions.tolist()


@pytest.mark.parametrize("held_out", ["", "test", "val"])
def test_a_folder_of_classes_is_split_by_itself_or_as_its_folders_say(held_out: str, tmp_path: Path) -> None:
    training = write_classes(tmp_path / ("train" if held_out else ""), ("cat", "dog", "newt"), 8, suffix=".PNG")
    if held_out:
        write_classes(tmp_path / held_out, ("cat", "dog", "newt"), 2, first=100)
    (training / "cat" / "notes.txt").write_text("no picture")
    (training / ".hidden").mkdir()
    data = dataset("image_folder", str(tmp_path), image_size=16)
    splits = data.load()
    assert data.classes == ("cat", "dog", "newt") and data.shape == (3, 16, 16)
    assert [len(s) for s in (splits.train, splits.public, splits.test)] == ([18, 6, 6] if held_out else [15, 5, 4])
    assert ({green for _, green, _ in colours(splits.test)} == {100, 101}) == bool(held_out)
    for part in vars(splits).values():
        assert sorted(set(part.conditions.tolist())) == [0, 1, 2]


def test_a_picture_is_cut_square_in_its_middle_and_made_colour(tmp_path: Path) -> None:
    wide = np.zeros((20, 60), np.uint8)
    wide[:, 20:40] = 255
    for name in ("a", "b"):
        for i in range(5):
            wide[:, 30:40] = 40 * i + 20 * (name == "b")  # the right half of the square
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(wide).save(tmp_path / name / f"{i}.png")  # one channel
    images = dataset("image_folder", str(tmp_path), image_size=20).load().train.images
    assert torch.equal(images[..., :10], torch.ones(6, 3, 20, 10))
    assert set(((images[..., 10:] + 1) * 127.5).round().unique().tolist()) <= set(range(0, 181, 20))


def test_every_beginning_of_the_order_holds_the_labels_in_proportion() -> None:
    labels = np.repeat([0, 1, 2], [700, 200, 100])
    order = stratified(labels)
    assert sorted(order) == list(range(1000))
    for n in (10, 50, 333):
        assert abs(np.bincount(labels[order[:n]], minlength=3) / n - [0.7, 0.2, 0.1]).max() <= 1 / n
    assert order.tolist() != stratified(labels[::-1])[::-1].tolist()
    assert order[:5].tolist() == stratified(labels.copy())[:5].tolist() == FIRST_OF_1000


FIRST_OF_1000 = [298, 553, 859, 672, 993]  # a seed's stream, which must not change


def test_a_limit_takes_the_same_images_again_and_a_larger_one_more_of_them(tmp_path: Path) -> None:
    folder = str(mnist_in(tmp_path))
    small, large, everything = (dataset("mnist", folder, limit=n).load() for n in (10, 20, 0))
    for split in ("train", "public", "test"):
        few, more, whole = ({i.numpy().tobytes() for i in getattr(s, split).images} for s in (small, large, everything))
        assert few <= more <= whole
    assert [len(s) for s in vars(small).values()] == [10, 10, 10]
    assert torch.bincount(small.train.conditions).tolist() == [1] * 10
    with pytest.raises(ValueError, match="a limit of 9 leaves no training image of class"):
        dataset("mnist", folder, limit=9).load()


def test_resizing_is_antialiased_and_leaves_no_value_outside(tmp_path: Path) -> None:
    images, labels = clothing()
    fine = np.indices((28, 28)).sum(axis=0) % 2 * 255  # a chessboard: without antialiasing it would stay one, coarser
    fine[:, :8] = np.arange(28)[:, None] * 9  # all of it finer than 12 pixels would be nothing to learn from
    images = {split: np.broadcast_to(fine, values.shape).astype(np.uint8) for split, values in images.items()}
    for values in images.values():
        values[::2, :, :4] = 255
    write_idx(tmp_path, images, labels, gzipped=False)
    half = dataset("mnist", str(tmp_path), image_size=12).load().train.images
    assert half.shape == (30, 1, 12, 12) and half[..., 5:].abs().max() < 0.2
    twice = dataset("digits", image_size=16).load().train.images
    assert twice.shape == (1078, 1, 16, 16) and (twice.min(), twice.max()) == (-1, 1)


def test_an_embedded_set_is_the_same_one_unless_resized() -> None:
    digits = DATASETS["digits"]
    assert dataset("digits") is digits and dataset("digits", image_size=8) is digits
    copies = dataset("digits_duplicated", image_size=16)
    assert copies.judge.name == "digits" and copies.judge.shape == copies.shape == (1, 16, 16)
    assert len(copies.load().train) == len(DATASETS["digits_duplicated"].load().train)
    assert digits.fingerprint() == copies.fingerprint() == ""


def damaged(path: str, content: bytes | None) -> Callable[[Path], None]:
    """Replaces a file's content, or deletes it, once the folder is written."""

    def damage(folder: Path) -> None:
        if content is None:
            target = folder / path
            shutil.rmtree(target) if target.is_dir() else target.unlink()
        else:
            (folder / path).write_bytes(content)

    return damage


WHOLE = gzip.compress(b"\0\0\x08\x03" + bytes(12))
MISTAKES = {
    "folder": ("mnist", damaged(".", None), r"no such folder"),
    "file": ("mnist", damaged("t10k-labels-idx1-ubyte", None), r"t10k-labels-idx1-ubyte is missing"),
    "other data": (
        "mnist",
        damaged("train-images-idx3-ubyte", None),
        r"holds no train-images-idx3-ubyte\* \(looked in it, its",
    ),
    "magic": (
        "mnist",
        damaged("train-images-idx3-ubyte", b"\0\0\x08\x01" + bytes(12)),
        r"0x00000801, not with 0x00000803",
    ),
    "header": ("mnist", damaged("t10k-images-idx3-ubyte", b"\0\0\x08\x03\0"), r"ends within its header"),
    "truncated": (
        "mnist",
        damaged("t10k-labels-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x14" + bytes(19)),
        r"holds 19 bytes where its header promises 20; it is truncated",
    ),
    "label": ("mnist", damaged("t10k-labels-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x14" + b"\x0a" * 20), r"label 10 where"),
    "counts": (
        "mnist",
        damaged("t10k-labels-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x13" + bytes(19)),
        r"19 labels for the 20",
    ),
    "sizes": (
        "mnist",
        damaged("t10k-images-idx3-ubyte", b"\0\0\x08\x03\0\0\0\x14\0\0\0\x04\0\0\0\x05" + bytes(400)),
        r"square",
    ),
    "batch": ("cifar10", damaged("cifar-10-batches-py/data_batch_4", None), r"data_batch_4 is missing"),
    "no batches": ("cifar10", damaged("cifar-10-batches-py", None), r"holds no data_batch_1"),
    "list": ("celeba", damaged("list_attr_celeba.txt", None), r"list_attr_celeba.txt is missing"),
    "pictures": ("celeba", damaged("img_align_celeba", None), r"holds no img_align_celeba"),
    "no list of splits": ("celeba", damaged("list_eval_partition.txt", None), r"list_eval_partition.txt is missing"),
    "no listed picture": (
        "celeba",
        lambda f: [p.rename(p.with_suffix(".webp")) for p in (f / "img_align_celeba").iterdir()],
        r"img_align_celeba: holds none of the 48 listed pictures, such as 000001.jpg",
    ),
    "half a picture": (
        "celeba",
        lambda f: (f / "img_align_celeba/000003.jpg").write_bytes(
            (f / "img_align_celeba/000003.jpg").read_bytes()[:900]
        ),
        r"000003.jpg: cannot be read as a picture",
    ),
    "count of faces": (
        "celeba",
        damaged("list_attr_celeba.txt", b"2\nMale Smiling Young\n1.jpg 1 1 1\n"),
        r"lists 1 pictures where",
    ),
    "empty list": ("celeba", damaged("list_attr_celeba.txt", b""), r"has no attribute 'Male'"),
    "row": (
        "celeba",
        damaged("list_attr_celeba.txt", b"1\nMale Smiling Young\n1.jpg 1 1\n"),
        r"line 3: not a picture's name and 3",
    ),
    "partition": (
        "celeba",
        damaged("list_eval_partition.txt", b"000001.jpg 3\n"),
        r"line 1: not a picture's name and 0, 1 or 2",
    ),
    "no split": ("celeba", damaged("list_eval_partition.txt", b"000002.jpg 0\n"), r"which split 000001.jpg is of"),
    "attribute": (
        "celeba:Smilling",
        damaged("img_align_celeba/000003.jpg", None),
        r"no attribute 'Smilling'; did you mean Smiling",
    ),
    "attribute twice": ("celeba:Male,Male", damaged("img_align_celeba/000003.jpg", None), r"name each once"),
    "no attribute": ("celeba:", damaged("img_align_celeba/000003.jpg", None), r"write celeba, or celeba:ATTRIBUTE"),
    "option": ("mnist:3", damaged("t10k-labels-idx1-ubyte", None), r"write mnist"),
    "split": ("imagenette", damaged("imagenette2-160/val", None), r"val/ is missing"),
    "WordNet id": (
        "imagenette",
        damaged("imagenette2-160/train/n02979186", None),
        r"n02979186 \(cassette player\) is missing",
    ),
    "one class": (
        "image_folder",
        lambda f: [shutil.rmtree(f / c) for c in ("cat", "dog")],
        r"holds 1 folders where at least two",
    ),
    "empty class": ("image_folder", lambda f: [p.unlink() for p in (f / "dog").iterdir()], r"dog: holds no pictures"),
    "no picture": (
        "image_folder",
        damaged("dog/dog_3.png", b"text"),
        r"dog_3.png: cannot be read .*not a picture of a known format",
    ),
    "other classes": (
        "image_folder",
        lambda f: [write_classes(f / "train", ("a", "b"), 1), write_classes(f / "val", ("a", "c"), 1)],
        r"val: its classes a, c are not those of train, a, b",
    ),
    "too few": (
        "image_folder",
        lambda f: [p.unlink() for p in f.rglob("*.png") if "_0" not in p.name],
        r"too few images",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_damaged_folder_is_answered_with_one_line_that_names_the_place(mistake: str, tmp_path: Path) -> None:
    name, damage, said = MISTAKES[mistake]
    damage(WRITERS[name.partition(":")[0]](tmp_path / "data"))
    with pytest.raises(ValueError, match=said) as error:
        dataset(name, str(tmp_path / "data")).load()
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value) or ":" in name


def test_a_gzipped_file_that_ends_early_is_refused(tmp_path: Path) -> None:
    write_idx(tmp_path, *clothing(), gzipped=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz: cannot be read"):
        dataset("mnist", str(tmp_path)).load()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"name": "digits", "folder": "x"}, "digits: is embedded"),
        ({"name": "digits", "limit": 5}, "digits: is embedded"),
        ({"name": "digits", "image_size": 10}, "image size 10: .*multiple of 4 from 8 to 1024"),
        ({"name": "digits", "image_size": 4}, "image size 4: "),
        ({"name": "digits", "limit": -1}, "limit -1: must not be negative"),
        ({"name": "cifar10"}, "cifar10: a folder is needed"),
        ({"name": "mnits"}, "did you mean 'mnist'"),
    ],
)
def test_what_a_data_set_does_not_take_is_refused(asked: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        dataset(**asked)


def test_images_of_a_size_that_cannot_be_halved_need_another(tmp_path: Path) -> None:
    write_idx(tmp_path, *clothing(side=30), gzipped=False)
    with pytest.raises(ValueError, match="its images are 30 pixels a side; give an image size of a multiple of 4"):
        dataset("mnist", str(tmp_path))
    assert dataset("mnist", str(tmp_path), image_size=16).shape == (1, 16, 16)


@pytest.mark.parametrize("name", WRITERS)
def test_a_fingerprint_is_of_the_files_and_not_of_where_they_lie(name: str, tmp_path: Path) -> None:
    here, there = WRITERS[name](tmp_path / "here"), tmp_path / "elsewhere" / "there"
    shutil.copytree(here, there)
    data = dataset(name, str(here))
    before = data.fingerprint()
    assert before == dataset(name, str(there)).fingerprint() and len(before) == 64
    assert data.files is not None
    files = sorted(data.files().values())
    for file in (*files[:2], files[-1]):
        content, middle = file.read_bytes(), file.stat().st_size // 2
        file.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        assert data.fingerprint() != before, file
        file.write_bytes(content)
    assert data.fingerprint() == before
    (there / "another file").write_text("which is not read")
    assert dataset(name, str(there)).fingerprint() == before


def test_a_limit_reads_and_fingerprints_only_its_own_pictures(tmp_path: Path) -> None:
    data = dataset("celeba", str(faces(tmp_path)), limit=4)
    assert data.files is not None
    read = set(data.files())
    assert len(read) == 2 + 3 * 4 and "list_attr_celeba.txt" in read
    for face in (tmp_path / "img_align_celeba").iterdir():
        if f"img_align_celeba/{face.name}" not in read:
            face.unlink()
    assert len(data.load().train) == 4


def test_every_key_that_images_determine_follows_the_fingerprint_size_and_limit_and_not_the_folder(
    tmp_path: Path, make_spec: Callable
) -> None:
    here, there = mnist_in(tmp_path / "here"), tmp_path / "there"
    shutil.copytree(here, there)
    data = dataset("mnist", str(here))
    first = Experiment(store="", data="mnist", data_folder=str(here), data_fingerprint=data.fingerprint())

    def keys(experiment: Experiment) -> list[str]:
        spec = make_spec(experiment)
        made = [f(experiment) for f in (classifier_key, reference_key, synthetic_key)]
        made += [model_key(experiment, which) for which in ("base", "retrain")]
        return [*made, shared_key(experiment, "saliency"), trajectory_key(spec, spec.attacks[0], "the same model")]

    before = keys(first)
    assert keys(replace(first, data_folder=str(there))) == before, "moved data are the same data"
    assert keys(replace(first, image_size=28)) == before, "their own size, spelled out"
    for change in ({"data_fingerprint": "0" * 64}, {"image_size": 16}, {"data_limit": 20}):
        assert not set(keys(replace(first, **change))) & set(before), change
    with pytest.raises(ValueError, match="set data_fingerprint"):
        keys(replace(first, data_fingerprint=""))


@pytest.mark.skipif(not DEBIAN.is_dir(), reason=f"Debian's package dataset-fashion-mnist is not installed in {DEBIAN}")
def test_the_real_fashion_mnist_is_read_from_debians_folder() -> None:
    data = dataset("fashion_mnist", image_size=16, limit=2000)
    splits = data.load()
    assert [len(s) for s in vars(splits).values()] == [2000] * 3
    assert torch.bincount(splits.train.conditions).tolist() == [200] * 10
    trousers, bags = (splits.train.of(data.classes.index(name)).images.mean(dim=0)[0] for name in ("trouser", "bag"))
    assert trousers[:, 7:9].mean() > trousers[:, :3].mean() + 0.5, "trousers stand upright in the middle"
    assert bags[8:, 1:3].mean() > trousers[8:, 1:3].mean() + 0.5, "bags are wide"
