"""From a request to results on disk: photographs, claimed folder, table, experiment, files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from halfsight.datasets import DatasetError
from halfsight.experiments import study as studies
from halfsight.experiments.outcome import Outcome
from halfsight.experiments.request import Request
from halfsight.experiments.store import Progress
from halfsight.experiments.study import Study
from halfsight.experiments.writing import Place
from halfsight.grid import GridError
from halfsight.images import ImageError
from halfsight.importance import CriterionError
from halfsight.masking.base import MaskingError
from halfsight.masking.sampling import SampleError
from halfsight.outputs import OutputError
from halfsight.scorer import Scorer
from halfsight.table import TableError

ERRORS = (
    CriterionError,
    DatasetError,
    GridError,
    ImageError,
    MaskingError,
    OutputError,
    SampleError,
    TableError,
)
"""What :func:`run` raises when something it is given is wrong; the message is one line."""

Work = Callable[[Study, Progress], Outcome]


def run(
    request: Request,
    extra: Mapping[str, Any],
    work: Work,
    scorer: Scorer | None,
    scorers: Sequence[Scorer] = (),
    *,
    progress: Progress,
) -> tuple[Outcome, int]:
    """Run an experiment and write its folder.

    Args:
        request: what it is run on.
        extra: its own options by name, for the record.
        work: the experiment.
        scorer: the model of the regions; None only with a table that is there.
        scorers: other models.
        progress: told after every photograph.

    Returns:
        The result, and the number of photographs asked for.

    Raises:
        One of :data:`ERRORS`.
    """
    part, notes = studies.choose(
        request.dataset,
        request.root,
        split=request.split,
        limit=request.limit,
        without_twins_of=request.twins,
        cache=request.cache,
        labels=request.labels,
    )
    known = [] if scorer is None else [scorer]
    place = Place.claim(
        request.output,
        {
            "experiment": request.experiment,
            "dataset": request.dataset,
            "photographs": len(part),
            "options": request.options(extra),
            "models": {one.name: one.hash for one in (*known, *scorers)},
        },
        command=request.command(extra),
        overwrite=request.overwrite,
    )
    if request.table is not None:
        table = studies.load_table(request.table, scorer)
    elif scorer is not None:
        table = studies.table_of(
            part, scorer, place.table, overwrite=request.overwrite, progress=progress
        )
    else:
        raise TableError("got neither a model nor a table, expected one of them")
    study = studies.study(
        part,
        table,
        split=request.split,
        cache=request.cache or place.cache,
        criterion=request.criterion,
        seed=request.seed,
        scorer=scorer,
        notes=notes,
    )
    outcome = work(study, progress)
    place.finish(outcome)
    return outcome, len(part)
