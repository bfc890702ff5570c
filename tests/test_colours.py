"""Depths, colour spaces, profiles and transparency, against oracles computed here."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from halfsight import colours
from halfsight.images import ImageError, read, read_bytes

RNG = np.random.default_rng(11)
PIXELS = RNG.integers(0, 256, (16, 24, 3), dtype=np.uint8)
GREY = PIXELS[..., 0]
DEEP = RNG.integers(0, 65536, (16, 24), dtype=np.uint16)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def thrice(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


# Profiles, built here so that no file of anybody else's is needed


def icc(space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A version 2 profile."""
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    head = bytearray(128)
    head[0:4] = struct.pack(">I", start + len(body))
    head[8:12] = b"\x02\x40\0\0"
    head[12:24] = b"mntr" + space + connection
    head[36:40] = b"acsp"
    head[68:80] = struct.pack(">iii", 0xF6D6, 0x10000, 0xD32D)
    return bytes(head) + table + body


def described(name: str) -> bytes:
    text = name.encode() + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + b"\0" * 78


def xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">iii", *(round(v * 65536) for v in values))


def gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256)) + b"\0\0"


# Adobe RGB (1998): primaries adapted to D50, from its specification.
ADOBE = np.array(
    [[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]]
)
# sRGB, adapted to D50, from IEC 61966-2-1 by the Bradford transform.
SRGB = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
)


def matrix_profile(primaries: np.ndarray, exponent: float, name: str) -> bytes:
    tags = {b"desc": described(name), b"wtpt": xyz(0.9642, 1.0, 0.8249)}
    for column, letter in zip(primaries.T, (b"r", b"g", b"b"), strict=True):
        tags[letter + b"XYZ"] = xyz(*column)
        tags[letter + b"TRC"] = gamma(exponent)
    return icc(b"RGB ", b"XYZ ", tags)


