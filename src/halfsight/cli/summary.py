"""One explanation for a person at a terminal: in colour there, as plain text in a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from halfsight.importance import MEANING, decimals
from halfsight.matching import matching_counts

if TYPE_CHECKING:
    from halfsight.explanation import Explanation

WIDTH = 32
"""Characters of the score bar."""
CELL = 11
"""Characters of a region's cell; three lines of that are about as high as wide."""
SIGNED, UNSIGNED = "BrBG", "cividis"
"""The colours of the page: told apart by the common kinds of colour blindness."""
MARK = "●"


def show(result: Explanation, out: Console) -> None:
    """Print one explanation."""
    if out.is_terminal:
        out.print(view(result), soft_wrap=False)  # words stay whole, cells in their frames
        out.print()
    else:
        for line in plain(result):
            out.print(line, markup=False, highlight=False)


def plain(result: Explanation) -> list[str]:
    """Lines of text: score, grid of importance, what the halves do."""
    scale = result.scale
    blocks = bar(result.score, scale.min, scale.max, width=24)
    on = f"on {scale.min:g} to {scale.max:g} ({better(result)})"
    lines = [
        result.path or "array",
        f"  score {result.score:.2f} {on}  {blocks}",
        f"  importance by {result.criterion}, important half in brackets:",
    ]
    rows, cols = result.grid.shape
    digits = decimals(result.importance)
    for row in range(rows):
        cells = []
        for region in range(row * cols, (row + 1) * cols):
            value = f"{result.importance[region]:.{digits}f}"
            cells.append(f"[{value}]" if region in result.important else f" {value} ")
        lines.append("    " + " ".join(f"{cell:>9}" for cell in cells))
    if result.standard_errors is not None:
        lines.append(f"  estimated from {result.masks} masks, {_errors(result)}")
    lines.append(
        f"  important half masked {result.score_important_masked:.2f} "
        f"({result.score_important_masked - result.score:+.2f}), "
        f"trivial half masked {result.score_trivial_masked:.2f} "
        f"({result.score_trivial_masked - result.score:+.2f})"
    )
    if result.also:
        lines.append(f"  {_agreement(result)}")
    return lines + [f"  note: {note}" for note in result.notes]


def view(result: Explanation) -> RenderableType:
    """The same in colour: score bars on one scale, the grid as shaded cells."""
    parts: list[RenderableType] = [
        Text(result.path or "array", "bold"),
        _bars(result),
        Text(),
        _grid(result),
        Text(
            f"{MARK} the half that decides; {result.criterion}: {MEANING[result.criterion]}", "dim"
        ),
    ]
    if result.standard_errors is not None:
        said = f"estimated from {result.masks} masks (seed {result.seed}), {_errors(result)}"
        parts.append(Text(said, "yellow"))
    if result.also:
        parts.append(Text(_agreement(result)))
    parts += [Text(f"note: {note}", "dim") for note in result.notes]
    return Group(*parts)


def better(result: Explanation) -> str:
    """Which way the scale runs."""
    return "higher is better" if result.scale.higher_is_better else "lower is better"


def bar(value: float, low: float, high: float, *, width: int = WIDTH) -> str:
    """A value on a scale as blocks."""
    filled = round(width * min(1.0, max(0.0, (value - low) / (high - low))))
    return "█" * filled + "░" * (width - filled)


def _bars(result: Explanation) -> Table:
    low, high = result.scale.min, result.scale.max
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    table.add_column()
    for title, value, style in (
        ("score", result.score, "bold cyan"),
        ("important half masked", result.score_important_masked, "cyan"),
        ("trivial half masked", result.score_trivial_masked, "cyan"),
    ):
        change = "" if title == "score" else f"{value - result.score:+.2f}"
        table.add_row(title, f"{value:.2f}", Text(bar(value, low, high), style), change)
    ends = f"{low:g}".ljust(WIDTH - len(f"{high:g}")) + f"{high:g}"
    table.add_row("", "", Text(ends, "dim"), Text(better(result), "dim"))
    return table


def _grid(result: Explanation) -> Table:
    """The regions as cells shaded by importance, the important ones marked."""
    from matplotlib import colormaps  # slow to import, and of no use in a pipe

    values = result.importance
    reach = float(np.abs(values).max()) or 1.0
    signed = bool((values < 0).any())
    rows, cols = result.grid.shape
    table = Table(box=box.SQUARE, show_header=False, padding=0, pad_edge=False, show_lines=True)
    for _ in range(cols):
        table.add_column(width=CELL, no_wrap=True)
    for row in range(rows):
        cells = []
        for region in range(row * cols, (row + 1) * cols):
            value = float(values[region])
            level = (value / reach + 1) / 2 if signed else value / reach
            red, green, blue = (int(255 * c) for c in colormaps[_map(signed)](level)[:3])
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 128
            style = f"{'white' if dark else 'black'} on rgb({red},{green},{blue})"
            chosen = region in result.important
            number = f"{value:{'+' if signed else ''}.{decimals(values)}f}"
            lines = (MARK if chosen else "", number, "")
            text = "\n".join(line.center(CELL) for line in lines)
            cells.append(Text(text, f"bold {style}" if chosen else style))
        table.add_row(*cells)
    return table


def _map(signed: bool) -> str:
    return SIGNED if signed else UNSIGNED


def _errors(result: Explanation) -> str:
    errors = result.standard_errors
    return "" if errors is None else f"standard errors {errors.min():.1g} to {errors.max():.1g}"


def _agreement(result: Explanation) -> str:
    """How many of the regions that each further view ranks highest are in the important half."""
    membership = np.isin(np.arange(len(result.grid)), result.important)
    shares = []
    for name, one in result.also.items():
        count = int(matching_counts(np.abs(one.regions)[None], membership[None])[0])
        shares.append(f"{name} {count}")
    half = len(result.important)
    return f"of the {half} regions ranked highest, in the important half: {', '.join(shares)}"
