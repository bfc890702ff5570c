"""``halfsight explain``: which half of each photograph decides its score."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from halfsight.cli import console

if TYPE_CHECKING:
    from halfsight.explanation import Explanation


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(
        epilog="Example: halfsight explain photo.jpg -o result/",
    )
    def explain(
        paths: Annotated[
            list[str],
            typer.Argument(
                metavar="PATH...", help='Files, folders, patterns, or "-" for a list on stdin.'
            ),
        ],
        output: Annotated[
            Path | None,
            typer.Option(
                "--output",
                "-o",
                help="Folder for JSON, figure, maps and manifest; one folder a photograph inside "
                "it if there are several.",
            ),
        ] = None,
        model: console.Model = "triq",
        grid: Annotated[str, typer.Option(help="Regions as ROWSxCOLUMNS.")] = "3x4",
        criterion: Annotated[
            str | None,
            typer.Option(help="dist_plcc, abs_delta, shapley or token_corr."),
        ] = None,
        keep_grid: Annotated[
            bool, typer.Option("--keep-grid", help="Do not turn the grid on portrait photographs.")
        ] = False,
        as_json: Annotated[
            bool, typer.Option("--json", help="Print one JSON object a photograph.")
        ] = False,
        overwrite: Annotated[
            bool, typer.Option("--overwrite", help="Replace results that are already there.")
        ] = False,
        resume: Annotated[
            bool,
            typer.Option("--resume", help="Keep finished photographs of an earlier run in -o."),
        ] = False,
        offline: console.Online = True,
    ) -> None:
        """Explain scores: the table of all masks, the important and the trivial half."""
        from halfsight import explanation as library
        from halfsight import images, importance
        from halfsight.grid import GridError, RegionGrid
        from halfsight.outputs import OutputError
        from halfsight.report import gallery

        try:
            regions = RegionGrid.parse(grid)
            chosen = None if criterion is None else importance.check(criterion)
        except (GridError, importance.CriterionError) as error:
            console.usage(str(error))
        scorer = console.load_model(model, offline=offline)
        found = images.find(paths, stdin=sys.stdin)
        problems: list[object] = list(found.errors)
        total = len(found.files) + len(problems)
        options = {"grid": grid, "criterion": criterion, "keep_grid": keep_grid}
        results: gallery.Gallery | None = None
        if output is not None:
            try:
                results = gallery.Gallery.open(
                    output,
                    found.files,
                    scorer,
                    options,
                    single=console.one_file(paths),
                    overwrite=overwrite,
                    resume=resume,
                )
            except OutputError as error:
                console.usage(str(error))
        with console.progress("explaining", len(found.files)) as bar:
            for path in found.files:
                try:
                    if results is not None and results.finished(path):
                        continue
                    result = library.explain(
                        scorer, path, grid=regions, criterion=chosen, turn=not keep_grid
                    )
                    if results is not None:
                        results.add(path, result)
                except (images.ImageError, OutputError) as error:
                    problems.append(error)
                    continue
                except (GridError, importance.CriterionError) as error:
                    problems.append(f"{path}: {error}")
                    continue
                finally:
                    bar.advance(bar.task_ids[0])
                if as_json:
                    typer.echo(json.dumps(result.to_dict(), ensure_ascii=False))
                else:
                    summary(result)
        if results is not None:
            results.close(problems)
        console.failed(problems, total)


def summary(result: Explanation) -> None:
    """Print one explanation for a person: score, grid of importance, what the halves do."""
    scale = result.scale
    better = "higher is better" if scale.higher_is_better else "lower is better"
    console.out.print(result.path or "array", style="bold", markup=False)
    console.out.print(
        f"  score {result.score:.2f} on {scale.min:g} to {scale.max:g} ({better})  "
        f"{_bar(result.score, scale.min, scale.max)}",
        markup=False,
    )
    console.out.print(f"  importance by {result.criterion}, important half in brackets:")
    rows, cols = result.grid.shape
    for row in range(rows):
        cells = []
        for col in range(cols):
            region = row * cols + col
            value = f"{result.importance[region]:.3f}"
            important = region in result.important
            cells.append(f"[{value}]" if important else f" {value} ")
        console.out.print("    " + " ".join(f"{cell:>9}" for cell in cells), markup=False)
    console.out.print(
        f"  important half masked {result.score_important_masked:.2f} "
        f"({result.score_important_masked - result.score:+.2f}), "
        f"trivial half masked {result.score_trivial_masked:.2f} "
        f"({result.score_trivial_masked - result.score:+.2f})"
    )
    for note in result.notes:
        console.out.print(f"  note: {note}", markup=False)


def _bar(value: float, low: float, high: float, *, width: int = 24) -> str:
    filled = round(width * min(1.0, max(0.0, (value - low) / (high - low))))
    return "█" * filled + "░" * (width - filled)