def srgb_encoded(linear: np.ndarray) -> np.ndarray:
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def neutral_cmyk_profile() -> bytes:
    """CMYK in which every ink is grey: L* = 100 (1 - k) (1 - (c + m + y) / 3)."""
    table = bytearray()
    for corner in np.ndindex(2, 2, 2, 2):
        *inks, black = corner
        table += bytes([round(255 * (1 - black) * (1 - sum(inks) / 3)), 128, 128])
    identity = struct.pack(">9i", *(65536 * v for v in (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    lut = b"mft1\0\0\0\0\4\3\2\0" + identity + bytes(range(256)) * 4 + table + bytes(range(256)) * 3
    return icc(
        b"CMYK",
        b"Lab ",
        {
            b"desc": described("Neutral inks"),
            b"wtpt": xyz(0.9642, 1.0, 0.8249),
            b"A2B0": bytes(lut),
        },
    )


# Depth


@pytest.mark.parametrize("kind", [".png", ".tif"])
def test_16_bit_grey_is_scaled_not_clipped(kind: str) -> None:
    data = cv2.imencode(kind, DEEP)[1].tobytes()
    expected = thrice(np.rint(DEEP / 257).astype(np.uint8))
    for photograph in (read_bytes(data, "x"), read(Image.open(io.BytesIO(data))), read(DEEP)):
        np.testing.assert_array_equal(photograph.pixels, expected)
        assert photograph.notes == ("16-bit",)


def test_16_bit_grey_in_other_containers() -> None:
    pgm = b"P5 24 16 65535\n" + DEEP.astype(">u2").tobytes()
    big_endian = Image.frombytes("I;16B", (24, 16), DEEP.astype(">u2").tobytes())
    wide = Image.fromarray(DEEP.astype(np.int32))
    expected = read(DEEP).pixels
    for photograph in (read_bytes(pgm, "x"), read(big_endian), read(wide)):
        np.testing.assert_array_equal(photograph.pixels, expected)
        assert photograph.notes == ("16-bit",)


@pytest.mark.parametrize("kind", [".png", ".tif"])
def test_16_bit_colour_is_right_within_a_level(kind: str) -> None:
    deep = RNG.integers(0, 65536, (16, 24, 3), dtype=np.uint16)
    photograph = read_bytes(cv2.imencode(kind, deep[..., ::-1])[1].tobytes(), "x")
    assert np.abs(photograph.pixels - deep / 257).max() <= 1
    assert photograph.notes == ("16-bit",)


def test_float_files_follow_the_rule_of_float_arrays() -> None:
    levels = GREY / np.float32(255)
    data = encoded(Image.fromarray(levels), "TIFF")
    np.testing.assert_array_equal(read_bytes(data, "x").pixels, thrice(GREY))
    for bad in (levels * 255, np.full((4, 4), np.nan, np.float32)):
        with pytest.raises(ImageError, match="expected 0 to 1"):
            read_bytes(encoded(Image.fromarray(bad), "TIFF"), "x")


def test_32_bit_whole_numbers_are_refused() -> None:
    with pytest.raises(ImageError, match="unknown scale"):
        read_bytes(encoded(Image.fromarray(np.full((4, 4), 7, np.int32)), "TIFF"), "x")
    for value in (-1, 65536):
        with pytest.raises(ImageError, match="expected 0 to 65535"):
            read(Image.fromarray(np.full((4, 4), value, np.int32)))


def test_few_bits() -> None:
    ones = Image.fromarray(GREY > 127)
    assert ones.mode == "1"
    expected = thrice(np.where(GREY > 127, 255, 0).astype(np.uint8))
    for kind in ("PNG", "TIFF", "PPM", "BMP"):
        np.testing.assert_array_equal(read_bytes(encoded(ones, kind), "x").pixels, expected)
    palette = Image.fromarray(PIXELS).quantize(7)
    for kind in ("PNG", "GIF", "BMP", "TIFF"):
        photograph = read_bytes(encoded(palette, kind), "x")
        np.testing.assert_array_equal(photograph.pixels, np.asarray(palette.convert("RGB")))
        assert photograph.notes == ()


# Modes


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "PPM", "BMP"])
def test_grey(kind: str) -> None:
    data = encoded(Image.fromarray(GREY), kind)
    expected = np.asarray(Image.open(io.BytesIO(data)))
    photograph = read_bytes(data, "x")
    np.testing.assert_array_equal(photograph.pixels, thrice(expected))
    assert photograph.notes == ()


@pytest.mark.parametrize("mode", ["YCbCr", "HSV", "RGBX"])
def test_pil_modes_that_are_rgb_in_disguise(mode: str) -> None:
    image = Image.fromarray(PIXELS).convert(mode)
    np.testing.assert_array_equal(read(image).pixels, np.asarray(image.convert("RGB")))


def test_lab() -> None:
    # Muted colours, which survive 8-bit L*a*b*.
    muted = Image.fromarray(PIXELS // 4 + 96)
    lab = ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(muted, ImageCms.createProfile("sRGB"), lab, outputMode="LAB")
    photograph = read_bytes(encoded(image, "TIFF"), "x")
    assert np.abs(photograph.pixels - np.asarray(muted, np.int16)).max() <= 4
    assert photograph.notes == ("CIELAB converted to sRGB",)


# Transparency


def composited(rgba: np.ndarray) -> np.ndarray:
    weight = rgba[..., 3:] / 255
    return rgba[..., :3] * weight + 255 * (1 - weight)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_alpha_is_composited_over_white(kind: str) -> None:
    rgba = np.dstack([PIXELS, RNG.integers(0, 256, (16, 24), dtype=np.uint8)])
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    data = encoded(Image.fromarray(rgba), kind, **options)
    photograph = read_bytes(data, "x")
    assert np.abs(photograph.pixels - composited(rgba)).max() <= 0.5 + 1e-9
    np.testing.assert_array_equal(photograph.pixels, read(rgba).pixels)
    np.testing.assert_array_equal(photograph.pixels, read(Image.fromarray(rgba)).pixels)
    assert photograph.notes == ("alpha composited over white",)


def test_an_opaque_alpha_channel_changes_nothing() -> None:
    image = Image.fromarray(PIXELS)
    image.putalpha(255)
    photograph = read_bytes(encoded(image, "PNG"), "x")
    np.testing.assert_array_equal(photograph.pixels, PIXELS)
    assert photograph.notes == ()


def test_grey_with_alpha() -> None:
    alpha = RNG.integers(0, 256, (16, 24), dtype=np.uint8)
    image = Image.merge("LA", (Image.fromarray(GREY), Image.fromarray(alpha)))
    expected = composited(np.dstack([GREY, GREY, GREY, alpha]))
    for photograph in (read_bytes(encoded(image, "PNG"), "x"), read(image)):
        assert np.abs(photograph.pixels - expected).max() <= 0.5 + 1e-9
        assert photograph.notes == ("alpha composited over white",)


def test_premultiplied_alpha() -> None:
    rgba = np.dstack([PIXELS, RNG.integers(128, 256, (16, 24), dtype=np.uint8)])
    image = Image.fromarray(rgba).convert("RGBa")
    assert np.abs(read(image).pixels - composited(rgba)).max() <= 2
    grey = Image.fromarray(rgba).convert("LA")
    np.testing.assert_allclose(read(grey.convert("La")).pixels, read(grey).pixels, atol=2)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_palette_with_transparency(kind: str) -> None:
    image = Image.fromarray(np.array([[0, 1, 2, 1]], np.uint8)).convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    photograph = read_bytes(encoded(image, kind, transparency=1), "x")
    expected = [[255, 0, 0], [255, 255, 255], [0, 0, 255], [255, 255, 255]]
    assert photograph.pixels[0].tolist() == expected
    assert photograph.notes == ("alpha composited over white",)


def test_one_transparent_colour() -> None:
    image = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    photograph = read_bytes(encoded(image, "PNG", transparency=(1, 2, 3)), "x")
    assert photograph.pixels[0].tolist() == [[255, 255, 255], [4, 5, 6]]


# Profiles


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_adobe_rgb_is_converted(kind: str) -> None:
    muted = PIXELS // 2 + 64  # inside sRGB, where nothing is clipped
    profile = matrix_profile(ADOBE, 563 / 256, "Wide")
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(Image.fromarray(muted), kind, icc_profile=profile, **options)
    linear = (muted / 255) ** (563 / 256) @ (np.linalg.inv(SRGB) @ ADOBE).T
    photograph = read_bytes(data, "x")
    assert np.abs(photograph.pixels - srgb_encoded(linear)).max() <= 2
    assert np.abs(photograph.pixels - muted.astype(int)).max() > 20
    assert photograph.notes == ("colour profile 'Wide' converted to sRGB",)
    np.testing.assert_array_equal(photograph.pixels, read(Image.open(io.BytesIO(data))).pixels)


def test_srgb_by_any_name_leaves_the_pixels_alone() -> None:
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    renamed = own.replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))
    assert renamed != own
    for profile in (own, renamed):
        photograph = read_bytes(encoded(Image.fromarray(PIXELS), "PNG", icc_profile=profile), "x")
        np.testing.assert_array_equal(photograph.pixels, PIXELS)
        assert photograph.notes == ()


