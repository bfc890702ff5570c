"""What the tests of pages need to know of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from halfsight.report.rows import Row


def rows(count: int) -> list[Row]:
    """Made-up photographs of one run; every hundredth has no score with its halves masked."""
    draw = np.random.default_rng(0)
    scores = draw.uniform(1, 5, count).astype(np.float32)
    made = []
    for number, score in enumerate(map(float, scores)):
        gap = number % 100 == 0
        made.append(
            Row(
                path=f"/p/walk/IMG {number}.jpg",
                folder=f"IMG {number}.jpg",
                model="triq",
                score=score,
                lowest=1.0,
                highest=5.0,
                higher_is_better=True,
                score_important_masked=float("nan") if gap else score - 0.5 + number / count,
                score_trivial_masked=float("nan") if gap else score + 0.01,
                criterion="dist_plcc",
                grid=(3, 4),
                importance=(0.1,) * 12,
                important=tuple(range(6)),
                trivial=tuple(range(6, 12)),
                size=(40, 60),
                notes=(),
            )
        )
    return made


def width(page: Any) -> int:
    """What the page needs from side to side; more than the window if it scrolls sideways."""
    return int(page.evaluate("document.documentElement.scrollWidth"))


def brightness(page: Any) -> float:
    """Of the page's ground, 0 to 255."""
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return float(np.mean([int(part) for part in colour[4:-1].split(",")]))


def violations(page: Any) -> list[str]:
    """What axe-core finds to be inaccessible, as it is drawn now."""
    from axe_core_python.sync_playwright import Axe

    found = Axe().run(page)["violations"]
    return [f"{one['id']}: {node['html']}" for one in found for node in one["nodes"]]
