"""Read a multipart form within bounds, and put its photographs into a job's folder."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from halfsight.formats import ImageError, one_error, open_header
from halfsight.web import examples, names
from halfsight.web.errors import ApiError
from halfsight.web.limits import Limits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

FIELDS = 40
"""Most parts of a form that are no files."""


@dataclass(frozen=True)
class Stored:
    """A photograph in a job's folder.

    Attributes:
        name: what the client calls it, cleaned.
        path: where it lies, under a name of ours.
    """

    name: str
    path: Path


@asynccontextmanager
async def read_form(request: Request, limits: Limits) -> AsyncIterator[FormData]:
    """The parts of a multipart body; larger files wait in temporary files of no name.

    Raises:
        ApiError: 415 if it is not multipart, 400 if it is malformed or has too many parts.
    """
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "multipart/form-data":
        raise ApiError(
            415,
            "not_multipart",
            f"got content type {kind[:60]!r}, expected multipart/form-data; send the photographs "
            "as files of a form",
        )
    try:
        form = await request.form(
            max_files=2 * limits.photographs + 1, max_fields=FIELDS, max_part_size=10_000
        )
    except HTTPException as error:
        raise ApiError(400, "invalid_request", f"{error.detail} Send a well-formed form.") from None
    except (ValueError, LookupError) as error:  # names and charsets that do not decode
        message = f"got a form that cannot be read ({type(error).__name__}); send it as UTF-8"
        raise ApiError(400, "invalid_request", message) from None
    try:
        yield form
    finally:
        await form.close()


def texts(form: FormData, field: str) -> list[str]:
    """The values of a field; empty ones, as browsers send for what is left out, do not count.

    Raises:
        ApiError: 422 if one is a file.
    """
    values = form.getlist(field)
    if any(isinstance(value, UploadFile) for value in values):
        raise ApiError(
            422,
            "invalid_request",
            f"got a file as {field!r}, expected text; send photographs as 'photographs'",
        )
    return [value for value in values if isinstance(value, str) and value]


def one(form: FormData, field: str) -> str | None:
    """The value of a field that may be there once.

    Raises:
        ApiError: 422 if it is there more often, or is a file.
    """
    values = texts(form, field)
    if len(values) > 1:
        raise ApiError(
            422, "invalid_request", f"got {field!r} {len(values)} times, expected one; send it once"
        )
    return values[0] if values else None


async def store(form: FormData, folder: Path, limits: Limits) -> list[Stored]:
    """Put the photographs of a form, uploads first, into a folder.

    Only headers are read here, so that what is no photograph, or too large a one, is refused at
    once and costs nothing.

    Raises:
        ApiError: 413, 415 or 422, and says which file.
    """
    uploads = [
        value
        for value in form.getlist("photographs")
        if isinstance(value, UploadFile) and (value.filename or value.size)
    ]
    if any(isinstance(value, str) and value for value in form.getlist("photographs")):
        raise ApiError(
            422,
            "invalid_request",
            "got text as 'photographs', expected files; send each with a file name",
        )
    chosen = texts(form, "example")
    _check_count(len(uploads) + len(chosen), limits)
    for name in chosen:
        if name not in examples.EXAMPLES:
            raise ApiError(
                422,
                "unknown_example",
                f"got example {name[:60]!r}, expected one of {', '.join(examples.EXAMPLES)}",
            )
    stored: list[Stored] = []
    for upload in uploads:
        name = names.shown(upload.filename)
        path = folder / f"upload-{len(stored)}"
        await run_in_threadpool(_store, upload, name, path, limits)
        stored.append(Stored(name, path))
    for name in chosen:
        path = folder / f"upload-{len(stored)}"
        data = await run_in_threadpool(examples.data, name)
        await run_in_threadpool(path.write_bytes, data)
        stored.append(Stored(f"{name}.jpg", path))
    return _distinct(stored)


def _check_count(count: int, limits: Limits) -> None:
    if count > limits.photographs:
        raise ApiError(
            413,
            "too_many_photographs",
            f"got {count} photographs, expected at most {limits.photographs}; send fewer at once",
        )
    if count < 1:
        raise ApiError(
            422,
            "no_photograph",
            "got no photograph, expected at least one; send files as 'photographs' or names "
            "as 'example'",
        )


def _store(upload: UploadFile, name: str, path: Path, limits: Limits) -> None:
    if (upload.size or 0) > limits.file_bytes:
        raise ApiError(
            413,
            "too_many_bytes",
            f"{name}: got {(upload.size or 0) / 1e6:.1f} MB, expected at most "
            f"{limits.megabytes:g}; send a smaller version",
        )
    check(upload, name, limits)
    upload.file.seek(0)
    with path.open("xb") as target:
        shutil.copyfileobj(upload.file, target)


def check(upload: UploadFile, name: str, limits: Limits) -> None:
    """Refuse an upload by its header: no photograph, or one of too many pixels.

    Raises:
        ApiError: 413, 415 or 422.
    """
    upload.file.seek(0)
    try:
        with one_error(name):
            width, height = open_header(upload.file, name).size
    except ImageError as error:
        unknown = "expected a photograph" in error.problem or "HEIC" in error.problem
        raise ApiError(
            415 if unknown else 422,
            "not_a_photograph" if unknown else "unreadable_photograph",
            str(error),
        ) from None
    if width * height > limits.megapixels * 1e6:
        raise ApiError(
            413,
            "too_many_pixels",
            f"{name}: got {width * height / 1e6:.1f} megapixels ({width}x{height}), expected at "
            f"most {limits.megapixels:g}; send a smaller version",
        )


def _distinct(stored: Sequence[Stored]) -> list[Stored]:
    """Equal names numbered, so that versions of a photograph can be told apart."""
    seen: dict[str, int] = {}
    found = []
    for one_stored in stored:
        count = seen[one_stored.name] = seen.get(one_stored.name, 0) + 1
        name = one_stored.name if count == 1 else f"{one_stored.name} ({count})"
        found.append(Stored(name, one_stored.path))
    return found