def test_colours_are_converted_before_compositing() -> None:
    profile = matrix_profile(ADOBE, 563 / 256, "Wide")
    opaque = Image.fromarray(PIXELS)
    converted = read_bytes(encoded(opaque, "PNG", icc_profile=profile), "x").pixels
    opaque.putalpha(100)
    photograph = read_bytes(encoded(opaque, "PNG", icc_profile=profile), "x")
    rgba = np.dstack([converted, np.full((16, 24), 100, np.uint8)])
    np.testing.assert_array_equal(photograph.pixels, read(rgba).pixels)
    assert photograph.notes == (
        "colour profile 'Wide' converted to sRGB",
        "alpha composited over white",
    )


def test_grey_profile() -> None:
    tags = {
        b"desc": described("Linear grey"),
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"kTRC": gamma(1.0),
    }
    profile = icc(b"GRAY", b"XYZ ", tags)
    photograph = read_bytes(encoded(Image.fromarray(GREY), "PNG", icc_profile=profile), "x")
    expected = srgb_encoded(thrice(GREY) / 255)
    assert np.abs(photograph.pixels - expected)[GREY > 20].max() <= 1.5
    assert photograph.notes == ("colour profile 'Linear grey' converted to sRGB",)
    deep = Image.fromarray(GREY.astype(np.uint16) * 257)
    photograph_deep = read_bytes(encoded(deep, "PNG", icc_profile=profile), "x")
    np.testing.assert_array_equal(photograph_deep.pixels, photograph.pixels)


