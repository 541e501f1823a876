"""Picture files of every depth and mode: scaled by what their format states, or refused in one line; never silently blank."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.data._files.pictures import read_picture

SIDE = 16
RAMP = np.tile(np.arange(SIDE) * 17, (SIDE, 1))  # 0, 17, …, 255 from left to right: what all of these pictures show
DEEP = (RAMP * 257).astype(np.uint16)  # 0 … 65535
FLOATS = (RAMP / 255).astype(np.float32)


def tiff(samples: bytes, bits: int, *, photometric: int = 1, sample_format: int = 1, big_endian: bool = False) -> bytes:
    """A TIFF of one strip of one channel, SIDE pixels a side."""
    mark, order = ("MM", ">") if big_endian else ("II", "<")
    tags = {256: SIDE, 257: SIDE, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: SIDE, 279: len(samples)}
    tags[339] = sample_format
    directory = struct.pack(f"{order}H", len(tags))
    for tag, value in sorted(tags.items()):
        directory += struct.pack(f"{order}HHII", tag, 4, 1, value)
    head = mark.encode() + struct.pack(f"{order}HI", 42, 8 + len(samples))
    return head + samples + directory + struct.pack(f"{order}I", 0)


def with_empty_page(content: bytes) -> bytes:
    """A little-endian TIFF of one page, followed by one without a tag."""
    return content[:-4] + struct.pack("<IHI", len(content), 0, 0)


def twelve_bits(values: np.ndarray) -> bytes:
    """Two samples in three bytes, the first one's highest bits first."""
    first, second = values.reshape(-1, 2).astype(int).T
    return np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=1).astype(np.uint8).tobytes()


def saved(pixels: np.ndarray | Image.Image, **options: object) -> Callable[[Path], object]:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    return lambda path: picture.save(path, **options)


def transparent(mode: str) -> Image.Image:
    """The ramp in alpha alone: all colours are black, so that without alpha there is nothing to be seen."""
    alpha = Image.fromarray((255 - RAMP).astype(np.uint8))
    black = Image.new(mode[:-1], (SIDE, SIDE))
    black.putalpha(alpha)
    return black


def palette() -> Image.Image:
    picture = Image.fromarray(np.tile(np.arange(SIDE, dtype=np.uint8), (SIDE, 1)), "L").convert("P")
    picture.putpalette([level for i in range(SIDE) for level in (17 * i,) * 3])
    return picture


