"""What a self-contained page carries inside: pictures, tables, styles, scripts, and its policy."""

from __future__ import annotations

import base64
import hashlib
import io
from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib import colormaps
from matplotlib.colors import to_hex
from PIL import Image

Pixels = npt.NDArray[np.uint8]

SIGNED_MAP = "BrBG"
"""Brown for values below 0, teal above; told apart by the common kinds of colour blindness."""
UNSIGNED_MAP = "cividis"
"""For maps over pixels that have no sign; even in lightness, so it also prints in grey."""

MAP_SIDE = 256
"""Longest side in pixels of an embedded map."""
MAP_PIXELS = 120_000
"""Pixels of all embedded maps together, a byte each at worst: keeps the page small."""


@cache
def environment() -> Environment:
    """Templates of the pages; everything put into them is escaped."""
    made = Environment(
        loader=PackageLoader("halfsight.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return made


@cache
def own_text(name: str) -> Markup:
    """One of the package's own styles or scripts, to be put into a page as it is."""
    return Markup((resources.files(__package__) / "templates" / name).read_text(encoding="utf-8"))


def content_policy(script: str, *, images: str) -> str:
    """Content security policy that lets a page run its one script and reach no network.

    Args:
        script: text of the script element, exactly.
        images: where pictures may come from, as the policy's ``img-src``.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src {images}; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def jpeg(pixels: Pixels, *, quality: int = 84) -> bytes:
    """JPEG bytes of pixels (H, W, 3), without any metadata of the file they came from."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality, optimize=True)
    return stream.getvalue()


def data_uri(data: bytes, kind: str) -> str:
    """Bytes as a ``data:`` address of the given media type."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def float32_text(values: npt.ArrayLike) -> str:
    """Values as base64 of little-endian float32, the way the page's script reads them."""
    return base64.b64encode(np.asarray(values, dtype="<f4").tobytes()).decode()


def value_range(values: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Lowest and highest value of a colour scale: symmetric about 0 if any value is negative."""
    low, high = float(values.min()), float(values.max())
    if low < 0:
        reach = max(-low, high)
        return -reach, reach
    return low, high


def map_png(values: npt.NDArray[np.floating], *, side: int) -> tuple[bytes, float, float]:
    """A map as a PNG of 256 colours, and the values of the first and the last.

    Level k stands for ``low + (high - low) * k / 255``.

    Args:
        values: shape (height, width).
        side: longest side of the picture in pixels; larger maps are averaged down to it.
    """
    height, width = values.shape
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(
        Image.fromarray(values.astype(np.float32)).resize(size, Image.Resampling.BOX)
        if scale < 1
        else values
    )
    low, high = value_range(small)
    span = high - low if high > low else 1.0
    picture = Image.fromarray(np.rint((small - low) / span * 255).astype(np.uint8), mode="P")
    colours = colormaps[SIGNED_MAP if low < 0 else UNSIGNED_MAP](np.arange(256), bytes=True)
    picture.putpalette(np.ascontiguousarray(colours[:, :3]).tobytes())
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return stream.getvalue(), low, high


def map_side(count: int) -> int:
    """Longest side of each of ``count`` embedded maps, in pixels."""
    return min(MAP_SIDE, int((MAP_PIXELS / max(1, count)) ** 0.5))


def stops(name: str, *, trim: float = 0.0) -> list[str]:
    """Eleven evenly spaced colours of a matplotlib map, as ``#rrggbb``.

    Args:
        name: of the map.
        trim: share of the map left out at either end, where it is too dark to see through.
    """
    return [to_hex(colour) for colour in colormaps[name](np.linspace(trim, 1 - trim, 11))]
