"""The file formats of photographs: which there are, how a file is opened, and the one error.

Use :mod:`halfsight.images`; this is the part of it that touches the decoders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    features,
)

DECODERS: dict[str, Callable[[IO[bytes]], Image.Image]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,  # not its factory, which also opens a second picture
    "PNG": PngImagePlugin.PngImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "PPM": PpmImagePlugin.PpmImageFile,
}
EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"}
    | {".ppm", ".pgm", ".pbm", ".pnm"}
)
"""Suffixes, in lower case, by which photographs are found in folders."""

if features.check("avif"):
    DECODERS["AVIF"] = AvifImagePlugin.AvifImageFile
    EXTENSIONS |= {".avif"}
if "HEIF" in Image.OPEN:  # another package registered it before this import
    DECODERS["HEIF"] = Image.OPEN["HEIF"][0]  # type: ignore[assignment]
    EXTENSIONS |= {".heic", ".heif"}


class ImageError(ValueError):
    """A photograph that cannot be read.

    Attributes:
        path: the file, or what was given instead of one.
        problem: what is wrong.
        remedy: what to do.
    """

    def __init__(self, path: str, problem: str, remedy: str) -> None:
        super().__init__(path, problem, remedy)  # all three, so that it survives pickling
        self.path = path
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return one_line(f"{self.path or repr('')}: {self.problem}; {self.remedy}")


class PixelError(ValueError):
    """Pixels that have no agreed meaning as colours; ``args`` are the problem and the remedy."""


def one_line(text: str) -> str:
    """Text with line ends, control characters and undecodable bytes escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@contextmanager
def one_error(name: str) -> Iterator[None]:
    """Turn whatever the decoders raise into an :class:`ImageError` about ``name``."""
    try:
        yield
    except ImageError:
        raise
    except PixelError as error:
        raise ImageError(name, *error.args) from None
    except MemoryError as error:
        raise ImageError(name, "not enough memory to decode it", "resize it") from error
    except Image.DecompressionBombError as error:  # from inside a decoder: TIFF tiles, WebP
        raise ImageError(name, f"too large ({error})", "resize it") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError(name, "no such file", "check the spelling") from error
    except Exception as error:  # damaged files bring all sorts out of the decoders
        if isinstance(error, OSError) and error.errno:
            problem = f"cannot be read ({error.strerror or error})"
            raise ImageError(name, problem, "check its permissions and the disk") from error
        problem = f"damaged or cut short ({error or type(error).__name__})"
        raise ImageError(name, problem, "get a complete copy of it") from error


def open_header(stream: IO[bytes], name: str) -> Image.Image:
    """Read the header, by the decoder that knows the first bytes. No suffix is looked at.

    Raises:
        ImageError: if the file is empty or of no known format. Decoders raise more than that:
            call it inside :func:`one_error`.
    """
    head = stream.read(16)
    if not head:
        raise ImageError(name, "empty file (0 bytes)", "get a complete copy of it")
    failure: Exception | None = None
    for format_name, decoder in DECODERS.items():
        accepts = Image.OPEN[format_name][1]
        # Padded, because some of Pillow's checks index into the bytes.
        if accepts is None or accepts(head.ljust(16, b"\0")) is True:
            stream.seek(0)
            try:
                return decoder(stream)
            except SyntaxError as error:  # AVIF and HEIF share first bytes: the next may know it
                failure = error
    if failure:
        raise failure
    if head[4:8] == b"ftyp":
        problem = "got HEIC or a relative of it, which the installed Pillow cannot decode"
    else:
        problem = f"got a file that starts with {head[:8]!r}, expected a photograph"
    raise ImageError(name, problem, f"convert it to one of {', '.join(DECODERS)}")
