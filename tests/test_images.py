"""Reading photographs: good files, odd files, bad files."""

from __future__ import annotations

import io
import pickle
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile, ImageOps

from halfsight.images import ImageError, read, read_bytes

RNG = np.random.default_rng(7)
PIXELS = RNG.integers(0, 256, (16, 24, 3), dtype=np.uint8)
LOSSLESS = {"PNG": {}, "BMP": {}, "TIFF": {}, "PPM": {}, "WEBP": {"lossless": True}}


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


# Sources


@pytest.mark.parametrize("kind", LOSSLESS)
def test_path_pil_bytes_and_array_give_the_same_pixels(kind: str, tmp_path: Path) -> None:
    data = encoded(Image.fromarray(PIXELS), kind, **LOSSLESS[kind])
    path = tmp_path / "photo"
    path.write_bytes(data)
    with Image.open(path) as image:
        photographs = [read(path), read(str(path)), read(image), read_bytes(data, "x")]
    photographs.append(read(PIXELS))
    for photograph in photographs:
        np.testing.assert_array_equal(photograph.pixels, PIXELS)
        assert photograph.notes == ()
    assert [p.path for p in photographs] == [str(path), str(path), None, "x", None]


def test_a_photograph_is_sealed_and_returned_as_is() -> None:
    photograph = read(PIXELS)
    assert (photograph.height, photograph.width, photograph.original_size) == (16, 24, (24, 16))
    assert photograph.pixels.dtype == np.uint8
    assert read(photograph) is photograph
    with pytest.raises(ValueError, match="read-only"):
        photograph.pixels[0, 0, 0] = 1
    assert "pixels" not in repr(photograph)


def test_an_array_is_copied() -> None:
    mine = PIXELS.copy()
    photograph = read(mine)
    mine[...] = 0
    np.testing.assert_array_equal(photograph.pixels, PIXELS)


def test_grey_arrays_are_repeated() -> None:
    grey = PIXELS[..., 0]
    for array in (grey, grey[..., None]):
        np.testing.assert_array_equal(read(array).pixels, np.repeat(grey[..., None], 3, axis=2))


def test_deep_and_float_arrays_are_scaled() -> None:
    deep = np.array([[0, 128, 129, 257, 65535]], np.uint16)
    assert read(deep).pixels[0, :, 0].tolist() == [0, 0, 1, 1, 255]
    assert read(deep).notes == ("16-bit",)
    for kind in (np.float16, np.float32, np.float64):
        halves = np.array([[0.0, 0.25, 1.0]], kind)
        assert read(halves).pixels[0, :, 0].tolist() == [0, 64, 255]
    levels = PIXELS / np.float32(255)
    np.testing.assert_array_equal(read(levels).pixels, PIXELS)
    for order in "<>":
        swapped = (PIXELS * np.uint16(257)).astype(f"{order}u2")
        np.testing.assert_array_equal(read(swapped).pixels, PIXELS)
        assert read(swapped).notes == ("16-bit",)


def test_array_alpha_is_composited_over_white() -> None:
    rgba = np.dstack([PIXELS, RNG.integers(0, 256, PIXELS.shape[:2], dtype=np.uint8)])
    weight = rgba[..., 3:] / 255
    expected = np.rint(PIXELS * weight + 255 * (1 - weight))
    photograph = read(rgba)
    assert photograph.notes == ("alpha composited over white",)
    assert np.abs(photograph.pixels - expected).max() <= 1
    rgba[..., 3] = 255
    assert read(rgba).notes == ()


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.zeros((4, 4, 2), np.uint8), "shape (4, 4, 2)"),
        (np.zeros((3, 40, 40), np.uint8), "shape (3, 40, 40)"),
        (np.zeros((2, 4, 4, 3), np.uint8), "shape (2, 4, 4, 3)"),
        (np.zeros(4, np.uint8), "shape (4,)"),
        (np.zeros((0, 4, 3), np.uint8), "4x0 pixels"),
        (np.zeros((4, 4), np.int64), "int64"),
        (np.zeros((4, 4), bool), "bool"),
        (np.array([["a"]]), "<U1"),
        (np.array([[0.0, 1.5]]), "0 to 1.5"),
        (np.array([[-0.5, 1.0]]), "-0.5 to 1"),
        (np.array([[np.nan, 1.0]]), "nan"),
        (np.array([[np.inf, 1.0]]), "inf"),
    ],
)
def test_arrays_that_are_no_photograph(array: np.ndarray, problem: str) -> None:
    with pytest.raises(ImageError) as caught:
        read(array)
    assert caught.value.path == "array"
    assert problem in caught.value.problem


