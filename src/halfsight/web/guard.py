"""What stands before every request: whose it is, how large, how slow, and what browsers may do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from halfsight.web.errors import ApiError, retry
from halfsight.web.limits import Limits

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
"""Names by which a server on this machine is called from this machine."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # addresses of results are their only lock
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
"""Sent with every answer that does not set its own."""

SAFE = ("GET", "HEAD", "OPTIONS")


class Guard:
    """ASGI middleware.

    The ``Host`` header must name this server: a page elsewhere whose name was pointed at this
    machine (DNS rebinding) is refused. Requests that change something must not come from a page of
    another origin. A body that is too large, or arrives too slowly, ends the request.

    Args:
        app: what is guarded.
        hosts: host names, without ports, that the server answers to.
        limits: sizes and times.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str], limits: Limits) -> None:
        self.app = app
        self.hosts = frozenset(host.lower() for host in hosts)
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        begun = False

        async def sealed(message: Message) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        body = Body(receive, self.limits)
        try:
            self.check(scope)
        except ApiError as refusal:
            await body.drain()
            await refusal.response()(scope, receive, sealed)
            return
        try:
            await self.app(scope, body, sealed)
        except asyncio.CancelledError:  # the server is stopping, and waits no longer
            if begun:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            else:
                stopping = retry(503, "stopping", "the server is stopping", seconds=5)
                await stopping.response()(scope, receive, sealed)

    def check(self, scope: Scope) -> None:
        """Refuse a request by its headers.

        Raises:
            ApiError: 421 for another host, 403 for another origin, 413 for too long a body.
        """
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if name_of(host) not in self.hosts:
            raise ApiError(
                421,
                "host_not_allowed",
                f"got host {host[:100]!r}, expected one of {', '.join(sorted(self.hosts))}; open "
                "the server by one of these names, or start it with --allow-host",
            )
        if scope["method"] not in SAFE:
            origin = headers.get("origin")
            foreign = origin is not None and place_of(origin) != host.lower()
            if foreign or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
                raise ApiError(
                    403,
                    "other_origin",
                    "got a request from a page of another origin, expected this server's own page "
                    "or a program; send it without an Origin header",
                )
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self.limits.body_bytes:
            raise too_long(self.limits)


class Body:
    """A request's body as ASGI gives it, cut off when it is too long or too slow."""

    def __init__(self, receive: Receive, limits: Limits) -> None:
        self.receive = receive
        self.limits = limits
        self.bytes = 0
        self.whole = False
        self.until = time.monotonic() + limits.upload_seconds

    async def __call__(self) -> Message:
        """The next piece.

        Raises:
            ApiError: 408 if it comes too late, 413 if it is one too many.
        """
        if self.whole:
            return await self.receive()  # waits for the client to leave
        try:
            left = max(0.0, self.until - time.monotonic())
            message = await asyncio.wait_for(self.receive(), timeout=left)
        except TimeoutError:
            raise ApiError(
                408,
                "upload_too_slow",
                f"the request took longer than {self.limits.upload_seconds:g} s to arrive; "
                "send less at once",
            ) from None
        self.bytes += len(message.get("body", b""))
        self.whole = not message.get("more_body", False)
        if self.bytes > self.limits.body_bytes:
            raise too_long(self.limits)
        return message

    async def drain(self) -> None:
        """Read what is still coming: clients that are still sending do not see an early answer."""
        try:
            while not self.whole:
                await self()
        except ApiError:
            return


def too_long(limits: Limits) -> ApiError:
    """The error for a body above all bounds."""
    return ApiError(
        413,
        "too_many_bytes",
        f"got a request of more than {limits.body_bytes / 1e6:g} MB, expected at most "
        f"{limits.photographs} photographs of {limits.megabytes:g} MB; send fewer or smaller ones",
    )


def name_of(host: str) -> str:
    """The name in a ``Host`` header, without its port."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower().removesuffix(".")


def place_of(origin: str) -> str | None:
    """Host and port of an ``Origin`` header, None if it has none (``null``, nonsense)."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None
