from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from tests.web.conftest import explained, png, started, wait

import halfsight as hs
from halfsight.images import read_bytes
from halfsight.scorer import Scorer
from halfsight.web import examples


def code(answer: Any) -> str:
    """The code of an answer that must be an error of the one shape."""
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"code", "message"}
    assert "\n" not in answer.json()["error"]["message"]
    return str(answer.json()["error"]["code"])


def test_explain_gives_what_the_library_gives(client: TestClient, scorer: Scorer) -> None:
    data = png()
    job = explained(client, files=[("photographs", ("mine.png", data, "image/png"))])
    (item,) = job["items"]
    assert (item["name"], item["model"], item["stage"]) == ("mine.png", "triq", "done")
    expected = hs.explain(scorer, read_bytes(data, "mine.png"), grid="2x2")
    assert item["result"]["score"] == pytest.approx(expected.score)
    assert item["result"]["important"] == list(expected.important)
    assert item["result"]["boxes"] == expected.boxes().tolist()
    stored = client.get(item["links"]["explanation"]).json()
    assert len(stored["table"]) == 16
    np.testing.assert_allclose(stored["table"], expected.table, rtol=1e-6)
    assert stored["path"] == "mine.png"


def test_files_of_a_result(client: TestClient) -> None:
    (item,) = explained(client)["items"]
    report = client.get(item["links"]["report"])
    assert report.headers["content-type"] == "text/html; charset=utf-8"
    assert "small.png" in report.text
    for name in ("picture", "thumb", "figure"):
        answer = client.get(item["links"][name])
        with Image.open(io.BytesIO(answer.content)) as image:
            assert image.format == ("PNG" if name == "figure" else "JPEG")
            assert not image.getexif()


def test_versions_and_models_side_by_side(client: TestClient) -> None:
    files = [("photographs", ("photo.png", png(seed=seed), "image/png")) for seed in (0, 1)]
    job = explained(client, files=files, model=["triq", "other"])
    found = [(item["name"], item["model"]) for item in job["items"]]
    assert found == [
        ("photo.png", "triq"),
        ("photo.png (2)", "triq"),
        ("photo.png", "other"),
        ("photo.png (2)", "other"),
    ]
    scores = [item["result"]["score"] for item in job["items"]]
    assert scores[0] == scores[2] != scores[1]  # one network under two names


def test_one_that_fails_leaves_the_others(client: TestClient) -> None:
    cut = png()[:-2000]
    files = [("photographs", (name, data)) for name, data in (("cut.png", cut), ("ok.png", png()))]
    job = explained(client, files=files)
    assert [item["stage"] for item in job["items"]] == ["failed", "done"]
    assert job["items"][0]["error"]["code"] == "unreadable_photograph"
    assert client.get(f"{job['links']['status']}/results/0").status_code == 409
    with zipfile.ZipFile(io.BytesIO(client.get(job["links"]["zip"]).content)) as archive:
        index = archive.read("triq/index.html").decode()
    assert "cut.png" in index


def test_zip_holds_what_the_command_writes(client: TestClient, tmp_path: Path) -> None:
    job = explained(client, model=["triq", "other"])
    answer = client.get(job["links"]["zip"])
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        archive.extractall(tmp_path)
    assert not [name for name in names if name.startswith("/") or ".." in name]
    for model in ("triq", "other"):
        (folder,) = [path for path in (tmp_path / model).iterdir() if path.is_dir()]
        assert {path.name for path in folder.iterdir()} >= {
            "explanation.json",
            "explanation.html",
            "explanation.png",
            "manifest.json",
            "thumb.jpg",
        }
        assert folder.name in (tmp_path / model / "index.html").read_text()
        assert "small.png" in (tmp_path / model / "scores.csv").read_text()


def test_further_maps(client: TestClient) -> None:
    (item,) = explained(client, also=["frequency", "rollout"])["items"]
    report = client.get(item["links"]["report"]).text
    assert "frequency" in report
    assert "rollout" in report


def test_events_end_with_the_result(client: TestClient) -> None:
    with client.stream("GET", started(client)["links"]["events"]) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        events = [block.splitlines() for block in "".join(stream.iter_text()).split("\n\n")]
    events = [event for event in events if event and event[0].startswith("event")]
    assert [event[0] for event in events[:-1]] == ["event: progress"] * (len(events) - 1)
    assert events[-1][0] == "event: end"
    states = [json.loads(event[2].removeprefix("data: ")) for event in events]
    versions = [state["version"] for state in states]
    assert versions == sorted(versions)
    assert states[-1]["items"][0]["result"]["score"] > 0


def test_score(client: TestClient, scorer: Scorer) -> None:
    data = png()
    answer = client.post(
        "/api/score", files={"photographs": ("a.png", data)}, data={"example": "coffee-dark"}
    )
    assert answer.status_code == 200
    first, second = answer.json()["scores"]
    assert first["name"] == "a.png"
    assert first["score"] == pytest.approx(scorer.score(read_bytes(data, "a.png")))
    assert second["name"] == "coffee-dark.jpg"
    assert first["scale"] == {"min": 1, "max": 5, "higher_is_better": True}
    assert sum(first["distribution"]) == pytest.approx(1)


