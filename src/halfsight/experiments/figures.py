"""The figures of the experiments, in one quiet style, and the plots that several of them share.

An SVG put into a page takes the page's colours (see :func:`inline`), so that it is read on a dark
screen as well as on a light one.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib
import numpy as np
import numpy.typing as npt
from markupsafe import escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from halfsight.experiments.outcome import Measured

Given = ParamSpec("Given")
Made = TypeVar("Made")

INK = "#1b2023"
QUIET = "#566067"
LINE = "#d9dee1"
COLOURS = ("#0b6962", "#9a5b0c", "#5b4b9a", "#8a3a4f", "#3a6ea5", "#6b7a2a")
"""Told apart by the common kinds of colour blindness together with the markers."""
MARKERS = ("o", "s", "^", "D", "v", "P")

WIDTH = 5.2
"""Of every figure, in inches: narrow, so that its text can be read on a telephone."""

STYLE: dict[Any, Any] = {  # keys are literals of matplotlib
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "svg.fonttype": "none",
    "svg.hashsalt": "halfsight",
}

_VARIABLES = {INK: "var(--text)", QUIET: "var(--quiet)", LINE: "var(--line)", "#ffffff": "none"}


def styled(draw: Callable[Given, Made]) -> Callable[Given, Made]:
    """A function that draws in the style: matplotlib reads it whenever something is added."""

    @wraps(draw)
    def drawn(*args: Given.args, **options: Given.kwargs) -> Made:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **options)

    return drawn


@styled
def new(height: float, *, width: float = WIDTH) -> Figure:
    """An empty figure of a height in inches."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="#ffffff")


@styled
def axes(figure: Figure, rows: int = 1, cols: int = 1, **options: Any) -> list[Axes]:
    """The axes of a figure, row by row."""
    return [ax for row in figure.subplots(rows, cols, squeeze=False, **options) for ax in row]


@styled
def svg(figure: Figure) -> str:
    """The figure as SVG text, the same bytes every time."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": "halfsight"})
    return stream.getvalue()


@styled
def png(figure: Figure) -> bytes:
    """The figure as PNG."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=140, metadata={"Software": "halfsight"})
    return stream.getvalue()


def inline(text: str, name: str, label: str) -> str:
    """An SVG for putting into a page: its own ids, the page's colours and width, a label.

    Args:
        text: from :func:`svg`.
        name: makes the ids of several figures on a page differ.
        label: for those who do not see it; plain text, escaped here.
    """
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.S)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", body)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, variable)
    for at, colour in enumerate(COLOURS):
        body = body.replace(colour, f"var(--series-{at})")
    head, rest = body.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{escape(label)}">{rest}'


