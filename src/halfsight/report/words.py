"""How pages and figures name criteria and write numbers."""

from __future__ import annotations

import math

from halfsight.importance import Criterion

TITLES: dict[Criterion, str] = {
    "dist_plcc": "change of the level distribution",
    "abs_delta": "change of the score",
    "shapley": "Shapley value",
    "token_corr": "change of the quality token",
}


def digits(span: float) -> int:
    """Decimals that show a ten-thousandth of a scale, or finer by less than ten times."""
    return max(0, 4 - math.ceil(math.log10(span))) if span > 0 else 3


def number(
    value: float, decimals: int, *, signed: bool = False, missing: str = "\N{EN DASH}"
) -> str:
    """A number for reading, with a real minus sign; never "-0.00"; ``missing`` for nan."""
    if not math.isfinite(value):
        return missing
    text = f"{value:{'+' if signed else ''}.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "\N{MINUS SIGN}")
