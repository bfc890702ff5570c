from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image
from tests.pictures import picture

from halfsight.scorer import Scorer
from halfsight.web.app import create_app
from halfsight.web.limits import Limits
from halfsight.web.shelf import Shelf

BASE = "http://127.0.0.1"


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def png(height: int = 128, width: int = 160, seed: int = 0) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture(height, width, seed)).save(stream, "PNG")
    return stream.getvalue()


def wait(client: TestClient, job: dict[str, Any]) -> dict[str, Any]:
    """The job's status when it is finished."""
    for _ in range(3000):
        status = client.get(job["links"]["status"])
        assert status.status_code == 200, status.text
        if status.json()["state"] in ("done", "cancelled"):
            return dict(status.json())
        time.sleep(0.02)
    raise AssertionError("the job never ended")


def started(client: TestClient, **data: Any) -> dict[str, Any]:
    """A job of one small photograph on a small grid."""
    files = data.pop("files", [("photographs", ("small.png", png(), "image/png"))])
    answer = client.post("/api/explain", files=files, data={"grid": "2x2", **data})
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def explained(client: TestClient, **data: Any) -> dict[str, Any]:
    """The same when it is finished."""
    return wait(client, started(client, **data))


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The address of a real server on a free port."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def shelf(scorer: Scorer) -> Shelf:
    return Shelf.of([("triq", scorer), ("elsewhere/other.safetensors", scorer)])


@pytest.fixture(scope="module")
def client(shelf: Shelf) -> Iterator[TestClient]:
    limits = Limits(photographs=3, megabytes=1, megapixels=1, waiting=4)
    with TestClient(create_app(shelf, limits=limits), base_url=BASE) as made:
        yield made


@pytest.fixture
def clock() -> Clock:
    return Clock()