def test_torch_tensors() -> None:
    tensor = torch.from_numpy(PIXELS).permute(2, 0, 1)
    for given in (tensor, tensor / 255, (tensor / 255).requires_grad_()):
        np.testing.assert_array_equal(read(given).pixels, PIXELS)
    np.testing.assert_array_equal(read(tensor[0]).pixels[..., 0], PIXELS[..., 0])
    for bad, problem in (
        (tensor[None], "(1, 3, 16, 24)"),
        (tensor.permute(1, 2, 0), "(16, 24, 3)"),
    ):
        with pytest.raises(ImageError, match="torch tensor: got shape") as caught:
            read(bad)
        assert problem in str(caught.value)
    with pytest.raises(ImageError, match="torch tensor"):
        read((tensor / 255).bfloat16())


@pytest.mark.parametrize("source", [None, 3, [1, 2], {"a": 1}, object()])
def test_other_sources(source: object) -> None:
    with pytest.raises(ImageError, match="give a path"):
        read(source)  # type: ignore[arg-type]


# Files that cannot be read


def test_missing_and_odd_paths(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    for path in (tmp_path / "none.jpg", file / "inside.jpg", "", "a\0b"):
        with pytest.raises(ImageError) as caught:
            read(path)
        assert caught.value.path == str(path)
        assert "no such file" in str(caught.value)
    with pytest.raises(ImageError, match="got a folder"):
        read(tmp_path)
    with pytest.raises(ImageError, match="not a regular file"):
        read("/dev/null")
    with pytest.raises(ImageError, match="too long"):
        read("x" * 5000)


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"x")

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", forbidden)
    with pytest.raises(ImageError) as caught:
        read(path)
    assert str(caught.value) == (
        f"{path}: cannot be read (Permission denied); check its permissions and the disk"
    )


def test_errors_are_one_line_and_travel_between_processes() -> None:
    error = ImageError("a\nb\udcff.jpg", "bad\r\nthing", "do")
    assert str(error) == "a\\nb\\udcff.jpg: bad\\r\\nthing; do"
    again = pickle.loads(pickle.dumps(error))
    assert (again.path, again.problem, again.remedy) == (error.path, error.problem, error.remedy)
    assert isinstance(error, ValueError)


# Sizes


@pytest.mark.parametrize("size", [(1, 1), (4, 4000), (4000, 4)])
def test_small_and_thin_photographs(size: tuple[int, int]) -> None:
    photograph = read_bytes(encoded(Image.new("RGB", size, (9, 8, 7)), "JPEG", quality=95), "x")
    assert (photograph.width, photograph.height) == size == photograph.original_size


def bombs() -> dict[str, bytes]:
    """Files whose headers promise 60000 x 60000 pixels."""
    jpeg = encoded(Image.fromarray(PIXELS), "JPEG")
    start = jpeg.index(b"\xff\xc0") + 5
    png = bytearray(encoded(Image.fromarray(PIXELS), "PNG"))
    png[16:24] = struct.pack(">II", 60000, 60000)
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    bmp = bytearray(encoded(Image.fromarray(PIXELS), "BMP"))
    bmp[18:26] = struct.pack("<ii", 60000, 60000)
    return {
        "JPEG": jpeg[:start] + struct.pack(">HH", 60000, 60000) + jpeg[start + 4 :],
        "PNG": bytes(png),
        "BMP": bytes(bmp),
        "GIF": b"GIF89a"
        + struct.pack("<HH", 60000, 60000)
        + b"\0\0\0,"
        + struct.pack("<HHHHB", 0, 0, 60000, 60000, 0)
        + b"\x08\0;",
        "PPM": b"P6 60000 60000 255\n",
    }


@pytest.mark.parametrize("kind", bombs())
def test_decompression_bombs_are_refused_from_the_header(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("decoded"))
    error = refused(bombs()[kind])
    assert error.problem == "got 3600.0 megapixels (60000x60000), expected at most 200"
    assert "max_megapixels" in error.remedy


def test_the_limit_is_the_callers() -> None:
    data = encoded(Image.fromarray(PIXELS), "PNG")
    assert "expected at most 0.0001" in refused(data, max_megapixels=1e-4).problem
    assert "megapixels" in refused(data, max_megapixels=float("nan")).problem
    with pytest.raises(ImageError, match="megapixels"):
        read(PIXELS, max_megapixels=1e-4)
    with pytest.raises(ImageError, match="megapixels"):
        read(Image.fromarray(PIXELS), max_megapixels=1e-4)


