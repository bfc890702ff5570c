"""``halfsight models | datasets | measures``: what there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from halfsight.cli import console

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""

    @app.command(epilog="Example: halfsight models --json")
    def models(as_json: AsJson = False) -> None:
        """List models: status, licence, size, where the weights come from, how well they do."""
        from halfsight.models import listing

        cards = listing.cards()
        if as_json:
            typer.echo(json.dumps(cards, indent=2))
            return
        table = Table("model", "weights", "parameters", "PLCC measured", "licence", box=None)
        for card in cards:
            figures = ", ".join(
                f"{figure['dataset']} {figure['split']} {figure['plcc']:.3f}"
                for figure in card["figures"]
            )
            size = f"{card['parameters'] / 1e6:.1f} M" if card["parameters"] else ""
            table.add_row(card["model"], card["status"], size, figures, card["licence"])
        console.out.print(table)

    sub = typer.Typer(help="List data sets, or check one on disk.", invoke_without_command=True)
    app.add_typer(sub, name="datasets")

    @sub.callback(epilog="Example: halfsight datasets check clive --root data/clive")
    def datasets(context: typer.Context, as_json: AsJson = False) -> None:
        if context.invoked_subcommand is not None:
            return
        from halfsight.datasets import check

        cards = check.cards()
        if as_json:
            typer.echo(json.dumps(cards, indent=2))
            return
        for card in cards:
            console.out.print(card["name"], style="bold", markup=False)
            for key in ("title", "images", "licence", "source", "layout", "paper", "error"):
                if card.get(key):
                    console.out.print(f"  {key}: {card[key]}", markup=False)

    @sub.command("check", epilog="Example: halfsight datasets check clive --root data/clive")
    def check_command(
        name: Annotated[str, typer.Argument(help="Name of the data set.")],
        root: Annotated[Path, typer.Option(help="Its folder.")],
        labels: Annotated[
            Path | None, typer.Option(help="Label file, if kept apart from the images.")
        ] = None,
        decode: Annotated[
            bool, typer.Option("--decode/--no-decode", help="Decode every image.")
        ] = True,
        as_json: AsJson = False,
    ) -> None:
        """Verify files, counts, labels, twins and leaks between splits of a data set on disk."""
        from halfsight.datasets import DatasetError
        from halfsight.datasets.check import check

        options: dict[str, Any] = {} if labels is None else {"labels": labels}
        try:
            with console.progress(f"checking {name}", None) as bar:
                report = check(
                    name,
                    root,
                    decode=decode,
                    progress=lambda done, total: bar.update(
                        bar.task_ids[0], completed=done, total=total
                    ),
                    **options,
                )
        except DatasetError as error:
            console.usage(str(error))
        if as_json:
            typer.echo(json.dumps(report.to_dict(), indent=2))
        else:
            for line in report.lines():
                console.out.print(line, markup=False)
        if not report.ok:
            raise typer.Exit(1)

    @app.command(epilog="Example: halfsight measures --json")
    def measures(as_json: AsJson = False) -> None:
        """List the semantic measures: saliency, spatial frequency, objectness, averaged."""
        from halfsight.measures import registry

        cards = registry.cards()
        if as_json:
            typer.echo(json.dumps(cards, indent=2))
            return
        for card in cards:
            console.out.print(card["name"], style="bold", markup=False)
            for key, value in card.items():
                if key != "name" and value:
                    console.out.print(f"  {key}: {value}", markup=False)
