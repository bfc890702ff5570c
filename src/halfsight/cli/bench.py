"""``halfsight bench``: speed and memory, measured here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halfsight.cli import budget, console

if TYPE_CHECKING:
    from halfsight.engines.plan import Item

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Markdown = Annotated[
    Path | None,
    typer.Option(help="Also put the result into this file, such as docs/benchmarks.md."),
]
Threads = Annotated[
    int | None, typer.Option(help="torch's threads; its own choice by default.", min=1)
]
Size = Annotated[str, typer.Option(help="WIDTHxHEIGHT of the photograph.")]
Grid = Annotated[str, typer.Option(help="Regions as ROWSxCOLUMNS.")]
Root = Annotated[
    Path | None, typer.Option(help="Folder of photographs; without it some are generated.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    sub = typer.Typer(help="Speed and memory, measured on this machine.", no_args_is_help=True)
    app.add_typer(sub, name="bench")
    _masks(sub)
    _pipeline(sub)
    _scale(sub)
    _rivals(sub)
    budget.register_bench(sub)


def _masks(sub: typer.Typer) -> None:
    @sub.command(epilog="Example: halfsight bench masks --json")
    def masks(
        grid: Grid = "3x4",
        size: Size = "1024x768",
        backbone: Annotated[str, typer.Option(help="timm name.")] = "resnet50",
        layers: Annotated[int, typer.Option(help="Encoder layers.", min=1)] = 2,
        repeats: Annotated[int, typer.Option(help="Rounds; medians are given.", min=1)] = 3,
        threads: Threads = None,
        markdown: Markdown = None,
        as_json: AsJson = False,
    ) -> None:
        """All coalitions: the plain way, the exact kernel, the backbone beside them."""
        from halfsight.bench import masks as bench
        from halfsight.grid import GridError

        setting = bench.Setting(grid, _size(size), backbone, layers)
        try:
            found = bench.measure(setting, repeats=repeats, threads=threads)
        except GridError as error:
            console.usage(str(error))
        except (RuntimeError, ValueError) as error:
            console.usage(f"got backbone {backbone!r}: {error}".splitlines()[0])
        command = _command(
            "masks",
            grid=(grid, "3x4"),
            size=(size, "1024x768"),
            backbone=(backbone, "resnet50"),
            layers=(layers, 2),
            repeats=(repeats, 3),
            threads=(threads, None),
        )
        _done(found, bench.text(found), as_json)
        _document(markdown, "All coalitions of a photograph", command, bench.text(found), found)


def _pipeline(sub: typer.Typer) -> None:
    @sub.command(epilog="Example: halfsight bench pipeline --root photos/ --limit 500 --json")
    def pipeline(
        root: Root = None,
        model: console.Model = "triq",
        grid: Grid = "3x4",
        limit: Annotated[int, typer.Option(help="As many photographs.", min=1)] = 100,
        size: Size = "1024x768",
        workers: Annotated[
            int | None, typer.Option(help="Photographs at once; one a core by default.", min=1)
        ] = None,
        markdown: Markdown = None,
        as_json: AsJson = False,
    ) -> None:
        """From files to a table on disk: stages, images a second, processor use, a cost model."""
        import tempfile

        from halfsight.bench import photographs
        from halfsight.bench import pipeline as bench
        from halfsight.datasets import DatasetError, folder
        from halfsight.grid import GridError
        from halfsight.images import ImageError
        from halfsight.outputs import OutputError

        scorer = console.load_model(model, offline=True)
        try:
            with tempfile.TemporaryDirectory(prefix="halfsight-") as scratch:
                items: list[Item]
                if root is None:
                    items = photographs.generate(Path(scratch), limit, size=_size(size))
                else:
                    items = [(one.id, str(one.path)) for one in folder.load(root)][:limit]
                found = bench.measure(scorer, items, model=model, grid=grid, workers=workers)
        except (DatasetError, GridError, ImageError, OutputError, TypeError) as error:
            console.usage(str(error))
        found["photographs"] = "generated" if root is None else "given"
        command = _command(
            "pipeline",
            root=(root, None),
            model=(model, "triq"),
            grid=(grid, "3x4"),
            limit=(limit, 100),
            size=(size, "1024x768"),
            workers=(workers, None),
        )
        _done(found, f"{bench.text(found)}\n\n{bench.cost_text(found)}", as_json)
        _document(markdown, "From files to a table", command, bench.text(found), found)
        _document(markdown, "A whole data set", command, bench.cost_text(found), found)


def _scale(sub: typer.Typer) -> None:
    @sub.command(epilog="Example: halfsight bench scale --images 1,10,100,1000 --json")
    def scale(
        model: console.Model = "triq",
        images: Annotated[
            str, typer.Option(help="Numbers of photographs, joined by commas.")
        ] = "1,10,100",
        size: Size = "1024x768",
        quick: Annotated[
            bool, typer.Option("--quick", help="6 and 12 regions, 192 tokens, 1 photograph.")
        ] = False,
        ray: Annotated[bool, typer.Option("--ray/--no-ray", help="Measure Ray too.")] = True,
        threads: Threads = None,
        markdown: Markdown = None,
        as_json: AsJson = False,
    ) -> None:
        """Cost against regions, tokens, photographs and workers, with memory."""
        import importlib.util

        from halfsight.bench import scale as bench

        numbers = images.split(",")
        if not all(number.isdecimal() and int(number) for number in numbers):
            console.usage(f"got --images {images!r}, expected numbers such as 1,10,100")
        if ray and not quick and importlib.util.find_spec("ray") is None:
            console.usage("Ray is not installed; run: pip install 'halfsight[ray]', or --no-ray")
        console.load_model(model, offline=True)  # fails here, not in a process of its own
        options: dict[str, Any] = {"images": [int(number) for number in numbers]}
        if quick:
            options = {"grids": ("2x3", "3x4"), "maps": ((12, 16),), "images": [1]}
        if quick or not ray:
            options["ray_workers"] = ()
        with console.progress("starting", None) as bar:
            found = bench.measure(
                model,
                size=_size(size),
                threads=threads,
                tell=lambda what: bar.update(bar.task_ids[0], description=what),
                **options,
            )
        command = _command(
            "scale" + (" --quick" if quick else "") + ("" if ray else " --no-ray"),
            model=(model, "triq"),
            images=(images, "1,10,100"),
            size=(size, "1024x768"),
            threads=(threads, None),
        )
        _done(found, bench.text(found), as_json)
        _document(markdown, "What the cost grows with", command, bench.text(found), found)


def _rivals(sub: typer.Typer) -> None:
    @sub.command(epilog="Example: halfsight bench rivals --json")
    def rivals(
        photograph: Annotated[
            Path | None, typer.Argument(help="A photograph; without it one is generated.")
        ] = None,
        model: console.Model = "triq",
        grid: Grid = "3x4",
        size: Size = "1024x768",
        threads: Threads = None,
        markdown: Markdown = None,
        as_json: AsJson = False,
    ) -> None:
        """Other libraries on the whole model, and other solvers of the same games."""
        import tempfile

        from halfsight.bench import clock, photographs
        from halfsight.bench import rivals as bench
        from halfsight.grid import GridError
        from halfsight.images import ImageError

        scorer = console.load_model(model, offline=True)
        try:
            with tempfile.TemporaryDirectory(prefix="halfsight-") as scratch:
                source = photograph or Path(
                    photographs.generate(Path(scratch), 1, size=_size(size))[0][1]
                )
                with clock.threads(threads):
                    found = bench.measure(scorer, source, grid=grid)
        except (GridError, ImageError, TypeError) as error:
            console.usage(str(error))
        _done(found, bench.text(found), as_json)
        command = _command(
            "rivals" + (f" {photograph}" if photograph else ""),
            model=(model, "triq"),
            grid=(grid, "3x4"),
            size=(size, "1024x768"),
            threads=(threads, None),
        )
        _document(markdown, "Other ways to the same answer", command, bench.text(found), found)


def _size(text: str) -> tuple[int, int]:
    """``WIDTHxHEIGHT`` to (height, width)."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        console.usage(f"got --size {text!r}, expected WIDTHxHEIGHT such as 1024x768")
    return int(height), int(width)


def _command(name: str, **options: tuple[object, object]) -> str:
    """The command as it was given: its options (value, default) that are not the defaults."""
    given = [f"--{key} {value}" for key, (value, default) in options.items() if value != default]
    return " ".join(["halfsight bench", name, *given])


def _done(found: dict[str, Any], text: str, as_json: bool) -> None:
    typer.echo(json.dumps(found) if as_json else text)


def _document(
    path: Path | None, heading: str, command: str, body: str, found: dict[str, Any]
) -> None:
    from halfsight.bench import document
    from halfsight.outputs import OutputError

    if path is None:
        return
    try:
        document.write(path, heading, command, body, found["machine"])
    except OutputError as error:
        console.usage(str(error))