def test_pillows_globals_neither_matter_nor_change(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.new("RGB", (4000, 2000)), "JPEG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2_000_000)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(data))

    def attempt(limit: float) -> bool:
        try:
            return read_bytes(data, "x", max_megapixels=limit).width == 4000
        except ImageError:
            return False

    with warnings.catch_warnings(), ThreadPoolExecutor(4) as threads:
        warnings.simplefilter("error")
        assert list(threads.map(attempt, [8, 7, 200, 1] * 3)) == [True, False, True, False] * 3
    assert Image.MAX_IMAGE_PIXELS == 2_000_000
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


MEASURE_108_MEGAPIXELS = """
import resource, sys, warnings
import numpy as np
from halfsight.images import read
warnings.simplefilter("error")
read(np.zeros((8, 8, 3), np.uint8))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
photograph = read(sys.argv[1])
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert photograph.pixels.shape == (12000, 9000, 3), photograph.pixels.shape
assert photograph.pixels[11000, 10].tolist() == photograph.pixels[0, 10].tolist()
print((after - before) * 1024)
"""


def test_108_megapixels_are_read_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    exif = Image.Exif()
    exif[274] = 6  # turning it must not cost another copy
    Image.new("RGB", (12000, 9000), (200, 100, 50)).save(path, exif=exif)
    run = subprocess.run(
        [sys.executable, "-c", MEASURE_108_MEGAPIXELS, str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 1_000_000_000


# Orientation and frames


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    data = encoded(Image.fromarray(PIXELS), kind, exif=exif, **LOSSLESS[kind])
    oracle = Image.fromarray(PIXELS)
    oracle.getexif()[274] = orientation
    expected = np.asarray(ImageOps.exif_transpose(oracle))
    for photograph in (read_bytes(data, "x"), read(Image.open(io.BytesIO(data)))):
        np.testing.assert_array_equal(photograph.pixels, expected)
        assert photograph.original_size == (24, 16)
        assert photograph.notes == (
            () if orientation == 1 else (f"EXIF orientation {orientation} applied",)
        )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0garbage",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12",
    ],
)
def test_broken_exif_is_ignored(exif: bytes) -> None:
    data = encoded(Image.fromarray(PIXELS), "JPEG", exif=exif)
    assert read_bytes(data, "x").pixels.shape == PIXELS.shape


def test_orientation_out_of_range_is_ignored() -> None:
    for value in (0, 9, 700):
        exif = Image.Exif()
        exif[274] = value
        photograph = read_bytes(encoded(Image.fromarray(PIXELS), "PNG", exif=exif), "x")
        np.testing.assert_array_equal(photograph.pixels, PIXELS)
        assert photograph.notes == ()


@pytest.mark.parametrize(
    ("kind", "note"),
    [
        ("GIF", "animated: first of 3 frames"),
        ("WEBP", "animated: first of 3 frames"),
        ("PNG", "animated: first of 3 frames"),
        ("TIFF", "multi-page: first of 3 pages"),
    ],
)
def test_first_of_several_frames(kind: str, note: str) -> None:
    frames = [Image.new("RGB", (24, 16), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    photograph = read_bytes(data, "x")
    np.testing.assert_array_equal(photograph.pixels, np.asarray(frames[0]))
    assert photograph.notes == (note,)


def test_a_damaged_later_frame_does_not_matter() -> None:
    frames = [Image.fromarray(np.roll(PIXELS, i, axis=0)) for i in range(3)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    whole, cut = read_bytes(data, "x"), read_bytes(data[: len(data) * 3 // 4], "x")
    np.testing.assert_array_equal(whole.pixels, cut.pixels)


def test_a_pil_image_is_read_at_its_frame() -> None:
    frames = [Image.new("RGB", (24, 16), colour) for colour in ("red", "lime")]
    data = encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    with Image.open(io.BytesIO(data)) as image:
        image.seek(1)
        photograph = read(image)
    assert photograph.pixels[0, 0].tolist() == [0, 255, 0]
    assert photograph.notes == ("multi-page: number 2 of 2 pages",)


def test_a_preview_behind_a_jpeg_is_no_animation(tmp_path: Path) -> None:
    path = tmp_path / "phone.jpg"
    small = Image.new("RGB", (8, 8))
    Image.fromarray(PIXELS).save(path, "MPO", save_all=True, append_images=[small])
    with Image.open(path) as image:
        assert image.format == "MPO"
        from_pil = read(image)
    from_path = read(path)
    np.testing.assert_array_equal(from_pil.pixels, from_path.pixels)
    assert from_pil.notes == from_path.notes == ()


def test_camera_raw_and_thumbnails_are_not_scored() -> None:
    for tag in ({254: 1}, {50706: b"\1\4\0\0"}):
        data = encoded(Image.fromarray(PIXELS), "TIFF", tiffinfo=tag)
        assert "thumbnail" in refused(data).problem


def test_a_closed_pil_image() -> None:
    image = Image.open(io.BytesIO(encoded(Image.fromarray(PIXELS), "PNG")))
    image.close()
    with pytest.raises(ImageError, match="PIL image"):
        read(image)
