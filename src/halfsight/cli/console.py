"""What all commands share: consoles, usage errors, the list of failures, progress."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from halfsight.scorer import Scorer

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

Model = Annotated[
    str, typer.Option("--model", "-m", help="Model name, or a .safetensors file with its card.")
]
Online = Annotated[
    bool,
    typer.Option(
        "--offline/--online",
        help="Forbid or allow downloads of backbone weights that no package carries.",
    ),
]


def usage(message: str) -> NoReturn:
    """Print one line and stop with exit code 2."""
    err.print(f"halfsight: {message}", markup=False)
    raise typer.Exit(2)


def failed(problems: Sequence[object], total: int) -> None:
    """List what failed and stop with exit code 1; returns if nothing did."""
    if not problems:
        return
    for problem in problems:
        err.print(f"halfsight: {problem}", markup=False)
    if total > 1:
        err.print(f"halfsight: {len(problems)} of {total} inputs failed", markup=False)
    raise typer.Exit(1)


def load_model(name: str, *, offline: bool) -> Scorer:
    """The model, or exit code 2 with one line that says why not."""
    from halfsight import scorer
    from halfsight.models.backbone import WeightsError
    from halfsight.models.registry import UnknownModelError

    try:
        return scorer.load(name, offline=offline)
    except (UnknownModelError, WeightsError) as error:
        usage(str(error))


@contextmanager
def progress(description: str, total: int | None, *, inner: str = "") -> Iterator[Progress]:
    """A progress bar on standard error; silent when that is no terminal.

    Args:
        description: of the work.
        total: steps in all, None while unknown. A bar of a single step is not shown.
        inner: description of a second bar inside a step, see :func:`inside`; none if empty.
    """
    several = total is None or total > 1
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal or not (several or inner),
        redirect_stdout=False,  # or results for a file or pipe would go to the terminal
    )
    with bar:
        bar.add_task(description, total=total, visible=several)
        if inner:
            bar.add_task(f"  {inner}", visible=False)
        yield bar


def inside(bar: Progress, done: int, total: int) -> None:
    """Move the second bar of :func:`progress`; it is shown from its first to its last step."""
    bar.update(bar.task_ids[1], completed=done, total=total, visible=done < total)


@contextmanager
def above(bar: Progress) -> Iterator[None]:
    """Print to standard output without the bar getting into the lines."""
    if bar.disable:
        yield
        return
    bar.stop()
    try:
        yield
    finally:
        bar.start()


def one_file(paths: Sequence[str]) -> bool:
    """True if the user named exactly one file, not a folder, a pattern or a list."""
    return len(paths) == 1 and paths[0] != "-" and Path(paths[0]).is_file()