def test_grey_pixels_under_an_rgb_profile() -> None:
    profile = matrix_profile(SRGB, 1.0, "Linear")
    photograph = read_bytes(encoded(Image.fromarray(GREY), "PNG", icc_profile=profile), "x")
    expected = srgb_encoded(thrice(GREY) / 255)
    assert np.abs(photograph.pixels - expected)[GREY > 20].max() <= 3


@pytest.mark.parametrize(
    "profile",
    [b"garbage", b"\0" * 400, neutral_cmyk_profile(), matrix_profile(ADOBE, 2.2, "x")[:200]],
)
def test_unusable_profiles_are_ignored_with_a_note(profile: bytes) -> None:
    photograph = read_bytes(encoded(Image.fromarray(PIXELS), "PNG", icc_profile=profile), "x")
    np.testing.assert_array_equal(photograph.pixels, PIXELS)
    assert len(photograph.notes) == 1
    assert photograph.notes[0].startswith("unusable colour profile ignored (")


def test_cmyk_without_a_profile() -> None:
    """Pillow writes CMYK as Adobe does, inverted; reading must turn it back."""
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:8, :, 0] = 255  # cyan above, white below
    data = encoded(Image.fromarray(inks, "CMYK"), "JPEG", quality=100)
    for photograph in (read_bytes(data, "x"), read(Image.open(io.BytesIO(data)))):
        assert np.abs(photograph.pixels[2, 2] - np.array([0, 255, 255])).max() <= 3
        assert np.abs(photograph.pixels[13, 2] - np.array([255, 255, 255])).max() <= 3
        assert photograph.notes == ("CMYK converted without a colour profile",)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_goes_through_its_profile(kind: str) -> None:
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:8, :, 0] = 255
    inks[8:, :, 3] = 128
    options = {"quality": 100} if kind == "JPEG" else {}
    data = encoded(
        Image.fromarray(inks, "CMYK"), kind, icc_profile=neutral_cmyk_profile(), **options
    )
    photograph = read_bytes(data, "x")
    for row, lightness in ((2, 100 * 2 / 3), (13, 100 * 127 / 255)):
        luminance = ((lightness + 16) / 116) ** 3
        expected = srgb_encoded(np.full(3, luminance))
        assert np.abs(photograph.pixels[row, 2] - expected).max() <= 3
    assert photograph.notes == ("colour profile 'Neutral inks' converted to sRGB",)


def test_an_rgb_profile_on_cmyk_is_ignored() -> None:
    profile = matrix_profile(ADOBE, 2.2, "Wide")
    image = Image.fromarray(PIXELS).convert("CMYK")
    photograph = read_bytes(encoded(image, "TIFF", icc_profile=profile), "x")
    np.testing.assert_array_equal(photograph.pixels, np.asarray(image.convert("RGB")))
    assert photograph.notes == (
        "unusable colour profile ignored (it is for RGB, the pixels are CMYK)",
        "CMYK converted without a colour profile",
    )


def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rgba = np.dstack([PIXELS, RNG.integers(0, 256, (16, 24), dtype=np.uint8)])
    path = tmp_path / "photo.png"
    exif = Image.Exif()
    exif[274] = 8
    profile = matrix_profile(ADOBE, 2.2, "Wide")
    Image.fromarray(rgba).save(path, exif=exif, icc_profile=profile)
    whole = read(path)
    for pixels in (1, 24 * 5):  # a row at a time; five rows, which do not divide sixteen
        monkeypatch.setattr(colours, "STRIP_PIXELS", pixels)
        np.testing.assert_array_equal(read(path).pixels, whole.pixels)
        assert read(path).notes == whole.notes
