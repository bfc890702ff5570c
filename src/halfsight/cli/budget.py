"""``halfsight budget``, and its part in ``experiment`` and ``bench``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from halfsight.cli import console

if TYPE_CHECKING:
    from halfsight.budget.files import BudgetHead
    from halfsight.experiments.budget_scores import Plan
    from halfsight.scorer import Scorer

SizeText = Annotated[
    str,
    typer.Option(
        "--size",
        help="WIDTHxHEIGHT that the middle of every photograph is brought to, or native.",
    ),
]
Split = Annotated[str | None, typer.Option(help="Split; all images by default.")]
Limit = Annotated[int | None, typer.Option(help="Only the first images.", min=5)]
Twins = Annotated[
    str | None,
    typer.Option("--without-twins-of", help="Leave out images that look like one of this split."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Root = Annotated[Path, typer.Option(help="Folder of the data set.")]


def register(app: typer.Typer) -> None:
    """Add ``halfsight budget``."""
    sub = typer.Typer(help="Scores from a part of each photograph.", no_args_is_help=True)
    app.add_typer(sub, name="budget")
    sub.callback()(lambda: None)  # keeps "train" a word of its own while it is the only one

    @sub.command(
        epilog="Example: halfsight budget train clive,biq2021 --root clive=data/clive "
        "--root biq2021=data/biq2021 --split train --enlarged 300",
    )
    def train(
        dataset: Annotated[str, typer.Argument(help="Data set, or several joined by commas.")],
        root: Annotated[list[str], typer.Option(help="Folder, or NAME=DIR for each data set.")],
        model: console.Model = "triq",
        output: Annotated[
            Path | None,
            typer.Option(
                "--output", "-o", help="File to write; NAME-budget.safetensors beside the model."
            ),
        ] = None,
        cache: Annotated[
            Path, typer.Option(help="Folder for features, about 4 MB a photograph.")
        ] = Path("budget-cache"),
        split: Annotated[str, typer.Option(help="Split to train on.")] = "train",
        limit: Annotated[
            int | None, typer.Option(help="As many photographs of each data set.", min=10)
        ] = None,
        enlarged: Annotated[
            int, typer.Option(help="As many of each are also seen at --size.", min=0)
        ] = 300,
        size: SizeText = "1024x768",
        epochs: Annotated[int, typer.Option(help="Epochs of the head.", min=1)] = 12,
        selector_epochs: Annotated[
            int, typer.Option(help="Epochs of the network that ranks regions.", min=1)
        ] = 30,
        rival: Annotated[
            bool,
            typer.Option(
                "--rival/--no-rival", help="Also train a head on photographs at half the pixels."
            ),
        ] = True,
        seed: Annotated[int, typer.Option(help="Of everything random.")] = 20231008,
        as_json: AsJson = False,
    ) -> None:
        """Train head and selector for a model; the model itself is not changed."""
        from halfsight import datasets
        from halfsight.budget import files, training
        from halfsight.budget.crops import BudgetError
        from halfsight.budget.distil import Settings
        from halfsight.cli.training import roots_of
        from halfsight.images import ImageError
        from halfsight.outputs import OutputError

        names = dataset.split(",")
        roots = roots_of(root, names)
        large = parse_size(size) or (768, 1024)
        full = console.load_model(model, offline=True)
        words = [f"--root {name}=DIR" for name in names]
        words += [f"--limit {limit}"] if limit else []
        words += [f"--enlarged {enlarged} --size {size} --epochs {epochs}"]
        words += [f"--selector-epochs {selector_epochs} --seed {seed}"]
        words += [] if rival else ["--no-rival"]
        try:
            full.transformer()
            target = output or files.path_beside(files.model_path(model))
            for name in names:
                if name not in roots:
                    console.usage(f"got no folder of {name}; add --root {name}=DIR")
            sets = [datasets.load(name, roots[name], split=split) for name in names]
            with console.progress("starting", None) as bar:

                def tell(what: str, done: int, total: int) -> None:
                    bar.update(bar.task_ids[0], description=what, completed=done, total=total)

                card = training.train(
                    full,
                    sets,
                    out=target,
                    cache=cache,
                    limit=limit,
                    enlarged=enlarged,
                    size=large,
                    settings=Settings(epochs=epochs, selector_epochs=selector_epochs, seed=seed),
                    with_rival=rival,
                    command=f"halfsight budget train {dataset} {' '.join(words)}",
                    progress=tell,
                )
        except (BudgetError, TypeError, datasets.DatasetError, ImageError, OutputError) as error:
            console.usage(str(error))
        typer.echo(card.model_dump_json(indent=2) if as_json else str(target))


def register_experiment(sub: typer.Typer) -> None:
    """Add ``halfsight experiment budget``."""

    @sub.command(
        epilog="Example: halfsight experiment budget clive --root data/clive --split val "
        "--size 1024x768 -o budget"
    )
    def budget(
        dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Name of the data set.")],
        root: Root,
        output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the results.")],
        split: Split = None,
        model: console.Model = "triq",
        size: SizeText = "native",
        oracle: Annotated[
            bool, typer.Option("--oracle/--no-oracle", help="Rank by the model's own table too.")
        ] = True,
        selectors: Annotated[
            str | None,
            typer.Option(help="Compared beside the budget's own, comma-separated; all by default."),
        ] = None,
        timed: Annotated[
            int, typer.Option(help="Photographs that costs are measured on.", min=1)
        ] = 10,
        cache: Annotated[
            Path | None, typer.Option(help="Folder of intermediate results; below the output.")
        ] = None,
        limit: Limit = None,
        twins: Twins = None,
        labels: Annotated[str | None, typer.Option(help="The data set's labels option.")] = None,
        seed: Annotated[int, typer.Option(help="Of random crops, regions and resamples.")] = 0,
        overwrite: Annotated[
            bool, typer.Option("--overwrite", help="Replace earlier results.")
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """The same score from a part of the photograph: cost against agreement, with rivals."""
        from halfsight.datasets import DatasetError
        from halfsight.experiments import budget as experiment
        from halfsight.experiments import study as studies
        from halfsight.experiments.request import Request
        from halfsight.experiments.writing import Place
        from halfsight.grid import GridError
        from halfsight.measures import MeasureError
        from halfsight.outputs import OutputError

        plan = plan_of(model, size, oracle=oracle, seed=seed, selectors=selectors)
        given = {**locals(), "table": None, "criterion": None}
        request = Request.of("budget", given)
        extra = {"size": size, "timed": timed, "oracle": None if oracle else "no"}
        extra["selectors"] = selectors
        try:
            part, notes = studies.choose(
                dataset,
                root,
                split=split,
                limit=limit,
                without_twins_of=twins,
                cache=cache,
                labels=labels,
            )
            place = Place.claim(
                output,
                {
                    "experiment": "budget",
                    "dataset": dataset,
                    "photographs": len(part),
                    "options": request.options(extra),
                    "models": {plan.full.name: plan.full.hash, "head": plan.head.card.sha256},
                },
                command=request.command(extra).replace("--oracle no", "--no-oracle"),
                overwrite=overwrite,
            )
            with console.progress("scores", None) as bar:

                def tell(what: str, done: int, total: int) -> None:
                    bar.update(bar.task_ids[0], description=what, completed=done, total=total)

                outcome = experiment.run(
                    part,
                    plan,
                    cache=cache or place.cache,
                    split=split,
                    timed=timed,
                    notes=notes,
                    progress=tell,
                )
            place.finish(outcome)
        except (DatasetError, GridError, MeasureError, OutputError) as error:
            console.usage(str(error))
        if as_json:
            summary = {"experiment": "budget", **outcome.summary, "output": str(output)}
            typer.echo(json.dumps(summary))
        else:
            typer.echo(outcome.headline)
            typer.echo(str(output / "index.html"))
        console.failed(outcome.failures, len(part))


def register_bench(sub: typer.Typer) -> None:
    """Add ``halfsight bench budget``."""

    @sub.command(
        epilog="Example: halfsight bench budget clive --root data/clive --split val --json"
    )
    def budget(
        dataset: Annotated[str, typer.Argument(help="Data set.")] = "clive",
        root: Annotated[
            Path | None,
            typer.Option(help="Its folder; data/NAME, ../data/NAME or ../shared/data/NAME."),
        ] = None,
        split: Split = "val",
        model: console.Model = "triq",
        budget: Annotated[str, typer.Option(help="Regions, or their share.")] = "0.5",
        size: SizeText = "1024x768",
        limit: Limit = None,
        threads: Annotated[
            int, typer.Option(help="torch's threads; score gives a photograph one.", min=1)
        ] = 1,
        as_json: AsJson = False,
    ) -> None:
        """Speed and agreement of scores from a part of the photograph."""
        from halfsight.bench import budget as bench
        from halfsight.budget import files
        from halfsight.budget.crops import BudgetError
        from halfsight.budget.policy import Budget
        from halfsight.datasets import DatasetError
        from halfsight.experiments import study as studies

        plan = plan_of(model, size)
        try:
            asked = Budget.parse(budget)
            scorer = files.assemble(plan.full, plan.head, asked)
            part, _ = studies.choose(
                dataset, root or _nearby(dataset), split=split or None, limit=limit
            )
            with console.progress("scoring", len(part)) as bar:
                found = bench.measure(
                    part,
                    plan,
                    scorer,
                    split=split or "all",
                    threads=threads,
                    progress=lambda done, total: bar.update(bar.task_ids[0], completed=done),
                )
        except (BudgetError, DatasetError) as error:
            console.usage(str(error))
        if as_json:
            typer.echo(json.dumps(found.to_dict()))
        else:
            drop = "" if found.plcc_mos_drop is None else f"{found.plcc_mos_drop:+.4f}"
            typer.echo(
                f"{found.n} photographs of {found.dataset} at {found.size}, {found.k} regions: "
                f"{found.speedup:.2f} times as fast ({found.full_seconds:.3f} s to "
                f"{found.budget_seconds:.3f} s), PLCC with the full score {found.plcc_full:.4f}"
                + (f", with MOS lower by {drop}" if drop else "")
            )
        console.failed(found.failures, len(part))


def load_scorer(model: str, budget: str, tolerance: float | None, *, offline: bool) -> Scorer:
    """A model within a budget, or exit code 2 with one line that says why not."""
    from halfsight import scorer
    from halfsight.budget.crops import BudgetError
    from halfsight.models.backbone import WeightsError
    from halfsight.models.registry import UnknownModelError

    try:
        return scorer.load(model, offline=offline, budget=budget, tolerance=tolerance)
    except (BudgetError, UnknownModelError, WeightsError) as error:
        console.usage(str(error))


def plan_of(
    model: str, size: str, *, oracle: bool = True, seed: int = 0, selectors: str | None = None
) -> Plan:
    """The model, its budget and all selectors, or exit code 2."""
    from halfsight.budget import files
    from halfsight.budget.crops import BudgetError
    from halfsight.budget.selector import NAMES
    from halfsight.experiments.budget_scores import Plan
    from halfsight.models.backbone import WeightsError

    brought_to = parse_size(size)
    full = console.load_model(model, offline=True)
    try:
        full.transformer()
        head: BudgetHead = files.load_head(files.path_beside(files.model_path(model)), full)
    except (BudgetError, TypeError, WeightsError) as error:
        console.usage(str(error))
    own = head.best_selector
    asked = NAMES if selectors is None else tuple(selectors.split(","))
    for name in asked:
        if name not in NAMES:
            console.usage(f"got selector {name!r}, expected some of {', '.join(NAMES)}")
    names = (own, *(name for name in asked if name != own))
    return Plan(full, head, names, oracle=oracle, size=brought_to, seed=seed)


def parse_size(text: str) -> tuple[int, int] | None:
    """``1024x768`` to (768, 1024), ``native`` to None, or exit code 2."""
    if text.strip().lower() == "native":
        return None
    width, cross, height = text.strip().lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        _wrong_size(text)
    if not (32 <= int(width) <= 16384 and 32 <= int(height) <= 16384):
        _wrong_size(text)
    return int(height), int(width)


def _wrong_size(text: str) -> NoReturn:
    console.usage(
        f"got size {text!r}, expected WIDTHxHEIGHT from 32 to 16384 such as 1024x768, or native"
    )


def _nearby(dataset: str) -> Path:
    """A folder of the data set where it is usually kept, or exit code 2."""
    places = [Path(folder) / dataset for folder in ("data", "../data", "../shared/data")]
    found = [place for place in places if place.is_dir()]
    if not found:
        console.usage(f"got no folder of {dataset}; give it with --root DIR")
    return found[0]
