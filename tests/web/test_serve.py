from __future__ import annotations

import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from halfsight.cli import app
from halfsight.cli.serve import host_names

run = CliRunner()


def refused(*arguments: str) -> str:
    result = run.invoke(app, ["serve", *arguments])
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    return line


def test_a_model_that_is_not_there() -> None:
    assert "did you mean 'triq'" in refused("--port", "0", "--model", "trik")


def test_a_name_without_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("halfsight.weights.store.embedded", lambda name: None)
    assert "no weights" in refused("--port", "0")


def test_a_port_in_use(weights: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert "use another --port" in refused("--port", port, "--model", str(weights))


def test_open_to_all_needs_a_name() -> None:
    assert "--allow-host NAME" in refused("--host", "0.0.0.0")


def test_limits_must_make_sense() -> None:
    assert "megabytes" in refused("--max-megabytes", "0")


def test_hosts() -> None:
    assert host_names("127.0.0.1", []) == []
    assert "photos.lan" in host_names("127.0.0.1", ["photos.lan"])
    assert "localhost" in host_names("127.0.0.1", ["photos.lan"])
    assert host_names("0.0.0.0", ["photos.lan"]) == ["photos.lan", "0.0.0.0"]
    assert host_names("::1", ["fe80::1"])[0] == "[fe80::1]"
