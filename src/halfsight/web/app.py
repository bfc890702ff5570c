"""The application: pages, static files, the interface, and the clock that clears away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import cache
from importlib import resources
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool

from halfsight import also
from halfsight.importance import CRITERIA, MEANING
from halfsight.report import embed
from halfsight.report.page import TITLES, digits
from halfsight.web import api, errors
from halfsight.web.guard import LOOPBACK, Guard
from halfsight.web.jobs import Clock, Desk
from halfsight.web.limits import Limits
from halfsight.web.shelf import Shelf

STATIC = {
    "app.css": "text/css",
    "compare.css": "text/css",
    "main.js": "text/javascript",
    "jobs.js": "text/javascript",
    "compare.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
"""The files under ``/static``, besides the styles that the page shares with the report."""

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Nothing inline runs, and nothing is loaded from elsewhere."""


def report_policy() -> str:
    """Content security policy of a report: its one script, in an origin of its own."""
    own = embed.content_policy(embed.own_text("explanation.js"), images="data:")
    return f"{own}; sandbox allow-scripts; frame-ancestors 'self'"


def create_app(
    shelf: Shelf,
    *,
    limits: Limits | None = None,
    hosts: Iterable[str] = LOOPBACK,
    clock: Clock = time.monotonic,
) -> FastAPI:
    """The application around some models.

    Args:
        shelf: the models; the first is the default.
        limits: what requests may use.
        hosts: host names that the server answers to.
        clock: seconds that only grow, by which results are kept.
    """
    bounds = limits or Limits()
    desk = Desk(bounds, clock=clock)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        sweeper = asyncio.create_task(_sweep(desk, bounds))
        try:
            yield
        finally:
            sweeper.cancel()
            await run_in_threadpool(desk.close)

    app = FastAPI(
        title="halfsight",
        version=version("halfsight"),
        summary="Which regions of a photograph decide its quality score.",
        docs_url=None,  # it loads scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.desk = desk
    errors.install(app)
    app.add_middleware(Guard, hosts=hosts, limits=bounds)
    app.include_router(api.routes(shelf, desk, bounds, report_policy()))
    page = _page(shelf, bounds)

    @app.get("/", include_in_schema=False)
    async def home() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": PAGE_POLICY})

    @app.get("/static/{name}", include_in_schema=False)
    async def static(name: str) -> Response:
        if name == "base.css":
            return Response(embed.own_text("base.css"), media_type="text/css")
        if name not in STATIC:
            raise errors.ApiError(404, "not_found", f"got file {name[:60]!r}; there is none")
        return Response(_own(f"static/{name}"), media_type=STATIC[name])

    return app


@cache
def _own(path: str) -> str:
    return (resources.files(__package__) / path).read_text(encoding="utf-8")


def _page(shelf: Shelf, limits: Limits) -> str:
    """The page, the same for everyone: it holds no photograph and no result."""
    environment = Environment(
        loader=PackageLoader("halfsight.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    scales = {name: scorer.scale for name, scorer in shelf.models.items()}
    return environment.get_template("index.html.j2").render(
        version=version("halfsight"),
        models=shelf.models,
        default=shelf.default,
        examples=api.offered(),
        limits=limits,
        also=also.names(),
        cheap=also.CHEAP,
        criteria={name: TITLES[name] for name in CRITERIA},
        data={
            "limits": {
                "photographs": limits.photographs,
                "bytes": limits.file_bytes,
                "megabytes": limits.megabytes,
            },
            "digits": {name: digits(scale.max - scale.min) for name, scale in scales.items()},
            "titles": TITLES,
            "meanings": MEANING,
            "stops": embed.stops(embed.SIGNED_MAP, trim=0.1),
        },
    )


async def _sweep(desk: Desk, limits: Limits) -> None:
    """Delete what is over, again and again."""
    while True:
        await asyncio.sleep(min(5.0, limits.minutes * 60 / 4))
        await run_in_threadpool(desk.sweep)