def test_lists(client: TestClient) -> None:
    models = client.get("/api/models").json()["models"]
    assert [(model["name"], model["default"]) for model in models] == [
        ("triq", True),
        ("other", False),
    ]
    assert client.get("/api/limits").json()["photographs"] == 3
    for example in client.get("/api/examples").json()["examples"]:
        answer = client.get(example["picture"])
        assert answer.headers["content-type"] == "image/jpeg"
        with Image.open(io.BytesIO(answer.content)) as image:
            assert image.size == (600, 400)


def test_the_example_is_the_one_in_the_repository() -> None:
    original = Path(__file__).parents[2] / "examples" / "coffee.jpg"
    assert examples.data("coffee") == original.read_bytes()


@pytest.mark.parametrize(
    ("files", "data", "status", "said"),
    [
        ({}, {"grid": "2x2"}, 422, "no_photograph"),
        ({"photographs": ("x.png", b"")}, {}, 422, "unreadable_photograph"),
        ({"photographs": ("x.jpg", b"#!/bin/sh\nrm -rf /")}, {}, 415, "not_a_photograph"),
        ({"photographs": ("x.png", png()[:20])}, {}, 422, "unreadable_photograph"),
        ({"photographs": ("x.svg", b"<svg xmlns='x'/>")}, {}, 415, "not_a_photograph"),
        ({}, {"example": "tea"}, 422, "unknown_example"),
        ({}, {"example": "coffee", "model": "../../etc/passwd"}, 422, "unknown_model"),
        ({}, {"example": "coffee", "grid": "9x9"}, 422, "invalid_grid"),
        ({}, {"example": "coffee", "grid": "4x4"}, 422, "invalid_grid"),
        ({}, {"example": "coffee", "grid": ["2x2", "3x3"]}, 422, "invalid_request"),
        ({}, {"example": "coffee", "criterion": "best"}, 422, "invalid_criterion"),
        ({}, {"example": "coffee", "also": "magic"}, 422, "unknown_map"),
        ({"grid": ("g", b"2x2")}, {"example": "coffee"}, 422, "invalid_request"),
        ({}, {"photographs": "text"}, 422, "invalid_request"),
    ],
)
def test_refused_at_once(
    files: dict[str, Any], data: dict[str, Any], status: int, said: str, client: TestClient
) -> None:
    answer = client.post("/api/explain", files=files or {"ignored": b""}, data=data)
    assert (answer.status_code, code(answer)) == (status, said)


@pytest.mark.parametrize(
    ("content", "kind", "status", "said"),
    [
        (b"{}", "application/json", 415, "not_multipart"),
        (b"x", "", 415, "not_multipart"),
        (b"x", "multipart/form-data", 400, "invalid_request"),
        (b"nonsense", "multipart/form-data; boundary=b", 400, "invalid_request"),
        (b"--b--\r\n", "multipart/form-data; boundary=b", 422, "no_photograph"),
        (b"--b\r\nbroken\r\n\r\n", "multipart/form-data; boundary=b", 400, "invalid_request"),
    ],
)
def test_bodies_that_are_no_form(
    content: bytes, kind: str, status: int, said: str, client: TestClient
) -> None:
    for path in ("/api/explain", "/api/score"):
        answer = client.post(path, content=content, headers={"content-type": kind})
        assert (answer.status_code, code(answer)) == (status, said)


def test_unknown_addresses(client: TestClient) -> None:
    for path in ("/api/jobs/x", "/api/jobs/x/zip", "/api/jobs/x/results/0/report", "/nothing"):
        assert code(client.get(path)) == "not_found"
    assert client.put("/api/explain").status_code == 405
    assert code(client.put("/api/explain")) == "method_not_allowed"
    job = explained(client)
    assert code(client.get(f"{job['links']['status']}/results/7")) == "not_found"
    assert client.get(f"{job['links']['status']}/results/x").status_code == 422


def test_deleted_is_gone(client: TestClient) -> None:
    job = explained(client)
    (item,) = job["items"]
    folders = len(list(client.app.state.desk.root.iterdir()))  # type: ignore[attr-defined]
    assert client.delete(job["links"]["status"]).status_code == 204
    for path in (*job["links"].values(), *item["links"].values()):
        assert code(client.get(path)) == "not_found"
    assert len(list(client.app.state.desk.root.iterdir())) == folders - 1  # type: ignore[attr-defined]


def test_a_job_can_be_cancelled(client: TestClient) -> None:
    first, second = started(client), started(client)
    assert client.delete(second["links"]["status"]).status_code == 204
    assert code(client.get(second["links"]["status"])) == "not_found"
    assert wait(client, first)["state"] == "done"
