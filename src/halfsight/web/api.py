"""The REST interface: ``/api/...``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import IO, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.datastructures import FormData

from halfsight import also, importance
from halfsight.grid import GridError, RegionGrid
from halfsight.importance import CriterionError
from halfsight.web import examples, names, schemas, uploads, work
from halfsight.web.errors import ApiError, documented, retry
from halfsight.web.jobs import Desk, Item, Job
from halfsight.web.limits import Limits
from halfsight.web.shelf import Shelf

POLL = 0.1
"""Seconds between looks at a job whose events are being sent."""
SILENCE = 10.0
"""Seconds after which a comment is sent, so that nothing on the way takes a stream for dead."""

JPEG: dict[str, Any] = {"content": {"image/jpeg": {}}, "description": "JPEG"}


def routes(shelf: Shelf, desk: Desk, limits: Limits, report_policy: str) -> APIRouter:
    """The routes of the interface.

    Args:
        shelf: the models.
        desk: where jobs go.
        limits: of one request.
        report_policy: content security policy of a report's page.
    """
    api = APIRouter(prefix="/api")
    refused = (400, 403, 408, 413, 415, 421, 422, 429, 503)

    @api.post(
        "/explain",
        status_code=202,
        summary="Explain photographs",
        response_model=schemas.JobStatus,
        responses=documented(*refused),
        openapi_extra=schemas.form(explain=True),
    )
    async def explain(request: Request) -> JSONResponse:
        """Start a job: every photograph with every model named; follow it by its links."""
        options: dict[str, Any] = {}

        def configure(form: FormData) -> None:
            options.update(_options(form, limits))

        job = await _admit(request, shelf, desk, limits, configure)
        job.options = options
        desk.submit(job, lambda taken: work.explain(taken, limits))
        status = describe(desk, job)
        headers = {"Location": status.links.status}
        return JSONResponse(status.model_dump(mode="json"), status_code=202, headers=headers)

    @api.post(
        "/score",
        summary="Score photographs",
        responses=documented(*refused),
        openapi_extra=schemas.form(explain=False),
    )
    async def score(request: Request) -> schemas.ScoreList:
        """Score every photograph with every model named, and answer when all are done.

        A photograph that cannot be read has an error in its place; if none can, the answer is 422.
        """
        job = await _admit(request, shelf, desk, limits, lambda form: None)
        future = desk.submit(job, lambda taken: work.score(taken, limits))
        try:
            await asyncio.wrap_future(future)
        finally:  # also when the client leaves
            desk.remove(job)
        if job.state == "cancelled":
            raise retry(503, "stopping", "the server is stopping", seconds=5)
        first = job.items[0].error
        if first is not None and all(item.error is not None for item in job.items):
            raise ApiError(422, first.code, f"{job.items[0].name}: {first.message}")
        return schemas.ScoreList(scores=[_scored(item) for item in job.items])

    @api.get("/models", summary="Models", responses=documented(421))
    async def models() -> schemas.ModelList:
        """The models that this server offers, with their cards."""
        return schemas.ModelList(
            models=[
                schemas.OfferedModel(
                    name=name, default=name == shelf.default, scale=one.scale, card=one.card
                )
                for name, one in shelf.models.items()
            ]
        )

    @api.get("/examples", summary="Examples", responses=documented(421))
    async def list_examples() -> schemas.ExampleList:
        """Photographs to try."""
        return schemas.ExampleList(examples=offered())

    @api.get(
        "/examples/{name}",
        summary="An example's picture",
        response_class=Response,
        responses={200: JPEG, **documented(404, 421, 422)},
    )
    async def example(name: str) -> Response:
        """The JPEG file of an example."""
        if name not in examples.EXAMPLES:
            raise ApiError(404, "not_found", f"got example {name[:60]!r}; see /api/examples")
        return Response(await run_in_threadpool(examples.data, name), media_type="image/jpeg")

    @api.get("/limits", summary="Limits", responses=documented(421))
    async def show_limits() -> schemas.LimitList:
        """What one request may hold, and how long results are kept."""
        shown = schemas.LimitList.model_fields
        return schemas.LimitList(**{name: getattr(limits, name) for name in shown})

    @api.get("/jobs/{job}", summary="A job", responses=documented(404, 421, 422))
    async def status(job: str) -> schemas.JobStatus:
        """Where every photograph of a job is, and the results there are."""
        return describe(desk, desk.get(job))

    @api.delete("/jobs/{job}", status_code=204, responses=documented(403, 404, 421, 422))
    async def delete(job: str) -> None:
        """Stop a job if it is not finished, and delete its files."""
        await run_in_threadpool(desk.remove, desk.get(job))

    @api.get(
        "/jobs/{job}/events",
        summary="Progress as server-sent events",
        response_class=StreamingResponse,
        responses={
            200: {"content": {"text/event-stream": {}}, "description": "Events"},
            **documented(404, 421, 422, 429),
        },
    )
    async def events(job: str) -> StreamingResponse:
        """Each event ``progress``, and ``end`` as the last, holds the job's status as JSON."""
        followed = desk.get(job)
        if followed.streams >= limits.streams:
            raise retry(
                429, "busy", f"got more than {limits.streams} streams of one job", seconds=2
            )
        return StreamingResponse(
            _events(desk, followed),
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no"},
        )

    @api.get(
        "/jobs/{job}/zip",
        summary="All results of a job",
        response_class=StreamingResponse,
        responses={
            200: {"content": {"application/zip": {}}, "description": "Zip archive"},
            **documented(404, 409, 421, 422),
        },
    )
    async def download(job: str) -> StreamingResponse:
        """A zip of what ``halfsight explain -o`` writes, a folder a model."""
        finished = desk.get(job)
        if finished.finished is None or not any(item.result for item in finished.items):
            raise ApiError(409, "not_ready", "got a job without results yet; wait for its end")
        try:
            archive = await run_in_threadpool(work.archive, finished)
        except OSError:
            desk.get(job)  # says that it is gone, if it is
            raise
        return StreamingResponse(
            iterate_in_threadpool(_pieces(archive)),
            media_type="application/zip",
            headers={"Content-Disposition": 'attachment; filename="halfsight-results.zip"'},
        )

    def file(path: str, name: str, kind: str, headers: dict[str, str]) -> None:
        @api.get(
            "/jobs/{job}/results/{number}" + path,
            name=name,
            summary=f"A result's {name}",
            response_class=Response,
            responses={
                200: {"content": {kind.partition(";")[0]: {}}, "description": name},
                **documented(404, 409, 421, 422),
            },
        )
        async def serve(job: str, number: int) -> Response:
            item = _finished(desk.get(job), number)
            try:
                data = await run_in_threadpool((item.folder / name).read_bytes)
            except OSError:
                desk.get(job)  # says that it is gone, if it is
                raise
            return Response(data, media_type=kind, headers=headers)

    file("", "explanation.json", "application/json", {})
    file(
        "/report",
        "explanation.html",
        "text/html; charset=utf-8",
        {"Content-Security-Policy": report_policy},
    )
    file("/picture", work.PICTURE, "image/jpeg", {})
    file("/thumb", "thumb.jpg", "image/jpeg", {})
    file("/figure", "explanation.png", "image/png", {})
    return api


