"""Write docs/findings.md from its template and results/: python scripts/findings.py."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import jinja2

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "findings.md"
WIDTH = 116

Measured = dict[str, float]


def short(value: float, digits: int = 3) -> str:
    """0.9834 as .983."""
    return f"{value:.{digits}f}".replace("0.", ".", 1)


def interval(number: Measured) -> str:
    """A value with its interval: .983 [.976, .989]."""
    return f"{short(number['value'])} [{short(number['low'])}, {short(number['high'])}]"


class Folder:
    """The summaries of one data set's experiments."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def summary(self, experiment: str) -> Any:
        """One experiment's numbers."""
        return json.loads((self.place / experiment / "summary.json").read_text(encoding="utf-8"))

    def hidden(self, half: str, key: str = "plcc") -> Measured:
        """With that half hidden from the attention."""
        found: Measured = self.summary("importance")["halves"][half][key]
        return found

    def share(self, region: int) -> float:
        """Share of the photographs in whose important half a region is, in %."""
        shares = self.summary("importance")["positions"]["share dist_plcc"]
        return 100 * float(shares[region])

    def filled(
        self, model: str, half: str, fill: str = "zero", *, experiment: str = "half"
    ) -> Measured:
        """Agreement with the model's own full scores, the pixels of that half filled."""
        (found,) = (
            cell
            for cell in self.summary(experiment)["cells"]
            if (cell["model"], cell["half"], cell["fill"]) == (model, half, fill)
        )
        number: Measured = found["predicted"]
        return number

    def matching(self, measure: str, criterion: str = "dist_plcc") -> Any:
        """One measure's row of the matching experiment."""
        (found,) = (
            row
            for row in self.summary("matching")["matching"]
            if (row["measure"], row["criterion"]) == (measure, criterion)
        )
        return found

    def degree(self, measure: str, at_least: int) -> str:
        """Matching degree in %."""
        return f"{self.matching(measure)['degrees'][at_least - 1]['value']:.1f}"

    def auc(self, measure: str, criterion: str = "dist_plcc") -> Measured:
        """Chance that an important region has the higher value."""
        found: Measured = self.matching(measure, criterion)["auc"]
        return found

    def aucs(self, criterion: str) -> list[float]:
        """Of the three measures and their average."""
        measures = ("saliency", "frequency", "objectness", "averaged")
        return [self.auc(name, criterion)["value"] for name in measures]

    def agree(self, first: str, second: str) -> Any:
        """Overlap and rank correlation of two kinds of importance."""
        (found,) = (
            row
            for row in self.summary("agreement")["agreement"]
            if (row["first"], row["second"]) == (first, second)
        )
        return found

    def overlaps(self) -> list[float]:
        """Of the halves by the criteria that are made of correlations or distances."""
        names = ("dist_plcc", "abs_delta", "token_corr")
        pairs = [(a, b) for at, a in enumerate(names) for b in names[at + 1 :]]
        return [self.agree(f"triq, {a}", f"triq, {b}")["jaccard"]["value"] for a, b in pairs]

    def enough(self, way: str) -> int:
        """Regions that have to be kept for a PLCC of .95."""
        return int(self.summary("agreement")["enough"]["kept"][way])

    def faithful(self, method: str) -> Any:
        """Ranks of an attribution's regions against exact Shapley values."""
        rows = self.summary("agreement")["faithfulness"]
        (found,) = (row for row in rows if row["method"] == method)
        return found


def osie() -> dict[str, Any]:
    """Saliency measures against fixations, by name."""
    text = (ROOT / "results" / "osie-saliency" / "summary.json").read_text(encoding="utf-8")
    return {row["measure"]: row for row in json.loads(text)["rows"]}


def wrapped(text: str) -> str:
    """Paragraphs and list items filled to one width; headings and tables as they are."""
    made = []
    for block in text.split("\n\n"):
        if block.startswith(("#", "|")):
            made.append(block)
            continue
        items = block.split("\n- ") if block.startswith("- ") else [block]
        lines = []
        for at, item in enumerate(items):
            mark = "- " if block.startswith("- ") else ""
            body = " ".join((item if at else item.removeprefix("- ")).split())
            lines.append(
                textwrap.fill(
                    body,
                    WIDTH,
                    initial_indent=mark,
                    subsequent_indent=" " * len(mark),
                    break_long_words=False,
                    break_on_hyphens=False,
                )
            )
        made.append("\n".join(lines))
    return "\n\n".join(made).strip() + "\n"


def page() -> str:
    """The page's text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROOT / "scripts"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
    )
    environment.filters |= {"f": lambda number: short(number["value"]), "i": interval, "s": short}
    return wrapped(
        environment.get_template("findings.md.j2").render(
            c=Folder(ROOT / "results" / "clive-val"),
            b=Folder(ROOT / "results" / "biq2021-test"),
            osie=osie(),
        )
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
