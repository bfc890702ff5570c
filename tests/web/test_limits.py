from __future__ import annotations

import io
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from tests.web.conftest import BASE, Clock, explained, png, started, wait
from tests.web.test_api import code

from halfsight.scorer import Scorer
from halfsight.web import names, work
from halfsight.web.app import create_app
from halfsight.web.errors import ApiError
from halfsight.web.jobs import Desk, Job
from halfsight.web.limits import Limits
from halfsight.web.shelf import Shelf


@contextmanager
def serving(shelf: Shelf, clock: Clock | None = None, **limits: Any) -> Iterator[TestClient]:
    options = {} if clock is None else {"clock": clock}
    app = create_app(shelf, limits=Limits(**limits), **options)  # type: ignore[arg-type]
    with TestClient(app, base_url=BASE) as client:
        yield client


def root(client: TestClient) -> Path:
    return Path(client.app.state.desk.root)  # type: ignore[attr-defined]


def test_size_pixels_and_count(client: TestClient) -> None:
    stream = io.BytesIO()
    Image.new("1", (2000, 1000)).save(stream, "PNG")
    big = {"photographs": ("big.png", stream.getvalue())}
    answer = client.post("/api/explain", files=big)
    assert (answer.status_code, code(answer)) == (413, "too_many_pixels")
    assert "2.0 megapixels (2000x1000), expected at most 1" in answer.json()["error"]["message"]

    heavy = {"photographs": ("heavy.png", png() + bytes(1_000_000))}
    answer = client.post("/api/explain", files=heavy)
    assert (answer.status_code, code(answer)) == (413, "too_many_bytes")

    many = [("photographs", (f"{n}.png", png())) for n in range(4)]
    answer = client.post("/api/explain", files=many)
    assert (answer.status_code, code(answer)) == (413, "too_many_photographs")

    flood = [("photographs", (f"{n}.png", b"x")) for n in range(50)]
    assert client.post("/api/explain", files=flood).status_code == 400
    assert client.get("/api/models").status_code == 200


def test_too_slow_is_said(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: Any, progress: Any, **__: Any) -> None:
        progress(10, 4096)

    monkeypatch.setattr(work.library, "explain", slow)
    with serving(shelf, seconds=1e-6) as client:
        (item,) = explained(client)["items"]
    assert item["stage"] == "failed"
    assert item["error"]["code"] == "too_slow"
    assert "10 of 4096 masks" in item["error"]["message"]


def test_the_queue_is_bounded(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    real = work.explain

    def held(job: Job, limits: Limits) -> None:
        assert go.wait(60)
        real(job, limits)

    monkeypatch.setattr(work, "explain", held)
    with serving(shelf, waiting=1) as client:
        first, second = started(client), started(client)
        assert client.get(second["links"]["status"]).json()["ahead"] == 1
        assert client.get(f"{first['links']['status']}/results/0").status_code == 409
        assert code(client.get(first["links"]["zip"])) == "not_ready"
        for path in ("/api/explain", "/api/score"):
            refused = client.post(path, files={"photographs": ("a.png", png())})
            assert (refused.status_code, code(refused)) == (429, "busy")
            assert int(refused.headers["retry-after"]) >= 1
        go.set()
        assert wait(client, first)["state"] == wait(client, second)["state"] == "done"
        explained(client)  # there is room again


def test_streams_are_bounded(client: TestClient) -> None:
    job = explained(client)
    desk: Desk = client.app.state.desk  # type: ignore[attr-defined]
    held = desk.get(job["id"])
    held.streams = desk.limits.streams
    answer = client.get(job["links"]["events"])
    assert (answer.status_code, code(answer)) == (429, "busy")
    held.streams = 0
    assert client.get(job["links"]["events"]).status_code == 200
    assert held.streams == 0


def test_results_go_when_their_time_is_over(shelf: Shelf, clock: Clock) -> None:
    with serving(shelf, clock, minutes=10) as client:
        job = explained(client)
        (item,) = job["items"]
        assert job["seconds_left"] == 600
        assert client.get(job["links"]["zip"]).status_code == 200
        clock.now += 599
        assert client.get(item["links"]["report"]).status_code == 200
        clock.now += 1
        for path in (*job["links"].values(), *item["links"].values()):
            assert code(client.get(path)) == "not_found"
        client.app.state.desk.sweep()  # type: ignore[attr-defined]
        assert not list(root(client).iterdir())


def test_uploads_go_with_the_work_and_all_with_the_server(shelf: Shelf) -> None:
    with serving(shelf) as client:
        folder = root(client)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        explained(client)
        scored = client.post("/api/score", files={"photographs": ("a.png", png())})
        assert scored.status_code == 200
        (kept,) = folder.iterdir()  # the scored photograph left nothing
        assert stat.S_IMODE(kept.stat().st_mode) == 0o700
        assert not list(kept.glob("upload-*"))
        client.post("/api/explain", files={"photographs": ("a.png", b"no")})
        assert list(folder.iterdir()) == [kept]
    assert not folder.exists()


def test_a_full_disk_share_is_said(shelf: Shelf) -> None:
    with serving(shelf, kept_megabytes=0.001) as client:
        job = explained(client)
        refused = client.post("/api/explain", files={"photographs": ("a.png", png())})
        assert (refused.status_code, code(refused)) == (503, "storage_full")
        assert int(refused.headers["retry-after"]) >= 1
        assert client.delete(job["links"]["status"]).status_code == 204
        started(client)


def test_a_server_that_stops(scorer: Scorer) -> None:
    desk = Desk(Limits())
    job = desk.open()
    desk.close()
    with pytest.raises(ApiError, match="stopping"):
        desk.submit(job, lambda taken: None)
    with pytest.raises(ApiError, match="stopping"):
        desk.open()
    assert not desk.root.exists()


def test_ids_cannot_be_guessed() -> None:
    desk = Desk(Limits(waiting=50))
    keys = {desk.open().id for _ in range(30)}
    assert len(keys) == 30
    assert all(len(key) == 32 for key in keys)
    folders = {path.name for path in desk.root.iterdir()}
    assert not folders & keys
    desk.close()


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\photo.jpg", "photo.jpg"),
        ("..", "photograph"),
        ("", "photograph"),
        (None, "photograph"),
        ("a\nb\x00.png", "a\\nb\\x00.png"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("<script>alert(1)</script>.png", "script>.png"),
        ("x" * 300 + ".png", "x" * 40 + "…" + "x" * 35 + ".png"),
    ],
)
def test_names_are_cleaned(sent: str | None, shown: str) -> None:
    assert names.shown(sent) == shown


@pytest.mark.parametrize("name", ["../../up.png", "CON", "...", "日本.png", "a/b\\c", "-rf"])
def test_folders_are_plain(name: str) -> None:
    made = names.folder(7, name)
    assert made.startswith("07-")
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")


def test_hostile_names_stay_inside(client: TestClient) -> None:
    hostile = "../../../<img src=x onerror=alert(1)>.png"
    job = explained(client, files=[("photographs", (hostile, png()))])
    (item,) = job["items"]
    assert item["stage"] == "done"
    report = client.get(item["links"]["report"]).text
    assert "<img src=x" not in report
    folder = root(client)
    assert not list(folder.parent.glob("*onerror*"))
    assert not [path for path in folder.rglob("*") if set(path.name) & set("<> =()")]


@pytest.mark.parametrize("field", ["megabytes", "workers", "minutes"])
def test_limits_must_make_sense(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        Limits(**{field: 0})