async def _admit(
    request: Request,
    shelf: Shelf,
    desk: Desk,
    limits: Limits,
    configure: Callable[[FormData], None],
) -> Job:
    """A job with its photographs in its folder, not submitted yet.

    Raises:
        ApiError: if there is no place, or something in the form is refused.
    """
    try:
        job = await run_in_threadpool(desk.open)  # before the body is read: it costs a place
    except ApiError:
        async for _ in request.stream():  # a client that is still sending sees no early answer
            pass
        raise
    try:
        async with uploads.read_form(request, limits) as form:
            configure(form)
            models = shelf.pick(uploads.texts(form, "model"))
            stored = await uploads.store(form, job.folder, limits)
        results = job.folder / "results"
        for model, scorer in models.items():
            for number, one in enumerate(stored):
                place = results / f"{names.folder(number, one.name)}-{len(job.items)}"
                job.items.append(Item(one.name, model, scorer, shelf.locks[model], one.path, place))
    except BaseException:  # also when the client leaves
        desk.drop(job)
        raise
    return job


def _options(form: FormData, limits: Limits) -> dict[str, Any]:
    """The options of an explanation.

    Raises:
        ApiError: 422 if one is not valid.
    """
    grid, criterion = uploads.one(form, "grid") or "3x4", uploads.one(form, "criterion")
    try:
        regions = RegionGrid.parse(grid[:20])
        if len(regions) > limits.regions:
            raise GridError(
                f"got a {regions} grid, expected at most {limits.regions} regions; use fewer"
            )
    except GridError as error:
        raise ApiError(422, "invalid_grid", str(error)) from None
    try:
        chosen = None if criterion is None else importance.check(criterion[:40])
    except CriterionError as error:
        raise ApiError(422, "invalid_criterion", str(error)) from None
    try:
        views = also.check(name[:40] for name in uploads.texts(form, "also"))
    except also.AlsoError as error:
        raise ApiError(422, "unknown_map", str(error)) from None
    return {"grid": regions, "criterion": chosen, "also": views}


