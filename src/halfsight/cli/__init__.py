"""The command line. Thin: it reads arguments, calls the library, prints.

Exit codes: 0 all went well, 1 some inputs failed and are listed, 2 usage. Results go to standard
output, progress and failures to standard error. Heavy imports wait until a command needs them.
"""

from __future__ import annotations

import os
import sys

import typer

from halfsight.cli.bench import register as bench
from halfsight.cli.budget import register as budget
from halfsight.cli.catalogue import register as catalogue
from halfsight.cli.experiment import register as experiment
from halfsight.cli.explain import register as explain
from halfsight.cli.score import register as score
from halfsight.cli.serve import register as serve
from halfsight.cli.table import register as table
from halfsight.cli.training import register as training
from halfsight.cli.weights import register as weights
from halfsight.memory import settle

app = typer.Typer(
    name="halfsight",
    help="Which half of a photograph decides its quality score.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
explain(app)
score(app)
catalogue(app)
training(app)
weights(app)
table(app)
serve(app)
experiment(app)
bench(app)
budget(app)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"halfsight {version('halfsight')}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and stop."
    ),
) -> None:
    pass


def main() -> None:
    """Entry point of the ``halfsight`` command."""
    settle()
    try:
        app()
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        raise SystemExit(130) from None
    except BrokenPipeError:  # the reader of a pipe went away, as in `halfsight ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None


if __name__ == "__main__":
    main()
