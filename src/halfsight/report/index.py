"""The index of a run: one page that sorts and filters all its photographs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from halfsight.formats import one_line
from halfsight.report import embed
from halfsight.report.page import digits, finite, number
from halfsight.report.rows import Row


def render(rows: Sequence[Row], problems: Sequence[object] = ()) -> str:
    """The page as HTML text.

    It holds a line of numbers a photograph and draws the rows in sight alone, so that ten thousand
    stay quick. Small pictures and pages are read from the folders beside it.

    Args:
        rows: the photographs that were explained.
        problems: what went wrong with the others, in words.
    """
    script = embed.own_text("index.js")
    first = rows[0] if rows else None
    return (
        embed.environment()
        .get_template("index.html.j2")
        .render(
            policy=embed.content_policy(script, images="'self' file:"),
            style=embed.own_text("base.css") + embed.own_text("index.css"),
            script=script,
            version=version("halfsight"),
            count=len(rows),
            first=first,
            problems=[one_line(str(problem)) for problem in problems],
            data=data(rows),
            digits=digits(first.highest - first.lowest) if first else 3,
            number=number,
        )
    )


def data(rows: Sequence[Row]) -> dict[str, Any]:
    """What the page's script sorts and shows, a list a column."""
    span = rows[0].highest - rows[0].lowest if rows else 1.0
    return {
        "names": names([row.path for row in rows]),
        "links": [link(row.folder) for row in rows],
        "scores": [row.score for row in rows],
        "important": finite([row.score_important_masked - row.score for row in rows]),
        "trivial": finite([row.score_trivial_masked - row.score for row in rows]),
        "digits": digits(span),
        "scale": {"min": rows[0].lowest, "max": rows[0].highest} if rows else None,
    }


def names(paths: Sequence[str]) -> list[str]:
    """Paths below the folder that all have in common if there is one, made printable."""
    folders = [PurePath(path).parent for path in paths]
    if not folders or not _comparable(folders):
        return [one_line(path) for path in paths]
    common = os.path.commonpath(folders)
    return [one_line(str(PurePath(path).relative_to(common))) for path in paths]


def link(folder: str) -> str:
    """Relative address of a folder; whatever its name holds, it stays a path."""
    return "./" + quote(os.fsencode(folder))


def _comparable(folders: Sequence[PurePath]) -> bool:
    """Whether a common folder is defined: all absolute on one drive, or all relative."""
    return len({(folder.drive, folder.is_absolute()) for folder in folders}) == 1
