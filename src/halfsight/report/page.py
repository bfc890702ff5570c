"""The interactive page of one photograph: everything in one file, and no network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from halfsight import coalitions
from halfsight.formats import one_line
from halfsight.importance import MEANING, Criterion
from halfsight.report import embed
from halfsight.report.figure import shown
from halfsight.report.overlays import Overlay, chance, overlays
from halfsight.report.words import TITLES as TITLES
from halfsight.report.words import digits as digits
from halfsight.report.words import number as number

if TYPE_CHECKING:
    from halfsight.explanation import Explanation

IN_SCORE_UNITS = ("abs_delta", "shapley")
LEVEL_NAMES = ("bad", "poor", "fair", "good", "excellent")
"""The five-level scale of ITU-R BT.500, lowest first."""


def render(explanation: Explanation) -> str:
    """The page as HTML text.

    The file's name is shown, never its folder. The photograph is made anew from its pixels, so
    that no metadata of the file travel with the page.
    """
    script = embed.own_text("explanation.js")
    pixels = shown(np.asarray(explanation.photograph.pixels))
    maps = overlays(explanation)
    return (
        embed.environment()
        .get_template("explanation.html.j2")
        .render(
            name=name(explanation.path),
            policy=embed.content_policy(script, images="data:"),
            style=embed.own_text("base.css") + embed.own_text("explanation.css"),
            script=script,
            version=version("halfsight"),
            picture=embed.data_uri(embed.jpeg(pixels), "image/jpeg"),
            maps=maps,
            chance=chance(explanation),
            data=data(explanation, maps),
            e=explanation,
            digits=digits(explanation.scale.max - explanation.scale.min),
            labels=labels(*explanation.grid.shape),
            places=places(explanation),
            halves=halves(explanation),
            levels=levels(explanation),
            criteria=criteria(explanation),
            titles=TITLES,
            best="highest" if explanation.scale.higher_is_better else "lowest",
            worst="lowest" if explanation.scale.higher_is_better else "highest",
            number=number,
        )
    )


def name(path: str | None) -> str:
    """What the page calls the photograph: the file's name, made printable."""
    return one_line(PurePath(path).name) if path else "photograph"


def labels(rows: int, cols: int) -> list[str]:
    """Names of the regions: a letter for the row, a number for the column."""
    return [f"{chr(ord('A') + row)}{col + 1}" for row in range(rows) for col in range(cols)]


def places(explanation: Explanation) -> list[str]:
    """Where each region lies on the photograph, as CSS in per cent of its sides."""
    height, width = explanation.photograph.height, explanation.photograph.width
    return [
        f"left:{100 * left / width:.4f}%;top:{100 * top / height:.4f}%;"
        f"width:{100 * (right - left) / width:.4f}%;height:{100 * (bottom - top) / height:.4f}%"
        for top, left, bottom, right in explanation.boxes()
    ]


def criteria(explanation: Explanation) -> dict[Criterion, list[float]]:
    """Importance by every criterion there is, the explanation's own first."""
    every = {explanation.criterion: explanation.importance, **explanation.importances}
    return {criterion: [float(v) for v in values] for criterion, values in every.items()}


def halves(explanation: Explanation) -> dict[str, float]:
    """Scores with one half masked, the mean of all masks of as many regions as a control."""
    sizes = coalitions.sizes(len(explanation.grid))
    as_many = explanation.table[sizes == len(explanation.important)].astype(np.float64)
    as_many = as_many[np.isfinite(as_many)]  # sampled tables have gaps
    if not as_many.size:
        as_many = np.array([np.nan])
    return {
        "important": explanation.score_important_masked,
        "trivial": explanation.score_trivial_masked,
        "random": float(as_many.mean()),
        "lowest": float(as_many.min()),
        "highest": float(as_many.max()),
        "count": int(np.isfinite(as_many).sum()),
        "everything": float(explanation.table[-1]),
    }


def levels(explanation: Explanation) -> list[tuple[str, float]]:
    """Name and probability of each quality level, lowest first; empty for scalar heads."""
    shares = explanation.distribution or ()
    named = len(shares) == len(LEVEL_NAMES) and explanation.scale.higher_is_better
    return [
        (f"{level} {LEVEL_NAMES[level - 1]}" if named else f"{level}", share)
        for level, share in enumerate(shares, 1)
    ]


def data(explanation: Explanation, maps: Sequence[Overlay] = ()) -> dict[str, Any]:
    """What the page's script computes with."""
    scale = explanation.scale
    pairs = coalitions.interactions(explanation.table)
    return {
        "table": embed.float32_text(explanation.table),
        "grid": list(explanation.grid.shape),
        "labels": labels(*explanation.grid.shape),
        "scale": {"min": scale.min, "max": scale.max},
        "digits": digits(scale.max - scale.min),
        "higher": explanation.scale.higher_is_better,
        "half": len(explanation.important),
        "criterion": explanation.criterion,
        "important": list(explanation.important),
        "estimated": explanation.estimated,
        "maps": [
            {
                "title": one.title,
                "meaning": one.meaning,
                "low": one.low,
                "high": one.high,
                "colours": one.colours,
                "values": finite(one.values),
                "highest": list(one.highest),
            }
            for one in maps
        ],
        "criteria": {
            criterion: {
                "values": finite(values),
                "errors": errors(explanation, criterion),
                "meaning": MEANING[criterion].replace(" - ", " \N{MINUS SIGN} "),
                "signed": criterion == "shapley",
                "unit": "MOS" if criterion in IN_SCORE_UNITS else "",
            }
            for criterion, values in criteria(explanation).items()
        },
        "interactions": pairs.tolist() if np.isfinite(pairs).all() else None,
        "colours": {
            "signed": embed.stops(embed.SIGNED_MAP),
            "heat": embed.stops(embed.SIGNED_MAP, trim=0.1),
            "unsigned": embed.stops(embed.UNSIGNED_MAP),
        },
    }


def errors(explanation: Explanation, criterion: Criterion) -> list[float | None] | None:
    """Standard errors of a criterion's values; None where they are exact or not known."""
    found = explanation.standard_errors
    if found is None or criterion != explanation.criterion:
        return None
    return finite([float(error) for error in found])


def finite(values: Sequence[float]) -> list[float | None]:
    """Values for JSON, which has no nan."""
    return [value if math.isfinite(value) else None for value in values]
