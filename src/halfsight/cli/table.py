"""``halfsight table build``: all coalitions of a whole data set."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from halfsight.cli import console


class Engine(StrEnum):
    """Where the work runs."""

    local = "local"
    ray = "ray"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    sub = typer.Typer(help="Tables of all coalitions for a data set.", no_args_is_help=True)
    app.add_typer(sub, name="table")

    @sub.command(epilog="Example: halfsight table build clive --root data/clive -o clive.table")
    def build(
        dataset: Annotated[
            str, typer.Argument(help='Data set, or "folder" for any folder of photographs.')
        ],
        root: Annotated[Path, typer.Option(help="Its folder.")],
        output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the table.")],
        split: Annotated[str | None, typer.Option(help="Split; all images by default.")] = None,
        model: console.Model = "triq",
        grid: Annotated[str, typer.Option(help="Regions as ROWSxCOLUMNS.")] = "3x4",
        keep_grid: Annotated[
            bool, typer.Option("--keep-grid", help="Do not turn the grid on portrait photographs.")
        ] = False,
        masking: Annotated[
            str,
            typer.Option(
                help="How regions are hidden: attention (models with tokens), zero, mean, blur or "
                "zero-normalised. All masks are evaluated: without tokens that is a pass of the "
                "network each."
            ),
        ] = "auto",
        engine: Annotated[Engine, typer.Option(help="Where the work runs.")] = Engine.local,
        workers: Annotated[
            int | None,
            typer.Option(help="Photographs at once; the number of cores by default.", min=1),
        ] = None,
        limit: Annotated[int | None, typer.Option(help="Only the first images.", min=1)] = None,
        shard: Annotated[
            int, typer.Option(help="Photographs in a file: what a killed worker loses.", min=1)
        ] = 32,
        resume: Annotated[
            bool, typer.Option("--resume", help="Go on with an earlier run.")
        ] = False,
        overwrite: Annotated[
            bool, typer.Option("--overwrite", help="Drop an earlier table.")
        ] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON.")] = False,
    ) -> None:
        """Score every coalition of every photograph; resumable after a kill."""
        from halfsight import datasets, table
        from halfsight.engines import local
        from halfsight.engines.plan import plan as lay_out
        from halfsight.engines.units import Job
        from halfsight.grid import GridError
        from halfsight.masking.base import MaskingError
        from halfsight.outputs import OutputError

        scorer = console.load_model(model, offline=True)
        job = Job(model, grid, not keep_grid, masking)
        try:
            found = datasets.load(dataset, root, split=split)
            items = [(sample.id, str(sample.path)) for sample in found][:limit]
            plan = lay_out(
                output,
                items,
                job.provenance(scorer),
                job.regions,
                resume=resume,
                overwrite=overwrite,
                shard=shard,
            )
            with console.progress("building", len(items)) as bar:

                def advance(done: int, total: int) -> None:
                    bar.update(bar.task_ids[0], completed=done, total=total)

                if engine is Engine.ray:
                    from halfsight.engines import ray as cluster

                    cluster.run(plan, job, workers=workers, progress=advance)
                else:
                    local.run(plan, job, scorer, workers=workers, progress=advance)
            made = table.CoalitionTable.load(output)
        except ModuleNotFoundError as error:
            console.usage(f"this engine needs {error.name}; run: pip install 'halfsight[ray]'")
        except (
            datasets.DatasetError,
            GridError,
            MaskingError,
            OutputError,
            table.TableError,
        ) as error:
            console.usage(str(error))
        if as_json:
            typer.echo(
                json.dumps(
                    {
                        "table": str(output),
                        "photographs": len(made),
                        "coalitions": int(made.scores.shape[1]),
                        "criteria": list(made.criteria),
                        "failures": [list(failure) for failure in made.failures],
                        "provenance": dict(made.provenance),
                    }
                )
            )
        else:
            typer.echo(f"{output}: {len(made)} photographs, {made.scores.shape[1]} scores each")
        console.failed([error for _, error in made.failures], len(items))
