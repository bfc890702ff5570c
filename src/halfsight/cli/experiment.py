"""``halfsight experiment``: a data set in, a report out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halfsight.cli import console
from halfsight.cli.budget import register_experiment
from halfsight.experiments.request import Request

if TYPE_CHECKING:
    from halfsight.experiments.outcome import Outcome
    from halfsight.experiments.store import Progress
    from halfsight.experiments.study import Study
    from halfsight.scorer import Scorer

Name = Annotated[str, typer.Argument(metavar="DATASET", help="Name of the data set.")]
Root = Annotated[Path, typer.Option(help="Its folder.")]
Output = Annotated[
    Path, typer.Option("--output", "-o", help="Folder of the results, the table and the cache.")
]
Split = Annotated[str | None, typer.Option(help="Split; all images by default.")]
TableFolder = Annotated[
    Path | None,
    typer.Option("--table", help="A table that is there; built below the output by default."),
]
Cache = Annotated[
    Path | None,
    typer.Option(help="Folder of intermediate results, to share; below the output by default."),
]
Limit = Annotated[int | None, typer.Option(help="Only the first images.", min=5)]
Twins = Annotated[
    str | None,
    typer.Option("--without-twins-of", help="Leave out images that look like one of this split."),
]
Labels = Annotated[
    str | None, typer.Option(help="Label file or variant, as the data set's labels option.")
]
CriterionName = Annotated[
    str | None,
    typer.Option(
        "--criterion",
        "-c",
        help="What halves the images: dist_plcc, abs_delta, shapley, "
        "token_corr. The model's default by default.",
    ),
]
Seed = Annotated[int, typer.Option(help="Of random halves, resamples and samples of masks.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace earlier results; what is cached is kept.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]


class How(StrEnum):
    """How a map becomes one value a region."""

    mean = "mean"
    max = "max"
    top10 = "top10"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    sub = typer.Typer(
        help="The paper's experiments on your copy of a data set.", no_args_is_help=True
    )
    app.add_typer(sub, name="experiment")
    register_experiment(sub)

    @sub.command(
        epilog="Example: halfsight experiment importance clive --root data/clive --split val "
        "-o importance"
    )
    def importance(
        dataset: Name,
        root: Root,
        output: Output,
        split: Split = None,
        model: console.Model = "triq",
        table: TableFolder = None,
        cache: Cache = None,
        limit: Limit = None,
        twins: Twins = None,
        labels: Labels = None,
        criterion: CriterionName = None,
        seed: Seed = 0,
        overwrite: Overwrite = False,
        as_json: AsJson = False,
    ) -> None:
        """Which half decides: mask the important or the trivial half, with controls."""
        request = Request.of("importance", locals())

        def work(study: Study, progress: Progress) -> Outcome:
            from halfsight.experiments import importance as experiment

            return experiment.run(study)

        _run(request, {}, work, needs_model=table is None)

    @sub.command(
        epilog="Example: halfsight experiment half clive --root data/clive --split val "
        "--models triq,aihiqnet -o half"
    )
    def half(
        dataset: Name,
        root: Root,
        output: Output,
        models: Annotated[
            str | None,
            typer.Option(help="Models that score, comma-separated; the regions' by default."),
        ] = None,
        fills: Annotated[
            str, typer.Option(help="Of zero, mean, blur, zero-normalised, comma-separated.")
        ] = "zero,mean,blur",
        own: Annotated[
            int | None,
            typer.Option(
                help="Also each model's own regions, from so many masks in the pixels.", min=44
            ),
        ] = None,
        split: Split = None,
        model: console.Model = "triq",
        table: TableFolder = None,
        cache: Cache = None,
        limit: Limit = None,
        twins: Twins = None,
        labels: Labels = None,
        criterion: CriterionName = None,
        seed: Seed = 0,
        overwrite: Overwrite = False,
        as_json: AsJson = False,
    ) -> None:
        """Experiment I: fill in the pixels of one half and score with every model."""
        request = Request.of("half", locals())
        from halfsight.experiments import half as experiment

        try:
            chosen = experiment.parse_fills(fills)
        except experiment.FillError as error:
            console.usage(str(error))
        scorers = _scorers(models or model)

        def work(study: Study, progress: Progress) -> Outcome:
            return experiment.run(study, scorers, fills=chosen, own_masks=own, progress=progress)

        _run(
            request, {"models": _names(models or model), "fills": fills, "own": own}, work, scorers
        )

    @sub.command(
        epilog="Example: halfsight experiment matching clive --root data/clive --split val "
        "-o matching"
    )
    def matching(
        dataset: Name,
        root: Root,
        output: Output,
        saliency: Annotated[
            str, typer.Option(help="Saliency measure; precomputed reads --maps.")
        ] = "saliency",
        objectness: Annotated[
            str | None,
            typer.Option(
                help="Objectness measure; BING where its files are, else selective-search."
            ),
        ] = None,
        bing: Annotated[Path | None, typer.Option(help="Folder of BING's trained files.")] = None,
        maps: Annotated[Path | None, typer.Option(help="Folder of precomputed maps.")] = None,
        aggregate: Annotated[How, typer.Option(help="Value of a region.")] = How.mean,
        split: Split = None,
        model: console.Model = "triq",
        table: TableFolder = None,
        cache: Cache = None,
        limit: Limit = None,
        twins: Twins = None,
        labels: Labels = None,
        criterion: CriterionName = None,
        seed: Seed = 0,
        overwrite: Overwrite = False,
        as_json: AsJson = False,
    ) -> None:
        """Experiment II: do saliency, frequency and objectness find the important regions."""
        request = Request.of("matching", locals())
        from halfsight.experiments import matching as experiment
        from halfsight.measures import MeasureError

        try:
            measures, which = experiment.open_measures(
                saliency=saliency,
                objectness=objectness,
                bing=None if bing is None else str(bing),
                maps=None if maps is None else str(maps),
            )
        except MeasureError as error:
            console.usage(str(error))

        def work(study: Study, progress: Progress) -> Outcome:
            return experiment.run(
                study, measures, objectness=which, how=aggregate.value, progress=progress
            )

        extra = {
            "saliency": saliency,
            "objectness": measures["objectness"].name,
            "aggregate": aggregate.value,
        }
        _run(request, extra, work)

    @sub.command(
        epilog="Example: halfsight experiment agreement clive --root data/clive --split val "
        "--models triq,aihiqnet -o agreement"
    )
    def agreement(
        dataset: Name,
        root: Root,
        output: Output,
        models: Annotated[
            str | None,
            typer.Option(help="Models whose own importance is compared too, comma-separated."),
        ] = None,
        masks: Annotated[
            int, typer.Option(help="Masks in the pixels they score of each image.", min=44)
        ] = 64,
        own_limit: Annotated[
            int | None, typer.Option(help="Images they are compared on; all by default.", min=5)
        ] = None,
        attribution_limit: Annotated[
            int,
            typer.Option(help="Images LIME, Grad-CAM and rollout are run on; 0 for none.", min=0),
        ] = 30,
        split: Split = None,
        model: console.Model = "triq",
        table: TableFolder = None,
        cache: Cache = None,
        limit: Limit = None,
        twins: Twins = None,
        labels: Labels = None,
        criterion: CriterionName = None,
        seed: Seed = 0,
        overwrite: Overwrite = False,
        as_json: AsJson = False,
    ) -> None:
        """How much of an image is enough, and who agrees on which regions matter."""
        request = Request.of("agreement", locals())
        scorers = _scorers(models) if models else []

        def work(study: Study, progress: Progress) -> Outcome:
            from halfsight.experiments import agreement as experiment

            return experiment.run(
                study,
                scorers,
                masks=masks,
                own_limit=own_limit,
                attribution_limit=attribution_limit,
                progress=progress,
            )

        extra: dict[str, Any] = {"models": _names(models) if models else None}
        if models:
            extra |= {"masks": masks, "own-limit": own_limit}
        _run(request, {**extra, "attribution-limit": attribution_limit}, work, scorers)

    @sub.command(epilog="Example: halfsight experiment saliency --root data/osie -o saliency")
    def saliency(
        root: Annotated[Path, typer.Option(help="Folder of OSIE.")],
        output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the results.")],
        limit: Annotated[int | None, typer.Option(help="Only the first images.", min=2)] = None,
        overwrite: Overwrite = False,
        as_json: AsJson = False,
    ) -> None:
        """Saliency measures against where people looked."""
        from halfsight.datasets import DatasetError
        from halfsight.experiments import saliency as experiment
        from halfsight.experiments.writing import Place
        from halfsight.measures import MeasureError
        from halfsight.outputs import OutputError

        options = "" if limit is None else f" --limit {limit}"
        command = f"halfsight experiment saliency --root DIR{options} -o DIR"
        run = {"experiment": "saliency", "dataset": "osie", "limit": limit}
        try:
            place = Place.claim(output, run, command=command, overwrite=overwrite)
            with _bars() as progress:
                outcome = experiment.run(root, limit=limit, progress=progress)
            place.finish(outcome)
        except (DatasetError, MeasureError, OutputError) as error:
            console.usage(str(error))
        _tell(outcome, output, as_json)


def _run(
    request: Request,
    extra: Mapping[str, Any],
    work: Callable[[Study, Progress], Outcome],
    scorers: Sequence[Scorer] = (),
    *,
    needs_model: bool = True,
) -> None:
    """Run an experiment, print what came out, list what failed."""
    from halfsight.experiments import running

    scorer = None
    if needs_model:
        same = [one for one in scorers if one.name == request.model]
        scorer = same[0] if same else console.load_model(request.model, offline=True)
    try:
        with _bars() as progress:
            outcome, total = running.run(request, extra, work, scorer, scorers, progress=progress)
    except running.ERRORS as error:
        console.usage(str(error))
    _tell(outcome, request.output, request.as_json)
    console.failed(outcome.failures, total)


def _tell(outcome: Outcome, output: Path, as_json: bool) -> None:
    """Print what came out, or the summary as JSON."""
    if as_json:
        found = {"experiment": outcome.experiment, **outcome.summary, "output": str(output)}
        typer.echo(json.dumps(found))
    else:
        typer.echo(outcome.headline)
        typer.echo(str(output / "index.html"))


@contextmanager
def _bars() -> Iterator[Progress]:
    """A progress bar a stage, on standard error."""
    with console.progress("starting", None) as bar:
        task = bar.task_ids[0]

        def tell(stage: str, done: int, total: int) -> None:
            bar.update(task, description=stage, completed=done, total=total)

        yield tell


def _scorers(models: str) -> list[Scorer]:
    """The models of a comma-separated list, each once."""
    names = list(dict.fromkeys(part.strip() for part in models.split(",") if part.strip()))
    if not names:
        console.usage(f"got models {models!r}, expected names such as triq,aihiqnet")
    return [console.load_model(name, offline=True) for name in names]


def _names(models: str) -> str:
    """The list without this machine's folders."""
    return ",".join(Path(part.strip()).name for part in models.split(",") if part.strip())