GREY = Image.fromarray(RAMP.astype(np.uint8))
SHOWN: dict[str, Callable[[Path], object]] = {
    "8-bit.png": saved(GREY),
    "RGB.png": saved(GREY.convert("RGB")),
    "16-bit.png": saved(DEEP),
    "16-bit little-endian.tif": saved(DEEP),
    "16-bit big-endian.tif": saved(DEEP.astype(">u2")),
    "16-bit compressed.tiff": saved(DEEP, compression="tiff_lzw"),
    "16-bit.pgm": saved(DEEP),
    "16-bit where 0 is white.tif": lambda path: path.write_bytes(tiff((65535 - DEEP).tobytes(), 16, photometric=0)),
    "8-bit where 0 is white.tif": lambda path: path.write_bytes(
        tiff((255 - RAMP).astype(np.uint8).tobytes(), 8, photometric=0)
    ),
    "12-bit.tif": lambda path: path.write_bytes(tiff(twelve_bits(np.rint(RAMP / 255 * 4095)), 12)),
    "4-bit.tif": lambda path: path.write_bytes(
        tiff((RAMP[:, ::2] // 17 << 4 | RAMP[:, 1::2] // 17).astype(np.uint8).tobytes(), 4)
    ),
    "12-bit maximum.pgm": lambda path: path.write_bytes(
        b"P5 16 16 4095\n" + np.rint(RAMP / 255 * 4095).astype(">u2").tobytes()
    ),
    "palette.png": saved(palette()),
    "RGBA.png": saved(transparent("RGBA")),
    "LA.png": saved(transparent("LA")),
    "RGBA.webp": saved(transparent("RGBA"), lossless=True, exact=True),
    "CMYK.tif": saved(GREY.convert("RGB").convert("CMYK")),
    "a thumbnail behind.tif": lambda path: GREY.save(
        path, save_all=True, append_images=[reduced(GREY)], tiffinfo={254: 0}
    ),
}


def reduced(picture: Image.Image) -> Image.Image:
    """The same at half the size, marked as a copy of reduced resolution."""
    small = picture.resize((SIDE // 2, SIDE // 2))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    return small


@pytest.mark.parametrize("name", SHOWN)
def test_every_depth_and_mode_shows_the_same_ramp(name: str, tmp_path: Path) -> None:
    SHOWN[name](tmp_path / name)
    pixels = read_picture(tmp_path / name, SIDE)
    assert pixels.dtype == np.uint8 and pixels.shape == (3, SIDE, SIDE)
    assert np.array_equal(pixels, np.broadcast_to(RAMP, pixels.shape)), pixels[0, 0]


def test_lightness_of_lab_is_the_grey_it_stands_for(tmp_path: Path) -> None:
    neutral = Image.new("L", (SIDE, SIDE), 128)
    lightness = np.rint(np.where(RAMP > 127, 100, 53.6) * 2.55).astype(np.uint8)  # L* 53.6 is the grey 128 of sRGB
    Image.merge("LAB", [Image.fromarray(lightness), neutral, neutral]).save(tmp_path / "a.tif")
    expected = np.where(RAMP > 127, 255, 128)
    assert abs(read_picture(tmp_path / "a.tif", SIDE).astype(int) - expected).max() <= 3


def test_the_grey_of_16_bits_that_a_png_says_is_transparent_is_white(tmp_path: Path) -> None:
    Image.fromarray(DEEP).save(tmp_path / "a.png", transparency=0)
    assert np.array_equal(read_picture(tmp_path / "a.png", SIDE)[0], np.where(RAMP == 0, 255, RAMP))


def rgb16_png() -> bytes:
    """Colour of 16 bits a channel, which Pillow does not write: red rises, green falls, blue is a low byte alone."""
    samples = np.stack([DEEP, 65535 - DEEP, np.full_like(DEEP, 0x00FF)], axis=-1).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in samples)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", SIDE, SIDE, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_colour_of_16_bits_keeps_the_high_byte_of_each_channel(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(rgb16_png())
    red, green, blue = read_picture(tmp_path / "a.png", SIDE)
    assert np.array_equal(red, RAMP) and np.array_equal(green, 255 - RAMP) and not blue.any()


def test_two_pictures_of_different_brightness_stay_different(tmp_path: Path) -> None:
    """Stretched by what each holds, both would span 0 … 255."""
    for name, part in (("dark", 4), ("bright", 1)):
        Image.fromarray(DEEP // part).save(tmp_path / f"{name}.png")
    dark, bright = (read_picture(tmp_path / f"{name}.png", SIDE).astype(int) for name in ("dark", "bright"))
    assert bright.max() == 255 and abs(dark - bright / 4).max() <= 1


FRAMES = [GREY, GREY.rotate(90), GREY.rotate(180)]
REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "float.tif": (
        saved(FLOATS),
        "samples are floats, which have no range of their own; write it with unsigned samples",
    ),
    "float where 0 is white.tif": (
        lambda path: path.write_bytes(tiff(FLOATS.tobytes(), 32, sample_format=3, photometric=0)),
        "samples are floats",
    ),
    "float.pgm": (
        lambda path: path.write_bytes(b"Pf\n16 16\n-1.0\n" + FLOATS.tobytes()),
        "samples are floats",
    ),
    "32-bit signed.tif": (saved(DEEP.astype(np.int32)), "samples are signed integers"),
    "32-bit.tif": (
        lambda path: path.write_bytes(tiff((DEEP.astype(np.uint32) << 15).tobytes(), 32)),
        "integers of more than 16 bits",
    ),
    "16-bit signed.tif": (
        lambda path: path.write_bytes(tiff(DEEP.tobytes(), 16, sample_format=2)),
        "samples are signed integers",
    ),
    "8-bit signed.tif": (
        lambda path: path.write_bytes(tiff(RAMP.astype(np.uint8).tobytes(), 8, sample_format=2)),
        "samples are signed integers",
    ),
    "12-bit big-endian.tif": (
        lambda path: path.write_bytes(tiff(twelve_bits(DEEP >> 4), 12, big_endian=True)),
        "not a picture of a known format",
    ),
    "an empty second page.tif": (
        lambda path: path.write_bytes(with_empty_page(tiff(RAMP.astype(np.uint8).tobytes(), 8))),
        "TypeError: Missing dimensions",
    ),
    "pages.tif": (saved(FRAMES[0], save_all=True, append_images=FRAMES[1:]), "holds 3 pictures, pages or frames"),
    "animated.png": (saved(FRAMES[0], save_all=True, append_images=FRAMES[1:]), "holds 3 pictures, pages or frames"),
    "animated.webp": (saved(FRAMES[0], save_all=True, append_images=FRAMES[1:]), "holds 3 pictures, pages or frames"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_states_no_range_or_no_single_picture_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    write, said = REFUSED[name]
    write(tmp_path / name)
    with pytest.raises(ValueError, match=said) as error:
        read_picture(tmp_path / name, SIDE)
    assert str(error.value).startswith(f"{tmp_path / name}: ") and "\n" not in str(error.value)


def test_a_phones_photograph_is_the_first_picture_of_its_file(tmp_path: Path) -> None:
    GREY.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[GREY.rotate(180)])
    with Image.open(tmp_path / "a.jpg") as picture:
        assert picture.n_frames == 2
    assert abs(read_picture(tmp_path / "a.jpg", SIDE).astype(int) - RAMP).max() < 10


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "deep.tif"])
def test_a_photograph_is_turned_upright_as_its_exif_says(name: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side: what is stored is a quarter turn to the left
    upright = Image.fromarray(DEEP) if name == "deep.tif" else GREY
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / name, exif=exif)
    assert abs(read_picture(tmp_path / name, SIDE).astype(int) - RAMP).max() < 10