@styled
def intervals(
    rows: Sequence[tuple[str, Sequence[tuple[str, Measured]]]],
    *,
    label: str,
    paper: Mapping[tuple[str, str], float] | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Points with intervals, a line a row, a colour a series; the paper's as hollow diamonds.

    Args:
        rows: (name, [(series, number)]).
        label: of the axis.
        paper: the published number by (name, series).
        limits: of the axis.
    """
    series = list(dict.fromkeys(name for _, points in rows for name, _ in points))
    figure = new(0.95 + 0.36 * len(rows) + 0.2 * ((len(series) + 2) // 3))
    (ax,) = axes(figure)
    for at, (row, points) in enumerate(rows):
        for name, number in points:
            which = series.index(name)
            y = at + (which - (len(series) - 1) / 2) * (0.5 / max(1, len(series)))
            _point(ax, number, y, which)
            published = (paper or {}).get((row, name))
            if published is not None:
                ax.plot([published], [y], "D", mfc="none", mec=QUIET, ms=7, zorder=4)
    for which, name in enumerate(series):
        ax.plot([], [], MARKERS[which], color=COLOURS[which], label=name)
    if paper:
        ax.plot([], [], "D", mfc="none", mec=QUIET, label="paper")
    ax.set_yticks(range(len(rows)), [row for row, _ in rows])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(label)
    if limits:
        ax.set_xlim(*limits)
    if len(series) > 1 or paper:
        figure.legend(loc="outside upper left", ncols=3)
    return figure


def _point(ax: Axes, number: Measured, y: float, which: int) -> None:
    colour = COLOURS[which]
    if np.isfinite(number.low) and np.isfinite(number.high):
        ax.plot([number.low, number.high], [y, y], color=colour, lw=1.4, solid_capstyle="butt")
    ax.plot([number.value], [y], MARKERS[which], color=colour, ms=5.5, zorder=3)


@styled
def lines(
    x: Sequence[float],
    series: Mapping[str, Sequence[Measured]],
    *,
    xlabel: str,
    ylabel: str,
    level: float | None = None,
    reference: Mapping[str, Sequence[float]] | None = None,
) -> Figure:
    """Lines with bands for the intervals; references are thin dashed lines.

    Args:
        x: shape (K,).
        series: numbers by name, K each.
        xlabel: of the horizontal axis.
        ylabel: of the vertical axis.
        level: a horizontal line to be reached.
        reference: plain numbers by name, K each.
    """
    figure = new(3.6 + 0.2 * ((len(series) + len(reference or {}) + 2) // 3))
    (ax,) = axes(figure)
    if level is not None:
        ax.axhline(level, color=QUIET, lw=1, ls=":")
        ax.text(x[0], level, f" {level:g}", color=QUIET, va="bottom", fontsize=9)
    for which, (name, numbers) in enumerate(series.items()):
        colour, marker = COLOURS[which % len(COLOURS)], MARKERS[which % len(MARKERS)]
        low, high = [n.low for n in numbers], [n.high for n in numbers]
        ax.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
        ax.plot(x, [n.value for n in numbers], marker + "-", color=colour, ms=5, label=name)
    for at, (name, values) in enumerate((reference or {}).items()):
        style = ("--", ":", "-.")[at % 3]
        ax.plot(x, values, ls=style, color=QUIET, lw=1.2, label=name)
    ax.set_xticks(list(x))
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    figure.legend(loc="outside upper left", ncols=3)
    return figure


@styled
def scatter(
    x: npt.ArrayLike, series: Mapping[str, npt.ArrayLike], *, xlabel: str, ylabel: str
) -> Figure:
    """Panels side by side with the same axes and the line of equal values."""
    figure = new(2.9)
    panels = axes(figure, 1, len(series), sharex=True, sharey=True)
    for which, (ax, (name, values)) in enumerate(zip(panels, series.items(), strict=True)):
        ax.plot(x, values, ".", color=COLOURS[which], ms=4, alpha=0.6, mew=0)
        span = [float(np.min(np.asarray(x))), float(np.max(np.asarray(x)))]
        ax.plot(span, span, color=QUIET, lw=0.9, ls=":")
        ax.set_title(name)
        ax.set_xlabel(xlabel)
    panels[0].set_ylabel(ylabel)
    return figure


@styled
def positions(
    values: Mapping[str, npt.NDArray[np.float64]], grid: tuple[int, int], *, percent: bool = False
) -> Figure:
    """Grids of numbers, two a line, darker where higher, each with its own range."""
    cols = min(2, len(values))
    rows = -(-len(values) // cols)
    figure = new(rows * (0.45 + WIDTH / cols * grid[0] / grid[1]))
    panels = axes(figure, rows, cols)
    for ax in panels[len(values) :]:
        ax.set_axis_off()
    for ax, (name, flat) in zip(panels, values.items(), strict=False):
        shape = flat.reshape(grid)
        low, high = float(flat.min()), float(flat.max())
        for y in range(grid[0]):
            for x in range(grid[1]):
                share = (shape[y, x] - low) / (high - low) if high > low else 0.5
                ax.fill(
                    [x - 0.48, x + 0.48, x + 0.48, x - 0.48],
                    [y - 0.47, y - 0.47, y + 0.47, y + 0.47],
                    color=COLOURS[0],
                    alpha=0.08 + 0.5 * share,
                    lw=0,
                )
                text = f"{shape[y, x]:.0%}" if percent else f"{shape[y, x]:.3g}"
                ax.text(x, y, text, ha="center", va="center", fontsize=9)
        ax.set_xlim(-0.5, grid[1] - 0.5)
        ax.set_ylim(grid[0] - 0.5, -0.5)
        ax.set_aspect("auto")
        ax.set_axis_off()
        ax.set_title(name)
    return figure
