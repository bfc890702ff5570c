"""Completion in the shell: installed on request, and it knows commands and options."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from halfsight.cli import app

run = CliRunner()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("ex", {"explain"}), ("explain --mask", {"--masking", "--masks"}), ("sc", {"score"})],
)
def test_what_is_offered(typed: str, offered: set[str]) -> None:
    words = f"halfsight {typed}"
    asked = {
        "_HALFSIGHT_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    result = run.invoke(app, [], prog_name="halfsight", env=asked)
    assert offered <= set(result.stdout.split())


def test_it_installs_itself_into_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    result = run.invoke(app, ["--install-completion", "bash"], prog_name="halfsight")
    assert result.exit_code == 0, result.output
    script = tmp_path / ".bash_completions" / "halfsight.sh"
    assert "complete_bash" in script.read_text()
    assert str(script) in (tmp_path / ".bashrc").read_text()
