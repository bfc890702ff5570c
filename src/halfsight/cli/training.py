"""``halfsight train`` and ``halfsight evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from halfsight.cli import console


def roots_of(values: list[str], names: list[str]) -> dict[str, Path]:
    """``NAME=DIR`` pairs, or one plain folder for a single data set, to folders by name."""
    found: dict[str, Path] = {}
    for value in values:
        name, equals, folder = value.partition("=")
        if equals and name in names:
            found[name] = Path(folder)
        elif len(names) == 1:
            found[names[0]] = Path(value)
        else:
            console.usage(
                f"got --root {value!r} for {', '.join(names)}; expected --root NAME=DIR for each"
            )
    return found


def options_of(values: list[str]) -> dict[str, Any]:
    """``NAME=VALUE`` pairs to options of a data set; values are read as YAML."""
    import yaml

    found: dict[str, Any] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name:
            console.usage(f"got --option {value!r}, expected NAME=VALUE, as labels=mine.csv")
        try:
            found[name] = yaml.safe_load(text)
        except yaml.YAMLError:
            console.usage(f"got --option {value!r}, expected a value such as mine.csv or [0, 100]")
    return found


def _command(model: str, names: list[str], recipe: str, start_from: list[Path]) -> str:
    """The command for the card; folders are the reader's own, so they are left out."""
    roots = " ".join(f"--root {name}=DIR" for name in names)
    earlier = "".join(
        f" --start-from EARLIER{number}/{path.name}" for number, path in enumerate(start_from, 1)
    )
    said = Path(recipe).name
    return f"halfsight train {model} {','.join(names)} {roots} --recipe {said}{earlier} -o RUN"


