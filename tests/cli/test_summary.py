"""The summary of ``explain``: colour at a terminal, text in a pipe, results never in the bar."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import typer
from rich.console import Console
from tests.attribution.nets import scorer_of, small_triq
from tests.pictures import picture

from halfsight.cli import console, summary
from halfsight.explanation import Explanation, Further, explain
from halfsight.importance import decimals


@pytest.fixture(scope="module")
def result() -> Explanation:
    return explain(scorer_of(small_triq()), picture(96, 128))


def shown(result: Explanation, *, terminal: bool) -> str:
    out = Console(
        file=io.StringIO(), force_terminal=terminal, width=100, color_system="truecolor",
        soft_wrap=True, highlight=False,
    )  # fmt: skip
    summary.show(result, out)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_a_terminal_gets_bars_on_one_scale_and_shaded_cells(result: Explanation) -> None:
    text = shown(result, terminal=True)
    assert "\x1b[" in text
    assert text.count(summary.MARK) == 6 + 1  # and once in the legend
    for value in (result.score, result.score_important_masked, result.score_trivial_masked):
        assert f"{value:.2f}" in text
        assert summary.bar(value, 1, 5) in text
    assert "higher is better" in text
    for value in result.importance:
        assert f"{value:.{decimals(result.importance)}f}" in text
    backgrounds = {part.split("m")[0] for part in text.split("48;2;")[1:]}
    assert len(backgrounds) > 6


def test_a_pipe_gets_plain_text(result: Explanation) -> None:
    text = shown(result, terminal=False)
    assert "\x1b" not in text
    assert text.count("[") == 6
    assert f"score {result.score:.2f} on 1 to 5 (higher is better)" in text


def test_signed_values_and_estimates_say_so(result: Explanation) -> None:
    values = np.linspace(-0.5, 0.6, 12)
    estimated = replace(
        result,
        importance=values,
        criterion="shapley",
        estimated=True,
        seed=3,
        standard_errors=np.full(12, 0.01),
        also={"saliency": Further(np.arange(12.0), 0.1)},
        notes=("resized",),
    )
    for terminal in (False, True):
        text = shown(estimated, terminal=terminal)
        assert "estimated from 4094 masks" in text
        assert "standard errors 0.01 to 0.01" in text
        half = sum(region >= 6 for region in estimated.important)
        assert f"of the 6 regions ranked highest, in the important half: saliency {half}" in text
        assert "note: resized" in text
    assert "+0.60" in text
    assert "-0.50" in text


@pytest.mark.parametrize(("value", "blocks"), [(1, 0), (3, 5), (5, 10), (-2, 0), (9, 10)])
def test_bars_stay_on_the_scale(value: float, blocks: int) -> None:
    assert summary.bar(value, 1, 5, width=10) == "█" * blocks + "░" * (10 - blocks)


def test_results_go_to_standard_output_while_a_bar_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    err = Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr(console, "err", err)
    with console.progress("working", 3, inner="masks") as bar:
        console.inside(bar, 1, 4)
        bar.refresh()
        with console.above(bar):
            typer.echo("a result")
        console.inside(bar, 4, 4)
        bar.advance(bar.task_ids[0])
    assert capsys.readouterr().out == "a result\n"
    assert isinstance(err.file, io.StringIO)
    assert "a result" not in err.file.getvalue()
    assert "working" in err.file.getvalue()
    assert "masks" in err.file.getvalue()


@pytest.mark.parametrize(("terminal", "total", "inner"), [(False, 5, ""), (True, 1, "")])
def test_no_bar_in_a_pipe_or_for_one_step(
    terminal: bool, total: int, inner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    err = Console(file=io.StringIO(), force_terminal=terminal)
    monkeypatch.setattr(console, "err", err)
    with console.progress("working", total, inner=inner) as bar, console.above(bar):
        bar.advance(bar.task_ids[0])
    assert isinstance(err.file, io.StringIO)
    assert err.file.getvalue() == ""
