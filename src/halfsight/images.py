"""Read photographs safely: every file becomes sRGB pixels or one error that names it.

What is decided here, in this order:

1. The size in the header is checked against ``max_megapixels`` before anything is decoded.
2. A file that ends too early is an error, never filled up with grey. (Damage that leaves the end
   of a JPEG in place cannot be told from a picture: its decoder reports nothing.)
3. The first frame or page is read. The EXIF orientation is applied; broken EXIF is ignored.
4. 16 bits become 8 by rounding ``value / 257``; floats must lie in [0, 1] and are rounded from
   ``255 * value``. Pillow itself reads 16-bit *colour* files, and keeps the upper byte.
5. An embedded colour profile is converted to sRGB. One that cannot be used is ignored.
6. Transparency is composited over white.

Safe to call from several threads: Pillow's global ``MAX_IMAGE_PIXELS`` and
``LOAD_TRUNCATED_IMAGES`` are never set (nor undone where a program has set them). Pillow compares a
whole photograph with its limit in ``Image.open`` only, so the decoders are called without it and
the limit is the parameter of each call; parts (TIFF tiles, and WebP as a whole) still meet
Pillow's. That also keeps out formats nobody photographs in (EPS starts Ghostscript). The decoders
see a stream, never a file name, so none of them maps the file to memory.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin

from halfsight.colours import AnyArray, Pixels, eight_bits, over_white, strips
from halfsight.finding import Found, find
from halfsight.formats import EXTENSIONS, ImageError, one_error, one_line, open_header

__all__ = ["EXTENSIONS", "Found", "ImageError", "Photograph", "find", "read", "read_bytes"]

# The pixels of the photograph, seen in the order they are stored in, by EXIF orientation.
STORED_ORDER: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda shown: shown,
    2: lambda shown: shown[:, ::-1],
    3: lambda shown: shown[::-1, ::-1],
    4: lambda shown: shown[::-1],
    5: lambda shown: shown.swapaxes(0, 1),
    6: lambda shown: np.rot90(shown, 1),
    7: lambda shown: shown[::-1, ::-1].swapaxes(0, 1),
    8: lambda shown: np.rot90(shown, -1),
}


@dataclass(frozen=True, eq=False)
class Photograph:
    """A photograph, decoded.

    Attributes:
        pixels: uint8 array of shape (height, width, 3), sRGB, read-only.
        path: the file it was read from, None for arrays and PIL images.
        notes: what was done to it on the way, in words.
        original_size: (width, height) in pixels as stored, before the EXIF orientation.
    """

    pixels: Pixels = field(repr=False)
    path: str | None
    notes: tuple[str, ...]
    original_size: tuple[int, int]

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.shape[1])


def read(
    source: str | os.PathLike[str] | AnyArray | Image.Image | Photograph,
    *,
    max_megapixels: float = 200.0,
) -> Photograph:
    """Read a photograph.

    Args:
        source: a path; a PIL image (its metadata are heeded as a file's are); an RGB or grey array
            of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), uint8, uint16 or floats in [0, 1];
            a torch tensor of shape (H, W) or (C, H, W); or a photograph, which is returned as is.
        max_megapixels: largest width x height accepted, in millions of pixels.

    Raises:
        ImageError: whatever is wrong with the source.
    """
    if isinstance(source, Photograph):
        return source
    if isinstance(source, Image.Image):
        with one_error("PIL image"):
            return _from_image(source, "PIL image", None, max_megapixels)
    given: Any = source
    if type(given).__module__.partition(".")[0] == "torch" and hasattr(given, "detach"):
        with one_error("torch tensor"):
            return _from_tensor(given, max_megapixels)
    if isinstance(source, np.ndarray):
        with one_error("array"):
            return _from_array(source, "array", max_megapixels)
    try:
        path = os.fsdecode(source)
    except TypeError:
        raise ImageError(
            type(given).__name__,
            "not a photograph",
            "give a path, a PIL image, a NumPy array or a torch tensor",
        ) from None
    if not path or "\0" in path:  # Path("") would be the current folder
        raise ImageError(path, "no such file", "check the spelling")
    with one_error(path):
        if not stat.S_ISREG(Path(path).stat().st_mode):
            kind = "a folder" if Path(path).is_dir() else "not a regular file"
            raise ImageError(path, f"got {kind}, expected a photograph", "give the files in it")
        with Path(path).open("rb") as stream:
            return _from_image(open_header(stream, path), path, path, max_megapixels)


def read_bytes(data: bytes, name: str, *, max_megapixels: float = 200.0) -> Photograph:
    """Read a photograph from the bytes of its file, an upload for example.

    Args:
        data: the file.
        name: what errors and the photograph's ``path`` call it.
        max_megapixels: as in :func:`read`.

    Raises:
        ImageError: whatever is wrong with the file.
    """
    with one_error(name):
        return _from_image(open_header(io.BytesIO(data), name), name, name, max_megapixels)


def _check_size(name: str, width: int, height: int, max_megapixels: float) -> None:
    megapixels = width * height / 1e6
    if width < 1 or height < 1:
        raise ImageError(name, f"got {width}x{height} pixels, expected some", "give another")
    if not megapixels <= max_megapixels:
        raise ImageError(
            name,
            f"got {megapixels:.1f} megapixels ({width}x{height}), "
            f"expected at most {max_megapixels:g}",
            "resize it, or raise max_megapixels",
        )


def _from_image(
    image: Image.Image, name: str, path: str | None, max_megapixels: float
) -> Photograph:
    """Decode and convert an opened image."""
    width, height = original = image.size
    _check_size(name, width, height, max_megapixels)
    deep = image.mode.startswith("I") or ";16" in str(getattr(image, "tile", ""))
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _check_tiff(image, name)
        # Pillow turns TIFFs itself, on loading, and has swapped their size already.
        orientation, turn = _orientation(image), 1
        original = (height, width) if orientation >= 5 else original
        image.load()
    else:
        image.load()
        orientation = turn = _orientation(image)  # after loading: PNG may hold it at the end
    notes = ["16-bit"] if deep else []
    if orientation != 1:
        notes.append(f"EXIF orientation {orientation} applied")
    pixels = np.empty((width, height, 3) if turn >= 5 else (height, width, 3), np.uint8)
    stored = STORED_ORDER[turn](pixels)
    for top, strip in strips(image, notes):
        stored[top : top + len(strip)] = strip
    _note_frames(image, notes)
    return _sealed(pixels, path, notes, original)


def _from_array(array: AnyArray, name: str, max_megapixels: float) -> Photograph:
    """Convert an array of shape (H, W) or (H, W, 1, 3 or 4)."""
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ImageError(
            name,
            f"got shape {array.shape}, expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)",
            "give one image at a time, its channels last",
        )
    height, width = array.shape[:2]
    _check_size(name, width, height, max_megapixels)
    levels = eight_bits(array).reshape(height, width, -1)
    notes = ["16-bit"] if array.dtype.newbyteorder("=") == np.uint16 else []
    if levels.shape[2] == 4 and levels[..., 3].min() < 255:
        pixels = over_white(levels[..., :3], levels[..., 3])
        notes.append("alpha composited over white")
    else:
        pixels = np.empty((height, width, 3), np.uint8)  # a copy: the caller may go on writing
        pixels[...] = levels[..., :3]
    return _sealed(pixels, None, notes, (width, height))


def _from_tensor(tensor: Any, max_megapixels: float) -> Photograph:
    """Convert a torch tensor, without importing torch."""
    if tensor.ndim not in (2, 3) or (tensor.ndim == 3 and tensor.shape[0] not in (1, 3, 4)):
        raise ImageError(
            "torch tensor",
            f"got shape {tuple(tensor.shape)}, expected (H, W), (1, H, W), (3, H, W) or (4, H, W)",
            "give one image at a time, its channels first",
        )
    array = tensor.detach().cpu().numpy()
    array = array.transpose(1, 2, 0) if array.ndim == 3 else array
    return _from_array(array, "torch tensor", max_megapixels)


def _sealed(
    pixels: Pixels, path: str | None, notes: list[str], original: tuple[int, int]
) -> Photograph:
    pixels.flags.writeable = False
    return Photograph(pixels, path, tuple(map(one_line, notes)), original)


def _check_tiff(image: TiffImagePlugin.TiffImageFile, name: str) -> None:
    """Refuse TIFFs whose first page is not the photograph, or whose numbers have no scale."""
    dng_version, subfile_type, reduced = 50706, 254, 1
    if dng_version in image.tag_v2 or image.tag_v2.get(subfile_type) == reduced:
        raise ImageError(
            name, "camera raw, or its first page is a thumbnail", "export it as JPEG or PNG"
        )
    if image.mode == "I":
        raise ImageError(name, "32-bit whole numbers of unknown scale", "save it with 16 bits")


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 where there is none or the EXIF is broken."""
    try:
        value = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken EXIF is no reason to refuse the pixels
        return 1
    return value if value in STORED_ORDER else 1


def _note_frames(image: Image.Image, notes: list[str]) -> None:
    """Note that there are more pictures in the file.

    Done last, because counting walks through the file and may stumble over a damaged frame.
    """
    try:
        count, current = int(getattr(image, "n_frames", 1)), image.tell()
    except Exception:
        return
    if count > 1 and image.format != "MPO":  # a JPEG with a preview or a depth map behind it
        which = "first" if current == 0 else f"number {current + 1}"
        kind, unit = ("multi-page", "pages") if image.format == "TIFF" else ("animated", "frames")
        notes.append(f"{kind}: {which} of {count} {unit}")
