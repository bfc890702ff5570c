from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.web.conftest import BASE, explained, png
from tests.web.test_api import code

from halfsight.web.app import create_app
from halfsight.web.errors import ApiError
from halfsight.web.guard import Body, Guard, name_of
from halfsight.web.limits import Limits
from halfsight.web.shelf import Shelf


def directives(answer: Any) -> dict[str, str]:
    """The content security policy of an answer."""
    policy = answer.headers["content-security-policy"]
    return {part.split()[0]: " ".join(part.split()[1:]) for part in policy.split(";")}


def test_the_page_runs_nothing_inline_and_loads_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/")
    found = directives(page)
    assert found["default-src"] == "'none'"
    assert found["script-src"] == found["style-src"] == "'self'"
    assert found["frame-ancestors"] == "'none'"
    assert "unsafe" not in page.headers["content-security-policy"]
    assert "//" not in page.text
    assert "style=" not in page.text
    assert "<script>" not in page.text


def test_a_report_has_an_origin_of_its_own_and_one_script(client: TestClient) -> None:
    (item,) = explained(client)["items"]
    found = directives(client.get(item["links"]["report"]))
    assert found["default-src"] == "'none'"
    assert found["sandbox"] == "allow-scripts"
    assert found["script-src"].startswith("'sha256-")
    assert found["img-src"] == "data:"
    assert found["frame-ancestors"] == "'self'"


def test_every_answer_is_sealed(client: TestClient) -> None:
    answers = [client.get(path) for path in ("/", "/static/main.js", "/api/models", "/nothing")]
    answers.append(client.post("/api/explain"))
    answers.append(client.get("/", headers={"host": "evil.example"}))
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8000", "", "[::2]"]
)
def test_other_hosts_are_refused(host: str, client: TestClient) -> None:
    answer = client.get("/api/models", headers={"host": host})
    assert (answer.status_code, code(answer)) == (421, "host_not_allowed")


@pytest.mark.parametrize("host", ["localhost:8000", "[::1]:80", "LOCALHOST", "localhost."])
def test_own_hosts_are_answered(host: str, client: TestClient) -> None:
    assert client.get("/api/models", headers={"host": host}).status_code == 200


def test_names_of_hosts() -> None:
    assert name_of("[::1]:8000") == "[::1]"
    assert name_of("Photo.Lan:80") == "photo.lan"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://["},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_other_origins_change_nothing(headers: dict[str, str], client: TestClient) -> None:
    files = {"photographs": ("a.png", png())}
    for path in ("/api/explain", "/api/score"):
        answer = client.post(path, files=files, headers=headers)
        assert (answer.status_code, code(answer)) == (403, "other_origin")
    assert client.delete("/api/jobs/x", headers=headers).status_code == 403


def test_own_origin_is_answered(client: TestClient) -> None:
    headers = {"origin": BASE, "sec-fetch-site": "same-origin"}
    assert code(client.post("/api/explain", headers=headers)) == "not_multipart"
    preflight = client.options("/api/explain", headers={"origin": "http://evil.example"})
    assert preflight.status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/templates/index.html.j2",
        "/static//etc/passwd",
        "/api/examples/..%2f..%2fapp.py",
        "/api/jobs/..%2f..%2f/zip",
    ],
)
def test_no_path_leads_out(path: str, client: TestClient) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert set(answer.json()) == {"error"}


def test_a_body_that_says_it_is_too_long(client: TestClient) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b", "content-length": str(10**12)}
    answer = client.post("/api/explain", content=b"--b--", headers=headers)
    assert (answer.status_code, code(answer)) == (413, "too_many_bytes")


def test_a_body_that_does_not_say_so(shelf: Shelf) -> None:
    limits = Limits(photographs=1, megabytes=0.01)
    with TestClient(create_app(shelf, limits=limits), base_url=BASE) as client:

        def pieces() -> Any:
            yield b'--b\r\ncontent-disposition: form-data; name="photographs"; filename="a"\r\n\r\n'
            for _ in range(40):
                yield b"x" * 50_000

        headers = {"content-type": "multipart/form-data; boundary=b"}
        answer = client.post("/api/explain", content=pieces(), headers=headers)
        assert (answer.status_code, code(answer)) == (413, "too_many_bytes")
        assert not list(client.app.state.desk.root.iterdir())  # type: ignore[attr-defined]


def test_a_body_that_never_ends() -> None:
    async def silent() -> Any:
        await asyncio.sleep(60)

    async def read() -> None:
        await Body(silent, Limits(upload_seconds=0.01))()

    with pytest.raises(ApiError) as caught:
        asyncio.run(read())
    assert (caught.value.status, caught.value.code) == (408, "upload_too_slow")


@pytest.mark.parametrize("begun", [False, True])
def test_a_server_that_stops_ends_its_answers(begun: bool) -> None:
    sent: list[Any] = []

    async def waiting(scope: Any, receive: Any, send: Any) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise asyncio.CancelledError

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "headers": [(b"host", b"localhost")]}
    guard = Guard(waiting, hosts=["localhost"], limits=Limits())
    asyncio.run(guard(scope, receive, send))
    assert sent[0]["status"] == (200 if begun else 503)
    assert not sent[-1].get("more_body", False)
