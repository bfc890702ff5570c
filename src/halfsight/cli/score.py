"""``halfsight score``: photographs in, a table out."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halfsight.cli import console

if TYPE_CHECKING:
    from halfsight.scorer import Prediction, Scorer

COLUMNS = ("path", "score", "min", "max", "higher_is_better", "model", "width", "height", "notes")


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(
        epilog="Example: halfsight score photos/ --csv scores.csv",
    )
    def score(
        paths: Annotated[
            list[str],
            typer.Argument(
                metavar="PATH...", help='Files, folders, patterns, or "-" for a list on stdin.'
            ),
        ],
        model: console.Model = "triq",
        csv_file: Annotated[
            Path | None, typer.Option("--csv", help="Write a CSV table to this file.")
        ] = None,
        as_json: Annotated[
            bool, typer.Option("--json", help="Print one JSON object a photograph.")
        ] = False,
        budget: Annotated[
            str | None,
            typer.Option(
                help="Read a part of each photograph: a share such as 0.5, a number of its 12 "
                "regions, or auto."
            ),
        ] = None,
        tolerance: Annotated[
            float | None,
            typer.Option(help="With --budget auto: error against the full score, in its units."),
        ] = None,
        offline: console.Online = True,
    ) -> None:
        """Score photographs: one row a photograph, with the scale of the score."""
        if csv_file is not None and as_json:
            console.usage("got --csv and --json, expected one of them")
        if tolerance is not None and budget is None:
            console.usage("got --tolerance without --budget, expected --budget auto with it")
        from halfsight import images
        from halfsight.engines.local import in_order
        from halfsight.models.external import ModelError
        from halfsight.outputs import OutputError, write_atomic

        found = images.find(paths, stdin=sys.stdin)
        problems: list[object] = list(found.errors)
        total = len(found.files) + len(problems)
        if budget is None:
            scorer = console.load_model(model, offline=offline)
        else:
            from halfsight.cli.budget import load_scorer

            scorer = load_scorer(model, budget, tolerance, offline=offline)
        rows: list[dict[str, Any]] = []
        widest = max((len(str(path)) for path in found.files), default=0)
        with console.progress("scoring", len(found.files)) as bar:
            for path, future in in_order(scorer.predict, found.files):
                try:
                    row = record(str(path), scorer, future.result())
                except images.ImageError as error:
                    problems.append(error)
                    continue
                except ModelError as error:
                    problems.append(f"{path}: {error}")
                    continue
                finally:
                    bar.advance(bar.task_ids[0])
                if csv_file is not None:
                    rows.append(row)
                    continue
                with console.above(bar):
                    typer.echo(
                        json.dumps(row, ensure_ascii=False) if as_json else line(row, widest)
                    )
        if csv_file is not None:
            try:
                write_atomic(csv_file, table(rows))
            except OutputError as error:
                console.usage(str(error))
        console.failed(problems, total)


def record(path: str, scorer: Scorer, prediction: Prediction) -> dict[str, Any]:
    """The JSON object of one scored photograph."""
    from halfsight.budget.scorer import BudgetPrediction

    height, width = prediction.size
    read: dict[str, Any] = {}
    if isinstance(prediction, BudgetPrediction):
        grid = list(prediction.grid.shape)
        read = {"grid": grid, "regions": list(prediction.regions), "bound": prediction.bound}
    return {
        "path": path,
        "model": scorer.name,
        "score": prediction.score,
        "scale": scorer.scale.model_dump(),
        "distribution": None if prediction.distribution is None else list(prediction.distribution),
        "size": [height, width],
        "notes": list(prediction.notes),
        **read,
    }


def line(row: dict[str, Any], width: int) -> str:
    """One scored photograph for a person; the path fills ``width`` characters."""
    scale = row["scale"]
    better = "higher is better" if scale["higher_is_better"] else "lower is better"
    return (
        f"{row['path']:<{width}}  {row['score']:.3f}  "
        f"({scale['min']:g} to {scale['max']:g}, {better})"
    )


def table(rows: list[dict[str, Any]]) -> str:
    """CSV text of the records, with a header even when there are none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        scale = row["scale"]
        height, width = row["size"]
        writer.writerow(
            (
                row["path"],
                repr(row["score"]),
                scale["min"],
                scale["max"],
                str(scale["higher_is_better"]).lower(),
                row["model"],
                width,
                height,
                "; ".join(row["notes"]),
            )
        )
    return text.getvalue()
