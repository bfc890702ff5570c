"""The report of an experiment, as one self-contained page and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from halfsight.experiments import figures
from halfsight.experiments.outcome import Cell, Measured, Outcome, Table, shown
from halfsight.report import embed

SCRIPT = ""
"""The page has no script, and its policy allows none."""


@dataclass(frozen=True)
class About:
    """What made a report: command, date, versions of packages."""

    command: str
    date: str
    versions: Mapping[str, str]

    @property
    def made_with(self) -> str:
        """The versions in a line."""
        return ", ".join(f"{name} {version}" for name, version in self.versions.items())


def html(outcome: Outcome, about: About, drawn: Mapping[str, str]) -> str:
    """The page as HTML text.

    Args:
        outcome: the result.
        about: what made it.
        drawn: SVG text of its figures by name.
    """
    pictures = {
        picture.name: Markup(figures.inline(drawn[picture.name], picture.name, picture.caption))
        for picture in outcome.pictures
    }
    return (
        embed.environment()
        .get_template("experiment.html.j2")
        .render(
            policy=embed.content_policy(SCRIPT, images="data:"),
            style=embed.own_text("base.css") + embed.own_text("experiment.css"),
            outcome=outcome,
            about=about,
            pictures=pictures,
            cell=cell,
        )
    )


def cell(value: Cell, digits: int) -> Markup:
    """A cell's content: a number, its interval smaller beside it."""
    if not isinstance(value, Measured):
        return Markup("{}").format(shown(value, digits))
    number, _, interval = shown(value, digits).partition(" ")
    if not interval:
        return Markup("{}").format(number)
    return Markup("{} <small>{}</small>").format(number, interval)


def markdown(outcome: Outcome, about: About) -> str:
    """The report as Markdown, its figures beside it in ``figures/``."""
    lines = [f"# {outcome.title}", "", outcome.headline, ""]
    lines += [f"- {name}: {value}" for name, value in outcome.facts]
    for section in outcome.sections:
        lines += ["", f"## {section.title}"]
        if section.text:
            lines += ["", section.text]
        for table in section.tables:
            lines += ["", f"**{table.title}**", "", *_table(table)]
            if table.note:
                lines += ["", table.note]
        for picture in section.pictures:
            lines += ["", f"![{picture.caption}](figures/{picture.name}.png)"]
    if outcome.caveats:
        lines += ["", "## What this does not tell you", ""]
        lines += [f"- {caveat}" for caveat in outcome.caveats]
    if outcome.failures:
        lines += ["", "## Photographs left out", ""]
        lines += [f"- {failure}" for failure in outcome.failures]
    lines += ["", f"Made on {about.date} by", "", f"    {about.command}", ""]
    lines += [f"with {about.made_with}.", ""]
    return "\n".join(lines)


def _table(table: Table) -> list[str]:
    head = "| " + " | ".join(column.title for column in table.columns) + " |"
    rule = "|" + "|".join([" --- "] + [" ---: "] * (len(table.columns) - 1)) + "|"
    body = []
    for row in table.rows:
        cells = [
            re.sub(r"\|", r"\\|", shown(value, column.digits))
            for value, column in zip(row.cells, table.columns, strict=True)
        ]
        if row.kind == "paper":
            cells = [f"*{value}*" for value in cells]
        body.append("| " + " | ".join(cells) + " |")
    return [head, rule, *body]