def register(app: typer.Typer) -> None:
    """Add the commands."""

    @app.command(
        epilog="Example: halfsight train triq clive,biq2021 --root clive=data/clive "
        "--root biq2021=data/biq2021 -o runs/triq --recipe triq-lite0",
    )
    def train(
        model: Annotated[str, typer.Argument(help="Model name.")],
        dataset: Annotated[str, typer.Argument(help="Data set, or several joined by commas.")],
        root: Annotated[list[str], typer.Option(help="Folder, or NAME=DIR for each data set.")],
        output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.")],
        recipe: Annotated[
            str | None,
            typer.Option(help="Name of a shipped recipe, or a YAML file; small by default."),
        ] = None,
        start_from: Annotated[
            list[Path] | None,
            typer.Option(
                help="Weight file of an earlier run to go on from, as second stages do; repeat for "
                "the mean of several."
            ),
        ] = None,
        cache: Annotated[
            Path | None, typer.Option(help="Folder for cached features; shared between runs.")
        ] = None,
        offline: console.Online = True,
        as_json: Annotated[bool, typer.Option("--json", help="Print the card.")] = False,
    ) -> None:
        """Train a model; a run that was stopped goes on where it was."""
        from halfsight.datasets import DatasetError
        from halfsight.models import registry
        from halfsight.models.backbone import WeightsError
        from halfsight.models.registry import UnknownModelError
        from halfsight.training import recipe as recipes

        names = dataset.split(",")
        roots = roots_of(root, names)
        try:
            registry.entry(model)
            name = recipe or recipes.default(model)
            chosen = recipes.read(name)
            if chosen.model != model:
                console.usage(f"got a recipe for {chosen.model}, expected one for {model}")
            if {source.name for source in chosen.sources} != set(names):
                chosen = recipes.with_sources(chosen, names)
            if start_from:
                chosen = chosen.model_copy(
                    update={"start_from": tuple(str(path) for path in start_from)}
                )
            from halfsight.training import run

            with console.progress("caching features", None) as bar:
                card = run.train(
                    chosen,
                    roots,
                    out=output,
                    cache=cache,
                    offline=offline,
                    command=_command(model, names, name, start_from or []),
                    on_cache=lambda done, total: bar.update(
                        bar.task_ids[0], completed=done, total=total
                    ),
                    quiet=not console.err.is_terminal,
                )
        except ModuleNotFoundError as error:
            console.usage(f"training needs {error.name}; run: pip install 'halfsight[train]'")
        except (recipes.RecipeError, DatasetError, WeightsError, UnknownModelError) as error:
            console.usage(str(error))
        if as_json:
            typer.echo(card.model_dump_json(indent=2))
        else:
            typer.echo(str(output / f"{model}.safetensors"))

    @app.command(
        epilog="Example: halfsight evaluate triq clive --root data/clive --split val",
    )
    def evaluate(
        model: Annotated[str, typer.Argument(help="Model name or .safetensors file.")],
        dataset: Annotated[str, typer.Argument(help="Data set.")],
        root: Annotated[Path, typer.Option(help="Its folder.")],
        split: Annotated[str | None, typer.Option(help="Split to score; all by default.")] = None,
        without_twins_of: Annotated[
            str | None,
            typer.Option(help="Drop images that look like one of this split, as train."),
        ] = None,
        resamples: Annotated[int, typer.Option(help="Bootstrap resamples.")] = 2000,
        seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
        scores: Annotated[
            Path | None, typer.Option(help="Also write the scores to this CSV file.")
        ] = None,
        limit: Annotated[
            int | None, typer.Option(help="Score only so many images, drawn at random.", min=3)
        ] = None,
        cache: Annotated[
            Path | None, typer.Option(help="Folder that keeps what twins are found by.")
        ] = None,
        option: Annotated[
            list[str] | None,
            typer.Option(help="Option of the data set, as labels=mine.csv or scale=[0,100]."),
        ] = None,
        record: Annotated[
            bool, typer.Option("--record", help="Write the figures into the weight file's card.")
        ] = False,
        offline: console.Online = True,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    ) -> None:
        """Agreement of a model's scores with MOS: PLCC, SROCC, KROCC, RMSE with intervals."""
        from halfsight import evaluation
        from halfsight.datasets import DatasetError
        from halfsight.images import ImageError
        from halfsight.outputs import OutputError, write_atomic
        from halfsight.weights import store

        if record and not model.endswith(".safetensors"):
            console.usage(f"got --record with model {model!r}, expected a .safetensors file")
        scorer = console.load_model(model, offline=offline)
        try:
            with console.progress(f"scoring {dataset}", None) as bar:
                report = evaluation.evaluate(
                    scorer,
                    dataset,
                    root,
                    split=split,
                    without_twins_of=without_twins_of,
                    limit=limit,
                    resamples=resamples,
                    seed=seed,
                    hashes=None if cache is None else cache / f"{dataset}-hashes.parquet",
                    **options_of(option or []),
                    progress=lambda done, total: bar.update(
                        bar.task_ids[0], completed=done, total=total
                    ),
                )
            if scores is not None:
                write_atomic(scores, report.scores_csv())
            if record:
                store.record(Path(model), report.figure(note="; ".join(report.notes)))
        except (DatasetError, OutputError, ImageError) as error:
            console.usage(str(error))
        if as_json:
            typer.echo(json.dumps(report.to_dict(), indent=2))
        else:
            for part, figures in report.parts.items():
                low, high = figures.intervals["plcc"]
                console.out.print(
                    f"{part}: n {figures.n}  PLCC {figures.plcc:.3f} [{low:.3f}, {high:.3f}]  "
                    f"SROCC {figures.srocc:.3f}  KROCC {figures.krocc:.3f}  "
                    f"RMSE {figures.rmse:.3f}  after the logistic fit: "
                    f"PLCC {figures.plcc_fit:.3f}  RMSE {figures.rmse_fit:.3f}",
                    markup=False,
                )
            for note in report.notes:
                console.out.print(note, markup=False)
        console.failed(report.failures, report.total)
