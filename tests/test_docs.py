"""The docs keep their word: Python runs, commands exist, quoted messages are in the code."""

from __future__ import annotations

import csv
import doctest
import json
import re
import runpy
import shlex
from importlib import import_module
from pathlib import Path

import pytest
import typer

from halfsight import load
from halfsight.cli import app
from halfsight.scorer import Scorer
from halfsight.weights import store

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
NOT_RUN = "<!-- not run"
"""A comment that begins so, with the reason, before a block that needs what tests do not have."""


def blocks(page: Path, *languages: str) -> list[str]:
    """Fenced blocks of the given languages, without those marked as not run."""
    found = re.findall(
        r"(<!-- not run[^\n]*-->\n+)?^```(\w+)[^\n]*\n(.*?)^```",
        page.read_text(encoding="utf-8"),
        flags=re.DOTALL | re.MULTILINE,
    )
    return [text for mark, language, text in found if language in languages and not mark]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_runs(
    page: Path, scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {"__name__": "docs"}
    for text in blocks(page, "python"):
        exec(compile(text, str(page), "exec"), scope)


@pytest.mark.parametrize("name", ["halfsight", "halfsight.also"])
def test_docstring_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(import_module(name))
    assert found.attempted > 0
    assert found.failed == 0


def test_no_docstring_example_is_left_out() -> None:
    with_examples = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src").rglob("*.py")
        if ">>> " in path.read_text(encoding="utf-8")
    }
    assert with_examples == {"halfsight/__init__.py", "halfsight/also.py"}


def commands(page: Path) -> list[str]:
    """Lines of shell blocks that call halfsight; a backslash goes on in the next line."""
    text = "\n".join(blocks(page, "bash", "sh", "console", "shell"))
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    found = []
    for line in lines:
        words = shlex.split(line.removeprefix("$ "), comments=True)
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
            words = words[1:]
        if words and words[0] == "halfsight":
            found.append(shlex.join(words))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist_with_their_options(page: Path) -> None:
    for line in commands(page):
        command, words = typer.main.get_command(app), shlex.split(line)[1:]
        words = words[: words.index(">")] if ">" in words else words
        words = words[: words.index("|")] if "|" in words else words
        context = None
        while hasattr(command, "get_command") and words and not words[0].startswith("-"):
            context = command.make_context(words[0], [], parent=context, resilient_parsing=True)
            found = command.get_command(context, words[0])
            assert found is not None, f"{page.name}: {line}"
            command, words = found, words[1:]
        if not hasattr(command, "get_command"):
            command.make_context(command.name, words, parent=context)  # raises on what is unknown


def test_quoted_messages_are_in_the_code() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    joined = re.sub(r'"\s*\n\s*f?"', "", source)  # strings that go on in the next line
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = [
        piece.strip()
        for row in re.findall(r"^\| (`.*?) \|", page, flags=re.MULTILINE)
        for message in re.findall(r"`([^`]+)`", row)
        for piece in message.split("…")
        if piece.strip(" ,")
    ]
    assert len(quoted) > 10
    system = {"No space left on device"}
    assert [text for text in quoted if text.strip(" ,") not in joined and text not in system] == []


def test_the_readme_repeats_the_card() -> None:
    card = store.read_card(store.embedded("triq") or Path())
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(card.figures) == 2
    for figure in card.figures:
        plcc, srocc = (
            f"{value:.3f} [{low:.3f}, {high:.3f}]"
            for value, (low, high) in (
                (figure.plcc, figure.plcc_interval),
                (figure.srocc, figure.srocc_interval),
            )
        )
        assert f"| {figure.n} | {plcc} | {srocc} |" in readme


def test_the_readme_repeats_the_results() -> None:
    with (ROOT / "results/clive-val/importance/tables/pair.csv").open(newline="") as stream:
        rows = {row["masked"]: float(row["plcc"]) for row in csv.DictReader(stream)}
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    trivial, important, random = (
        f"{rows[name]:.3f}"
        for name in ("trivial, dist_plcc", "important, dist_plcc", "random halves")
    )
    assert f"{trivial} with the trivial half masked, {important} with the important half" in readme
    assert f"{random} with a random half" in readme


@pytest.mark.parametrize(
    ("script", "page"), [("models_page.py", "models.md"), ("findings.py", "findings.md")]
)
def test_written_pages_are_as_their_script_writes_them(script: str, page: str) -> None:
    written = runpy.run_path(str(ROOT / "scripts" / script))["page"]()
    assert written == (ROOT / "docs" / page).read_text(encoding="utf-8")


def test_results_are_those_of_the_model_that_comes_with_the_package() -> None:
    shipped = load("triq").hash
    manifests = [
        json.loads(path.read_text()) for path in (ROOT / "results").glob("*/*/manifest.json")
    ]
    assert len(manifests) >= 8
    for manifest in manifests:
        models = manifest["run"]["models"]
        assert models.get("triq", shipped) == shipped, manifest["command"]
