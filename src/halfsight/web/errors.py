"""The one shape of every error: ``{"error": {"code", "message"}}``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

Code = Literal[
    "invalid_request",
    "not_multipart",
    "no_photograph",
    "unknown_model",
    "invalid_grid",
    "invalid_criterion",
    "unknown_example",
    "unknown_map",
    "not_a_photograph",
    "unreadable_photograph",
    "model_failed",
    "too_many_photographs",
    "too_many_bytes",
    "too_many_pixels",
    "too_slow",
    "upload_too_slow",
    "not_found",
    "not_ready",
    "method_not_allowed",
    "host_not_allowed",
    "other_origin",
    "busy",
    "storage_full",
    "stopping",
    "cancelled",
    "internal",
]

_log = logging.getLogger(__name__)


class ErrorDetail(BaseModel):
    """What went wrong: a code for programs and a line for people."""

    code: Code
    message: str


class ErrorBody(BaseModel):
    """The body of every answer that is an error."""

    error: ErrorDetail


class ApiError(Exception):
    """An error to be answered to a client.

    Attributes:
        status: of the HTTP answer.
        code: for programs.
        message: one line for people: got X, expected Y; do Z.
        headers: to send along, ``Retry-After`` for instance.
    """

    def __init__(
        self, status: int, code: Code, message: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code: Code = code
        self.message = message
        self.headers = dict(headers or {})

    @property
    def detail(self) -> ErrorDetail:
        """The error as it is sent."""
        return ErrorDetail(code=self.code, message=self.message)

    def response(self) -> JSONResponse:
        """The HTTP answer."""
        body = ErrorBody(error=self.detail)
        return JSONResponse(body.model_dump(), status_code=self.status, headers=self.headers)


def retry(status: int, code: Code, message: str, *, seconds: float) -> ApiError:
    """An error that goes away by itself: the answer says when to come again."""
    wait = max(1, round(seconds))
    headers = {"Retry-After": str(wait)}
    return ApiError(status, code, f"{message}; try again in {wait} s", headers=headers)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors a route may answer with, for OpenAPI."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        found[status] = {"model": ErrorBody, "description": HTTPStatus(status).phrase}
        if status in (429, 503):
            found[status]["headers"] = {
                "Retry-After": {
                    "description": "Seconds to wait before the next try.",
                    "schema": {"type": "integer"},
                }
            }
    return found


def install(app: FastAPI) -> None:
    """Answer everything that goes wrong in the one shape."""

    async def ours(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ApiError)
        return error.response()

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        codes: dict[int, Code] = {404: "not_found", 405: "method_not_allowed"}
        code = codes.get(error.status_code, "invalid_request")
        message = f"{request.method} {request.url.path}: {error.detail}; see /openapi.json"
        return ApiError(error.status_code, code, message, headers=error.headers).response()

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return ApiError(422, "invalid_request", f"{place}: {first['msg']}").response()

    async def left(request: Request, error: Exception) -> JSONResponse:
        return ApiError(
            400, "invalid_request", "the client left before its request ended"
        ).response()

    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        _log.error("%s %s", request.method, request.url.path, exc_info=error)
        message = "something went wrong in the server; its log says what"
        return ApiError(500, "internal", message).response()

    app.add_exception_handler(ApiError, ours)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(ClientDisconnect, left)
    app.add_exception_handler(Exception, unforeseen)