def offered() -> list[schemas.Example]:
    """The examples with the addresses of their pictures."""
    return [
        schemas.Example(name=name, title=title, picture=f"/api/examples/{name}")
        for name, (title, _) in examples.EXAMPLES.items()
    ]


def describe(desk: Desk, job: Job) -> schemas.JobStatus:
    """A job as clients see it."""
    base = f"/api/jobs/{job.id}"
    return schemas.JobStatus(
        id=job.id,
        version=job.version,
        state=job.state,
        ahead=desk.ahead(job),
        seconds_left=desk.seconds_left(job),
        items=[_described(base, number, item) for number, item in enumerate(job.items)],
        links=schemas.JobLinks(status=base, events=f"{base}/events", zip=f"{base}/zip"),
    )


def _described(base: str, number: int, item: Item) -> schemas.ItemStatus:
    place = f"{base}/results/{number}"
    done = item.stage == "done" and item.result is not None
    return schemas.ItemStatus(
        number=number,
        name=item.name,
        model=item.model,
        stage=item.stage,
        masks=item.masks,
        error=item.error,
        result=item.result if done else None,
        links=schemas.ResultLinks(
            explanation=place,
            report=f"{place}/report",
            picture=f"{place}/picture",
            thumb=f"{place}/thumb",
            figure=f"{place}/figure",
        )
        if done
        else None,
    )


def _scored(item: Item) -> schemas.ScoreResult:
    found = item.prediction
    if found is None:
        return schemas.ScoreResult(name=item.name, model=item.model, error=item.error)
    return schemas.ScoreResult(
        name=item.name,
        model=item.model,
        score=found.score,
        scale=item.scorer.scale,
        distribution=None if found.distribution is None else list(found.distribution),
        size=found.size,
        notes=list(found.notes),
    )


def _finished(job: Job, number: int) -> Item:
    """One photograph's results.

    Raises:
        ApiError: 404 if there is no such photograph, 409 if it has no results.
    """
    if not 0 <= number < len(job.items):
        raise ApiError(404, "not_found", f"got number {number}, expected 0 to {len(job.items) - 1}")
    item = job.items[number]
    if item.stage != "done" or item.result is None:
        raise ApiError(
            409, "not_ready", f"got a photograph that is {item.stage!r}; its status says more"
        )
    return item


async def _events(desk: Desk, job: Job) -> AsyncIterator[str]:
    """Server-sent events of a job until it ends.

    The job is looked at in short steps: threads change it, and a look costs less than a call from
    each of them into each stream's loop.
    """
    job.streams += 1
    try:
        sent, said = None, time.monotonic()
        while job.finished is None and not job.cancelled.is_set():
            mark = (job.version, desk.ahead(job))
            if mark != sent:
                yield _event("progress", describe(desk, job))
                sent, said = mark, time.monotonic()
            elif time.monotonic() - said > SILENCE:
                yield ": still here\n\n"
                said = time.monotonic()
            await asyncio.sleep(POLL)
        yield _event("end", describe(desk, job))
    finally:
        job.streams -= 1


def _event(name: str, status: schemas.JobStatus) -> str:
    return f"event: {name}\nid: {status.version}\ndata: {status.model_dump_json()}\n\n"


def _pieces(stream: IO[bytes], size: int = 1 << 16) -> Iterator[bytes]:
    """An open file in pieces; it stays readable if its folder is deleted on the way."""
    with stream:
        while piece := stream.read(size):
            yield piece
