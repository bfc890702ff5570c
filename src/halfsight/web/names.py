"""Names that clients send: shown to people after cleaning, never used as paths."""

from __future__ import annotations

import re

from halfsight.formats import one_line

LONGEST = 80


def shown(name: str | None) -> str:
    """What to call an upload: the last part of its name, printable and short."""
    last = re.split(r"[/\\]", name or "")[-1]
    printable = one_line(last).strip().strip(".")
    if len(printable) > LONGEST:  # the end tells versions of a photograph apart
        half = LONGEST // 2
        printable = f"{printable[:half]}…{printable[1 - half :]}"
    return printable or "photograph"


def folder(number: int, name: str) -> str:
    """A folder's name that is safe on every disk and in every archive, and unique by number."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")
    return f"{number:02d}-{plain[:40].strip('-') or 'photograph'}"
