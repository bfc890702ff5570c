"""The work on a job, in a thread: read, explain or score, write the files of the results."""

from __future__ import annotations

import json
import math
import threading
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np

from halfsight import also, images
from halfsight import explanation as library
from halfsight.explanation import Explanation
from halfsight.formats import ImageError
from halfsight.grid import GridError
from halfsight.images import Photograph
from halfsight.importance import CriterionError
from halfsight.masking.base import MaskingError
from halfsight.masking.sampling import SampleError
from halfsight.models.external import ModelError
from halfsight.outputs import OutputError, atomic_path
from halfsight.report import embed, index
from halfsight.report.figure import shown
from halfsight.report.rows import Row, write_tables
from halfsight.web.errors import ApiError, ErrorDetail
from halfsight.web.jobs import Item, Job
from halfsight.web.limits import Limits
from halfsight.web.schemas import Summary

PICTURE = "picture.jpg"
"""The photograph as shown, beside the files that ``halfsight explain -o`` writes."""

_drawing = threading.Lock()  # Matplotlib draws in one thread at a time


class _StopError(Exception):
    """The job was cancelled."""


def explain(job: Job, limits: Limits) -> None:
    """Explain every photograph of a job, each by itself: one that fails leaves the others."""
    _each(job, lambda item: _explain(job, item, limits))


def score(job: Job, limits: Limits) -> None:
    """Score every photograph of a job."""
    _each(job, lambda item: _score(job, item, limits))


def _each(job: Job, act: Callable[[Item], None]) -> None:
    for item in job.items:
        try:
            if job.cancelled.is_set():
                raise _StopError
            act(item)
            _stage(job, item, "done")
        except _StopError:
            _stage(job, item, "cancelled")
        except ApiError as error:
            _failed(job, item, error.detail)
        except ImageError as error:
            message = f"{error.problem}; {_for_clients(error.remedy)}"
            _failed(job, item, ErrorDetail(code="unreadable_photograph", message=message))
        except GridError as error:
            _failed(job, item, ErrorDetail(code="invalid_grid", message=str(error)))
        except CriterionError as error:
            _failed(job, item, ErrorDetail(code="invalid_criterion", message=str(error)))
        except (ModelError, MaskingError, SampleError) as error:
            _failed(job, item, ErrorDetail(code="model_failed", message=str(error)))
        except OutputError as error:
            message = f"results cannot be written: {error.problem}; come again later"
            _failed(job, item, ErrorDetail(code="storage_full", message=message))
    for item in job.items:
        with suppress(OSError):
            item.photograph.unlink(missing_ok=True)


def _explain(job: Job, item: Item, limits: Limits) -> None:
    _stage(job, item, "reading")
    photograph = _read(item, limits)

    watch = _Watch(job, limits)

    def at_mask(done: int, total: int) -> None:
        if done < total:
            watch.look(f"{done} of {total} masks")
        item.masks = (done, total)
        job.moved()

    with item.lock:
        _stage(job, item, "masking")
        result = library.explain(
            item.scorer,
            photograph,
            grid=job.options["grid"],
            criterion=job.options["criterion"],
            progress=at_mask,
        )
        for name in job.options["also"]:
            _stage(job, item, "maps")
            watch.look(f"all masks but not the map {name!r}")
            result = also.add(result, item.scorer, [name], skip=True)
    _stage(job, item, "writing")
    with _drawing:
        result.save(item.folder)
    picture = embed.jpeg(shown(np.asarray(photograph.pixels)))
    (item.folder / PICTURE).write_bytes(picture)
    item.result = summary(result)


def _score(job: Job, item: Item, limits: Limits) -> None:
    _stage(job, item, "reading")
    photograph = _read(item, limits)
    with item.lock:
        _stage(job, item, "scoring")
        item.prediction = item.scorer.predict(photograph)


def _read(item: Item, limits: Limits) -> Photograph:
    return images.read_bytes(
        item.photograph.read_bytes(), item.name, max_megapixels=limits.megapixels
    )


class _Watch:
    """Ends work that was cancelled or takes too long."""

    def __init__(self, job: Job, limits: Limits) -> None:
        self.job = job
        self.limits = limits
        self.until = time.monotonic() + limits.seconds

    def look(self, reached: str) -> None:
        """Stop here if there is a reason to."""
        if self.job.cancelled.is_set():
            raise _StopError
        if time.monotonic() > self.until:
            raise ApiError(
                422,
                "too_slow",
                f"got {reached} in {self.limits.seconds:g} s, expected the whole explanation; "
                "use a coarser grid, a smaller photograph, fewer maps or a faster model",
            )


def _stage(job: Job, item: Item, stage: str) -> None:
    item.stage = stage  # type: ignore[assignment]
    job.moved()


def _failed(job: Job, item: Item, error: ErrorDetail) -> None:
    item.error = error
    _stage(job, item, "failed")


def _for_clients(remedy: str) -> str:
    """A remedy without what only a program around the library can do."""
    return remedy.partition(", or raise max_megapixels")[0]


def summary(result: Explanation) -> Summary:
    """An explanation without its table."""
    return Summary(
        score=result.score,
        scale=result.scale,
        grid=result.grid.shape,
        criterion=result.criterion,
        masks=result.masks,
        importance=[float(v) if math.isfinite(v) else None for v in result.importance],
        important=list(result.important),
        trivial=list(result.trivial),
        score_important_masked=result.score_important_masked,
        score_trivial_masked=result.score_trivial_masked,
        boxes=[(int(t), int(le), int(b), int(r)) for t, le, b, r in result.boxes()],
        size=(result.photograph.height, result.photograph.width),
        notes=list(result.notes),
        seconds=result.seconds,
    )


def archive(job: Job) -> IO[bytes]:
    """The zip of all finished results, opened; made when it is first asked for.

    A folder a model holds what ``halfsight explain -o`` writes for a folder of photographs: a
    folder a photograph, ``index.html``, and the tables of scores. File names are ours throughout.

    Raises:
        FileNotFoundError: if the job's files were deleted meanwhile.
    """
    path = job.folder / "results.zip"
    with job.archive:
        if not path.exists():
            if not job.folder.is_dir():  # writing would make it again
                raise FileNotFoundError(path)
            with atomic_path(path) as partial:
                _pack(job, partial)
    return path.open("rb")


def _pack(job: Job, target: Path) -> None:
    extra = job.folder / "index"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as made:
        for model in dict.fromkeys(item.model for item in job.items):
            top = "".join(c if c.isalnum() or c in "-_." else "-" for c in model).strip(".")
            items = [item for item in job.items if item.model == model]
            rows = []
            for item in items:
                if item.stage != "done":
                    continue
                record = json.loads((item.folder / "explanation.json").read_bytes())
                rows.append(Row.of(record, item.folder.name))
                for file in sorted(item.folder.iterdir()):
                    if file.name != PICTURE:
                        made.write(file, f"{top}/{item.folder.name}/{file.name}")
            problems = [f"{item.name}: {item.error.message}" for item in items if item.error]
            made.writestr(f"{top}/index.html", index.render(rows, problems))
            if rows:
                extra.mkdir(exist_ok=True)
                write_tables(rows, extra)
                for name in ("scores.csv", "scores.parquet"):
                    made.write(extra / name, f"{top}/{name}")
