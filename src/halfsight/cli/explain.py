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
    from halfsight.scorer import Scorer

NONE = "none"


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(
        epilog="Example: halfsight explain photo.jpg -o result/ --also lime,saliency",
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
        masking: Annotated[
            str,
            typer.Option(
                help="How regions are hidden: attention (models with tokens), or in the pixels: "
                "zero, mean, blur, zero-normalised. auto takes attention where it can, else zero."
            ),
        ] = "auto",
        masks: Annotated[
            str | None,
            typer.Option(
                metavar="all|N",
                help="Masks to evaluate. By default all with the exact kernel, else a sample of "
                "512; results of a sample say so and have standard errors.",
            ),
        ] = None,
        seed: Annotated[int, typer.Option(help="Of the sample of masks.", min=0)] = 0,
        also: Annotated[
            str | None,
            typer.Option(
                metavar="NAMES",
                help="Further maps, with commas between: lime, gradcam, rollout, saliency, "
                "frequency, objectness, averaged. By default, with -o, all of them but lime and "
                "averaged where the model allows; none turns that off.",
            ),
        ] = None,
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
        from halfsight.cli import summary
        from halfsight.grid import GridError, RegionGrid
        from halfsight.masking import base
        from halfsight.masking.choose import choose
        from halfsight.masking.sampling import SampleError
        from halfsight.models.external import ModelError
        from halfsight.outputs import OutputError
        from halfsight.report import gallery

        try:
            regions = RegionGrid.parse(grid)
            chosen = None if criterion is None else importance.check(criterion)
            wanted = None if masks is None else base.parse_masks(masks)
            if wanted is not None:
                base.check_masks(wanted, len(regions))
        except (GridError, importance.CriterionError, SampleError) as error:
            console.usage(str(error))
        views = Views.read(also, saved=output is not None)
        scorer = console.load_model(model, offline=offline)
        try:
            masker = choose(scorer, masking)
        except base.MaskingError as error:
            console.usage(str(error))
        found = images.find(paths, stdin=sys.stdin)
        problems: list[object] = list(found.errors)
        total = len(found.files) + len(problems)
        options = {
            "grid": grid,
            "criterion": criterion,
            "keep_grid": keep_grid,
            "masking": masker.name,
            "masks": wanted,
            "seed": seed,
            "also": views.label,
        }
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
        with console.progress("explaining", len(found.files), inner="masks") as bar:
            for path in found.files:
                try:
                    if results is not None and results.finished(path):
                        continue
                    result = library.explain(
                        scorer,
                        path,
                        grid=regions,
                        criterion=chosen,
                        turn=not keep_grid,
                        masking=masker,
                        masks=wanted,
                        seed=seed,
                        progress=lambda done, all_: console.inside(bar, done, all_),
                    )
                    result = views.add(result, scorer, problems)
                    if results is not None:
                        results.add(path, result)
                except (images.ImageError, OutputError) as error:
                    problems.append(error)
                    continue
                except (GridError, importance.CriterionError, ModelError) as error:
                    problems.append(f"{path}: {error}")
                    continue
                finally:
                    bar.advance(bar.task_ids[0])
                with console.above(bar):
                    if as_json:
                        typer.echo(json.dumps(result.to_dict(), ensure_ascii=False))
                    else:
                        summary.show(result, console.out)
        if results is not None:
            results.close(problems)
        console.failed(problems, total)


class Views:
    """The further maps of a run.

    Attributes:
        names: of measures and attribution methods.
        optional: True if they are the default ones, which a model may not allow.
    """

    def __init__(self, names: tuple[str, ...], *, optional: bool) -> None:
        self.names = names
        self.optional = optional

    @classmethod
    def read(cls, text: str | None, *, saved: bool) -> Views:
        """From the option; exit code 2 if a name is unknown.

        Args:
            text: names with commas between, ``none``, or None for the default.
            saved: whether there is a page to show the default ones on.
        """
        if text == NONE or (text is None and not saved):
            return cls((), optional=True)  # without importing any of it
        from halfsight import also

        if text is None:
            return cls(also.CHEAP, optional=True)
        try:
            return cls(also.check(part.strip() for part in text.split(",")), optional=False)
        except also.AlsoError as error:
            console.usage(f"--also: {error}, or none")

    @property
    def label(self) -> str:
        """What they are, for manifests."""
        return ",".join(self.names) or NONE

    def add(self, result: Explanation, scorer: Scorer, problems: list[object]) -> Explanation:
        """The explanation with them; what was asked for and failed joins the problems."""
        if not self.names:
            return result
        from halfsight import also

        for name in self.names:
            try:
                result = also.add(result, scorer, [name], skip=self.optional)
            except also.AlsoError as error:
                problems.append(f"{result.path}: {error}")
        return result
