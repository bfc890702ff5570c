"""``halfsight weights import``: the authors' files to safetensors with a card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from halfsight.cli import console


def register(app: typer.Typer) -> None:
    """Add the commands."""
    sub = typer.Typer(help="Weight files: import those of the authors.", no_args_is_help=True)
    app.add_typer(sub, name="weights")

    @sub.callback()
    def weights() -> None:
        """Weight files: import those of the authors."""

    @sub.command(
        "import", epilog="Example: halfsight weights import TRIQ.h5 --as triq -o triq.safetensors"
    )
    def import_command(
        file: Annotated[
            Path, typer.Argument(help="The authors' file: .h5 of Keras, .pth or .pkl of PyTorch.")
        ],
        model: Annotated[
            str,
            typer.Option("--as", help="Whose it is: triq, aihiqnet, koncept512 or dbcnn."),
        ],
        output: Annotated[
            Path,
            typer.Option("--output", "-o", help="The .safetensors file; its card lies beside it."),
        ],
        positions: Annotated[
            str | None,
            typer.Option(
                help="TRIQ on other sizes: truncate its positions as the authors, or interpolate."
            ),
        ] = None,
        scale: Annotated[
            tuple[float, float] | None,
            typer.Option(help="Lowest and highest score, if other than the model's own."),
        ] = None,
        lower_is_better: Annotated[
            bool, typer.Option("--lower-is-better", help="Scores are of impairment, as DMOS.")
        ] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print the card.")] = False,
    ) -> None:
        """Read an authors' weight file and write it as safetensors with a card."""
        from halfsight.models.backbone import WeightsError
        from halfsight.models.card import Scale
        from halfsight.models.registry import UnknownModelError
        from halfsight.outputs import OutputError
        from halfsight.weights import importing

        chosen = None
        if lower_is_better and scale is None:
            console.usage("got --lower-is-better alone, expected --scale MIN MAX with it")
        if scale is not None:
            low, high = scale
            if not low < high < float("inf"):
                console.usage(f"got --scale {low:g} {high:g}, expected the lower number first")
            chosen = Scale(min=low, max=high, higher_is_better=not lower_is_better)
        options = {} if positions is None else {"positions": positions}
        try:
            card = importing.import_weights(file, model, output, options=options, scale=chosen)
        except WeightsError as error:
            console.failed([error], 1)
            raise  # not reached: the line above stops
        except (UnknownModelError, ValueError, OutputError) as error:
            console.usage(str(error))
        typer.echo(card.model_dump_json(indent=2) if as_json else str(output))
