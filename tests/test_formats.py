"""What the decoders meet: text, empty and cut files, random damage."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from halfsight.images import EXTENSIONS, ImageError, read, read_bytes

RNG = np.random.default_rng(7)
PIXELS = RNG.integers(0, 256, (16, 24, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def refused(data: bytes, **options: float) -> ImageError:
    with pytest.raises(ImageError) as caught:
        read_bytes(data, "photo", **options)
    assert str(caught.value).startswith("photo: ")
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    "data", [b"", b"P", b"hello world, I am text", b"<html>", b"\xff\xd8", b"BM"]
)
def test_files_that_are_no_photograph(data: bytes) -> None:
    assert refused(data).remedy


def test_heic_is_named() -> None:
    assert "HEIC" in refused(b"\0\0\0\x18ftypheic\0\0\0\0mif1").problem


@pytest.mark.parametrize(
    "kind", ["JPEG", "progressive", "PNG", "GIF", "TIFF", "WEBP", "BMP", "PPM"]
)
def test_truncated_files_are_refused(kind: str) -> None:
    image = Image.fromarray(RNG.integers(0, 256, (60, 80, 3), dtype=np.uint8))
    data = (
        encoded(image, "JPEG", progressive=True) if kind == "progressive" else encoded(image, kind)
    )
    read_bytes(data, "whole")
    for part in (0.02, 0.1, 0.5, 0.9, 0.98):
        assert "damaged or cut short" in refused(data[: int(len(data) * part)]).problem


def test_suffix_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "really_png.jpg"
    path.write_bytes(encoded(Image.fromarray(PIXELS), "PNG"))
    np.testing.assert_array_equal(read(path).pixels, PIXELS)


def test_extensions_are_those_pillow_knows() -> None:
    known = set(Image.registered_extensions())
    assert {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".gif", ".bmp"} <= EXTENSIONS
    assert known >= EXTENSIONS


# Damage


def with_valid_checksums(png: bytes) -> bytes:
    """Let damage past the checksums of a PNG, to what is behind them."""
    out, at = bytearray(png), 8
    while at + 12 <= len(png):
        end = at + 8 + int.from_bytes(out[at : at + 4], "big")
        out[end : end + 4] = struct.pack(">I", zlib.crc32(out[at + 4 : end]))
        at = end + 4
    return bytes(out[: len(png)])


def outcome(data: bytes) -> str:
    try:
        photograph = read_bytes(data, "x", max_megapixels=4)
    except ImageError as error:
        return "broken message" if "\n" in str(error) else "refused"
    assert photograph.pixels.shape == (photograph.height, photograph.width, 3)
    return "read"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("GIF", {"save_all": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_adobe_deflate", "save_all": True}),
        ("WEBP", {"save_all": True}),
        ("BMP", {}),
        ("PPM", {}),
    ],
)
def test_random_damage_gives_a_photograph_or_an_image_error(
    kind: str, options: dict[str, object]
) -> None:
    exif = Image.Exif()
    exif[274] = 6
    if kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        options = options | {"exif": exif, "icc_profile": profile}
    if options.get("save_all"):
        options = options | {"append_images": [Image.fromarray(PIXELS[::-1])]}
    data = np.frombuffer(encoded(Image.fromarray(PIXELS), kind, **options), np.uint8)
    outcomes = set()
    for seed in range(80):
        rng = np.random.default_rng(seed)
        broken = data.copy()
        # Half of the damage goes to the headers, where the decisions are.
        reach = len(data) if seed % 2 else min(400, len(data))
        where = rng.integers(8, reach, rng.integers(1, 9))
        broken[where] = rng.integers(0, 256, where.size)
        damaged = broken.tobytes()
        if kind == "PNG" and seed % 3:
            damaged = with_valid_checksums(damaged)
        if seed % 5 == 0:
            damaged = damaged[: rng.integers(1, len(damaged))]
        outcomes.add(outcome(damaged))
    assert outcomes == {"read", "refused"}
